/* gm-sample: draws from a trained generator: a stream, CSV, or a picture. */
#include "gm/belt.h"
#include "gm/blas.h"
#include "gm/data.h"
#include "gm/filter.h"
#include "gm/grad.h"
#include "gm/ops.h"
#include "gm/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 256

/* Rows that are drawn together. */
typedef struct drawing {
    size_t at;      /* the model that draws them */
    uint64_t first; /* of its rows */
    size_t rows;
    float *ends;   /* the two ends of an interpolation */
    float *normal; /* [BATCH, 2 columns]: means and log variances, where the outputs are these; else NULL */
    int32_t labels[BATCH];
    gm_text csv;
} drawing;

typedef struct sample {
    gm_list paths;
    const char *label, *png, *shape, *distribution;
    uint64_t rows, seed;
    size_t between;
    bool csv, each_class, uniform;
    gm_predictor *models;
    size_t model_count;
    gm_schema *schema;
    gm_net **decoders;             /* of each model the layers behind its gaussian one, or NULL */
    gm_team **teams;               /* of models that draw: the others' are NULL */
    size_t columns;                /* of a row that is drawn */
    size_t height, width, classes; /* classes: columns of the input's part of that kind, or 0 */
    long class;                    /* of --label, or -1 */
    uint64_t total;                /* rows of one model */
    size_t at;                     /* the model that draws next */
    uint64_t done;                 /* its rows that were begun */
    float *pixels;                 /* for the PNG: all rows */
    drawing *drawings;
    size_t drawing_count;
} sample;

static const gm_option options[] = {
    {"model", 'm', GM_OPTION_LIST, offsetof(sample, paths), "MODEL,...",
     "the generator, or a checkpoint of it; several: a row of the picture for each", 0, 0},
    {"rows", 'n', GM_OPTION_U64, offsetof(sample, rows), "ROWS", "rows to draw", 1, 1e15},
    {"seed", 's', GM_OPTION_U64, offsetof(sample, seed), "SEED", "seed of the noise (default 0)", 0, 0},
    {"label", 0, GM_OPTION_TEXT, offsetof(sample, label), "CLASS",
     "draw this class only (a model with `classes` in its INPUT)", 0, 0},
    {"each-class", 0, GM_OPTION_FLAG, offsetof(sample, each_class), NULL,
     "draw ROWS rows of each class, class after class", 0, 0},
    {"between", 0, GM_OPTION_SIZE, offsetof(sample, between), "N",
     "draw ROWS times N rows, from one point of noise to another in N steps", 2, 1e6},
    {"dist", 0, GM_OPTION_TEXT, offsetof(sample, distribution), "NAME", "noise: normal (default) or uniform in (-1, 1)",
     0, 0},
    {"csv", 0, GM_OPTION_FLAG, offsetof(sample, csv), NULL, "write CSV, in the units of the data", 0, 0},
    {"png", 0, GM_OPTION_TEXT, offsetof(sample, png), "FILE", "draw the rows as a grid of grey pictures", 0, 0},
    {"shape", 0, GM_OPTION_TEXT, offsetof(sample, shape), "HxW", "height and width of one picture (IDX data: known)", 0,
     0},
    {NULL, 0, GM_OPTION_FLAG, 0, NULL, NULL, 0, 0}};

/* What noise goes through: the whole network, or a VAE's decoder. */
static const gm_net *generator(const sample *s, size_t i) {
    return s->decoders[i] ? s->decoders[i] : s->models[i].spec->net;
}

/* --shape or the data's own, and that it fits the columns. */
static int sample_shape(sample *s, size_t columns, gm_error *e) {
    if (s->schema) {
        s->height = s->schema->height;
        s->width = s->schema->width;
    }
    if (s->shape && gm_parse_shape(s->shape, &s->height, &s->width) != 0)
        return gm_fail_usage(e, "--shape: '%s' is not HEIGHTxWIDTH, as in 8x8", s->shape);
    if (s->height == 0)
        return gm_fail_usage(e, "--shape HxW is needed: the model does not know how to draw %zu columns", columns);
    size_t pixels;
    if (!gm_multiply(s->height, s->width, &pixels) || pixels != columns)
        return gm_fail_usage(e, "--shape: %zux%zu is not the model's %zu columns", s->height, s->width, columns);
    size_t floats;
    if (!gm_multiply((size_t)s->total, columns, &floats) || !gm_multiply(floats, s->model_count, &floats))
        return gm_fail(e, "too many rows for a picture");
    s->pixels = gm_new(floats, sizeof(float), e);
    return s->pixels ? 0 : -1;
}

static int sample_label(sample *s, const gm_net *net, gm_error *e) {
    const char *path = s->paths.items[0];
    s->class = -1;
    for (size_t i = 0; i < net->part_count; i++) {
        if (net->parts[i].kind == GM_PART_FEATURES)
            return gm_fail(e, "%s takes rows of data, not noise: it is no generator", path);
        if (net->parts[i].kind != GM_PART_CLASSES) continue;
        if (s->classes) return gm_fail(e, "%s: more than one part of its input is `classes`", path);
        s->classes = net->parts[i].columns;
    }
    if (s->label && s->each_class) return gm_fail_usage(e, "--label and --each-class exclude each other");
    if ((s->label || s->each_class) && !s->classes)
        return gm_fail_usage(e, "--%s: %s was not made with `classes` in its INPUT", s->label ? "label" : "each-class",
                             path);
    if (!s->label) return 0;
    s->class = s->schema ? gm_schema_class(s->schema, s->label, strlen(s->label)) : -1;
    if (s->class < 0) return gm_fail_usage(e, "--label: '%s' is no class of %s", s->label, path);
    return 0;
}

/* A VAE is sampled from its gaussian layer on. */
static int cut_decoder(sample *s, size_t i, gm_error *e) {
    const gm_net *net = s->models[i].spec->net;
    long latent = gm_net_latent(net);
    if (latent < 0) return 0;
    size_t first = (size_t)latent + 1;
    if (first == net->layer_count)
        return gm_fail(e, "%s ends with its gaussian layer: it is an encoder; its decoder is what is sampled from",
                       s->paths.items[i]);
    s->decoders[i] = gm_net_cut(net, first, net->layer_count - first, e);
    return s->decoders[i] ? 0 : -1;
}

/* Every row comes from one step of its model, also while it is trained on. */
static int sample_models(sample *s, gm_error *e) {
    char first[512], other[512];
    s->models = gm_new_zeroed(s->paths.count, sizeof *s->models, e);
    s->decoders = gm_new_zeroed(s->paths.count, sizeof *s->decoders, e);
    s->teams = gm_new_zeroed(s->paths.count, sizeof *s->teams, e);
    if (!s->models || !s->decoders || !s->teams) return -1;
    for (; s->model_count < s->paths.count; s->model_count++) {
        gm_predictor *p = &s->models[s->model_count];
        const char *path = s->paths.items[s->model_count];
        if (gm_predictor_load(p, path, e) != 0 || gm_refuse_packs(p->spec->net, path, e) != 0 ||
            cut_decoder(s, s->model_count, e) != 0) {
            gm_predictor_free(p);
            return -1;
        }
    }
    const gm_net *net = generator(s, 0);
    for (size_t i = 1; i < s->model_count; i++) {
        const gm_net *twin = generator(s, i);
        if (twin->outputs == net->outputs && gm_net_input_text(net, first, sizeof first) &&
            gm_net_input_text(twin, other, sizeof other) && strcmp(first, other) == 0)
            continue;
        return gm_fail(e, "%s has another input or other outputs than %s", s->paths.items[i], s->paths.items[0]);
    }
    return 0;
}

/* Rows of one model: ROWS of each class, N of each pair of points. */
static int sample_count(sample *s, gm_error *e) {
    size_t total = (size_t)s->rows;
    bool fits = !s->each_class || gm_multiply(total, s->classes, &total);
    fits = fits && (!s->between || gm_multiply(total, s->between, &total));
    s->total = total;
    return fits ? 0 : gm_fail(e, "too many rows");
}

/* What a row is: the outputs, or, where these are twice what the data have, a normal variable for each of the first
 * half. */
static void sample_columns(sample *s, const gm_net *net) {
    bool normal = s->schema && net->outputs == 2 * s->schema->features;
    s->columns = normal ? s->schema->features : net->outputs;
}

/* For the model whose turn it is. */
static int open_team(sample *s, size_t workers, gm_error *e) {
    const gm_predictor *p = &s->models[s->at];
    s->teams[s->at] = gm_team_new(generator(s, s->at), p->spec->seed, p->params, workers, e);
    return s->teams[s->at] ? 0 : -1;
}

static int open_drawings(sample *s, size_t count, gm_error *e) {
    const gm_net *net = generator(s, 0);
    s->drawings = gm_new_zeroed(count, sizeof *s->drawings, e);
    while (s->drawings && s->drawing_count < count) {
        drawing *d = &s->drawings[s->drawing_count++];
        if (net->outputs != s->columns && !(d->normal = gm_new(BATCH * net->outputs, sizeof(float), e))) return -1;
        if (s->between && !(d->ends = gm_new(2 * net->inputs, sizeof(float), e))) return -1;
        if (s->csv && gm_text_open(&d->csv, e) != 0) return -1;
    }
    return s->drawings ? 0 : -1;
}

static int sample_open(gm_call *call, gm_error *e) {
    sample *s = call->state;
    if (!s->paths.count) return gm_fail_usage(e, "-m MODEL is missing");
    if (!s->rows) return gm_fail_usage(e, "-n ROWS is missing");
    if (call->argument_count) return gm_fail_usage(e, "unexpected word '%s'", call->arguments[0]);
    if (gm_distribution(s->distribution, &s->uniform, e) != 0) return -1;
    if (s->shape && !s->png) return gm_fail_usage(e, "--shape goes with --png");
    if (s->paths.count > 1 && (s->csv || !s->png)) return gm_fail_usage(e, "several models go with --png only");
    if (sample_models(s, e) != 0) return -1;
    const gm_model_spec *spec = s->models[0].spec;
    const gm_net *net = generator(s, 0);
    if (spec->schema) s->schema = gm_schema_parse(spec->schema, e);
    if (spec->schema && !s->schema) return gm_fail_within(e, "%s: ", s->paths.items[0]);
    sample_columns(s, net);
    bool encoded = s->schema && s->schema->features == s->columns;
    if (s->csv && !encoded)
        return gm_fail(e, "--csv: %s does not generate the columns of any data it knows (see gm-init --data)",
                       s->paths.items[0]);
    if (sample_label(s, net, e) != 0 || sample_count(s, e) != 0 || (s->png && sample_shape(s, s->columns, e) != 0))
        return -1;
    call->workers = call->fused ? 1 : call->threads;
    for (size_t i = 0; i < s->model_count; i++) call->workers = gm_team_size(generator(s, i), call->workers);
    if (open_team(s, call->workers, e) != 0 || open_drawings(s, GM_BELT_SLOTS(call->workers), e) != 0) return -1;
    if (s->csv || s->png) call->role = GM_ALONE;
    return 0;
}

/* ---- noise and classes ---- */

/* Rows of an interpolation share what is drawn once for it. */
static uint64_t point_of(const sample *s, uint64_t row) {
    return s->between ? row / s->between : row;
}

/* A class as often as in the data, or, if they are not known, each as often as any other. */
static size_t draw_class(const sample *s, uint32_t word) {
    uint64_t known = s->schema && s->schema->class_count == s->classes ? gm_schema_labelled(s->schema) : 0;
    if (!known) return (size_t)((uint64_t)word * s->classes >> 32);
    uint64_t row = (uint64_t)word * known >> 32;
    size_t class = 0;
    while (class + 1 < s->classes && row >= s->schema->class_rows[class]) row -= s->schema->class_rows[class ++];
    return class;
}

/* Classes of the rows: --label's, each in its turn, or drawn. */
static void draw_labels(const sample *s, drawing *d) {
    uint32_t words[BATCH];
    uint64_t first = point_of(s, d->first);
    gm_rng_words((gm_rng){.seed = s->seed, .purpose = GM_PURPOSE_NOISE, .stream = gm_rng_stream("y")}, first,
                 (size_t)(point_of(s, d->first + d->rows - 1) - first + 1), words);
    for (size_t i = 0; i < d->rows; i++) {
        uint64_t point = point_of(s, d->first + i);
        d->labels[i] = s->class >= 0   ? (int32_t)s->class
                       : s->each_class ? (int32_t)(point / s->rows)
                                       : (int32_t)draw_class(s, words[point - first]);
    }
}

/* The point at `part` of the way from a to b: on the great circle through them, sin((1 - part) t) / sin(t) a +
 * sin(part t) / sin(t) b with t the angle between them (White 2016), where normal noise has its mass; on the line
 * between them for uniform noise, which fills a cube, and where the angle is 0 or a half turn. */
static void interpolate(bool uniform, double part, size_t n, const float *a, const float *b, float *out) {
    double aa = 0, bb = 0, ab = 0;
    for (size_t i = 0; i < n; i++) {
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
        ab += (double)a[i] * (double)b[i];
    }
    double cosine = aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 1, of_a = 1 - part, of_b = part;
    if (!uniform && fabs(cosine) < 1 - 1e-9) {
        double angle = acos(cosine), sine = sin(angle);
        of_a = sin((1 - part) * angle) / sine;
        of_b = sin(part * angle) / sine;
    }
    for (size_t i = 0; i < n; i++) out[i] = (float)(of_a * (double)a[i] + of_b * (double)b[i]);
}

/* Noise for one part of the input: row after row, or between rows 2i and 2i + 1. */
static void draw_noise(const sample *s, const drawing *d, const char *name, size_t columns, float *z) {
    gm_rng rng = {.seed = s->seed, .purpose = GM_PURPOSE_NOISE, .stream = gm_rng_stream(name)};
    if (!s->between) {
        gm_rng_noise(rng, s->uniform, d->first * columns, d->rows * columns, z);
        return;
    }
    for (size_t i = 0; i < d->rows; i++) {
        uint64_t row = d->first + i;
        double part = (double)(row % s->between) / (double)(s->between - 1);
        gm_rng_noise(rng, s->uniform, 2 * point_of(s, row) * columns, 2 * columns, d->ends);
        interpolate(s->uniform, part, columns, d->ends, d->ends + columns, z + i * columns);
    }
}

/* Rows from their means and log variances: m + exp(s / 2) e. Between two points the means alone show the way. */
static void draw_normal(const sample *s, const drawing *d, float *x) {
    size_t columns = s->columns;
    gm_rng rng = {.seed = s->seed, .purpose = GM_PURPOSE_NOISE, .stream = gm_rng_stream("x")};
    gm_rng_normal(rng, d->first * columns, d->rows * columns, x);
    for (size_t i = 0; i < d->rows; i++, x += columns) {
        const float *mean = d->normal + i * 2 * columns;
        float *deviation = d->normal + (i * 2 + 1) * columns;
        for (size_t j = 0; j < columns; j++) deviation[j] *= 0.5f;
        gm_exp(columns, deviation, deviation);
        for (size_t j = 0; j < columns; j++) x[j] = s->between ? mean[j] : mean[j] + deviation[j] * x[j];
    }
}

/* Draws the rows: the noise to tensors z, z1, ... by part, classes to y, the output to x. */
static int draw(const sample *s, drawing *d, size_t worker, gm_record *r, float **x, gm_error *e) {
    const gm_net *net = generator(s, d->at);
    gm_input input = {.part_count = net->part_count};
    r->rows = d->rows;
    for (size_t i = 0; i < net->part_count; i++) {
        char name[16] = "z";
        if (i) snprintf(name, sizeof name, "z%zu", i);
        size_t columns = net->parts[i].columns;
        if (net->parts[i].kind == GM_PART_CLASSES) {
            draw_labels(s, d);
            gm_tensor *t = gm_record_put(r, "y", GM_I4, 1, &d->rows, e);
            if (!t) return -1;
            memcpy(t->data, d->labels, d->rows * sizeof *d->labels);
            input.parts[i] = (gm_input_part){.name = "y", .labels = d->labels, .columns = columns};
            continue;
        }
        float *z = gm_record_put_matrix(r, name, d->rows, columns, e);
        if (!z) return -1;
        draw_noise(s, d, name, columns, z);
        input.parts[i] = (gm_input_part){.name = "z", .values = z, .columns = columns};
    }
    *x = gm_record_put_matrix(r, "x", d->rows, s->columns, e);
    if (!*x) return -1;
    gm_walk *walk = s->teams[d->at]->walks[worker];
    gm_mode mode = {.drawing = true, .seed = s->seed, .step = d->first / BATCH};
    float *out = d->normal ? d->normal : *x;
    if (gm_walk_forward(walk, s->models[d->at].params, &input, d->rows, mode, out, e) != 0) return -1;
    if (d->normal) draw_normal(s, d, *x);
    return 0;
}

/* ---- pictures ---- */

/* Black and white: the scaled range of the data where all columns share one, else what the last activation can reach.
 */
static void grey_range(const sample *s, float *low, float *high) {
    const gm_net *net = generator(s, 0);
    size_t count = s->model_count * (size_t)s->total * s->columns;
    gm_activation last = net->layers[net->layer_count - 1].activation;
    *low = last == GM_TANH ? -1 : 0;
    *high = 1;
    if (s->schema && s->schema->scale.kind == GM_SCALE_RANGE) {
        *low = (float)s->schema->scale.low;
        *high = (float)s->schema->scale.high;
    } else if (last != GM_TANH && last != GM_SIGMOID) {
        *low = *high = s->pixels[0];
        for (size_t i = 1; i < count; i++) {
            *low = s->pixels[i] < *low ? s->pixels[i] : *low;
            *high = s->pixels[i] > *high ? s->pixels[i] : *high;
        }
    }
    if (!(*low < *high)) *high = *low + 1;
}

/* A row of pictures for each model, interpolation or class; else a square. */
static int write_png(sample *s, gm_error *e) {
    float low, high;
    gm_output out;
    size_t rows = s->model_count * (size_t)s->total;
    size_t columns = s->model_count > 1 ? (size_t)s->total
                     : s->between       ? s->between
                     : s->each_class    ? (size_t)s->rows
                                        : 0;
    grey_range(s, &low, &high);
    if (gm_output_open(&out, s->png, e) != 0) return -1;
    if (gm_png_grid(out.fd, rows, s->height, s->width, columns, 0, s->pixels, low, high, e) != 0) {
        gm_output_abandon(&out);
        return gm_fail_within(e, "%s: ", s->png);
    }
    return gm_output_commit(&out, e);
}

/* ---- items: up to BATCH rows of one model ---- */

static int sample_take(gm_call *call, const gm_item *item, gm_error *e) {
    sample *s = call->state;
    if (s->done == s->total) {
        if (s->at + 1 == s->model_count) return 0;
        s->at++;
        s->done = 0;
        if (open_team(s, call->workers, e) != 0) return -1;
    }
    drawing *d = &s->drawings[item->slot];
    uint64_t left = s->total - s->done;
    d->at = s->at;
    d->first = s->done;
    d->rows = left < BATCH ? (size_t)left : BATCH;
    s->done += d->rows;
    return 1;
}

static int sample_work(gm_call *call, const gm_item *item, gm_error *e) {
    const sample *s = call->state;
    drawing *d = &s->drawings[item->slot];
    float *x;
    if (draw(s, d, item->worker, item->record, &x, e) != 0) return -1;
    if (s->csv && d->first == 0) gm_decode_header(d->csv.f, s->schema, s->classes > 0);
    if (s->csv) gm_decode_rows(d->csv.f, s->schema, d->rows, x, s->classes ? d->labels : NULL);
    if (s->pixels)
        memcpy(s->pixels + (d->at * s->total + d->first) * s->columns, x, d->rows * s->columns * sizeof(float));
    return 0;
}

static int sample_give(gm_call *call, const gm_item *item, gm_error *e) {
    sample *s = call->state;
    drawing *d = &s->drawings[item->slot];
    if (d->first + d->rows == s->total) {
        gm_team_free(s->teams[d->at]);
        s->teams[d->at] = NULL;
    }
    return s->csv ? gm_text_put(&d->csv, e) : 0;
}

static int sample_finish(gm_call *call, gm_error *e) {
    sample *s = call->state;
    return s->png ? write_png(s, e) : 0;
}

static void sample_close(gm_call *call) {
    sample *s = call->state;
    gm_schema_free(s->schema);
    for (size_t i = 0; i < s->model_count; i++) {
        gm_team_free(s->teams[i]);
        gm_predictor_free(&s->models[i]);
        gm_net_free(s->decoders[i]);
    }
    for (size_t i = 0; i < s->drawing_count; i++) {
        gm_text_close(&s->drawings[i].csv);
        free(s->drawings[i].ends);
        free(s->drawings[i].normal);
    }
    free(s->drawings);
    free(s->models);
    free(s->decoders);
    free(s->teams);
    free(s->pixels);
}

static void sample_access(const gm_call *call, gm_access *a) {
    const sample *s = call->state;
    gm_access_write(a, s->png);
}

const gm_tool gm_sample_tool = {
    .name = "gm-sample",
    .purpose = "Draws rows from a trained generator: a stream of tensors z and x, CSV, or a picture.",
    .synopsis =
        "-m MODEL -n ROWS [-s SEED] [--label CLASS | --each-class] [--between N] [--csv] [--png FILE [--shape HxW]]",
    .options = options,
    .state_size = sizeof(sample),
    .role = GM_SOURCE,
    .blas = gm_blas_text,
    .parallel = true,
    .open = sample_open,
    .access = sample_access,
    .take = sample_take,
    .work = sample_work,
    .give = sample_give,
    .finish = sample_finish,
    .close = sample_close,
};
