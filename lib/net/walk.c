/* walk.c: the buffers for running one network, its inputs, and one layer on a chunk. */
#include "walk.h"

#include "gm/blas.h"
#include "gm/threads.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* ---- making a walk ---- */

bool gm_layer_keeps(const gm_layer *layer) {
    return layer->kind == GM_DROPOUT || layer->kind == GM_GAUSSIAN;
}

static bool keeps_v(const gm_net *net, size_t l) {
    const gm_layer *layer = &net->layers[l];
    if (layer->kind != GM_DENSE) return layer->kind == GM_RFF;
    return gm_activation_keeps_v(layer->activation) || l + 1 == net->layer_count;
}

/* Units and layers are bounded (GM_UNITS_MAX, GM_LAYERS_MAX): these sums fit. */
static void place_layers(gm_walk *w) {
    const gm_net *net = w->net;
    w->chunk_least = GM_CHUNK;
    w->stacked_width = net->inputs;
    w->first_trained = net->layer_count;
    for (size_t i = 0; i < net->part_count && net->parts[i].kind != GM_PART_CLASSES; i++)
        w->labels_at += net->parts[i].columns;
    for (size_t l = net->layer_count; l-- > 0;) {
        const gm_layer *layer = &net->layers[l];
        if (layer->kind == GM_DENSE || layer->kind == GM_BATCHNORM) w->first_trained = l;
        if (layer->kind == GM_DENSE && layer->inputs * layer->units >= GM_WIDE && w->chunk_least == GM_CHUNK)
            w->chunk_least = GM_CHUNK_WIDE;
        if (layer->kind == GM_RFF) w->chunk_least = GM_CHUNK_LARGE;
        if (layer->units > w->widest) w->widest = layer->units;
        w->output_at[l] = w->stacked_width;
        w->derivative_at[l] = w->stacked_width + layer->units;
        w->stacked_width += 2 * layer->units;
        w->extra_at[l] = w->extra_width;
        if (gm_layer_keeps(layer) || keeps_v(net, l)) w->extra_width += layer->units;
        w->moments_at[l] = w->moments_width;
        if (layer->kind == GM_BATCHNORM) w->moments_width += 4 * layer->units;
    }
}

_Static_assert(GM_CHUNK % GM_COLUMN_ROWS == 0 && GM_SLICE % GM_COLUMN_ROWS == 0, "cuts are where they change no bit");

/* Whether work need not be cut. */
static bool is_undivided(const gm_walk *w) {
    return (w->alone || gm_threads() == 1) && gm_matmul_cuts_freely();
}

/* Pieces of `piece` rows, or so many more that none is of a single row. Only from 3841 rows on can that be more than
 * 384, which tiles take, and there any number of threads cuts alike. */
static size_t without_single(size_t n, size_t piece, size_t more) {
    while (n > 1 && n % piece == 1) piece += more;
    return piece;
}

size_t gm_walk_chunk(const gm_walk *w, size_t rows, size_t chunks) {
    const size_t large = w->packs->params ? GM_CHUNK_WIDE : GM_CHUNK_LARGE;
    size_t chunk = is_undivided(w) ? large : gm_smaller(w->chunk_least, large);
    const size_t whole = gm_pieces(rows, GM_CHUNK) * GM_CHUNK; /* no scratch for rows that are not there */
    while (chunk < large && 2 * chunk * chunks <= rows) chunk *= 2;
    return rows == 0 ? chunk : without_single(rows, gm_smaller(chunk, whole), GM_CHUNK);
}

void gm_walk_cut(gm_walk *w, size_t rows, size_t chunks) {
    const bool shared = rows == 1 || !is_undivided(w);
    w->cuts = shared && chunks == 1 && w->chunk_least > GM_CHUNK ? 2 : 1;
}

static size_t slice_rows(const gm_walk *w, const gm_layer *layer) {
    const size_t eighth = gm_pieces(gm_pieces(layer->inputs, 8), GM_SLICE) * GM_SLICE;
    const size_t rows = is_undivided(w) ? GM_SLICE_LARGE : gm_smaller(eighth, GM_SLICE_LARGE);
    return without_single(layer->inputs, rows, GM_SLICE);
}

static size_t blocks_of(const gm_layer *layer) {
    return layer->kind == GM_DENSE ? gm_pieces(layer->inputs, GM_SLICE) : layer->kind == GM_BATCHNORM ? 1 : 0;
}

void gm_walk_slice(gm_walk *w) {
    const gm_net *net = w->net;
    size_t n = 0, block = 0;
    for (size_t l = 0; l < net->layer_count; l++) {
        const gm_layer *layer = &net->layers[l];
        size_t cut = layer->kind == GM_DENSE ? slice_rows(w, layer) : layer->kind == GM_BATCHNORM ? layer->inputs : 0;
        for (size_t i = 0; cut && i < layer->inputs; i += cut)
            w->slices[n++] = (gm_slice){
                .layer = l, .first = i, .count = gm_smaller(cut, layer->inputs - i), .block = block + i / GM_SLICE};
        block += blocks_of(layer);
    }
    w->slice_count = n;
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
        gm_fourier_init(layer, layer->number, seed, w->fixed[l], w->fixed[l] + weights);
    }
    return 0;
}

/* Room for what spectral layers use, in one piece for each: W / s, a, u. */
static int make_spectra(gm_walk *w, gm_error *e) {
    const gm_net *net = w->net;
    w->spectrum = gm_new_zeroed(net->layer_count, sizeof *w->spectrum, e);
    if (!w->spectrum) return -1;
    for (size_t l = 0; l < net->layer_count; l++) {
        const gm_layer *layer = &net->layers[l];
        gm_spectrum *s = &w->spectrum[l];
        if (!layer->spectral) continue;
        s->weights = gm_new(layer->inputs * layer->units + layer->inputs + layer->units, sizeof(float), e);
        if (!s->weights) return gm_fail_within(e, "layer %zu (spectral): ", l);
        s->a = s->weights + layer->inputs * layer->units;
        s->u = s->a + layer->inputs;
    }
    return 0;
}

gm_walk *gm_walk_new(const gm_net *net, uint64_t seed, gm_error *e) {
    if (gm_blas_ready(e) != 0) return NULL;
    gm_walk *w = gm_new_zeroed(1, sizeof *w, e);
    if (!w) return NULL;
    w->net = net;
    w->packs = &w->own_packs;
    w->output_at = gm_new(net->layer_count, sizeof *w->output_at, e);
    w->derivative_at = gm_new(net->layer_count, sizeof *w->derivative_at, e);
    w->extra_at = gm_new(net->layer_count, sizeof *w->extra_at, e);
    w->moments_at = gm_new(net->layer_count, sizeof *w->moments_at, e);
    for (size_t l = 0; l < net->layer_count; l++) w->block_count += blocks_of(&net->layers[l]);
    w->slices = gm_new(w->block_count + 1, sizeof *w->slices, e);
    bool ok = w->output_at && w->derivative_at && w->extra_at && w->moments_at && w->slices;
    if (!ok || fix_layers(w, seed, e) < 0 || make_spectra(w, e) < 0) {
        gm_walk_free(w);
        return NULL;
    }
    place_layers(w);
    return w;
}

void gm_walk_free(gm_walk *w) {
    if (!w) return;
    for (size_t l = 0; w->fixed && l < w->net->layer_count; l++) free(w->fixed[l]);
    for (size_t l = 0; w->spectrum && l < w->net->layer_count; l++) free(w->spectrum[l].weights);
    free(w->fixed);
    free(w->spectrum);
    gm_walk_unpack(w);
    free(w->moments_at);
    free(w->moments.bytes);
    free(w->output_at);
    free(w->derivative_at);
    free(w->extra_at);
    free(w->slices);
    free(w->stacked.bytes);
    free(w->scratch.bytes);
    free(w->values.bytes);
    free(w->block_values.bytes);
    free(w);
}

void gm_walk_use_net(gm_walk *w, const gm_net *net) {
    w->net = net;
}

void gm_walk_expect(gm_walk *w) {
    w->expected = true;
}

int gm_walk_reserve(gm_room *room, size_t a, size_t b, size_t size, gm_error *e) {
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
        if (input->part_count == 1) wanted = net->columns;
        if (p->columns != wanted)
            return gm_fail(e, "tensor '%s': expected %zu column%s, got %zu", p->name, wanted, plural(wanted),
                           p->columns);
        if (p->columns > net->columns - sum) /* more than all; so the sum cannot overflow */
            return gm_fail(e, "tensor '%s': %zu column%s are too many, the joined input has %zu", p->name, p->columns,
                           plural(p->columns), net->columns);
        sum += p->columns;
    }
    if (sum != net->columns)
        return gm_fail(e, "%zu tensors joined: expected %zu columns in all, got %zu", input->part_count, net->columns,
                       sum);
    return 0;
}

int gm_input_check(const gm_input *input, const gm_net *net, size_t rows, gm_error *e) {
    if (check_width(input, net, e) < 0) return -1;
    if (rows % net->pack != 0)
        return gm_fail(e, "a batch of %zu row%s is no multiple of the pack of %zu", rows, plural(rows), net->pack);
    for (size_t i = 0; i < input->part_count; i++) {
        const gm_input_part *p = &input->parts[i];
        for (size_t row = 0; !p->values && row < rows; row++)
            if (p->labels[row] < 0 || (size_t)p->labels[row] >= p->columns)
                return gm_fail(e, "tensor '%s': row %zu: class %d is outside 0..%zu", p->name, row, (int)p->labels[row],
                               p->columns - 1);
    }
    return 0;
}

const float *gm_input_whole(const gm_input *input) {
    return input->part_count == 1 ? input->parts[0].values : NULL;
}

void gm_input_join(const gm_input *input, const gm_net *net, size_t first, size_t count, float *x) {
    first *= net->pack; /* a matrix of packs is one of their rows */
    count *= net->pack;
    for (size_t i = 0; i < input->part_count; i++) {
        const gm_input_part *p = &input->parts[i];
        for (size_t row = 0; row < count; row++) {
            float *to = x + row * net->columns;
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

static bool is_joined_row(const gm_input_part *p, size_t row, const float *x) {
    if (p->values) return memcmp(x, p->values + row * p->columns, p->columns * sizeof *x) == 0;
    for (size_t j = 0; j < p->columns; j++) /* one-hot */
        if (x[j] != (j == (size_t)p->labels[row] ? 1.0f : 0.0f)) return false;
    return true;
}

bool gm_input_joined(const gm_input *input, const gm_net *net, size_t count, const float *x) {
    for (size_t i = 0; i < input->part_count; i++) {
        const gm_input_part *p = &input->parts[i];
        for (size_t row = 0; row < count * net->pack; row++)
            if (!is_joined_row(p, row, x + row * net->columns)) return false;
        x += p->columns;
    }
    return true;
}

/* ---- sharing chunks out ---- */

/* The pieces of gm_parallel are workers: each has a scratch region of its own and takes chunks until there are no more.
 */
typedef struct gm_crew {
    atomic_size_t next;
    size_t chunk_count;
    float *scratch;
    size_t scratch_floats; /* of a worker */
    void (*work)(const void *context, size_t chunk, float *scratch);
    const void *context;
} gm_crew;

static void crew_piece(void *context, size_t worker) {
    gm_crew *crew = context;
    float *scratch = crew->scratch + worker * crew->scratch_floats;
    for (;;) {
        size_t chunk = atomic_fetch_add_explicit(&crew->next, 1, memory_order_relaxed);
        if (chunk >= crew->chunk_count) return;
        crew->work(crew->context, chunk, scratch);
    }
}

int gm_walk_crew(gm_walk *w, size_t chunks, size_t scratch_floats, void (*work)(const void *, size_t, float *),
                 const void *context, gm_error *e) {
    size_t workers = w->alone ? 1 : gm_smaller(gm_threads(), chunks);
    if (gm_walk_reserve(&w->scratch, workers, scratch_floats, sizeof(float), e) < 0) return -1;
    gm_crew crew = {.chunk_count = chunks,
                    .scratch = w->scratch.bytes,
                    .scratch_floats = scratch_floats,
                    .work = work,
                    .context = context};
    gm_parallel(workers, crew_piece, &crew);
    return 0;
}

/* ---- layers ---- */

bool gm_layer_idle(const gm_layer *layer, const gm_mode *mode) {
    return layer->kind == GM_DROPOUT && (!mode->training || layer->rate == 0.0);
}

bool gm_walk_staged(const gm_walk *w, const gm_mode *mode) {
    return mode->training && w->moments_width > 0;
}

void gm_walk_spectra(gm_walk *w, const float *params) {
    const gm_net *net = w->net;
    for (size_t l = 0; l < net->layer_count; l++) {
        const gm_layer *layer = &net->layers[l];
        gm_spectrum *s = &w->spectrum[l];
        if (!layer->spectral) continue;
        const float *weights = params + net->parameters[layer->weights].offset;
        const float *u = params + net->parameters[layer->statistics].offset;
        s->largest = gm_spectral_iterate(layer, weights, u, s->a, s->u);
        float scale = 1.0f / s->largest;
        for (size_t i = 0; i < layer->inputs * layer->units; i++) s->weights[i] = weights[i] * scale;
    }
}

const float *gm_walk_weights(const gm_walk *w, size_t l, const float *params) {
    const gm_layer *layer = &w->net->layers[l];
    return layer->spectral ? w->spectrum[l].weights : params + w->net->parameters[layer->weights].offset;
}

gm_batch gm_walk_batch(const gm_walk *w, size_t l, size_t operand) {
    size_t units = w->net->layers[l].units;
    float *at = (float *)w->moments.bytes + operand * w->moments_width + w->moments_at[l];
    return (gm_batch){
        .moments = {.mean = at, .inverse = at + units}, .sum_d = at + 2 * units, .sum_dn = at + 3 * units};
}

int gm_walk_running(gm_walk *w, const float *params, gm_error *e) {
    const gm_net *net = w->net;
    if (gm_walk_reserve(&w->moments, 1, w->moments_width, sizeof(float), e) < 0) return -1;
    for (size_t l = 0; l < net->layer_count; l++) {
        const gm_layer *layer = &net->layers[l];
        if (layer->kind != GM_BATCHNORM) continue;
        gm_batchnorm_running(layer->units, params + net->parameters[layer->statistics].offset,
                             params + net->parameters[layer->statistics + 1].offset, gm_walk_batch(w, l, 0).moments);
    }
    return 0;
}

void gm_walk_link(const gm_walk *w, const float *params, const gm_mode *mode, const gm_link *link) {
    const gm_net *net = w->net;
    const gm_layer *layer = &net->layers[link->l];
    gm_rng rng = {.seed = mode->seed, .stream = (uint32_t)layer->number, .step = mode->step};
    size_t rows = link->rows;
    float *y = link->y, *v = link->extra ? link->extra : y;
    switch (layer->kind) {
    case GM_RFF:
        gm_fourier_forward(layer, w->fixed[link->l], w->fixed[link->l] + layer->inputs * layer->units, rows, link->x, v,
                           y);
        break;
    case GM_DENSE:
        gm_dense_forward(layer, gm_walk_weights(w, link->l, params), gm_walk_packed(w, link->l, params),
                         params + net->parameters[layer->biases].offset, rows, w->cuts, link->x, v, y);
        break;
    case GM_DROPOUT:
        rng.purpose = GM_PURPOSE_DROPOUT;
        gm_dropout_forward(layer, rng, link->random_row * layer->units, rows, link->x, link->extra, y);
        break;
    case GM_GAUSSIAN:
        rng.purpose = GM_PURPOSE_GAUSSIAN;
        gm_gaussian_forward(layer, mode->drawing ? &rng : NULL, link->random_row * layer->latent, rows, link->x,
                            link->joined + w->labels_at, net->inputs, link->extra, y);
        break;
    case GM_BATCHNORM:
        gm_batchnorm_forward(rows, layer->units, link->x, gm_walk_batch(w, link->l, link->operand).moments,
                             params + net->parameters[layer->weights].offset,
                             params + net->parameters[layer->biases].offset, y);
        break;
    case GM_MIXED:
        rng.purpose = GM_PURPOSE_GUMBEL;
        gm_mixed_forward(layer, &net->spans, mode->drawing ? &rng : NULL, link->random_row * layer->units, rows,
                         link->x, y);
        break;
    }
}
