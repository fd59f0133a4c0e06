/* pass.h: one call of gm_walk_backward, as its parts see it. Private to lib/net.
 *
 * The rows of all operands are stacked: row r of operand o is row o * rows + r of one matrix. Behind them stand the
 * rows of each gradient penalty (interpolated ones), and behind these their tangents. What a matrix product over all
 * stacked rows of (what layer l reads)' (d loss / d v) gives is the gradient of the layer's weights, penalties
 * included.
 */
#ifndef GM_NET_PASS_H
#define GM_NET_PASS_H

#include "walk.h"

typedef struct gm_pass {
    gm_walk *walk;
    const float *params;
    const gm_backward *call;
    size_t operands, penalties;
    size_t operand_chunks; /* chunks in an operand */
    size_t stacked_rows;   /* of operands, penalties and tangents */
    size_t bias_rows;      /* of these without tangents, whose sums are no gradient of biases */
    size_t region_rows;    /* of `stacked` */
    float *stacked;        /* NULL where nothing is needed of a chunk once it is done: then it lives in the scratch */
    const float *whole;    /* the input that needs no joining (of the only operand), or NULL */
    bool keeps, reuses;    /* what it computes forward is kept for another pass, or is there from one */
    bool staged;           /* batchnorm takes the batch's moments: chunks wait for each other between layers */
    size_t from, to;       /* the layers that chunks go through now */
    size_t lowest;         /* d[lowest] is the last that parameters want; above layer_count: none */
    double *values;        /* [operands * rows], then [penalties * rows] */
    double *block_values;  /* of weights */
    double l1, l2;         /* weights of these terms */
    double divergence[GM_OPERANDS_MAX]; /* of kl, for each operand */
    double labelled[GM_TERMS_MAX];      /* rows over rows with a label: what these count in a term on class numbers */
    size_t penalty_terms[GM_TERMS_MAX]; /* of the loss */
} gm_pass;

/* A chunk's matrices: layer l reads x[l] and writes y[l]; d[l] = d loss / d what it reads; d[layer_count] is of the
 * output. */
typedef struct gm_chunk {
    size_t operand, first, rows, stacked_row;
    float *own; /* for the joined input */
    const float *x[GM_LAYERS_MAX];
    float *y[GM_LAYERS_MAX], *d[GM_LAYERS_MAX + 1], *extra[GM_LAYERS_MAX];
    size_t lowest; /* d[lowest] is the last that is wanted */
} gm_chunk;

/* A network has one layer at least (gm_net_parse). */
static inline size_t gm_last_layer(const gm_net *net) {
    if (net->layer_count == 0) __builtin_unreachable();
    return net->layer_count - 1;
}

/* Columns of an extra matrix for the gradient penalty, behind the others in the scratch. */
size_t gm_penalty_width(const gm_walk *w);

/* Rows first .. first + rows - 1 of penalty number `penalty`: its values, and what the weights' gradient needs of
 * them. */
void gm_penalty_chunk(const gm_pass *pass, size_t penalty, size_t first, size_t rows, float *scratch);

#endif
