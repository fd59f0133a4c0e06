/* penalty.c: the gradient penalty of Wasserstein critics, with its exact gradient.
 *
 *   gp(a, b) = mean over the rows of (|g| - 1)^2,   g = d D(x) / d x at x = e a + (1 - e) b     (Gulrajani et al. 2017)
 *
 * e is uniform number `row` (of the whole batch) of (seed, PENALTY, number of the gp term, step). With u = d gp / d g =
 * 2 (|g| - 1) g / |g|, held fixed, d gp / d parameters is the gradient of u . g(parameters), and u . g is the
 * derivative of D in the direction u: a forward pass of tangents gives it, and the backward pass through both, values
 * and tangents, its gradient (Pearlmutter 1994). For a layer y = f(v), v = x W + b with tangents dx, dv = dx W, dy =
 * f'(v) dv, and p, q the adjoints of dy and y:
 *
 *   adjoint of dv = p f'(v),   of v = q f'(v) + p dv f''(v),   of dx = (adjoint of dv) W',   of x = (adjoint of v) W'
 *   d/dW = x' (adjoint of v) + dx' (adjoint of dv),   d/db = sum of the adjoint of v
 *
 * So the rows of x and dx stand among the stacked rows, with these adjoints as their derivatives.
 */
#include "pass.h"

#include "gm/ops.h"

#include <math.h>
#include <string.h>

/* A chunk's matrices: those of the values, and those of the tangents. */
typedef struct gm_bent {
    const gm_pass *pass;
    size_t penalty, first, rows, stacked_row;
    float *x, *dx; /* [rows, inputs] */
    const float *reads[GM_LAYERS_MAX], *tangent_reads[GM_LAYERS_MAX];
    float *y[GM_LAYERS_MAX], *dy[GM_LAYERS_MAX];
    float *d[GM_LAYERS_MAX], *dd[GM_LAYERS_MAX]; /* what derivatives become of layer l's v, and of its tangent */
    float *extra[GM_LAYERS_MAX];
    float *p; /* [rows, widest] */
    bool idle[GM_LAYERS_MAX];
} gm_bent;

/* The wider of the input and the widest layer, twice. */
size_t gm_penalty_width(const gm_walk *w) {
    return 2 * (w->widest > w->net->inputs ? w->widest : w->net->inputs);
}

static void place(gm_bent *b, const gm_pass *pass, size_t penalty, float *scratch) {
    const gm_walk *w = pass->walk;
    const gm_net *net = w->net;
    const size_t last = gm_last_layer(net);
    size_t row = (pass->operands + penalty) * pass->call->rows + b->first,
           tangent = row + pass->penalties * pass->call->rows;
    b->stacked_row = row;
    b->x = pass->stacked + row * net->inputs;
    b->dx = pass->stacked + tangent * net->inputs;
    b->p = scratch + w->extra_width * w->chunk_rows;
    for (size_t l = 0; l <= last; l++) {
        const gm_layer *layer = &net->layers[l];
        float *outputs = pass->stacked + w->output_at[l] * pass->region_rows,
              *derivatives = pass->stacked + w->derivative_at[l] * pass->region_rows;
        b->idle[l] = gm_layer_idle(layer, &pass->call->mode);
        b->reads[l] = l == 0 ? b->x : b->idle[l - 1] ? b->reads[l - 1] : b->y[l - 1];
        b->tangent_reads[l] = l == 0 ? b->dx : b->idle[l - 1] ? b->tangent_reads[l - 1] : b->dy[l - 1];
        b->y[l] = outputs + row * layer->units;
        b->dy[l] = outputs + tangent * layer->units;
        b->d[l] = derivatives + row * layer->units;
        b->dd[l] = derivatives + tangent * layer->units;
        bool keeps = gm_layer_keeps(layer) || gm_activation_keeps_v(layer->activation);
        b->extra[l] = keeps || l == last ? scratch + w->extra_at[l] * w->chunk_rows : NULL;
    }
}

/* x = e a + (1 - e) b. The rows of b stand in p meanwhile. */
static void interpolate(const gm_bent *b, size_t penalty) {
    const gm_pass *pass = b->pass;
    const gm_term *term = &pass->call->loss->terms[pass->penalty_terms[penalty]];
    size_t inputs = pass->walk->net->inputs;
    gm_rng rng = {.seed = pass->call->mode.seed,
                  .purpose = GM_PURPOSE_PENALTY,
                  .stream = (uint32_t)penalty,
                  .step = pass->call->mode.step};
    gm_input_join(&pass->call->inputs[term->operand], pass->walk->net, b->first, b->rows, b->x);
    gm_input_join(&pass->call->inputs[term->second], pass->walk->net, b->first, b->rows, b->p);
    for (size_t i = 0; i < b->rows; i++) {
        float e;
        gm_rng_uniform(rng, gm_random_row(&pass->call->mode, pass->call->rows, 0, b->first + i), 1, &e);
        float *x = b->x + i * inputs;
        const float *other = b->p + i * inputs;
        for (size_t j = 0; j < inputs; j++) x[j] = e * x[j] + (1.0f - e) * other[j];
    }
}

static void forward(const gm_bent *b) {
    const gm_pass *pass = b->pass;
    for (size_t l = 0; l < pass->walk->net->layer_count; l++)
        if (!b->idle[l])
            gm_walk_link(pass->walk, pass->params, &pass->call->mode,
                         &(gm_link){.l = l,
                                    .rows = b->rows,
                                    .random_row = gm_random_row(&pass->call->mode, pass->call->rows,
                                                                pass->operands + b->penalty, b->first),
                                    .joined = b->x,
                                    .x = b->reads[l],
                                    .extra = b->extra[l],
                                    .y = b->y[l]});
}

/* out = d W' of a dense layer, d times the mask of a dropout layer. */
static void pull_back(const gm_bent *b, size_t l, const float *d, float *out) {
    const gm_walk *w = b->pass->walk;
    const gm_layer *layer = &w->net->layers[l];
    if (layer->kind == GM_DENSE)
        gm_dense_backward_inputs(layer, gm_walk_weights(w, l, b->pass->params), b->rows, 1, d, out);
    else
        gm_dropout_backward(layer, b->rows, b->extra[l], d, out);
}

/* The layer below l that is not idle, or layer_count. */
static size_t below(const gm_bent *b, size_t l) {
    while (l > 0)
        if (!b->idle[--l]) return l;
    return b->pass->walk->net->layer_count;
}

/* g[rows, inputs] = d D(x) / d x, to where the tangents of x go; b->d are overwritten. */
static void input_gradient(const gm_bent *b) {
    const gm_net *net = b->pass->walk->net;
    size_t l = gm_last_layer(net);
    for (size_t i = 0; i < b->rows * net->outputs; i++) b->d[l][i] = 1.0f;
    while (l < net->layer_count) {
        const gm_layer *layer = &net->layers[l];
        size_t next = below(b, l);
        if (layer->kind == GM_DENSE)
            gm_activation_backward(layer->activation, b->rows, layer->units, b->extra[l], b->y[l], b->d[l]);
        pull_back(b, l, b->d[l], next < net->layer_count ? b->d[next] : b->dx);
        l = next;
    }
}

/* Class numbers do not vary: their columns are no part of g. */
static void forget_classes(const gm_net *net, float *g) {
    for (size_t row = 0; row < net->pack; row++, g += net->columns)
        for (size_t i = 0, at = 0; i < net->part_count; at += net->parts[i++].columns)
            if (net->parts[i].kind == GM_PART_CLASSES) memset(g + at, 0, net->parts[i].columns * sizeof *g);
}

/* The values of the rows, and dx = u from g. At g = 0 the norm has no direction: u = 0. */
static void measure(const gm_bent *b, size_t penalty) {
    const gm_pass *pass = b->pass;
    const gm_net *net = pass->walk->net;
    double weight = pass->call->loss->terms[pass->penalty_terms[penalty]].weight;
    double *values = pass->values + b->stacked_row;
    for (size_t i = 0; i < b->rows; i++) {
        float *g = b->dx + i * net->inputs;
        forget_classes(net, g);
        double norm = sqrt(gm_sum_squares(net->inputs, g)), excess = norm - 1.0;
        float scale = norm > 0.0 ? (float)(2.0 * weight * excess / (norm * (double)pass->call->rows)) : 0.0f;
        values[i] = weight * excess * excess;
        for (size_t j = 0; j < net->inputs; j++) g[j] *= scale;
    }
}

/* dv stays in b->dd, for the way back. */
static void tangents(const gm_bent *b) {
    const gm_pass *pass = b->pass;
    const gm_net *net = pass->walk->net;
    for (size_t l = 0; l < net->layer_count; l++) {
        const gm_layer *layer = &net->layers[l];
        if (b->idle[l]) continue;
        if (layer->kind == GM_DROPOUT) {
            gm_dropout_backward(layer, b->rows, b->extra[l], b->tangent_reads[l], b->dy[l]);
            continue;
        }
        gm_dense_tangent(layer, gm_walk_weights(pass->walk, l, pass->params), b->rows, b->tangent_reads[l], b->dd[l]);
        gm_activation_tangent(layer->activation, b->rows * layer->units, b->extra[l], b->y[l], b->dd[l], b->dy[l]);
    }
}

/* From p = 1 and q = 0 at the output down. q of layer l stands in d[l], p beside it in the scratch, in two places that
 * take turns. */
static void backward(const gm_bent *b) {
    const gm_net *net = b->pass->walk->net;
    size_t most = b->pass->walk->chunk_rows, wide = gm_penalty_width(b->pass->walk) / 2;
    float *p = b->p, *other = b->p + wide * most;
    size_t l = gm_last_layer(net);
    for (size_t i = 0; i < b->rows * net->outputs; i++) p[i] = 1.0f;
    memset(b->d[l], 0, b->rows * net->outputs * sizeof(float));
    while (l < net->layer_count) {
        const gm_layer *layer = &net->layers[l];
        size_t next = below(b, l);
        const float *adjoint = p;
        if (layer->kind == GM_DENSE) {
            gm_activation_tangent_backward(layer->activation, b->rows * layer->units, b->extra[l], b->y[l], p, b->dd[l],
                                           b->d[l]);
            adjoint = b->dd[l];
        }
        if (next < net->layer_count) {
            pull_back(b, l, adjoint, other);
            pull_back(b, l, b->d[l], b->d[next]);
        }
        float *turn = p;
        p = other;
        other = turn;
        l = next;
    }
}

void gm_penalty_chunk(const gm_pass *pass, size_t penalty, size_t first, size_t rows, float *scratch) {
    gm_bent b = {.pass = pass, .penalty = penalty, .first = first, .rows = rows};
    place(&b, pass, penalty, scratch);
    interpolate(&b, penalty);
    forward(&b);
    input_gradient(&b);
    measure(&b, penalty);
    if (!pass->call->gradients) return;
    tangents(&b);
    backward(&b);
}
