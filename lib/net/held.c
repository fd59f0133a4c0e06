/* held.c: parameters that stay from call to call: their weights are packed once, and walks of several threads share
 * them.
 */
#include "walk.h"

#include "gm/blas.h"

#include <stdlib.h>

#define HELD_MOST ((size_t)1 << 22) /* packed numbers */
#define HELD_ROWS ((size_t)256)     /* rows for which packing does not pay */

/* Whether all products of a forward call can read packed weights: those of rff and spectral layers are others. */
static bool is_packable(const gm_net *net) {
    size_t left = HELD_MOST;
    for (size_t l = 0; l < net->layer_count; l++) {
        const gm_layer *layer = &net->layers[l];
        if (layer->kind == GM_RFF || layer->spectral) return false;
        if (layer->kind != GM_DENSE) continue;
        const size_t count = gm_matmul_packed(layer->units, layer->inputs); /* below 2^49: GM_UNITS_MAX */
        if (count > left) return false;
        left -= count;
    }
    return true;
}

static bool can_hold(const gm_net *net) {
    return gm_matmul_cuts_freely() && is_packable(net);
}

void gm_walk_hold(gm_walk *w, const float *params) {
    w->packs->params = can_hold(w->net) ? params : NULL;
}

static int pack_layers(const gm_net *net, gm_packs *packs, gm_error *e) {
    packs->layers = gm_new_zeroed(net->layer_count, sizeof *packs->layers, e);
    if (!packs->layers) return -1;
    for (size_t l = 0; l < net->layer_count; l++) {
        const gm_layer *layer = &net->layers[l];
        if (layer->kind != GM_DENSE) continue;
        packs->layers[l] = gm_new(gm_matmul_packed(layer->units, layer->inputs), sizeof(float), e);
        if (!packs->layers[l]) return gm_fail_within(e, "layer %zu: ", l);
        gm_matmul_pack(layer->units, layer->inputs, packs->params + net->parameters[layer->weights].offset,
                       layer->units, packs->layers[l]);
    }
    atomic_store_explicit(&packs->ready, true, memory_order_release);
    return 0;
}

/* Only one of the walks crosses the limit. */
int gm_walk_pack(gm_walk *w, const float *params, size_t rows, gm_error *e) {
    gm_packs *packs = w->packs;
    if (params != packs->params || atomic_load_explicit(&packs->rows, memory_order_relaxed) > HELD_ROWS) return 0;
    const size_t before = atomic_fetch_add_explicit(&packs->rows, rows, memory_order_relaxed);
    return before <= HELD_ROWS && before + rows > HELD_ROWS ? pack_layers(w->net, packs, e) : 0;
}

const float *gm_walk_packed(const gm_walk *w, size_t l, const float *params) {
    const gm_packs *packs = w->packs;
    const bool there = params == packs->params && atomic_load_explicit(&packs->ready, memory_order_acquire);
    return there ? packs->layers[l] : NULL;
}

void gm_walk_unpack(gm_walk *w) {
    gm_packs *packs = &w->own_packs;
    for (size_t l = 0; packs->layers && l < w->net->layer_count; l++) free(packs->layers[l]);
    free(packs->layers);
}

/* ---- walks side by side ---- */

#define PORTION ((size_t)128 * 784) /* numbers: more do not stay in the second cache */
#define PORTION_LARGE ((size_t)1 << 20)
#define PORTION_ROWS ((size_t)2048)

static size_t portion_rows(const gm_team *t, const gm_net *net) {
    const size_t numbers = net->inputs > net->outputs ? net->inputs : net->outputs;
    const size_t rows = (t->walks[0]->packs->params ? PORTION : PORTION_LARGE) / numbers;
    return rows < 16 ? 16 : gm_smaller(rows, PORTION_ROWS);
}

/* The others use what the first one packs. */
static int add_walk(gm_team *t, const gm_net *net, uint64_t seed, gm_error *e) {
    gm_walk *w = t->walks[t->count] = gm_walk_new(net, seed, e);
    if (!w) return -1;
    t->count++;
    w->packs = &t->walks[0]->own_packs;
    return 0;
}

size_t gm_team_size(const gm_net *net, size_t threads) {
    return can_hold(net) ? threads : 1;
}

gm_team *gm_team_new(const gm_net *net, uint64_t seed, const float *params, size_t threads, gm_error *e) {
    const size_t count = gm_team_size(net, threads);
    gm_team *t = gm_new_zeroed(1, sizeof *t, e);
    if (!t) return NULL;
    t->walks = gm_new_zeroed(count, sizeof(gm_walk *), e);
    if (!t->walks) {
        free(t);
        return NULL;
    }
    int status = 0;
    while (status == 0 && t->count < count) status = add_walk(t, net, seed, e);
    if (status != 0) {
        gm_team_free(t);
        return NULL;
    }
    gm_walk_hold(t->walks[0], params);
    for (size_t i = 0; i < count; i++) t->walks[i]->alone = count > 1;
    t->portion = portion_rows(t, net);
    return t;
}

void gm_team_free(gm_team *t) {
    if (!t) return;
    while (t->count > 0) gm_walk_free(t->walks[--t->count]);
    free(t->walks);
    free(t);
}
