/* grad.h: running a network forward and backward over a batch.
 *
 * A gm_walk owns the buffers for one network. Work is cut into chunks of rows that go through all layers without a
 * barrier, and weight gradients into slices of rows of W, so bits do not depend on the number of threads.
 */
#ifndef GM_GRAD_H
#define GM_GRAD_H

#include "gm/loss.h"

/* Rows of a chunk. Products pack the weights anew for each, so chunks are large for a network with an rff layer, whose
 * weights are many, and else as large as leaves two of them to a network that only runs forward, and four to one that
 * learns. A network is wide if a layer has so many weights: its chunks are larger, and if there is only one the
 * products of its layers are cut in two. One thread alone has nothing to share: its chunks are large, and its products
 * whole but for that of a single row, where that changes no bit (gm_matmul_cuts_freely). Chunks are longer by GM_CHUNK
 * where the last one would be a single row. */
#define GM_CHUNK 64
#define GM_CHUNK_WIDE 128
#define GM_CHUNK_LARGE 256
#define GM_WIDE ((size_t)1 << 17)
/* Rows of W in a slice, for each of which products pack the derivatives anew: an eighth of W in multiples of GM_SLICE,
 * up to GM_SLICE_LARGE; this for one thread alone, as above. */
#define GM_SLICE 64
#define GM_SLICE_LARGE 256

typedef struct gm_walk gm_walk;

/* Keeps `net`, which must outlive it. `seed` is the model's: rff layers are a function of it. */
GM_MUST_USE gm_walk *gm_walk_new(const gm_net *net, uint64_t seed, gm_error *e);
void gm_walk_free(gm_walk *w);
/* Another copy of the same net, which must outlive the walk in its place. */
void gm_walk_use_net(gm_walk *w, const gm_net *net);

/* Says once that these parameters, a block of the net, are the same in each call that is given them: once many rows
 * were run, weights are packed for all further products, and chunks need not be large. Not for networks of which that
 * would take more than 16 MB, nor those with rff or spectral layers. */
void gm_walk_hold(gm_walk *w, const float *params);

/* Walks for rows that come in portions, of a network whose parameters, a block of the net, stay: portions are run at
 * once, each on one thread with a walk of its own. A network that cannot be held has one walk, which uses all threads.
 * The same bits. net and params must outlive it. */
typedef struct gm_team {
    size_t count; /* gm_team_size */
    gm_walk **walks;
    size_t portion; /* rows: of parameters that are held few, which are still near when they are used; else many, so
                       that threads seldom wait, and weights are seldom packed */
} gm_team;
size_t gm_team_size(const gm_net *net, size_t threads); /* `threads`, or one */
GM_MUST_USE gm_team *gm_team_new(const gm_net *net, uint64_t seed, const float *params, size_t threads, gm_error *e);
void gm_team_free(gm_team *t);

/* One part of an input: float columns, or class numbers that become one-hot. */
typedef struct gm_input_part {
    const char *name;      /* for messages */
    const float *values;   /* [rows, columns] */
    const int32_t *labels; /* [rows], each in [0, columns): checked; used if values is NULL */
    size_t columns;
} gm_input_part;

/* An input of the network: parts joined from left to right. gm_input_check: that the widths fit the network ("tensor
 * 'z': expected 20 columns, got 100"), labels are inside their classes and the rows fill packs. */
typedef struct gm_input {
    size_t part_count;
    gm_input_part parts[GM_PARTS_MAX];
} gm_input;
GM_MUST_USE int gm_input_check(const gm_input *input, const gm_net *net, size_t rows, gm_error *e);

/* `rows`, here and below, are rows of data. A network that judges packs runs on rows / pack rows, each of them pack
 * rows of data side by side, [pack * columns]: its outputs and their cotangents are [rows / pack, outputs], a loss is a
 * mean over packs, and in the numbers of random ones a row is a pack. Input gradients are of the rows of data.
 *
 * Dropout is active when training, and batchnorm takes the batch's moments; dropout masks are number (operand * rows +
 * row) * units + unit of (seed, DROPOUT, layer, step). Gaussian layers draw when drawing: normal number (operand * rows
 * + row) * latent + unit of (seed, GAUSSIAN, layer, step); mixed layers too, from uniform number (operand * rows +
 * row) * units + unit of (seed, GUMBEL, layer, step). In these numbers the rows of a part of a batch are counted as in
 * the whole batch: parts draw what the whole would. */
typedef struct gm_mode {
    bool training, drawing;
    uint64_t seed, step;
    size_t first, whole; /* of a part of a batch: its first row and the rows of the whole batch; else 0 */
    uint64_t version;    /* of the parameters: they are equal where it is, unless it is 0 */
} gm_mode;

/* From now on gm_walk_forward keeps what it computed, and gm_walk_backward without a loss, of the same version, mode
 * and rows of the one input, begins from there: a generator whose output is judged by another network is run forward
 * once. Networks with layers that keep more than their outputs, and batchnorm's, are run again. The same bits. */
void gm_walk_expect(gm_walk *w);

/* output[rows / pack, outputs] = network(input). params: a block of gm_net. */
GM_MUST_USE int gm_walk_forward(gm_walk *w, const float *params, const gm_input *input, size_t rows, gm_mode mode,
                                float *output, gm_error *e);

/* A term's target: numbers [rows, columns] (columns 1 or the network's outputs) or class numbers [rows], of which -1 is
 * a row without a label; neither for a number in the text. */
typedef struct gm_target {
    const float *values;
    const int32_t *labels;
    size_t columns;
    size_t rows,
        labelled; /* of a part of a batch: the rows of the whole batch, and those of them with a label; else 0 */
} gm_target;

typedef struct gm_backward {
    const gm_loss *loss;        /* or NULL */
    const float *cotangent;     /* or NULL: d loss / d output of the one input, [rows, outputs]; a loss is added */
    size_t rows;                /* of every input */
    const gm_input *inputs;     /* one for each operand of the loss, or one */
    const gm_target *targets;   /* one for each term of the loss */
    const float *class_weights; /* or NULL: what a row counts in bce, ce, hinge and sqhinge on class numbers, by its
                                   class (as many as the outputs, or 2 for a single one) */
    gm_mode mode;
    /* results, each NULL where it is not wanted: */
    float *const *gradients;       /* for each parameter its numbers: d loss / d parameter, every one written; of a
                                      statistic its next value: of batchnorm 0.9 times the one before plus 0.1 times
                                      the batch's (variance unbiased), operand by operand; the same outside of training */
    float *const *input_gradients; /* for each input NULL or [rows, columns]: d loss / d input */
    double *value;                 /* the loss (loss != NULL) */
    float *output;                 /* [rows, outputs] of the first input */
} gm_backward;

/* Computes the loss and its gradients. Errors: labels outside the classes, targets that do not fit; the results may
 * then be half written. */
GM_MUST_USE int gm_walk_backward(gm_walk *w, const float *params, const gm_backward *call, gm_error *e);

#endif
