/* gm-batch: rows of data files as batches: one pass in file order, or the head of a training pipeline. */
#include "gm/data.h"
#include "gm/filter.h"
#include "gm/rng.h"
#include "gm/shard.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

typedef struct batch {
    const char *model, *label, *scale, *separator, *fold_text, *cache, *shard_text;
    gm_caching caching;
    bool no_header, hold_out, unlabelled;
    gm_fold fold;
    gm_list train;
    size_t rows; /* of a whole batch */
    gm_shard shard;
    float *row;       /* [features] of a batch that is told by it */
    int32_t *classes; /* [rows] of a whole batch, where they are counted */
    uint64_t steps, epochs, until, seed;
    gm_schema *schema;
    const char *schema_from; /* the model it is of */
    /* one pass */
    gm_rows *source;
    /* training */
    gm_table *table;
    uint32_t *order; /* the permutation of `epoch` */
    uint64_t epoch, step, total, end, epoch_batches;
    bool ordered;
} batch;

static const gm_option options[] = {
    {"batch", 'b', GM_OPTION_SIZE, offsetof(batch, rows), "ROWS", "rows in a batch (default 128)", 1, 1 << 24},
    {"model", 'm', GM_OPTION_TEXT, offsetof(batch, model), "MODEL", "encode as this model knows the data", 0, 0},
    {"train", 0, GM_OPTION_LIST, offsetof(batch, train), "MODEL,...",
     "feed the training of these models: shuffled, steps numbered", 0, 0},
    {"steps", 'n', GM_OPTION_U64, offsetof(batch, steps), "STEPS", "with --train: train up to this step in all", 1,
     1e14},
    {"epochs", 'e', GM_OPTION_U64, offsetof(batch, epochs), "EPOCHS", "with --train: train for this many passes in all",
     1, 1e9},
    {"until", 0, GM_OPTION_U64, offsetof(batch, until), "N",
     "with --train: end this part of the run at step N (with -e: behind pass N)", 1, 1e15},
    {"seed", 's', GM_OPTION_U64, offsetof(batch, seed), "SEED", "seed of the shuffling (default 0)", 0, 0},
    {"label", 0, GM_OPTION_TEXT, offsetof(batch, label), "COLUMN", "without a model: the column that holds the class",
     0, 0},
    {"unlabelled", 0, GM_OPTION_FLAG, offsetof(batch, unlabelled), NULL,
     "without a model: take rows whose label is empty, as class -1", 0, 0},
    {"scale", 0, GM_OPTION_TEXT, offsetof(batch, scale), "TEXT",
     "without a model: none (default), standard, quantile or range:LOW,HIGH", 0, 0},
    {"separator", 0, GM_OPTION_TEXT, offsetof(batch, separator), "MARK",
     "without a model: what stands between fields (default ,)", 0, 0},
    {"no-header", 0, GM_OPTION_FLAG, offsetof(batch, no_header), NULL,
     "without a model: the first row is data, columns are c1, c2, ...", 0, 0},
    {"fold", 0, GM_OPTION_TEXT, offsetof(batch, fold_text), "I/K[:SEED]", "only the rows of fold I of K", 0, 0},
    {"hold-out", 0, GM_OPTION_FLAG, offsetof(batch, hold_out), NULL, "with --fold: all rows but those of the fold", 0,
     0},
    {"shard", 0, GM_OPTION_TEXT, offsetof(batch, shard_text), "I/K",
     "only part I (from 0) of the K parts of each batch; auto: as MPI or Slurm counts", 0, 0},
    {"cache", 0, GM_OPTION_TEXT, offsetof(batch, cache), "WHEN",
     "keep what is made of CSV beside it: off, on, or auto (default): of 16 MiB or more", 0, 0},
    {NULL, 0, GM_OPTION_FLAG, 0, NULL, NULL, 0, 0}};

/* The schema of a model file, if it has one and none was found yet; lowers *step to the model's. */
static int batch_consult(batch *s, const char *path, uint64_t *step, gm_error *e) {
    gm_model *m = gm_model_open(path, e);
    if (!m) return -1;
    if (gm_model_step(m) < *step) *step = gm_model_step(m);
    const gm_value *schema = gm_model_spec_of(m)->schema;
    gm_schema *known = schema ? gm_schema_parse(schema, e) : NULL;
    gm_model_close(m);
    if (!schema) return 0;
    if (!known) return gm_fail_within(e, "%s: ", path);
    if (!s->schema) {
        s->schema = known;
        s->schema_from = path;
        return 0;
    }
    bool same = gm_schema_encodes_alike(s->schema, known);
    gm_schema_free(known);
    return same ? 0
                : gm_fail(e,
                          "%s knows other columns, classes or scaling than %s: make both with the same --data and the "
                          "same options for it",
                          path, s->schema_from);
}

/* Streams bring their tensors encoded; for all else a schema is needed, from a model or from one look at the files. */
static int batch_schema(batch *s, gm_call *call, gm_error *e) {
    if (s->schema) {
        if (s->label || s->scale || s->separator || s->no_header || s->unlabelled)
            return gm_fail_usage(e, "the model knows how its data are written: --label, --unlabelled, --scale, "
                                    "--separator and --no-header are for data without a model");
        return 0;
    }
    if (gm_data_is_stream(call->arguments[0])) return 0;
    /* what rows are scaled by is learnt outside of the fold, also for the rows inside */
    gm_scan_choice choice = {.label = s->label,
                             .unlabelled = s->unlabelled,
                             .fold = s->fold,
                             .form.no_header = s->no_header,
                             .caching = s->caching};
    choice.fold.rest = true;
    if (gm_scale_parse(s->scale ? s->scale : "none", &choice.scale, e) != 0) return -1;
    if (s->separator && gm_separator_parse(s->separator, &choice.form.separator, e) != 0) return -1;
    for (int i = 0; i < call->argument_count; i++)
        if (strcmp(call->arguments[i], "-") == 0)
            return gm_fail_usage(e,
                                 "standard input cannot be read twice: name a model that knows the columns (-m MODEL)");
    s->schema = gm_schema_scan(call->arguments, (size_t)call->argument_count, &choice, e);
    return s->schema ? 0 : -1;
}

/* Training on rows that are to test the model is allowed, but not unnoticed. */
static void batch_warn(const batch *s, const char *tool) {
    if (!s->schema_from || !s->schema->held_out.count) return;
    const gm_fold *kept = &s->schema->held_out, *fold = &s->fold;
    if (fold->rest && fold->index == kept->index && fold->count == kept->count && fold->seed == kept->seed) return;
    char text[48];
    gm_fold_text(kept, text);
    gm_say(tool,
           "%s was made with fold %s held out, and is now trained on rows of it (--fold %s --hold-out leaves them out)",
           s->schema_from, text, text);
}

static gm_data_choice batch_choice(const batch *s, const gm_call *call) {
    return (gm_data_choice){.max_tensor = call->max_tensor,
                            .fold = s->fold,
                            .caching = s->caching,
                            .note = gm_say_note,
                            .note_context = call->tool->name};
}

static int batch_train(batch *s, gm_call *call, uint64_t step, gm_error *e) {
    const gm_data_choice choice = batch_choice(s, call);
    s->table = gm_table_load(call->arguments, (size_t)call->argument_count, s->schema, &choice, e);
    if (!s->table) return -1;
    batch_warn(s, call->tool->name);
    gm_table_notes(s->table, gm_say_note, call->tool->name);
    size_t rows = gm_table_rows(s->table);
    if (s->rows > rows)
        return gm_fail(e, "a batch of %zu rows is larger than the data (%zu rows): give a smaller -b", s->rows, rows);
    s->epoch_batches = rows / s->rows;
    s->total = s->steps ? s->steps : s->epochs * s->epoch_batches;
    s->end = s->total;
    if (s->until && s->until < (s->epochs ? s->epochs : s->steps))
        s->end = s->epochs ? s->until * s->epoch_batches : s->until;
    s->step = step;
    s->order = gm_new(rows, sizeof *s->order, e);
    s->classes = gm_new(s->rows, sizeof *s->classes, e);
    s->row = gm_new(gm_table_features(s->table), sizeof *s->row, e);
    return s->order && s->classes && s->row ? 0 : -1;
}

static int batch_fold(batch *s, gm_error *e) {
    if (s->hold_out && !s->fold_text) return gm_fail_usage(e, "--hold-out goes with --fold I/K");
    if (!s->fold_text) return 0;
    if (gm_fold_parse(s->fold_text, &s->fold, e) != 0) return gm_fail_within(e, "--fold: ");
    s->fold.rest = s->hold_out;
    return 0;
}

/* Without --shard a batch has one part. */
static int batch_shard(batch *s, gm_error *e) {
    size_t first, own;
    s->shard = (gm_shard){.count = 1};
    if (!s->shard_text) return 0;
    if (gm_shard_parse(s->shard_text, &s->shard, e) != 0 || gm_shard_cut(&s->shard, s->rows, &first, &own, e) != 0)
        return gm_fail_within(e, "--shard: ");
    return 0;
}

static int batch_open(gm_call *call, gm_error *e) {
    batch *s = call->state;
    if (!s->rows) s->rows = 128;
    if (call->argument_count == 0) return gm_fail_usage(e, "no FILE to read (- is standard input)");
    if (s->train.count && !s->steps && !s->epochs)
        return gm_fail_usage(e, "--train needs an end: -n STEPS or -e EPOCHS");
    if (s->steps && s->epochs) return gm_fail_usage(e, "-n STEPS and -e EPOCHS exclude each other");
    if (!s->train.count && (s->steps || s->epochs)) return gm_fail_usage(e, "-n and -e go with --train");
    if (s->unlabelled && !s->label && !s->model && !s->train.count)
        return gm_fail_usage(e, "--unlabelled goes with --label COLUMN");
    if (s->until && !s->train.count) return gm_fail_usage(e, "--until goes with --train");
    if (batch_fold(s, e) != 0 || batch_shard(s, e) != 0) return -1;
    if (gm_caching_parse(s->cache ? s->cache : "auto", &s->caching, e) != 0) return gm_fail_within(e, "--cache: ");
    uint64_t step = UINT64_MAX, ignored = UINT64_MAX;
    if (s->model && batch_consult(s, s->model, &ignored, e) != 0) return -1;
    for (size_t i = 0; i < s->train.count; i++)
        if (batch_consult(s, s->train.items[i], &step, e) != 0) return -1;
    if (batch_schema(s, call, e) != 0) return -1;
    if (s->train.count) return batch_train(s, call, step, e);
    gm_data_choice choice = batch_choice(s, call);
    choice.need_label = s->label != NULL;
    s->source = gm_rows_open(call->arguments, (size_t)call->argument_count, s->schema, &choice, e);
    return s->source ? 0 : -1;
}

/* Tensors x and, with labels, y for `rows` rows. */
static int batch_tensors(gm_record *r, size_t rows, size_t features, bool labelled, float **x, int32_t **y,
                         gm_error *e) {
    r->rows = rows;
    *x = gm_record_put_matrix(r, "x", rows, features, e);
    *y = NULL;
    if (!*x) return -1;
    if (labelled) {
        gm_tensor *t = gm_record_put(r, "y", GM_I4, 1, &rows, e);
        if (!t) return -1;
        *y = t->data;
    }
    return 0;
}

/* How many of the rows have a class. */
static size_t count_labelled(const int32_t *y, size_t rows) {
    size_t count = 0;
    for (size_t i = 0; i < rows; i++) count += y[i] >= 0;
    return count;
}

/* A hash of what a batch is made of: the numbers of its rows, and the first of these with its class. Other data of the
 * same size show it sooner or later, another order at once. */
static int identify(const batch *s, const uint32_t *picked, int64_t *hash, gm_error *e) {
    int32_t class = -1;
    if (gm_table_pick(s->table, 1, picked, s->row, gm_table_labelled(s->table) ? &class : NULL, e) != 0) return -1;
    uint64_t rows = XXH64(picked, s->rows * sizeof *picked, 0);
    *hash = (int64_t)XXH64(s->row, gm_table_features(s->table) * sizeof *s->row, XXH64(&class, sizeof class, rows));
    return 0;
}

/* Writes down where the rows from `first` on stand in a batch of s->rows, those `picked`. */
static int batch_place(batch *s, gm_record *r, size_t first, const uint32_t *picked, gm_error *e) {
    gm_place place = {.first = first, .rows = s->rows, .partial = s->shard.count > 1};
    if (!place.partial) return 0;
    place.counted = gm_table_labelled(s->table);
    place.labelled = s->rows;
    if (identify(s, picked, &place.batch, e) != 0) return -1;
    if (place.counted && !(s->schema && !s->schema->unlabelled)) {
        if (gm_table_pick(s->table, s->rows, picked, NULL, s->classes, e) != 0) return -1;
        place.labelled = count_labelled(s->classes, s->rows);
    }
    return gm_place_set(r, &place, e);
}

/* Batch `step` of training: rows step % epoch_batches * b ... of the epoch's permutation. */
static int batch_step(batch *s, gm_record *r, gm_error *e) {
    if (s->step >= s->end) return 0;
    uint64_t epoch = s->step / s->epoch_batches;
    if (!s->ordered || epoch != s->epoch) {
        gm_rng_permutation((gm_rng){.seed = s->seed, .purpose = GM_PURPOSE_SHUFFLE, .step = epoch},
                           gm_table_rows(s->table), s->order);
        s->epoch = epoch;
        s->ordered = true;
    }
    float *x;
    int32_t *y;
    size_t first, own;
    if (gm_shard_cut(&s->shard, s->rows, &first, &own, e) != 0 ||
        batch_tensors(r, own, gm_table_features(s->table), gm_table_labelled(s->table), &x, &y, e) != 0)
        return -1;
    const uint32_t *picked = s->order + s->step % s->epoch_batches * s->rows;
    if (gm_table_pick(s->table, own, picked + first, x, y, e) != 0 || batch_place(s, r, first, picked, e) != 0)
        return -1;
    gm_value *info = gm_record_info(r, e);
    if (!info) return -1;
    if (gm_map_set(info, "total", gm_value_int((int64_t)s->total)) != 0) return gm_fail(e, "out of memory");
    r->has_step = true;
    r->step = s->step++;
    return 1;
}

/* Keeps this part of a batch that was read whole. */
static int batch_cut(const batch *s, gm_record *r, float *x, int32_t *y, gm_error *e) {
    size_t features = gm_rows_features(s->source), first, own;
    if (s->shard.count == 1) return 0;
    if (gm_shard_cut(&s->shard, r->rows, &first, &own, e) != 0) return gm_fail_within(e, "--shard: the last batch: ");
    gm_place place = {.first = first, .rows = r->rows, .partial = true, .counted = y != NULL};
    if (y) {
        place.labelled = count_labelled(y, r->rows);
        memmove(y, y + first, own * sizeof *y);
    }
    memmove(x, x + first * features, own * features * sizeof *x);
    return gm_record_shorten(r, own, e) == 0 ? gm_place_set(r, &place, e) : -1;
}

static int batch_pass(batch *s, const gm_call *call, gm_record *r, gm_error *e) {
    float *x;
    int32_t *y;
    if (batch_tensors(r, s->rows, gm_rows_features(s->source), gm_rows_labelled(s->source), &x, &y, e) != 0) return -1;
    long got = gm_rows_next(s->source, s->rows, false, x, y, e);
    if (got == 0) gm_rows_notes(s->source, gm_say_note, call->tool->name);
    if (got <= 0) return (int)got;
    return gm_record_shorten(r, (size_t)got, e) == 0 && batch_cut(s, r, x, y, e) == 0 ? 1 : -1;
}

static int batch_process(gm_call *call, gm_record *r, gm_error *e) {
    batch *s = call->state;
    return s->table ? batch_step(s, r, e) : batch_pass(s, call, r, e);
}

static void batch_close(gm_call *call) {
    batch *s = call->state;
    gm_rows_close(s->source);
    gm_table_free(s->table);
    gm_schema_free(s->schema);
    free(s->order);
    free(s->classes);
    free(s->row);
}

/* Training has read all of its files by now. */
static void batch_access(const gm_call *call, gm_access *a) {
    const batch *s = call->state;
    gm_access_arguments(call, a);
    if (!s->source || !gm_rows_caches(s->source)) return;
    for (int i = 0; i < call->argument_count; i++) gm_access_write(a, call->arguments[i]);
}

const gm_tool gm_batch_tool = {
    .name = "gm-batch",
    .purpose = "Reads CSV, IDX or stream files and writes their rows as batches: tensors x and, with a label, y.",
    .synopsis = "[-m MODEL] [-b ROWS] [--shard I/K] [--fold I/K [--hold-out]] FILE...\n       gm-batch --train "
                "MODEL,... (-n STEPS | "
                "-e EPOCHS) [--until N] [-b ROWS] [--shard I/K] [-s SEED] [--fold I/K [--hold-out]] FILE...",
    .options = options,
    .state_size = sizeof(batch),
    .role = GM_SOURCE,
    .reads_files = true,
    .open = batch_open,
    .access = batch_access,
    .process = batch_process,
    .close = batch_close,
};
