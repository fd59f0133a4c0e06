/* layout.h: the bytes of a model file, as gm-model(5) describes them, and what the files of this module share.
 *
 *   header    gm_header, then the specification as a msgpack map; as many pages as the map needs
 *   control   one page that begins with gm_control
 *   slot 0    gm_slot, then the blocks; a whole number of pages
 *   slot 1    as slot 0
 *
 * Filling number n of the file goes to slot n & 1; what gm_model_create wrote is filling 0. A slot is named by its
 * filling, not by the step, because a step that is skipped fills nothing.
 */
#ifndef GM_MODEL_LAYOUT_H
#define GM_MODEL_LAYOUT_H

#include "gm/model.h"
#include "gm/stream.h"

#include <assert.h>
#include <stdatomic.h>
#include <sys/types.h>

#define GM_FORMAT 1
#define GM_PAGE ((size_t)4096)
#define GM_SPEC_MAX ((size_t)64 << 20) /* bytes of the specification's map that are accepted */
#define GM_UNSEALED UINT64_MAX         /* a slot's `sealed` while its checksum says nothing */

/* Bytes of the file that OFD locks are taken on. */
enum { GM_LOCK_WRITER = 0, GM_LOCK_SLOT = 1 /* and 2, for slot 1 */ };

typedef struct gm_header {
    char magic[8];
    uint32_t format, zero;
    uint64_t header_bytes, map_bytes, map_hash, floats, slot_bytes, file_bytes;
} gm_header;

/* One of two places for a calibration. A writer fills the one that is not good or has the lower serial, so the other
 * one stays good whenever it is killed; a reader takes the good one with the higher serial. */
typedef struct gm_kept_calibration {
    uint64_t checksum; /* XXH64 of what follows; 0 bytes throughout are no calibration */
    uint64_t serial, step, rows;
    double slope, offset;
    uint32_t kind, zero;
} gm_kept_calibration;

typedef struct gm_control {
    _Atomic uint64_t word;  /* step << 1 | current slot */
    _Atomic uint64_t begun; /* the filling that was begun last: the published one or the one after it */
    _Atomic uint32_t wake;  /* changes with each publication; waiting readers sleep on it */
    _Atomic uint32_t clean; /* 1: nothing changed since the file was settled */
    _Atomic uint32_t pid;   /* who took the writer's lock last */
    uint32_t zero;
    char boot[40]; /* boot id of the machine at that time */
    char blas[GM_BLAS_NOTE];
    gm_kept_calibration calibrations[2];
} gm_control;

typedef struct gm_slot {
    uint64_t checksum;       /* XXH64 of the slot behind this number */
    _Atomic uint64_t sealed; /* the word at which the checksum was taken, or GM_UNSEALED */
    _Atomic uint64_t filling;
    _Atomic uint64_t since; /* the step at which it was published; steps skipped after that leave it current */
    _Atomic uint64_t updates, pending;
    uint64_t zero[2];
} gm_slot;

static_assert(sizeof(gm_header) == 64 && sizeof(gm_slot) == GM_ALIGN, "the layout is fixed by gm-model(5)");
static_assert(sizeof(gm_control) == 248, "the layout is fixed by gm-model(5), and one sector holds it");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2, "atomics shared by processes take no locks");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "model files are little-endian and used in place");

/* The sizes of a file. */
typedef struct gm_layout {
    size_t header_bytes, floats, slot_bytes, file_bytes;
} gm_layout;

/* False if the sizes overflow. */
GM_MUST_USE bool gm_layout_of(const gm_model_spec *spec, size_t map_bytes, gm_layout *layout);

struct gm_model {
    char *path;
    int fd;
    dev_t device;
    ino_t inode;
    unsigned char *map; /* layout.file_bytes; writable once the writer's lock is held */
    gm_layout layout;
    gm_model_spec spec;
    gm_control *control;
    gm_slot *slots[2];
    uint64_t opened_at; /* step */
    bool had_writer;    /* one was seen since then */
    bool writer, filling, sync_failed;
    bool hurried[2]; /* a reader kept this slot too long: do not wait for it again until it let go */
};

static inline float *gm_slot_blocks(gm_slot *slot) {
    return (float *)(slot + 1);
}

/* XXH64 of all of a slot behind its checksum. */
uint64_t gm_slot_checksum(const gm_slot *slot, size_t floats);

/* Fills the place that c is to go to; `control` may be in a mapped file. */
void gm_calibration_keep(gm_control *control, const gm_calibration *c);

/* Each place of a calibration holds one, or none. A process that was killed while it filled one leaves it otherwise,
 * and gm_calibrations_settle empties that. */
bool gm_calibrations_sound(const gm_control *control);
void gm_calibrations_settle(gm_control *control);

/* The machine's boot id; "" where /proc is not there. */
void gm_boot_id(char boot[40]);

/* Locks of an open file description (hazard: plain fcntl locks go with any close of the file). gm_ofd_set never waits:
 * 0, or -1 with errno EAGAIN if another description holds it. gm_ofd_held asks without taking. */
GM_MUST_USE int gm_ofd_set(int fd, short type, int byte);
void gm_ofd_drop(int fd, int byte);
GM_MUST_USE bool gm_ofd_held(int fd, int byte);

#endif
