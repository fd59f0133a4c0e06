/* gm-classify: a label and its probability for each row of a table, or figures of how well that does. */
#include "gm/belt.h"
#include "gm/blas.h"
#include "gm/data.h"
#include "gm/filter.h"
#include "gm/grad.h"
#include "gm/ops.h"
#include "gm/verdict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUTPUT_BUFFER ((size_t)1 << 18)

/* Rows of files that are run together. */
typedef struct batch {
    size_t rows, outputs_right; /* the numbers of these before one that is not finite */
    bool broken;                /* no rows: those before were the last that could be read */
    gm_error trouble;
    const float *x; /* room, or rows of a record */
    float *room;    /* [portion, inputs] */
    float *outputs; /* [portion, outputs] */
    float *score;   /* of one row, for each class */
    int32_t *y;
    gm_marks marks;
    gm_text answers;
} batch;

typedef struct classify {
    const char *path, *fold, *id, *output;
    gm_list inputs;
    bool proba, eval, json, confusion, calibrate, hold_out, scores, frozen, keep_going;
    gm_follow follow; /* its model is ours in each mode */
    gm_schema *schema;
    gm_verdict verdict;
    bool warned;
    /* records */
    gm_walk *walk;
    float *values; /* outputs */
    size_t value_capacity;
    /* rows of files */
    gm_rows *source;
    gm_state state;
    gm_team *team;
    batch *batches;
    size_t batch_count;
    bool begun, over; /* reading */
    gm_tally *tally;
    uint64_t unlabelled; /* rows left out as they have no class */
    /* rows to calibrate on */
    float *fit_scores;
    int32_t *fit_labels;
    size_t fit_rows, fit_score_capacity, fit_label_capacity;
} classify;

static const gm_option options[] = {
    {"model", 'm', GM_OPTION_TEXT, offsetof(classify, path), "MODEL", "the classifier", 0, 0},
    {"proba", 0, GM_OPTION_FLAG, offsetof(classify, proba), NULL, "the probabilities of all classes", 0, 0},
    {"scores", 0, GM_OPTION_FLAG, offsetof(classify, scores), NULL, "the network's outputs, whatever they mean", 0, 0},
    {"id", 0, GM_OPTION_TEXT, offsetof(classify, id), "COLUMN", "begin each answer with this column of the CSV", 0, 0},
    {"eval", 0, GM_OPTION_FLAG, offsetof(classify, eval), NULL, "compare with the label column and print figures", 0,
     0},
    {"confusion", 0, GM_OPTION_FLAG, offsetof(classify, confusion), NULL, "with --eval: the confusion matrix too", 0,
     0},
    {"json", 0, GM_OPTION_FLAG, offsetof(classify, json), NULL, "with --eval: one JSON object", 0, 0},
    {"calibrate", 0, GM_OPTION_FLAG, offsetof(classify, calibrate), NULL,
     "fit probabilities to the scores of labelled rows, and keep that in MODEL", 0, 0},
    {"keep-going", 0, GM_OPTION_FLAG, offsetof(classify, keep_going), NULL,
     "give a row that cannot be used an empty answer, and exit with 1 at the end", 0, 0},
    {"fold", 0, GM_OPTION_TEXT, offsetof(classify, fold), "I/K[:SEED]", "only rows of this fold, as gm-batch has them",
     0, 0},
    {"hold-out", 0, GM_OPTION_FLAG, offsetof(classify, hold_out), NULL, "all rows but those of the fold", 0, 0},
    {"output", 'o', GM_OPTION_TEXT, offsetof(classify, output), "NAME",
     "be a filter of records: add the classes as tensor NAME", 0, 0},
    {"input", 'i', GM_OPTION_LIST, offsetof(classify, inputs), "NAME,...",
     "with -o: tensors that are joined to the input (default x)", 0, 0},
    {"frozen", 0, GM_OPTION_FLAG, offsetof(classify, frozen), NULL, "with -o: take the model as it stands", 0, 0},
    {NULL, 0, GM_OPTION_FLAG, 0, NULL, NULL, 0, 0}};

/* ---- what fits together ---- */

static int check_words(const classify *s, const gm_call *call, gm_error *e) {
    if (!s->path) return gm_fail_usage(e, "-m MODEL is missing");
    if (s->proba + s->eval + s->calibrate + s->scores + (s->output != NULL) > 1)
        return gm_fail_usage(e, "--proba, --scores, --eval, --calibrate and -o exclude each other");
    if ((s->json || s->confusion) && !s->eval) return gm_fail_usage(e, "--json and --confusion go with --eval");
    if (s->hold_out && !s->fold) return gm_fail_usage(e, "--hold-out goes with --fold");
    if (s->id && (s->eval || s->calibrate || s->output))
        return gm_fail_usage(e, "--id is for answers: not with --eval, --calibrate and -o");
    if (s->output && (call->argument_count || s->fold || s->keep_going))
        return gm_fail_usage(e, "with -o records come from standard input: no FILE, no --fold, no --keep-going");
    if (s->output && strcmp(s->output, "y") == 0)
        return gm_fail_usage(e,
                             "-o y: tensor 'y' has the true classes of the rows; the predicted ones need another name");
    if (!s->output && (s->inputs.count || s->frozen || call->drop.count))
        return gm_fail_usage(e, "--input, --frozen and --drop go with -o NAME");
    if (!s->output && call->fused)
        return gm_fail_usage(e, "gm-classify writes CSV; as a stage of a pipeline it needs -o NAME");
    return 0;
}

static int check_meaning(const classify *s, gm_error *e) {
    const gm_verdict *v = &s->verdict;
    if (v->meaning == GM_MEANS_OUTPUT && (s->eval || s->calibrate || s->output))
        return gm_fail_usage(e, "--eval, --calibrate and -o: %s does not predict the classes of any data it knows",
                             s->path);
    if (s->proba && !gm_verdict_probable(v))
        return gm_fail_usage(e, "--proba: the outputs of %s are no probabilities of classes%s", s->path,
                             gm_verdict_scores(v) ? " (--calibrate makes them so)" : "");
    if (s->calibrate && !gm_verdict_scores(v))
        return gm_fail_usage(e, "--calibrate: the outputs of %s are probabilities already", s->path);
    return 0;
}

/* The calibration of the model at the step at which it is read. One of another step is not used, which is said once. */
static int adopt_calibration(classify *s, const gm_call *call, uint64_t step, gm_error *e) {
    gm_calibration c = gm_model_calibration(s->follow.model, step);
    if (s->scores || s->calibrate || !gm_verdict_scores(&s->verdict)) return 0;
    if (gm_verdict_calibrate(&s->verdict, &c, e) != 0) return gm_fail_within(e, "%s: ", s->path);
    if (c.kind == GM_UNCALIBRATED && c.rows > 0 && !s->warned) {
        s->warned = true;
        gm_say(call->tool->name, "%s was calibrated at step %llu and is at step %llu: its outputs are scores again",
               s->path, (unsigned long long)c.step, (unsigned long long)step);
    }
    return 0;
}

/* ---- open ---- */

static int open_model(classify *s, gm_error *e) {
    if (gm_follow_open(&s->follow, s->path, s->frozen, e) != 0) return -1;
    s->follow.predicts = true;
    const gm_model_spec *spec = gm_model_spec_of(s->follow.model);
    if (gm_refuse_packs(spec->net, s->path, e) != 0) return -1;
    if (spec->schema) {
        s->schema = gm_schema_parse(spec->schema, e);
        if (!s->schema) return gm_fail_within(e, "%s: ", s->path);
    }
    s->verdict = gm_verdict_of(spec->net, s->schema && !s->scores ? s->schema->class_count : 0);
    if (s->scores) s->verdict.meaning = GM_MEANS_OUTPUT;
    return 0;
}

static bool names_source(const classify *s, const gm_call *call) {
    for (int i = 0; i < call->argument_count; i++) {
        const char *slash = strrchr(call->arguments[i], '/');
        if (strcmp(slash ? slash + 1 : call->arguments[i], s->schema->source) == 0) return true;
    }
    return false;
}

/* Figures and calibrations are of rows that the model was not trained on. Where it says which these are, others of the
 * same file are noted. */
static void warn_of_trained(const classify *s, const gm_call *call, const gm_fold *fold) {
    const gm_fold *out = s->schema ? &s->schema->held_out : NULL;
    char text[48];
    if ((!s->eval && !s->calibrate) || !out || out->count == 0 || !names_source(s, call)) return;
    bool same = fold->index == out->index && fold->count == out->count && fold->seed == out->seed && !fold->rest;
    if (same) return;
    gm_fold_text(out, text);
    gm_say(call->tool->name,
           "%s was made with fold %s held out, and these rows are not only of it: it may be trained on them "
           "(--fold %s takes those held out)",
           s->path, text, text);
}

static int open_rows(classify *s, const gm_call *call, gm_error *e) {
    static char *standard_input[] = {"-"};
    bool named = call->argument_count > 0;
    gm_data_choice choice = {.need_label = s->eval || s->calibrate,
                             .max_tensor = call->max_tensor,
                             .id = s->id,
                             .keep_going = s->keep_going,
                             .may_be_empty = !s->eval && !s->calibrate};
    if (s->fold && gm_fold_parse(s->fold, &choice.fold, e) != 0) return gm_fail_within(e, "--fold: ");
    choice.fold.rest = s->hold_out;
    s->source = gm_rows_open(named ? call->arguments : standard_input, named ? (size_t)call->argument_count : 1,
                             s->schema, &choice, e);
    if (!s->source) return -1;
    warn_of_trained(s, call, &choice.fold);
    return 0;
}

static int open_batches(classify *s, size_t count, gm_error *e) {
    const gm_net *net = gm_model_spec_of(s->follow.model)->net;
    const size_t portion = s->team->portion;
    s->batches = gm_new_zeroed(count, sizeof *s->batches, e);
    while (s->batches && s->batch_count < count) {
        batch *b = &s->batches[s->batch_count++];
        b->room = gm_new(portion * net->inputs, sizeof(float), e);
        b->outputs = gm_new(portion * net->outputs, sizeof(float), e);
        b->score = gm_new(s->verdict.classes, sizeof(float), e);
        b->y = gm_new(portion, sizeof(int32_t), e);
        if (!b->room || !b->outputs || !b->score || !b->y || gm_text_open(&b->answers, e) != 0) return -1;
    }
    return s->batches ? 0 : -1;
}

static int open_files(classify *s, gm_call *call, gm_error *e) {
    const gm_model_spec *spec = gm_model_spec_of(s->follow.model);
    const gm_net *net = spec->net;
    if (s->schema && s->schema->features != net->inputs)
        return gm_fail(e, "%s takes %zu columns, not the %zu features of its data: it is no classifier of rows",
                       s->path, net->inputs, s->schema->features);
    s->state.blocks = gm_new(net->block, sizeof(float), e);
    if (!s->state.blocks) return -1;
    if (s->calibrate && (check_meaning(s, e) != 0 || gm_model_lock(s->follow.model, e) != 0)) return -1;
    if (gm_model_predictor(s->follow.model, &s->state, e) != 0) return -1;
    if (adopt_calibration(s, call, s->state.step, e) != 0 || check_meaning(s, e) != 0) return -1;
    s->team = gm_team_new(net, spec->seed, s->state.blocks, call->threads, e);
    if (!s->team || open_batches(s, GM_BELT_SLOTS(s->team->count), e) != 0) return -1;
    call->workers = s->team->count;
    s->tally = s->eval ? gm_tally_new(s->verdict.classes, gm_verdict_probable(&s->verdict), e) : NULL;
    if ((s->eval && !s->tally) || open_rows(s, call, e) != 0) return -1;
    if (gm_rows_features(s->source) != net->inputs)
        return gm_fail(e, "expected %zu columns, got %zu", net->inputs, gm_rows_features(s->source));
    setvbuf(stdout, NULL, _IOFBF, OUTPUT_BUFFER);
    return 0;
}

static int open_records(classify *s, gm_error *e) {
    const gm_model_spec *spec = gm_model_spec_of(s->follow.model);
    s->walk = gm_walk_new(spec->net, spec->seed, e);
    return s->walk ? 0 : -1;
}

static int classify_open(gm_call *call, gm_error *e) {
    classify *s = call->state;
    if (check_words(s, call, e) != 0 || open_model(s, e) != 0) return -1;
    if (s->output) return check_meaning(s, e) == 0 ? open_records(s, e) : -1;
    call->role = GM_ALONE;
    return open_files(s, call, e);
}

/* ---- answers: CSV in the form of the model's data ---- */

static char separator_of(const classify *s) {
    return s->schema && s->schema->form.separator ? s->schema->form.separator : ',';
}

static void put_text(FILE *f, const char *text) {
    fwrite_unlocked(text, 1, strlen(text), f);
}

static void put_field(const classify *s, FILE *f, const char *text, size_t n) {
    gm_csv_put_between(f, separator_of(s), text, n);
}

static void put_number(FILE *f, float value) {
    char number[32];
    put_text(f, gm_format_f32(value, number));
}

static bool named_classes(const classify *s) {
    return s->schema && s->schema->class_count == s->verdict.classes;
}

static void put_class(const classify *s, FILE *f, size_t i) {
    char number[24];
    const char *name = number;
    if (named_classes(s))
        name = s->schema->classes[i];
    else
        snprintf(number, sizeof number, "%zu", i);
    put_field(s, f, name, strlen(name));
}

/* A column's name. One that is the id's too would be there twice. */
static void put_name(const classify *s, FILE *f, const char *prefix, const char *name) {
    char text[2048];
    snprintf(text, sizeof text, "%s%s", prefix, name);
    if (s->id && strcmp(s->id, text) == 0) snprintf(text, sizeof text, "predicted_%s%s", prefix, name);
    put_field(s, f, text, strlen(text));
}

static void put_numbered_name(const classify *s, FILE *f, const char *prefix, size_t i) {
    char number[24];
    snprintf(number, sizeof number, "%zu", i);
    put_name(s, f, prefix, number);
}

static void put_header(const classify *s, FILE *f) {
    const gm_verdict *v = &s->verdict;
    char comma = separator_of(s);
    if (s->schema && s->schema->form.no_header) return;
    if (s->id) {
        put_field(s, f, s->id, strlen(s->id));
        putc(comma, f);
    }
    if (v->meaning == GM_MEANS_OUTPUT) {
        if (v->classes == 1) put_name(s, f, "", "score");
        for (size_t i = 0; v->classes > 1 && i < v->classes; i++) {
            if (i > 0) putc(comma, f);
            put_numbered_name(s, f, "out_", i);
        }
    } else {
        put_name(s, f, "", s->schema && s->schema->label ? s->schema->label : "label");
        if (!s->proba) {
            putc(comma, f);
            put_name(s, f, "", gm_verdict_probable(v) ? "probability" : "score");
        }
        for (size_t i = 0; s->proba && i < v->classes; i++) {
            putc(comma, f);
            if (named_classes(s))
                put_name(s, f, "p_", s->schema->classes[i]);
            else
                put_numbered_name(s, f, "p_", i);
        }
    }
    putc('\n', f);
}

/* The row's id, its class, its numbers; all but the id empty for a row that could not be used. */
static void put_row(const classify *s, FILE *f, const float *output, float *score, const gm_field *id, bool usable) {
    const gm_verdict *v = &s->verdict;
    bool classes = v->meaning != GM_MEANS_OUTPUT;
    char comma = separator_of(s);
    size_t class = usable ? gm_verdict_row(v, output, score) : 0;
    size_t first = classes && !s->proba ? class : 0, last = classes && !s->proba ? class + 1 : v->classes;
    if (id) put_field(s, f, id->text, id->length);
    if (id && classes) putc_unlocked(comma, f);
    if (classes && usable) put_class(s, f, class);
    for (size_t i = first; i < last; i++) {
        if (id || classes || i > first) putc_unlocked(comma, f);
        if (usable) put_number(f, score[i]);
    }
    if (!usable && !id && !classes && v->classes == 1) put_text(f, "\"\""); /* an empty line would be no row */
    putc_unlocked('\n', f);
}

static int put_figures(const classify *s, const gm_call *call, gm_error *e) {
    gm_report report = {.tally = s->tally,
                        .classes = s->verdict.classes,
                        .names = named_classes(s) ? s->schema->classes : NULL,
                        .json = s->json,
                        .confusion = s->confusion};
    if (gm_tally_auc_left_out(s->tally))
        gm_say(call->tool->name, "auc left out: it keeps the scores, and these are more than %zu", GM_AUC_NUMBERS);
    return gm_report_put(&report, e);
}

/* ---- calibration ---- */

static int keep_to_fit(classify *s, const float *output, int32_t label, gm_error *e) {
    size_t outputs = s->verdict.outputs, rows = s->fit_rows;
    if (gm_grow(&s->fit_scores, &s->fit_score_capacity, (rows + 1) * outputs, sizeof(float), e) != 0 ||
        gm_grow(&s->fit_labels, &s->fit_label_capacity, rows + 1, sizeof(int32_t), e) != 0)
        return -1;
    memcpy(s->fit_scores + rows * outputs, output, outputs * sizeof(float));
    s->fit_labels[s->fit_rows++] = label;
    return 0;
}

static int calibrate(classify *s, gm_error *e) {
    gm_calibration c;
    if (gm_calibrate(s->fit_rows, s->verdict.outputs, s->fit_scores, s->fit_labels, &c, e) != 0) return -1;
    c.step = s->state.step;
    if (gm_model_calibrate(s->follow.model, &c, e) != 0 || gm_model_settle(s->follow.model, e) != 0) return -1;
    printf("rows %llu\ncalibration %s\nslope %.6g\n", (unsigned long long)c.rows, gm_calibration_text(c.kind), c.slope);
    if (c.kind == GM_PLATT) printf("offset %.6g\n", c.offset);
    return 0;
}

/* ---- items: batches of rows of files ---- */

static bool answers(const classify *s) {
    return !s->eval && !s->calibrate;
}

/* What is told on standard error of the rows that were read. */
static void tell_notes(const classify *s, gm_call *call) {
    const char *first;
    uint64_t unusable = gm_rows_unusable_count(s->source, &first);
    gm_rows_notes(s->source, gm_say_note, call->tool->name);
    if (s->unlabelled > 0)
        gm_say(call->tool->name, "%llu row%s without a class left out", (unsigned long long)s->unlabelled,
               s->unlabelled == 1 ? "" : "s");
    if (unusable == 0) return;
    gm_say(call->tool->name, "%llu row%s could not be used; %s%s", (unsigned long long)unusable,
           unusable == 1 ? "" : "s", unusable == 1 ? "" : "the first: ", first);
    call->status = 1;
}

static bool is_usable(const batch *b, size_t row) {
    return !b->marks.unusable || !b->marks.unusable[row];
}

/* What the input has ready, so that answers to a slow pipe come at once. */
static int files_take(gm_call *call, const gm_item *item, gm_error *e) {
    classify *s = call->state;
    batch *b = &s->batches[item->slot];
    int32_t *y = answers(s) ? NULL : b->y;
    if (answers(s) && !s->begun) put_header(s, stdout);
    s->begun = true;
    if (s->over) return 0;
    b->x = b->room;
    long n = s->batch_count == 1 ? gm_rows_lend(s->source, s->team->portion, b->room, &b->x, y, e)
                                 : gm_rows_next(s->source, s->team->portion, true, b->room, y, e);
    if (n == 0) return 0;
    b->broken = s->over = n < 0;
    b->rows = n < 0 ? 0 : (size_t)n;
    if (n < 0) b->trouble = *e;
    gm_rows_marks(s->source, &b->marks);
    for (size_t i = 0; y && i < b->rows; i++) s->unlabelled += is_usable(b, i) && y[i] == GM_UNLABELLED;
    return 1;
}

static int files_work(gm_call *call, const gm_item *item, gm_error *e) {
    const classify *s = call->state;
    const gm_net *net = gm_model_spec_of(s->follow.model)->net;
    batch *b = &s->batches[item->slot];
    gm_input input = {.part_count = 1, .parts = {{.name = "x", .values = b->x, .columns = net->inputs}}};
    gm_walk *walk = s->team->walks[item->worker];
    if (gm_walk_forward(walk, s->state.blocks, &input, b->rows, (gm_mode){.training = false}, b->outputs, e) != 0)
        return -1;
    b->outputs_right = gm_first_not_finite(b->rows * net->outputs, b->outputs);
    for (size_t i = 0; answers(s) && i < b->outputs_right / net->outputs; i++)
        put_row(s, b->answers.f, b->outputs + i * net->outputs, b->score, s->id ? &b->marks.ids[i] : NULL,
                is_usable(b, i));
    return 0;
}

static int use_row(classify *s, const batch *b, size_t i, gm_error *e) {
    const float *output = b->outputs + i * s->verdict.outputs;
    if (!is_usable(b, i) || b->y[i] == GM_UNLABELLED) return 0;
    if (s->calibrate) return keep_to_fit(s, output, b->y[i], e);
    size_t class = gm_verdict_row(&s->verdict, output, b->score);
    return gm_tally_add(s->tally, b->score, class, b->y[i], e);
}

static int files_give(gm_call *call, const gm_item *item, gm_error *e) {
    classify *s = call->state;
    batch *b = &s->batches[item->slot];
    const size_t outputs = s->verdict.outputs;
    for (size_t i = 0; !answers(s) && i < b->outputs_right / outputs; i++)
        if (use_row(s, b, i, e) != 0) return -1;
    if (gm_text_put(&b->answers, e) != 0) return -1;
    if (fflush(stdout) != 0) return gm_fail_errno(e, "standard output");
    if (b->broken) {
        tell_notes(s, call);
        *e = b->trouble;
        return -1;
    }
    if (b->outputs_right == b->rows * outputs) return 0;
    return gm_fail(e, "%s gives a row an output that is not finite", s->path);
}

/* ---- a record of a stream ---- */

/* The share of rows whose class is that of tensor y, where there is one of class numbers. */
static int note_accuracy(const classify *s, gm_record *r, const int32_t *classes, gm_error *e) {
    const gm_tensor *y = gm_record_tensor(r, "y");
    char name[2 * GM_NAME_MAX];
    size_t right = 0, known = 0;
    if (!y || y->rank != 1 || y->count != r->rows || y->type == GM_F4 || y->type == GM_F8 || r->rows == 0) return 0;
    for (size_t i = 0; i < r->rows; i++) {
        known += gm_tensor_at(y, i) != GM_UNLABELLED;
        right += gm_tensor_at(y, i) == classes[i];
    }
    if (known == 0) return 0;
    snprintf(name, sizeof name, "accuracy/%s", gm_model_spec_of(s->follow.model)->name);
    return gm_record_set_scalar(r, name, (double)right / (double)known, e);
}

static int judge_record(classify *s, gm_record *r, gm_error *e) {
    char name[GM_NAME_MAX + 8];
    size_t rows = r->rows, classes = s->verdict.classes;
    snprintf(name, sizeof name, "%.*s/%s", GM_NAME_MAX, s->output, gm_verdict_probable(&s->verdict) ? "p" : "score");
    float *score = gm_record_put_matrix(r, name, rows, classes, e);
    gm_tensor *t = score ? gm_record_put(r, s->output, GM_I4, 1, &rows, e) : NULL;
    if (!t) return -1;
    int32_t *class = t->data;
    for (size_t i = 0; i < rows; i++)
        class[i] = (int32_t)gm_verdict_row(&s->verdict, s->values + i * s->verdict.outputs, score + i * classes);
    return note_accuracy(s, r, class, e);
}

static int record_process(gm_call *call, gm_record *r, gm_error *e) {
    classify *s = call->state;
    const gm_net *net = gm_model_spec_of(s->follow.model)->net;
    static char *const x[] = {"x"};
    gm_input input;
    bool given = s->inputs.count > 0;
    uint64_t step;
    if (gm_gather_input(r, net, given ? s->inputs.items : x, given ? s->inputs.count : 1, &input, e) != 0) return -1;
    const float *params = gm_follow_params(&s->follow, r, &step, e);
    if (!params || adopt_calibration(s, call, step, e) != 0) return -1;
    if (gm_grow(&s->values, &s->value_capacity, r->rows * net->outputs, sizeof(float), e) != 0) return -1;
    if (gm_walk_forward(s->walk, params, &input, r->rows, (gm_mode){.training = false}, s->values, e) != 0) return -1;
    if (gm_follow_check(&s->follow, r, e) != 0) return -1;
    size_t bad = gm_first_not_finite(r->rows * net->outputs, s->values);
    if (bad < r->rows * net->outputs)
        return gm_fail(e, "%s gives row %zu no finite output", s->path, bad / net->outputs);
    for (size_t i = 0; i < input.part_count; i++)
        if (strcmp(input.parts[i].name, s->output) == 0)
            return gm_fail(e, "tensor '%s' is both input and output", s->output);
    return judge_record(s, r, e) == 0 ? 1 : -1;
}

static int classify_finish(gm_call *call, gm_error *e) {
    classify *s = call->state;
    if (s->source) tell_notes(s, call);
    return s->calibrate ? calibrate(s, e) : s->eval ? put_figures(s, call, e) : 0;
}

static void classify_close(gm_call *call) {
    classify *s = call->state;
    gm_rows_close(s->source);
    gm_walk_free(s->walk);
    gm_team_free(s->team);
    for (size_t i = 0; i < s->batch_count; i++) {
        batch *b = &s->batches[i];
        gm_text_close(&b->answers);
        gm_marks_free(&b->marks);
        free(b->room);
        free(b->outputs);
        free(b->score);
        free(b->y);
    }
    free(s->batches);
    gm_schema_free(s->schema);
    gm_follow_close(&s->follow);
    gm_tally_free(s->tally);
    free(s->state.blocks);
    free(s->values);
    free(s->fit_scores);
    free(s->fit_labels);
}

const gm_tool gm_classify_tool = {
    .name = "gm-classify",
    .purpose = "Predicts: a label and its probability for each row of CSV, IDX or stream data.",
    .synopsis = "-m MODEL [--proba | --scores] [--id COLUMN] [FILE...]\n"
                "       gm-classify -m MODEL --eval [--json] [--confusion] [--fold I/K] [FILE...]\n"
                "       gm-classify -m MODEL --calibrate [--fold I/K] [FILE...]\n"
                "       gm-classify -m MODEL -o NAME [-i NAME,...] [--frozen]",
    .options = options,
    .state_size = sizeof(classify),
    .role = GM_FILTER, /* with -o; else it works alone */
    .reads_files = true,
    .blas = gm_blas_text,
    .parallel = true,
    .open = classify_open,
    .access = gm_access_arguments,
    .process = record_process,
    .take = files_take,
    .work = files_work,
    .give = files_give,
    .finish = classify_finish,
    .close = classify_close,
};
