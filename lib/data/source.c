/* source.c: opening a data file and telling its kind by its first bytes.
 *
 * The bytes are looked at without taking them, so that whoever reads the descriptor next finds them all: a file by
 * pread, a pipe by tee(2) (Linux) into a pipe of our own, a socket by MSG_PEEK. What allows none of these (a terminal)
 * is taken for CSV.
 */
#include "source.h"

#include "gm/data.h"
#include "gm/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FIRST = 4 }; /* bytes that tell any kind */

const char *gm_data_kind_text(gm_data_kind kind) {
    static const char *const texts[] = {"CSV", "IDX", "a stream"};
    return texts[kind];
}

const char *gm_data_name(const char *path) {
    return strcmp(path, "-") == 0 ? "standard input" : path;
}

/* One look at a pipe: up to FIRST bytes; 0 at its end; -1. Waits while the pipe is empty and has a writer. */
static ssize_t look_once(int fd, const int own[2], unsigned char *bytes) {
    const ssize_t there = tee(fd, own[1], FIRST, 0);
    return there > 0 ? read(own[0], bytes, (size_t)there) : there;
}

static ssize_t look_into_pipe(int fd, unsigned char *bytes) {
    int own[2];
    if (pipe2(own, O_CLOEXEC) < 0) return -1;
    ssize_t got;
    bool more = true;
    do {
        struct pollfd state = {.fd = fd, .events = POLLIN};
        /* Asked before looking: if the writer has gone by now, this look sees all that will ever be there. */
        if (poll(&state, 1, -1) > 0) more = (state.revents & POLLHUP) == 0;
        got = look_once(fd, own, bytes);
        const bool interrupted = got < 0 && (errno == EINTR || errno == EAGAIN);
        /* Only '(' and 'P' to '_' may begin both text and zstd frames; else one byte decides. */
        const bool unclear = got > 0 && got < FIRST && (bytes[0] == 0x28 || (bytes[0] & 0xF0) == 0x50 || bytes[0] == 0);
        if (!interrupted && !(unclear && more)) break;
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    } while (true);
    const int kept = errno;
    close(own[0]);
    close(own[1]);
    errno = kept;
    return got;
}

static ssize_t look(int fd, unsigned char *bytes) {
    struct stat status;
    if (fstat(fd, &status) < 0) return -1;
    if (S_ISFIFO(status.st_mode)) return look_into_pipe(fd, bytes);
    if (S_ISSOCK(status.st_mode)) return recv(fd, bytes, FIRST, MSG_PEEK);
    if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) return 0;
    /* Standard input may stand in the middle of a file. */
    const off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t had = 0, got;
    do {
        got = pread(fd, bytes + had, FIRST - (size_t)had, (at < 0 ? 0 : at) + had);
        if (got > 0) had += got;
    } while ((got > 0 && had < FIRST) || (got < 0 && errno == EINTR));
    return got < 0 ? got : had;
}

static gm_data_kind kind_of(const unsigned char *bytes, size_t n) {
    const bool gzip = n >= 2 && bytes[0] == 0x1F && bytes[1] == 0x8B;
    /* Two zero bytes, a type, a rank. */
    const bool idx = n >= FIRST && bytes[0] == 0 && bytes[1] == 0 && bytes[2] >= 0x08 && bytes[2] <= 0x0E;
    if (gzip || idx) return GM_DATA_IDX;
    return n > 0 && gm_stream_magic(bytes, n) ? GM_DATA_STREAM : GM_DATA_CSV;
}

int gm_data_open(const char *path, gm_data_kind *kind, gm_error *e) {
    const bool standard = strcmp(path, "-") == 0;
    const int fd = standard ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : gm_open(path, O_RDONLY);
    if (fd < 0) return gm_fail_errno(e, "%s", gm_data_name(path));
    unsigned char bytes[FIRST];
    const ssize_t n = look(fd, bytes);
    if (n < 0) {
        gm_fail_errno(e, "%s", gm_data_name(path));
        close(fd);
        return -1;
    }
    *kind = kind_of(bytes, (size_t)n);
    return fd;
}

bool gm_data_is_stream(const char *path) {
    gm_data_kind kind = GM_DATA_CSV;
    gm_error ignored;
    const int fd = gm_data_open(path, &kind, &ignored);
    if (fd < 0) return false;
    close(fd);
    return kind == GM_DATA_STREAM;
}

int gm_data_check(char *const *files, size_t file_count, gm_error *e) {
    const char *first = NULL;
    gm_data_kind first_kind = GM_DATA_CSV, kind;
    for (size_t i = 0; i < file_count; i++) {
        struct stat status;
        if (strcmp(files[i], "-") == 0) continue;
        if (stat(files[i], &status) < 0) return gm_fail_errno(e, "%s", files[i]);
        if (!S_ISREG(status.st_mode)) continue;
        const int fd = gm_data_open(files[i], &kind, e);
        if (fd < 0) return -1;
        close(fd);
        if (first != NULL && kind != first_kind) {
            return gm_fail(e, "%s is %s, %s is %s: files of one kind can be read together", first,
                           gm_data_kind_text(first_kind), files[i], gm_data_kind_text(kind));
        }
        first = files[i];
        first_kind = kind;
    }
    return 0;
}
