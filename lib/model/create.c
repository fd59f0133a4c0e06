/* create.c: a new model file, whole on the disk before it gets its name. */
#include "layout.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

/* A file in the making. */
typedef struct draft {
    const char *path;
    char *temporary;
    int fd;       /* of the temporary file */
    int replaced; /* of the file that is to be replaced, its writer's lock held; or -1 */
} draft;

static const char *size_text(size_t bytes, char out[32]) {
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    double size = (double)bytes / 1e3;
    size_t unit = 0;
    while (size >= 1e3 && unit + 1 < sizeof units / sizeof *units) {
        size /= 1e3;
        unit++;
    }
    snprintf(out, 32, "%.1f %s", size, units[unit]);
    return out;
}

/* The pid that a model file notes of its last writer, 0 if it cannot be read. */
static uint32_t noted_pid(int fd) {
    gm_header h;
    gm_control c;
    if (pread(fd, &h, sizeof h, 0) != (ssize_t)sizeof h || memcmp(h.magic, GM_MODEL_MAGIC, sizeof h.magic) != 0)
        return 0;
    if (h.header_bytes > GM_SPEC_MAX + GM_PAGE) return 0;
    return pread(fd, &c, sizeof c, (off_t)h.header_bytes) == (ssize_t)sizeof c ? atomic_load(&c.pid) : 0;
}

/* A file that exists: an error without force; with it, its writer's lock is taken, so that no gm-step can begin before
 * it is replaced. */
static int guard_existing(draft *d, bool force, gm_error *e) {
    struct stat st;
    if (lstat(d->path, &st) != 0) return errno == ENOENT ? 0 : gm_fail_errno(e, "%s", d->path);
    if (!force) return gm_fail(e, "%s: exists; --force replaces it", d->path);
    if (stat(d->path, &st) != 0) return errno == ENOENT ? 0 : gm_fail_errno(e, "%s", d->path); /* a link to nothing */
    if (!S_ISREG(st.st_mode)) return gm_fail(e, "%s: is no regular file and cannot be replaced", d->path);
    d->replaced = gm_open(d->path, O_RDWR | O_NONBLOCK);
    if (d->replaced < 0) return gm_fail_errno(e, "%s: cannot replace", d->path);
    if (gm_ofd_set(d->replaced, F_WRLCK, GM_LOCK_WRITER) == 0) return 0;
    if (errno != EAGAIN) return gm_fail_errno(e, "%s: cannot lock", d->path);
    return gm_fail(e, "%s: is being trained (pid %" PRIu32 ")", d->path, noted_pid(d->replaced));
}

/* A new file beside the final one: renaming does not cross file systems. */
static int open_temporary(draft *d, gm_error *e) {
    size_t room = strlen(d->path) + 32;
    d->temporary = gm_new(room, 1, e);
    if (!d->temporary) return -1;
    for (unsigned i = 0; i < 100; i++) {
        snprintf(d->temporary, room, "%s.%ld-%u.tmp", d->path, (long)getpid(), i);
        d->fd = gm_open(d->temporary, O_RDWR | O_CREAT | O_EXCL);
        if (d->fd >= 0) return 0;
        if (errno != EEXIST) break;
    }
    return gm_fail_errno(e, "%s: cannot create", d->path);
}

static int allocate(const draft *d, size_t bytes, gm_error *e) {
    int failed;
    do failed = posix_fallocate(d->fd, 0, (off_t)bytes);
    while (failed == EINTR);
    if (!failed) return 0;
    char size[32];
    return gm_fail(e, "%s: cannot allocate %s: %s", d->path, size_text(bytes, size), gm_errno_text(failed));
}

static int write_at(const draft *d, size_t offset, const void *bytes, size_t n, gm_error *e) {
    if (lseek(d->fd, (off_t)offset, SEEK_SET) >= 0 && gm_write_all(d->fd, bytes, n) == 0) return 0;
    return gm_fail_errno(e, "%s: cannot write", d->path);
}

static int write_header(const draft *d, const gm_layout *l, const unsigned char *map, size_t n, gm_error *e) {
    gm_header h = {
        .format = GM_FORMAT,
        .header_bytes = l->header_bytes,
        .map_bytes = n,
        .map_hash = XXH64(map, n, 0),
        .floats = l->floats,
        .slot_bytes = l->slot_bytes,
        .file_bytes = l->file_bytes,
    };
    memcpy(h.magic, GM_MODEL_MAGIC, sizeof h.magic);
    if (write_at(d, 0, &h, sizeof h, e) != 0) return -1;
    return write_at(d, sizeof h, map, n, e);
}

static int write_control(const draft *d, const gm_layout *l, const gm_state *state, gm_error *e) {
    gm_control control = {.word = state->step << 1, .clean = 1};
    const gm_calibration *c = &state->calibration;
    if (c->kind != GM_UNCALIBRATED && c->step == state->step) gm_calibration_keep(&control, c);
    gm_boot_id(control.boot);
    memcpy(control.blas, state->blas, sizeof control.blas);
    return write_at(d, l->header_bytes, &control, sizeof control, e);
}

/* Slot 0. The checksum runs over header and blocks, so both are put together first. */
static int write_slot(const draft *d, const gm_layout *l, const gm_state *state, uint64_t word, gm_error *e) {
    size_t bytes = l->floats * sizeof(float);
    gm_slot *slot = gm_new(1, sizeof *slot + bytes, e);
    if (!slot) return -1;
    *slot = (gm_slot){.sealed = word, .since = state->step, .updates = state->updates, .pending = state->pending};
    memcpy(gm_slot_blocks(slot), state->blocks, bytes);
    slot->checksum = gm_slot_checksum(slot, l->floats);
    int failed = write_at(d, l->header_bytes + GM_PAGE, slot, sizeof *slot + bytes, e);
    free(slot);
    return failed;
}

static int write_all(const draft *d, const gm_model_spec *spec, const gm_state *state, gm_error *e) {
    unsigned char *map = NULL;
    size_t n = 0;
    gm_layout l;
    gm_value *value = gm_model_spec_value(spec, true, e);
    int failed = value ? gm_value_pack(value, &map, &n, e) : -1;
    gm_value_free(value);
    if (!failed && !gm_layout_of(spec, n, &l)) failed = gm_fail(e, "%s: the model would be too large", d->path);
    if (!failed) failed = allocate(d, l.file_bytes, e);
    if (!failed) failed = write_header(d, &l, map, n, e);
    if (!failed) failed = write_control(d, &l, state, e);
    if (!failed) failed = write_slot(d, &l, state, state->step << 1, e);
    free(map);
    if (!failed && fsync(d->fd) != 0) failed = gm_fail_errno(e, "%s: cannot sync", d->path);
    return failed;
}

/* Gives the file its name, which must be free unless `force`. */
static int name_file(const draft *d, bool force, gm_error *e) {
    int failed = renameat2(AT_FDCWD, d->temporary, AT_FDCWD, d->path, force ? 0 : RENAME_NOREPLACE);
    if (failed && !force && (errno == EINVAL || errno == ENOSYS)) {
        /* A file system without RENAME_NOREPLACE. A link never replaces either. */
        failed = link(d->temporary, d->path);
        if (!failed) unlink(d->temporary);
    }
    if (!failed) return 0;
    if (errno == EEXIST) return gm_fail(e, "%s: exists; --force replaces it", d->path);
    return gm_fail_errno(e, "%s: cannot create", d->path);
}

int gm_model_create(const char *path, const gm_model_spec *spec, const gm_state *state, bool force, gm_error *e) {
    if (state->step > GM_STEP_MAX) return gm_fail(e, "%s: step %" PRIu64 " is over the largest", path, state->step);
    draft d = {.path = path, .fd = -1, .replaced = -1};
    int failed = guard_existing(&d, force, e);
    if (!failed) failed = open_temporary(&d, e);
    if (!failed) {
        failed = write_all(&d, spec, state, e);
        if (!failed) failed = name_file(&d, force, e);
        if (failed)
            unlink(d.temporary);
        else
            failed = gm_sync_directory_of(path, e);
    }
    if (d.fd >= 0) close(d.fd);
    if (d.replaced >= 0) close(d.replaced);
    free(d.temporary);
    return failed;
}
