/* quantile.c: a number by its place in the column's distribution, and back. */
#include "quantile.h"

#include "gm/rng.h"

#include <math.h>
#include <stdlib.h>

enum {
    ATOM_ROWS = 5,     /* an atom has at least so many rows, */
    ATOM_SHARE = 100,  /* and of all rows at least one in so many */
    GAP_SHARE = 32,    /* a gap between values is wide if it is a larger part of their range than one in so many */
    SPREAD_VALUES = 64 /* knots that are left for values between atoms */
};

/* ---- what is kept of a column ---- */

/* J. S. Vitter: Random sampling with a reservoir. ACM Transactions on Mathematical Software 11, 1985: algorithm R. */
int gm_reservoir_add(gm_reservoir *r, size_t column, double value, gm_error *e) {
    if (r->seen >= GM_RESERVOIR_SEEN_MAX) return 0;
    const uint64_t number = r->seen++;
    if (r->count < GM_RESERVOIR) {
        if (gm_grow(&r->values, &r->capacity, r->count + 1, sizeof *r->values, e) < 0) return -1;
        r->values[r->count++] = value;
        return 0;
    }
    uint32_t word;
    gm_rng_words((gm_rng){.purpose = GM_PURPOSE_RESERVOIR, .stream = (uint32_t)column}, number, 1, &word);
    const uint64_t at = (uint64_t)word * (number + 1) >> 32;
    if (at < GM_RESERVOIR) r->values[at] = value;
    return 0;
}

void gm_reservoir_free(gm_reservoir *r) {
    free(r->values);
    *r = (gm_reservoir){0};
}

/* ---- knots ---- */

/* A value that is there, and where it begins in the sorted values. */
typedef struct gm_run {
    double value;
    size_t first, count;
    bool atom, knot;
} gm_run;

static int by_value(const void *a, const void *b) {
    const double p = *(const double *)a, q = *(const double *)b;
    return (p > q) - (p < q);
}

static size_t find_runs(size_t n, const double *values, gm_run *runs) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && values[i] == values[i - 1]) {
            runs[count - 1].count++;
        } else {
            runs[count++] = (gm_run){.value = values[i], .first = i, .count = 1};
        }
    }
    for (size_t i = 0; i < count; i++)
        runs[i].atom = count == 1 || (runs[i].count >= ATOM_ROWS && runs[i].count * ATOM_SHARE >= n);
    return count;
}

static size_t mark(gm_run *run) {
    const size_t fresh = run->knot ? 0 : 1;
    run->knot = true;
    return fresh;
}

/* Beside an atom or a wide gap. */
static bool is_edge(const gm_run *run, double wide) {
    return run[-1].atom || run[1].atom || run[0].value - run[-1].value > wide || run[1].value - run[0].value > wide;
}

/* All values where they are few. Else the ends, the atoms, the values beside them and beside wide gaps (so that nothing
 * is spread over what is empty), and values in equal steps of rows. */
static void choose_knots(gm_run *runs, size_t count) {
    size_t chosen = 0, others = 0, passed = 0, step = 0;
    const double wide = (runs[count - 1].value - runs[0].value) / GAP_SHARE;
    for (size_t i = 0; i < count; i++) {
        if (count <= GM_KNOT_VALUES_MAX || runs[i].atom || i == 0 || i + 1 == count) chosen += mark(&runs[i]);
        if (!runs[i].atom) others += runs[i].count;
    }
    for (size_t i = 1; i + 1 < count && chosen < GM_KNOT_VALUES_MAX - SPREAD_VALUES; i++)
        if (is_edge(&runs[i], wide)) chosen += mark(&runs[i]);
    const size_t steps = GM_KNOT_VALUES_MAX - chosen;
    for (size_t i = 0; i < count && step < steps; i++) {
        if (runs[i].atom) continue;
        passed += runs[i].count;
        if (passed * 2 * steps < (2 * step + 1) * others) continue; /* the middle of this step is still ahead */
        mark(&runs[i]);
        while (step < steps && passed * 2 * steps >= (2 * step + 1) * others) step++;
    }
}

/* An atom from where it begins to where it ends; else the middle of the value's rows. */
static void place_knots(const gm_run *runs, size_t count, size_t n, gm_column *c) {
    for (size_t i = 0; i < count; i++) {
        const double rows = (double)n, first = (double)runs[i].first, behind = first + (double)runs[i].count;
        if (!runs[i].knot) continue;
        const double levels[2] = {runs[i].atom ? first / rows : (first + behind) / 2 / rows, behind / rows};
        for (size_t k = 0; k < (runs[i].atom ? 2 : 1); k++) {
            c->knots[c->knot_count] = runs[i].value;
            c->levels[c->knot_count++] = levels[k];
        }
    }
}

int gm_quantile_fit(gm_reservoir *r, gm_column *c, gm_error *e) {
    const double none = 0;
    const size_t n = r->count > 0 ? r->count : 1;
    gm_run *runs = gm_new(n, sizeof *runs, e);
    c->knots = gm_new(GM_KNOTS_MAX, sizeof *c->knots, e);
    c->levels = gm_new(GM_KNOTS_MAX, sizeof *c->levels, e);
    if (runs == NULL || c->knots == NULL || c->levels == NULL) {
        free(runs);
        return -1;
    }
    if (r->count > 0) {
        qsort(r->values, n, sizeof *r->values, by_value);
        r->values[0] = c->minimum; /* which the sample may have missed */
        r->values[n - 1] = c->maximum;
    }
    const size_t count = find_runs(n, r->count > 0 ? r->values : &none, runs);
    choose_knots(runs, count);
    place_knots(runs, count, n, c);
    free(runs);
    return 0;
}

int gm_quantile_check(const gm_column *c, size_t number, gm_error *e) {
    const size_t n = c->knot_count;
    bool good = n >= 2 && n <= GM_KNOTS_MAX && c->knots[0] == c->minimum && c->knots[n - 1] == c->maximum &&
                c->levels[0] >= 0 && c->levels[n - 1] <= 1;
    for (size_t i = 1; good && i < n; i++) {
        const bool atom = c->knots[i] == c->knots[i - 1];
        good = c->knots[i] >= c->knots[i - 1] && c->levels[i] >= c->levels[i - 1];
        good = good && (!atom || (c->levels[i] > c->levels[i - 1] && (i < 2 || c->knots[i] > c->knots[i - 2])));
    }
    return good ? 0 : gm_fail(e, "the knots of column %zu are not in order", number);
}

/* ---- there and back ---- */

static float feature_of(double level) {
    return (float)(2 * level - 1);
}

/* The first of the sorted numbers that is not below x, the last one if all are. */
static size_t not_below(const double *sorted, size_t n, double x) {
    size_t low = 0, high = n - 1;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (sorted[middle] < x) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

float gm_quantile_scale(const gm_column *c, double value) {
    const size_t last = c->knot_count - 1;
    const double *knots = c->knots, *levels = c->levels;
    const double inside = fmin(fmax(value, knots[0]), knots[last]);
    const size_t at = not_below(knots, c->knot_count, inside);
    if (knots[at] == inside) {
        const bool atom = at < last && knots[at + 1] == inside;
        return feature_of((levels[at] + levels[atom ? at + 1 : at]) / 2);
    }
    const double share = (inside - knots[at - 1]) / (knots[at] - knots[at - 1]);
    return feature_of(levels[at - 1] + share * (levels[at] - levels[at - 1]));
}

double gm_quantile_unscale(const gm_column *c, float feature) {
    const double level = ((double)feature + 1) / 2;
    const double *knots = c->knots, *levels = c->levels;
    if (isnan(feature)) return (double)feature;
    const size_t at = not_below(levels, c->knot_count, level);
    if (at == 0 || level >= levels[at]) return knots[at];
    if (feature == feature_of(levels[at])) return knots[at];
    if (feature == feature_of(levels[at - 1])) return knots[at - 1];
    const double share = (level - levels[at - 1]) / (levels[at] - levels[at - 1]);
    return knots[at - 1] + share * (knots[at] - knots[at - 1]);
}
