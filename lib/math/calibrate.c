/* calibrate.c: scores to probabilities. */
#include "gm/ops.h"
#include "gm/score.h"

#include <math.h>
#include <stdlib.h>

#define ROUNDS 200

/* What is fitted: scores and targets of rows. */
typedef struct fit {
    size_t rows, columns, classes;
    const float *scores; /* [rows, columns] */
    const int32_t *labels;
    double *right, *other; /* for each class: the target of its own rows, and that of each other class there */
} fit;

const char *gm_calibration_text(gm_calibration_kind kind) {
    return kind == GM_PLATT ? "platt" : kind == GM_TEMPERATURE ? "temperature" : "none";
}

bool gm_calibration_good(const gm_calibration *c) {
    return (c->kind == GM_PLATT || (c->kind == GM_TEMPERATURE && c->offset == 0)) && isfinite(c->slope) &&
           isfinite(c->offset) && c->slope > 0;
}

static int set_targets(fit *f, gm_error *e) {
    size_t occurring = 0;
    double k = (double)f->classes;
    for (size_t i = 0; i < f->rows; i++) {
        if (f->labels[i] < 0 || (size_t)f->labels[i] >= f->classes)
            return gm_fail(e, "row %zu: class %ld is outside the model's", i, (long)f->labels[i]);
        f->right[f->labels[i]]++;
    }
    for (size_t i = 0; i < f->classes; i++) {
        double n = f->right[i];
        occurring += n > 0;
        f->right[i] = (n + 1) / (n + k);
        f->other[i] = 1 / (n + k);
    }
    return occurring > 1 ? 0 : gm_fail(e, "all %zu rows are of one class: nothing to calibrate on", f->rows);
}

static int no_slope(double slope, gm_error *e) {
    return gm_fail(e, "on these rows the scores do not rise with the class (slope %.3g): there is nothing to calibrate",
                   slope);
}

/* ---- one score: Lin, Lin, Weng, "A note on Platt's probabilistic outputs for support vector machines", 2007 ---- */

/* -log likelihood of targets t under sigmoid(z), z = slope s + offset: log(1 + exp(-|z|)) + (z < 0 ? -t : 1 - t) z,
 * where nothing overflows. */
static double platt_loss(const fit *f, double slope, double offset) {
    double sum = 0;
    for (size_t i = 0; i < f->rows; i++) {
        double z = slope * (double)f->scores[i] + offset;
        double t = f->labels[i] ? f->right[1] : f->other[0];
        sum += log1p(exp(-fabs(z))) + (z < 0 ? -t : 1 - t) * z;
    }
    return sum;
}

typedef struct platt_slope {
    double g1, g2, h11, h12, h22; /* gradient and Hessian by slope (1) and offset (2) */
} platt_slope;

static platt_slope platt_derive(const fit *f, double slope, double offset) {
    platt_slope d = {.h11 = 1e-12, .h22 = 1e-12}; /* so that the Hessian can be inverted */
    for (size_t i = 0; i < f->rows; i++) {
        double s = (double)f->scores[i], z = slope * s + offset, small = exp(-fabs(z));
        double p = z < 0 ? small / (1 + small) : 1 / (1 + small);
        double weight = small / ((1 + small) * (1 + small)); /* p (1 - p) */
        double miss = p - (f->labels[i] ? f->right[1] : f->other[0]);
        d.g1 += miss * s;
        d.g2 += miss;
        d.h11 += weight * s * s;
        d.h12 += weight * s;
        d.h22 += weight;
    }
    return d;
}

/* How far the largest and the smallest score are from each other. */
static double spread(const fit *f) {
    double low = (double)f->scores[0], high = low;
    for (size_t i = 1; i < f->rows; i++) {
        low = fmin(low, (double)f->scores[i]);
        high = fmax(high, (double)f->scores[i]);
    }
    return high - low;
}

/* Newton's method with backtracking, in units of the scores' root mean square, so that no scale is too small or large.
 */
static int fit_platt(const fit *f, gm_calibration *c, gm_error *e) {
    double positives = 0, slope = 0;
    for (size_t i = 0; i < f->rows; i++) positives += f->labels[i];
    double offset = log((positives + 1) / ((double)f->rows - positives + 1));
    double loss = platt_loss(f, slope, offset);
    for (int round = 0; round < ROUNDS; round++) {
        platt_slope d = platt_derive(f, slope, offset);
        double scale = sqrt(d.h11 / d.h22), step = 1;
        if (fabs(d.g1) <= 1e-9 * scale && fabs(d.g2) <= 1e-9) break;
        double det = d.h11 * d.h22 - d.h12 * d.h12;
        double by_slope = -(d.h22 * d.g1 - d.h12 * d.g2) / det, by_offset = -(d.h11 * d.g2 - d.h12 * d.g1) / det;
        double descent = d.g1 * by_slope + d.g2 * by_offset, next = loss;
        for (; step >= 1e-10; step /= 2) {
            next = platt_loss(f, slope + step * by_slope, offset + step * by_offset);
            if (next < loss + 1e-4 * step * descent) break;
        }
        if (step < 1e-10) break; /* no better in double precision */
        slope += step * by_slope;
        offset += step * by_offset;
        loss = next;
    }
    *c = (gm_calibration){.kind = GM_PLATT, .slope = slope, .offset = offset, .rows = f->rows};
    return gm_calibration_good(c) && slope * spread(f) > 1e-9 ? 0 : no_slope(slope, e);
}

/* ---- a score for each class: Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks", 2017 ---- */

/* d/da of the mean of -sum_k t_k log softmax(a s)_k = mean of sum_k (p_k - t_k) s_k, and its derivative, the mean
 * variance of s under p. Scores are taken from their largest, which changes neither. */
static void temperature_derive(const fit *f, double slope, double *first, double *second) {
    *first = *second = 0;
    for (size_t i = 0; i < f->rows; i++) {
        const float *s = f->scores + i * f->columns;
        double most = (double)s[0], weight = 0, mean = 0, square = 0, target = 0;
        for (size_t k = 1; k < f->columns; k++) most = fmax(most, (double)s[k]);
        for (size_t k = 0; k < f->columns; k++) {
            double below = (double)s[k] - most, p = exp(slope * below);
            weight += p;
            mean += p * below;
            square += p * below * below;
            target += below * ((size_t)f->labels[i] == k ? f->right[k] : f->other[f->labels[i]]);
        }
        mean /= weight;
        *first += (mean - target) / (double)f->rows;
        *second += (square / weight - mean * mean) / (double)f->rows;
    }
}

/* The loss is convex in the slope: its derivative is brought to 0 by Newton's method, or by halving where that leaves
 * the bracket. */
static int fit_temperature(const fit *f, gm_calibration *c, gm_error *e) {
    double first, second, low = 0, high = 1e-6, slope;
    temperature_derive(f, 0, &first, &second);
    if (!(first < 0)) return no_slope(second > 0 ? -first / second : 0, e);
    for (; temperature_derive(f, high, &first, &second), first < 0; high *= 4) {
        if (high > 1e30) return gm_fail(e, "the scores are too close to each other to calibrate");
        low = high;
    }
    slope = high;
    for (int round = 0; round < ROUNDS && high - low > 1e-13 * high; round++) {
        double next = slope - first / second;
        if (!(next > low && next < high)) next = low + (high - low) / 2;
        if (fabs(next - slope) <= 1e-14 * slope) break;
        slope = next;
        temperature_derive(f, slope, &first, &second);
        *(first < 0 ? &low : &high) = slope;
    }
    *c = (gm_calibration){.kind = GM_TEMPERATURE, .slope = slope, .rows = f->rows};
    return gm_calibration_good(c) ? 0 : no_slope(slope, e);
}

int gm_calibrate(size_t rows, size_t columns, const float *scores, const int32_t *labels, gm_calibration *c,
                 gm_error *e) {
    fit f = {.rows = rows, .columns = columns, .classes = columns == 1 ? 2 : columns, .scores = scores};
    f.labels = labels;
    if (rows == 0) return gm_fail(e, "no rows to calibrate on");
    f.right = gm_new_zeroed(f.classes, sizeof(double), e);
    f.other = gm_new_zeroed(f.classes, sizeof(double), e);
    int status = f.right && f.other ? set_targets(&f, e) : -1;
    if (status == 0) status = columns == 1 ? fit_platt(&f, c, e) : fit_temperature(&f, c, e);
    free(f.right);
    free(f.other);
    return status;
}

void gm_calibration_apply(const gm_calibration *c, size_t columns, const float *scores, float *probabilities) {
    if (c->kind == GM_PLATT) {
        float z = (float)(c->slope * (double)scores[0] + c->offset);
        gm_sigmoid(1, &z, &probabilities[1]);
        probabilities[0] = 1 - probabilities[1];
        return;
    }
    double most = (double)scores[0], sum = 0;
    for (size_t k = 1; k < columns; k++) most = fmax(most, (double)scores[k]);
    for (size_t k = 0; k < columns; k++) probabilities[k] = (float)(c->slope * ((double)scores[k] - most));
    gm_exp(columns, probabilities, probabilities);
    for (size_t k = 0; k < columns; k++) sum += (double)probabilities[k];
    for (size_t k = 0; k < columns; k++) probabilities[k] = (float)((double)probabilities[k] / sum);
}
