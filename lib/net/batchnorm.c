/* batchnorm.c: batch normalization: moments of all rows, then rows one by one. */
#include "layer.h"

#include "../math/clones.h"

#include <math.h>

#define COLUMNS ((size_t)64) /* worked on at a time */

static const double epsilon = 1e-5;

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* sums[count] of x, or of (x - mean)^2, down the columns, rows in order. */
GM_CLONES static void sum_columns(size_t rows, size_t units, size_t count, const float *x, const float *mean,
                                  double *sums) {
    for (size_t j = 0; j < count; j++) sums[j] = 0.0;
    for (size_t i = 0; i < rows; i++, x += units)
        for (size_t j = 0; j < count; j++) {
            double v = mean ? (double)x[j] - (double)mean[j] : (double)x[j];
            sums[j] += mean ? v * v : v;
        }
}

void gm_batchnorm_moments(size_t rows, size_t units, size_t first, size_t count, const float *x, gm_moments m,
                          float *variance) {
    double sums[COLUMNS];
    for (size_t end = first + count, n; first < end; first += n) {
        n = smaller(COLUMNS, end - first);
        sum_columns(rows, units, n, x + first, NULL, sums);
        for (size_t j = 0; j < n; j++) m.mean[first + j] = (float)(sums[j] / (double)rows);
        sum_columns(rows, units, n, x + first, m.mean + first, sums);
        for (size_t j = 0; j < n; j++) {
            variance[first + j] = (float)(sums[j] / (double)rows);
            m.inverse[first + j] = (float)(1.0 / sqrt((double)variance[first + j] + epsilon));
        }
    }
}

void gm_batchnorm_running(size_t units, const float *mean, const float *variance, gm_moments m) {
    for (size_t j = 0; j < units; j++) {
        m.mean[j] = mean[j];
        m.inverse[j] = (float)(1.0 / sqrt((double)variance[j] + epsilon));
    }
}

GM_CLONES void gm_batchnorm_forward(size_t rows, size_t units, const float *x, gm_moments m, const float *gain,
                                    const float *shift, float *y) {
    for (size_t i = 0; i < rows; i++, x += units, y += units) {
        GM_INDEPENDENT
        for (size_t j = 0; j < units; j++) y[j] = gain[j] * ((x[j] - m.mean[j]) * m.inverse[j]) + shift[j];
    }
}

GM_CLONES static void sum_products(size_t rows, size_t units, size_t count, const float *x, const float *d,
                                   const float *mean, const float *inverse, double *sums, double *products) {
    for (size_t j = 0; j < count; j++) sums[j] = products[j] = 0.0;
    for (size_t i = 0; i < rows; i++, x += units, d += units)
        for (size_t j = 0; j < count; j++) {
            sums[j] += (double)d[j];
            products[j] += (double)d[j] * (double)((x[j] - mean[j]) * inverse[j]);
        }
}

void gm_batchnorm_sums(size_t rows, size_t units, size_t first, size_t count, const float *x, const float *d,
                       gm_moments m, float *sum_d, float *sum_dn) {
    double sums[COLUMNS], products[COLUMNS];
    for (size_t end = first + count, n; first < end; first += n) {
        n = smaller(COLUMNS, end - first);
        sum_products(rows, units, n, x + first, d + first, m.mean + first, m.inverse + first, sums, products);
        for (size_t j = 0; j < n; j++) {
            sum_d[first + j] = (float)sums[j];
            sum_dn[first + j] = (float)products[j];
        }
    }
}

GM_CLONES void gm_batchnorm_backward(size_t rows, size_t units, const float *x, const float *d, gm_moments m,
                                     const float *gain, const float *sum_d, const float *sum_dn, size_t moment_rows,
                                     float *dx) {
    float share = moment_rows ? 1.0f / (float)moment_rows : 0.0f;
    for (size_t i = 0; i < rows; i++, x += units, d += units, dx += units) {
        if (!sum_d) {
            GM_INDEPENDENT
            for (size_t j = 0; j < units; j++) dx[j] = gain[j] * m.inverse[j] * d[j];
            continue;
        }
        GM_INDEPENDENT
        for (size_t j = 0; j < units; j++) {
            float n = (x[j] - m.mean[j]) * m.inverse[j];
            dx[j] = gain[j] * m.inverse[j] * (d[j] - share * (sum_d[j] + n * sum_dn[j]));
        }
    }
}
