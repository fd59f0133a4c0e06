/* quantile.h: a number by its place in the column's distribution, and back. Private to lib/data.
 *
 * With the scale `quantile` a feature is 2 F(value) - 1, F being the column's empirical distribution function: a line
 * through knots, which are pairs of a value and a level in [0, 1]. So the features of any column are uniform in (-1,
 * 1), be it skewed, of several modes, or with outliers. An atom, a value that many rows share, is two knots with its
 * value: where F jumps. It is encoded as the middle of its jump, and all of the jump decodes to it.
 */
#ifndef GM_DATA_QUANTILE_H
#define GM_DATA_QUANTILE_H

#include "gm/schema.h"

#define GM_KNOT_VALUES_MAX ((size_t)256)             /* values that knots stand at */
#define GM_KNOTS_MAX (2 * GM_KNOT_VALUES_MAX)        /* an atom has two */
#define GM_RESERVOIR ((size_t)16384)                 /* values of a column that are kept to find its knots */
#define GM_RESERVOIR_SEEN_MAX ((uint64_t)UINT32_MAX) /* values that are drawn from; later ones are not kept */

/* All values of a column, or of more than GM_RESERVOIR a random sample of them. Zeroed memory is an empty one. */
typedef struct gm_reservoir {
    double *values;
    size_t count, capacity;
    uint64_t seen;
} gm_reservoir;

/* `column` tells the random numbers of columns apart. */
GM_MUST_USE int gm_reservoir_add(gm_reservoir *r, size_t column, double value, gm_error *e);
void gm_reservoir_free(gm_reservoir *r);

/* Makes the column's knots of what was kept and of its minimum and maximum. The values are sorted. */
GM_MUST_USE int gm_quantile_fit(gm_reservoir *r, gm_column *c, gm_error *e);
/* That knots from outside are in order. `number` is the column's, for the message. */
GM_MUST_USE int gm_quantile_check(const gm_column *c, size_t number, gm_error *e);

/* Values outside of the knots are taken for the first or the last of them. */
float gm_quantile_scale(const gm_column *c, double value);
/* Gives a knot's value back exactly. */
double gm_quantile_unscale(const gm_column *c, float feature);

#endif
