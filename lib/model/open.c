/* open.c: mapping a model file, after everything in it that is used has been checked. */
#include "layout.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

/* The first 64 bytes: a model that this version can read, whole by its own account. */
static int read_header(int fd, uint64_t size, gm_header *h, gm_error *e) {
    *h = (gm_header){0};
    long n = gm_read_all(fd, h, sizeof *h);
    if (n < 0) return gm_fail_errno(e, "cannot read");
    if (n == 0) return gm_fail(e, "is empty, not a gm model");
    if (memcmp(h->magic, GM_MODEL_MAGIC, sizeof h->magic) != 0) {
        if (!gm_stream_magic((const unsigned char *)h, (size_t)n)) return gm_fail(e, "not a gm model");
        return gm_fail(e, "is a stream, not a model; gm-init --from makes a model of it");
    }
    if ((size_t)n == sizeof *h && h->format != GM_FORMAT) {
        return gm_fail(e, "has model format %" PRIu32 ", these tools know format %d", h->format, GM_FORMAT);
    }
    if ((size_t)n < sizeof *h || size < h->file_bytes) return gm_fail(e, "is cut off after %" PRIu64 " bytes", size);
    if (h->header_bytes % GM_PAGE != 0 || h->header_bytes < GM_PAGE || h->header_bytes > size ||
        h->map_bytes > GM_SPEC_MAX || h->map_bytes > h->header_bytes - sizeof *h) {
        return gm_fail(e, "is damaged: the sizes in its header cannot be");
    }
    return 0;
}

static int read_spec(gm_model *m, const gm_header *h, gm_error *e) {
    size_t n = (size_t)h->map_bytes;
    unsigned char *bytes = gm_new(n, 1, e);
    if (!bytes) return -1;
    long got = gm_read_all(m->fd, bytes, n);
    gm_value *map = NULL;
    int failed = -1;
    if (got < 0) {
        gm_fail_errno(e, "cannot read");
    } else if ((size_t)got < n || XXH64(bytes, n, 0) != h->map_hash) {
        gm_fail(e, "is damaged: the checksum of its specification does not match");
    } else {
        map = gm_value_unpack(bytes, n, e);
        failed = map ? gm_model_spec_parse(map, &m->spec, e) : -1;
    }
    gm_value_free(map);
    free(bytes);
    return failed;
}

/* The sizes that the specification gives must be those of the header and of the file. */
static int check_sizes(gm_model *m, const gm_header *h, uint64_t size, gm_error *e) {
    gm_layout *l = &m->layout;
    if (!gm_layout_of(&m->spec, (size_t)h->map_bytes, l) || h->header_bytes != l->header_bytes ||
        h->floats != l->floats || h->slot_bytes != l->slot_bytes || h->file_bytes != l->file_bytes ||
        size != l->file_bytes) {
        return gm_fail(e, "is damaged: its sizes are not those of its network");
    }
    return 0;
}

static int map_file(gm_model *m, gm_error *e) {
    void *map = mmap(NULL, m->layout.file_bytes, PROT_READ, MAP_SHARED, m->fd, 0);
    if (map == MAP_FAILED) return gm_fail_errno(e, "cannot map");
    m->map = map;
    m->control = (gm_control *)(m->map + m->layout.header_bytes);
    m->slots[0] = (gm_slot *)(m->map + m->layout.header_bytes + GM_PAGE);
    m->slots[1] = (gm_slot *)((unsigned char *)m->slots[0] + m->layout.slot_bytes);
    return 0;
}

/* The filling that was begun last is the current one or the one after it. A writer at work may move both on between two
 * looks, but not the one without the other: readers would find themselves overtaken for ever. */
static bool fillings_fit(const gm_model *m) {
    for (;;) {
        gm_view view = gm_model_view(m);
        if (gm_model_view_holds(m, &view)) return true;
        if (gm_model_view(m).word == view.word) return false;
    }
}

static int fail_control(gm_error *e) {
    return gm_fail(e, "is damaged: its control page cannot be");
}

static int check_control(const gm_model *m, gm_error *e) {
    bool good = gm_model_view(m).step <= GM_STEP_MAX && m->control->boot[sizeof m->control->boot - 1] == '\0' &&
                m->control->blas[sizeof m->control->blas - 1] == '\0';
    return good ? 0 : fail_control(e);
}

/* The control page names a slot that can be the current one. */
static bool slots_fit(const gm_model *m) {
    gm_view view = gm_model_view(m);
    bool slot = view.params == gm_slot_blocks(m->slots[1]);
    return view.word <= INT64_MAX && view.updates <= INT64_MAX && view.pending <= INT64_MAX &&
           (view.word & 1) == slot && fillings_fit(m);
}

static bool same_boot(const gm_model *m) {
    char boot[40];
    gm_boot_id(boot);
    return strncmp(boot, m->control->boot, sizeof boot) == 0;
}

/* The current slot is the one that was settled, bit for bit. */
static bool is_sealed(const gm_model *m, uint64_t word) {
    const gm_slot *slot = m->slots[word & 1];
    return atomic_load(&slot->sealed) == word && gm_slot_checksum(slot, m->layout.floats) == slot->checksum;
}

/* A file that this boot of the machine trained is whole, whatever was killed: stores live on in the page cache. One
 * from another boot is only if the current slot is the one that was settled, bit for bit. The clean flag proves nothing
 * here: the page that holds it may have reached the disk before the slots that changed after it, or not at all. */
static int check_crash(const gm_model *m, gm_error *e) {
    if (same_boot(m)) return slots_fit(m) ? 0 : fail_control(e);
    uint64_t word = atomic_load(&m->control->word);
    if (is_sealed(m, word) && slots_fit(m)) return 0;
    /* A writer that began while the checksum was taken wrote this boot's id first. */
    if (same_boot(m)) return 0;
    return gm_fail(e,
                   "was being trained when the machine went down and may be torn; restore it: "
                   "gm-init --force -o %s --from CHECKPOINT",
                   m->path);
}

/* What a settled file holds has its checksums: where not, a disk, a copy or somebody changed it. */
static int check_settled(const gm_model *m, gm_error *e) {
    uint64_t word = atomic_load(&m->control->word);
    if (atomic_load(&m->control->clean) != 1) return 0;
    if (is_sealed(m, word) && gm_calibrations_sound(m->control)) return 0;
    /* A writer that began meanwhile said so before it changed anything. */
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load(&m->control->clean) != 1 || atomic_load(&m->control->word) != word) return 0;
    return gm_fail(e, "is damaged: its content does not have its checksum");
}

static int open_all(gm_model *m, gm_error *e) {
    struct stat st;
    gm_header h;
    /* O_NONBLOCK so that a pipe of that name is refused, not waited for. */
    m->fd = gm_open(m->path, O_RDONLY | O_NONBLOCK);
    if (m->fd < 0) return gm_fail_errno(e, "cannot open");
    if (fstat(m->fd, &st) != 0) return gm_fail_errno(e, "cannot read");
    if (!S_ISREG(st.st_mode)) return gm_fail(e, "not a gm model: it is no regular file");
    m->device = st.st_dev;
    m->inode = st.st_ino;
    uint64_t size = (uint64_t)st.st_size;
    if (read_header(m->fd, size, &h, e) != 0 || read_spec(m, &h, e) != 0 || check_sizes(m, &h, size, e) != 0 ||
        map_file(m, e) != 0 || check_control(m, e) != 0) {
        return -1;
    }
    m->opened_at = gm_model_step(m);
    return check_crash(m, e) == 0 ? check_settled(m, e) : -1;
}

gm_model *gm_model_open(const char *path, gm_error *e) {
    gm_model *m = calloc(1, sizeof *m);
    if (!m) {
        gm_fail(e, "%s: out of memory", path);
        return NULL;
    }
    m->fd = -1;
    m->path = gm_copy_text(path, strlen(path), e);
    if (m->path && open_all(m, e) == 0) return m;
    gm_fail_within(e, "%s: ", path);
    gm_model_close(m);
    return NULL;
}

void gm_model_close(gm_model *m) {
    if (!m) return;
    if (m->map) munmap(m->map, m->layout.file_bytes);
    if (m->fd >= 0) close(m->fd); /* and its locks go */
    gm_model_spec_free(&m->spec);
    free(m->path);
    free(m);
}

const gm_model_spec *gm_model_spec_of(const gm_model *m) {
    return &m->spec;
}

size_t gm_model_bytes(const gm_model *m) {
    return m->layout.file_bytes;
}

const char *gm_model_path(const gm_model *m) {
    return m->path;
}

bool gm_model_same(const gm_model *a, const gm_model *b) {
    return a->device == b->device && a->inode == b->inode;
}
