/* moments.c: measures of means and covariances: the Frechet distance, differences of correlations. */
#include "sample.h"

#include "gm/blas.h"
#include "gm/threads.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK ((size_t)256) /* rows at a time */
#define SLICE ((size_t)64)  /* rows of the covariance that one piece of work makes */

/* Mean [n] and covariance [n, n] of some columns of all rows. */
typedef struct moments {
    size_t n;
    double *mean, *covariance;
} moments;

/* The rows of a block, less their mean, in double; what pieces of work add to the covariance. */
typedef struct product {
    size_t rows, n;
    const double *block;
    double *covariance;
} product;

static void moments_free(moments *m) {
    free(m->mean);
    free(m->covariance);
}

static void slice_add(void *context, size_t slice) {
    const product *p = context;
    const size_t first = slice * SLICE, count = p->n - first < SLICE ? p->n - first : SLICE;
    gm_matmul_double_tn(count, p->n, p->rows, p->block + first, p->n, p->block, p->n, 1, p->covariance + first * p->n,
                        p->n);
}

static void find_mean(const gm_points *points, const size_t *columns, moments *m) {
    for (size_t i = 0; i < points->rows; i++)
        for (size_t c = 0; c < m->n; c++) m->mean[c] += (double)points->x[i * points->columns + columns[c]];
    for (size_t c = 0; c < m->n; c++) m->mean[c] /= (double)points->rows;
}

static void find_covariance(const gm_points *points, const size_t *columns, double *block, moments *m) {
    product p = {.n = m->n, .block = block, .covariance = m->covariance};
    for (size_t first = 0; first < points->rows; first += BLOCK) {
        p.rows = points->rows - first < BLOCK ? points->rows - first : BLOCK;
        for (size_t i = 0; i < p.rows; i++)
            for (size_t c = 0; c < m->n; c++)
                block[i * m->n + c] = (double)points->x[(first + i) * points->columns + columns[c]] - m->mean[c];
        gm_parallel((m->n + SLICE - 1) / SLICE, slice_add, &p);
    }
    for (size_t i = 0; i < m->n * m->n; i++) m->covariance[i] /= (double)(points->rows - 1);
}

static int find_moments(const gm_points *points, size_t n, const size_t *columns, moments *m, gm_error *e) {
    *m = (moments){.n = n};
    if (n > GM_COVARIANCE_COLUMNS)
        return gm_fail(e, "covariances of %zu columns are too many, at most %d", n, GM_COVARIANCE_COLUMNS);
    m->mean = gm_new_zeroed(n, sizeof *m->mean, e);
    m->covariance = m->mean ? gm_new_zeroed(n * n, sizeof *m->covariance, e) : NULL;
    double *block = m->covariance ? gm_new(BLOCK * n, sizeof *block, e) : NULL;
    if (block) {
        find_mean(points, columns, m);
        find_covariance(points, columns, block, m);
        free(block);
        return 0;
    }
    moments_free(m);
    return -1;
}

static size_t *all_columns(size_t n, gm_error *e) {
    size_t *columns = gm_new(n, sizeof *columns, e);
    for (size_t i = 0; columns && i < n; i++) columns[i] = i;
    return columns;
}

/* ---- Frechet distance ---- */

/* C becomes its square root: with eigenvectors v_i, C^1/2 = sum sqrt(l_i) v_i v_i' = B'B, row i of B being l_i^1/4 v_i.
 * What rounding leaves below zero is zero. */
static int take_root(size_t n, double *c, double *values, double *work, gm_error *e) {
    if (gm_symmetric_eigen(n, c, true, values, e) != 0) return -1;
    for (size_t i = 0; i < n; i++) {
        const double factor = sqrt(sqrt(fmax(values[i], 0)));
        for (size_t k = 0; k < n; k++) c[i * n + k] *= factor;
    }
    gm_matmul_double_tn(n, n, n, c, n, c, n, 0, work, n);
    memcpy(c, work, n * n * sizeof *c);
    return 0;
}

/* tr (C D)^1/2; C and D are overwritten. */
static int trace_of_root(size_t n, double *c, double *d, double *trace, gm_error *e) {
    double *work = gm_new(n * n, sizeof *work, e), *values = gm_new(n, sizeof *values, e);
    *trace = 0;
    int status = work && values ? take_root(n, c, values, work, e) : -1;
    if (status == 0) {
        gm_matmul_double_tn(n, n, n, d, n, c, n, 0, work, n); /* D C^1/2, as D' = D */
        gm_matmul_double_tn(n, n, n, c, n, work, n, 0, d, n); /* C^1/2 D C^1/2 */
        status = gm_symmetric_eigen(n, d, false, values, e);
    }
    for (size_t i = 0; status == 0 && i < n; i++) *trace += sqrt(fmax(values[i], 0));
    free(work);
    free(values);
    return status;
}

static int frechet_of(moments *c, moments *d, double *distance, gm_error *e) {
    double sum = 0, root;
    for (size_t i = 0; i < c->n; i++) {
        const double shift = c->mean[i] - d->mean[i];
        sum += shift * shift + c->covariance[i * c->n + i] + d->covariance[i * c->n + i];
    }
    if (trace_of_root(c->n, c->covariance, d->covariance, &root, e) != 0) return -1;
    *distance = fmax(sum - 2 * root, 0);
    return 0;
}

int gm_frechet(const gm_points *real, const gm_points *fake, double *distance, gm_error *e) {
    moments c = {0}, d = {0};
    if (gm_points_check(real, fake, GM_FRECHET_ROWS, e) != 0) return -1;
    if (gm_blas_ready(e) != 0) return -1;
    size_t *columns = all_columns(real->columns, e);
    if (!columns) return -1;
    int status = find_moments(real, real->columns, columns, &c, e);
    if (status == 0) {
        status = find_moments(fake, real->columns, columns, &d, e);
        if (status == 0) {
            status = frechet_of(&c, &d, distance, e);
            moments_free(&d);
        }
        moments_free(&c);
    }
    free(columns);
    return status;
}

/* ---- correlations ---- */

/* Of a constant column nothing but the rounding of its mean is left. */
static bool varies(const moments *m, size_t i) {
    return m->covariance[i * m->n + i] > 1e-24 * m->mean[i] * m->mean[i];
}

static double correlation(const moments *m, size_t i, size_t k) {
    if (!varies(m, i) || !varies(m, k)) return 0;
    const double scale = sqrt(m->covariance[i * m->n + i]) * sqrt(m->covariance[k * m->n + k]);
    return m->covariance[i * m->n + k] / scale;
}

int gm_compare_correlations(const gm_points *real, const gm_points *fake, size_t count, const size_t *columns,
                            double *largest, gm_error *e) {
    moments c, d;
    *largest = NAN;
    if (count < 2) return 0;
    if (gm_points_check(real, fake, GM_FRECHET_ROWS, e) != 0 || find_moments(real, count, columns, &c, e) != 0)
        return -1;
    if (find_moments(fake, count, columns, &d, e) != 0) {
        moments_free(&c);
        return -1;
    }
    *largest = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < i; k++) *largest = fmax(*largest, fabs(correlation(&c, i, k) - correlation(&d, i, k)));
    moments_free(&c);
    moments_free(&d);
    return 0;
}
