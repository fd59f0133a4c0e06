/* compare_columns.c: two tables column by column. */
#include "gm/compare.h"

#include <math.h>
#include <stdlib.h>

static int by_size(const void *a, const void *b) {
    const float p = *(const float *)a, q = *(const float *)b;
    return (p > q) - (p < q);
}

static double mean_of(size_t n, const float *x) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i];
    return sum / (double)n;
}

/* Walks both sorted sets value by value: between two values the distribution functions stand still. */
void gm_compare_numbers(size_t real_count, float *real, size_t fake_count, float *fake, gm_column_difference *d) {
    double squares = 0, mean = mean_of(real_count, real), area = 0, last = 0;
    for (size_t i = 0; i < real_count; i++) squares += ((double)real[i] - mean) * ((double)real[i] - mean);
    double deviation = sqrt(squares / (double)real_count);
    if (!(deviation > 0)) deviation = 1;
    d->shift = (mean_of(fake_count, fake) - mean) / deviation;
    qsort(real, real_count, sizeof *real, by_size);
    qsort(fake, fake_count, sizeof *fake, by_size);
    d->ks = 0;
    for (size_t i = 0, k = 0; i < real_count || k < fake_count;) {
        const bool from_real = k == fake_count || (i < real_count && real[i] <= fake[k]);
        const float value = from_real ? real[i] : fake[k];
        const double gap = fabs((double)i / (double)real_count - (double)k / (double)fake_count);
        if (i + k > 0) area += gap * ((double)value - last);
        last = (double)value;
        while (i < real_count && real[i] == value) i++;
        while (k < fake_count && fake[k] == value) k++;
        d->ks = fmax(d->ks, fabs((double)i / (double)real_count - (double)k / (double)fake_count));
    }
    d->wasserstein = area / deviation;
}

void gm_compare_counts(size_t categories, const size_t *real, const size_t *fake, gm_column_difference *d) {
    double reals = 0, fakes = 0, sum = 0;
    for (size_t i = 0; i < categories; i++) {
        reals += (double)real[i];
        fakes += (double)fake[i];
    }
    d->frequency = 0;
    for (size_t i = 0; i < categories; i++) {
        const double difference = fabs((double)real[i] / reals - (double)fake[i] / fakes);
        sum += difference;
        d->frequency = fmax(d->frequency, difference);
    }
    d->variation = sum / 2;
}

int gm_compare_labels(size_t classes, size_t real_rows, const int32_t *real, size_t fake_rows, const int32_t *fake,
                      gm_column_difference *d, gm_error *e) {
    size_t *counts = gm_new_zeroed(2 * classes, sizeof *counts, e);
    if (!counts) return -1;
    for (size_t i = 0; i < real_rows; i++)
        if (real[i] >= 0) counts[real[i]]++;
    for (size_t i = 0; i < fake_rows; i++)
        if (fake[i] >= 0) counts[classes + (size_t)fake[i]]++;
    gm_compare_counts(classes, counts, counts + classes, d);
    free(counts);
    return 0;
}

/* ---- columns of encoded rows ---- */

/* The values of a numeric column; how many there are. */
static size_t take_values(const gm_points *points, size_t at, bool may_miss, float *values) {
    size_t n = 0;
    for (size_t i = 0; i < points->rows; i++) {
        const float *row = points->x + i * points->columns + at;
        if (!may_miss || row[1] <= 0.5f) values[n++] = row[0];
    }
    return n;
}

/* Rows of each category; behind them those of none of these. */
static void count_categories(const gm_points *points, size_t at, size_t categories, size_t *counts) {
    for (size_t i = 0; i < points->rows; i++) {
        const float *row = points->x + i * points->columns + at;
        size_t c = 0;
        while (c < categories && !(row[c] > 0.5f)) c++;
        counts[c]++;
    }
}

static int compare_numeric(const gm_points *real, const gm_points *fake, size_t at, bool may_miss,
                           gm_column_difference *d, gm_error *e) {
    float *a = gm_new(real->rows, sizeof *a, e), *b = a ? gm_new(fake->rows, sizeof *b, e) : NULL;
    if (b) {
        const size_t m = take_values(real, at, may_miss, a), n = take_values(fake, at, may_miss, b);
        if (m && n) gm_compare_numbers(m, a, n, b, d);
        d->missing = (1 - (double)n / (double)fake->rows) - (1 - (double)m / (double)real->rows);
    }
    free(a);
    free(b);
    return b ? 0 : -1;
}

static int compare_categorical(const gm_points *real, const gm_points *fake, size_t at, size_t categories,
                               gm_column_difference *d, gm_error *e) {
    size_t *counts = gm_new_zeroed(2 * (categories + 1), sizeof *counts, e);
    if (!counts) return -1;
    count_categories(real, at, categories, counts);
    count_categories(fake, at, categories, counts + categories + 1);
    gm_compare_counts(categories + 1, counts, counts + categories + 1, d);
    free(counts);
    return 0;
}

int gm_compare_columns(const gm_schema *schema, const gm_points *real, const gm_points *fake,
                       gm_column_difference *differences, gm_error *e) {
    for (size_t i = 0, at = 0; i < schema->column_count; at += schema->columns[i++].features) {
        const gm_column *c = &schema->columns[i];
        gm_column_difference *d = &differences[i];
        *d = (gm_column_difference){NAN, NAN, NAN, NAN, NAN, NAN};
        if (c->categorical ? compare_categorical(real, fake, at, c->category_count, d, e) != 0
                           : compare_numeric(real, fake, at, c->features == 2, d, e) != 0)
            return -1;
    }
    return 0;
}
