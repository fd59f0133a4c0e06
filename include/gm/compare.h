/* compare.h: how alike two sets of rows are: real rows and rows that a generator made.
 *
 * Rows are points: [rows, columns], encoded columns or the outputs of a layer. Sums are made in double and in a fixed
 * order: bits do not depend on the number of threads. Each measure needs some rows of both sets (the _ROWS below): with
 * fewer it fails. Real and fake have the same columns.
 */
#ifndef GM_COMPARE_H
#define GM_COMPARE_H

#include "gm/schema.h"

typedef struct gm_points {
    size_t rows, columns;
    const float *x; /* [rows, columns], finite */
} gm_points;

/* Products of rows are made in floats, which end at 3.4e38: -1 if a row is longer than GM_LENGTH_MOST. The measures of
 * kernels and neighbours fail then. */
#define GM_LENGTH_MOST 1e18
GM_MUST_USE int gm_points_check_lengths(const gm_points *real, const gm_points *fake, gm_error *e);

/* ---- Frechet distance (Heusel et al. 2017, eq. 6) ----
 *
 *   |m - w|^2 + tr(C + D - 2 (C D)^1/2)
 * m, w the means, C, D the covariances (divided by rows - 1). tr (C D)^1/2 is the sum of the square roots of the
 * eigenvalues of C^1/2 D C^1/2, which is symmetric, so constant columns and fewer rows than columns do no harm. */
#define GM_FRECHET_ROWS 2
#define GM_COVARIANCE_COLUMNS 4096 /* at most: work grows with their third power, memory with their second */
GM_MUST_USE int gm_frechet(const gm_points *real, const gm_points *fake, double *distance, gm_error *e);

/* ---- kernel distance (Binkowski et al. 2018): the unbiased estimate of MMD^2 with k(x,y) = (x.y / columns + 1)^3 ----
 *
 *   sum_{i != j} k(x_i, x_j) / (m (m-1)) + sum_{i != j} k(y_i, y_j) / (n (n-1)) - 2 sum k(x_i, y_j) / (m n)
 * (Gretton et al. 2012, eq. 3.) Of all rows while (m + n)^2 columns <= GM_KERNEL_WORK; its deviation is then that of
 * the jackknife, rows left out one by one (Arvesen 1969). Else the mean over disjoint subsets of GM_KERNEL_SUBSET rows
 * of each, drawn by `seed`, with the deviation of that mean. */
#define GM_KERNEL_ROWS 3
#define GM_KERNEL_WORK 1e12
#define GM_KERNEL_SUBSET 1000
typedef struct gm_kernel_figures {
    double distance, deviation; /* the estimate, and its own standard deviation */
    size_t subsets;             /* 0: of all rows */
} gm_kernel_figures;
GM_MUST_USE int gm_kernel_distance(const gm_points *real, const gm_points *fake, uint64_t seed, gm_kernel_figures *f,
                                   gm_error *e);

/* ---- nearest neighbours ----
 *
 * Distances are Euclidean; which are small is told by a matrix product, and what is small is computed again in double,
 * so ties are exact. The ball of a row reaches to its k-th nearest other row of its own set, which belongs to it.
 *   precision   share of the fake rows in the ball of a real row      } Kynkaanniemi et al. 2019, eq. 1 and 2
 *   recall      share of the real rows in the ball of a fake row      }
 *   density     mean over the fake rows of (balls of real rows they are in) / k            } Naeem et al. 2020,
 *   coverage    share of the real rows with a fake row in their own ball                   } eq. 5 and 7
 * A fake row is copied if its nearest real row is equal to it within the rounding of floats (a part in 10^6 of its
 * length); duplicates are real rows that are so equal to another real row.
 *   accuracy    of telling real from fake by the nearest other row of as many rows of both, the larger set's drawn by
 *               `seed`: leave-one-out, ties half (Lopez-Paz, Oquab 2017, with k = 1) */
#define GM_NEAREST_ROWS 2
#define GM_NEIGHBOURS_MOST 64 /* k */
typedef struct gm_neighbour_figures {
    double precision, recall, density, coverage; /* NAN with k = 0 */
    double nearest_median, nearest_least;        /* of a fake row to the nearest real row */
    double real_median, real_least;              /* of a real row to the nearest other real row */
    size_t copied_rows, duplicate_rows;
    double accuracy;
} gm_neighbour_figures;
/* Needs GM_NEAREST_ROWS and k + 1 rows of each; k = 0 leaves the balls out. */
GM_MUST_USE int gm_neighbours(const gm_points *real, const gm_points *fake, size_t k, uint64_t seed,
                              gm_neighbour_figures *f, gm_error *e);

/* ---- classifier two-sample test (Lopez-Paz, Oquab 2017) ----
 *
 * Accuracy of a small network (GM_TWO_SAMPLE_LAYERS, bce, adam) that tells real from fake, on rows that it was not
 * trained on: GM_TWO_SAMPLE_FOLDS folds, as many rows of both sets (at most GM_TWO_SAMPLE_MOST of each, drawn by
 * `seed`), columns standardized over them. low and high: the 95 % interval of Wilson (1927) for 1 / 2.25 as many rows,
 * for networks of several folds judge them (Nadeau, Bengio 2003). */
#define GM_TWO_SAMPLE_LAYERS "dense:64:relu", "dense:1"
#define GM_TWO_SAMPLE_FOLDS 5
#define GM_TWO_SAMPLE_ROWS 10
#define GM_TWO_SAMPLE_MOST 10000
typedef struct gm_two_sample_figures {
    double accuracy, low, high;
    size_t rows; /* judged: both sets together */
} gm_two_sample_figures;
GM_MUST_USE int gm_two_sample(const gm_points *real, const gm_points *fake, uint64_t seed, gm_two_sample_figures *f,
                              gm_error *e);

/* ---- column by column ---- */

/* One column, over the rows that have a value there. What a constant real column's deviation is: 1. */
typedef struct gm_column_difference {
    /* numeric */
    double ks;          /* Kolmogorov-Smirnov statistic: the largest difference of the distribution functions */
    double shift;       /* (mean of fake - mean of real) / deviation of real (which divides by the rows) */
    double wasserstein; /* Wasserstein-1: the area between the distribution functions / deviation of real */
    double missing;     /* share of fake rows without a value - share of such real rows */
    /* categorical; a category that real rows do not have is one more */
    double variation; /* total variation distance: half the sum of |share in fake - share in real| */
    double frequency; /* the largest of these */
} gm_column_difference;

/* Numbers of one column, which are sorted in place; both counts above 0. `missing` is left alone. */
void gm_compare_numbers(size_t real_count, float *real, size_t fake_count, float *fake, gm_column_difference *d);
/* Counts of `categories`; both sums above 0. */
void gm_compare_counts(size_t categories, const size_t *real, const size_t *fake, gm_column_difference *d);
/* Class numbers of rows, each in 0 .. classes - 1. */
GM_MUST_USE int gm_compare_labels(size_t classes, size_t real_rows, const int32_t *real, size_t fake_rows,
                                  const int32_t *fake, gm_column_difference *d, gm_error *e);
/* All columns of rows that `schema` encoded; NAN where there is no such figure (a numeric column whose values are all
 * missing, the other kind's figures). */
GM_MUST_USE int gm_compare_columns(const gm_schema *schema, const gm_points *real, const gm_points *fake,
                                   gm_column_difference *differences, gm_error *e);

/* The largest difference of the correlations of two of the `count` columns named, 0 for a constant column; NAN with
 * less than two of them. */
GM_MUST_USE int gm_compare_correlations(const gm_points *real, const gm_points *fake, size_t count,
                                        const size_t *columns, double *largest, gm_error *e);

#endif
