/* mixed.c: the last layer of a generator of tables, on one chunk of rows. */
#include "layer.h"

#include "gm/ops.h"

#include <string.h>

/* How many columns a span has; neighbouring numbers are worked on together: *numbers of them. */
static size_t width(const gm_spans *spans, size_t i, size_t *numbers) {
    *numbers = 0;
    while (i + *numbers < spans->count && spans->items[i + *numbers] == GM_SPAN_NUMBER) ++*numbers;
    if (*numbers > 0) return *numbers;
    return spans->items[i] > 0 ? (size_t)spans->items[i] : 1;
}

/* n numbers, y = activation(x). */
static void activate(gm_activation a, size_t n, const float *x, float *y) {
    if (a == GM_TANH)
        gm_tanh(n, x, y);
    else if (a == GM_SIGMOID)
        gm_sigmoid(n, x, y);
    else
        memcpy(y, x, n * sizeof *y);
}

/* Uniform numbers become Gumbel's, -log(-log u). */
static void to_gumbel(size_t n, float *y) {
    for (size_t k = 0; k < 2; k++) {
        gm_log(n, y, y);
        for (size_t i = 0; i < n; i++) y[i] = -y[i];
    }
}

/* log(u / (1 - u)), the difference of two of them. */
static float to_logistic(float u) {
    float part[2] = {u, 1.0f - u};
    gm_log(2, part, part);
    return part[0] - part[1];
}

/* One category, or flag, of n columns; y holds uniform numbers if any are drawn. */
static void choose(bool flag, bool drawing, float scale, size_t n, const float *x, float *y) {
    if (!drawing)
        memset(y, 0, n * sizeof *y);
    else if (flag)
        *y = to_logistic(*y);
    else
        to_gumbel(n, y);
    for (size_t i = 0; i < n; i++) y[i] = (x[i] + y[i]) * scale;
    if (flag)
        gm_sigmoid(1, y, y);
    else
        gm_softmax(1, n, y, y);
}

void gm_mixed_forward(const gm_layer *layer, const gm_spans *spans, const gm_rng *rng, uint64_t first, size_t rows,
                      const float *x, float *y) {
    float scale = (float)(1.0 / layer->temperature);
    if (rng) gm_rng_uniform(*rng, first, rows * layer->units, y);
    for (size_t row = 0; row < rows; row++)
        for (size_t i = 0, n, numbers; i < spans->count; i += numbers ? numbers : 1, x += n, y += n) {
            n = width(spans, i, &numbers);
            if (numbers)
                activate(layer->activation, n, x, y);
            else
                choose(spans->items[i] == GM_SPAN_FLAG, rng != NULL, scale, n, x, y);
        }
}

void gm_mixed_backward(const gm_layer *layer, const gm_spans *spans, size_t rows, const float *y, const float *d,
                       float *dx) {
    float scale = (float)(1.0 / layer->temperature);
    if (dx != d) memcpy(dx, d, rows * layer->units * sizeof *dx);
    for (size_t row = 0; row < rows; row++)
        for (size_t i = 0, n, numbers; i < spans->count; i += numbers ? numbers : 1, y += n, dx += n) {
            n = width(spans, i, &numbers);
            bool flag = spans->items[i] == GM_SPAN_FLAG;
            gm_activation_backward(numbers ? layer->activation : flag ? GM_SIGMOID : GM_SOFTMAX, 1, n, NULL, y, dx);
            for (size_t j = 0; !numbers && j < n; j++) dx[j] *= scale;
        }
}
