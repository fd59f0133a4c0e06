/* checkpoint.c: a model as one record, and back.
 *
 * The record has no rows; its step is the model's. Tensors are named as parameters are ("0.W"), state has its block's
 * letter behind that ("0.W/m").
 */
#include "gm/model.h"
#include "gm/stream.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The name of a parameter's tensor in block 0 (the parameters) or a block of the optimizer's state. */
static const char *tensor_name(const gm_model_spec *spec, size_t block, const gm_parameter *p,
                               char out[GM_NAME_MAX + 3]) {
    if (block == 0)
        snprintf(out, GM_NAME_MAX + 3, "%s", p->name);
    else
        snprintf(out, GM_NAME_MAX + 3, "%s/%c", p->name, gm_optim_block_letter(&spec->optim, block - 1));
    return out;
}

static int put_block(gm_record *r, const gm_model_spec *spec, size_t block, const float *numbers, gm_error *e) {
    for (size_t i = 0; i < spec->net->parameter_count; i++) {
        const gm_parameter *p = &spec->net->parameters[i];
        char name[GM_NAME_MAX + 3];
        gm_tensor *t = gm_record_put(r, tensor_name(spec, block, p, name), GM_F4, p->rank, p->shape, e);
        if (!t) return -1;
        memcpy(t->data, numbers + p->offset, p->count * sizeof(float));
    }
    return 0;
}

int gm_checkpoint_fill(gm_record *r, const gm_model_spec *spec, const gm_state *state, bool parameters_only,
                       bool provenance, gm_error *e) {
    gm_record_clear(r);
    r->has_step = true;
    r->step = state->step;
    size_t blocks = parameters_only ? 1 : 1 + gm_optim_blocks(&spec->optim);
    for (size_t i = 0; i < blocks; i++) {
        if (put_block(r, spec, i, state->blocks + i * spec->net->block, e) != 0) return -1;
    }
    gm_value *info = gm_record_info(r, e);
    gm_value *model = info ? gm_model_spec_value(spec, provenance, e) : NULL;
    if (!model) return -1;
    int failed = gm_map_set(info, "model", model);
    if (!failed && !parameters_only) {
        failed = gm_map_set(info, "updates", gm_value_int((int64_t)state->updates)) != 0 ||
                 gm_map_set(info, "pending", gm_value_int((int64_t)state->pending)) != 0;
    }
    if (!failed && provenance && state->blas[0] != '\0') failed = gm_map_set(info, "blas", gm_value_text(state->blas));
    if (!failed && state->calibration.kind != GM_UNCALIBRATED)
        failed = gm_map_set(info, "calibration", gm_calibration_value(&state->calibration, e));
    return failed ? gm_fail(e, "out of memory") : 0;
}

static bool has_shape(const gm_tensor *t, const gm_parameter *p) {
    if (t->rank != p->rank) return false;
    for (unsigned i = 0; i < p->rank; i++) {
        if (t->shape[i] != p->shape[i]) return false;
    }
    return true;
}

static int wrong_shape(const char *name, const gm_tensor *t, const gm_parameter *p, gm_error *e) {
    char got[128], wanted[128];
    gm_tensor as = {.rank = p->rank, .shape = {p->shape[0], p->rank > 1 ? p->shape[1] : 0}};
    return gm_fail(e, "tensor '%s' has shape %s, the model's is %s", name, gm_shape_text(t, got),
                   gm_shape_text(&as, wanted));
}

/* One tensor of any type to floats, which must be finite. */
static int take_tensor(gm_record *r, const char *name, const gm_parameter *p, float *out, gm_error *e) {
    const gm_tensor *t = gm_record_tensor(r, name);
    if (!t) return gm_fail(e, "tensor '%s' is missing", name);
    if (!has_shape(t, p)) return wrong_shape(name, t, p, e);
    if (t->type == GM_F4) memcpy(out, t->data, t->bytes);
    for (size_t i = 0; i < t->count; i++) {
        if (t->type != GM_F4) out[i] = (float)gm_tensor_at(t, i);
        if (!isfinite(out[i])) return gm_fail(e, "tensor '%s': number %zu is not finite", name, i);
    }
    return 0;
}

static bool has_state(gm_record *r, const gm_model_spec *spec) {
    char name[GM_NAME_MAX + 3];
    for (size_t block = 1; block <= gm_optim_blocks(&spec->optim); block++) {
        for (size_t i = 0; i < spec->net->parameter_count; i++) {
            if (gm_record_tensor(r, tensor_name(spec, block, &spec->net->parameters[i], name))) return true;
        }
    }
    return false;
}

static int take_blocks(gm_record *r, const gm_model_spec *spec, size_t blocks, float *out, gm_error *e) {
    char name[GM_NAME_MAX + 3];
    for (size_t block = 0; block < blocks; block++) {
        for (size_t i = 0; i < spec->net->parameter_count; i++) {
            const gm_parameter *p = &spec->net->parameters[i];
            float *to = out + block * spec->net->block + p->offset;
            if (take_tensor(r, tensor_name(spec, block, p, name), p, to, e) != 0) return -1;
        }
    }
    return 0;
}

/* The optimizer's counts go with its state: without the one, the others begin at 0. */
static int take_state(gm_record *r, const gm_model_spec *spec, gm_state *state, gm_error *e) {
    size_t floats, blocks = 1 + gm_optim_blocks(&spec->optim);
    if (!gm_model_floats(spec, &floats)) return gm_fail(e, "the model would be too large");
    bool whole = blocks == 1 || has_state(r, spec);
    int64_t updates = whole ? gm_map_int(r->info, "updates", 0) : 0;
    int64_t pending = whole ? gm_map_int(r->info, "pending", 0) : 0;
    if (updates < 0 || pending < 0) return gm_fail(e, "the checkpoint counts fewer than 0 updates");
    state->blocks = gm_new_zeroed(floats, sizeof(float), e);
    if (!state->blocks) return -1;
    if (take_blocks(r, spec, whole ? blocks : 1, state->blocks, e) != 0) return -1;
    state->step = r->has_step ? r->step : 0;
    state->updates = (uint64_t)updates;
    state->pending = (uint64_t)pending;
    const char *blas = gm_map_text(r->info, "blas", "");
    if (strlen(blas) >= sizeof state->blas)
        return gm_fail(e, "info.blas is longer than %zu bytes", sizeof state->blas - 1);
    memcpy(state->blas, blas, strlen(blas) + 1);
    const gm_value *calibration = gm_map_get(r->info, "calibration");
    /* Counts without their state: it was dropped on the way, and the average with it, which made the scores. */
    bool dropped = !whole && gm_optim_averages(&spec->optim) && gm_map_get(r->info, "updates") != NULL;
    if (!calibration || dropped) return 0;
    if (gm_calibration_parse(calibration, &state->calibration, e) != 0) return -1;
    if (state->calibration.step == state->step) return 0;
    return gm_fail(e, "its calibration is of step %" PRIu64 ", the checkpoint of step %" PRIu64,
                   state->calibration.step, state->step);
}

int gm_checkpoint_read(gm_record *r, gm_model_spec *spec, gm_state *state, gm_error *e) {
    *spec = (gm_model_spec){0};
    *state = (gm_state){0};
    const gm_value *model = gm_map_get(r->info, "model");
    if (!model) return gm_fail(e, "is no checkpoint: the record has no info.model");
    if (gm_model_spec_parse(model, spec, e) != 0) return -1;
    if (take_state(r, spec, state, e) == 0) return 0;
    free(state->blocks);
    state->blocks = NULL;
    gm_model_spec_free(spec);
    return -1;
}

static int load(gm_reader *reader, gm_record *r, const char *path, gm_model_spec *spec, gm_state *state, gm_error *e) {
    int got = gm_reader_next(reader, r, e);
    if (got == 0) return gm_fail(e, "%s: holds no record", path);
    if (got < 0) return -1;
    if (gm_checkpoint_read(r, spec, state, e) != 0) return gm_fail_within(e, "%s: ", path);
    /* nothing is made of a checkpoint that was cut behind its record */
    got = gm_reader_next(reader, r, e);
    if (got == 0) return 0;
    if (got == 1) gm_fail(e, "%s: more than one record: not a checkpoint", path);
    gm_model_spec_free(spec);
    free(state->blocks);
    state->blocks = NULL;
    return -1;
}

int gm_checkpoint_load(const char *path, gm_model_spec *spec, gm_state *state, gm_error *e) {
    int fd = gm_open(path, O_RDONLY);
    if (fd < 0) return gm_fail_errno(e, "%s", path);
    gm_record *r = gm_record_new(e);
    gm_reader *reader = r ? gm_reader_new(fd, path, GM_MAX_TENSOR_DEFAULT, e) : NULL;
    int failed = reader ? load(reader, r, path, spec, state, e) : -1;
    gm_reader_free(reader);
    gm_record_free(r);
    close(fd);
    return failed;
}
