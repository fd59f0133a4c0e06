/* score.h: how good predictions of classes are, and how scores become probabilities.
 *
 * A gm_tally owns what it counts. Nothing here reads or prints.
 */
#ifndef GM_SCORE_H
#define GM_SCORE_H

#include "gm/base.h"

/* ---- figures ---- */

/* Scores that are kept for the area under the ROC curve: one for each row with two classes, one for each row and class
 * with more. Rows beyond that leave `auc` out, so that memory stays within 256 MiB. */
#define GM_AUC_NUMBERS ((size_t)1 << 24)

typedef struct gm_tally gm_tally;

/* What many rows show; NAN where there is no such figure. */
typedef struct gm_figures {
    uint64_t rows;
    double accuracy;
    double balanced_accuracy; /* mean recall of the classes that occur */
    double log_loss;          /* mean of -log p of the right class, p at least 1e-15; probabilities only */
    double brier;    /* mean of (p1 - y)^2 with two classes, of sum over classes (p - y)^2 with more (Brier 1950);
                        probabilities only */
    double auc;      /* two classes: of the second against the first; more: mean over the classes that occur of one
                        against the rest. Exact, ties half */
    double macro_f1; /* mean F1 of the classes that occur or were predicted */
} gm_figures;

/* `probabilities`: scores are probabilities, so log_loss and brier make sense. NULL with a message. */
GM_MUST_USE gm_tally *gm_tally_new(size_t classes, bool probabilities, gm_error *e);
void gm_tally_free(gm_tally *t);
/* One row: a score for each class [classes], the class that was predicted, the class that it is. -1 if a class is out
 * of range. */
GM_MUST_USE int gm_tally_add(gm_tally *t, const float *score, size_t predicted, int32_t actual, gm_error *e);
/* -1 if there were no rows, or memory ran out. */
GM_MUST_USE int gm_tally_figures(const gm_tally *t, gm_figures *figures, gm_error *e);
uint64_t gm_tally_count(const gm_tally *t, size_t actual, size_t predicted);
/* Of the rows predicted as `class` the share that is right; of its rows the share that was found; their harmonic mean.
 * 0 where there are no such rows. */
double gm_tally_precision(const gm_tally *t, size_t class);
double gm_tally_recall(const gm_tally *t, size_t class);
double gm_tally_f1(const gm_tally *t, size_t class);
/* True if there were more rows than GM_AUC_NUMBERS allows. */
bool gm_tally_auc_left_out(const gm_tally *t);

/* Area under the ROC curve of n scores, `positive` saying which rows are of the class: the share of pairs (positive,
 * negative) in the right order, ties half (Mann, Whitney 1947). `work` has room for n numbers. NAN without a pair. */
double gm_auc(size_t n, const float *score, size_t stride, const int32_t *labels, int32_t positive, uint64_t *work);

/* ---- calibration ---- */

typedef enum gm_calibration_kind {
    GM_UNCALIBRATED,
    GM_PLATT,      /* one score s: p(second class) = sigmoid(slope s + offset) (Platt 1999) */
    GM_TEMPERATURE /* a score for each class: p = softmax(slope s); 1 / slope is the temperature (Guo et al. 2017, 4.2)
                    */
} gm_calibration_kind;

typedef struct gm_calibration {
    gm_calibration_kind kind;
    double slope; /* > 0 */
    double offset;
    uint64_t step; /* of the model when it was fitted */
    uint64_t rows; /* it was fitted on */
} gm_calibration;

const char *gm_calibration_text(gm_calibration_kind kind); /* "none" "platt" "temperature" */
/* True if the numbers can be those of a calibration (of anything but GM_UNCALIBRATED). */
bool gm_calibration_good(const gm_calibration *c);

/* Fits scores [rows, columns] to class numbers: columns 1 with classes 0 and 1 gives GM_PLATT, else GM_TEMPERATURE.
 * Targets are smoothed as Platt does: (n + 1) / (n + K) for the right one of K classes, n the rows of that class, and
 * 1 / (n + K) for each other, so that there is a minimum also where the scores separate the rows. Newton's method, for
 * Platt with backtracking (Lin, Lin, Weng 2007), for the temperature inside a bracket. -1 without rows, with rows of
 * one class only, with scores that do not rise with the class. c->step is left 0. */
GM_MUST_USE int gm_calibrate(size_t rows, size_t columns, const float *scores, const int32_t *labels, gm_calibration *c,
                             gm_error *e);

/* Probabilities of one row's scores: [2] of GM_PLATT's one score, [columns] else. */
void gm_calibration_apply(const gm_calibration *c, size_t columns, const float *scores, float *probabilities);

#endif
