/* gradients_test.c: values and gradients of gm_walk against a twin that knows nothing of it.
 *
 * The twin is plain loops and libm in double precision. The derivative it is asked for is the central difference of its
 * loss, (f(p + h) - f(p - h)) / 2h with h = 1e-5 (1 + |p|): about nine digits. gm_walk works in floats, so numbers a
 * and b are taken for equal if |a - b| <= 1e-4 max(|a|, |b|) + 5e-6 M,   M the largest |gradient| in that tensor: one
 * part in 10000, and for numbers that are small by cancellation the rounding of the sum's larger terms (M stands for
 * these; 5e-6 is about 40 float roundings). Kinks (relu and hinge at 0) are avoided by the seeds.
 */
#include "../unit/check.h"

#include "gm/grad.h"
#include "gm/rng.h"
#include "gm/threads.h"

#include <stdlib.h>

#define LAYERS 6
#define ROWS 130
#define WIDTH 16 /* units of any layer */

/* ---- numbers ---- */

static uint64_t state;

static double uniform(void) { /* in (-1, 1) */
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return ((double)(state >> 40) + 0.5) / (1 << 23) - 1.0;
}

/* ---- what is tried ----
 * The names of a loss's tensors say what they hold: inputs are numbers, or class numbers if they begin with k; targets
 * are y: class numbers (yw: with class weights), p: [rows, outputs], q: [rows, 1]. */

typedef struct trial {
    const char *input;
    const char *layers[LAYERS + 1];
    const char *loss; /* NULL: a cotangent from above */
    size_t rows;
    bool training;
} trial;

static const float class_weights[] = {0.5F, 2, 1.25F};

typedef struct bench {
    gm_net *net;
    gm_loss loss;
    size_t operands, rows;
    bool weighted;
    gm_mode mode;
    float *params, *gradient;
    float values[GM_OPERANDS_MAX][GM_PARTS_MAX][ROWS * WIDTH];
    int32_t labels[GM_OPERANDS_MAX][GM_PARTS_MAX][ROWS];
    gm_input inputs[GM_OPERANDS_MAX];
    float input_gradients[GM_OPERANDS_MAX][ROWS * WIDTH];
    float target_values[GM_TERMS_MAX][ROWS * WIDTH];
    int32_t target_labels[GM_TERMS_MAX][ROWS];
    gm_target targets[GM_TERMS_MAX];
    float cotangent[ROWS * WIDTH];
    /* the twin's */
    double *p;
    double x[GM_OPERANDS_MAX][ROWS * WIDTH];
} bench;

static void fill_input(bench *b, size_t o) {
    gm_input *input = &b->inputs[o];
    input->part_count = b->net->part_count;
    for (size_t i = 0, at = 0; i < input->part_count; at += b->net->parts[i++].columns) {
        gm_input_part *part = &input->parts[i];
        part->name = b->operands && b->loss.operand_count ? b->loss.operands[o].names[i] : "x";
        part->columns = b->net->parts[i].columns;
        bool labels = part->name[0] == 'k';
        for (size_t row = 0; row < b->rows; row++) {
            b->labels[o][i][row] = (int32_t)((row * 7 + o) % part->columns);
            for (size_t j = 0; j < part->columns; j++) {
                float v = (float)(1.5 * uniform());
                b->values[o][i][row * part->columns + j] = v;
                b->x[o][row * b->net->inputs + at + j] = labels ? j == (size_t)b->labels[o][i][row] : (double)v;
            }
        }
        if (labels)
            part->labels = b->labels[o][i];
        else
            part->values = b->values[o][i];
    }
}

/* A target that the kind of term allows. */
static float target_number(gm_term_kind kind) {
    double u = uniform();
    if (kind == GM_BCE || kind == GM_CE) return (float)(0.5 + 0.5 * u);
    if (kind == GM_HINGE || kind == GM_SQHINGE) return u < 0 ? -1.0f : 1.0f;
    return (float)u;
}

static void fill_target(bench *b, size_t i) {
    const gm_term *term = &b->loss.terms[i];
    gm_target *t = &b->targets[i];
    if (!term->named) return;
    t->columns = term->target[0] == 'p' ? b->net->outputs : 1;
    size_t classes = b->net->outputs > 1 ? b->net->outputs : 2;
    for (size_t j = 0; j < b->rows; j++) b->target_labels[i][j] = (int32_t)((j * 5 + 1 + j / 3) % classes);
    for (size_t j = 0; j < b->rows * t->columns; j++) b->target_values[i][j] = target_number(term->kind);
    if (term->target[0] == 'y')
        t->labels = b->target_labels[i];
    else
        t->values = b->target_values[i];
}

static bench *open_bench(const trial *t) {
    gm_error e;
    bench *b = calloc(1, sizeof *b);
    if (!b) exit(1);
    size_t layers = 0;
    while (t->layers[layers]) layers++;
    b->net = gm_net_parse(t->input, t->layers, layers, (gm_words){.features = 5, .classes = 3}, &e);
    if (t->loss && gm_loss_parse(t->loss, &b->loss, &e) < 0) printf("# %s\n", e.text);
    b->operands = t->loss ? b->loss.operand_count : 1;
    b->rows = t->rows;
    b->weighted = t->loss && strstr(t->loss, "yw");
    b->mode = (gm_mode){.training = t->training, .seed = 11, .step = 41};
    b->params = calloc(b->net->block, sizeof *b->params);
    b->gradient = malloc(b->net->block * sizeof *b->gradient);
    b->p = calloc(b->net->block, sizeof *b->p);
    state = 20240 + t->rows;
    for (size_t i = 0; i < b->net->parameter_count; i++)
        for (size_t j = 0; j < b->net->parameters[i].count; j++)
            b->params[b->net->parameters[i].offset + j] = (float)(0.8 * uniform());
    for (size_t i = 0; i < b->net->block; i++) b->p[i] = (double)b->params[i];
    for (size_t o = 0; o < b->operands; o++) fill_input(b, o);
    for (size_t i = 0; i < b->loss.term_count; i++) fill_target(b, i);
    for (size_t i = 0; i < b->rows * b->net->outputs; i++) b->cotangent[i] = (float)uniform();
    return b;
}

static void close_bench(bench *b) {
    gm_net_free(b->net);
    free(b->params);
    free(b->gradient);
    free(b->p);
    free(b);
}

/* ---- the twin ---- */

static double twin_activation(gm_activation a, double v) {
    switch (a) {
    case GM_RELU:
        return v > 0 ? v : 0;
    case GM_LEAKY:
        return v > 0 ? v : 0.2 * v;
    case GM_TANH:
        return tanh(v);
    case GM_SIGMOID:
        return 1 / (1 + exp(-v));
    case GM_ELU:
        return v > 0 ? v : expm1(v);
    case GM_GELU:
        return 0.5 * v * (1 + erf(v / sqrt(2.0)));
    case GM_SOFTPLUS:
        return v > 0 ? v + log1p(exp(-v)) : log1p(exp(v));
    default:
        return v;
    }
}

static void twin_softmax(size_t n, double *v) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += exp(v[i]);
    for (size_t i = 0; i < n; i++) v[i] = exp(v[i]) / sum;
}

static double twin_dropout(const bench *b, size_t l, size_t number, double rate) {
    float u;
    gm_rng rng = {.seed = b->mode.seed, .purpose = GM_PURPOSE_DROPOUT, .stream = (uint32_t)l, .step = b->mode.step};
    if (!b->mode.training) return 1;
    gm_rng_uniform(rng, number, 1, &u);
    return (double)u < (double)(float)rate ? 0 : 1 / (1 - rate);
}

/* Unit j of random Fourier features: sqrt(2 / D) cos(w x + b), w normal of variance 2 gamma, b uniform in (0, 2 pi). */
static double twin_fourier(const bench *b, size_t l, size_t j, const double *x) {
    const gm_layer *layer = &b->net->layers[l];
    const double pi = 3.14159265358979324;
    float w, u;
    gm_rng rng = {.seed = b->mode.seed, .purpose = GM_PURPOSE_RFF, .stream = (uint32_t)l, .step = 1};
    gm_rng_uniform(rng, j, 1, &u);
    rng.step = 0;
    double v = 2 * pi * (double)u;
    for (size_t i = 0; i < layer->inputs; i++) {
        gm_rng_normal(rng, i * layer->units + j, 1, &w);
        v += x[i] * (double)w * sqrt(2 * layer->gamma);
    }
    return sqrt(2 / (double)layer->units) * cos(v);
}

/* Row `row` of operand o through the network: outputs and logits. */
static void twin_forward(const bench *b, size_t o, size_t row, double *out, double *logits) {
    const gm_net *net = b->net;
    double x[WIDTH] = {0}, v[WIDTH];
    for (size_t i = 0; i < net->inputs; i++) x[i] = b->x[o][row * net->inputs + i];
    for (size_t l = 0; l < net->layer_count; l++) {
        const gm_layer *layer = &net->layers[l];
        for (size_t j = 0; j < layer->units; j++) {
            if (layer->kind == GM_DROPOUT) {
                v[j] = x[j] * twin_dropout(b, l, (o * b->rows + row) * layer->units + j, layer->rate);
                continue;
            }
            if (layer->kind == GM_RFF) {
                v[j] = twin_fourier(b, l, j, x);
                continue;
            }
            v[j] = b->p[net->parameters[layer->biases].offset + j];
            for (size_t i = 0; i < layer->inputs; i++)
                v[j] += x[i] * b->p[net->parameters[layer->weights].offset + i * layer->units + j];
            logits[j] = v[j];
        }
        for (size_t j = 0; j < layer->units; j++)
            x[j] = layer->kind == GM_DENSE ? twin_activation(layer->activation, v[j]) : v[j];
        if (layer->kind == GM_DENSE && layer->activation == GM_SOFTMAX) twin_softmax(layer->units, x);
    }
    for (size_t j = 0; j < net->outputs; j++) out[j] = x[j];
}

static double twin_target(const bench *b, size_t i, size_t row, size_t unit) {
    const gm_term *term = &b->loss.terms[i];
    size_t units = b->net->outputs;
    bool hinge = term->kind == GM_HINGE || term->kind == GM_SQHINGE;
    if (!term->named) return term->number;
    if (term->target[0] == 'p') return (double)b->target_values[i][row * units + unit];
    if (term->target[0] == 'q') return (double)b->target_values[i][row];
    double hit = units == 1 ? b->target_labels[i][row] : (size_t)b->target_labels[i][row] == unit;
    return hinge ? 2 * hit - 1 : hit;
}

/* The textbook's formulas, one unit. */
static double twin_unit(gm_term_kind kind, double o, double v, double t) {
    double p = 1 / (1 + exp(-v)), margin = fmax(0, 1 - t * o);
    switch (kind) {
    case GM_BCE:
        return -t * log(p) - (1 - t) * log1p(-p);
    case GM_CE:
        return -t * log(o);
    case GM_MSE:
        return (o - t) * (o - t);
    case GM_MAE:
        return fabs(o - t);
    case GM_HINGE:
        return margin;
    case GM_SQHINGE:
        return margin * margin;
    case GM_MEAN:
        return o;
    case GM_PROB:
        return p;
    default:
        return 0;
    }
}

static double twin_row(const bench *b, size_t o, size_t row) {
    double out[WIDTH], logits[WIDTH], sum = 0;
    size_t units = b->net->outputs;
    twin_forward(b, o, row, out, logits);
    if (b->loss.term_count == 0)
        for (size_t j = 0; j < units; j++) sum += out[j] * (double)b->cotangent[row * units + j] * (double)b->rows;
    for (size_t i = 0; i < b->loss.term_count; i++) {
        const gm_term *term = &b->loss.terms[i];
        bool hinge = term->kind == GM_HINGE || term->kind == GM_SQHINGE;
        bool summed = term->kind == GM_CE || (hinge && term->named && term->target[0] == 'y');
        if (term->kind == GM_L1 || term->kind == GM_L2 || term->operand != o) continue;
        bool weighted = b->weighted && term->named && term->target[0] == 'y' && term->kind != GM_MSE;
        double weight = weighted ? (double)class_weights[b->target_labels[i][row]] : 1.0;
        for (size_t j = 0; j < units; j++)
            sum += weight * term->weight / (summed ? 1.0 : (double)units) *
                   twin_unit(term->kind, out[j], logits[j], twin_target(b, i, row, j));
    }
    return sum / (double)b->rows;
}

static double twin_decay(const bench *b) {
    double sum = 0;
    for (size_t i = 0; i < b->loss.term_count; i++)
        for (size_t k = 0; k < b->net->parameter_count; k++)
            for (size_t j = 0; j < b->net->parameters[k].count && b->net->parameters[k].rank == 2; j++) {
                double w = b->p[b->net->parameters[k].offset + j];
                if (b->loss.terms[i].kind == GM_L1) sum += b->loss.terms[i].weight * fabs(w);
                if (b->loss.terms[i].kind == GM_L2) sum += b->loss.terms[i].weight * w * w;
            }
    return sum;
}

static double twin_loss(const bench *b) {
    double sum = twin_decay(b);
    for (size_t o = 0; o < b->operands; o++)
        for (size_t row = 0; row < b->rows; row++) sum += twin_row(b, o, row);
    return sum;
}

/* Derivative by a parameter. */
static double slope_of_parameter(bench *b, size_t i) {
    double p = b->p[i], h = 1e-5 * (1 + fabs(p));
    b->p[i] = p + h;
    double up = twin_loss(b);
    b->p[i] = p - h;
    double down = twin_loss(b);
    b->p[i] = p;
    return (up - down) / (2 * h);
}

/* Derivative by an input: only its row changes. */
static double slope_of_input(bench *b, size_t o, size_t i) {
    double x = b->x[o][i], h = 1e-5 * (1 + fabs(x));
    size_t row = i / b->net->inputs;
    b->x[o][i] = x + h;
    double up = twin_row(b, o, row);
    b->x[o][i] = x - h;
    double down = twin_row(b, o, row);
    b->x[o][i] = x;
    return (up - down) / (2 * h);
}

/* ---- comparing ---- */

static void compare(const trial *t, const char *what, size_t n, const float *got, const double *wanted) {
    double largest = 0;
    for (size_t i = 0; i < n; i++) largest = fmax(largest, fabs(wanted[i]));
    for (size_t i = 0; i < n; i++) {
        double a = (double)got[i], b = wanted[i];
        if (fabs(a - b) <= 1e-4 * fmax(fabs(a), fabs(b)) + 5e-6 * largest) continue;
        printf("# %s, %s ..., %zu rows: %s, number %zu is %.9g, not %.9g\n", t->loss ? t->loss : "cotangent",
               t->layers[0], t->rows, what, i, a, b);
        check_failed = true;
        return;
    }
}

static void compare_gradients(const trial *t, bench *b) {
    static double wanted[ROWS * WIDTH];
    for (size_t k = 0; k < b->net->parameter_count; k++) {
        const gm_parameter *p = &b->net->parameters[k];
        for (size_t j = 0; j < p->count; j++) wanted[j] = slope_of_parameter(b, p->offset + j);
        compare(t, p->name, p->count, b->gradient + p->offset, wanted);
    }
    for (size_t o = 0; o < b->operands; o++) {
        size_t n = b->rows * b->net->inputs;
        for (size_t j = 0; j < n; j++) wanted[j] = slope_of_input(b, o, j);
        compare(t, "input", n, b->input_gradients[o], wanted);
    }
}

static void compare_output(const trial *t, const bench *b, gm_walk *w) {
    static double wanted[ROWS * WIDTH];
    float output[ROWS * WIDTH];
    double logits[WIDTH];
    gm_error e;
    if (b->operands == 0) return;
    CHECK(gm_walk_forward(w, b->params, &b->inputs[0], b->rows, b->mode, output, &e) == 0);
    for (size_t row = 0; row < b->rows; row++) twin_forward(b, 0, row, wanted + row * b->net->outputs, logits);
    compare(t, "output", b->rows * b->net->outputs, output, wanted);
}

static void try_one(const trial *t) {
    gm_error e = {.text = ""};
    bench *b = open_bench(t);
    gm_walk *w = gm_walk_new(b->net, 11, &e);
    float *input_gradients[GM_OPERANDS_MAX], *gradients[2 * LAYERS];
    double value = 0, wanted = twin_loss(b);
    for (size_t o = 0; o < GM_OPERANDS_MAX; o++) input_gradients[o] = b->input_gradients[o];
    for (size_t i = 0; i < b->net->block; i++) b->gradient[i] = 7.0f; /* every number must be written */
    for (size_t i = 0; i < b->net->parameter_count; i++) gradients[i] = b->gradient + b->net->parameters[i].offset;
    gm_backward call = {.loss = t->loss ? &b->loss : NULL,
                        .cotangent = t->loss ? NULL : b->cotangent,
                        .rows = b->rows,
                        .inputs = b->inputs,
                        .targets = b->targets,
                        .class_weights = b->weighted ? class_weights : NULL,
                        .mode = b->mode,
                        .gradients = gradients,
                        .input_gradients = input_gradients,
                        .value = &value};
    CHECK(gm_walk_backward(w, b->params, &call, &e) == 0);
    CHECK_TEXT(e.text, "");
    if (t->loss) CHECK_NEAR(value, wanted, 2e-6 * (1 + fabs(wanted)));
    compare_gradients(t, b);
    compare_output(t, b, w);
    gm_walk_free(w);
    close_bench(b);
}

static void try_all(const trial *trials, size_t n) {
    for (size_t i = 0; i < n; i++) try_one(&trials[i]);
}

#define TRY(trials) try_all(trials, sizeof(trials) / sizeof *(trials))

/* ---- trials ---- */

static void test_hidden_activations(void) {
    static const trial trials[] = {
        {"4", {"dense:5:linear", "dense:2"}, "mse(x,p)", 7, false},
        {"4", {"dense:5:relu", "dense:6:relu", "dense:2"}, "mse(x,p)", 64, false},
        {"4", {"dense:5:leaky", "dense:6:leaky", "dense:2"}, "mse(x,p)", 64, false},
        {"4", {"dense:5:tanh", "dense:6:tanh", "dense:2"}, "mse(x,p)", 7, false},
        {"4", {"dense:5:sigmoid", "dense:6:sigmoid", "dense:2"}, "mse(x,p)", 7, false},
        {"4", {"dense:5:softmax", "dense:6:softmax", "dense:2"}, "mse(x,p)", 7, false},
        {"4", {"dense:5:elu", "dense:6:elu", "dense:2"}, "mse(x,p)", 7, false},
        {"4", {"dense:5:gelu", "dense:6:gelu", "dense:2"}, "mse(x,p)", 7, false},
        {"4", {"dense:5:softplus", "dense:6:softplus", "dense:2"}, "mse(x,p)", 7, false},
    };
    TRY(trials);
}

static void test_last_activations(void) {
    static const trial trials[] = {
        {"4", {"dense:5:tanh", "dense:3:relu"}, "mse(x,p)", 64, false},
        {"4", {"dense:5:tanh", "dense:3:leaky"}, "mae(x,p)", 64, false},
        {"4", {"dense:5:tanh", "dense:3:tanh"}, "hinge(x,p)", 64, false},
        {"4", {"dense:5:tanh", "dense:3:sigmoid"}, "mse(x,p)", 64, false},
        {"4", {"dense:5:tanh", "dense:3:softmax"}, "mse(x,p)", 64, false},
        {"4", {"dense:5:tanh", "dense:3:elu"}, "mse(x,p)", 64, false},
        {"4", {"dense:5:tanh", "dense:3:gelu"}, "mse(x,p)", 64, false},
        {"4", {"dense:5:tanh", "dense:3:softplus"}, "mean(x)", 64, false},
    };
    TRY(trials);
}

static void test_rows(void) {
    static const trial trials[] = {
        {"4", {"dense:5:tanh", "dense:1:sigmoid"}, "bce(x,1)", 1, false},
        {"4", {"dense:5:tanh", "dense:1:sigmoid"}, "bce(x,1) + bce(a,0)", 7, false},
        {"4", {"dense:5:tanh", "dense:1:sigmoid"}, "bce(x,1) + bce(a,0)", 64, false},
        {"4", {"dense:5:tanh", "dense:1:sigmoid"}, "bce(x,1) + bce(a,0)", 65, false},
        {"4", {"dense:5:tanh", "dense:1:sigmoid"}, "bce(x,1) + bce(a,0) - 0.3*prob(b)", 130, false},
        {"1", {"dense:1"}, "mse(x,q)", 130, false},
        {"3", {"dense:16:softmax"}, "ce(x,y)", 130, false},
    };
    TRY(trials);
}

static void test_bce_and_prob(void) {
    static const trial trials[] = {
        {"4", {"dense:1:sigmoid"}, "bce(x,0.9)", 7, false}, {"4", {"dense:1"}, "bce(x,1)", 7, false},
        {"4", {"dense:1:sigmoid"}, "bce(x,y)", 7, false},   {"4", {"dense:1"}, "bce(x,y)", 7, false},
        {"4", {"dense:3:sigmoid"}, "bce(x,y)", 7, false},   {"4", {"dense:3:sigmoid"}, "bce(x,p)", 7, false},
        {"4", {"dense:3"}, "bce(x,p)", 7, false},           {"4", {"dense:3:sigmoid"}, "bce(x,q)", 7, false},
        {"4", {"dense:3:sigmoid"}, "prob(x)", 7, false},    {"4", {"dense:1"}, "-2*prob(x)", 7, false},
    };
    TRY(trials);
}

static void test_ce(void) {
    static const trial trials[] = {
        {"4", {"dense:5:leaky", "dense:3:softmax"}, "ce(x,y)", 70, false},
        {"4", {"dense:5:leaky", "dense:3:softmax"}, "ce(x,p)", 70, false},
        {"4", {"dense:3:softmax"}, "0.5*ce(x,y) + ce(a,y) + mse(x,y)", 7, false},
    };
    TRY(trials);
}

static void test_distances(void) {
    static const trial trials[] = {
        {"4", {"dense:1"}, "mse(x,0.25)", 7, false},   {"4", {"dense:1"}, "mse(x,y)", 7, false},
        {"4", {"dense:3:tanh"}, "mse(x,y)", 7, false}, {"4", {"dense:3:tanh"}, "mse(x,q)", 7, false},
        {"4", {"dense:3"}, "mae(x,-0.5)", 7, false},   {"4", {"dense:1"}, "mae(x,y)", 7, false},
        {"4", {"dense:3:tanh"}, "mae(x,y)", 7, false}, {"4", {"dense:3"}, "mae(x,p)", 7, false},
        {"4", {"dense:3"}, "mae(x,q)", 7, false},      {"4", {"dense:3"}, "mean(x) - 0.5*mean(a)", 7, false},
    };
    TRY(trials);
}

static void test_hinges(void) {
    static const trial trials[] = {
        {"4", {"dense:1"}, "hinge(x,1) + hinge(a,-1)", 70, false},
        {"4", {"dense:1"}, "sqhinge(x,1) + sqhinge(a,-1)", 70, false},
        {"4", {"dense:1"}, "hinge(x,y)", 70, false},
        {"4", {"dense:1"}, "sqhinge(x,y)", 70, false},
        {"4", {"dense:3"}, "hinge(x,y)", 70, false},
        {"4", {"dense:3"}, "sqhinge(x,y)", 70, false},
        {"4", {"dense:3"}, "hinge(x,p)", 70, false},
        {"4", {"dense:3"}, "sqhinge(x,q)", 70, false},
    };
    TRY(trials);
}

/* Terms of the output and of the logits on the same operand, and the weights' own terms. */
static void test_sums_of_terms(void) {
    static const trial trials[] = {
        {"4", {"dense:5:elu", "dense:2:sigmoid"}, "bce(x,1) + 3*mse(x,p) - mean(x) + 0.1*prob(x)", 70, false},
        {"4", {"dense:5:elu", "dense:2"}, "mse(x,p) + 1e-2*l2() + .01*l1()", 70, false},
        {"4", {"dense:5:elu", "dense:2"}, "l2() - 2*l1()", 5, false},
        {"4", {"dense:5:elu", "dense:1"}, "mean(a) - mean(b) + mse(c,0) - mae(d,1)", 30, false},
    };
    TRY(trials);
}

static void test_joined_inputs(void) {
    static const trial trials[] = {
        {"4+classes", {"dense:5:leaky", "dense:2"}, "mse([x,k],p)", 70, false},
        {"4+classes", {"dense:5:leaky", "dense:1:sigmoid"}, "bce([x,k],1) + bce([a,k],0)", 70, false},
        {"classes+2+3", {"dense:5:leaky", "dense:1:sigmoid"}, "bce([k,x,a],1) + bce([k,b,a],0)", 9, false},
        {"classes", {"dense:5:leaky", "dense:2"}, "mse(k,p)", 70, false},
    };
    TRY(trials);
}

static void test_dropout(void) {
    static const trial trials[] = {
        {"4", {"dense:8:tanh", "dropout:0.4", "dense:2"}, "mse(x,p)", 70, true},
        {"4", {"dense:8:tanh", "dropout:0.4", "dense:2"}, "mse(x,p)", 70, false},
        {"4",
         {"dropout:0.3", "dense:8:gelu", "dropout:0.5", "dropout:0.2", "dense:2:sigmoid"},
         "bce(x,1) + bce(a,0)",
         70,
         true},
        {"4",
         {"dropout:0.3", "dense:8:gelu", "dropout:0.5", "dropout:0.2", "dense:2:sigmoid"},
         "bce(x,1) + bce(a,0)",
         70,
         false},
        {"4", {"dropout:0", "dense:8:relu", "dropout:0", "dense:2"}, "mse(x,p)", 9, true},
    };
    TRY(trials);
}

static void test_cotangents(void) {
    static const trial trials[] = {
        {"4", {"dense:5:relu", "dense:3:tanh"}, NULL, 70, false},
        {"4", {"dense:5:softmax", "dense:3"}, NULL, 7, false},
        {"4", {"dense:5:relu", "dense:3:softmax"}, NULL, 7, false},
        {"4", {"dense:5:gelu", "dense:3:gelu"}, NULL, 7, false},
        {"4+classes", {"dense:5:elu", "dense:3:sigmoid"}, NULL, 130, false},
        {"4", {"dense:9:leaky", "dropout:0.5", "dense:3:softplus"}, NULL, 70, true},
    };
    TRY(trials);
}

static void test_fourier_features(void) {
    static const trial trials[] = {
        {"4", {"rff:9:0.3", "dense:3"}, "sqhinge(x,y)", 70, false},
        {"4", {"rff:7:2.5", "dense:3:softmax"}, "ce(x,y)", 7, true},
        {"4",
         {"dense:5:tanh", "rff:9:0.7", "dropout:0.2", "dense:6:relu", "rff:5:0.1", "dense:2"},
         "mse(x,p)",
         70,
         true},
        {"2+classes", {"rff:9:0.3", "dense:2"}, "mse([x,k],p) + mse([a,k],1)", 9, false},
    };
    TRY(trials);
}

static void test_class_weights(void) {
    static const trial trials[] = {
        {"4", {"dense:5:tanh", "dense:3:softmax"}, "ce(x,yw)", 70, false},
        {"4", {"dense:5:tanh", "dense:3"}, "sqhinge(x,yw) + 0.3*hinge(x,yw)", 70, false},
        {"4", {"dense:5:tanh", "dense:1:sigmoid"}, "bce(x,yw) + 0.5*bce(a,0) + 1e-2*l2()", 70, false},
        {"4", {"dense:5:tanh", "dense:1"}, "hinge(x,yw) + 0.1*mse(x,yw) + bce(x,q)", 9, false},
    };
    TRY(trials);
}

int main(void) {
    RUN(test_hidden_activations);
    RUN(test_last_activations);
    RUN(test_rows);
    RUN(test_bce_and_prob);
    RUN(test_ce);
    RUN(test_distances);
    RUN(test_hinges);
    RUN(test_sums_of_terms);
    RUN(test_joined_inputs);
    RUN(test_dropout);
    RUN(test_cotangents);
    RUN(test_fourier_features);
    RUN(test_class_weights);
    return check_done();
}
