/* gm-classify: a label and its probability for each row of a table, or figures of how well that does. */
#include "gm/blas.h"
#include "gm/data.h"
#include "gm/filter.h"
#include "gm/grad.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 256

/* What the outputs of a network mean, given the classes that its data has. */
typedef enum meaning {
    MEANS_PROBABILITIES, /* one for each class */
    MEANS_BINARY,        /* one sigmoid unit: the probability of the second class */
    MEANS_SCORES,        /* one for each class, the largest wins */
    MEANS_BINARY_SCORE,  /* one linear unit: the second class if positive */
    MEANS_OUTPUT         /* no classes: the outputs themselves */
} meaning;

typedef struct tally {
    uint64_t rows, right;
    double log_loss;
    uint64_t *confusion;           /* [classes, classes]: actual, predicted */
    double *positives, *negatives; /* binary: scores of the rows of the second and of the first class */
    size_t positive_count, negative_count, positive_capacity, negative_capacity;
} tally;

typedef struct classify {
    const char *path;
    bool proba, eval;
    gm_model *model;
    gm_state state;
    gm_schema *schema;
    gm_walk *walk;
    gm_rows *source;
    meaning meaning;
    size_t classes;
    float *x, *output; /* [BATCH, ...] */
    float *score;      /* of one row, for each class */
    int32_t y[BATCH];
    tally tally;
} classify;

static const gm_option options[] = {
    {"model", 'm', GM_OPTION_TEXT, offsetof(classify, path), "MODEL", "the classifier", 0, 0},
    {"proba", 0, GM_OPTION_FLAG, offsetof(classify, proba), NULL, "the probabilities of all classes", 0, 0},
    {"eval", 0, GM_OPTION_FLAG, offsetof(classify, eval), NULL, "compare with the label column and print figures", 0,
     0},
    {NULL, 0, GM_OPTION_FLAG, 0, NULL, NULL, 0, 0}};

static void find_meaning(classify *s, const gm_net *net) {
    gm_activation last = net->layers[net->layer_count - 1].activation;
    size_t known = s->schema ? s->schema->class_count : 0, outputs = net->outputs;
    s->classes = known ? known : outputs;
    if (last == GM_SOFTMAX && outputs == s->classes)
        s->meaning = MEANS_PROBABILITIES;
    else if (outputs == 1 && known == 2)
        s->meaning = last == GM_SIGMOID ? MEANS_BINARY : MEANS_BINARY_SCORE;
    else if (outputs > 1 && outputs == known)
        s->meaning = MEANS_SCORES;
    else
        s->meaning = MEANS_OUTPUT, s->classes = outputs;
}

static int check_options(const classify *s, gm_error *e) {
    bool probable = s->meaning == MEANS_PROBABILITIES || s->meaning == MEANS_BINARY;
    if (s->proba && s->eval) return gm_fail_usage(e, "--proba and --eval exclude each other");
    if (s->proba && !probable)
        return gm_fail_usage(e, "--proba: the outputs of %s are no probabilities of classes", s->path);
    if (s->eval && s->meaning == MEANS_OUTPUT)
        return gm_fail_usage(e, "--eval: %s does not predict the classes of any data it knows", s->path);
    return 0;
}

static int allocate(classify *s, const gm_net *net, gm_error *e) {
    size_t cells;
    if (!gm_multiply(s->classes, s->classes, &cells)) return gm_fail(e, "too many classes");
    s->x = gm_new(BATCH * net->inputs, sizeof(float), e);
    s->output = gm_new(BATCH * net->outputs, sizeof(float), e);
    s->score = gm_new(s->classes, sizeof(float), e);
    s->state.blocks = gm_new(net->block, sizeof(float), e);
    s->tally.confusion = s->eval ? gm_new_zeroed(cells, sizeof(uint64_t), e) : NULL;
    return s->x && s->output && s->score && s->state.blocks && (!s->eval || s->tally.confusion) ? 0 : -1;
}

static int classify_open(gm_call *call, gm_error *e) {
    classify *s = call->state;
    if (!s->path) return gm_fail_usage(e, "-m MODEL is missing");
    if (call->fused) return gm_fail_usage(e, "gm-classify works alone and cannot be a stage of a pipeline");
    s->model = gm_model_open(s->path, e);
    if (!s->model) return -1;
    const gm_model_spec *spec = gm_model_spec_of(s->model);
    if (spec->schema) {
        s->schema = gm_schema_parse(spec->schema, e);
        if (!s->schema) return gm_fail_within(e, "%s: ", s->path);
        if (s->schema->features != spec->net->inputs)
            return gm_fail(e, "%s takes %zu columns, not the %zu features of its data: it is no classifier of rows",
                           s->path, spec->net->inputs, s->schema->features);
    }
    find_meaning(s, spec->net);
    static char *standard_input[] = {"-"};
    bool named = call->argument_count > 0;
    if (check_options(s, e) != 0 || allocate(s, spec->net, e) != 0) return -1;
    if (gm_model_snapshot(s->model, true, &s->state, e) != 0) return -1;
    s->walk = gm_walk_new(spec->net, e);
    if (!s->walk) return -1;
    s->source = gm_rows_open(named ? call->arguments : standard_input, named ? (size_t)call->argument_count : 1,
                             s->schema, &(gm_data_choice){.need_label = s->eval, .max_tensor = call->max_tensor}, e);
    if (!s->source) return -1;
    if (gm_rows_features(s->source) != spec->net->inputs)
        return gm_fail(e, "expected %zu columns, got %zu", spec->net->inputs, gm_rows_features(s->source));
    return 0;
}

/* ---- outputs to classes ---- */

static const char *class_name(const classify *s, size_t i, char number[32]) {
    if (s->schema && s->schema->class_count == s->classes) return s->schema->classes[i];
    snprintf(number, 32, "%zu", i);
    return number;
}

/* The row's scores for each class: probabilities where the outputs are. */
static void row_scores(const classify *s, const float *output, float *score) {
    bool one = s->meaning == MEANS_BINARY || s->meaning == MEANS_BINARY_SCORE;
    if (!one) {
        memcpy(score, output, s->classes * sizeof *score);
        return;
    }
    score[1] = output[0];
    score[0] = s->meaning == MEANS_BINARY ? 1 - output[0] : -output[0];
}

static size_t largest(const float *score, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (score[i] > score[best]) best = i;
    return best;
}

/* ---- answers ---- */

static void put_name(const char *prefix, const char *name) {
    char text[1024];
    int n = snprintf(text, sizeof text, "%s%s", prefix, name);
    gm_csv_put(stdout, text, n < (int)sizeof text ? (size_t)n : sizeof text - 1);
}

static void put_header(const classify *s) {
    char number[32];
    if (s->meaning == MEANS_OUTPUT) {
        for (size_t i = 0; i < s->classes; i++) {
            if (s->classes == 1)
                fputs("score", stdout);
            else
                printf("%sout_%zu", i ? "," : "", i);
        }
    } else {
        put_name("", s->schema && s->schema->label ? s->schema->label : "label");
        bool scores = s->meaning == MEANS_SCORES || s->meaning == MEANS_BINARY_SCORE;
        if (!s->proba) fputs(scores ? ",score" : ",probability", stdout);
        for (size_t i = 0; s->proba && i < s->classes; i++) {
            fputc(',', stdout);
            put_name("p_", class_name(s, i, number));
        }
    }
    fputc('\n', stdout);
}

static void put_row(const classify *s, const float *score) {
    char number[32];
    size_t best = largest(score, s->classes);
    if (s->meaning == MEANS_OUTPUT) {
        for (size_t i = 0; i < s->classes; i++) printf("%s%s", i ? "," : "", gm_format_f32(score[i], number));
    } else {
        put_name("", class_name(s, best, number));
        if (!s->proba) printf(",%s", gm_format_f32(score[best], number));
        for (size_t i = 0; s->proba && i < s->classes; i++) printf(",%s", gm_format_f32(score[i], number));
    }
    fputc('\n', stdout);
}

/* ---- figures ---- */

static int tally_score(double **scores, size_t *count, size_t *capacity, double score, gm_error *e) {
    if (*count == *capacity && gm_grow(scores, capacity, *count ? 2 * *count : 1024, sizeof **scores, e) != 0)
        return -1;
    (*scores)[(*count)++] = score;
    return 0;
}

static int tally_row(classify *s, const float *score, int32_t label, gm_error *e) {
    tally *t = &s->tally;
    size_t best = largest(score, s->classes), actual = (size_t)label;
    if (label < 0 || actual >= s->classes)
        return gm_fail(e, "row %llu: class %ld is outside the model's", (unsigned long long)t->rows, (long)label);
    t->rows++;
    t->right += best == actual;
    t->confusion[actual * s->classes + best]++;
    t->log_loss -= log(fmax((double)score[actual], 1e-15));
    if (s->classes != 2) return 0;
    if (actual == 1) return tally_score(&t->positives, &t->positive_count, &t->positive_capacity, (double)score[1], e);
    return tally_score(&t->negatives, &t->negative_count, &t->negative_capacity, (double)score[1], e);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The area under the ROC curve: the share of pairs (positive, negative) in the right order, ties half (Mann, Whitney
 * 1947). */
static double area(tally *t) {
    double ordered = 0;
    size_t below = 0, tied;
    qsort(t->positives, t->positive_count, sizeof(double), by_value);
    qsort(t->negatives, t->negative_count, sizeof(double), by_value);
    for (size_t i = 0; i < t->positive_count; i++) {
        while (below < t->negative_count && t->negatives[below] < t->positives[i]) below++;
        for (tied = below; tied < t->negative_count && t->negatives[tied] <= t->positives[i];) tied++;
        ordered += (double)below + 0.5 * (double)(tied - below);
    }
    return ordered / ((double)t->positive_count * (double)t->negative_count);
}

/* A line `name_CLASS value`, blanks in the class as _, so that a line has two words. */
static void put_figure(const char *name, const char *class, double value) {
    char text[256];
    snprintf(text, sizeof text, "%s_%s", name, class);
    for (char *c = text; *c; c++)
        if (isspace((unsigned char)*c)) *c = '_';
    printf("%s %.4f\n", text, value);
}

static int put_figures(classify *s, gm_error *e) {
    tally *t = &s->tally;
    char number[32];
    if (t->rows == 0) return gm_fail(e, "no rows to evaluate");
    printf("rows %llu\naccuracy %.4f\n", (unsigned long long)t->rows, (double)t->right / (double)t->rows);
    bool probable = s->meaning == MEANS_PROBABILITIES || s->meaning == MEANS_BINARY;
    if (probable) printf("log_loss %.4f\n", t->log_loss / (double)t->rows);
    if (t->positive_count && t->negative_count) printf("auc %.4f\n", area(t));
    for (size_t i = 0; i < s->classes; i++) {
        uint64_t predicted = 0, actual = 0, right = t->confusion[i * s->classes + i];
        for (size_t k = 0; k < s->classes; k++) {
            predicted += t->confusion[k * s->classes + i];
            actual += t->confusion[i * s->classes + k];
        }
        /* a class that was never predicted has no precision, one that never occurred no recall: 0, as others print it
         */
        put_figure("precision", class_name(s, i, number), predicted ? (double)right / (double)predicted : 0);
        put_figure("recall", class_name(s, i, number), actual ? (double)right / (double)actual : 0);
    }
    return 0;
}

/* One batch: what the input has ready, so that answers to a slow pipe come at once. */
static int classify_process(gm_call *call, gm_record *r, gm_error *e) {
    (void)r;
    classify *s = call->state;
    const gm_net *net = gm_model_spec_of(s->model)->net;
    if (call->records == 0 && !s->eval) put_header(s);
    long n = gm_rows_next(s->source, BATCH, true, s->x, s->eval ? s->y : NULL, e);
    if (n < 0) {
        fflush(stdout); /* the rows before the bad one have their answers */
        return -1;
    }
    if (n == 0) return s->eval ? put_figures(s, e) : 0;
    gm_input input = {.part_count = 1, .parts = {{.name = "x", .values = s->x, .columns = net->inputs}}};
    if (gm_walk_forward(s->walk, s->state.blocks, &input, (size_t)n, (gm_mode){.training = false}, s->output, e) != 0)
        return -1;
    for (long i = 0; i < n; i++) {
        float *score = s->score;
        row_scores(s, s->output + (size_t)i * net->outputs, score);
        if (!s->eval)
            put_row(s, score);
        else if (tally_row(s, score, s->y[i], e) != 0)
            return -1;
    }
    if (fflush(stdout) != 0) return gm_fail_errno(e, "standard output");
    return 1;
}

static void classify_close(gm_call *call) {
    classify *s = call->state;
    gm_rows_close(s->source);
    gm_walk_free(s->walk);
    gm_schema_free(s->schema);
    gm_model_close(s->model);
    free(s->state.blocks);
    free(s->x);
    free(s->output);
    free(s->score);
    free(s->tally.confusion);
    free(s->tally.positives);
    free(s->tally.negatives);
}

const gm_tool gm_classify_tool = {
    .name = "gm-classify",
    .purpose = "Predicts: a label and its probability for each row of CSV, IDX or stream data.",
    .synopsis = "-m MODEL [--proba | --eval] [FILE...]",
    .options = options,
    .state_size = sizeof(classify),
    .role = GM_ALONE,
    .reads_files = true,
    .blas = gm_blas_text,
    .open = classify_open,
    .process = classify_process,
    .close = classify_close,
};
