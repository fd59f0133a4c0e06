/* ops.h: elementary functions and reductions on float arrays, the same bits on every machine.
 *
 * Polynomials of our own in plain IEEE arithmetic (no contraction, no libm), so that the compiler may vectorise them to
 * any width without a change in the result. Error bounds are in units in the last place against the exact value.
 * Arrays may alias only where in == out.
 */
#ifndef GM_OPS_H
#define GM_OPS_H

#include "gm/base.h"

void gm_exp(size_t n, const float *in, float *out);  /* <= 2 ulp; 0 below -87.3, FLT_MAX-finite up to 88.7, inf above */
void gm_log(size_t n, const float *in, float *out);  /* <= 2 ulp for normal in > 0 */
void gm_tanh(size_t n, const float *in, float *out); /* <= 4 ulp */
void gm_sigmoid(size_t n, const float *in, float *out);  /* 1 / (1 + exp(-x)), <= 4 ulp, never nan */
void gm_softplus(size_t n, const float *in, float *out); /* log(1 + exp(x)) without overflow, <= 4 ulp */
void gm_erf(size_t n, const float *in, float *out);      /* absolute error <= 1e-6 */
void gm_sincos_turns(size_t n, const float *turns, float *sine, float *cosine); /* of 2 pi turns, turns in [0, 1) */

/* Sums in a fixed order: lane i % 16 in double, then the lanes in order. */
double gm_sum(size_t n, const float *x);
double gm_sum_squares(size_t n, const float *x);
double gm_sum_absolute(size_t n, const float *x);

/* base^n for base >= 0 by squaring: pow() of another C library may round otherwise. What would be above 1e60 is 1e60,
 * so products of a few powers are finite. */
double gm_power(double base, uint64_t n);

/* Index of the first number that is not finite, n if all are. */
size_t gm_first_not_finite(size_t n, const float *x);

/* Denormal numbers count as zero in this thread from now on (every thread of every tool calls it, so that bits agree).
 */
void gm_flush_denormals(void);

#endif
