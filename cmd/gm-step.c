/* gm-step: applies the gradients of each record to a model: its file goes from one step to the next. */
#include "gm/filter.h"
#include "gm/ops.h"
#include "gm/schedule.h"
#include "gm/threads.h"
#include "gm/shard.h"

#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct checkpoint {
    char *file;     /* a % in it stands for the step */
    uint64_t every; /* or 0: at the end only */
    uint64_t saved_step;
    bool saved;
} checkpoint;

/* Numbers of a parameter that are updated at once; of a statistic all. */
typedef struct piece {
    size_t parameter, first, count;
} piece;
#define PIECE ((size_t)16384)

/* Models of this many parameters have more numbers to update than caches hold (7 arrays of 2 MB with Adam). */
#define AWAY ((size_t)1 << 19)

typedef struct step {
    const char *path, *schedule_text;
    gm_list checkpoint_texts;
    double lr, clip_norm, clip_weights;
    size_t accumulate;
    uint64_t every;
    gm_model *model;
    gm_optim optim;
    gm_schedule schedule;
    float **gradients; /* of each parameter, in the record */
    piece *pieces;     /* of all parameters, in their order */
    size_t piece_count;
    size_t blocks; /* optimizer's, with the accumulated gradients */
    checkpoint *checkpoints;
    size_t checkpoint_count;
    gm_record *record; /* a checkpoint's */
    gm_state state;
    gm_writing writing;
    bool locked, settled, allow_drift;
} step;

static const gm_option options[] = {
    {"model", 'm', GM_OPTION_TEXT, offsetof(step, path), "MODEL", "the model to train", 0, 0},
    {"lr", 0, GM_OPTION_NUMBER, offsetof(step, lr), "RATE", "learning rate in place of the model's", 1e-30, 1e30},
    {"schedule", 0, GM_OPTION_TEXT, offsetof(step, schedule_text), "TEXT",
     "warmup:N, cosine[:N], step:N:FACTOR, or several: what the rate is multiplied with", 0, 0},
    {"clip-norm", 0, GM_OPTION_NUMBER, offsetof(step, clip_norm), "NORM", "scale the gradient down to this L2 norm",
     1e-30, 1e30},
    {"clip-weights", 0, GM_OPTION_NUMBER, offsetof(step, clip_weights), "LIMIT",
     "keep every parameter within -LIMIT..LIMIT", 1e-30, 1e30},
    {"accumulate", 0, GM_OPTION_SIZE, offsetof(step, accumulate), "N", "apply the mean of N records' gradients at once",
     1, 1e9},
    {"every", 0, GM_OPTION_U64, offsetof(step, every), "N", "update on each N-th step only", 1, 1e9},
    {"checkpoint", 0, GM_OPTION_LIST, offsetof(step, checkpoint_texts), "FILE[:EVERY],...",
     "save the model at the end, and each EVERY steps; % in FILE is the step", 0, 0},
    {"allow-drift", 0, GM_OPTION_FLAG, offsetof(step, allow_drift), NULL,
     "go on with the gradients of another BLAS than before, which has other bits", 0, 0},
    {NULL, 0, GM_OPTION_FLAG, 0, NULL, NULL, 0, 0}};

/* "FILE[:EVERY]" */
static int parse_checkpoint(const char *text, checkpoint *c, gm_error *e) {
    const char *colon = strrchr(text, ':');
    bool every = colon && colon[1] != '\0' && strspn(colon + 1, "0123456789") == strlen(colon + 1);
    if (every && !gm_parse_u64(colon + 1, 1, GM_STEP_MAX, &c->every))
        return gm_fail_usage(e, "--checkpoint: '%s' is not a number of steps", colon + 1);
    c->file = gm_copy_text(text, every ? (size_t)(colon - text) : strlen(text), e);
    if (!c->file) return -1;
    if (!*c->file) return gm_fail_usage(e, "--checkpoint: no file is named in '%s'", text);
    if (strchr(c->file, '%') != strrchr(c->file, '%'))
        return gm_fail_usage(e, "--checkpoint: more than one %% in '%s'", c->file);
    return 0;
}

static int step_checkpoints(step *s, gm_error *e) {
    s->checkpoints = gm_new_zeroed(s->checkpoint_texts.count, sizeof *s->checkpoints, e);
    if (!s->checkpoints) return -1;
    for (; s->checkpoint_count < s->checkpoint_texts.count; s->checkpoint_count++) {
        checkpoint *c = &s->checkpoints[s->checkpoint_count];
        if (parse_checkpoint(s->checkpoint_texts.items[s->checkpoint_count], c, e) == 0) continue;
        free(c->file);
        return -1;
    }
    return 0;
}

/* Counts the pieces of the network, and lists them where there is room. */
static size_t cut(const gm_net *net, piece *pieces) {
    size_t n = 0;
    for (size_t k = 0; k < net->parameter_count; k++) {
        const gm_parameter *p = &net->parameters[k];
        const size_t most = p->statistic ? p->count : PIECE;
        for (size_t i = 0; i < p->count; i += most, n++)
            if (pieces) pieces[n] = (piece){k, i, p->count - i < most ? p->count - i : most};
    }
    return n;
}

static int step_open(gm_call *call, gm_error *e) {
    step *s = call->state;
    if (!s->path) return gm_fail_usage(e, "-m MODEL is missing");
    if (call->argument_count) return gm_fail_usage(e, "unexpected word '%s'", call->arguments[0]);
    if (s->schedule_text && gm_schedule_parse(s->schedule_text, &s->schedule, e) != 0) return -1;
    if (step_checkpoints(s, e) != 0) return -1;
    s->model = gm_model_open(s->path, e);
    if (!s->model) return -1;
    const gm_model_spec *spec = gm_model_spec_of(s->model);
    s->optim = spec->optim;
    if (s->lr > 0) s->optim.lr = s->lr;
    if (s->accumulate > 1 && !s->optim.accumulate)
        return gm_fail_usage(
            e, "--accumulate: %s keeps no room for gradients: make it with --optimizer ...,accumulate=%zu", s->path,
            s->accumulate);
    if (s->accumulate) s->optim.accumulate = s->optim.accumulate ? s->accumulate : 0;
    s->blocks = gm_optim_blocks(&spec->optim);
    if (gm_model_lock(s->model, e) != 0) return -1;
    s->locked = true;
    if (gm_writing_begin(&s->writing, s->model, call->tool->name, e) != 0) return -1;
    /* a reader that went away must not end this process between two steps */
    signal(SIGPIPE, SIG_IGN);
    s->gradients = gm_new_zeroed(spec->net->parameter_count, sizeof *s->gradients, e);
    s->piece_count = cut(spec->net, NULL);
    s->pieces = gm_new(s->piece_count, sizeof *s->pieces, e);
    if (!s->gradients || !s->pieces) return -1;
    cut(spec->net, s->pieces);
    return 0;
}

/* ---- the gradients of a record ---- */

static void gradient_name(char out[2 * GM_NAME_MAX + 16], const gm_model_spec *spec, const gm_parameter *p) {
    snprintf(out, 2 * GM_NAME_MAX + 16, "%s/%s/%s", p->statistic ? "stat" : "grad", spec->name, p->name);
}

static void drop_gradients(const gm_model_spec *spec, gm_record *r) {
    char name[2 * GM_NAME_MAX + 16];
    for (size_t i = 0; i < spec->net->parameter_count; i++) {
        gradient_name(name, spec, &spec->net->parameters[i]);
        gm_record_remove(r, name);
    }
    gm_value *grads = gm_map_find(r->info, "grads");
    gm_map_remove(grads, spec->name);
    if (grads && (grads->kind != GM_MAP || grads->length == 0)) gm_map_remove(r->info, "grads");
    gm_map_remove(gm_map_find(r->info, "summed"), spec->name);
}

/* The gradients of a part of a batch, forgotten to be added to the others', would train the model on that part alone.
 */
static int check_whole(const gm_model_spec *spec, const gm_record *r, gm_error *e) {
    gm_place place;
    if (gm_place_of(r, &place, e) != 0) return -1;
    int64_t rows = gm_map_int(gm_map_get(r->info, "summed"), spec->name, (int64_t)r->rows);
    if (!place.partial || rows == (int64_t)place.rows) return 0;
    return gm_fail(e,
                   "gradients of %s are of %lld rows of a batch of %zu (--shard): those of the other parts are to be "
                   "added first (gm-reduce, gm-allreduce)",
                   spec->name, (long long)rows, place.rows);
}

/* Gradients name the step they were computed at (info.grads.NAME); those made by other programs need not. */
static int check_fresh(const gm_model_spec *spec, const gm_record *r, gm_error *e) {
    int64_t at = gm_map_int(gm_map_get(r->info, "grads"), spec->name, (int64_t)r->step);
    if (at == (int64_t)r->step) return 0;
    return gm_fail(e, "gradients of %s were computed at step %lld, the record is of step %llu: stale", spec->name,
                   (long long)at, (unsigned long long)r->step);
}

/* Which BLAS made the gradients is kept in the model: a run that goes on with another one has other bits. */
static int check_blas(const step *s, const gm_record *r, gm_error *e) {
    const char *blas = gm_map_text(r->info, "blas", NULL);
    if (!blas || s->allow_drift || !gm_model_drifts(s->model, blas)) return 0;
    return gm_fail(e,
                   "%s was trained with %s, and these gradients are of %s, which gives other bits: --allow-drift goes "
                   "on all the same",
                   s->path, gm_model_blas(s->model), blas);
}

static int take_gradients(step *s, gm_record *r, gm_error *e) {
    const gm_model_spec *spec = gm_model_spec_of(s->model);
    char name[2 * GM_NAME_MAX + 16];
    if (check_fresh(spec, r, e) != 0 || check_whole(spec, r, e) != 0 || check_blas(s, r, e) != 0) return -1;
    for (size_t i = 0; i < spec->net->parameter_count; i++) {
        const gm_parameter *p = &spec->net->parameters[i];
        gradient_name(name, spec, p);
        gm_tensor *t = gm_record_tensor(r, name);
        if (!t) return gm_fail(e, "no tensor '%s' (is `gm-grad -m %s` before this gm-step?)", name, s->path);
        if (t->type != GM_F4 || t->rank != p->rank || memcmp(t->shape, p->shape, p->rank * sizeof *p->shape) != 0) {
            char got[128], wanted[128];
            gm_tensor like = {.rank = p->rank, .shape = {p->shape[0], p->shape[1]}};
            return gm_fail(e, "tensor '%s': expected <f4 %s, got %s %s", name, gm_shape_text(&like, wanted),
                           gm_type_text(t->type), gm_shape_text(t, got));
        }
        s->gradients[i] = t->data;
    }
    return 0;
}

static void scale_gradients(const step *s, float factor) {
    const gm_net *net = gm_model_spec_of(s->model)->net;
    for (size_t k = 0; k < net->parameter_count; k++)
        for (size_t i = 0; !net->parameters[k].statistic && i < net->parameters[k].count; i++)
            s->gradients[k][i] *= factor;
}

/* Gradient clipping by the global norm (Pascanu, Mikolov, Bengio 2013). */
static void clip_norm(const step *s) {
    const gm_net *net = gm_model_spec_of(s->model)->net;
    double squares = 0;
    for (size_t k = 0; k < net->parameter_count; k++)
        squares += net->parameters[k].statistic ? 0 : gm_sum_squares(net->parameters[k].count, s->gradients[k]);
    double norm = sqrt(squares);
    if (norm > s->clip_norm) scale_gradients(s, (float)(s->clip_norm / norm));
}

/* ---- one step of the model ---- */

/* An update that cannot be: the gradient's fault, or that of a step too large. */
static int fail_not_finite(const step *s, uint64_t record_step, size_t parameter, double lr, gm_error *e) {
    const gm_model_spec *spec = gm_model_spec_of(s->model);
    const gm_parameter *p = &spec->net->parameters[parameter];
    char name[2 * GM_NAME_MAX + 16];
    size_t bad = gm_first_not_finite(p->count, s->gradients[parameter]);
    gradient_name(name, spec, p);
    if (bad < p->count)
        return gm_fail(e, "step %llu: %s: tensor '%s' is not finite at index %zu", (unsigned long long)record_step,
                       s->path, name, bad);
    return gm_fail(e,
                   "step %llu: %s: the update makes '%s' or its optimizer state not finite (learning rate %g); the "
                   "model stays at this step",
                   (unsigned long long)record_step, s->path, p->name, lr);
}

/* Adds the gradients accumulated before; true if that makes them enough, and then the gradients are their mean. */
static bool accumulate(step *s, const gm_view *view, const float *sum, float *new_sum) {
    const gm_net *net = gm_model_spec_of(s->model)->net;
    bool enough = view->pending + 1 >= s->optim.accumulate;
    for (size_t k = 0; k < net->parameter_count; k++) {
        const gm_parameter *p = &net->parameters[k];
        float *g = s->gradients[k];
        if (p->statistic) { /* it has a next value, no gradient */
            memset(new_sum + p->offset, 0, p->count * sizeof *new_sum);
            continue;
        }
        for (size_t i = 0; i < p->count; i++) g[i] += sum[p->offset + i];
        if (enough)
            memset(new_sum + p->offset, 0, p->count * sizeof *new_sum);
        else
            memcpy(new_sum + p->offset, g, p->count * sizeof *new_sum);
    }
    if (enough) scale_gradients(s, 1.0F / (float)(view->pending + 1));
    return enough;
}

/* The gradients wait for more of them. */
static int postpone(step *s, const gm_view *view, float *slot, uint64_t record_step, gm_error *e) {
    const gm_net *net = gm_model_spec_of(s->model)->net;
    for (size_t k = 0; k < net->parameter_count; k++)
        if (gm_first_not_finite(net->parameters[k].count, s->gradients[k]) < net->parameters[k].count)
            return fail_not_finite(s, record_step, k, s->optim.lr, e);
    memcpy(slot, view->params, s->blocks * net->block * sizeof(float));
    for (size_t k = 0; k < net->parameter_count; k++)
        if (net->parameters[k].statistic)
            memcpy(slot + net->parameters[k].offset, s->gradients[k], net->parameters[k].count * sizeof(float));
    gm_model_publish(s->model, view->updates, view->pending + 1);
    return 0;
}

/* One update of all parameters, each piece of which some thread makes. */
typedef struct updating {
    const step *s;
    gm_optim optim;
    gm_view view;
    float *slot;
    atomic_size_t bad; /* the first parameter that became not finite, or their count */
} updating;

/* The update of a piece, and what goes with it. */
static bool update_piece(const updating *u, const piece *part) {
    const gm_parameter *p = &gm_model_spec_of(u->s->model)->net->parameters[part->parameter];
    const gm_optim *optim = &u->optim;
    size_t block = gm_model_spec_of(u->s->model)->net->block, moments = gm_optim_moments(optim),
           at = p->offset + part->first;
    const float *state[3], *gradient = u->s->gradients[part->parameter] + part->first;
    float *new_state[3], *w = u->slot + at;
    for (size_t i = 0; i < moments + gm_optim_averages(optim); i++) {
        state[i] = u->view.params + (1 + i) * block + at;
        new_state[i] = u->slot + (1 + i) * block + at;
    }
    uint64_t t = u->view.updates + 1;
    bool finite =
        gm_optim_update(optim, t, part->count, block >= AWAY, gradient, u->view.params + at, state, w, new_state);
    float limit = (float)u->s->clip_weights;
    for (size_t i = 0; limit > 0 && i < part->count; i++) w[i] = w[i] > limit ? limit : w[i] < -limit ? -limit : w[i];
    if (gm_optim_averages(optim)) gm_optim_average(optim, t, part->count, w, state[moments], new_state[moments]);
    return finite;
}

/* A statistic's next value, in the average of the parameters too; its places in the moments stay 0. */
static bool renew_statistic(const step *s, const gm_parameter *p, const float *next, const gm_view *view, float *slot) {
    const gm_optim *optim = &gm_model_spec_of(s->model)->optim;
    size_t block = gm_model_spec_of(s->model)->net->block, moments = gm_optim_moments(optim);
    for (size_t i = 0; i < 1 + moments + gm_optim_averages(optim); i++)
        memcpy(slot + i * block + p->offset, i == 0 || i > moments ? next : view->params + i * block + p->offset,
               p->count * sizeof(float));
    return gm_first_not_finite(p->count, next) == p->count;
}

static void make_piece(void *context, size_t i) {
    updating *u = context;
    const piece *part = &u->s->pieces[i];
    const gm_parameter *p = &gm_model_spec_of(u->s->model)->net->parameters[part->parameter];
    if (p->statistic ? renew_statistic(u->s, p, u->s->gradients[part->parameter], &u->view, u->slot)
                     : update_piece(u, part))
        return;
    size_t bad = atomic_load(&u->bad);
    while (part->parameter < bad && !atomic_compare_exchange_weak(&u->bad, &bad, part->parameter)) continue;
}

static int update(step *s, uint64_t record_step, double factor, gm_error *e) {
    const gm_model_spec *spec = gm_model_spec_of(s->model);
    size_t block = spec->net->block, count = spec->net->parameter_count;
    updating u = {.s = s, .optim = s->optim, .view = gm_model_view(s->model), .bad = count};
    u.slot = gm_model_begin(s->model);
    if (spec->optim.accumulate > 0 &&
        !accumulate(s, &u.view, u.view.params + s->blocks * block, u.slot + s->blocks * block))
        return postpone(s, &u.view, u.slot, record_step, e);
    if (s->clip_norm > 0) clip_norm(s);
    u.optim.lr *= factor;
    gm_parallel(s->piece_count, make_piece, &u);
    if (u.bad < count) return fail_not_finite(s, record_step, u.bad, u.optim.lr, e);
    gm_model_publish(s->model, u.view.updates + 1, 0);
    return 0;
}

/* FILE with the step for its %; NULL with a message. */
static char *checkpoint_name(const checkpoint *c, uint64_t at, gm_error *e) {
    size_t before = strcspn(c->file, "%"), size = strlen(c->file) + 24;
    char *name = gm_new(size, 1, e);
    if (!name) return NULL;
    if (c->file[before])
        snprintf(name, size, "%.*s%llu%s", (int)before, c->file, (unsigned long long)at, c->file + before + 1);
    else
        snprintf(name, size, "%s", c->file);
    return name;
}

static int save(step *s, checkpoint *c, gm_error *e) {
    const gm_model_spec *spec = gm_model_spec_of(s->model);
    size_t floats;
    if (!gm_model_floats(spec, &floats)) return gm_fail(e, "the model is too large");
    if (!s->record) s->record = gm_record_new(e);
    if (!s->state.blocks) s->state.blocks = gm_new(floats, sizeof(float), e);
    if (!s->record || !s->state.blocks) return -1;
    if (gm_model_snapshot(s->model, false, &s->state, e) != 0) return -1;
    gm_record_clear(s->record);
    if (gm_checkpoint_fill(s->record, spec, &s->state, false, true, e) != 0) return -1;
    c->saved = true;
    c->saved_step = s->state.step;
    char *name = checkpoint_name(c, s->state.step, e);
    int status = name ? gm_stream_save(name, s->record, e) : -1;
    free(name);
    return status;
}

/* Those whose turn it is at the model's step, which it has just come to. */
static int save_due(step *s, uint64_t at, gm_error *e) {
    for (size_t i = 0; i < s->checkpoint_count; i++) {
        checkpoint *c = &s->checkpoints[i];
        if (c->every && at % c->every == 0 && save(s, c, e) != 0) return -1;
    }
    return 0;
}

/* info.stepped.NAME: readers of this model behind here take it at the next step, exactly. */
static int leave_mark(const char *name, gm_record *r, gm_error *e) {
    gm_value *info = gm_record_info(r, e);
    if (!info) return -1;
    if (gm_map_set(gm_map_section(info, "stepped"), name, gm_value_int((int64_t)r->step + 1)) != 0)
        return gm_fail(e, "out of memory");
    return 0;
}

/* What the schedule makes of the learning rate at this record's step. */
static int find_factor(const step *s, const gm_record *r, double *factor, gm_error *e) {
    int64_t total = gm_map_int(r->info, "total", 0);
    if (gm_schedule_needs_total(&s->schedule) && total <= 0)
        return gm_fail(
            e, "--schedule cosine: the record does not say how many steps the run has (info.total): give cosine:N");
    *factor = gm_schedule_factor(&s->schedule, r->step, (uint64_t)total);
    return 0;
}

/* lr/NAME: the rate of this record's step, for the log. */
static int leave_rate(const step *s, gm_record *r, double factor, gm_error *e) {
    char name[GM_NAME_MAX + 1];
    int n = snprintf(name, sizeof name, "lr/%s", gm_model_spec_of(s->model)->name);
    if (n < 0 || (size_t)n >= sizeof name) return gm_fail(e, "the name of %s is too long for lr/NAME", s->path);
    return gm_record_set_scalar(r, name, s->optim.lr * factor, e);
}

/* The model's step for this record, if it is its turn. */
static int step_model(step *s, gm_record *r, double factor, gm_error *e) {
    uint64_t at = gm_model_step(s->model);
    if (!r->has_step) return gm_fail(e, "the record has no step: a training pipeline begins with gm-batch --train");
    if (r->step > at)
        return gm_fail(e, "the record is of step %llu, %s is at step %llu: records between are missing",
                       (unsigned long long)r->step, s->path, (unsigned long long)at);
    if (r->step < at) return 0;
    if (s->every > 1 && (r->step + 1) % s->every != 0) {
        gm_model_skip(s->model);
        return 0;
    }
    return take_gradients(s, r, e) == 0 ? update(s, r->step, factor, e) : -1;
}

static int step_process(gm_call *call, gm_record *r, gm_error *e) {
    step *s = call->state;
    double factor = 1;
    if (s->schedule.count && find_factor(s, r, &factor, e) != 0) return -1;
    pthread_mutex_lock(&s->writing.lock);
    uint64_t before = gm_model_step(s->model);
    int status = step_model(s, r, factor, e);
    bool moved = gm_model_step(s->model) != before;
    const char *blas = gm_map_text(r->info, "blas", NULL);
    if (moved && blas) gm_model_note_blas(s->model, blas);
    pthread_mutex_unlock(&s->writing.lock);
    if (status != 0) return -1;
    if (moved && save_due(s, r->step + 1, e) != 0) return -1;
    if (s->schedule.count && leave_rate(s, r, factor, e) != 0) return -1;
    drop_gradients(gm_model_spec_of(s->model), r);
    return leave_mark(gm_model_spec_of(s->model)->name, r, e) == 0 ? 1 : -1;
}

static int step_finish(gm_call *call, gm_error *e) {
    step *s = call->state;
    s->settled = true;
    if (gm_model_settle(s->model, e) != 0) return -1;
    for (size_t i = 0; i < s->checkpoint_count; i++) {
        checkpoint *c = &s->checkpoints[i];
        if ((!c->saved || c->saved_step != gm_model_step(s->model)) && save(s, c, e) != 0) return -1;
    }
    return 0;
}

static void step_close(gm_call *call) {
    step *s = call->state;
    gm_writing_end(&s->writing);
    /* after a failure too the model is at the end of a step, and says so on the disk */
    gm_error ignored;
    if (s->locked && !s->settled && gm_model_settle(s->model, &ignored) != 0)
        gm_say(call->tool->name, "%s", ignored.text);
    gm_model_close(s->model);
    gm_record_free(s->record);
    free(s->state.blocks);
    for (size_t i = 0; i < s->checkpoint_count; i++) free(s->checkpoints[i].file);
    free(s->checkpoints);
    free(s->gradients);
    free(s->pieces);
}

static void step_access(const gm_call *call, gm_access *a) {
    const step *s = call->state;
    for (size_t i = 0; i < s->checkpoint_count; i++) {
        gm_access_write(a, s->checkpoints[i].file);
    }
}

const gm_tool gm_step_tool = {
    .name = "gm-step",
    .purpose = "Applies the gradients of each record to a model: its file goes from one step to the next.",
    .synopsis = "-m MODEL [--lr RATE] [--clip-norm NORM] [--checkpoint FILE[:EVERY],...]",
    .options = options,
    .state_size = sizeof(step),
    .role = GM_FILTER,
    .parallel = true,
    .open = step_open,
    .access = step_access,
    .process = step_process,
    .finish = step_finish,
    .close = step_close,
};
