/* verdict.h: what a network's outputs say of a row: a score or a probability for each class, and the class. */
#ifndef GM_VERDICT_H
#define GM_VERDICT_H

#include "gm/net.h"
#include "gm/score.h"

typedef enum gm_meaning {
    GM_MEANS_PROBABILITIES, /* softmax, one for each class */
    GM_MEANS_BINARY,        /* one sigmoid unit: the probability of the second class */
    GM_MEANS_SCORES,        /* one for each class, the largest wins */
    GM_MEANS_BINARY_SCORE,  /* one other unit: the second class if positive */
    GM_MEANS_OUTPUT         /* no classes: the outputs themselves */
} gm_meaning;

typedef struct gm_verdict {
    gm_meaning meaning;
    size_t outputs; /* of the network */
    size_t classes; /* or outputs, where there are none */
    gm_calibration calibration;
} gm_verdict;

/* `known`: the classes of the network's data, 0 if it knows of none. */
gm_verdict gm_verdict_of(const gm_net *net, size_t known);

/* True if the outputs are scores of classes, so that they can be calibrated. */
bool gm_verdict_scores(const gm_verdict *v);

/* Takes a calibration (GM_UNCALIBRATED ends one). -1 if it is not one for these outputs. */
GM_MUST_USE int gm_verdict_calibrate(gm_verdict *v, const gm_calibration *c, gm_error *e);

/* True if gm_verdict_row gives probabilities. */
bool gm_verdict_probable(const gm_verdict *v);

/* A row's outputs to numbers for each class [classes]; returns the class: that of the largest of these very numbers,
 * the first of equal ones. So who prints them so that they read back never contradicts the class. */
size_t gm_verdict_row(const gm_verdict *v, const float *output, float *score);

#endif
