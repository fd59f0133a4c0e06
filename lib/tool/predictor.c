/* predictor.c: the parameters that answer, from a model file or a checkpoint. */
#include "gm/data.h"
#include "gm/filter.h"

#include <stdlib.h>

static int from_checkpoint(gm_predictor *p, const char *path, gm_error *e) {
    if (gm_checkpoint_load(path, &p->own, &p->state, e) != 0) return -1;
    const gm_optim *o = &p->own.optim;
    bool averaged = gm_optim_averages(o) && p->state.updates > 0;
    p->spec = &p->own;
    p->params = p->state.blocks + (averaged ? (1 + gm_optim_moments(o)) * p->own.net->block : 0);
    return 0;
}

static int from_model(gm_predictor *p, const char *path, gm_error *e) {
    p->model = gm_model_open(path, e);
    if (!p->model) return -1;
    p->spec = gm_model_spec_of(p->model);
    p->state.blocks = gm_new(p->spec->net->block, sizeof(float), e);
    p->params = p->state.blocks;
    return p->state.blocks ? gm_model_predictor(p->model, &p->state, e) : -1;
}

int gm_predictor_load(gm_predictor *p, const char *path, gm_error *e) {
    *p = (gm_predictor){0};
    if ((gm_data_is_stream(path) ? from_checkpoint : from_model)(p, path, e) != 0) return -1;
    p->step = p->state.step;
    return 0;
}

void gm_predictor_free(gm_predictor *p) {
    gm_model_close(p->model);
    gm_model_spec_free(&p->own);
    free(p->state.blocks);
    *p = (gm_predictor){0};
}
