/* gm-forward: runs a network on tensors of each record. */
#include "gm/blas.h"
#include "gm/filter.h"
#include "gm/grad.h"
#include "gm/shard.h"
#include "gm/walks.h"

#include <string.h>

typedef struct forward {
    const char *path, *output, *layers;
    gm_list inputs;
    bool frozen;
    gm_follow model;
    gm_net *part;      /* of --layers */
    const gm_net *net; /* what is run */
    gm_walk *walk;
} forward;

static const gm_option options[] = {
    {"model", 'm', GM_OPTION_TEXT, offsetof(forward, path), "MODEL", "the model to run", 0, 0},
    {"input", 'i', GM_OPTION_LIST, offsetof(forward, inputs), "NAME,...",
     "tensors that are joined to its input (default x)", 0, 0},
    {"output", 'o', GM_OPTION_TEXT, offsetof(forward, output), "NAME", "the tensor that takes the output (default out)",
     0, 0},
    {"layers", 0, GM_OPTION_TEXT, offsetof(forward, layers), "FIRST-LAST", "run these layers only (the first is 0)", 0,
     0},
    {"frozen", 0, GM_OPTION_FLAG, offsetof(forward, frozen), NULL,
     "take the model as it stands, as outside of training", 0, 0},
    {NULL, 0, GM_OPTION_FLAG, 0, NULL, NULL, 0, 0}};

static int forward_open(gm_call *call, gm_error *e) {
    forward *s = call->state;
    if (!s->path) return gm_fail_usage(e, "-m MODEL is missing");
    if (call->argument_count) return gm_fail_usage(e, "unexpected word '%s'", call->arguments[0]);
    if (!s->output) s->output = "out";
    if (gm_follow_open(&s->model, s->path, s->frozen, e) != 0) return -1;
    const gm_model_spec *spec = gm_model_spec_of(s->model.model);
    s->net = spec->net;
    if (s->layers) {
        size_t first, count;
        if (gm_parse_layers(s->layers, spec->net, &first, &count, e) != 0) return -1;
        s->net = s->part = gm_net_cut(spec->net, first, count, e);
        if (!s->part) return -1;
    }
    if (gm_refuse_packs(s->net, s->path, e) != 0) return -1;
    s->walk = s->part ? gm_walk_new(s->part, spec->seed, e) : gm_walk_borrow(s->model.model, e);
    return s->walk ? 0 : -1;
}

static int forward_process(gm_call *call, gm_record *r, gm_error *e) {
    forward *s = call->state;
    const gm_model_spec *spec = gm_model_spec_of(s->model.model);
    static char *const x[] = {"x"};
    gm_input input;
    gm_place place;
    bool given = s->inputs.count > 0;
    if (gm_gather_input(r, s->net, given ? s->inputs.items : x, given ? s->inputs.count : 1, &input, e) != 0) return -1;
    if (gm_place_of(r, &place, e) != 0) return -1;
    uint64_t step;
    const float *params = gm_follow_params(&s->model, r, &step, e);
    if (!params) return -1;
    for (size_t i = 0; i < input.part_count; i++)
        if (strcmp(input.parts[i].name, s->output) == 0)
            return gm_fail(e, "tensor '%s' is both input and output", s->output);
    float *output = gm_record_put_matrix(r, s->output, r->rows, s->net->outputs, e);
    if (!output) return -1;
    bool training = r->has_step && !s->frozen;
    gm_mode mode = {.training = training,
                    .drawing = training,
                    .seed = spec->seed,
                    .step = r->step,
                    .first = place.first,
                    .whole = place.rows,
                    .version = step + 1};
    if (gm_walk_forward(s->walk, params, &input, r->rows, mode, output, e) != 0) return -1;
    return gm_follow_check(&s->model, r, e) == 0 ? 1 : -1;
}

static void forward_close(gm_call *call) {
    forward *s = call->state;
    if (s->part)
        gm_walk_free(s->walk);
    else
        gm_walk_return(s->model.model, s->walk);
    gm_net_free(s->part);
    gm_follow_close(&s->model);
}

const gm_tool gm_forward_tool = {
    .name = "gm-forward",
    .purpose = "Runs a network on tensors of each record and adds its output.",
    .synopsis = "-m MODEL [-i NAME,...] [-o NAME] [--layers FIRST-LAST] [--frozen]",
    .options = options,
    .state_size = sizeof(forward),
    .role = GM_FILTER,
    .blas = gm_blas_text,
    .parallel = true,
    .open = forward_open,
    .process = forward_process,
    .close = forward_close,
};
