/* wire.h: the parts of lib/wire among themselves; not a public header.
 *
 *   descriptor <-> frame.c (zstd) <-> pack.c (msgpack) <-> stream.c (records)
 *                     |
 *                  lane.c (shared memory beside a pipe)
 */
#ifndef GM_WIRE_H
#define GM_WIRE_H

#include "gm/record.h"

#include <msgpack.h>
#include <string.h>

/* ---- source: the content of frames, pulled from a descriptor ---- */

typedef enum gm_framing { GM_FRAME_RAW, GM_FRAME_STORED, GM_FRAME_ZSTD, GM_FRAME_MEMORY, GM_FRAME_LANE } gm_framing;

typedef struct gm_source {
    /* Content that is decoded and waits to be read. */
    const unsigned char *at, *limit;
    uint64_t left; /* bytes of the frame's content that were not read yet; UINT64_MAX for raw msgpack */
    bool cut;      /* the last failure was the end of the input */
    bool foreign;  /* the last failure: what follows is neither frame nor map */
    gm_framing framing;
    /* Input from the descriptor; raw and stored content is read where it lies here. */
    int fd, watched; /* -1: no output is watched */
    unsigned char *input;
    size_t position, length;
    /* The frame that is being read. */
    bool has_checksum;
    bool last_block;
    bool frame_done;      /* libzstd said so */
    uint64_t unannounced; /* content behind the blocks of a stored frame seen so far */
    size_t block_left;
    struct gm_zstd *zstd;
    struct gm_lane_in *lane; /* NULL: there is none beside this descriptor */
} gm_source;

GM_MUST_USE int gm_source_open(gm_source *s, int fd, gm_error *e);
void gm_source_close(gm_source *s);
/* A source over n bytes of raw msgpack; needs no close. */
void gm_source_memory(gm_source *s, const void *bytes, size_t n);

/* Goes to the next frame or raw map: 1, or 0 at the end of the input; -1 if what follows cannot be one. gm_source_end
 * checks that the content was read whole and is what its checksum says. */
GM_MUST_USE int gm_source_begin(gm_source *s, gm_error *e);
GM_MUST_USE int gm_source_end(gm_source *s, gm_error *e);

/* n bytes of content, or -1. */
GM_MUST_USE int gm_source_read_slowly(gm_source *s, void *bytes, size_t n, gm_error *e);
GM_MUST_USE int gm_source_skip(gm_source *s, uint64_t n, gm_error *e);

/* The next n bytes of content where they lie, if that is for the caller to use until gm_source_begin: *bytes is NULL if
 * they have to be read. */
GM_MUST_USE int gm_source_borrow(gm_source *s, uint64_t n, void **bytes, gm_error *e);

GM_MUST_USE static inline int gm_source_read(gm_source *s, void *bytes, size_t n, gm_error *e) {
    if ((size_t)(s->limit - s->at) < n || s->left < n) return gm_source_read_slowly(s, bytes, n, e);
    memcpy(bytes, s->at, n);
    s->at += n;
    s->left -= n;
    return 0;
}

/* ---- sink: pieces of one record, written as one frame ---- */

typedef struct gm_piece {
    const void *data; /* NULL: `offset` in the packed bytes, which may move while they grow */
    size_t offset, length;
} gm_piece;

/* One record as msgpack: bytes made here, and tensors' data left in place. */
typedef struct gm_packed {
    msgpack_sbuffer small;
    gm_piece *pieces;
    size_t count, capacity, total;
} gm_packed;

static inline const unsigned char *gm_piece_bytes(const gm_packed *p, const gm_piece *piece) {
    return piece->data ? piece->data : (const unsigned char *)p->small.data + piece->offset;
}

void gm_packed_init(gm_packed *p);
void gm_packed_free(gm_packed *p);
GM_MUST_USE int gm_pack_record(gm_packed *p, const gm_record *r, gm_error *e);
GM_MUST_USE int gm_pack_end(gm_packed *p, uint64_t records, gm_error *e);

typedef struct gm_sink gm_sink;
GM_MUST_USE gm_sink *gm_sink_new(int fd, int level, gm_error *e);
void gm_sink_free(gm_sink *s);
/* 0, or -1 with a message; *broken is set if nobody reads any more. */
GM_MUST_USE int gm_sink_put(gm_sink *s, const gm_packed *p, bool *broken, gm_error *e);

/* ---- msgpack, pulled from a source ---- */

typedef enum gm_form {
    GM_FORM_NIL,
    GM_FORM_BOOL,
    GM_FORM_UNSIGNED,
    GM_FORM_NEGATIVE,
    GM_FORM_FLOAT,
    GM_FORM_STR,
    GM_FORM_BIN,
    GM_FORM_EXT,
    GM_FORM_ARRAY,
    GM_FORM_MAP
} gm_form;

typedef struct gm_head {
    gm_form form;
    uint64_t n; /* an unsigned number, a length in bytes (of ext: with its type byte) or a count */
    int64_t negative;
    double number;
    bool boolean;
} gm_head;

GM_MUST_USE int gm_pull_head(gm_source *s, gm_head *head, gm_error *e);
/* Reads past what `head` begins; at most `depth` levels of maps and arrays. */
GM_MUST_USE int gm_pull_skip(gm_source *s, const gm_head *head, unsigned depth, gm_error *e);

#define GM_INFO_BYTES_MAX ((size_t)1 << 20)
#define GM_INFO_VALUES_MAX ((size_t)1 << 17)

/* What a tree from outside may cost; both are counted down. */
typedef struct gm_budget {
    size_t bytes, values;
} gm_budget;
GM_MUST_USE gm_value *gm_pull_value(gm_source *s, const gm_head *head, unsigned depth, gm_budget *budget, gm_error *e);

/* ---- record.c, for tensors whose data is still to come ---- */

void gm_tensor_set_shape(gm_tensor *t, gm_type type, unsigned rank, const size_t *shape, size_t count);

/* Adds a tensor of `bytes` bytes whose memory (`capacity`) may be less; gm_record_extend_tensor enlarges it and keeps
 * the first `had` bytes. So no more memory is taken than about twice what has arrived. */
GM_MUST_USE gm_named_tensor *gm_record_begin_tensor(gm_record *r, const char *name, size_t bytes, gm_error *e);
GM_MUST_USE int gm_record_extend_tensor(gm_named_tensor *named, size_t had, gm_error *e);

/* Adds a tensor whose `bytes` bytes of data lie in memory that is not the record's, until it is cleared. */
GM_MUST_USE gm_named_tensor *gm_record_lend_tensor(gm_record *r, const char *name, void *data, size_t bytes,
                                                   gm_error *e);

#endif
