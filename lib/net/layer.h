/* layer.h: one layer on a chunk of rows, forward beside backward. Private to lib/net.
 *
 * All matrices are row-major and dense. v is what stands before the activation, y behind it, d is d loss / d y or d
 * loss / d v. Nothing here allocates or can fail.
 */
#ifndef GM_NET_LAYER_H
#define GM_NET_LAYER_H

#include "gm/net.h"
#include "gm/rng.h"

/* True where the derivative needs v, so that it must be kept (gelu); all others are told from y. */
bool gm_activation_keeps_v(gm_activation a);

/* v[rows, units] = x[rows, inputs] W + b, y = activation(v). v may be y, unless it is to be kept. */
void gm_dense_forward(const gm_layer *layer, const float *weights, const float *biases, size_t rows, const float *x,
                      float *v, float *y);

/* d/dv = d/dy times the activation's derivative, in place: d[rows, units]. v counts only where gm_activation_keeps_v.
 */
void gm_activation_backward(gm_activation a, size_t rows, size_t units, const float *v, const float *y, float *d);

/* dx[rows, inputs] = d W', d being d loss / d v. */
void gm_dense_backward_inputs(const gm_layer *layer, const float *weights, size_t rows, const float *d, float *dx);

/* Rows first .. first + count - 1 of the weights' gradient: dw[count, units] = x[:, first : first + count]' d. */
void gm_dense_backward_weights(const gm_layer *layer, size_t first, size_t count, size_t rows, const float *x,
                               const float *d, float *dw);

/* db[units] = the sums of the columns of d[rows, units], always in the same order. */
void gm_dense_backward_biases(size_t rows, size_t units, const float *d, float *db);

/* The fixed numbers of an rff layer, in turns (2 pi): weights[inputs, units] = sqrt(2 gamma) / (2 pi) times normal
 * number i of (seed, RFF, layer, 0), phases[units] = uniform number i of (seed, RFF, layer, 1). */
void gm_fourier_init(const gm_layer *layer, size_t number, uint64_t seed, float *weights, float *phases);

/* v[rows, units] = x W + phases without its whole turns, y = sqrt(2 / units) cos(2 pi v). v may be y, unless it is to
 * be kept. Backward: d[rows, units], d loss / d y, is overwritten; dx[rows, inputs] is d loss / d x. */
void gm_fourier_forward(const gm_layer *layer, const float *weights, const float *phases, size_t rows, const float *x,
                        float *v, float *y);
void gm_fourier_backward(const gm_layer *layer, const float *weights, size_t rows, const float *v, float *d, float *dx);

/* y = x mask, mask[rows, units] being 0 with probability `rate`, else 1 / (1 - rate) (Srivastava et al. 2014,
 * inverted): 0 where uniform number first + i of `rng` is below the rate. Backward: dx = d mask. x may be y, d may be
 * dx. */
void gm_dropout_forward(const gm_layer *layer, gm_rng rng, uint64_t first, size_t rows, const float *x, float *mask,
                        float *y);
void gm_dropout_backward(const gm_layer *layer, size_t rows, const float *mask, const float *d, float *dx);

#endif
