/* term.h: a loss term's values and derivatives on a chunk of rows. Private to lib/net. */
#ifndef GM_NET_TERM_H
#define GM_NET_TERM_H

#include "gm/grad.h"

/* A chunk of rows at the network's end. */
typedef struct gm_end {
    size_t rows, units;
    bool sigmoid;               /* output = sigmoid(logits) */
    const float *logits;        /* [rows, units]: the last layer before its activation */
    const float *output;        /* [rows, units] */
    float *derivative;          /* [rows, units], added to; NULL where only values are wanted */
    double *values;             /* [rows], added to: weight times the term's value for each row */
    const float *class_weights; /* as in gm_backward */
} gm_end;

/* True for the terms that are computed from the logits: their derivative is with respect to these. */
bool gm_term_of_logits(gm_term_kind kind);

/* Adds a term. `target` begins at the chunk's first row; `share` is 1 over the rows of the mean. */
void gm_term_add(const gm_term *term, const gm_target *target, double share, const gm_end *end);

/* That a term's target fits the network's outputs, row by row. */
GM_MUST_USE int gm_target_check(const gm_term *term, const gm_target *target, size_t rows, size_t outputs, gm_error *e);

#endif
