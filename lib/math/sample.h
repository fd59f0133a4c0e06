/* sample.h: rows drawn for comparisons. Private to the library's measures. */
#ifndef GM_MATH_SAMPLE_H
#define GM_MATH_SAMPLE_H

#include "gm/compare.h"
#include "gm/rng.h"

/* What is drawn: a stream of GM_PURPOSE_COMPARE each. */
typedef enum gm_draw { GM_DRAW_REAL, GM_DRAW_FAKE, GM_DRAW_BATCHES } gm_draw;

/* `count` of the rows, in the order of a permutation by (seed, draw): [count, columns], to be freed. With count equal
 * to the rows these are all of them. NULL with a message. */
GM_MUST_USE float *gm_draw_rows(const gm_points *points, size_t count, gm_draw draw, uint64_t seed, gm_error *e);

/* -1 unless both sets have `least` rows and equal columns, at least one. */
GM_MUST_USE int gm_points_check(const gm_points *real, const gm_points *fake, size_t least, gm_error *e);

#endif
