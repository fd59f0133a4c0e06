#include "gm/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".tmp"

/* 1 if the file is still the one of that name, 0 if not, -1 if nothing can be known. */
static int is_named(int fd, const char *path, gm_error *e) {
    struct stat ours, named;
    if (fstat(fd, &ours) != 0) return gm_fail_errno(e, "%s: cannot create", path);
    if (lstat(path, &named) != 0) return errno == ENOENT ? 0 : gm_fail_errno(e, "%s: cannot create", path);
    return ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

/* Removes the temporary file of a writer that was killed; one of a writer that lives is not ours: whoever holds the
 * lock, and finds the file still under its name, has it. 0 if the name is free, or may be by now. */
static int remove_stale(const char *path, gm_error *e) {
    int fd = gm_open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK), named = 0;
    if (fd < 0) return errno == ENOENT ? 0 : gm_fail_errno(e, "%s: cannot create", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        named = gm_fail(e, "%s: another process is writing this file", path);
    else
        named = is_named(fd, path, e);
    if (named == 1 && unlink(path) != 0 && errno != ENOENT)
        named = gm_fail_errno(e, "%s: cannot remove what a killed process left there", path);
    close(fd);
    return named < 0 ? -1 : 0;
}

/* Always a new file: what lies there may be linked to another one, be somebody else's, or open to others. */
static int take_temporary(const char *path, gm_error *e) {
    for (;;) {
        int fd = gm_open(path, O_RDWR | O_CREAT | O_EXCL);
        if (fd < 0 && errno != EEXIST) return gm_fail_errno(e, "%s: cannot create", path);
        if (fd < 0) {
            if (remove_stale(path, e) != 0) return -1;
            continue;
        }
        /* a file system without locks gives none to anybody */
        bool taken = flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
        int named = taken ? 0 : is_named(fd, path, e);
        if (named == 1) return fd;
        close(fd);
        if (named < 0) return -1;
    }
}

static char *join(const char *a, const char *b, gm_error *e) {
    size_t n = strlen(a), m = strlen(b);
    char *joined = malloc(n + m + 1);
    if (!joined) {
        gm_fail(e, "out of memory");
        return NULL;
    }
    memcpy(joined, a, n);
    memcpy(joined + n, b, m + 1);
    return joined;
}

/* A pipe, a device: written to as it is. */
static int open_special(gm_output *o, gm_error *e) {
    o->fd = gm_open(o->path, O_WRONLY);
    return o->fd >= 0 ? 0 : gm_fail_errno(e, "%s: cannot open", o->path);
}

/* A model file is only replaced by gm-init --force. */
static bool is_model(const char *path) {
    char bytes[sizeof GM_MODEL_MAGIC];
    int fd = gm_open(path, O_RDONLY);
    if (fd < 0) return false;
    long n = gm_read_all(fd, bytes, strlen(GM_MODEL_MAGIC));
    close(fd);
    return n == (long)strlen(GM_MODEL_MAGIC) && memcmp(bytes, GM_MODEL_MAGIC, (size_t)n) == 0;
}

int gm_output_open(gm_output *o, const char *path, gm_error *e) {
    struct stat status;
    *o = (gm_output){.fd = -1};
    bool there = stat(path, &status) == 0;
    if (there && S_ISDIR(status.st_mode)) return gm_fail(e, "%s: is a directory", path);
    if (there && S_ISREG(status.st_mode) && is_model(path))
        return gm_fail(e, "%s: is a model: give another name", path);
    /* Through a symbolic link to the file itself: a rename would replace the link. */
    o->path = there && S_ISREG(status.st_mode) ? realpath(path, NULL) : gm_copy_text(path, strlen(path), e);
    if (!o->path) return gm_fail(e, "%s: out of memory, or the path cannot be followed", path);
    int opened;
    if (there && !S_ISREG(status.st_mode)) {
        opened = open_special(o, e);
    } else {
        o->temporary = join(o->path, SUFFIX, e);
        opened = o->temporary ? o->fd = take_temporary(o->temporary, e) : -1;
    }
    if (opened >= 0) return 0;
    free(o->temporary); /* not ours: it stays */
    o->temporary = NULL;
    gm_output_abandon(o);
    return -1;
}

static void forget(gm_output *o) {
    free(o->path);
    free(o->temporary);
    *o = (gm_output){.fd = -1};
}

int gm_output_commit(gm_output *o, gm_error *e) {
    int status = 0;
    /* A second fsync may succeed although the first lost data: one failure is final. EINVAL: a pipe has nothing to
     * sync. */
    if (fsync(o->fd) != 0 && errno != EINVAL && errno != EROFS) status = gm_fail_errno(e, "%s: cannot sync", o->path);
    /* The rename comes before the close: until then the lock keeps others off the temporary name. */
    if (status == 0 && o->temporary && rename(o->temporary, o->path) != 0)
        status = gm_fail_errno(e, "%s: cannot rename to %s", o->temporary, o->path);
    if (status != 0) {
        gm_output_abandon(o);
        return -1;
    }
    if (close(o->fd) != 0 && errno != EINTR) status = gm_fail_errno(e, "%s: cannot close", o->path);
    if (status == 0 && o->temporary) status = gm_sync_directory_of(o->path, e);
    forget(o);
    return status;
}

void gm_output_abandon(gm_output *o) {
    if (o->temporary) unlink(o->temporary);
    if (o->path && o->fd >= 0) close(o->fd);
    forget(o);
}
