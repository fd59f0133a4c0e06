/* kernel_distance.c: the unbiased estimate of MMD^2 with a polynomial kernel. */
#include "sample.h"

#include "gm/blas.h"
#include "gm/threads.h"

#include <math.h>
#include <stdlib.h>

#define ROWS ((size_t)64)   /* of a block of products, which one piece of work makes */
#define WIDTH ((size_t)256) /* and its columns */

/* Sums over the rows of b of k(row of a, row of b); a row and itself are left out where both are one set. */
typedef struct sums {
    const gm_points *a, *b;
    bool same;
    double *out; /* [a->rows] */
} sums;

static double kernel(float product, double columns) {
    const double t = (double)product / columns + 1;
    return t * t * t;
}

static void add_block(const sums *s, size_t i, size_t rows, size_t k, size_t width, const float *products) {
    for (size_t r = 0; r < rows; r++) {
        double sum = 0;
        for (size_t c = 0; c < width; c++)
            if (!s->same || i + r != k + c) sum += kernel(products[r * WIDTH + c], (double)s->a->columns);
        s->out[i + r] += sum;
    }
}

static void sum_rows(void *context, size_t piece) {
    const sums *s = context;
    const size_t d = s->a->columns, i = piece * ROWS, rows = s->a->rows - i < ROWS ? s->a->rows - i : ROWS;
    float products[ROWS * WIDTH];
    for (size_t r = 0; r < rows; r++) s->out[i + r] = 0;
    for (size_t k = 0; k < s->b->rows; k += WIDTH) {
        const size_t width = s->b->rows - k < WIDTH ? s->b->rows - k : WIDTH;
        gm_matmul_nt(rows, width, d, s->a->x + i * d, d, s->b->x + k * d, d, 0, products, WIDTH);
        add_block(s, i, rows, k, width, products);
    }
}

static double total(size_t n, const double *x) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i];
    return sum;
}

static void find_sums(const gm_points *a, const gm_points *b, bool same, double *out) {
    sums s = {a, b, same, out};
    gm_parallel((a->rows + ROWS - 1) / ROWS, sum_rows, &s);
}

/* From the sums of kernels within x (each pair twice), within y, and between. */
static double estimate(double m, double n, double within_x, double within_y, double between) {
    return within_x / (m * (m - 1)) + within_y / (n * (n - 1)) - 2 * between / (m * n);
}

/* (n - 1) / n sum (t_i - mean)^2 over the estimates t_i without row i. */
static double jackknife(size_t n, const double *t) {
    const double mean = total(n, t) / (double)n;
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (t[i] - mean) * (t[i] - mean);
    return sum * (double)(n - 1) / (double)n;
}

/* `work` has room for 2 (m + n) numbers. */
static void measure(const gm_points *x, const gm_points *y, double *work, gm_kernel_figures *f) {
    const size_t rows = x->rows, others = y->rows;
    double *within_x = work, *within_y = within_x + rows, *to_y = within_y + others, *to_x = to_y + rows;
    find_sums(x, x, true, within_x);
    find_sums(y, y, true, within_y);
    find_sums(x, y, false, to_y);
    find_sums(y, x, false, to_x);
    const double m = (double)rows, n = (double)others, xx = total(rows, within_x), yy = total(others, within_y),
                 xy = total(rows, to_y);
    f->distance = estimate(m, n, xx, yy, xy);
    /* a row that is left out takes its pairs with it, those within its own set twice */
    for (size_t i = 0; i < rows; i++) within_x[i] = estimate(m - 1, n, xx - 2 * within_x[i], yy, xy - to_y[i]);
    for (size_t i = 0; i < others; i++) within_y[i] = estimate(m, n - 1, xx, yy - 2 * within_y[i], xy - to_x[i]);
    f->deviation = sqrt(jackknife(rows, within_x) + jackknife(others, within_y));
}

/* Disjoint subsets: the k-th rows, `size` of them, of each set's permutation. */
static int measure_subsets(const gm_points *x, const gm_points *y, size_t size, uint64_t seed, double *work,
                           gm_kernel_figures *f, gm_error *e) {
    const size_t d = x->columns;
    float *a = gm_draw_rows(x, f->subsets * size, GM_DRAW_REAL, seed, e);
    float *b = a ? gm_draw_rows(y, f->subsets * size, GM_DRAW_FAKE, seed, e) : NULL;
    double sum = 0, squares = 0;
    for (size_t i = 0; b && i < f->subsets; i++) {
        gm_kernel_figures part = {0};
        measure(&(gm_points){size, d, a + i * size * d}, &(gm_points){size, d, b + i * size * d}, work, &part);
        sum += part.distance;
        squares += part.distance * part.distance;
    }
    const double count = (double)f->subsets, mean = sum / count;
    f->distance = mean;
    f->deviation = sqrt(fmax(squares / count - mean * mean, 0) / (count - 1));
    free(a);
    free(b);
    return a && b ? 0 : -1;
}

int gm_kernel_distance(const gm_points *real, const gm_points *fake, uint64_t seed, gm_kernel_figures *f, gm_error *e) {
    if (gm_points_check(real, fake, GM_KERNEL_ROWS, e) != 0 || gm_points_check_lengths(real, fake, e) != 0) return -1;
    if (gm_blas_ready(e) != 0) return -1;
    const size_t least = real->rows < fake->rows ? real->rows : fake->rows;
    const double rows = (double)real->rows + (double)fake->rows;
    const bool all = rows * rows * (double)real->columns <= GM_KERNEL_WORK || least / 2 < GM_KERNEL_ROWS;
    const size_t size = least / 2 < GM_KERNEL_SUBSET ? least / 2 : GM_KERNEL_SUBSET;
    *f = (gm_kernel_figures){.subsets = all ? 0 : least / size};
    double *work = gm_new(all ? 2 * (real->rows + fake->rows) : 4 * size, sizeof *work, e);
    if (!work) return -1;
    int status = 0;
    if (all)
        measure(real, fake, work, f);
    else
        status = measure_subsets(real, fake, size, seed, work, f, e);
    free(work);
    return status;
}
