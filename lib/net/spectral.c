/* spectral.c: the largest singular value of a layer's weights. Without BLAS, for gm-init makes u too. */
#include "layer.h"

#include "../math/clones.h"
#include "gm/ops.h"

#include <math.h>

/* x / |x|; zeros stay zeros. Returns |x|. */
static float normalize(size_t n, float *x) {
    double norm = sqrt(gm_sum_squares(n, x));
    if (!(norm > 0.0)) return 0.0f;
    float scale = (float)(1.0 / norm);
    for (size_t i = 0; i < n; i++) x[i] *= scale;
    return (float)norm;
}

#define LANES 16

/* The sum of x_i y_i, in lanes. */
GM_CLONES static float dot(size_t n, const float *x, const float *y) {
    float lanes[LANES] = {0}, sum = 0.0f;
    size_t whole = n / LANES * LANES;
    for (size_t i = 0; i < whole; i += LANES)
        for (size_t j = 0; j < LANES; j++) lanes[j] += x[i + j] * y[i + j];
    for (size_t i = whole; i < n; i++) lanes[i - whole] += x[i] * y[i];
    for (size_t j = 0; j < LANES; j++) sum += lanes[j];
    return sum;
}

/* y += a x */
GM_CLONES static void add_scaled(size_t n, float a, const float *x, float *y) {
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) y[i] += a * x[i];
}

float gm_spectral_iterate(const gm_layer *layer, const float *weights, const float *u, float *a, float *next) {
    size_t inputs = layer->inputs, units = layer->units;
    for (size_t i = 0; i < inputs; i++) a[i] = dot(units, weights + i * units, u);
    normalize(inputs, a);
    for (size_t j = 0; j < units; j++) next[j] = 0.0f;
    for (size_t i = 0; i < inputs; i++) add_scaled(units, a[i], weights + i * units, next);
    float largest = normalize(units, next);
    return largest > 0.0f ? largest : 1.0f;
}
