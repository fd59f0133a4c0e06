/* latent.c: the gaussian layer, on one chunk of rows. */
#include "layer.h"

#include "../math/clones.h"
#include "gm/ops.h"

#include <string.h>

#define BLOCK ((size_t)1024)

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* noise *= exp(s / 2), one row. */
GM_CLONES static void scale_noise(size_t n, const float *s, float *noise) {
    float deviation[BLOCK] = {0};
    for (size_t i = 0; i < n; i += BLOCK) {
        size_t count = smaller(BLOCK, n - i);
        GM_INDEPENDENT
        for (size_t j = 0; j < count; j++) deviation[j] = 0.5f * s[i + j];
        gm_exp(count, deviation, deviation);
        GM_INDEPENDENT
        for (size_t j = 0; j < count; j++) noise[i + j] *= deviation[j];
    }
}

void gm_gaussian_forward(const gm_layer *layer, const gm_rng *rng, uint64_t first, size_t rows, const float *x,
                         const float *joined, size_t stride, float *noise, float *y) {
    size_t latent = layer->latent, n = rows * latent;
    if (rng)
        gm_rng_normal(*rng, first, n, noise);
    else
        memset(noise, 0, n * sizeof *noise);
    for (size_t i = 0; i < rows; i++, x += 2 * latent, y += layer->units, noise += latent) {
        if (rng) scale_noise(latent, x + latent, noise);
        for (size_t j = 0; j < latent; j++) y[j] = x[j] + noise[j];
        if (layer->labels) memcpy(y + latent, joined + i * stride, layer->labels * sizeof *y);
    }
}

/* One row; exp(s) stands in `variance`. */
GM_CLONES static void backward_row(size_t n, const float *x, const float *variance, const float *noise, float scale,
                                   const float *d, float *dx) {
    GM_INDEPENDENT
    for (size_t j = 0; j < n; j++) dx[j] = d[j] + scale * x[j];
    GM_INDEPENDENT
    for (size_t j = 0; j < n; j++) dx[n + j] = 0.5f * (d[j] * noise[j] + scale * (variance[j] - 1.0f));
}

void gm_gaussian_backward(const gm_layer *layer, size_t rows, const float *x, const float *noise, float scale,
                          const float *d, float *dx) {
    size_t latent = layer->latent;
    for (size_t i = 0; i < rows; i++, x += 2 * latent, dx += 2 * latent, d += layer->units, noise += latent) {
        gm_exp(latent, x + latent, dx + latent);
        backward_row(latent, x, dx + latent, noise, scale, d, dx);
    }
}

void gm_gaussian_divergence(const gm_layer *layer, size_t rows, const float *x, double weight, double *values) {
    size_t latent = layer->latent;
    float variance[BLOCK];
    for (size_t i = 0; i < rows; i++, x += 2 * latent)
        for (size_t j = 0; j < latent; j += BLOCK) {
            size_t n = smaller(BLOCK, latent - j);
            const float *m = x + j, *s = x + latent + j;
            double sum = 0.0;
            gm_exp(n, s, variance);
            for (size_t k = 0; k < n; k++)
                sum += (double)m[k] * (double)m[k] + (double)variance[k] - 1.0 - (double)s[k];
            values[i] += weight * 0.5 * sum;
        }
}
