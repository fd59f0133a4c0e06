/* score.c: figures of how good predictions are. */
#include "gm/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_PROBABILITY 1e-15 /* one row that was thought impossible must not make log_loss infinite */

struct gm_tally {
    size_t classes;
    bool probabilities, auc_left_out;
    uint64_t rows;
    uint64_t *confusion; /* [classes, classes]: actual, predicted */
    double log_loss, brier;
    /* for the area: with two classes the second one's score, else all [rows, classes] */
    float *scores;
    int32_t *labels;
    size_t score_capacity, label_capacity;
};

gm_tally *gm_tally_new(size_t classes, bool probabilities, gm_error *e) {
    size_t cells;
    gm_tally *t = gm_new_zeroed(1, sizeof *t, e);
    if (!t) return NULL;
    t->classes = classes;
    t->probabilities = probabilities;
    t->confusion = gm_multiply(classes, classes, &cells) ? gm_new_zeroed(cells, sizeof *t->confusion, e) : NULL;
    if (t->confusion) return t;
    gm_fail(e, "too many classes (%zu)", classes);
    gm_tally_free(t);
    return NULL;
}

void gm_tally_free(gm_tally *t) {
    if (!t) return;
    free(t->confusion);
    free(t->scores);
    free(t->labels);
    free(t);
}

/* Scores kept in a row for the area. */
static size_t kept(const gm_tally *t) {
    return t->classes == 2 ? 1 : t->classes;
}

static int keep_scores(gm_tally *t, const float *score, int32_t actual, gm_error *e) {
    size_t width = kept(t), row = (size_t)t->rows;
    if (t->auc_left_out) return 0;
    if ((row + 1) * width > GM_AUC_NUMBERS) {
        t->auc_left_out = true;
        free(t->scores);
        free(t->labels);
        t->scores = NULL;
        t->labels = NULL;
        return 0;
    }
    if (gm_grow(&t->scores, &t->score_capacity, (row + 1) * width, sizeof *t->scores, e) != 0 ||
        gm_grow(&t->labels, &t->label_capacity, row + 1, sizeof *t->labels, e) != 0)
        return -1;
    memcpy(t->scores + row * width, t->classes == 2 ? score + 1 : score, width * sizeof *score);
    t->labels[row] = actual;
    return 0;
}

/* With two classes the two terms of the sum are equal and the usual figure is one of them. */
static double brier_row(const gm_tally *t, const float *p, size_t actual) {
    double sum = 0;
    for (size_t i = t->classes == 2 ? 1 : 0; i < t->classes; i++) {
        double miss = (double)p[i] - (i == actual);
        sum += miss * miss;
    }
    return sum;
}

int gm_tally_add(gm_tally *t, const float *score, size_t predicted, int32_t actual, gm_error *e) {
    if (actual < 0 || (size_t)actual >= t->classes || predicted >= t->classes)
        return gm_fail(e, "row %llu: class %ld is outside the model's", (unsigned long long)t->rows, (long)actual);
    if (keep_scores(t, score, actual, e) != 0) return -1;
    t->rows++;
    t->confusion[(size_t)actual * t->classes + predicted]++;
    if (!t->probabilities) return 0;
    t->log_loss -= log(fmax((double)score[actual], LEAST_PROBABILITY));
    t->brier += brier_row(t, score, (size_t)actual);
    return 0;
}

bool gm_tally_auc_left_out(const gm_tally *t) {
    return t->auc_left_out;
}

/* ---- counts ---- */

uint64_t gm_tally_count(const gm_tally *t, size_t actual, size_t predicted) {
    return t->confusion[actual * t->classes + predicted];
}

static uint64_t occurred(const gm_tally *t, size_t class) {
    uint64_t n = 0;
    for (size_t k = 0; k < t->classes; k++) n += gm_tally_count(t, class, k);
    return n;
}

static uint64_t predictions(const gm_tally *t, size_t class) {
    uint64_t n = 0;
    for (size_t k = 0; k < t->classes; k++) n += gm_tally_count(t, k, class);
    return n;
}

static double share(uint64_t part, uint64_t whole) {
    return whole ? (double)part / (double)whole : 0;
}

double gm_tally_precision(const gm_tally *t, size_t class) {
    return share(gm_tally_count(t, class, class), predictions(t, class));
}

double gm_tally_recall(const gm_tally *t, size_t class) {
    return share(gm_tally_count(t, class, class), occurred(t, class));
}

/* 2 right / (occurred + predicted), which is the harmonic mean of precision and recall. */
double gm_tally_f1(const gm_tally *t, size_t class) {
    return share(2 * gm_tally_count(t, class, class), occurred(t, class) + predictions(t, class));
}

/* ---- the area under the ROC curve ---- */

/* Floats as integers in the same order, -0 as 0. */
static uint32_t ordered_bits(float x) {
    uint32_t bits;
    x += 0.0F;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x80000000U ? ~bits : bits | 0x80000000U;
}

static int by_number(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

double gm_auc(size_t n, const float *score, size_t stride, const int32_t *labels, int32_t positive, uint64_t *work) {
    uint64_t below = 0, positives = 0; /* negatives that were passed; positives in all */
    double ordered = 0;
    for (size_t i = 0; i < n; i++) work[i] = (uint64_t)ordered_bits(score[i * stride]) << 1 | (labels[i] == positive);
    qsort(work, n, sizeof *work, by_number);
    for (size_t i = 0; i < n;) {
        uint64_t tied[2] = {0, 0}, value = work[i] >> 1;
        for (; i < n && work[i] >> 1 == value; i++) tied[work[i] & 1]++;
        ordered += (double)tied[1] * ((double)below + 0.5 * (double)tied[0]);
        below += tied[0];
        positives += tied[1];
    }
    return positives && below ? ordered / ((double)positives * (double)below) : NAN;
}

/* Mean over the classes with a pair to order; NAN if there is none. */
static int mean_auc(const gm_tally *t, double *auc, gm_error *e) {
    size_t n = (size_t)t->rows, width = kept(t), counted = 0;
    double sum = 0;
    *auc = NAN;
    if (t->auc_left_out) return 0;
    uint64_t *work = gm_new(n, sizeof *work, e);
    if (!work) return -1;
    for (size_t i = 0; i < width; i++) {
        int32_t class = (int32_t)(width == 1 ? 1 : i);
        double area = gm_auc(n, t->scores + i, width, t->labels, class, work);
        if (isnan(area)) continue;
        sum += area;
        counted++;
    }
    free(work);
    if (counted) *auc = sum / (double)counted;
    return 0;
}

/* ---- all together ---- */

int gm_tally_figures(const gm_tally *t, gm_figures *f, gm_error *e) {
    if (t->rows == 0) return gm_fail(e, "no rows to evaluate");
    double recall = 0, f1 = 0;
    uint64_t right = 0;
    size_t occurring = 0, named = 0;
    for (size_t i = 0; i < t->classes; i++) {
        bool occurs = occurred(t, i) > 0;
        right += gm_tally_count(t, i, i);
        recall += gm_tally_recall(t, i);
        f1 += gm_tally_f1(t, i);
        occurring += occurs;
        named += occurs || predictions(t, i) > 0;
    }
    *f = (gm_figures){
        .rows = t->rows,
        .accuracy = share(right, t->rows),
        .balanced_accuracy = recall / (double)occurring,
        .macro_f1 = f1 / (double)named,
        .log_loss = t->probabilities ? t->log_loss / (double)t->rows : NAN,
        .brier = t->probabilities ? t->brier / (double)t->rows : NAN,
    };
    return mean_auc(t, &f->auc, e);
}
