/* sample.c: rows drawn for comparisons. */
#include "sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

float *gm_draw_rows(const gm_points *points, size_t count, gm_draw draw, uint64_t seed, gm_error *e) {
    const size_t columns = points->columns;
    if (points->rows > UINT32_MAX) {
        gm_fail(e, "%zu rows are more than %lu", points->rows, (unsigned long)UINT32_MAX);
        return NULL;
    }
    uint32_t *order = gm_new(points->rows, sizeof *order, e);
    float *x = order ? gm_new(count * columns, sizeof *x, e) : NULL;
    if (x) {
        gm_rng rng = {.seed = seed, .purpose = GM_PURPOSE_COMPARE, .stream = draw};
        gm_rng_permutation(rng, points->rows, order);
        for (size_t i = 0; i < count; i++) memcpy(x + i * columns, points->x + order[i] * columns, columns * sizeof *x);
    }
    free(order);
    return x;
}

static int check_lengths(const gm_points *points, const char *which, gm_error *e) {
    const float *x = points->x;
    for (size_t i = 0; i < points->rows; i++, x += points->columns) {
        double squares = 0;
        for (size_t j = 0; j < points->columns; j++) squares += (double)x[j] * (double)x[j];
        if (!(squares <= GM_LENGTH_MOST * GM_LENGTH_MOST))
            return gm_fail(e, "%s row %zu has a length of %.3g, more than %g", which, i, sqrt(squares), GM_LENGTH_MOST);
    }
    return 0;
}

int gm_points_check_lengths(const gm_points *real, const gm_points *fake, gm_error *e) {
    return check_lengths(real, "real", e) != 0 || check_lengths(fake, "fake", e) != 0 ? -1 : 0;
}

int gm_points_check(const gm_points *real, const gm_points *fake, size_t least, gm_error *e) {
    if (real->columns != fake->columns || real->columns == 0)
        return gm_fail(e, "%zu and %zu columns cannot be compared", real->columns, fake->columns);
    if (real->rows >= least && fake->rows >= least) return 0;
    return gm_fail(e, "at least %zu rows of each are needed, there are %zu and %zu", least, real->rows, fake->rows);
}
