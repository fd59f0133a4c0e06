/* gm-save: a model as a stream of one record. */
#include "gm/filter.h"

#include <stdlib.h>
#include <unistd.h>

typedef struct save {
    const char *output;
    bool params, no_provenance;
    gm_model *model;
    gm_state state;
} save;

static const gm_option options[] = {{"output", 'o', GM_OPTION_TEXT, offsetof(save, output), "FILE",
                                     "write this file, whole or not at all (default: standard output)", 0, 0},
                                    {"params", 0, GM_OPTION_FLAG, offsetof(save, params), NULL,
                                     "only the parameters that predict: no optimizer's state", 0, 0},
                                    {"no-provenance", 0, GM_OPTION_FLAG, offsetof(save, no_provenance), NULL,
                                     "leave out who made the model, so that equal models give equal bytes", 0, 0},
                                    {NULL, 0, GM_OPTION_FLAG, 0, NULL, NULL, 0, 0}};

static int save_open(gm_call *call, gm_error *e) {
    save *s = call->state;
    if (call->argument_count != 1) return gm_fail_usage(e, "one MODEL is to be named");
    if (!s->output && isatty(STDOUT_FILENO))
        return gm_fail_usage(
            e, "standard output is a terminal and a stream is binary: give -o FILE or append `| gm-show`");
    s->model = gm_model_open(call->arguments[0], e);
    return s->model ? 0 : -1;
}

static int write_stdout(const gm_record *r, gm_error *e) {
    int level;
    if (gm_level_for(STDOUT_FILENO, &level, e) != 0) return -1;
    gm_writer *w = gm_writer_new(STDOUT_FILENO, "standard output", level, e);
    if (!w) return -1;
    int status = gm_writer_put(w, r, e);
    if (status == 0) status = gm_writer_finish(w, e);
    gm_writer_free(w);
    return status;
}

static int save_process(gm_call *call, gm_record *r, gm_error *e) {
    save *s = call->state;
    const gm_model_spec *spec = gm_model_spec_of(s->model);
    size_t floats;
    if (!gm_model_floats(spec, &floats)) return gm_fail(e, "the model is too large");
    s->state.blocks = gm_new(floats, sizeof(float), e);
    if (!s->state.blocks) return -1;
    /* alone, the parameters are those that answer: where an average is kept, the average */
    int copied =
        s->params ? gm_model_predictor(s->model, &s->state, e) : gm_model_snapshot(s->model, false, &s->state, e);
    if (copied != 0) return -1;
    if (gm_checkpoint_fill(r, spec, &s->state, s->params, !s->no_provenance, e) != 0) return -1;
    return s->output ? gm_stream_save(s->output, r, e) : write_stdout(r, e);
}

static void save_close(gm_call *call) {
    save *s = call->state;
    gm_model_close(s->model);
    free(s->state.blocks);
}

static void save_access(const gm_call *call, gm_access *a) {
    const save *s = call->state;
    gm_access_write(a, s->output);
}

const gm_tool gm_save_tool = {
    .name = "gm-save",
    .purpose = "Writes a model as a stream of one record: a checkpoint, or its parameters for other programs.",
    .synopsis = "[-o FILE] [--params] [--no-provenance] MODEL",
    .options = options,
    .state_size = sizeof(save),
    .role = GM_ALONE,
    .open = save_open,
    .access = save_access,
    .process = save_process,
    .close = save_close,
};
