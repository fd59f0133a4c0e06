/* model.h: a model file: specification, parameters, optimizer state, step. Layout in gm-model(5).
 *
 * Two slots; the writer fills the one that is not current and publishes it with one atomic store, so the file stands at
 * the end of some step whenever its process is killed. One writer at a time, any number of readers, who never block it.
 */
#ifndef GM_MODEL_H
#define GM_MODEL_H

#include "gm/net.h"
#include "gm/optim.h"
#include "gm/record.h"
#include "gm/score.h"

/* All that is fixed when the model is made. gm_model_spec_free releases what it points to. */
typedef struct gm_model_spec {
    char name[GM_NAME_MAX + 1];
    gm_net *net;
    gm_optim optim;
    char init[64];
    uint64_t seed;
    gm_value *schema;     /* of the data (schema.h), or NULL */
    gm_value *provenance; /* who made it from what, or NULL */
} gm_model_spec;
void gm_model_spec_free(gm_model_spec *spec);

/* A name from a file's name: "out/D.gm" gives "D". -1 if what is left is no name (letters, digits, . _ -). */
GM_MUST_USE int gm_model_name_from(const char *path, char name[GM_NAME_MAX + 1], gm_error *e);
GM_MUST_USE int gm_model_name_check(const char *name, gm_error *e);

#define GM_BLAS_NOTE 64

/* What a model is at some step: blocks of net->block floats: parameters first, then the optimizer's blocks. */
typedef struct gm_state {
    uint64_t step;              /* training steps done */
    uint64_t updates;           /* updates applied: an optimizer's t */
    uint64_t pending;           /* gradients accumulated since the last update */
    float *blocks;              /* (1 + gm_optim_blocks) * net->block floats */
    gm_calibration calibration; /* as gm_model_calibration gives it for `step` */
    char blas[GM_BLAS_NOTE];    /* gm_blas_text of the gradients that trained it, cut to fit; "" if none did */
} gm_state;

/* Floats in gm_state.blocks; false if that overflows. */
GM_MUST_USE bool gm_model_floats(const gm_model_spec *spec, size_t *floats);

/* Makes the file under a temporary name, all its space allocated and synced, and moves it to `path`. An existing file
 * is an error without `force`, and is replaced whole (its readers keep the old one) with it. */
GM_MUST_USE int gm_model_create(const char *path, const gm_model_spec *spec, const gm_state *state, bool force,
                                gm_error *e);

typedef struct gm_model gm_model;

/* Maps a model to read. Refuses what is not a model, is damaged, or was left behind by a machine that crashed. */
GM_MUST_USE gm_model *gm_model_open(const char *path, gm_error *e);
void gm_model_close(gm_model *m);
const gm_model_spec *gm_model_spec_of(const gm_model *m);
const char *gm_model_path(const gm_model *m);
size_t gm_model_bytes(const gm_model *m); /* of its file */
/* Whether both are of one file. */
bool gm_model_same(const gm_model *a, const gm_model *b);
uint64_t gm_model_step(const gm_model *m);

/* Readers. A view is the current slot, in place. It is good until the writer begins the step after next: read, then ask
 * gm_model_view_holds; if it says no, what was read is not to be used. */
typedef struct gm_view {
    uint64_t step, updates, pending;
    const float *params; /* the slot's blocks: parameters, then the optimizer's */
    uint64_t word;       /* private; of one model, equal words mean equal contents */
} gm_view;
gm_view gm_model_view(const gm_model *m);
/* The slot as it stood at `step`: the current one, or the one before it if the last update made step + 1. False if
 * neither is. */
bool gm_model_view_at(const gm_model *m, uint64_t step, gm_view *view);
bool gm_model_view_holds(const gm_model *m, const gm_view *view);

/* A copy that is whole: blocks (parameters only, or all) into the caller's state->blocks. Never blocks a writer for
 * more than one copy. */
GM_MUST_USE int gm_model_snapshot(gm_model *m, bool parameters_only, gm_state *state, gm_error *e);
/* As gm_model_snapshot of the parameters, but of their average where the optimizer keeps one: what predicts and
 * samples.
 */
GM_MUST_USE int gm_model_predictor(gm_model *m, gm_state *state, gm_error *e);
/* The same in a view, in place. */
const float *gm_model_predicting(const gm_model *m, const gm_view *view);

/* Waits until the model's step is at least `step`. Fails after a few seconds (GM_WAIT_SECONDS in the environment,
 * default 5) without a writer, or one second after a writer that was there is gone, saying which gm-step is missing;
 * and when nobody reads `output` any more (gm_pipe_is_broken; -1: none is watched). */
GM_MUST_USE int gm_model_wait(gm_model *m, uint64_t step, int output, gm_error *e);

/* The writer. gm_model_lock takes the writer's lock (released by gm_model_close or the end of the process) and maps the
 * file to write. */
GM_MUST_USE int gm_model_lock(gm_model *m, gm_error *e);
/* The slot that is not current, to be filled whole (parameters and state). NULL without the writer's lock. */
float *gm_model_begin(gm_model *m);
/* Publishes what gm_model_begin's slot holds as the model at step + 1 with these counts. */
void gm_model_publish(gm_model *m, uint64_t updates, uint64_t pending);
/* Advances the step; parameters and state stay. */
void gm_model_skip(gm_model *m);
/* Notes in the file which BLAS made the gradients (at most 63 bytes); gm_model_drifts: whether another one is noted. */
void gm_model_note_blas(gm_model *m, const char *blas);
bool gm_model_drifts(const gm_model *m, const char *blas);
const char *gm_model_blas(const gm_model *m); /* "" before any training */
/* The process that writes to the model now, 0 if none. In the instant in which one begins it may be the one before. */
uint32_t gm_model_writer_pid(const gm_model *m);
/* The calibration of the model's scores at `step`. One that was fitted at another step is none: its kind is
 * GM_UNCALIBRATED, and only its step and rows are told (rows 0: there never was one). */
gm_calibration gm_model_calibration(const gm_model *m, uint64_t step);
/* Keeps a calibration in the file, whose step must be c->step. Killed in the middle, the one before stays. The file is
 * to be settled after it. */
GM_MUST_USE int gm_model_calibrate(gm_model *m, const gm_calibration *c, gm_error *e);
/* Syncs the file to the disk with a checksum and marks it clean. */
GM_MUST_USE int gm_model_settle(gm_model *m, gm_error *e);

/* Checkpoints: a model as one record and back (gm-save, gm-init --from). With parameters_only, the state is that of
 * gm_model_predictor. */
GM_MUST_USE int gm_checkpoint_fill(gm_record *r, const gm_model_spec *spec, const gm_state *state, bool parameters_only,
                                   bool provenance, gm_error *e);
/* Takes spec and state out of a record; state->blocks is allocated (release with free). */
GM_MUST_USE int gm_checkpoint_read(gm_record *r, gm_model_spec *spec, gm_state *state, gm_error *e);

/* The same from a file, which must hold a checkpoint and nothing else. */
GM_MUST_USE int gm_checkpoint_load(const char *path, gm_model_spec *spec, gm_state *state, gm_error *e);

/* A calibration as a map ("kind", "slope", "offset", "step", "rows") and back: `info.calibration` of a checkpoint. */
GM_MUST_USE gm_value *gm_calibration_value(const gm_calibration *c, gm_error *e);
GM_MUST_USE int gm_calibration_parse(const gm_value *v, gm_calibration *c, gm_error *e);

/* A spec's fixed part as a map and back: the first page of a file, `info.model` of a checkpoint. */
GM_MUST_USE gm_value *gm_model_spec_value(const gm_model_spec *spec, bool provenance, gm_error *e);
GM_MUST_USE int gm_model_spec_parse(const gm_value *v, gm_model_spec *spec, gm_error *e);

#endif
