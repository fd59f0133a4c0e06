/* confine.c: a tool that has opened its files gives up what it does not need, so that whoever takes over the decoder of
 * a stream finds nothing to take with it.
 *
 * No new privileges, and Landlock where the kernel has it (Linux 5.13): files only as the calls name them, from 6.7 no
 * network, from 6.12 no signals to other processes. There is no filter of system calls: those break sanitizers, tracers
 * and new C libraries.
 */
#include "gm/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What headers older than the kernel do not know. */
#define RIGHT_REFER (UINT64_C(1) << 13)
#define RIGHT_TRUNCATE (UINT64_C(1) << 14)
#define RIGHT_DEVICE (UINT64_C(1) << 15)
typedef struct ruleset_attr {
    uint64_t files, network, scoped;
} ruleset_attr;

#define READ_RIGHTS LANDLOCK_ACCESS_FS_READ_FILE
#define FILE_RIGHTS (READ_RIGHTS | LANDLOCK_ACCESS_FS_WRITE_FILE | RIGHT_TRUNCATE)
/* To make a file in a directory, write it, rename it over another one, sync the directory. */
#define DIRECTORY_RIGHTS                                                                                               \
    (FILE_RIGHTS | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE)

struct gm_access {
    int ruleset;
    uint64_t handled;
    bool missing; /* a path that is no file: the tool is about to say so, and is left to */
    bool everything;
    int number; /* errno of what failed, or 0 */
};

static void allow(gm_access *a, const char *path, uint64_t rights) {
    if (a->missing || a->number) return;
    struct landlock_path_beneath_attr rule = {.allowed_access = rights & a->handled};
    rule.parent_fd = gm_open(path, O_PATH);
    if (rule.parent_fd < 0) {
        if (errno == ENOENT || errno == ENOTDIR || errno == EACCES || errno == ELOOP)
            a->missing = true;
        else
            a->number = errno;
        return;
    }
    /* EBADFD: a pipe or a file without a name, which Landlock leaves alone */
    if (syscall(SYS_landlock_add_rule, a->ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0 && errno != EBADFD)
        a->number = errno;
    close(rule.parent_fd);
}

/* A device or a pipe of that name is written to as it is. */
static bool is_special(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
}

static void allow_directory_of(gm_access *a, const char *path) {
    char copy[PATH_MAX];
    if (strlen(path) >= sizeof copy) {
        a->missing = true;
        return;
    }
    memcpy(copy, path, strlen(path) + 1);
    allow(a, dirname(copy), DIRECTORY_RIGHTS);
}

void gm_access_read(gm_access *a, const char *path) {
    struct stat status;
    if (!path || strcmp(path, "-") == 0) return;
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) a->missing = true;
    allow(a, path, READ_RIGHTS);
}

void gm_access_write(gm_access *a, const char *path) {
    if (!path || strcmp(path, "-") == 0) return;
    if (is_special(path)) {
        allow(a, path, FILE_RIGHTS);
        return;
    }
    allow_directory_of(a, path);
    char *real = realpath(path, NULL); /* a link's file is replaced where it is */
    if (real) allow_directory_of(a, real);
    free(real);
}

void gm_access_everything(gm_access *a) {
    a->everything = true;
}

void gm_access_arguments(const gm_call *call, gm_access *a) {
    for (int i = 0; i < call->argument_count; i++) gm_access_read(a, call->arguments[i]);
}

void gm_access_call(gm_access *a, const gm_call *call) {
    if (call->tool->access) call->tool->access(call, a);
}

/* A ruleset of all that this kernel can take away; -1 if it has no Landlock. */
static int make_ruleset(uint64_t *handled) {
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 1) return -1;
    ruleset_attr attr = {.files = RIGHT_REFER - 1};
    size_t size = sizeof attr.files;
    if (version >= 2) attr.files |= RIGHT_REFER;
    if (version >= 3) attr.files |= RIGHT_TRUNCATE;
    if (version >= 4) {
        attr.network = 3; /* bind and connect by TCP */
        size = 2 * sizeof attr.files;
    }
    if (version >= 5) attr.files |= RIGHT_DEVICE;
    if (version >= 6) {
        attr.scoped = 3; /* abstract sockets and signals */
        size = sizeof attr;
    }
    *handled = attr.files;
    return (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
}

int gm_confine(const gm_call *call, gm_error *e) {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return gm_fail_errno(e, "cannot give up privileges");
#if defined(__SANITIZE_ADDRESS__)
    (void)call;
    (void)make_ruleset;
    return 0; /* whose runtime reads files when it reports */
#else
    gm_access a = {0};
    a.ruleset = make_ruleset(&a.handled);
    if (a.ruleset < 0) return 0;
    /* by which models know that the machine did not go down; glibc counts processors */
    allow(&a, "/proc/sys/kernel/random/boot_id", READ_RIGHTS);
    allow(&a, "/sys/devices/system/cpu/online", READ_RIGHTS);
    a.missing = false; /* a root without /proc or /sys has none to read */
    gm_access_call(&a, call);
    if (!a.number && !a.missing && !a.everything && syscall(SYS_landlock_restrict_self, a.ruleset, 0) != 0)
        a.number = errno;
    close(a.ruleset);
    errno = a.number;
    return a.number ? gm_fail_errno(e, "cannot give up access to files") : 0;
#endif
}
