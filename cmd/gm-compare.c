/* gm-compare: how alike are real rows and generated ones? */
#include "gm/blas.h"
#include "gm/compare.h"
#include "gm/data.h"
#include "gm/filter.h"
#include "gm/grad.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BATCH ((size_t)1024)

typedef struct table {
    const char *path;
    size_t rows, x_capacity, y_capacity;
    float *x;   /* [rows, columns] */
    int32_t *y; /* [rows], where labelled */
    bool labelled;
} table;

typedef struct compare {
    const char *label, *scale, *features, *separator;
    gm_list only, categorical, numeric, missing;
    size_t neighbours;
    uint64_t seed;
    bool json, no_header;
    gm_schema *schema; /* NULL: of streams */
    gm_predictor model;
    gm_net *part;
    size_t columns;
    table real, fake;
    bool begun; /* the first line, or the first key of the object, is out */
} compare;

static const char *const measures[] = {"frechet", "kernel",       "neighbours", "two-sample",
                                       "columns", "correlations", NULL};

static const gm_option options[] = {
    {"label", 0, GM_OPTION_TEXT, offsetof(compare, label), "COLUMN", "the column that holds the class: compared apart",
     0, 0},
    {"scale", 0, GM_OPTION_TEXT, offsetof(compare, scale), "TEXT",
     "of the numbers, as in gm-init (default standard, by REAL)", 0, 0},
    {"features", 0, GM_OPTION_TEXT, offsetof(compare, features), "MODEL[:LAYER]",
     "compare what this layer of a model makes of the rows (default: the layer before the last)", 0, 0},
    {"only", 0, GM_OPTION_LIST, offsetof(compare, only), "NAME,...",
     "of frechet, kernel, neighbours, two-sample, columns, correlations", 0, 0},
    {"neighbours", 'k', GM_OPTION_SIZE, offsetof(compare, neighbours), "K",
     "the ball of a row reaches to its K-th nearest (default 5)", 1, GM_NEIGHBOURS_MOST},
    {"seed", 's', GM_OPTION_U64, offsetof(compare, seed), "SEED", "of the rows that are drawn (default 0)", 0, 0},
    {"json", 0, GM_OPTION_FLAG, offsetof(compare, json), NULL, "one JSON object", 0, 0},
    {"categorical", 0, GM_OPTION_LIST, offsetof(compare, categorical), "COLUMN,...",
     "columns whose values are names, even if they look like numbers", 0, 0},
    {"numeric", 0, GM_OPTION_LIST, offsetof(compare, numeric), "COLUMN,...",
     "columns whose values are numbers, whatever the first one is", 0, 0},
    {"missing", 0, GM_OPTION_LIST, offsetof(compare, missing), "TEXT,...", "what stands for a missing number", 0, 0},
    {"separator", 0, GM_OPTION_TEXT, offsetof(compare, separator), "MARK", "what stands between fields (default ,)", 0,
     0},
    {"no-header", 0, GM_OPTION_FLAG, offsetof(compare, no_header), NULL, "the first row is data", 0, 0},
    {NULL, 0, GM_OPTION_FLAG, 0, NULL, NULL, 0, 0}};

/* ---- what is compared ---- */

static bool describes(const compare *s) {
    return s->label || s->scale || s->separator || s->no_header || s->categorical.count || s->numeric.count ||
           s->missing.count;
}

/* MODEL[:LAYER]: a colon with a number behind it is no part of the file's name. */
static int open_model(compare *s, gm_error *e) {
    const char *colon = strrchr(s->features, ':');
    bool layered = colon && colon[1] && strspn(colon + 1, "0123456789") == strlen(colon + 1);
    char *path = gm_copy_text(s->features, layered ? (size_t)(colon - s->features) : strlen(s->features), e);
    if (!path) return -1;
    int status = gm_predictor_load(&s->model, path, e);
    if (status == 0) status = gm_refuse_packs(s->model.spec->net, path, e);
    free(path);
    if (status != 0) return -1;
    const gm_net *net = s->model.spec->net;
    size_t layer = net->layer_count > 1 ? net->layer_count - 2 : 0;
    if (layered && !gm_parse_size(colon + 1, 0, net->layer_count - 1, &layer))
        return gm_fail_usage(e, "--features: the model has no layer %s, its layers are 0-%zu", colon + 1,
                             net->layer_count - 1);
    if (net->part_count != 1)
        return gm_fail(e, "--features: %s takes more than rows: its INPUT has %zu parts", s->features, net->part_count);
    s->part = gm_net_cut(net, 0, layer + 1, e);
    if (!s->part) return -1;
    if (s->model.spec->schema) s->schema = gm_schema_parse(s->model.spec->schema, e);
    return s->model.spec->schema && !s->schema ? -1 : 0;
}

/* A constant column of REAL has no spread to be scaled by; in units of its own FAKE still shows where it differs. */
static void spread_constants(gm_schema *schema) {
    for (size_t i = 0; i < schema->column_count; i++) {
        gm_column *c = &schema->columns[i];
        if (!(c->deviation > 0)) c->deviation = 1;
        if (!(c->maximum > c->minimum)) c->maximum = c->minimum + 1;
    }
}

static int describe(compare *s, gm_error *e) {
    struct stat status;
    if (stat(s->real.path, &status) == 0 && S_ISFIFO(status.st_mode))
        return gm_fail_usage(e, "REAL is read twice, which a pipe cannot be");
    char *files[] = {(char *)(uintptr_t)s->real.path};
    const gm_names missing = {s->missing.count, s->missing.items};
    gm_scan_choice choice = {.label = s->label,
                             .one_class = true,
                             .form.no_header = s->no_header,
                             .categorical = {s->categorical.count, s->categorical.items},
                             .numeric = {s->numeric.count, s->numeric.items},
                             .marks = missing.count ? &missing : NULL};
    if (gm_scale_parse(s->scale ? s->scale : "standard", &choice.scale, e) != 0) return -1;
    if (s->separator && gm_separator_parse(s->separator, &choice.form.separator, e) != 0) return -1;
    s->schema = gm_schema_scan(files, 1, &choice, e);
    if (s->schema) spread_constants(s->schema);
    return s->schema ? 0 : -1;
}

/* --only: that there are such measures, and, of what has columns no more, none of columns. */
static int check_only(const compare *s, bool columns, gm_error *e) {
    for (size_t i = 0; i < s->only.count; i++) {
        const char *name = s->only.items[i];
        bool known = false;
        for (size_t m = 0; measures[m]; m++) known |= strcmp(name, measures[m]) == 0;
        const char *meant = known ? NULL : gm_did_you_mean(name, measures);
        if (!known && meant) return gm_fail_usage(e, "--only: unknown measure '%s' (did you mean %s?)", name, meant);
        if (!known) return gm_fail_usage(e, "--only: unknown measure '%s'", name);
        if (!columns && (strcmp(name, "columns") == 0 || strcmp(name, "correlations") == 0))
            return gm_fail_usage(e, "--only %s: %s has no columns of a table", name,
                                 s->features ? "what a layer makes of rows" : "a stream");
    }
    return 0;
}

static int compare_open(gm_call *call, gm_error *e) {
    compare *s = call->state;
    if (call->argument_count != 2) return gm_fail_usage(e, "two files are compared: REAL and FAKE");
    s->real.path = call->arguments[0];
    s->fake.path = call->arguments[1];
    if (!s->neighbours) s->neighbours = 5;
    if (strcmp(s->real.path, "-") == 0) return gm_fail_usage(e, "REAL is read twice, which standard input cannot be");
    const bool stream = !s->features && gm_data_is_stream(s->real.path);
    if (check_only(s, !s->features && !stream, e) != 0) return -1;
    if (s->features && describes(s))
        return gm_fail_usage(e, "--features: the model knows the data; nothing else describes them");
    if (s->features) return open_model(s, e);
    if (stream && describes(s))
        return gm_fail_usage(e, "%s is a stream, which says itself what it holds", s->real.path);
    return stream ? 0 : describe(s, e);
}

/* ---- reading ---- */

static int grow_table(table *t, size_t columns, gm_error *e) {
    size_t floats;
    if (!gm_multiply(t->rows + BATCH, columns, &floats)) return gm_fail(e, "%s: too many rows", t->path);
    if (gm_grow(&t->x, &t->x_capacity, floats, sizeof *t->x, e) != 0) return -1;
    return t->labelled ? gm_grow(&t->y, &t->y_capacity, t->rows + BATCH, sizeof *t->y, e) : 0;
}

static void tell_note(const void *context, const char *line) {
    gm_say("gm-compare", "%s: %s", (const char *)context, line);
}

static int load(const compare *s, table *t, size_t max_tensor, size_t *columns, gm_error *e) {
    char *files[] = {(char *)(uintptr_t)t->path};
    gm_data_choice choice = {.max_tensor = max_tensor};
    gm_rows *rows = gm_rows_open(files, 1, s->schema, &choice, e);
    if (!rows) return -1;
    *columns = gm_rows_features(rows);
    t->labelled = gm_rows_labelled(rows);
    long got = 1;
    while (got > 0) {
        if (grow_table(t, *columns, e) != 0)
            got = -1;
        else
            got = gm_rows_next(rows, BATCH, false, t->x + t->rows * *columns, t->labelled ? t->y + t->rows : NULL, e);
        if (got > 0) t->rows += (size_t)got;
    }
    if (got == 0) gm_rows_notes(rows, tell_note, t->path);
    gm_rows_close(rows);
    if (got == 0 && t->rows == 0) return gm_fail(e, "%s: no rows", t->path);
    return got == 0 ? 0 : -1;
}

static int check_finite(const table *t, size_t columns, gm_error *e) {
    for (size_t i = 0; i < t->rows * columns; i++)
        if (!isfinite(t->x[i]))
            return gm_fail(e, "%s: row %zu: number %zu is not finite", t->path, i / columns, i % columns);
    return 0;
}

/* Rows become what the model's layer makes of them. */
static int run_model(compare *s, table *t, gm_error *e) {
    gm_walk *walk = gm_walk_new(s->part, s->model.spec->seed, e);
    float *out = walk ? gm_new(t->rows, s->part->outputs * sizeof *out, e) : NULL;
    int status = out ? 0 : -1;
    if (walk) gm_walk_hold(walk, s->model.params);
    for (size_t first = 0; status == 0 && first < t->rows; first += BATCH) {
        const size_t n = t->rows - first < BATCH ? t->rows - first : BATCH;
        gm_input input = {.part_count = 1,
                          .parts = {{.name = "x", .values = t->x + first * s->columns, .columns = s->columns}}};
        status = gm_walk_forward(walk, s->model.params, &input, n, (gm_mode){0}, out + first * s->part->outputs, e);
    }
    gm_walk_free(walk);
    if (status != 0) {
        free(out);
        return gm_fail_within(e, "%s: ", t->path);
    }
    free(t->x);
    t->x = out;
    return 0;
}

static int load_both(compare *s, size_t max_tensor, gm_error *e) {
    size_t columns;
    if (load(s, &s->real, max_tensor, &s->columns, e) != 0 || load(s, &s->fake, max_tensor, &columns, e) != 0)
        return -1;
    if (columns != s->columns)
        return gm_fail(e, "%s has %zu columns, %s has %zu", s->real.path, s->columns, s->fake.path, columns);
    if (check_finite(&s->real, columns, e) != 0 || check_finite(&s->fake, columns, e) != 0) return -1;
    if (!s->part) return 0;
    if (run_model(s, &s->real, e) != 0 || run_model(s, &s->fake, e) != 0) return -1;
    s->columns = s->part->outputs;
    return 0;
}

/* ---- printing ---- */

static void put_key(compare *s, const char *name) {
    fputs(s->begun ? "," : "{", stdout);
    s->begun = true;
    gm_json_put_text(stdout, name);
    putchar(':');
}

/* A figure that there is. */
static void put(compare *s, const char *name, double value) {
    if (isnan(value)) return;
    if (s->json) {
        put_key(s, name);
        gm_json_put_number(stdout, value);
    } else {
        printf("%s %.6g\n", name, value);
    }
}

/* ---- measures ---- */

static bool asked(const compare *s, const char *name) {
    for (size_t i = 0; i < s->only.count; i++)
        if (strcmp(s->only.items[i], name) == 0) return true;
    return s->only.count == 0;
}

/* Whether a measure is to be made: 1, 0, or -1 if it was asked for and there are too few rows. */
static int wanted(const compare *s, const char *name, size_t least, gm_error *e) {
    if (!asked(s, name)) return 0;
    if (s->real.rows >= least && s->fake.rows >= least) return 1;
    if (s->only.count)
        return gm_fail(e, "%s needs %zu rows of each, there are %zu and %zu", name, least, s->real.rows, s->fake.rows);
    gm_say("gm-compare", "%s left out: it needs %zu rows of each, there are %zu and %zu", name, least, s->real.rows,
           s->fake.rows);
    return 0;
}

static gm_points points_of(const compare *s, const table *t) {
    return (gm_points){.rows = t->rows, .columns = s->columns, .x = t->x};
}

/* The same of a measure that multiplies rows by rows. */
static int wanted_products(const compare *s, const char *name, size_t least, const gm_points *real,
                           const gm_points *fake, gm_error *e) {
    int go = wanted(s, name, least, e);
    if (go <= 0 || gm_points_check_lengths(real, fake, e) == 0) return go;
    if (s->only.count) return gm_fail_within(e, "%s: ", name);
    gm_say("gm-compare", "%s left out: %s", name, e->text);
    return 0;
}

static int put_frechet(compare *s, const gm_points *real, const gm_points *fake, gm_error *e) {
    double distance;
    int go = wanted(s, "frechet", GM_FRECHET_ROWS, e);
    if (go <= 0) return go;
    if (gm_frechet(real, fake, &distance, e) != 0) return -1;
    put(s, "frechet_distance", distance);
    return 0;
}

static int put_kernel(compare *s, const gm_points *real, const gm_points *fake, gm_error *e) {
    gm_kernel_figures f;
    int go = wanted_products(s, "kernel", GM_KERNEL_ROWS, real, fake, e);
    if (go <= 0) return go;
    if (gm_kernel_distance(real, fake, s->seed, &f, e) != 0) return -1;
    put(s, "kernel_distance", f.distance);
    put(s, "kernel_deviation", f.deviation);
    if (f.subsets) put(s, "kernel_subsets", (double)f.subsets);
    return 0;
}

static int put_neighbours(compare *s, const gm_points *real, const gm_points *fake, gm_error *e) {
    gm_neighbour_figures f;
    int go = wanted_products(s, "neighbours", s->neighbours + 1, real, fake, e);
    if (go <= 0) return go;
    if (gm_neighbours(real, fake, s->neighbours, s->seed, &f, e) != 0) return -1;
    put(s, "precision", f.precision);
    put(s, "recall", f.recall);
    put(s, "density", f.density);
    put(s, "coverage", f.coverage);
    put(s, "nearest_median", f.nearest_median);
    put(s, "nearest_least", f.nearest_least);
    put(s, "real_nearest_median", f.real_median);
    put(s, "real_nearest_least", f.real_least);
    put(s, "copied_rows", (double)f.copied_rows);
    put(s, "real_duplicate_rows", (double)f.duplicate_rows);
    put(s, "nearest_accuracy", f.accuracy);
    return 0;
}

static int put_two_sample(compare *s, const gm_points *real, const gm_points *fake, gm_error *e) {
    gm_two_sample_figures f;
    int go = wanted(s, "two-sample", GM_TWO_SAMPLE_ROWS, e);
    if (go <= 0) return go;
    if (gm_two_sample(real, fake, s->seed, &f, e) != 0) return -1;
    put(s, "two_sample_accuracy", f.accuracy);
    put(s, "two_sample_low", f.low);
    put(s, "two_sample_high", f.high);
    return 0;
}

static int put_correlations(compare *s, const gm_points *real, const gm_points *fake, gm_error *e) {
    double largest;
    size_t count = 0;
    if (!s->schema || s->part) return 0;
    int go = wanted(s, "correlations", GM_FRECHET_ROWS, e);
    if (go <= 0) return go;
    size_t *columns = gm_new(s->schema->column_count + 1, sizeof *columns, e);
    if (!columns) return -1;
    for (size_t i = 0, at = 0; i < s->schema->column_count; at += s->schema->columns[i++].features)
        if (!s->schema->columns[i].categorical) columns[count++] = at;
    int status = gm_compare_correlations(real, fake, count, columns, &largest, e);
    free(columns);
    if (status == 0) put(s, "largest_correlation_difference", largest);
    return status;
}

/* ---- columns ---- */

static void put_pair(const compare *s, const char *name, double value, bool *first) {
    if (isnan(value)) return;
    if (s->json) {
        if (!*first) putchar(',');
        gm_json_put_text(stdout, name);
        putchar(':');
        gm_json_put_number(stdout, value);
    } else {
        printf("%s%s %.6g", *first ? " " : "  ", name, value);
    }
    *first = false;
}

static void put_column(const compare *s, const char *name, const gm_column_difference *d, bool first_column) {
    char shown[GM_VISIBLE];
    bool first = true;
    if (s->json) {
        if (!first_column) putchar(',');
        gm_json_put_text(stdout, name);
        fputs(":{", stdout);
    } else {
        printf("column %s:", gm_visible_text(name, shown));
    }
    put_pair(s, "ks", d->ks, &first);
    put_pair(s, "wasserstein", d->wasserstein, &first);
    put_pair(s, "shift", d->shift, &first);
    put_pair(s, "missing", d->missing, &first);
    put_pair(s, "tv", d->variation, &first);
    put_pair(s, "frequency", d->frequency, &first);
    fputs(s->json ? "}" : "\n", stdout);
}

static double larger(double a, double b) {
    return isnan(a) || b > a ? b : a;
}

static void put_differences(compare *s, const gm_column_difference *d, const gm_column_difference *label) {
    gm_column_difference most = {NAN, NAN, NAN, NAN, NAN, NAN};
    for (size_t i = 0; i < s->schema->column_count; i++) {
        most.ks = larger(most.ks, d[i].ks);
        most.variation = larger(most.variation, d[i].variation);
        most.frequency = larger(most.frequency, d[i].frequency);
    }
    put(s, "largest_ks", most.ks);
    put(s, "largest_tv", most.variation);
    put(s, "largest_frequency_difference", larger(most.frequency, label->frequency));
    put(s, "label_tv", label->variation);
    if (s->json) {
        put_key(s, "columns");
        putchar('{');
    }
    for (size_t i = 0; i < s->schema->column_count; i++) put_column(s, s->schema->columns[i].name, &d[i], i == 0);
    if (s->json) putchar('}');
}

static int put_columns(compare *s, const gm_points *real, const gm_points *fake, gm_error *e) {
    gm_column_difference label = {NAN, NAN, NAN, NAN, NAN, NAN};
    if (!s->schema || s->part || !asked(s, "columns")) return 0;
    gm_column_difference *d = gm_new(s->schema->column_count, sizeof *d, e);
    int status = d ? gm_compare_columns(s->schema, real, fake, d, e) : -1;
    if (status == 0 && s->real.labelled && s->fake.labelled)
        status = gm_compare_labels(s->schema->class_count, s->real.rows, s->real.y, s->fake.rows, s->fake.y, &label, e);
    if (status == 0) put_differences(s, d, &label);
    free(d);
    return status;
}

static int compare_process(gm_call *call, gm_record *r, gm_error *e) {
    (void)r;
    compare *s = call->state;
    if (load_both(s, call->max_tensor, e) != 0) return -1;
    const gm_points real = points_of(s, &s->real), fake = points_of(s, &s->fake);
    put(s, "real_rows", (double)real.rows);
    put(s, "fake_rows", (double)fake.rows);
    put(s, "features", (double)s->columns);
    if (put_frechet(s, &real, &fake, e) != 0 || put_kernel(s, &real, &fake, e) != 0 ||
        put_neighbours(s, &real, &fake, e) != 0 || put_two_sample(s, &real, &fake, e) != 0 ||
        put_correlations(s, &real, &fake, e) != 0 || put_columns(s, &real, &fake, e) != 0)
        return -1;
    if (s->json) puts("}");
    return ferror(stdout) ? gm_fail_errno(e, "standard output") : 0;
}

static void compare_close(gm_call *call) {
    compare *s = call->state;
    gm_net_free(s->part);
    gm_predictor_free(&s->model);
    gm_schema_free(s->schema);
    free(s->real.x);
    free(s->real.y);
    free(s->fake.x);
    free(s->fake.y);
}

const gm_tool gm_compare_tool = {
    .name = "gm-compare",
    .purpose = "Measures how alike real rows and generated ones are.",
    .synopsis = "[--label COLUMN] [--features MODEL[:LAYER]] [--only NAME,...] [--json] REAL FAKE",
    .options = options,
    .state_size = sizeof(compare),
    .role = GM_ALONE,
    .reads_files = true,
    .blas = gm_blas_text,
    .parallel = true,
    .open = compare_open,
    .access = gm_access_arguments,
    .process = compare_process,
    .close = compare_close,
};
