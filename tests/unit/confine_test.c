/* confine_test.c: what a confined process can still do, tried by children. */
#include "check.h"
#include "gm/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[] = "/tmp/gm-confine-XXXXXX";

/* The name of a file in the test's directory, good until the fourth next call. */
static const char *in(const char *name) {
    static char paths[4][128];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static bool can_open(const char *path, int flags) {
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

static void name_some(const gm_call *call, gm_access *a) {
    (void)call;
    gm_access_read(a, in("named"));
    gm_access_read(a, "-");
    gm_access_write(a, in("out/file"));
    gm_access_write(a, "/dev/null");
    gm_access_write(a, NULL);
}

static void name_missing(const gm_call *call, gm_access *a) {
    (void)call;
    gm_access_read(a, in("missing"));
}

static void name_directory(const gm_call *call, gm_access *a) {
    (void)call;
    gm_access_read(a, directory);
}

static void name_everything(const gm_call *call, gm_access *a) {
    (void)call;
    gm_access_everything(a);
}

static const gm_tool some = {.name = "some", .access = name_some}, none = {.name = "none"},
                     missing = {.name = "missing", .access = name_missing},
                     whole = {.name = "whole", .access = name_directory},
                     everything = {.name = "everything", .access = name_everything};

/* Runs `try` in a child that is confined as the tool is; true if it returned true. */
static bool confined(const gm_tool *tool, bool (*try)(void)) {
    int status = -1;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        gm_error e = {.text = ""};
        gm_call call = {.tool = tool};
        if (gm_confine(&call, &e) != 0) _exit(2);
        _exit(try() ? 0 : 1);
    }
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static bool denied(const char *path, int flags) {
    return !can_open(path, flags) && errno == EACCES;
}

static bool only_named(void) {
    return can_open(in("named"), O_RDONLY) && denied(in("named"), O_WRONLY) && denied(in("other"), O_RDONLY) &&
           denied("/etc/passwd", O_RDONLY) && can_open("/dev/null", O_WRONLY);
}

/* As gm_output_open and gm_output_commit do it, over a file that is there. */
static bool output_is_written(void) {
    gm_error e;
    gm_output out;
    return gm_output_open(&out, in("out/file"), &e) == 0 && gm_write_all(out.fd, "new", 3) == 0 &&
           gm_output_commit(&out, &e) == 0 && denied(in("beside"), O_WRONLY | O_CREAT);
}

static bool nothing(void) {
    return denied(in("named"), O_RDONLY) && denied(in("out/file"), O_WRONLY) && mkdir(in("new"), 0700) != 0 &&
           execl("/bin/true", "true", (char *)NULL) != 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}

static void *open_named(void *result) {
    *(bool *)result = denied(in("named"), O_RDONLY);
    return NULL;
}

static bool in_threads(void) {
    pthread_t thread;
    bool result = false;
    return pthread_create(&thread, NULL, open_named, &result) == 0 && pthread_join(thread, NULL) == 0 && result;
}

static bool no_network(void) {
    const struct sockaddr_in nowhere = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return fd < 0 || (bind(fd, (const struct sockaddr *)&nowhere, sizeof nowhere) != 0 && errno == EACCES);
}

static bool no_signals(void) {
    return kill(getppid(), 0) != 0 && errno == EPERM && kill(getpid(), 0) == 0;
}

static bool other_is_open(void) {
    return can_open(in("other"), O_RDONLY) && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}

static long version;

static void test_files(void) {
    CHECK(confined(&some, only_named) && confined(&some, output_is_written));
    CHECK(confined(&none, nothing) && confined(&none, in_threads));
    struct stat status;
    CHECK(stat(in("out/file"), &status) == 0 && status.st_size == 3);
}

static void test_others(void) {
    CHECK(version < 4 || confined(&none, no_network));
    CHECK(version < 6 || confined(&none, no_signals));
}

static void test_missing(void) {
    CHECK(confined(&missing, other_is_open) && confined(&whole, other_is_open) && confined(&everything, other_is_open));
}

static void make_file(const char *name) {
    CHECK(can_open(in(name), O_WRONLY | O_CREAT));
}

int main(void) {
    CHECK(mkdtemp(directory) != NULL && mkdir(in("out"), 0700) == 0);
    make_file("named");
    make_file("other");
    make_file("out/file");
    version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    bool sanitized = getenv("GM_SANITIZED") != NULL;
    if (version < 1 || sanitized)
        printf("ok 1 - confined files # skip %s\n", sanitized ? "sanitizers are not confined" : "no Landlock here");
    else {
        RUN(test_files);
        RUN(test_others);
    }
    RUN(test_missing);
    unlink(in("named"));
    unlink(in("other"));
    unlink(in("out/file"));
    rmdir(in("out"));
    rmdir(directory);
    return check_done();
}
