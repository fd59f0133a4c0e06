/* gm-sample: draws from a trained generator: a stream, CSV, or a picture. */
#include "gm/blas.h"
#include "gm/data.h"
#include "gm/filter.h"
#include "gm/grad.h"
#include "gm/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 256

typedef struct sample {
    const char *path, *label, *png, *shape, *distribution;
    uint64_t rows, seed;
    bool csv, uniform;
    gm_model *model;
    gm_state state;
    gm_schema *schema;
    gm_walk *walk;
    size_t height, width;
    long class; /* of --label, or -1 */
    uint64_t done;
    float *pixels; /* for the PNG: all rows */
    int32_t labels[BATCH];
} sample;

static const gm_option options[] = {
    {"model", 'm', GM_OPTION_TEXT, offsetof(sample, path), "MODEL", "the generator", 0, 0},
    {"rows", 'n', GM_OPTION_U64, offsetof(sample, rows), "ROWS", "rows to draw", 1, 1e15},
    {"seed", 's', GM_OPTION_U64, offsetof(sample, seed), "SEED", "seed of the noise (default 0)", 0, 0},
    {"label", 0, GM_OPTION_TEXT, offsetof(sample, label), "CLASS",
     "draw this class only (a model with `classes` in its INPUT)", 0, 0},
    {"dist", 0, GM_OPTION_TEXT, offsetof(sample, distribution), "NAME", "noise: normal (default) or uniform in (-1, 1)",
     0, 0},
    {"csv", 0, GM_OPTION_FLAG, offsetof(sample, csv), NULL, "write CSV, in the units of the data", 0, 0},
    {"png", 0, GM_OPTION_TEXT, offsetof(sample, png), "FILE", "draw the rows as a grid of grey pictures", 0, 0},
    {"shape", 0, GM_OPTION_TEXT, offsetof(sample, shape), "HxW", "height and width of one picture (IDX data: known)", 0,
     0},
    {NULL, 0, GM_OPTION_FLAG, 0, NULL, NULL, 0, 0}};

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
    if (!gm_multiply((size_t)s->rows, columns, &floats)) return gm_fail(e, "too many rows for a picture");
    s->pixels = gm_new(floats, sizeof(float), e);
    return s->pixels ? 0 : -1;
}

static int sample_label(sample *s, const gm_net *net, gm_error *e) {
    s->class = -1;
    size_t parts = 0;
    for (size_t i = 0; i < net->part_count; i++) {
        if (net->parts[i].kind == GM_PART_FEATURES)
            return gm_fail(e, "%s takes rows of data, not noise: it is no generator", s->path);
        parts += net->parts[i].kind == GM_PART_CLASSES;
    }
    if (parts > 1) return gm_fail(e, "%s: more than one part of its input is `classes`", s->path);
    if (!s->label) return 0;
    if (parts == 0) return gm_fail_usage(e, "--label: %s was not made with `classes` in its INPUT", s->path);
    s->class = s->schema ? gm_schema_class(s->schema, s->label, strlen(s->label)) : -1;
    if (s->class < 0) return gm_fail_usage(e, "--label: '%s' is no class of %s", s->label, s->path);
    return 0;
}

static int sample_open(gm_call *call, gm_error *e) {
    sample *s = call->state;
    if (!s->path) return gm_fail_usage(e, "-m MODEL is missing");
    if (!s->rows) return gm_fail_usage(e, "-n ROWS is missing");
    if (call->argument_count) return gm_fail_usage(e, "unexpected word '%s'", call->arguments[0]);
    if (gm_distribution(s->distribution, &s->uniform, e) != 0) return -1;
    if (s->shape && !s->png) return gm_fail_usage(e, "--shape goes with --png");
    s->model = gm_model_open(s->path, e);
    if (!s->model) return -1;
    const gm_model_spec *spec = gm_model_spec_of(s->model);
    const gm_net *net = spec->net;
    if (spec->schema) s->schema = gm_schema_parse(spec->schema, e);
    if (spec->schema && !s->schema) return gm_fail_within(e, "%s: ", s->path);
    bool encoded = s->schema && s->schema->features == net->outputs;
    if (s->csv && !encoded)
        return gm_fail(e, "--csv: %s does not generate the columns of any data it knows (see gm-init --data)", s->path);
    if (sample_label(s, net, e) != 0 || (s->png && sample_shape(s, net->outputs, e) != 0)) return -1;
    /* every row comes from one step of the model, also while it is trained on */
    s->state.blocks = gm_new(net->block, sizeof(float), e);
    if (!s->state.blocks || gm_model_predictor(s->model, &s->state, e) != 0) return -1;
    s->walk = gm_walk_new(net, gm_model_spec_of(s->model)->seed, e);
    if (!s->walk) return -1;
    if (s->csv || s->png) call->role = GM_ALONE;
    return 0;
}

/* Classes of n rows: --label's, or drawn as often as in the data. */
static void draw_labels(sample *s, size_t n, size_t classes) {
    uint32_t words[BATCH];
    uint64_t known = s->schema && s->schema->class_count == classes ? gm_schema_labelled(s->schema) : 0;
    gm_rng_words((gm_rng){.seed = s->seed, .purpose = GM_PURPOSE_NOISE, .stream = gm_rng_stream("y")}, s->done, n,
                 words);
    for (size_t i = 0; i < n; i++) {
        if (s->class >= 0) {
            s->labels[i] = (int32_t)s->class;
            continue;
        }
        size_t class = 0;
        if (known) {
            uint64_t row = (uint64_t)words[i] * known >> 32;
            while (class + 1 < classes && row >= s->schema->class_rows[class]) row -= s->schema->class_rows[class ++];
        } else {
            class = (size_t)((uint64_t)words[i] * classes >> 32);
        }
        s->labels[i] = (int32_t) class;
    }
}

/* Draws n rows: the noise to tensors z, z1, ... by part, classes to y, the output to x. */
static int draw(sample *s, gm_record *r, size_t n, bool *labelled, float **x, gm_error *e) {
    const gm_model_spec *spec = gm_model_spec_of(s->model);
    const gm_net *net = spec->net;
    gm_input input = {.part_count = net->part_count};
    r->rows = n;
    *labelled = false;
    for (size_t i = 0; i < net->part_count; i++) {
        char name[16] = "z";
        if (i) snprintf(name, sizeof name, "z%zu", i);
        size_t columns = net->parts[i].columns;
        if (net->parts[i].kind == GM_PART_CLASSES) {
            draw_labels(s, n, columns);
            gm_tensor *t = gm_record_put(r, "y", GM_I4, 1, &n, e);
            if (!t) return -1;
            memcpy(t->data, s->labels, n * sizeof *s->labels);
            input.parts[i] = (gm_input_part){.name = "y", .labels = s->labels, .columns = columns};
            *labelled = true;
            continue;
        }
        float *z = gm_record_put_matrix(r, name, n, columns, e);
        if (!z) return -1;
        gm_rng rng = {.seed = s->seed, .purpose = GM_PURPOSE_NOISE, .stream = gm_rng_stream(name)};
        gm_rng_noise(rng, s->uniform, s->done * columns, n * columns, z);
        input.parts[i] = (gm_input_part){.name = "z", .values = z, .columns = columns};
    }
    *x = gm_record_put_matrix(r, "x", n, net->outputs, e);
    if (!*x) return -1;
    return gm_walk_forward(s->walk, s->state.blocks, &input, n, (gm_mode){.training = false}, *x, e);
}

/* Black and white: the scaled range of the data where all columns share one, else what the last activation can reach.
 */
static void grey_range(const sample *s, float *low, float *high) {
    const gm_net *net = gm_model_spec_of(s->model)->net;
    size_t count = (size_t)s->rows * net->outputs;
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

static int write_png(sample *s, gm_error *e) {
    float low, high;
    gm_output out;
    grey_range(s, &low, &high);
    if (gm_output_open(&out, s->png, e) != 0) return -1;
    if (gm_png_grid(out.fd, (size_t)s->rows, s->height, s->width, 0, 0, s->pixels, low, high, e) != 0) {
        gm_output_abandon(&out);
        return gm_fail_within(e, "%s: ", s->png);
    }
    return gm_output_commit(&out, e);
}

static int sample_process(gm_call *call, gm_record *r, gm_error *e) {
    sample *s = call->state;
    uint64_t left = s->rows - s->done;
    if (left == 0) return 0;
    size_t n = left < BATCH ? (size_t)left : BATCH, outputs = gm_model_spec_of(s->model)->net->outputs;
    float *x;
    bool labelled;
    if (draw(s, r, n, &labelled, &x, e) != 0) return -1;
    if (s->csv) {
        if (s->done == 0) gm_decode_header(stdout, s->schema, labelled);
        gm_decode_rows(stdout, s->schema, n, x, labelled ? s->labels : NULL);
        if (ferror(stdout)) return gm_fail_errno(e, "standard output");
    }
    if (s->pixels) memcpy(s->pixels + s->done * outputs, x, n * outputs * sizeof(float));
    s->done += n;
    return 1;
}

static int sample_finish(gm_call *call, gm_error *e) {
    sample *s = call->state;
    return s->png ? write_png(s, e) : 0;
}

static void sample_close(gm_call *call) {
    sample *s = call->state;
    gm_walk_free(s->walk);
    gm_schema_free(s->schema);
    gm_model_close(s->model);
    free(s->state.blocks);
    free(s->pixels);
}

const gm_tool gm_sample_tool = {
    .name = "gm-sample",
    .purpose = "Draws rows from a trained generator: a stream of tensors z and x, CSV, or a picture.",
    .synopsis = "-m MODEL -n ROWS [-s SEED] [--label CLASS] [--csv] [--png FILE [--shape HxW]]",
    .options = options,
    .state_size = sizeof(sample),
    .role = GM_SOURCE,
    .blas = gm_blas_text,
    .open = sample_open,
    .process = sample_process,
    .finish = sample_finish,
    .close = sample_close,
};
