/* walk.h: what running a network forward and running it backward share. Private to lib/net. */
#ifndef GM_NET_WALK_H
#define GM_NET_WALK_H

#include "gm/grad.h"

#include "layer.h"

#include <stdatomic.h>

/* A slice of rows of a dense layer's weights; of a batchnorm layer all of it. */
typedef struct gm_slice {
    size_t layer, first, count;
    size_t block; /* of its first GM_SLICE rows (or of a batchnorm layer), counted through all layers */
} gm_slice;

/* Grown to what a call needs and kept for the next. */
typedef struct gm_room {
    void *bytes;
    size_t size;
} gm_room;

/* What a spectral layer's forward pass uses: W / s, and the vectors that s = a' W u comes from. */
typedef struct gm_spectrum {
    float *weights, *a, *u;
    float largest; /* s */
} gm_spectrum;

/* Weights that stay, packed once; for several walks. */
typedef struct gm_packs {
    const float *params; /* of gm_walk_hold, or NULL */
    atomic_size_t rows;  /* that were run forward with them, until they are packed */
    float **layers;      /* of a dense layer its weights */
    atomic_bool ready;
} gm_packs;

/* Of what a forward call is that was kept. */
typedef struct gm_kept {
    bool there;
    size_t rows; /* the network's */
    gm_mode mode;
} gm_kept;

/* Where matrices of a chunk lie, in floats for each row: a matrix at column c of a region of R rows begins at c * R. */
struct gm_walk {
    const gm_net *net;
    size_t *output_at;     /* of layer l: y */
    size_t *derivative_at; /* of layer l: d loss / d y, then d loss / d v */
    size_t stacked_width;  /* floats in a row of these: input, y, d */
    size_t *extra_at;      /* of layer l: v, the dropout mask or the noise, kept for the way back */
    size_t extra_width;
    size_t *moments_at; /* of batchnorm layer l: mean, inverse, sum_d, sum_dn of one operand */
    size_t moments_width;
    size_t widest;         /* units of the widest layer */
    size_t first_trained;  /* the first layer with parameters */
    size_t chunk_least;    /* rows of a chunk of few rows */
    size_t chunk_rows;     /* of a chunk of the backward call */
    size_t cuts;           /* pieces of a product of the call's chunks: 2 of a wide network's only one */
    size_t labels_at;      /* of a gaussian layer with labels: the class's column in the joined input */
    float **fixed;         /* of an rff layer: its weights, its phases behind them; else NULL */
    gm_spectrum *spectrum; /* of a spectral layer */
    gm_packs *packs;       /* own_packs, or another walk's */
    gm_packs own_packs;
    bool alone;       /* other threads have walks of their own, and take no work from this one */
    gm_slice *slices; /* the call's: block_count at most */
    size_t slice_count, block_count;
    gm_room stacked;      /* region of all stacked rows */
    gm_room scratch;      /* one region of chunk_rows rows for each thread */
    gm_room values;       /* double[stacked rows]: the loss of each row */
    gm_room block_values; /* double[block_count]: l1 and l2 of each */
    gm_room moments;      /* moments_width floats for each operand */
    bool expected;        /* a forward call keeps its outputs in `stacked`, its joined input before them */
    gm_kept kept;
};

static inline size_t gm_smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

static inline size_t gm_pieces(size_t n, size_t piece) {
    return n / piece + (n % piece != 0);
}

/* Rows of a chunk for a call on so many, which leaves `chunks` of them where it can. */
size_t gm_walk_chunk(const gm_walk *w, size_t rows, size_t chunks);

/* What so many chunks of a call on so many rows leave to its products: they are cut where there is only one chunk.
 * Those of a single row are for any number of threads: halves of a matrix-vector product have other bits. */
void gm_walk_cut(gm_walk *w, size_t rows, size_t chunks);

/* Cuts the weights into the call's slices. */
void gm_walk_slice(gm_walk *w);

/* Room for a * b items of `size` bytes. */
GM_MUST_USE int gm_walk_reserve(gm_room *room, size_t a, size_t b, size_t size, gm_error *e);

/* Chunks 0 .. chunks - 1, shared out to the threads; each thread has scratch_floats of its own. */
GM_MUST_USE int gm_walk_crew(gm_walk *w, size_t chunks, size_t scratch_floats,
                             void (*work)(const void *context, size_t chunk, float *scratch), const void *context,
                             gm_error *e);

/* Whether a forward call keeps what it computed, and doing so: the call has rows, one input, mode and output. */
bool gm_walk_keeps(const gm_walk *w, size_t rows, const gm_mode *mode);
GM_MUST_USE int gm_walk_keep(gm_walk *w, const float *params, const gm_backward *call, gm_error *e);

/* Packs the weights of these parameters if they are held, and were used for so many rows that it pays. */
GM_MUST_USE int gm_walk_pack(gm_walk *w, const float *params, size_t rows, gm_error *e);
/* What was packed of dense layer l, or NULL. */
const float *gm_walk_packed(const gm_walk *w, size_t l, const float *params);
void gm_walk_unpack(gm_walk *w);

/* The numbers of an input that need no joining, or NULL; x[count, inputs] = its rows from `first` on, parts side by
 * side. Behind gm_walk_forward and gm_walk_backward a row is the network's: it may be a pack of rows of data. */
const float *gm_input_whole(const gm_input *input);
void gm_input_join(const gm_input *input, const gm_net *net, size_t first, size_t count, float *x);
/* Whether x is what gm_input_join would make of all `count` rows. */
bool gm_input_joined(const gm_input *input, const gm_net *net, size_t count, const float *x);

/* The number of a row of an operand of `rows` rows in random numbers: where it stands among the stacked rows of the
 * whole batch. */
static inline uint64_t gm_random_row(const gm_mode *mode, size_t rows, size_t operand, size_t row) {
    return (uint64_t)operand * (mode->whole ? mode->whole : rows) + mode->first + row;
}

/* The same mode where a row is a pack. */
static inline gm_mode gm_mode_of_packs(gm_mode mode, size_t pack) {
    mode.first /= pack;
    mode.whole /= pack;
    return mode;
}

/* A dropout layer that does nothing hands on its input's place as its output's. */
bool gm_layer_idle(const gm_layer *layer, const gm_mode *mode);
/* True for layers that keep something for the way back whatever the loss is: a mask, noise. */
bool gm_layer_keeps(const gm_layer *layer);
/* True where batchnorm takes the moments of the batch. */
bool gm_walk_staged(const gm_walk *w, const gm_mode *mode);

/* What W of dense layer l is for this block of parameters: W / s of a spectral layer. gm_walk_spectra makes these for a
 * call. */
void gm_walk_spectra(gm_walk *w, const float *params);
const float *gm_walk_weights(const gm_walk *w, size_t l, const float *params);

/* The place of a batchnorm layer's moments and sums for an operand. */
typedef struct gm_batch {
    gm_moments moments;
    float *sum_d, *sum_dn;
} gm_batch;
gm_batch gm_walk_batch(const gm_walk *w, size_t l, size_t operand);
/* Running moments, as those of operand 0. */
GM_MUST_USE int gm_walk_running(gm_walk *w, const float *params, gm_error *e);

/* Layer l on a chunk. */
typedef struct gm_link {
    size_t l, operand, rows;
    uint64_t random_row; /* of the chunk's first row, in random numbers */
    const float *joined; /* the chunk's input of the network */
    const float *x;
    float *extra, *y; /* extra: NULL where nothing is kept */
} gm_link;
void gm_walk_link(const gm_walk *w, const float *params, const gm_mode *mode, const gm_link *link);

#endif
