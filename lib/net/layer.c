/* layer.c: dense layers, their activations, dropout and random Fourier features, on one chunk of rows. */
#include "layer.h"

#include "../math/clones.h"
#include "gm/blas.h"
#include "gm/ops.h"
#include "gm/threads.h"

#include <math.h>

#define LEAKY_SLOPE 0.2f
#define BLOCK ((size_t)1024) /* numbers that are worked on at a time: they stay in the first cache */

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

GM_CLONES static void multiply(size_t n, const float *a, const float *b, float *out) {
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) out[i] = a[i] * b[i];
}

/* ---- activations, forward ----
 * Selections are turned so that a nan comes out as a nan: a broken run must be seen. */

GM_CLONES static void leaky(size_t n, float *y) {
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) y[i] = y[i] > 0.0f ? y[i] : LEAKY_SLOPE * y[i];
}

/* y = exp(v) - 1 for v <= 0. */
GM_CLONES static void elu(size_t n, const float *v, float *y) {
    float t[BLOCK];
    gm_exp(n, v, t);
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) y[i] = v[i] > 0.0f ? v[i] : t[i] - 1.0f;
}

/* erf(v / sqrt 2): Phi(v) = (1 + it) / 2. */
GM_CLONES static void erf_of_normal(size_t n, const float *v, float *out) {
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) out[i] = v[i] * 0.707106781f;
    gm_erf(n, out, out);
}

GM_CLONES static void gelu(size_t n, const float *v, float *y) {
    float t[BLOCK];
    erf_of_normal(n, v, t);
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) y[i] = 0.5f * v[i] * (1.0f + t[i]);
}

void gm_softmax(size_t rows, size_t units, const float *v, float *y) {
    for (size_t i = 0; i < rows; i++, v += units, y += units) {
        float largest = v[0];
        for (size_t j = 1; j < units; j++) largest = v[j] > largest ? v[j] : largest;
        for (size_t j = 0; j < units; j++) y[j] = v[j] - largest;
        gm_exp(units, y, y);
        float scale = (float)(1.0 / gm_sum(units, y));
        for (size_t j = 0; j < units; j++) y[j] *= scale;
    }
}

/* One number at a time, n <= BLOCK. */
static void activate_block(gm_activation a, size_t n, const float *v, float *y) {
    switch (a) {
    case GM_TANH:
        gm_tanh(n, v, y);
        break;
    case GM_SIGMOID:
        gm_sigmoid(n, v, y);
        break;
    case GM_SOFTPLUS:
        gm_softplus(n, v, y);
        break;
    case GM_ELU:
        elu(n, v, y);
        break;
    case GM_GELU:
        gelu(n, v, y);
        break;
    case GM_LINEAR:
    case GM_RELU:
    case GM_LEAKY:
    case GM_SOFTMAX:
        break; /* not by blocks */
    }
}

bool gm_activation_keeps_v(gm_activation a) {
    return a == GM_GELU;
}

/* Whether the product of the layer is in v, and y made of it; else it is in y, and y is made in place. */
static bool makes_y_of_v(gm_activation a) {
    return a != GM_LINEAR && a != GM_RELU && a != GM_LEAKY;
}

/* What the product with its biases leaves to do. */
static void activate(const gm_layer *layer, size_t rows, const float *v, float *y) {
    size_t count = rows * layer->units;
    switch (layer->activation) {
    case GM_LINEAR:
    case GM_RELU:
        break;
    case GM_LEAKY:
        leaky(count, y);
        break;
    case GM_SOFTMAX:
        gm_softmax(rows, layer->units, v, y);
        break;
    default:
        for (size_t i = 0; i < count; i += BLOCK)
            activate_block(layer->activation, smaller(BLOCK, count - i), v + i, y + i);
    }
}

/* A dense layer's work in `cuts` pieces. */
typedef struct dense_job {
    const gm_layer *layer;
    size_t rows, cuts;
    const float *weights, *packed, *biases, *from;
    float *v, *to;
} dense_job;

/* Where piece i begins: at a whole number of vectors. */
static size_t cut_at(size_t n, size_t cuts, size_t i) {
    return i == cuts ? n : n / cuts * i / 16 * 16;
}

static void forward_columns(void *context, size_t i) {
    const dense_job *job = context;
    size_t inputs = job->layer->inputs, units = job->layer->units, first = cut_at(units, job->cuts, i);
    gm_matmul_biased(job->rows, cut_at(units, job->cuts, i + 1) - first, inputs, job->from, inputs,
                     job->weights + first, units, job->cuts == 1 ? job->packed : NULL, job->biases + first,
                     job->layer->activation == GM_RELU, job->v + first, units);
}

static void activate_rows(void *context, size_t i) {
    const dense_job *job = context;
    size_t first = job->rows * i / job->cuts, at = first * job->layer->units;
    activate(job->layer, job->rows * (i + 1) / job->cuts - first, job->v + at, job->to + at);
}

static void backward_columns(void *context, size_t i) {
    const dense_job *job = context;
    size_t inputs = job->layer->inputs, units = job->layer->units, first = cut_at(inputs, job->cuts, i);
    gm_matmul_nt(job->rows, cut_at(inputs, job->cuts, i + 1) - first, units, job->from, units,
                 job->weights + first * units, units, 0.0f, job->to + first, inputs);
}

#define CUT_COLUMNS ((size_t)256) /* of a product that is worth cutting */

void gm_dense_forward(const gm_layer *layer, const float *weights, const float *packed, const float *biases,
                      size_t rows, size_t cuts, const float *x, float *v, float *y) {
    dense_job job = {.layer = layer,
                     .rows = rows,
                     .cuts = layer->units < CUT_COLUMNS ? 1 : cuts,
                     .weights = weights,
                     .packed = packed,
                     .biases = biases,
                     .from = x,
                     .v = makes_y_of_v(layer->activation) ? v : y,
                     .to = y};
    gm_parallel(job.cuts, forward_columns, &job);
    gm_parallel(job.cuts, activate_rows, &job);
}

/* ---- activations, backward ---- */

GM_CLONES static void relu_backward(size_t n, const float *y, float *d) {
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) d[i] = y[i] > 0.0f ? d[i] : 0.0f;
}

GM_CLONES static void leaky_backward(size_t n, const float *y, float *d) {
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) d[i] = y[i] > 0.0f ? d[i] : LEAKY_SLOPE * d[i];
}

GM_CLONES static void tanh_backward(size_t n, const float *y, float *d) {
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) d[i] *= 1.0f - y[i] * y[i];
}

GM_CLONES static void sigmoid_backward(size_t n, const float *y, float *d) {
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) d[i] *= y[i] * (1.0f - y[i]);
}

/* exp(v) = y + 1 for v <= 0. */
GM_CLONES static void elu_backward(size_t n, const float *y, float *d) {
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) d[i] = y[i] > 0.0f ? d[i] : d[i] * (y[i] + 1.0f);
}

/* The derivative is sigmoid(v) = 1 - exp(-y). n <= BLOCK. */
GM_CLONES static void softplus_backward(size_t n, const float *y, float *d) {
    float t[BLOCK] = {0};
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) t[i] = -y[i];
    gm_exp(n, t, t);
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) d[i] *= 1.0f - t[i];
}

/* The derivative is Phi(v) + v phi(v), phi(v) = exp(-v^2 / 2) / sqrt(2 pi). n <= BLOCK. */
GM_CLONES static void gelu_backward(size_t n, const float *v, float *d) {
    float t[BLOCK], s[BLOCK] = {0};
    erf_of_normal(n, v, t);
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) s[i] = -0.5f * v[i] * v[i];
    gm_exp(n, s, s);
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) d[i] *= 0.5f * (1.0f + t[i]) + v[i] * (0.398942280f * s[i]);
}

/* d/dv_k = y_k (d_k - sum_j d_j y_j) for each row. */
static void softmax_backward(size_t rows, size_t units, const float *y, float *d) {
    for (size_t i = 0; i < rows; i++, y += units, d += units) {
        double sum = 0.0;
        for (size_t j = 0; j < units; j++) sum += (double)d[j] * (double)y[j];
        float mean = (float)sum;
        for (size_t j = 0; j < units; j++) d[j] = y[j] * (d[j] - mean);
    }
}

void gm_activation_backward(gm_activation a, size_t rows, size_t units, const float *v, const float *y, float *d) {
    size_t n = rows * units;
    switch (a) {
    case GM_LINEAR:
        break;
    case GM_RELU:
        relu_backward(n, y, d);
        break;
    case GM_LEAKY:
        leaky_backward(n, y, d);
        break;
    case GM_TANH:
        tanh_backward(n, y, d);
        break;
    case GM_SIGMOID:
        sigmoid_backward(n, y, d);
        break;
    case GM_SOFTMAX:
        softmax_backward(rows, units, y, d);
        break;
    case GM_ELU:
        elu_backward(n, y, d);
        break;
    case GM_SOFTPLUS:
        for (size_t i = 0; i < n; i += BLOCK) softplus_backward(smaller(BLOCK, n - i), y + i, d + i);
        break;
    case GM_GELU:
        for (size_t i = 0; i < n; i += BLOCK) gelu_backward(smaller(BLOCK, n - i), v + i, d + i);
        break;
    }
}

/* ---- tangents ---- */

/* f'(v) and f''(v), n <= BLOCK; t is room. */
GM_CLONES static void slopes(gm_activation a, size_t n, const float *v, const float *y, float *slope, float *curve) {
    float t[BLOCK] = {0};
    switch (a) {
    case GM_RELU:
    case GM_LEAKY:
        for (size_t i = 0; i < n; i++) slope[i] = y[i] > 0.0f ? 1.0f : a == GM_RELU ? 0.0f : LEAKY_SLOPE;
        for (size_t i = 0; i < n; i++) curve[i] = 0.0f;
        break;
    case GM_TANH:
        for (size_t i = 0; i < n; i++) slope[i] = 1.0f - y[i] * y[i];
        for (size_t i = 0; i < n; i++) curve[i] = -2.0f * y[i] * slope[i];
        break;
    case GM_SIGMOID:
        for (size_t i = 0; i < n; i++) slope[i] = y[i] * (1.0f - y[i]);
        for (size_t i = 0; i < n; i++) curve[i] = slope[i] * (1.0f - 2.0f * y[i]);
        break;
    case GM_ELU:
        for (size_t i = 0; i < n; i++) slope[i] = y[i] > 0.0f ? 1.0f : y[i] + 1.0f;
        for (size_t i = 0; i < n; i++) curve[i] = y[i] > 0.0f ? 0.0f : y[i] + 1.0f;
        break;
    case GM_SOFTPLUS: /* slope s = sigmoid(v) = 1 - exp(-y), curve s (1 - s) */
        for (size_t i = 0; i < n; i++) t[i] = -y[i];
        gm_exp(n, t, t);
        for (size_t i = 0; i < n; i++) slope[i] = 1.0f - t[i];
        for (size_t i = 0; i < n; i++) curve[i] = slope[i] * t[i];
        break;
    case GM_GELU: /* slope Phi(v) + v phi(v), curve phi(v) (2 - v^2) */
        for (size_t i = 0; i < n; i++) t[i] = -0.5f * v[i] * v[i];
        gm_exp(n, t, t);
        erf_of_normal(n, v, slope);
        for (size_t i = 0; i < n; i++) t[i] *= 0.398942280f;
        for (size_t i = 0; i < n; i++) slope[i] = 0.5f * (1.0f + slope[i]) + v[i] * t[i];
        for (size_t i = 0; i < n; i++) curve[i] = t[i] * (2.0f - v[i] * v[i]);
        break;
    case GM_LINEAR:
    case GM_SOFTMAX: /* not of one number: nobody asks */
        for (size_t i = 0; i < n; i++) slope[i] = 1.0f;
        for (size_t i = 0; i < n; i++) curve[i] = 0.0f;
        break;
    }
}

void gm_activation_tangent(gm_activation a, size_t n, const float *v, const float *y, const float *dv, float *tangent) {
    float slope[BLOCK], curve[BLOCK];
    for (size_t i = 0; i < n; i += BLOCK) {
        size_t count = smaller(BLOCK, n - i);
        slopes(a, count, gm_activation_keeps_v(a) ? v + i : NULL, y + i, slope, curve);
        multiply(count, slope, dv + i, tangent + i);
    }
}

void gm_activation_tangent_backward(gm_activation a, size_t n, const float *v, const float *y, const float *p,
                                    float *dv, float *q) {
    float slope[BLOCK], curve[BLOCK];
    for (size_t i = 0; i < n; i += BLOCK) {
        size_t count = smaller(BLOCK, n - i);
        slopes(a, count, gm_activation_keeps_v(a) ? v + i : NULL, y + i, slope, curve);
        for (size_t j = 0; j < count; j++) q[i + j] = q[i + j] * slope[j] + p[i + j] * dv[i + j] * curve[j];
        multiply(count, slope, p + i, dv + i);
    }
}

/* ---- dense, backward ---- */

void gm_dense_tangent(const gm_layer *layer, const float *weights, size_t rows, const float *dx, float *dv) {
    gm_matmul(rows, layer->units, layer->inputs, dx, layer->inputs, weights, layer->units, 0.0f, dv, layer->units);
}

void gm_dense_backward_inputs(const gm_layer *layer, const float *weights, size_t rows, size_t cuts, const float *d,
                              float *dx) {
    dense_job job = {.layer = layer,
                     .rows = rows,
                     .cuts = layer->inputs < CUT_COLUMNS ? 1 : cuts,
                     .weights = weights,
                     .from = d,
                     .to = dx};
    gm_parallel(job.cuts, backward_columns, &job);
}

void gm_dense_backward_weights(const gm_layer *layer, size_t first, size_t count, size_t rows, const float *x,
                               const float *d, float *dw) {
    size_t units = layer->units;
    gm_matmul_tn(count, units, rows, x + first, layer->inputs, d, units, 0.0f, dw, units);
}

#define COLUMNS ((size_t)256)
#define SHORT_SUM ((size_t)64)

/* Up to COLUMNS columns of d[rows, units]: floats over SHORT_SUM rows, these sums in double. */
GM_CLONES static void sum_columns(size_t rows, size_t units, size_t columns, const float *d, float *db) {
    double sums[COLUMNS] = {0};
    for (size_t i = 0; i < rows; i += SHORT_SUM) {
        float part[COLUMNS] = {0};
        for (size_t end = smaller(rows, i + SHORT_SUM), k = i; k < end; k++) {
            const float *row = d + k * units;
            for (size_t j = 0; j < columns; j++) part[j] += row[j];
        }
        for (size_t j = 0; j < columns; j++) sums[j] += (double)part[j];
    }
    for (size_t j = 0; j < columns; j++) db[j] = (float)sums[j];
}

void gm_dense_backward_biases(size_t rows, size_t units, const float *d, float *db) {
    for (size_t j = 0; j < units; j += COLUMNS) sum_columns(rows, units, smaller(COLUMNS, units - j), d + j, db + j);
}

/* ---- dropout ---- */

void gm_dropout_forward(const gm_layer *layer, gm_rng rng, uint64_t first, size_t rows, const float *x, float *mask,
                        float *y) {
    size_t n = rows * layer->units;
    float rate = (float)layer->rate, scale = (float)(1.0 / (1.0 - layer->rate));
    gm_rng_uniform(rng, first, n, mask);
    for (size_t i = 0; i < n; i++) mask[i] = mask[i] < rate ? 0.0f : scale;
    multiply(n, x, mask, y);
}

void gm_dropout_backward(const gm_layer *layer, size_t rows, const float *mask, const float *d, float *dx) {
    multiply(rows * layer->units, d, mask, dx);
}

/* ---- random Fourier features ---- */

static const double two_pi = 6.283185307179586;

void gm_fourier_init(const gm_layer *layer, size_t number, uint64_t seed, float *weights, float *phases) {
    size_t n = layer->inputs * layer->units;
    float scale = (float)(sqrt(2.0 * layer->gamma) / two_pi);
    gm_rng rng = {.seed = seed, .purpose = GM_PURPOSE_RFF, .stream = (uint32_t)number};
    gm_rng_normal(rng, 0, n, weights);
    for (size_t i = 0; i < n; i++) weights[i] *= scale;
    rng.step = 1;
    gm_rng_uniform(rng, 0, layer->units, phases);
}

/* Adds the phases and takes the nearest whole number of turns away; far beyond 2^22 turns, where a float has no part of
 * a turn left, 0 is left. */
GM_CLONES static void add_phases(size_t rows, size_t units, const float *phases, float *v) {
    const float rounder = 12582912.0f;
    for (size_t i = 0; i < rows; i++, v += units) {
        GM_INDEPENDENT
        for (size_t j = 0; j < units; j++) {
            float turns = v[j] + phases[j];
            v[j] = turns - ((turns + rounder) - rounder);
        }
    }
}

GM_CLONES static void scale_by(size_t n, float scale, float *y) {
    for (size_t i = 0; i < n; i++) y[i] *= scale;
}

void gm_fourier_forward(const gm_layer *layer, const float *weights, const float *phases, size_t rows, const float *x,
                        float *v, float *y) {
    size_t inputs = layer->inputs, units = layer->units, count = rows * units;
    float scale = (float)sqrt(2.0 / (double)units), sine[BLOCK];
    gm_matmul(rows, units, inputs, x, inputs, weights, units, 0.0f, v, units);
    add_phases(rows, units, phases, v);
    for (size_t i = 0; i < count; i += BLOCK) {
        size_t n = smaller(BLOCK, count - i);
        gm_sincos_turns(n, v + i, sine, y + i);
        scale_by(n, scale, y + i);
    }
}

/* d loss / d v = -2 pi sqrt(2 / units) sin(2 pi v) d. */
void gm_fourier_backward(const gm_layer *layer, const float *weights, size_t rows, const float *v, float *d,
                         float *dx) {
    size_t inputs = layer->inputs, units = layer->units, count = rows * units;
    float scale = (float)(-two_pi * sqrt(2.0 / (double)units)), sine[BLOCK], cosine[BLOCK];
    for (size_t i = 0; i < count; i += BLOCK) {
        size_t n = smaller(BLOCK, count - i);
        gm_sincos_turns(n, v + i, sine, cosine);
        scale_by(n, scale, sine);
        multiply(n, sine, d + i, d + i);
    }
    gm_matmul_nt(rows, inputs, units, d, units, weights, units, 0.0f, dx, inputs);
}
