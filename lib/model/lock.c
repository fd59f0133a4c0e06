/* lock.c: the writer's lock, what the writer notes in the file, and the file on the disk. */
#include "layout.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int same_file(const gm_model *m, const struct stat *st, gm_error *e) {
    if (st->st_dev == m->device && st->st_ino == m->inode) return 0;
    return gm_fail(e, "%s: was replaced after it was opened; run the command again", m->path);
}

static int take_lock(const gm_model *m, int fd, gm_error *e) {
    struct stat st;
    if (fstat(fd, &st) != 0) return gm_fail_errno(e, "%s", m->path);
    if (same_file(m, &st, e) != 0) return -1;
    if (gm_ofd_set(fd, F_WRLCK, GM_LOCK_WRITER) != 0) {
        if (errno != EAGAIN) return gm_fail_errno(e, "%s: cannot lock", m->path);
        uint32_t pid = atomic_load(&m->control->pid);
        return gm_fail(e, "%s: held by another process (pid %" PRIu32 ")", m->path, pid);
    }
    /* Somebody may have moved another file to the path before the lock was had. */
    if (stat(m->path, &st) != 0) return gm_fail_errno(e, "%s", m->path);
    return same_file(m, &st, e);
}

/* Fills holes that a copying program may have left in the file: a full disk must be told now, not by SIGBUS in a
 * training step. */
static int fill_holes(const gm_model *m, int fd, gm_error *e) {
    if (fallocate(fd, 0, 0, (off_t)m->layout.file_bytes) == 0 || errno == EOPNOTSUPP || errno == ENOSYS) return 0;
    return gm_fail_errno(e, "%s: cannot allocate its space", m->path);
}

static int map_to_write(gm_model *m, int fd, gm_error *e) {
    /* In the same place, so that views stay good. */
    void *map = mmap(m->map, m->layout.file_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    return map == MAP_FAILED ? gm_fail_errno(e, "%s: cannot map", m->path) : 0;
}

int gm_model_lock(gm_model *m, gm_error *e) {
    if (m->writer) return 0;
    int fd = gm_open(m->path, O_RDWR | O_NONBLOCK);
    if (fd < 0) return gm_fail_errno(e, "%s: cannot open to write", m->path);
    if (take_lock(m, fd, e) != 0 || fill_holes(m, fd, e) != 0 || map_to_write(m, fd, e) != 0) {
        close(fd);
        return -1;
    }
    close(m->fd);
    m->fd = fd;
    m->writer = true;
    /* Before the first change: a reader that finds this boot's id does not ask for a checksum. */
    char boot[40];
    gm_boot_id(boot);
    memcpy(m->control->boot, boot, sizeof boot);
    atomic_store(&m->control->pid, (uint32_t)getpid());
    return 0;
}

uint32_t gm_model_writer_pid(const gm_model *m) {
    return m->writer || gm_ofd_held(m->fd, GM_LOCK_WRITER) ? atomic_load(&m->control->pid) : 0;
}

bool gm_model_drifts(const gm_model *m, const char *blas) {
    const char *noted = m->control->blas;
    return noted[0] != '\0' && strncmp(blas, noted, sizeof m->control->blas - 1) != 0;
}

void gm_model_note_blas(gm_model *m, const char *blas) {
    char text[sizeof m->control->blas] = "";
    memcpy(text, blas, strnlen(blas, sizeof text - 1));
    if (!m->writer || strcmp(text, m->control->blas) == 0) return;
    atomic_store(&m->control->clean, 0);
    memcpy(m->control->blas, text, sizeof text);
}

const char *gm_model_blas(const gm_model *m) {
    return m->control->blas;
}

static int sync_file(gm_model *m, gm_error *e) {
    /* The pages of the mapping are the file's pages: no msync is needed before. A second sync after a failed one may
     * say that all is well when it is not, so the first failure stands. */
    if (!m->sync_failed && fdatasync(m->fd) == 0) return 0;
    if (m->sync_failed) return gm_fail(e, "%s: an earlier sync failed; what is on the disk is not known", m->path);
    m->sync_failed = true;
    return gm_fail_errno(e, "%s: cannot sync; what is on the disk is not known", m->path);
}

int gm_model_settle(gm_model *m, gm_error *e) {
    struct stat st;
    if (!m->writer) return gm_fail(e, "%s: only its writer can settle it", m->path);
    if (stat(m->path, &st) != 0 || st.st_dev != m->device || st.st_ino != m->inode)
        return gm_fail(e, "%s: was removed or replaced while it was trained: what it learned is lost", m->path);
    if (atomic_load(&m->control->clean) == 1 && !m->sync_failed) return 0;
    uint64_t word = atomic_load(&m->control->word);
    gm_slot *slot = m->slots[word & 1];
    atomic_store(&slot->sealed, word);
    slot->checksum = gm_slot_checksum(slot, m->layout.floats);
    gm_calibrations_settle(m->control);
    if (sync_file(m, e) != 0) return -1;
    atomic_store(&m->control->clean, 1);
    return sync_file(m, e);
}
