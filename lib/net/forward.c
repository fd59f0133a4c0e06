/* forward.c: a network forward over a batch. */
#include "walk.h"

typedef struct gm_forward_run {
    const gm_walk *walk;
    const float *params;
    const gm_input *input;
    size_t rows, chunk_rows;
    gm_mode mode;
    float *output;
} gm_forward_run;

/* Scratch: the joined input, two matrices that take turns, a mask or noise. */
static size_t forward_width(const gm_walk *w) {
    return w->net->inputs + 3 * w->widest;
}

static void forward_chunk(const void *context, size_t chunk, float *scratch) {
    const gm_forward_run *run = context;
    const gm_net *net = run->walk->net;
    size_t most = run->chunk_rows, first = chunk * most, rows = gm_smaller(most, run->rows - first),
           last = net->layer_count - 1;
    float *turns[2] = {scratch + net->inputs * most, scratch + (net->inputs + run->walk->widest) * most};
    float *kept = scratch + (net->inputs + 2 * run->walk->widest) * most;
    const float *x = gm_input_whole(run->input), *joined;
    if (x) {
        x += first * net->inputs;
    } else {
        gm_input_join(run->input, net, first, rows, scratch);
        x = scratch;
    }
    joined = x;
    for (size_t l = 0, turn = 0; l <= last; l++) {
        const gm_layer *layer = &net->layers[l];
        if (gm_layer_idle(layer, &run->mode)) continue;
        float *y = l == last ? run->output + first * net->outputs : turns[turn];
        gm_walk_link(run->walk, run->params, &run->mode,
                     &(gm_link){.l = l,
                                .rows = rows,
                                .random_row = gm_random_row(&run->mode, run->rows, 0, first),
                                .joined = joined,
                                .x = x,
                                .extra = gm_layer_keeps(layer) ? kept : NULL,
                                .y = y});
        x = y;
        turn = 1 - turn;
    }
}

int gm_walk_forward(gm_walk *w, const float *params, const gm_input *input, size_t rows, gm_mode mode, float *output,
                    gm_error *e) {
    gm_forward_run run = {.walk = w,
                          .params = params,
                          .input = input,
                          .rows = rows / w->net->pack,
                          .mode = gm_mode_of_packs(mode, w->net->pack),
                          .output = output};
    run.chunk_rows = gm_walk_chunk(w, run.rows, 2);
    gm_walk_cut(w, run.rows, gm_pieces(run.rows, run.chunk_rows));
    if (gm_input_check(input, w->net, rows, e) < 0) return -1;
    if (rows == 0) return 0;
    if (gm_walk_staged(w, &mode)) {
        gm_backward call = {.rows = rows, .inputs = input, .mode = mode, .output = output};
        return gm_walk_backward(w, params, &call, e);
    }
    if (gm_walk_keeps(w, run.rows, &run.mode)) {
        gm_backward call = {.rows = rows, .inputs = input, .mode = mode, .output = output};
        return gm_walk_keep(w, params, &call, e);
    }
    gm_walk_spectra(w, params);
    if (gm_walk_pack(w, params, run.rows, e) < 0) return -1;
    if (gm_walk_running(w, params, e) < 0) return -1;
    return gm_walk_crew(w, gm_pieces(run.rows, run.chunk_rows), run.chunk_rows * forward_width(w), forward_chunk, &run,
                        e);
}
