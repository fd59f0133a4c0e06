/* gm-show: models and streams as text. */
#include "gm/data.h"
#include "gm/filter.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct show {
    const char *csv, *png, *shape;
    gm_list tensors; /* of --png */
    bool step, stats, json;
    gm_model *model; /* of a file that is a model */
    int fd;          /* of a file that is a stream, else -1 */
    gm_reader *reader;
    size_t height, width;
    size_t columns; /* of --csv's rows */
    bool drawn, headed;
} show;

static const gm_option options[] = {
    {"step", 0, GM_OPTION_FLAG, offsetof(show, step), NULL, "of a model: only its step", 0, 0},
    {"stats", 0, GM_OPTION_FLAG, offsetof(show, stats), NULL,
     "a line for each tensor: least, largest, mean, deviation, norm", 0, 0},
    {"csv", 0, GM_OPTION_TEXT, offsetof(show, csv), "TENSOR", "the rows of this tensor as CSV", 0, 0},
    {"json", 0, GM_OPTION_FLAG, offsetof(show, json), NULL, "a JSON object for each record, or for the model", 0, 0},
    {"png", 0, GM_OPTION_TEXT, offsetof(show, png), "FILE",
     "draw the first record's tensor x as a grid of grey pictures", 0, 0},
    {"tensor", 0, GM_OPTION_LIST, offsetof(show, tensors), "NAME,...",
     "with --png: this tensor, or several, their pictures of a row side by side", 0, 0},
    {"shape", 0, GM_OPTION_TEXT, offsetof(show, shape), "HxW", "with --png: height and width of one picture", 0, 0},
    {NULL, 0, GM_OPTION_FLAG, 0, NULL, NULL, 0, 0}};

/* A FILE: a model, or else a stream. */
static int show_file(gm_call *call, const char *path, gm_error *e) {
    show *s = call->state;
    call->role = GM_ALONE;
    if (!gm_data_is_stream(path)) {
        s->model = gm_model_open(path, e);
        if (!s->model) return -1;
        if (s->stats || s->csv || s->png)
            return gm_fail_usage(e, "--stats, --csv and --png are for streams: try `gm-save %s | gm-show ...`", path);
        return 0;
    }
    if (s->step) return gm_fail_usage(e, "--step needs a MODEL; %s is a stream", path);
    s->fd = gm_open(path, O_RDONLY);
    if (s->fd < 0) return gm_fail_errno(e, "%s", path);
    s->reader = gm_reader_new(s->fd, path, call->max_tensor, e);
    return s->reader ? 0 : -1;
}

static int show_open(gm_call *call, gm_error *e) {
    show *s = call->state;
    s->fd = -1;
    if (s->stats + s->json + s->step + (s->csv != NULL) + (s->png != NULL) > 1)
        return gm_fail_usage(e, "--step, --stats, --csv, --json and --png exclude each other");
    if (s->png && !s->shape) return gm_fail_usage(e, "--png needs --shape HxW");
    if (!s->png && (s->shape || s->tensors.count)) return gm_fail_usage(e, "--shape and --tensor go with --png");
    if (s->shape && gm_parse_shape(s->shape, &s->height, &s->width) != 0)
        return gm_fail_usage(e, "--shape: '%s' is not HEIGHTxWIDTH, as in 8x8", s->shape);
    if (call->argument_count > 1) return gm_fail_usage(e, "one file at a time: '%s' is too many", call->arguments[1]);
    if (call->argument_count == 1 && call->fused) return gm_fail_usage(e, "a FILE has no place in a pipeline");
    if (call->argument_count == 1) return show_file(call, call->arguments[0], e);
    if (s->step) return gm_fail_usage(e, "--step needs a MODEL");
    return 0;
}

/* ---- models ---- */

static void model_head(const gm_model *m, char *out, size_t size) {
    const gm_model_spec *spec = gm_model_spec_of(m);
    char optim[256];
    const char *source = gm_map_text(spec->schema, "source", NULL);
    snprintf(out, size, "%s  model %s%s%s, step %" PRIu64 ", %s, init %s, seed %" PRIu64, gm_model_path(m), spec->name,
             source ? " of " : "", source ? source : "", gm_model_step(m), gm_optim_text(&spec->optim, optim),
             spec->init, spec->seed);
}

/* How its scores become probabilities, as gm-classify --calibrate found. */
static void show_calibration(const gm_model *m) {
    gm_calibration c = gm_model_calibration(m, gm_model_step(m));
    if (c.kind == GM_PLATT)
        printf("  calibrated: p = sigmoid(%.6g s %c %.6g)", c.slope, c.offset < 0 ? '-' : '+', fabs(c.offset));
    else if (c.kind == GM_TEMPERATURE)
        printf("  calibrated: p = softmax(%.6g s)", c.slope);
    else if (c.rows > 0)
        printf("  calibration is stale: fitted at step %" PRIu64, c.step);
    if (c.rows > 0) printf(", on %" PRIu64 " rows\n", c.rows);
}

/* "0 dense leaky", and the numbers that are trained in it. */
static size_t layer_line(const gm_net *net, size_t i, char name[64]) {
    const gm_layer *l = &net->layers[i];
    size_t numbers = 0;
    for (size_t k = 0; k < net->parameter_count; k++)
        if (net->parameters[k].layer == i && !net->parameters[k].statistic) numbers += net->parameters[k].count;
    switch (l->kind) {
    case GM_DENSE:
        snprintf(name, 64, "%zu dense %s%s", i, gm_activation_text(l->activation), l->spectral ? " spectral" : "");
        break;
    case GM_DROPOUT:
        snprintf(name, 64, "%zu dropout %g", i, l->rate);
        break;
    case GM_RFF:
        snprintf(name, 64, "%zu rff gamma %.4g", i, l->gamma);
        break;
    case GM_GAUSSIAN:
        snprintf(name, 64, "%zu gaussian%s", i, l->labels ? " + classes" : "");
        break;
    case GM_BATCHNORM:
        snprintf(name, 64, "%zu batchnorm", i);
        break;
    case GM_MIXED:
        snprintf(name, 64, "%zu mixed %s %g", i, gm_activation_text(l->activation), l->temperature);
        break;
    }
    return numbers;
}

static int show_model(const gm_model *m, gm_error *e) {
    const gm_net *net = gm_model_spec_of(m)->net;
    char text[1024], input[64] = "input";
    model_head(m, text, sizeof text);
    if (net->pack > 1) snprintf(input, sizeof input, "input, packs of %zu rows", net->pack);
    printf("%s\n  %-24s %8s %12s\n  %-24s %8zu\n", text, "layer", "output", "parameters", input, net->inputs);
    for (size_t i = 0; i < net->layer_count; i++) {
        char name[64];
        size_t numbers = layer_line(net, i, name);
        printf("  %-24s %8zu %12zu\n", name, net->layers[i].units, numbers);
    }
    printf("  %-24s %8s %12zu\n", "total", "", net->numbers);
    if (gm_model_blas(m)[0]) printf("  trained with %s\n", gm_model_blas(m));
    const gm_needs needs = gm_net_needs(net);
    printf("  training takes %.4g MB, and %.3g MB for each row of a batch\n",
           1e-6 * ((double)gm_model_bytes(m) + needs.fixed), 1e-6 * needs.row);
    const uint32_t writer = gm_model_writer_pid(m);
    if (writer) printf("  process %" PRIu32 " trains it now\n", writer);
    show_calibration(m);
    const gm_value *value = gm_model_spec_of(m)->schema;
    if (!value) return 0;
    gm_schema *schema = gm_schema_parse(value, e);
    if (!schema) return gm_fail_within(e, "%s: ", gm_model_path(m));
    gm_schema_describe(stdout, schema);
    gm_schema_free(schema);
    return 0;
}

/* ---- JSON ---- */

static int show_model_json(const gm_model *m, gm_error *e) {
    gm_value *v = gm_model_spec_value(gm_model_spec_of(m), true, e);
    if (!v) return -1;
    if (gm_map_set(v, "step", gm_value_int((int64_t)gm_model_step(m))) != 0 ||
        gm_map_set(v, "parameters", gm_value_int((int64_t)gm_model_spec_of(m)->net->numbers)) != 0) {
        gm_value_free(v);
        return gm_fail(e, "out of memory");
    }
    gm_calibration c = gm_model_calibration(m, gm_model_step(m));
    if (c.kind != GM_UNCALIBRATED && gm_map_set(v, "calibration", gm_calibration_value(&c, e)) != 0) {
        gm_value_free(v);
        return gm_fail(e, "out of memory");
    }
    gm_json_put(stdout, v);
    putchar('\n');
    gm_value_free(v);
    return 0;
}

/* ---- tensors ---- */

typedef struct summary {
    double low, high, mean, deviation, norm;
    size_t odd;
} summary; /* odd: not finite, not counted elsewhere */

static summary summarize(const gm_tensor *t) {
    summary s = {.low = INFINITY, .high = -INFINITY};
    double sum = 0, squares = 0;
    for (size_t i = 0; i < t->count; i++) {
        double x = gm_tensor_at(t, i);
        if (!isfinite(x)) {
            s.odd++;
            continue;
        }
        s.low = x < s.low ? x : s.low;
        s.high = x > s.high ? x : s.high;
        sum += x;
        squares += x * x;
    }
    double n = (double)(t->count - s.odd);
    if (n == 0) return (summary){NAN, NAN, NAN, NAN, NAN, s.odd};
    s.mean = sum / n;
    s.norm = sqrt(squares);
    double variance = squares / n - s.mean * s.mean;
    s.deviation = variance > 0 ? sqrt(variance) : 0;
    return s;
}

static void show_json(const gm_record *r, uint64_t number) {
    printf("{\"record\":%" PRIu64 ",", number);
    if (r->has_step) printf("\"step\":%" PRIu64 ",", r->step);
    printf("\"rows\":%zu,\"tensors\":{", r->rows);
    for (size_t i = 0; i < r->tensor_count; i++) {
        const gm_tensor *t = &r->tensors[i].tensor;
        summary s = summarize(t);
        if (i) putchar(',');
        gm_json_put_text(stdout, r->tensors[i].name);
        printf(":{\"type\":\"%s\",\"shape\":[", gm_type_text(t->type));
        for (unsigned k = 0; k < t->rank; k++) printf("%s%zu", k ? "," : "", t->shape[k]);
        fputs("],\"min\":", stdout);
        gm_json_put_number(stdout, s.low);
        fputs(",\"max\":", stdout);
        gm_json_put_number(stdout, s.high);
        fputs(",\"mean\":", stdout);
        gm_json_put_number(stdout, s.mean);
        printf(",\"not_finite\":%zu}", s.odd);
    }
    fputs("},\"scalars\":{", stdout);
    for (size_t i = 0; i < r->scalar_count; i++) {
        if (i) putchar(',');
        gm_json_put_text(stdout, r->scalars[i].name);
        putchar(':');
        gm_json_put_number(stdout, r->scalars[i].value);
    }
    fputs("},\"info\":", stdout);
    if (r->info)
        gm_json_put(stdout, r->info);
    else
        fputs("{}", stdout);
    fputs("}\n", stdout);
}

/* "record 0  step 7  rows 4   x <f4 4×64 [-1, 1] mean -0.39   y <i4 4   loss/D 0.69" */
static void show_line(const gm_record *r, uint64_t number, bool tensors) {
    printf("record %" PRIu64, number);
    if (r->has_step) printf("  step %" PRIu64, r->step);
    printf("  rows %zu", r->rows);
    for (size_t i = 0; tensors && i < r->tensor_count; i++) {
        const gm_tensor *t = &r->tensors[i].tensor;
        char shape[128];
        printf("   %s %s %s", r->tensors[i].name, gm_type_text(t->type), gm_shape_text(t, shape));
        if (t->type != GM_F4 && t->type != GM_F8) continue;
        summary s = summarize(t);
        if (t->count > s.odd) printf(" [%.3g, %.3g] mean %.3g", s.low, s.high, s.mean);
        if (s.odd) printf(" (%zu not finite)", s.odd);
    }
    for (size_t i = 0; i < r->scalar_count; i++) printf("   %s %.6g", r->scalars[i].name, r->scalars[i].value);
    putchar('\n');
}

static void show_stats(const gm_record *r, uint64_t number) {
    show_line(r, number, false);
    for (size_t i = 0; i < r->tensor_count; i++) {
        const gm_tensor *t = &r->tensors[i].tensor;
        char shape[128];
        summary s = summarize(t);
        int width = 10; /* in bytes: the sign between two numbers has two */
        for (const char *c = gm_shape_text(t, shape); *c; c++) width += (*c & 0xC0) == 0x80;
        printf("  %-20s %s %-*s min %-10.4g max %-10.4g mean %-10.4g deviation %-10.4g norm %-10.4g",
               r->tensors[i].name, gm_type_text(t->type), width, shape, s.low, s.high, s.mean, s.deviation, s.norm);
        if (s.odd) printf(" not finite %zu", s.odd);
        putchar('\n');
    }
}

/* A tensor's rows, whatever the record's are; the header, x_0,x_1,..., before the first record's. */
static int show_csv(show *s, gm_record *r, gm_error *e) {
    const gm_tensor *t = gm_record_tensor(r, s->csv);
    char number[32];
    if (!t) {
        size_t ignored; /* for its message, which lists the tensors that are there */
        return gm_record_matrix(r, s->csv, &ignored, e) ? 0 : -1;
    }
    size_t rows = t->rank ? t->shape[0] : 1, columns = rows ? t->count / rows : 0;
    if (s->headed && columns != s->columns)
        return gm_fail(e, "tensor '%s' has %zu columns here, %zu before", s->csv, columns, s->columns);
    if (!s->headed) {
        s->headed = true;
        s->columns = columns;
        if (t->rank < 2) gm_csv_put(stdout, s->csv, strlen(s->csv));
        for (size_t c = 0; t->rank >= 2 && c < columns; c++) printf("%s%s_%zu", c ? "," : "", s->csv, c);
        putchar('\n');
    }
    for (size_t row = 0; row < rows; row++) {
        for (size_t c = 0; c < columns; c++) {
            double x = gm_tensor_at(t, row * columns + c);
            printf("%s%s", c ? "," : "", t->type == GM_F4 ? gm_format_f32((float)x, number) : gm_format_f64(x, number));
        }
        putchar('\n');
    }
    return 0;
}

/* The rows of `count` tensors by turns: row 0 of each, row 1 of each, ...; their least and largest number. */
static int gather_pictures(const show *s, gm_record *r, char *const *names, size_t count, float *pictures, summary *all,
                           gm_error *e) {
    size_t columns, pixels = s->height * s->width;
    *all = (summary){.low = INFINITY, .high = -INFINITY};
    for (size_t i = 0; i < count; i++) {
        const float *x = gm_record_finite(r, names[i], &columns, e);
        if (!x) return -1;
        if (columns != pixels)
            return gm_fail(e, "tensor '%s' has %zu columns, --shape %s has %zu", names[i], columns, s->shape, pixels);
        for (size_t row = 0; row < r->rows; row++)
            memcpy(pictures + (row * count + i) * pixels, x + row * pixels, pixels * sizeof *x);
        summary range = summarize(gm_record_tensor(r, names[i]));
        all->low = range.low < all->low ? range.low : all->low;
        all->high = range.high > all->high ? range.high : all->high;
    }
    return 0;
}

/* Pictures side by side, about as many as there are rows of them; what belongs together stays together. */
static size_t side_by_side(size_t rows, size_t count) {
    size_t groups = (size_t)ceil(sqrt((double)rows / (double)count));
    return (groups ? groups : 1) * count;
}

static int show_png(show *s, gm_record *r, gm_error *e) {
    static char *const x[] = {"x"};
    char *const *names = s->tensors.count ? s->tensors.items : x;
    size_t count = s->tensors.count ? s->tensors.count : 1, pictures, floats;
    summary range;
    gm_output out;
    if (s->drawn) return 0;
    s->drawn = true;
    if (!gm_multiply(r->rows, count, &pictures) || !gm_multiply(pictures, s->height * s->width, &floats))
        return gm_fail(e, "too many rows for a picture");
    float *pixels = gm_new(floats, sizeof(float), e);
    if (!pixels || gather_pictures(s, r, names, count, pixels, &range, e) != 0 ||
        gm_output_open(&out, s->png, e) != 0) {
        free(pixels);
        return -1;
    }
    float low = (float)range.low, high = range.high > range.low ? (float)range.high : low + 1;
    int status =
        gm_png_grid(out.fd, pictures, s->height, s->width, side_by_side(r->rows, count), 0, pixels, low, high, e);
    free(pixels);
    if (status == 0) return gm_output_commit(&out, e);
    gm_output_abandon(&out);
    return gm_fail_within(e, "%s: ", s->png);
}

static int show_process(gm_call *call, gm_record *r, gm_error *e) {
    show *s = call->state;
    if (s->model) {
        if (s->json) return show_model_json(s->model, e);
        if (!s->step) return show_model(s->model, e);
        printf("%" PRIu64 "\n", gm_model_step(s->model));
        return 0;
    }
    if (s->reader) {
        int got = gm_reader_next(s->reader, r, e);
        if (got <= 0) return got;
    }
    if (s->csv && show_csv(s, r, e) != 0) return -1;
    if (s->png && show_png(s, r, e) != 0) return -1;
    if (s->json)
        show_json(r, call->records);
    else if (s->stats)
        show_stats(r, call->records);
    else if (!s->csv && !s->png)
        show_line(r, call->records, true);
    /* a watcher of a running pipeline sees each record at once */
    if (fflush(stdout) != 0) return gm_fail_errno(e, "standard output");
    return 1;
}

static int show_finish(gm_call *call, gm_error *e) {
    const show *s = call->state;
    if (s->png && !s->drawn) return gm_fail(e, "the stream held no record to draw");
    return 0;
}

static void show_close(gm_call *call) {
    show *s = call->state;
    gm_reader_free(s->reader);
    if (s->fd >= 0) close(s->fd);
    gm_model_close(s->model);
}

static void show_access(const gm_call *call, gm_access *a) {
    const show *s = call->state;
    gm_access_write(a, s->png);
}

const gm_tool gm_show_tool = {
    .name = "gm-show",
    .purpose = "Shows a model as a table of its layers, a stream as a line for each record.",
    .synopsis =
        "[--stats | --csv TENSOR | --json | --png FILE --shape HxW] [FILE]\n       gm-show [--step | --json] MODEL",
    .options = options,
    .state_size = sizeof(show),
    .role = GM_SINK,
    .open = show_open,
    .access = show_access,
    .process = show_process,
    .finish = show_finish,
    .close = show_close,
};
