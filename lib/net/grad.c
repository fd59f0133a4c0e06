/* grad.c: a network forward and backward over a batch.
 *
 * A first parallel pass takes chunks of the stacked rows (which never straddle operands) forward through all layers,
 * through the loss, and backward down to where somebody wants the gradient. A second one makes the weights' gradients,
 * in slices, from what the first left: each is one matrix product over all stacked rows. Where batchnorm takes the
 * moments of all rows, the first pass is several, one for each stretch of layers between. How many threads share the
 * passes changes no bit.
 */
#include "pass.h"
#include "term.h"

#include "gm/ops.h"
#include "gm/threads.h"

#include <string.h>

/* ---- a chunk's place ---- */

static float *wanted_input_gradient(const gm_backward *call, size_t operand) {
    return call->input_gradients ? call->input_gradients[operand] : NULL;
}

/* Whether v of the last layer is kept apart from y. */
static bool needs_logits(const gm_backward *call) {
    for (size_t i = 0; call->loss && i < call->loss->term_count; i++)
        if (gm_term_of_logits(call->loss->terms[i].kind)) return true;
    return false;
}

static bool has_extra(const gm_pass *pass, size_t l, size_t lowest) {
    const gm_net *net = pass->walk->net;
    const gm_layer *layer = &net->layers[l];
    if (gm_layer_keeps(layer)) return true;
    if (layer->kind == GM_RFF) return l >= lowest;
    if (layer->kind != GM_DENSE) return false;
    return gm_activation_keeps_v(layer->activation) ||
           (l + 1 == net->layer_count && layer->activation != GM_LINEAR && needs_logits(pass->call));
}

/* Floats of the scratch for a chunk, and of the region for each of all stacked rows. Between stages a chunk is put
 * away whole. */
static size_t scratch_floats(const gm_pass *pass) {
    const gm_walk *w = pass->walk;
    size_t width = pass->stacked ? 0 : w->stacked_width;
    return w->chunk_rows * (width + w->extra_width + (pass->penalties ? gm_penalty_width(w) : 0));
}

static size_t region_width(const gm_walk *w, bool staged) {
    return w->stacked_width + (staged ? w->extra_width : 0);
}

static void place_chunk(const gm_pass *pass, size_t chunk, float *scratch, gm_chunk *c) {
    const gm_walk *w = pass->walk;
    const gm_net *net = w->net;
    const size_t last = gm_last_layer(net);
    float *region = pass->stacked ? pass->stacked : scratch + w->extra_width * w->chunk_rows;
    c->operand = chunk / pass->operand_chunks;
    c->first = chunk % pass->operand_chunks * w->chunk_rows;
    c->rows = gm_smaller(w->chunk_rows, pass->call->rows - c->first);
    c->stacked_row = c->operand * pass->call->rows + c->first;
    size_t region_rows = pass->stacked ? pass->region_rows : w->chunk_rows, row = pass->stacked ? c->stacked_row : 0;
    float *gradient = wanted_input_gradient(pass->call, c->operand);
    c->own = region + row * net->inputs;
    const float *whole = pass->stacked ? pass->whole : gm_input_whole(&pass->call->inputs[c->operand]);
    c->x[0] = whole ? whole + c->first * net->inputs : c->own;
    c->d[0] = gradient ? gradient + c->first * net->inputs : NULL;
    c->lowest = gradient ? 0 : pass->lowest;
    for (size_t l = 0; l <= last; l++) {
        size_t units = net->layers[l].units;
        bool idle = gm_layer_idle(&net->layers[l], &pass->call->mode);
        c->y[l] = region + w->output_at[l] * region_rows + row * units;
        c->d[l + 1] = idle ? c->d[l] : region + w->derivative_at[l] * region_rows + row * units;
        c->extra[l] = !has_extra(pass, l, c->lowest) ? NULL
                      : pass->staged ? region + (w->stacked_width + w->extra_at[l]) * region_rows + row * units
                                     : scratch + w->extra_at[l] * w->chunk_rows;
        if (l < last) c->x[l + 1] = idle ? c->x[l] : c->y[l];
    }
}

/* ---- forward ---- */

static void chunk_forward(const gm_pass *pass, const gm_chunk *c) {
    const gm_net *net = pass->walk->net;
    if (pass->from == 0 && c->x[0] == c->own)
        gm_input_join(&pass->call->inputs[c->operand], net, c->first, c->rows, c->own);
    for (size_t l = pass->from; l < pass->to; l++)
        if (!gm_layer_idle(&net->layers[l], &pass->call->mode))
            gm_walk_link(
                pass->walk, pass->params, &pass->call->mode,
                &(gm_link){.l = l,
                           .operand = pass->staged ? c->operand : 0,
                           .rows = c->rows,
                           .random_row = gm_random_row(&pass->call->mode, pass->call->rows, c->operand, c->first),
                           .joined = c->x[0],
                           .x = c->x[l],
                           .extra = c->extra[l],
                           .y = c->y[l]});
}

/* ---- the loss ---- */

/* The targets of rows `first` and on. */
static gm_target target_from(const gm_backward *call, size_t term, size_t first) {
    gm_target t = {0};
    if (!call->loss->terms[term].named) return t;
    t = call->targets[term];
    if (t.values)
        t.values += first * t.columns;
    else
        t.labels += first;
    return t;
}

/* Adds the chunk's terms that are of the logits, or those that are not. Returns whether there were any. */
static bool add_terms(const gm_pass *pass, const gm_chunk *c, const gm_end *end, bool of_logits) {
    const gm_loss *loss = pass->call->loss;
    bool any = false;
    for (size_t i = 0; i < loss->term_count; i++) {
        gm_term term = loss->terms[i];
        if (!gm_term_runs(term.kind) || term.kind == GM_KL || term.operand != c->operand) continue;
        if (gm_term_of_logits(term.kind) != of_logits) continue;
        gm_target target = target_from(pass->call, i, c->first);
        term.weight *= pass->labelled[i];
        gm_term_add(&term, &target, 1.0 / (double)pass->call->rows, end);
        any = true;
    }
    return any;
}

static void activation_backward(const gm_net *net, size_t l, const gm_chunk *c) {
    const gm_layer *layer = &net->layers[l];
    if (layer->kind == GM_DENSE)
        gm_activation_backward(layer->activation, c->rows, layer->units, c->extra[l], c->y[l], c->d[l + 1]);
}

/* The divergences of a chunk's latent distributions. */
static void add_divergence(const gm_pass *pass, const gm_chunk *c, double *values) {
    double weight = pass->divergence[c->operand];
    long l = weight != 0.0 ? gm_net_latent(pass->walk->net) : -1;
    if (l >= 0) gm_gaussian_divergence(&pass->walk->net->layers[l], c->rows, c->x[l], weight, values);
}

/* The loss and, where anything is wanted below, d[layer_count] = d loss / d v of the last layer: the gradient from
 * above and terms of the output come first, then the last activation's derivative, then terms of the logits. */
static void chunk_loss(const gm_pass *pass, const gm_chunk *c) {
    const gm_net *net = pass->walk->net;
    const gm_backward *call = pass->call;
    size_t n = c->rows * net->outputs, last = gm_last_layer(net);
    float *d = c->lowest <= net->layer_count ? c->d[net->layer_count] : NULL;
    if (call->output && c->operand == 0)
        memcpy(call->output + c->first * net->outputs, c->y[last], n * sizeof *call->output);
    if (d && call->cotangent)
        memcpy(d, call->cotangent + c->first * net->outputs, n * sizeof *d);
    else if (d)
        memset(d, 0, n * sizeof *d);
    bool of_output = call->cotangent != NULL;
    gm_end end = {.rows = c->rows,
                  .units = net->outputs,
                  .sigmoid = net->layers[last].kind == GM_DENSE && net->layers[last].activation == GM_SIGMOID,
                  .logits = net->layers[last].kind == GM_DENSE && c->extra[last] ? c->extra[last] : c->y[last],
                  .output = c->y[last],
                  .derivative = d,
                  .values = pass->values + c->stacked_row,
                  .class_weights = call->class_weights};
    for (size_t i = 0; i < c->rows; i++) end.values[i] = 0.0;
    if (call->loss) of_output |= add_terms(pass, c, &end, false);
    if (of_output && d) activation_backward(net, last, c);
    if (!call->loss) return;
    add_terms(pass, c, &end, true);
    add_divergence(pass, c, end.values);
}

/* ---- backward ---- */

/* The gradient that the class behind the latent variables hands to the input. */
static void add_label_gradient(const gm_pass *pass, const gm_layer *layer, const gm_chunk *c, const float *d) {
    size_t inputs = pass->walk->net->inputs;
    for (size_t i = 0; i < c->rows; i++)
        for (size_t j = 0; j < layer->labels; j++)
            c->d[0][i * inputs + pass->walk->labels_at + j] += d[i * layer->units + layer->latent + j];
}

static void gaussian_backward(const gm_pass *pass, size_t l, const gm_chunk *c) {
    float scale = (float)(pass->divergence[c->operand] / (double)pass->call->rows);
    gm_gaussian_backward(&pass->walk->net->layers[l], c->rows, c->x[l], c->extra[l], scale, c->d[l + 1], c->d[l]);
}

static void batchnorm_backward(const gm_pass *pass, size_t l, const gm_chunk *c) {
    const gm_net *net = pass->walk->net;
    const gm_layer *layer = &net->layers[l];
    gm_batch batch = gm_walk_batch(pass->walk, l, pass->staged ? c->operand : 0);
    gm_batchnorm_backward(c->rows, layer->units, c->x[l], c->d[l + 1], batch.moments,
                          pass->params + net->parameters[layer->weights].offset, pass->staged ? batch.sum_d : NULL,
                          pass->staged ? batch.sum_dn : NULL, pass->call->rows, c->d[l]);
}

/* d[l] from d[l + 1]. */
static void layer_backward(const gm_pass *pass, size_t l, const gm_chunk *c) {
    const gm_layer *layer = &pass->walk->net->layers[l];
    switch (layer->kind) {
    case GM_DENSE:
        gm_dense_backward_inputs(layer, gm_walk_weights(pass->walk, l, pass->params), c->rows, pass->walk->cuts,
                                 c->d[l + 1], c->d[l]);
        break;
    case GM_RFF:
        gm_fourier_backward(layer, pass->walk->fixed[l], c->rows, c->extra[l], c->d[l + 1], c->d[l]);
        break;
    case GM_DROPOUT:
        gm_dropout_backward(layer, c->rows, c->extra[l], c->d[l + 1], c->d[l]);
        break;
    case GM_GAUSSIAN:
        gaussian_backward(pass, l, c);
        break;
    case GM_BATCHNORM:
        batchnorm_backward(pass, l, c);
        break;
    case GM_MIXED:
        gm_mixed_backward(layer, &pass->walk->net->spans, c->rows, c->y[l], c->d[l + 1], c->d[l]);
        break;
    }
}

/* Layers from .. to - 1, from the last to the first. */
static void chunk_backward(const gm_pass *pass, const gm_chunk *c) {
    const gm_net *net = pass->walk->net;
    for (size_t l = pass->to; l-- > pass->from && l + 1 >= c->lowest;) {
        if (gm_layer_idle(&net->layers[l], &pass->call->mode)) continue;
        if (l + 1 < net->layer_count) activation_backward(net, l, c);
        if (l >= c->lowest) layer_backward(pass, l, c);
    }
    long latent = gm_net_latent(net);
    if (pass->from > 0 || !c->d[0] || latent < 0 || net->layers[latent].labels == 0) return;
    add_label_gradient(pass, &net->layers[latent], c, c->d[latent + 1]);
}

static void forward_chunk(const void *context, size_t chunk, float *scratch) {
    gm_chunk c;
    place_chunk(context, chunk, scratch, &c);
    chunk_forward(context, &c);
}

static void loss_chunk(const void *context, size_t chunk, float *scratch) {
    gm_chunk c;
    place_chunk(context, chunk, scratch, &c);
    chunk_loss(context, &c);
}

static void backward_chunk(const void *context, size_t chunk, float *scratch) {
    gm_chunk c;
    place_chunk(context, chunk, scratch, &c);
    chunk_backward(context, &c);
}

/* All of it; chunks behind those of the operands are of the penalties. */
static void whole_chunk(const void *context, size_t chunk, float *scratch) {
    const gm_pass *pass = context;
    gm_chunk c;
    if (chunk >= pass->operands * pass->operand_chunks) {
        size_t number = chunk - pass->operands * pass->operand_chunks, most = pass->walk->chunk_rows,
               first = number % pass->operand_chunks * most;
        gm_penalty_chunk(pass, number / pass->operand_chunks, first, gm_smaller(most, pass->call->rows - first),
                         scratch);
        return;
    }
    place_chunk(pass, chunk, scratch, &c);
    if (!pass->reuses) chunk_forward(pass, &c);
    chunk_loss(pass, &c);
    chunk_backward(pass, &c);
}

/* ---- stages: batchnorm ---- */

/* Where layer l reads, and the derivative of what it writes, over all stacked rows. */
static const float *stacked_input(const gm_pass *pass, size_t l) {
    const gm_walk *w = pass->walk;
    while (l > 0 && gm_layer_idle(&w->net->layers[l - 1], &pass->call->mode)) l--;
    if (l > 0) return pass->stacked + w->output_at[l - 1] * pass->region_rows;
    return pass->whole ? pass->whole : pass->stacked;
}

static const float *stacked_derivative(const gm_pass *pass, size_t l) {
    return pass->stacked + pass->walk->derivative_at[l] * pass->region_rows;
}

#define COLUMNS ((size_t)64)

/* What batchnorm layer pass->from needs of the rows of an operand. Forward: its moments; the biased variance stands
 * where sum_d comes later. Pieces are blocks of columns of one operand. */
typedef struct gm_columns {
    const gm_pass *pass;
    size_t l, blocks;
} gm_columns;

static void moments_piece(void *context, size_t i) {
    const gm_columns *job = context;
    const gm_pass *pass = job->pass;
    size_t units = pass->walk->net->layers[job->l].units, rows = pass->call->rows, operand = i / job->blocks,
           first = i % job->blocks * COLUMNS;
    gm_batch batch = gm_walk_batch(pass->walk, job->l, operand);
    gm_batchnorm_moments(rows, units, first, gm_smaller(COLUMNS, units - first),
                         stacked_input(pass, job->l) + operand * rows * units, batch.moments, batch.sum_d);
}

static void sums_piece(void *context, size_t i) {
    const gm_columns *job = context;
    const gm_pass *pass = job->pass;
    size_t units = pass->walk->net->layers[job->l].units, rows = pass->call->rows, operand = i / job->blocks,
           first = i % job->blocks * COLUMNS, at = operand * rows * units;
    gm_batch batch = gm_walk_batch(pass->walk, job->l, operand);
    gm_batchnorm_sums(rows, units, first, gm_smaller(COLUMNS, units - first), stacked_input(pass, job->l) + at,
                      stacked_derivative(pass, job->l) + at, batch.moments, batch.sum_d, batch.sum_dn);
}

static void by_columns(const gm_pass *pass, size_t l, void (*piece)(void *, size_t)) {
    gm_columns job = {.pass = pass, .l = l, .blocks = gm_pieces(pass->walk->net->layers[l].units, COLUMNS)};
    gm_parallel(pass->operands * job.blocks, piece, &job);
}

/* The next running statistics, where the gradients of others go: r' = 0.9 r + 0.1 b, operand by operand. */
static void running_moments(const gm_pass *pass, size_t l) {
    const gm_net *net = pass->walk->net;
    const gm_layer *layer = &net->layers[l];
    size_t rows = pass->call->rows;
    if (!pass->call->gradients) return;
    float unbias = rows > 1 ? (float)((double)rows / (double)(rows - 1)) : 1.0f;
    for (size_t k = 0; k < 2; k++) {
        float *next = pass->call->gradients[layer->statistics + k];
        memcpy(next, pass->params + net->parameters[layer->statistics + k].offset, layer->units * sizeof *next);
        for (size_t o = 0; o < pass->operands; o++) {
            gm_batch batch = gm_walk_batch(pass->walk, l, o);
            for (size_t j = 0; j < layer->units; j++) {
                float now = k == 0 ? batch.moments.mean[j] : unbias * batch.sum_d[j];
                next[j] = 0.9f * next[j] + 0.1f * now;
            }
        }
    }
}

static int crew(gm_pass *pass, void (*work)(const void *, size_t, float *), gm_error *e) {
    return gm_walk_crew(pass->walk, pass->operands * pass->operand_chunks, scratch_floats(pass), work, pass, e);
}

static bool is_batchnorm(const gm_net *net, size_t l) {
    return l < net->layer_count && net->layers[l].kind == GM_BATCHNORM;
}

/* Forward from barrier to barrier, then the loss, then back. */
static int run_stages(gm_pass *pass, gm_error *e) {
    const gm_net *net = pass->walk->net;
    for (pass->from = 0; pass->from < net->layer_count; pass->from = pass->to) {
        bool barrier = is_batchnorm(net, pass->from);
        if (barrier) {
            if (pass->from == 0) { /* the input is joined first */
                pass->to = 0;
                if (crew(pass, forward_chunk, e) < 0) return -1;
            }
            by_columns(pass, pass->from, moments_piece);
            running_moments(pass, pass->from);
        }
        pass->to = pass->from + 1;
        while (pass->to < net->layer_count && !is_batchnorm(net, pass->to)) pass->to++;
        if (crew(pass, forward_chunk, e) < 0) return -1;
    }
    if (crew(pass, loss_chunk, e) < 0) return -1;
    for (pass->to = net->layer_count; pass->to > 0; pass->to = pass->from) {
        if (is_batchnorm(net, pass->to - 1)) by_columns(pass, pass->to - 1, sums_piece);
        pass->from = pass->to - 1;
        while (pass->from > 0 && !is_batchnorm(net, pass->from - 1)) pass->from--;
        if (crew(pass, backward_chunk, e) < 0) return -1;
    }
    return 0;
}

/* ---- weights ---- */

/* Adds the derivatives of l1 |w| + l2 w^2, 0 of |w| at 0. */
static void add_decay(const gm_pass *pass, size_t n, const float *weights, float *dw) {
    float slope = (float)pass->l1, twice = (float)(2.0 * pass->l2);
    if (pass->l1 == 0.0 && pass->l2 == 0.0) return;
    for (size_t i = 0; i < n; i++)
        dw[i] += twice * weights[i] + (weights[i] > 0.0f ? slope : weights[i] < 0.0f ? -slope : 0.0f);
}

static double decay(const gm_pass *pass, size_t n, const float *weights) {
    double sum = 0.0;
    if (pass->l1 != 0.0) sum += pass->l1 * gm_sum_absolute(n, weights);
    if (pass->l2 != 0.0) sum += pass->l2 * gm_sum_squares(n, weights);
    return sum;
}

/* Gradients of gain and shift: the sums of all operands. Statistics that were not renewed stay as they are. */
static void batchnorm_slice(const gm_pass *pass, size_t l) {
    const gm_net *net = pass->walk->net;
    const gm_layer *layer = &net->layers[l];
    float *gain = pass->call->gradients[layer->weights], *shift = pass->call->gradients[layer->biases];
    size_t rows = pass->operands * pass->call->rows, bytes = layer->units * sizeof(float);
    if (!pass->staged) {
        for (size_t k = 0; k < 2; k++)
            memcpy(pass->call->gradients[layer->statistics + k],
                   pass->params + net->parameters[layer->statistics + k].offset, bytes);
        gm_batchnorm_sums(rows, layer->units, 0, layer->units, stacked_input(pass, l), stacked_derivative(pass, l),
                          gm_walk_batch(pass->walk, l, 0).moments, shift, gain);
        return;
    }
    memset(gain, 0, bytes);
    memset(shift, 0, bytes);
    for (size_t o = 0; o < pass->operands; o++) {
        gm_batch batch = gm_walk_batch(pass->walk, l, o);
        for (size_t j = 0; j < layer->units; j++) gain[j] += batch.sum_dn[j];
        for (size_t j = 0; j < layer->units; j++) shift[j] += batch.sum_d[j];
    }
}

static void slice_piece(void *context, size_t i) {
    const gm_pass *pass = context;
    const gm_net *net = pass->walk->net;
    const gm_slice *slice = &pass->walk->slices[i];
    const gm_layer *layer = &net->layers[slice->layer];
    if (layer->kind == GM_BATCHNORM) {
        pass->block_values[slice->block] = 0.0;
        if (pass->call->gradients) batchnorm_slice(pass, slice->layer);
        return;
    }
    size_t at = net->parameters[layer->weights].offset + slice->first * layer->units, n = slice->count * layer->units;
    if (pass->call->gradients) {
        const float *d = stacked_derivative(pass, slice->layer);
        float *dw = pass->call->gradients[layer->weights] + slice->first * layer->units;
        gm_dense_backward_weights(layer, slice->first, slice->count, pass->stacked_rows,
                                  stacked_input(pass, slice->layer), d, dw);
        if (slice->first == 0)
            gm_dense_backward_biases(pass->bias_rows, layer->units, d, pass->call->gradients[layer->biases]);
        if (!layer->spectral) add_decay(pass, n, pass->params + at, dw);
    }
    for (size_t row = 0; row < slice->count; row += GM_SLICE)
        pass->block_values[slice->block + row / GM_SLICE] = decay(
            pass, gm_smaller(GM_SLICE, slice->count - row) * layer->units, pass->params + at + row * layer->units);
}

/* W is divided by s = a' W u, so that d/dW = (g - (sum of g W / s) a u') / s, g being the gradient of W / s (Miyato et
 * al. 2018, eq. 12). */
static void spectral_gradient(const gm_pass *pass, size_t l) {
    const gm_net *net = pass->walk->net;
    const gm_layer *layer = &net->layers[l];
    const gm_spectrum *s = &pass->walk->spectrum[l];
    float *dw = pass->call->gradients[layer->weights], scale = 1.0f / s->largest;
    double sum = 0.0;
    for (size_t i = 0; i < layer->inputs; i++) {
        double row = 0.0;
        for (size_t j = 0; j < layer->units; j++)
            row += (double)dw[i * layer->units + j] * (double)s->weights[i * layer->units + j];
        sum += row;
    }
    for (size_t i = 0; i < layer->inputs; i++) {
        float common = (float)sum * s->a[i];
        for (size_t j = 0; j < layer->units; j++)
            dw[i * layer->units + j] = scale * (dw[i * layer->units + j] - common * s->u[j]);
    }
    add_decay(pass, layer->inputs * layer->units, pass->params + net->parameters[layer->weights].offset, dw);
    memcpy(pass->call->gradients[layer->statistics], s->u, layer->units * sizeof(float));
}

static void make_gradients(gm_pass *pass) {
    const gm_net *net = pass->walk->net;
    gm_parallel(pass->walk->slice_count, slice_piece, pass);
    for (size_t l = 0; pass->call->gradients && l < net->layer_count; l++)
        if (net->layers[l].spectral) spectral_gradient(pass, l);
}

/* ---- a forward call whose way back is expected ---- */

/* Layers that need nothing for the way back but what they gave. */
static bool gives_all(const gm_net *net) {
    for (size_t l = 0; l < net->layer_count; l++) {
        const gm_layer *layer = &net->layers[l];
        if (layer->kind != GM_MIXED && (layer->kind != GM_DENSE || gm_activation_keeps_v(layer->activation)))
            return false;
    }
    return true;
}

/* Chunks must be those of the call on the way back: of other products BLAS may give other bits. */
bool gm_walk_keeps(const gm_walk *w, size_t rows, const gm_mode *mode) {
    return w->expected && mode->version && gives_all(w->net) && gm_walk_chunk(w, rows, 2) == gm_walk_chunk(w, rows, 4);
}

static void keep_chunk(const void *context, size_t chunk, float *scratch) {
    const gm_pass *pass = context;
    size_t last = gm_last_layer(pass->walk->net), outputs = pass->walk->net->outputs;
    gm_chunk c;
    place_chunk(pass, chunk, scratch, &c);
    chunk_forward(pass, &c);
    memcpy(pass->call->output + c.first * outputs, c.y[last], c.rows * outputs * sizeof(float));
}

static bool is_kept(const gm_walk *w, const gm_backward *call) {
    const gm_mode *now = &call->mode, *then = &w->kept.mode;
    return w->kept.there && !call->loss && call->rows == w->kept.rows && now->training == then->training &&
           now->drawing == then->drawing && now->seed == then->seed && now->step == then->step &&
           now->first == then->first && now->whole == then->whole && now->version == then->version &&
           gm_input_joined(&call->inputs[0], w->net, call->rows, w->stacked.bytes);
}

/* ---- a call ---- */

static int check_call(const gm_net *net, const gm_backward *call, size_t operands, gm_error *e) {
    if (call->rows == 0 && operands > 0) return gm_fail(e, "a batch without rows has no mean");
    for (size_t i = 0; i < operands; i++)
        if (gm_input_check(&call->inputs[i], net, call->rows, e) < 0) return -1;
    if (!call->loss) return 0;
    if (gm_loss_check(call->loss, net, e) < 0) return -1;
    for (size_t i = 0; i < call->loss->term_count; i++)
        if (call->loss->terms[i].named &&
            gm_target_check(&call->loss->terms[i], &call->targets[i], call->rows, net->outputs, e) < 0)
            return -1;
    return 0;
}

/* What a row with a label counts where others have none: rows / labelled rows, of the whole batch. */
static double labelled_weight(const gm_term *term, const gm_target *target, size_t rows) {
    if (!term->named || target->values || !gm_loss_weighs_classes(term->kind)) return 1.0;
    size_t count = target->labelled;
    if (target->rows) return count ? (double)target->rows / (double)count : 0.0;
    for (size_t i = 0; i < rows; i++) count += target->labels[i] >= 0;
    return count ? (double)rows / (double)count : 0.0;
}

static void read_terms(gm_pass *pass) {
    const gm_loss *loss = pass->call->loss;
    for (size_t i = 0; loss && i < loss->term_count; i++) {
        const gm_term *term = &loss->terms[i];
        pass->labelled[i] = labelled_weight(term, &pass->call->targets[i], pass->call->rows);
        if (term->kind == GM_L1) pass->l1 += term->weight;
        if (term->kind == GM_L2) pass->l2 += term->weight;
        if (term->kind == GM_KL) pass->divergence[term->operand] += term->weight;
        if (term->kind == GM_GP) pass->penalty_terms[pass->penalties++] = i;
    }
}

static int prepare(gm_pass *pass, gm_error *e) {
    const gm_backward *call = pass->call;
    gm_walk *w = pass->walk;
    read_terms(pass);
    w->chunk_rows = gm_walk_chunk(w, call->rows, 4);
    size_t stacks = pass->operands + 2 * pass->penalties;
    if (!gm_multiply(stacks, call->rows, &pass->stacked_rows) || pass->stacked_rows > SIZE_MAX - GM_ALIGN)
        return gm_fail(e, "a batch too large for memory");
    pass->bias_rows = (pass->operands + pass->penalties) * call->rows;
    pass->region_rows = gm_align(pass->stacked_rows); /* so that matrices are aligned as well */
    pass->staged = gm_walk_staged(w, &call->mode);
    pass->lowest = call->gradients ? w->first_trained + 1 : w->net->layer_count + 1;
    pass->operand_chunks = gm_pieces(call->rows, w->chunk_rows);
    gm_walk_cut(w, call->rows, (pass->operands + pass->penalties) * pass->operand_chunks);
    gm_walk_slice(w);
    pass->to = w->net->layer_count;
    if (gm_walk_reserve(&w->values, pass->bias_rows, 1, sizeof(double), e) < 0 ||
        gm_walk_reserve(&w->block_values, w->block_count, 1, sizeof(double), e) < 0)
        return -1;
    bool shared = pass->keeps || pass->reuses;
    bool stacked = call->gradients || pass->penalties || pass->staged || shared;
    if (stacked && gm_walk_reserve(&w->stacked, pass->region_rows, region_width(w, pass->staged), sizeof(float), e) < 0)
        return -1;
    pass->stacked = stacked ? w->stacked.bytes : NULL;
    pass->values = w->values.bytes;
    pass->block_values = w->block_values.bytes;
    pass->whole = pass->operands == 1 && !pass->penalties && !shared ? gm_input_whole(&call->inputs[0]) : NULL;
    gm_walk_spectra(w, pass->params);
    if (!pass->staged) return gm_walk_running(w, pass->params, e);
    return gm_walk_reserve(&w->moments, pass->operands, w->moments_width, sizeof(float), e);
}

/* Sums in a fixed order, in double. */
static double total(const gm_pass *pass, bool decays) {
    double sum = 0.0, blocks = 0.0;
    for (size_t i = 0; i < pass->bias_rows; i++) sum += pass->values[i];
    for (size_t i = 0; decays && i < pass->walk->block_count; i++) blocks += pass->block_values[i];
    return (pass->bias_rows ? sum / (double)pass->call->rows : 0.0) + blocks;
}

/* [rows, columns] is [rows / pack, pack * columns]. */
static gm_backward call_of_packs(const gm_walk *w, const gm_backward *call) {
    gm_backward packed = *call;
    packed.rows /= w->net->pack;
    packed.mode = gm_mode_of_packs(call->mode, w->net->pack);
    return packed;
}

int gm_walk_backward(gm_walk *w, const float *params, const gm_backward *call, gm_error *e) {
    gm_backward packed = call_of_packs(w, call);
    gm_pass pass = {.walk = w,
                    .params = params,
                    .call = &packed,
                    .operands = call->loss && !call->cotangent ? call->loss->operand_count : 1};
    if (check_call(w->net, call, pass.operands, e) < 0) return -1;
    pass.reuses = is_kept(w, &packed);
    w->kept.there = false;
    if (prepare(&pass, e) < 0) return -1;
    size_t chunks = (pass.operands + pass.penalties) * pass.operand_chunks;
    if (pass.staged && pass.operands ? run_stages(&pass, e) < 0
        : chunks > 0                 ? gm_walk_crew(w, chunks, scratch_floats(&pass), whole_chunk, &pass, e) < 0
                                     : false)
        return -1;
    bool decays = pass.l1 != 0.0 || pass.l2 != 0.0;
    if (call->gradients || decays) make_gradients(&pass);
    if (call->loss && call->value) *call->value = total(&pass, decays);
    return 0;
}

int gm_walk_keep(gm_walk *w, const float *params, const gm_backward *call, gm_error *e) {
    gm_backward packed = call_of_packs(w, call);
    gm_pass pass = {.walk = w, .params = params, .call = &packed, .operands = 1, .keeps = true};
    w->kept.there = false;
    if (prepare(&pass, e) < 0 || crew(&pass, keep_chunk, e) < 0) return -1;
    w->kept = (gm_kept){.there = true, .rows = packed.rows, .mode = packed.mode};
    return 0;
}
