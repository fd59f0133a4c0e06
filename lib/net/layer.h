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

/* v[rows, units] = x[rows, inputs] W + b, y = activation(v). v may be y, unless it is to be kept; where the activation
 * is linear, relu or leaky it is not written. `packed` is what gm_matmul_pack made of W, or NULL. With many units, in
 * `cuts` pieces that threads share; so below. */
void gm_dense_forward(const gm_layer *layer, const float *weights, const float *packed, const float *biases,
                      size_t rows, size_t cuts, const float *x, float *v, float *y);

/* y_k = exp(v_k - max v) / sum_j exp(v_j - max v) for each row. v may be y. */
void gm_softmax(size_t rows, size_t units, const float *v, float *y);

/* d/dv = d/dy times the activation's derivative, in place: d[rows, units]. v counts only where gm_activation_keeps_v.
 */
void gm_activation_backward(gm_activation a, size_t rows, size_t units, const float *v, const float *y, float *d);

/* dv[rows, units] = dx[rows, inputs] W. */
void gm_dense_tangent(const gm_layer *layer, const float *weights, size_t rows, const float *dx, float *dv);

/* dx[rows, inputs] = d W', d being d loss / d v. */
void gm_dense_backward_inputs(const gm_layer *layer, const float *weights, size_t rows, size_t cuts, const float *d,
                              float *dx);

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

/* ---- latent.c: the gaussian layer ----
 * x[rows, 2 latent] = [m, s], m the mean, s the log variance. */

/* z = m + exp(s / 2) e in y[rows, latent + labels]; noise[rows, latent] = exp(s / 2) e is kept. e is normal number
 * first + i of `rng`, 0 without one. joined[rows, stride]: where the class stands that goes behind z (layer->labels
 * columns). */
void gm_gaussian_forward(const gm_layer *layer, const gm_rng *rng, uint64_t first, size_t rows, const float *x,
                         const float *joined, size_t stride, float *noise, float *y);

/* dx[rows, 2 latent] = [d, d noise / 2], d[rows, latent + labels] being d loss / d y, and of `scale` times the
 * divergence [scale m, scale (exp(s) - 1) / 2]. */
void gm_gaussian_backward(const gm_layer *layer, size_t rows, const float *x, const float *noise, float scale,
                          const float *d, float *dx);

/* Adds weight KL(N(m, exp(s)) || N(0, 1)) = weight sum (m^2 + exp(s) - 1 - s) / 2 to values[rows], in nats (Kingma,
 * Welling 2014, appendix B). */
void gm_gaussian_divergence(const gm_layer *layer, size_t rows, const float *x, double weight, double *values);

/* ---- mixed.c: the last layer of a generator of tables ---- */

/* y[rows, units]: numbers activation(x); of k categories softmax((x + g) / temperature), of a flag sigmoid((x + l) /
 * temperature), with g = -log(-log u), l = log(u / (1 - u)), u being uniform number first + i of `rng`; without one g
 * and l are 0. */
void gm_mixed_forward(const gm_layer *layer, const gm_spans *spans, const gm_rng *rng, uint64_t first, size_t rows,
                      const float *x, float *y);

/* dx[rows, units] from d = d loss / d y; d may be dx. */
void gm_mixed_backward(const gm_layer *layer, const gm_spans *spans, size_t rows, const float *y, const float *d,
                       float *dx);

/* ---- batchnorm.c ----
 * A column's moments: its mean and 1 / sqrt(variance + 1e-5). */

typedef struct gm_moments {
    float *mean, *inverse; /* [units] */
} gm_moments;

/* Of x[rows, units], columns first .. first + count - 1; variance[units] is the biased one. */
void gm_batchnorm_moments(size_t rows, size_t units, size_t first, size_t count, const float *x, gm_moments m,
                          float *variance);
/* Of running statistics. */
void gm_batchnorm_running(size_t units, const float *mean, const float *variance, gm_moments m);

/* y = gain n + shift, n = (x - mean) inverse. x may be y. */
void gm_batchnorm_forward(size_t rows, size_t units, const float *x, gm_moments m, const float *gain,
                          const float *shift, float *y);

/* sum_d[units] = sum of d, sum_dn[units] = sum of d n over the rows, for columns first .. first + count - 1: the
 * gradients of shift and gain. */
void gm_batchnorm_sums(size_t rows, size_t units, size_t first, size_t count, const float *x, const float *d,
                       gm_moments m, float *sum_d, float *sum_dn);

/* dx = gain inverse (d - sum_d / N - n sum_dn / N), N the rows that the moments are of (Ioffe, Szegedy 2015, section
 * 3); sums NULL: of running moments, gain inverse d. d may be dx. */
void gm_batchnorm_backward(size_t rows, size_t units, const float *x, const float *d, gm_moments m, const float *gain,
                           const float *sum_d, const float *sum_dn, size_t moment_rows, float *dx);

/* ---- spectral.c ---- */

/* One power iteration: a[inputs] = W u / |W u|, next[units] = W' a / |W' a|; returns s = |W' a|, the estimate of W's
 * largest singular value (1 for a W of zeros). next may be u. */
float gm_spectral_iterate(const gm_layer *layer, const float *weights, const float *u, float *a, float *next);

/* ---- tangents, for the gradient penalty ---- */

/* Forward: tangent[rows, units] = f'(v) dv, elementwise; f one of the activations but softmax. May be in place. */
void gm_activation_tangent(gm_activation a, size_t n, const float *v, const float *y, const float *dv, float *tangent);

/* Backward through that: p is the adjoint of the tangent f'(v) dv, q that of y. In: dv, p, q; out: dv becomes the
 * adjoint of dv, p f'(v), and q the adjoint of v, q f'(v) + p dv f''(v). */
void gm_activation_tangent_backward(gm_activation a, size_t n, const float *v, const float *y, const float *p,
                                    float *dv, float *q);

#endif
