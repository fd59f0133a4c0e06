/* spectral.c: the largest singular value of a layer's weights. */
#include "layer.h"

#include "gm/blas.h"
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

float gm_spectral_iterate(const gm_layer *layer, const float *weights, const float *u, float *a, float *next) {
    size_t inputs = layer->inputs, units = layer->units;
    gm_matmul(inputs, 1, units, weights, units, u, 1, 0.0f, a, 1);
    normalize(inputs, a);
    gm_matmul(1, units, inputs, a, inputs, weights, units, 0.0f, next, units);
    float largest = normalize(units, next);
    return largest > 0.0f ? largest : 1.0f;
}
