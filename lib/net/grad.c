/* grad.c: a network forward and backward over a batch.
 *
 * The rows of all operands are stacked: row r of operand o is row o * rows + r of one matrix [operands * rows, ...]. A
 * first parallel pass takes chunks of it (which never straddle operands) forward through all layers, through the loss,
 * and backward down to where somebody wants the gradient. A second one makes the weights' gradients, in slices, from
 * what the first left: each is one matrix product over all stacked rows. How many threads share the passes changes no
 * bit.
 */
#include "gm/grad.h"
#include "gm/blas.h"
#include "gm/ops.h"
#include "gm/threads.h"

#include "layer.h"
#include "term.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A slice of GM_SLICE rows (the last is shorter) of a dense layer's weights. */
typedef struct gm_slice {
    size_t layer, first, count;
} gm_slice;

/* Grown to what a call needs and kept for the next. */
typedef struct gm_room {
    void *bytes;
    size_t size;
} gm_room;

/* Where matrices of a chunk lie, in floats for each row: a matrix at column c of a region of R rows begins at c * R. */
struct gm_walk {
    const gm_net *net;
    size_t *output_at;     /* of layer l: y */
    size_t *derivative_at; /* of layer l: d loss / d y, then d loss / d v */
    size_t stacked_width;  /* floats in a row of these: input, y, d */
    size_t *extra_at;      /* of layer l: v or the dropout mask, kept for the way back */
    size_t extra_width;
    size_t widest; /* units of the widest layer */
    size_t first_dense;
    size_t chunk_rows;
    float **fixed; /* of an rff layer: its weights, its phases behind them; else NULL */
    gm_slice *slices;
    size_t slice_count;
    gm_room stacked;      /* region of all stacked rows */
    gm_room scratch;      /* one region of chunk_rows rows for each thread */
    gm_room values;       /* double[stacked rows]: the loss of each row */
    gm_room slice_values; /* double[slice_count]: l1 and l2 of each */
};

/* ---- making a walk ---- */

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t pieces_of(size_t n, size_t piece) {
    return n / piece + (n % piece != 0);
}

static bool keeps_v(const gm_net *net, size_t l) {
    const gm_layer *layer = &net->layers[l];
    if (layer->kind != GM_DENSE) return layer->kind == GM_RFF;
    return gm_activation_keeps_v(layer->activation) || l + 1 == net->layer_count;
}

/* Units and layers are bounded (GM_UNITS_MAX, GM_LAYERS_MAX): these sums fit. The last layer is dense (gm_net_parse).
 */
static void place_layers(gm_walk *w) {
    const gm_net *net = w->net;
    w->chunk_rows = GM_CHUNK;
    w->stacked_width = net->inputs;
    for (size_t l = net->layer_count; l-- > 0;) {
        const gm_layer *layer = &net->layers[l];
        if (layer->kind == GM_DENSE) w->first_dense = l;
        if (layer->kind == GM_RFF) w->chunk_rows = GM_CHUNK_RFF;
        if (layer->units > w->widest) w->widest = layer->units;
        w->output_at[l] = w->stacked_width;
        w->derivative_at[l] = w->stacked_width + layer->units;
        w->stacked_width += 2 * layer->units;
        w->extra_at[l] = w->extra_width;
        if (layer->kind == GM_DROPOUT || keeps_v(net, l)) w->extra_width += layer->units;
    }
}

static size_t cut_slices(const gm_net *net, gm_slice *slices) {
    size_t n = 0;
    for (size_t l = 0; l < net->layer_count; l++)
        for (size_t i = 0; net->layers[l].kind == GM_DENSE && i < net->layers[l].inputs; i += GM_SLICE, n++)
            if (slices)
                slices[n] = (gm_slice){.layer = l, .first = i, .count = smaller(GM_SLICE, net->layers[l].inputs - i)};
    return n;
}

static int fix_layers(gm_walk *w, uint64_t seed, gm_error *e) {
    const gm_net *net = w->net;
    w->fixed = gm_new_zeroed(net->layer_count, sizeof *w->fixed, e);
    if (!w->fixed) return -1;
    for (size_t l = 0; l < net->layer_count; l++) {
        const gm_layer *layer = &net->layers[l];
        if (layer->kind != GM_RFF) continue;
        size_t weights = layer->inputs * layer->units; /* below 2^48: GM_UNITS_MAX */
        w->fixed[l] = gm_new(weights + layer->units, sizeof(float), e);
        if (!w->fixed[l]) return gm_fail_within(e, "layer %zu (rff): ", l);
        gm_fourier_init(layer, l, seed, w->fixed[l], w->fixed[l] + weights);
    }
    return 0;
}

gm_walk *gm_walk_new(const gm_net *net, uint64_t seed, gm_error *e) {
    gm_walk *w = gm_new_zeroed(1, sizeof *w, e);
    if (!w) return NULL;
    w->net = net;
    w->output_at = gm_new(net->layer_count, sizeof *w->output_at, e);
    w->derivative_at = gm_new(net->layer_count, sizeof *w->derivative_at, e);
    w->extra_at = gm_new(net->layer_count, sizeof *w->extra_at, e);
    w->slice_count = cut_slices(net, NULL);
    w->slices = gm_new(w->slice_count, sizeof *w->slices, e);
    if (!w->output_at || !w->derivative_at || !w->extra_at || !w->slices || fix_layers(w, seed, e) < 0) {
        gm_walk_free(w);
        return NULL;
    }
    place_layers(w);
    cut_slices(net, w->slices);
    return w;
}

void gm_walk_free(gm_walk *w) {
    if (!w) return;
    for (size_t l = 0; w->fixed && l < w->net->layer_count; l++) free(w->fixed[l]);
    free(w->fixed);
    free(w->output_at);
    free(w->derivative_at);
    free(w->extra_at);
    free(w->slices);
    free(w->stacked.bytes);
    free(w->scratch.bytes);
    free(w->values.bytes);
    free(w->slice_values.bytes);
    free(w);
}

/* Room for a * b items of `size` bytes. */
static int reserve(gm_room *room, size_t a, size_t b, size_t size, gm_error *e) {
    size_t items, bytes;
    if (!gm_multiply(a, b, &items) || !gm_multiply(items, size, &bytes))
        return gm_fail(e, "a batch too large for memory");
    if (bytes <= room->size) return 0;
    free(room->bytes);
    room->size = 0;
    room->bytes = gm_new(bytes, 1, e);
    if (!room->bytes) return -1;
    room->size = bytes;
    return 0;
}

/* ---- inputs ---- */

static const char *plural(size_t n) {
    return n == 1 ? "" : "s";
}

static int check_width(const gm_input *input, const gm_net *net, gm_error *e) {
    size_t sum = 0;
    for (size_t i = 0; i < input->part_count; i++) {
        const gm_input_part *p = &input->parts[i];
        size_t wanted = input->part_count == net->part_count ? net->parts[i].columns : p->columns;
        if (input->part_count == 1) wanted = net->inputs;
        if (p->columns != wanted)
            return gm_fail(e, "tensor '%s': expected %zu column%s, got %zu", p->name, wanted, plural(wanted),
                           p->columns);
        if (p->columns > net->inputs - sum) /* more than all; so the sum cannot overflow */
            return gm_fail(e, "tensor '%s': %zu column%s are too many, the joined input has %zu", p->name, p->columns,
                           plural(p->columns), net->inputs);
        sum += p->columns;
    }
    if (sum != net->inputs)
        return gm_fail(e, "%zu tensors joined: expected %zu columns in all, got %zu", input->part_count, net->inputs,
                       sum);
    return 0;
}

int gm_input_check(const gm_input *input, const gm_net *net, size_t rows, gm_error *e) {
    if (check_width(input, net, e) < 0) return -1;
    for (size_t i = 0; i < input->part_count; i++) {
        const gm_input_part *p = &input->parts[i];
        for (size_t row = 0; !p->values && row < rows; row++)
            if (p->labels[row] < 0 || (size_t)p->labels[row] >= p->columns)
                return gm_fail(e, "tensor '%s': row %zu: class %d is outside 0..%zu", p->name, row, (int)p->labels[row],
                               p->columns - 1);
    }
    return 0;
}

/* The numbers of an input that need no joining, or NULL. */
static const float *whole_input(const gm_input *input) {
    return input->part_count == 1 ? input->parts[0].values : NULL;
}

/* x[count, inputs] = rows first .. first + count - 1 of the parts, side by side. */
static void join_input(const gm_input *input, size_t first, size_t count, size_t inputs, float *x) {
    for (size_t i = 0; i < input->part_count; i++) {
        const gm_input_part *p = &input->parts[i];
        for (size_t row = 0; row < count; row++) {
            float *to = x + row * inputs;
            if (p->values) {
                memcpy(to, p->values + (first + row) * p->columns, p->columns * sizeof *to);
            } else {
                memset(to, 0, p->columns * sizeof *to);
                to[p->labels[first + row]] = 1.0f;
            }
        }
        x += p->columns;
    }
}

/* ---- sharing chunks out ---- */

/* The pieces of gm_parallel are workers: each has a scratch region of its own and takes chunks until there are no more.
 */
typedef struct gm_crew {
    atomic_size_t next;
    size_t chunk_count;
    float *scratch;
    size_t scratch_rows;  /* of a chunk */
    size_t scratch_width; /* floats for each row of a chunk */
    void (*work)(const void *context, size_t chunk, float *scratch);
    const void *context;
} gm_crew;

static void crew_piece(void *context, size_t worker) {
    gm_crew *crew = context;
    float *scratch = crew->scratch + worker * crew->scratch_rows * crew->scratch_width;
    for (;;) {
        size_t chunk = atomic_fetch_add_explicit(&crew->next, 1, memory_order_relaxed);
        if (chunk >= crew->chunk_count) return;
        crew->work(crew->context, chunk, scratch);
    }
}

static int run_crew(gm_walk *w, size_t chunks, size_t scratch_width, void (*work)(const void *, size_t, float *),
                    const void *context, gm_error *e) {
    size_t workers = smaller(gm_threads(), chunks);
    if (reserve(&w->scratch, workers * w->chunk_rows, scratch_width, sizeof(float), e) < 0) return -1;
    gm_crew crew = {.chunk_count = chunks,
                    .scratch = w->scratch.bytes,
                    .scratch_rows = w->chunk_rows,
                    .scratch_width = scratch_width,
                    .work = work,
                    .context = context};
    gm_parallel(workers, crew_piece, &crew);
    return 0;
}

/* ---- layers of both ways ---- */

/* A dropout layer that does nothing hands on its input's place as its output's. */
static bool is_idle(const gm_layer *layer, const gm_mode *mode) {
    return layer->kind == GM_DROPOUT && (!mode->training || layer->rate == 0.0);
}

/* One layer on `rows` rows, the first of which is number `stacked_row` of the masks. */
static void forward_layer(const gm_walk *w, size_t l, const float *params, const gm_mode *mode, size_t stacked_row,
                          size_t rows, const float *x, float *extra, float *y) {
    const gm_net *net = w->net;
    const gm_layer *layer = &net->layers[l];
    if (layer->kind == GM_RFF) {
        const float *weights = w->fixed[l], *phases = weights + layer->inputs * layer->units;
        gm_fourier_forward(layer, weights, phases, rows, x, extra ? extra : y, y);
    } else if (layer->kind == GM_DENSE) {
        gm_dense_forward(layer, params + net->parameters[layer->weights].offset,
                         params + net->parameters[layer->biases].offset, rows, x, extra ? extra : y, y);
    } else {
        gm_rng rng = {.seed = mode->seed, .purpose = GM_PURPOSE_DROPOUT, .stream = (uint32_t)l, .step = mode->step};
        gm_dropout_forward(layer, rng, (uint64_t)stacked_row * layer->units, rows, x, extra, y);
    }
}

/* ---- forward only ---- */

typedef struct gm_forward_run {
    const gm_walk *walk;
    const float *params;
    const gm_input *input;
    size_t rows;
    gm_mode mode;
    float *output;
} gm_forward_run;

/* Scratch: the joined input, two matrices that take turns, the mask. */
static size_t forward_width(const gm_walk *w) {
    return w->net->inputs + 3 * w->widest;
}

static void forward_chunk(const void *context, size_t chunk, float *scratch) {
    const gm_forward_run *run = context;
    const gm_net *net = run->walk->net;
    size_t most = run->walk->chunk_rows, first = chunk * most, rows = smaller(most, run->rows - first),
           last = net->layer_count - 1;
    float *turns[2] = {scratch + net->inputs * most, scratch + (net->inputs + run->walk->widest) * most};
    float *mask = scratch + (net->inputs + 2 * run->walk->widest) * most;
    const float *x = whole_input(run->input);
    if (x) {
        x += first * net->inputs;
    } else {
        join_input(run->input, first, rows, net->inputs, scratch);
        x = scratch;
    }
    for (size_t l = 0, turn = 0; l <= last; l++) {
        const gm_layer *layer = &net->layers[l];
        if (is_idle(layer, &run->mode)) continue;
        float *y = l == last ? run->output + first * net->outputs : turns[turn];
        forward_layer(run->walk, l, run->params, &run->mode, first, rows, x, layer->kind == GM_DROPOUT ? mask : NULL,
                      y);
        x = y;
        turn = 1 - turn;
    }
}

int gm_walk_forward(gm_walk *w, const float *params, const gm_input *input, size_t rows, gm_mode mode, float *output,
                    gm_error *e) {
    gm_forward_run run = {.walk = w, .params = params, .input = input, .rows = rows, .mode = mode, .output = output};
    if (gm_input_check(input, w->net, rows, e) < 0) return -1;
    if (rows == 0) return 0;
    return run_crew(w, pieces_of(rows, w->chunk_rows), forward_width(w), forward_chunk, &run, e);
}

/* ---- forward and backward ---- */

typedef struct gm_backward_run {
    const gm_walk *walk;
    const float *params;
    const gm_backward *call;
    size_t operands;
    size_t operand_chunks; /* chunks in an operand */
    size_t region_rows;    /* of `stacked` */
    float *stacked;        /* NULL where nothing is needed of a chunk once it is done: then it lives in the scratch */
    const float *whole;    /* the input that needs no joining (of the only operand), or NULL */
    double *values;
    double *slice_values;
    double l1, l2; /* weights of these terms */
} gm_backward_run;

/* A chunk's matrices: y[l] is what layer l writes, d[l] = d loss / d what it reads; d[layer_count] is of the output. */
typedef struct gm_chunk {
    size_t operand, first, rows, stacked_row;
    float *own; /* for the joined input */
    float *y[GM_LAYERS_MAX], *d[GM_LAYERS_MAX + 1], *extra[GM_LAYERS_MAX];
    size_t lowest; /* d[lowest] is the last that is wanted; above layer_count: none */
} gm_chunk;

static float *wanted_input_gradient(const gm_backward *call, size_t operand) {
    return call->input_gradients ? call->input_gradients[operand] : NULL;
}

/* Whether v of the last layer is kept apart from y. */
static bool needs_logits(const gm_backward *call) {
    for (size_t i = 0; call->loss && i < call->loss->term_count; i++)
        if (gm_term_of_logits(call->loss->terms[i].kind)) return true;
    return false;
}

static bool has_extra(const gm_backward_run *run, size_t l, size_t lowest) {
    const gm_net *net = run->walk->net;
    const gm_layer *layer = &net->layers[l];
    if (layer->kind == GM_DROPOUT) return true;
    if (layer->kind == GM_RFF) return l >= lowest;
    return gm_activation_keeps_v(layer->activation) ||
           (l + 1 == net->layer_count && layer->activation != GM_LINEAR && needs_logits(run->call));
}

static void place_chunk(const gm_backward_run *run, size_t chunk, float *scratch, gm_chunk *c) {
    const gm_walk *w = run->walk;
    const gm_net *net = w->net;
    float *region = run->stacked ? run->stacked : scratch + w->extra_width * w->chunk_rows;
    c->operand = chunk / run->operand_chunks;
    c->first = chunk % run->operand_chunks * w->chunk_rows;
    c->rows = smaller(w->chunk_rows, run->call->rows - c->first);
    c->stacked_row = c->operand * run->call->rows + c->first;
    size_t region_rows = run->stacked ? run->region_rows : w->chunk_rows, row = run->stacked ? c->stacked_row : 0;
    float *gradient = wanted_input_gradient(run->call, c->operand);
    c->own = region + row * net->inputs;
    c->d[0] = gradient ? gradient + c->first * net->inputs : NULL;
    c->lowest = gradient ? 0 : run->call->gradients ? w->first_dense + 1 : net->layer_count + 1;
    for (size_t l = 0; l < net->layer_count; l++) {
        size_t units = net->layers[l].units;
        bool idle = is_idle(&net->layers[l], &run->call->mode);
        c->y[l] = region + w->output_at[l] * region_rows + row * units;
        c->d[l + 1] = idle ? c->d[l] : region + w->derivative_at[l] * region_rows + row * units;
        c->extra[l] = has_extra(run, l, c->lowest) ? scratch + w->extra_at[l] * w->chunk_rows : NULL;
    }
}

static void chunk_forward(const gm_backward_run *run, gm_chunk *c) {
    const gm_net *net = run->walk->net;
    const gm_input *input = &run->call->inputs[c->operand];
    const float *whole = run->stacked ? run->whole : whole_input(input);
    if (!whole) join_input(input, c->first, c->rows, net->inputs, c->own);
    const float *x = whole ? whole + c->first * net->inputs : c->own;
    for (size_t l = 0; l < net->layer_count; l++) {
        if (is_idle(&net->layers[l], &run->call->mode)) continue;
        forward_layer(run->walk, l, run->params, &run->call->mode, c->stacked_row, c->rows, x, c->extra[l], c->y[l]);
        x = c->y[l];
    }
}

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
static bool add_terms(const gm_backward_run *run, const gm_chunk *c, const gm_end *end, bool of_logits) {
    const gm_loss *loss = run->call->loss;
    bool any = false;
    for (size_t i = 0; i < loss->term_count; i++) {
        const gm_term *term = &loss->terms[i];
        if (term->kind == GM_L1 || term->kind == GM_L2 || term->operand != c->operand) continue;
        if (gm_term_of_logits(term->kind) != of_logits) continue;
        gm_target target = target_from(run->call, i, c->first);
        gm_term_add(term, &target, 1.0 / (double)run->call->rows, end);
        any = true;
    }
    return any;
}

static void activation_backward(const gm_net *net, size_t l, const gm_chunk *c) {
    const gm_layer *layer = &net->layers[l];
    gm_activation_backward(layer->activation, c->rows, layer->units, c->extra[l], c->y[l], c->d[l + 1]);
}

/* The loss and, where anything is wanted below, d[layer_count] = d loss / d v of the last layer: terms of the output
 * come first, then the last activation's derivative, then terms of the logits. */
static void chunk_loss(const gm_backward_run *run, const gm_chunk *c) {
    const gm_net *net = run->walk->net;
    size_t n = c->rows * net->outputs, last = net->layer_count - 1;
    bool backward = c->lowest <= net->layer_count;
    float *d = backward ? c->d[net->layer_count] : NULL;
    if (!run->call->loss) {
        if (!backward) return;
        memcpy(d, run->call->cotangent + c->first * net->outputs, n * sizeof *d);
        activation_backward(net, last, c);
        return;
    }
    gm_end end = {.rows = c->rows,
                  .units = net->outputs,
                  .sigmoid = net->layers[last].activation == GM_SIGMOID,
                  .logits = c->extra[last] ? c->extra[last] : c->y[last],
                  .output = c->y[last],
                  .derivative = d,
                  .values = run->values + c->stacked_row,
                  .class_weights = run->call->class_weights};
    for (size_t i = 0; i < c->rows; i++) end.values[i] = 0.0;
    if (d) memset(d, 0, n * sizeof *d);
    if (add_terms(run, c, &end, false) && d) activation_backward(net, last, c);
    add_terms(run, c, &end, true);
}

static void chunk_backward(const gm_backward_run *run, const gm_chunk *c) {
    const gm_net *net = run->walk->net;
    for (size_t l = net->layer_count; l-- > 0 && l + 1 >= c->lowest;) {
        const gm_layer *layer = &net->layers[l];
        if (is_idle(layer, &run->call->mode)) continue;
        if (layer->kind == GM_DENSE && l + 1 < net->layer_count) activation_backward(net, l, c);
        if (l < c->lowest) continue;
        if (layer->kind == GM_DENSE)
            gm_dense_backward_inputs(layer, run->params + net->parameters[layer->weights].offset, c->rows, c->d[l + 1],
                                     c->d[l]);
        else if (layer->kind == GM_RFF)
            gm_fourier_backward(layer, run->walk->fixed[l], c->rows, c->extra[l], c->d[l + 1], c->d[l]);
        else
            gm_dropout_backward(layer, c->rows, c->extra[l], c->d[l + 1], c->d[l]);
    }
}

static void backward_chunk(const void *context, size_t chunk, float *scratch) {
    const gm_backward_run *run = context;
    gm_chunk c;
    place_chunk(run, chunk, scratch, &c);
    chunk_forward(run, &c);
    chunk_loss(run, &c);
    chunk_backward(run, &c);
}

/* ---- weights ---- */

/* What layer l read, over all stacked rows. */
static const float *stacked_input(const gm_backward_run *run, size_t l) {
    const gm_walk *w = run->walk;
    while (l > 0 && is_idle(&w->net->layers[l - 1], &run->call->mode)) l--;
    if (l > 0) return run->stacked + w->output_at[l - 1] * run->region_rows;
    return run->whole ? run->whole : run->stacked;
}

/* Adds the derivatives of l1 |w| + l2 w^2, 0 of |w| at 0. */
static void add_decay(double l1, double l2, size_t n, const float *weights, float *dw) {
    float slope = (float)l1, twice = (float)(2.0 * l2);
    for (size_t i = 0; i < n; i++)
        dw[i] += twice * weights[i] + (weights[i] > 0.0f ? slope : weights[i] < 0.0f ? -slope : 0.0f);
}

static void slice_piece(void *context, size_t i) {
    const gm_backward_run *run = context;
    const gm_net *net = run->walk->net;
    const gm_slice *slice = &run->walk->slices[i];
    const gm_layer *layer = &net->layers[slice->layer];
    size_t at = net->parameters[layer->weights].offset + slice->first * layer->units, n = slice->count * layer->units;
    size_t rows = run->operands * run->call->rows;
    if (run->call->gradients) {
        const float *d = run->stacked + run->walk->derivative_at[slice->layer] * run->region_rows;
        float *dw = run->call->gradients[layer->weights] + slice->first * layer->units;
        gm_dense_backward_weights(layer, slice->first, slice->count, rows, stacked_input(run, slice->layer), d, dw);
        if (slice->first == 0) gm_dense_backward_biases(rows, layer->units, d, run->call->gradients[layer->biases]);
        if (run->l1 != 0.0 || run->l2 != 0.0) add_decay(run->l1, run->l2, n, run->params + at, dw);
    }
    run->slice_values[i] = 0.0;
    if (run->l1 != 0.0) run->slice_values[i] += run->l1 * gm_sum_absolute(n, run->params + at);
    if (run->l2 != 0.0) run->slice_values[i] += run->l2 * gm_sum_squares(n, run->params + at);
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

static int prepare(gm_walk *w, gm_backward_run *run, gm_error *e) {
    const gm_backward *call = run->call;
    size_t rows;
    for (size_t i = 0; call->loss && i < call->loss->term_count; i++) {
        if (call->loss->terms[i].kind == GM_L1) run->l1 += call->loss->terms[i].weight;
        if (call->loss->terms[i].kind == GM_L2) run->l2 += call->loss->terms[i].weight;
    }
    if (!gm_multiply(run->operands, call->rows, &rows) || rows > SIZE_MAX - GM_ALIGN)
        return gm_fail(e, "a batch too large for memory");
    run->region_rows = gm_align(rows); /* so that matrices are aligned as well */
    if (reserve(&w->values, rows, 1, sizeof(double), e) < 0 ||
        reserve(&w->slice_values, w->slice_count, 1, sizeof(double), e) < 0)
        return -1;
    if (call->gradients && reserve(&w->stacked, run->region_rows, w->stacked_width, sizeof(float), e) < 0) return -1;
    run->stacked = call->gradients ? w->stacked.bytes : NULL;
    run->values = w->values.bytes;
    run->slice_values = w->slice_values.bytes;
    run->whole = run->operands == 1 ? whole_input(&call->inputs[0]) : NULL;
    return 0;
}

/* Sums in a fixed order, in double. */
static double total(const gm_backward_run *run, bool decay) {
    size_t rows = run->operands * run->call->rows;
    double sum = 0.0, slices = 0.0;
    for (size_t i = 0; i < rows; i++) sum += run->values[i];
    for (size_t i = 0; decay && i < run->walk->slice_count; i++) slices += run->slice_values[i];
    return (rows ? sum / (double)run->call->rows : 0.0) + slices;
}

int gm_walk_backward(gm_walk *w, const float *params, const gm_backward *call, gm_error *e) {
    gm_backward_run run = {
        .walk = w, .params = params, .call = call, .operands = call->loss ? call->loss->operand_count : 1};
    if (check_call(w->net, call, run.operands, e) < 0 || prepare(w, &run, e) < 0) return -1;
    size_t width = w->extra_width + (run.stacked ? 0 : w->stacked_width);
    run.operand_chunks = pieces_of(call->rows, w->chunk_rows);
    if (run.operands > 0 && run_crew(w, run.operands * run.operand_chunks, width, backward_chunk, &run, e) < 0)
        return -1;
    bool decay = run.l1 != 0.0 || run.l2 != 0.0;
    if (call->gradients || decay) gm_parallel(w->slice_count, slice_piece, &run);
    if (call->loss && call->value) *call->value = total(&run, decay);
    return 0;
}
