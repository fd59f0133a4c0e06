/* follow.c: a model as the filters of a pipeline read it. */
#include "gm/filter.h"

#include <stdlib.h>
#include <unistd.h>

int gm_follow_open(gm_follow *f, const char *path, bool frozen, gm_error *e) {
    *f = (gm_follow){.frozen = frozen};
    f->model = gm_model_open(path, e);
    return f->model ? 0 : -1;
}

void gm_follow_close(gm_follow *f) {
    gm_model_close(f->model);
    free(f->copy.blocks);
    *f = (gm_follow){0};
}

/* A copy of the model as it stands, made anew only when the model has moved. */
static const float *follow_copy(gm_follow *f, uint64_t *step, gm_error *e) {
    gm_view now = gm_model_view(f->model);
    if (!f->copy.blocks || now.word != f->copy_word) {
        if (!f->copy.blocks) {
            f->copy.blocks = gm_new(gm_model_spec_of(f->model)->net->block, sizeof(float), e);
            if (!f->copy.blocks) return NULL;
        }
        int status =
            f->predicts ? gm_model_predictor(f->model, &f->copy, e) : gm_model_snapshot(f->model, true, &f->copy, e);
        if (status != 0) return NULL;
        f->copy_word = now.word;
    }
    f->copied = true;
    *step = f->copy.step;
    return f->copy.blocks;
}

/* The record's step, or the one behind it if the record passed the model's gm-step. */
static int wanted_step(const gm_follow *f, const gm_record *r, uint64_t *step, gm_error *e) {
    const char *name = gm_model_spec_of(f->model)->name;
    int64_t stepped = gm_map_int(gm_map_get(r->info, "stepped"), name, (int64_t)r->step);
    *step = (uint64_t)stepped;
    if (stepped == (int64_t)r->step || stepped == (int64_t)r->step + 1) return 0;
    return gm_fail(e, "info.stepped.%s is %lld in a record of step %llu", name, (long long)stepped,
                   (unsigned long long)r->step);
}

/* Before a pipeline's first record there is none that could bring a model to its step. */
static int first_record(gm_follow *f, uint64_t step, gm_error *e) {
    bool first = !f->begun;
    f->begun = true;
    if (!first || gm_model_step(f->model) >= step) return 0;
    return gm_fail(e, "%s is at step %llu, and the first record is of step %llu: is it named in gm-batch --train?",
                   gm_model_path(f->model), (unsigned long long)gm_model_step(f->model), (unsigned long long)step);
}

const float *gm_follow_params(gm_follow *f, const gm_record *r, uint64_t *step, gm_error *e) {
    if (f->frozen || !r->has_step) return follow_copy(f, step, e);
    if (wanted_step(f, r, step, e) != 0 || first_record(f, *step, e) != 0) return NULL;
    f->copied = false;
    if (gm_model_wait(f->model, *step, STDOUT_FILENO, e) != 0) return NULL;
    if (gm_model_view_at(f->model, *step, &f->view))
        return f->predicts ? gm_model_predicting(f->model, &f->view) : f->view.params;
    gm_fail(e,
            "%s is at step %llu and no longer knows step %llu: models that are trained together stand at one step, one "
            "that "
            "this pipeline does not train is read with --frozen, one behind its own gm-step in gm-pipe",
            gm_model_path(f->model), (unsigned long long)gm_model_step(f->model), (unsigned long long)*step);
    return NULL;
}

int gm_follow_check(gm_follow *f, const gm_record *r, gm_error *e) {
    if (f->copied || gm_model_view_holds(f->model, &f->view)) return 0;
    return gm_fail(
        e,
        "%s went on to step %llu while the record of step %llu was in work: a reader behind the gm-step of its "
        "own model runs in gm-pipe, or with --frozen",
        gm_model_path(f->model), (unsigned long long)gm_model_step(f->model), (unsigned long long)r->step);
}
