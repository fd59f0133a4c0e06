/* gm-allreduce: the gradients of all ranks of an MPI job become their mean. */
#include "gm/filter.h"
#include "gm/ranks.h"
#include "gm/reduce.h"
#include "gm/shard.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

#define CHECK_DEFAULT 100

typedef struct allreduce {
    const char *path;
    uint64_t check;
    gm_model *model;
    bool several, joined; /* there are other ranks; this call is one that meets them */
    bool begun;           /* a record was passed on */
    bool stepped;         /* and the last one had a step */
    uint64_t step;        /* the one behind that */
    int64_t identity;     /* a hash of the model's specification */
    size_t floats;        /* of its parameters and optimizer state */
    gm_gradients gradients;
    double *totals;
    size_t total_capacity;
} allreduce;

static const gm_option options[] = {
    {"model", 'm', GM_OPTION_TEXT, offsetof(allreduce, path), "MODEL", "whose gradients become their mean", 0, 0},
    {"check", 0, GM_OPTION_U64, offsetof(allreduce, check), "N",
     "compare the copies of the model every N steps (default 100)", 1, 1e9},
    {NULL, 0, GM_OPTION_FLAG, 0, NULL, NULL, 0, 0}};

/* ---- opening ---- */

static int identify(allreduce *s, gm_error *e) {
    const gm_model_spec *spec = gm_model_spec_of(s->model);
    unsigned char *bytes = NULL;
    size_t n = 0;
    if (!gm_model_floats(spec, &s->floats)) return gm_fail(e, "%s is too large", s->path);
    gm_value *map = gm_model_spec_value(spec, false, e);
    int status = map ? gm_value_pack(map, &bytes, &n, e) : -1;
    if (status == 0) s->identity = (int64_t)XXH64(bytes, n, 0);
    gm_value_free(map);
    free(bytes);
    return status;
}

static int allreduce_open(gm_call *call, gm_error *e) {
    allreduce *s = call->state;
    if (!s->path) return gm_fail_usage(e, "-m MODEL is missing");
    if (call->argument_count) return gm_fail_usage(e, "unexpected word '%s'", call->arguments[0]);
    if (!s->check) s->check = CHECK_DEFAULT;
    if (gm_ranks_find(&s->several, e) != 0) return -1;
    if (s->several) {
        /* a reader that went away must not end this process before the other ranks know */
        signal(SIGPIPE, SIG_IGN);
        s->joined = true;
        if (gm_ranks_join(e) != 0) return -1;
    }
    s->model = gm_model_open(s->path, e);
    return s->model ? identify(s, e) : -1;
}

/* ---- where this rank stands ---- */

/* A hash of the model at the record's step: parameters, optimizer state and counts. Its gm-step waits for this record,
 * so that what is hashed stays. */
static int hash_model(const allreduce *s, int64_t *hash, gm_error *e) {
    gm_view view = gm_model_view(s->model);
    const uint64_t counts[] = {view.step, view.updates, view.pending};
    *hash = (int64_t)XXH64(view.params, s->floats * sizeof(float), XXH64(counts, sizeof counts, 0));
    if (gm_model_view_holds(s->model, &view)) return 0;
    return gm_fail(e, "%s went on while it was compared: its gm-step belongs behind gm-allreduce", s->path);
}

static int hash_at(const allreduce *s, bool has_step, uint64_t step, int64_t *hash, gm_error *e) {
    if (has_step && gm_model_wait(s->model, step, STDOUT_FILENO, e) != 0) return -1;
    return hash_model(s, hash, e);
}

static bool is_check(const allreduce *s, const gm_record *r) {
    return !s->begun || (r->has_step && r->step % s->check == 0);
}

static void introduce(const allreduce *s, int64_t mine[GM_AT_FIELDS]) {
    mine[GM_AT_MODEL] = s->identity;
    mine[GM_AT_CHECK] = (int64_t)s->check;
}

static int stand(allreduce *s, gm_record *r, int64_t mine[GM_AT_FIELDS], gm_error *e) {
    char *name = (char *)gm_model_spec_of(s->model)->name;
    gm_place place;
    if (gm_place_of(r, &place, e) != 0 || gm_gradients_find(&s->gradients, r, &name, 1, e) != 0) return -1;
    mine[GM_AT_KIND] = GM_RANK_RECORD;
    mine[GM_AT_TOTAL] = gm_map_int(r->info, "total", 0);
    mine[GM_AT_BATCH] = place.partial ? (int64_t)place.rows : 0;
    mine[GM_AT_STEP] = r->has_step ? (int64_t)r->step : -1;
    mine[GM_AT_DATA] = place.batch;
    mine[GM_AT_GRADIENTS] = (int64_t)s->gradients.signature;
    mine[GM_AT_FIRST] = (int64_t)place.first;
    mine[GM_AT_ROWS] = (int64_t)r->rows;
    return is_check(s, r) ? hash_at(s, r->has_step, r->step, &mine[GM_AT_HASH], e) : 0;
}

/* What is wrong with this rank, in whose name the text is put. */
static int fail_apart(const allreduce *s, int field, const int64_t *mine, const int64_t *right, gm_error *e) {
    const char *name = gm_model_spec_of(s->model)->name;
    switch (field) {
    case GM_AT_KIND:
        return gm_fail(e, "the stream ended here, and goes on elsewhere");
    case GM_AT_MODEL:
        return gm_fail(e, "%s here, and a model of another specification elsewhere", s->path);
    case GM_AT_CHECK:
        return gm_fail(e, "--check %lld, and %lld elsewhere", (long long)mine[field], (long long)right[field]);
    case GM_AT_TOTAL:
        return gm_fail(e, "the run has %lld steps here, and %lld elsewhere: other data, or other options of gm-batch",
                       (long long)mine[field], (long long)right[field]);
    case GM_AT_BATCH:
        return gm_fail(e, "the whole batch has %lld rows here, and %lld elsewhere (0: no gm-batch --shard)",
                       (long long)mine[field], (long long)right[field]);
    case GM_AT_STEP:
        return gm_fail(e, "step %lld here, and %lld elsewhere: all ranks must begin with copies of one model",
                       (long long)mine[field], (long long)right[field]);
    case GM_AT_DATA:
        return gm_fail(e,
                       "step %lld: the batch is of other rows here than elsewhere: other data, or another seed of "
                       "gm-batch",
                       (long long)mine[GM_AT_STEP]);
    case GM_AT_GRADIENTS:
        return gm_fail(e, "step %lld: the gradients of %s have other names or shapes here than elsewhere",
                       (long long)mine[GM_AT_STEP], name);
    case GM_AT_HASH:
        return gm_fail(e, "step %lld: %s differs from the copies of the other ranks", (long long)mine[GM_AT_STEP],
                       s->path);
    case GM_AT_FIRST:
        return gm_fail(e, "rows %lld to %lld of the batch are in the part of another rank, too", (long long)mine[field],
                       (long long)(mine[field] + mine[GM_AT_ROWS] - 1));
    default:
        return gm_fail(e, "the parts of all ranks are not the whole batch of %lld rows", (long long)mine[GM_AT_BATCH]);
    }
}

/* ---- records ---- */

/* This rank's part of the sums. */
static int weigh(allreduce *s, gm_error *e) {
    const gm_gradients *g = &s->gradients;
    if (gm_grow(&s->totals, &s->total_capacity, g->totals, sizeof *s->totals, e) != 0) return -1;
    float *room = gm_ranks_room(g->numbers, e);
    return room ? gm_gradients_weigh(g, room, s->totals, e) : -1;
}

static int average(const allreduce *s, gm_error *e) {
    const gm_gradients *g = &s->gradients;
    const float *sums;
    if (gm_ranks_sum_floats(g->numbers, &sums, e) != 0 || gm_ranks_sum_doubles(s->totals, g->totals, e) != 0) return -1;
    return gm_gradients_set(g, sums, s->totals, e);
}

static int allreduce_process(gm_call *call, gm_record *r, gm_error *e) {
    allreduce *s = call->state;
    if (!s->several) return 1;
    int64_t mine[GM_AT_FIELDS] = {0}, right[GM_AT_FIELDS];
    int field;
    introduce(s, mine);
    if (stand(s, r, mine, e) != 0) return -1;
    bool any = s->gradients.tensor_count + s->gradients.scalar_count > 0;
    if (any && weigh(s, e) != 0) return -1;
    if (gm_ranks_meet(mine, is_check(s, r), right, &field, e) != 0)
        return field < 0 ? -1 : fail_apart(s, field, mine, right, e);
    s->begun = true;
    s->stepped = r->has_step;
    s->step = r->step + 1;
    return !any || average(s, e) == 0 ? 1 : -1;
}

/* The model is compared once more, behind its last step. */
static int allreduce_finish(gm_call *call, gm_error *e) {
    allreduce *s = call->state;
    if (!s->several) return 0;
    int64_t mine[GM_AT_FIELDS] = {[GM_AT_KIND] = GM_RANK_ENDED}, right[GM_AT_FIELDS];
    int field;
    introduce(s, mine);
    if (s->stepped) mine[GM_AT_STEP] = (int64_t)s->step;
    if (hash_at(s, s->stepped, s->step, &mine[GM_AT_HASH], e) != 0) return -1;
    if (gm_ranks_part(mine, right, &field, e) == 0) return 0;
    return field < 0 ? -1 : fail_apart(s, field, mine, right, e);
}

static void allreduce_cut(gm_call *call, gm_error *e) {
    const allreduce *s = call->state;
    if (s->joined) gm_ranks_fail(e);
}

static void allreduce_close(gm_call *call) {
    allreduce *s = call->state;
    if (s->joined) gm_ranks_leave();
    gm_gradients_free(&s->gradients);
    free(s->totals);
    gm_model_close(s->model);
}

/* MPI makes connections and reads the memory of other ranks when it comes to it. */
static void allreduce_access(const gm_call *call, gm_access *a) {
    const allreduce *s = call->state;
    if (s->several) gm_access_everything(a);
}

const gm_tool gm_allreduce_tool = {
    .name = "gm-allreduce",
    .purpose = "Makes the gradients of a model that the ranks of an MPI job computed their mean, weighted by rows.",
    .synopsis = "-m MODEL [--check N]",
    .options = options,
    .state_size = sizeof(allreduce),
    .role = GM_FILTER,
    .open = allreduce_open,
    .access = allreduce_access,
    .process = allreduce_process,
    .finish = allreduce_finish,
    .cut = allreduce_cut,
    .close = allreduce_close,
};
