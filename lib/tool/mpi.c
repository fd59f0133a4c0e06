/* mpi.c: gm-mpi.so, found beside the tools, and MPI started. */
#include "mpi.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <xxhash.h>

/* ---- one process for each rank ---- */

/* A number of this job on this machine: what the launcher calls it, or the socket by which it speaks with this rank. */
static uint64_t job_number(void) {
    static const char *const names[] = {"PMIX_NAMESPACE", "SLURM_JOB_ID", "SLURM_STEP_ID"};
    uint64_t hash = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *text = getenv(names[i]);
        if (text) hash = XXH64(text, strlen(text), hash);
    }
    const char *socket = getenv("PMI_FD");
    struct stat status;
    size_t fd;
    if (socket && gm_parse_size(socket, 0, INT_MAX, &fd) && fstat((int)fd, &status) == 0)
        hash = XXH64(&status.st_ino, sizeof status.st_ino, hash);
    return hash;
}

/* An abstract socket of that name is this process's until it ends. A second process of a rank would wait for ever, as
 * MPI knows one of each. */
static int claim_rank(const gm_shard *own, gm_error *e) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int n = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "gm-allreduce %016llx %zu",
                     (unsigned long long)job_number(), own->index);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return gm_fail_errno(e, "cannot make a socket");
    if (bind(fd, (struct sockaddr *)&address, size) == 0) return 0;
    int number = errno;
    close(fd);
    if (number == EADDRINUSE)
        return gm_fail(e,
                       "a second gm-allreduce in rank %zu: MPI takes one process for each rank, and gm-pipe runs a "
                       "whole pipeline in one",
                       own->index);
    errno = number;
    return gm_fail_errno(e, "cannot name a socket");
}

/* ---- the plugin ---- */

/* GM_MPI, or what lies beside the directory of the tools, built or installed. */
static bool find_plugin(char path[PATH_MAX]) {
    static const char *const places[] = {"lib/gm-mpi.so", "lib/gm/gm-mpi.so"};
    const char *named = getenv("GM_MPI");
    char tool[PATH_MAX];
    if (named) return snprintf(path, PATH_MAX, "%s", named) < PATH_MAX;
    ssize_t n = readlink("/proc/self/exe", tool, sizeof tool - 1);
    if (n <= 0) return false;
    tool[n] = '\0';
    for (int up = 0; up < 2; up++) { /* the tool, then bin */
        char *slash = strrchr(tool, '/');
        if (!slash) return false;
        *slash = '\0';
    }
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (snprintf(path, PATH_MAX, "%s/%s", tool, places[i]) < PATH_MAX && access(path, R_OK) == 0) return true;
    return false;
}

/* Never unloaded: an MPI leaves threads and handlers behind. Its own parts look for its symbols among all. */
static const gm_mpi *load_plugin(const gm_shard *own, gm_error *e) {
    char path[PATH_MAX];
    if (!find_plugin(path)) {
        gm_fail(e, "rank %zu of %zu, and gm-mpi.so, which speaks with the others, was not built: make MPI=1",
                own->index, own->count);
        return NULL;
    }
    void *object = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    const gm_mpi *mpi = object ? dlsym(object, "gm_mpi_table") : NULL;
    if (mpi && mpi->abi == GM_MPI_ABI) return mpi;
    if (mpi)
        gm_fail(e, "%s is of another version of these tools: make MPI=1", path);
    else
        gm_fail(e, "%s (make MPI=1 installs an MPI and builds this for it)", dlerror());
    return NULL;
}

/* All ranks of a machine lack the same: the first of them says so, and the others leave it the time, before their job
 * is ended. */
static void let_the_first_speak(void) {
    static const char *const names[] = {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *text = getenv(names[i]);
        if (!text) continue;
        if (strcmp(text, "0") != 0) sleep(3);
        return;
    }
}

/* The threads that an MPI makes leave signals to those that know what to do with them (settle.c). */
static int start_quietly(const gm_mpi *mpi, int *rank, int *size, char text[GM_MPI_TEXT]) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int status = mpi->start(rank, size, text);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

const gm_mpi *gm_mpi_start(const gm_shard *own, gm_error *e) {
    char text[GM_MPI_TEXT] = "";
    int rank = 0, size = 0;
    const gm_mpi *mpi = load_plugin(own, e);
    if (!mpi) let_the_first_speak();
    if (!mpi || claim_rank(own, e) != 0) return NULL;
    if (start_quietly(mpi, &rank, &size, text) != 0) {
        gm_fail(e, "MPI does not start: %s", text);
        return NULL;
    }
    if ((size_t)rank == own->index && (size_t)size == own->count) return mpi;
    let_the_first_speak();
    gm_fail(
        e,
        "this is rank %zu of %zu for what started it, and rank %d of %d for MPI: mpirun must be that of the MPI that "
        "gm-mpi.so was built with; srun may need --mpi=pmix",
        own->index, own->count, rank, size);
    return NULL;
}
