/* generative_test.c: gradients of what sees more than one row, or more than first derivatives: batchnorm, the gaussian
 * layer, spectral normalization, packs of rows, gp(), kl(), and the likelihoods.
 *
 * As in gradients_test.c the twin is plain loops in double precision, here over all rows at once, and the derivative is
 * the central difference of its loss. The twin's gp() differentiates the twin's network by central differences as well.
 * The u of spectral layers is not differentiated (Miyato et al. 2018): the twin keeps the vectors of the first
 * parameters.
 */
#include "../unit/check.h"

#include "gm/grad.h"
#include "gm/rng.h"
#include "gm/threads.h"

#include <stdlib.h>

#define LAYERS 8
#define ROWS 70 /* two chunks; of a network that judges packs, as many packs */
#define WIDTH 10
#define OPERANDS 3

static uint64_t state;

static double uniform(void) { /* in (-1, 1) */
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return ((double)(state >> 40) + 0.5) / (1 << 23) - 1.0;
}

typedef struct trial {
    const char *input;
    const char *layers[LAYERS + 1];
    const char
        *loss; /* targets: p is [rows, outputs], h [rows, outputs / 2], y class numbers, u with some of them -1 */
    bool training, cotangent;
} trial;

typedef struct bench {
    const trial *t;
    gm_net *net;
    gm_loss loss;
    size_t operands;
    gm_mode mode;
    float *params, *gradient;
    float x[OPERANDS][ROWS * WIDTH];
    int32_t labels[ROWS * WIDTH];
    gm_input inputs[GM_OPERANDS_MAX];
    float input_gradients[OPERANDS][ROWS * WIDTH];
    float numbers[GM_TERMS_MAX][ROWS * WIDTH];
    int32_t classes[GM_TERMS_MAX][ROWS];
    gm_target targets[GM_TERMS_MAX];
    float cotangent[ROWS * WIDTH];
    /* the twin's */
    double *p, *dx[OPERANDS];
    double a[LAYERS][WIDTH], u[LAYERS][WIDTH];
} bench;

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
        return log1p(exp(v));
    default:
        return v;
    }
}

static double *parameter(const bench *b, size_t i) {
    return b->p + b->net->parameters[i].offset;
}

/* s = a' W u with the vectors that were kept. */
static double twin_sigma(const bench *b, size_t l) {
    const gm_layer *layer = &b->net->layers[l];
    double s = 0;
    for (size_t i = 0; i < layer->inputs; i++)
        for (size_t j = 0; j < layer->units; j++)
            s += b->a[l][i] * parameter(b, layer->weights)[i * layer->units + j] * b->u[l][j];
    return s;
}

static void normalize(size_t n, double *x) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i] * x[i];
    for (size_t i = 0; i < n; i++) x[i] /= sqrt(sum);
}

static void keep_vectors(bench *b) {
    for (size_t l = 0; l < b->net->layer_count; l++) {
        const gm_layer *layer = &b->net->layers[l];
        if (!layer->spectral) continue;
        const double *w = parameter(b, layer->weights), *u = parameter(b, layer->statistics);
        for (size_t i = 0; i < layer->inputs; i++)
            for (size_t j = 0; j < layer->units; j++) b->a[l][i] += w[i * layer->units + j] * u[j];
        normalize(layer->inputs, b->a[l]);
        for (size_t i = 0; i < layer->inputs; i++)
            for (size_t j = 0; j < layer->units; j++) b->u[l][j] += w[i * layer->units + j] * b->a[l][i];
        normalize(layer->units, b->u[l]);
    }
}

typedef double rows_of[ROWS][WIDTH];

static double draw(const bench *b, gm_purpose purpose, size_t l, size_t number) {
    float x;
    gm_rng rng = {.seed = b->mode.seed, .purpose = purpose, .stream = (uint32_t)l, .step = b->mode.step};
    if (purpose == GM_PURPOSE_GAUSSIAN)
        gm_rng_normal(rng, number, 1, &x);
    else
        gm_rng_uniform(rng, number, 1, &x);
    return (double)x;
}

static void twin_batchnorm(const bench *b, const gm_layer *layer, rows_of x) {
    for (size_t j = 0; j < layer->units; j++) {
        double mean = 0, variance = 0;
        for (size_t i = 0; i < ROWS; i++) mean += x[i][j] / ROWS;
        for (size_t i = 0; i < ROWS; i++) variance += (x[i][j] - mean) * (x[i][j] - mean) / ROWS;
        if (!b->mode.training) {
            mean = parameter(b, layer->statistics)[j];
            variance = parameter(b, layer->statistics + 1)[j];
        }
        for (size_t i = 0; i < ROWS; i++)
            x[i][j] = parameter(b, layer->weights)[j] * (x[i][j] - mean) / sqrt(variance + 1e-5) +
                      parameter(b, layer->biases)[j];
    }
}

/* Adds the divergences of the rows. */
static double twin_gaussian(const bench *b, size_t l, size_t operand, const double *input, rows_of x) {
    const gm_layer *layer = &b->net->layers[l];
    double divergence = 0;
    for (size_t i = 0; i < ROWS; i++) {
        double z[WIDTH];
        for (size_t j = 0; j < layer->latent; j++) {
            double m = x[i][j], s = x[i][layer->latent + j];
            double e = b->mode.drawing ? draw(b, GM_PURPOSE_GAUSSIAN, l, (operand * ROWS + i) * layer->latent + j) : 0;
            z[j] = m + exp(s / 2) * e;
            divergence += (m * m + exp(s) - 1 - s) / 2;
        }
        for (size_t j = 0; j < layer->labels; j++)
            z[layer->latent + j] = input[i * b->net->inputs + b->net->parts[0].columns + j];
        memcpy(x[i], z, layer->units * sizeof *z);
    }
    return divergence;
}

/* A number, a flag, three categories, a number, two categories. */
static int32_t span_items[] = {GM_SPAN_NUMBER, GM_SPAN_FLAG, 3, GM_SPAN_NUMBER, 2};
static const gm_spans spans = {sizeof span_items / sizeof *span_items, span_items};

/* Gumbel's numbers, or for a flag the logistic one. */
static double twin_noise(const bench *b, size_t l, size_t number, bool flag) {
    if (!b->mode.drawing) return 0;
    double u = draw(b, GM_PURPOSE_GUMBEL, l, number);
    return flag ? log(u / (1 - u)) : -log(-log(u));
}

static void twin_mixed(const bench *b, size_t l, size_t operand, rows_of x) {
    const gm_layer *layer = &b->net->layers[l];
    for (size_t i = 0; i < ROWS; i++)
        for (size_t s = 0, j = 0, n; s < spans.count; s++, j += n) {
            double sum = 0;
            n = spans.items[s] > 0 ? (size_t)spans.items[s] : 1;
            if (spans.items[s] == GM_SPAN_NUMBER) {
                x[i][j] = twin_activation(layer->activation, x[i][j]);
                continue;
            }
            for (size_t k = j; k < j + n; k++) {
                size_t number = (operand * ROWS + i) * layer->units + k;
                x[i][k] =
                    exp((x[i][k] + twin_noise(b, l, number, spans.items[s] == GM_SPAN_FLAG)) / layer->temperature);
                sum += x[i][k];
            }
            if (spans.items[s] == GM_SPAN_FLAG) sum += 1;
            for (size_t k = j; k < j + n; k++) x[i][k] /= sum;
        }
}

/* All rows of an input through the network; returns the sum of their divergences. `operand` numbers random numbers. */
static double twin_forward(const bench *b, size_t operand, const double *input, rows_of x, rows_of logits) {
    const gm_net *net = b->net;
    double divergence = 0;
    for (size_t i = 0; i < ROWS; i++)
        for (size_t j = 0; j < net->inputs; j++) x[i][j] = input[i * net->inputs + j];
    for (size_t l = 0; l < net->layer_count; l++) {
        const gm_layer *layer = &net->layers[l];
        if (layer->kind == GM_BATCHNORM) twin_batchnorm(b, layer, x);
        if (layer->kind == GM_GAUSSIAN) divergence += twin_gaussian(b, l, operand, input, x);
        if (layer->kind == GM_MIXED) twin_mixed(b, l, operand, x);
        for (size_t i = 0; i < ROWS && layer->kind == GM_DROPOUT; i++)
            for (size_t j = 0; j < layer->units && b->mode.training; j++) {
                double u = draw(b, GM_PURPOSE_DROPOUT, l, (operand * ROWS + i) * layer->units + j);
                x[i][j] *= u < (double)(float)layer->rate ? 0 : 1 / (1 - layer->rate);
            }
        if (layer->kind != GM_DENSE) continue;
        double scale = layer->spectral ? 1 / twin_sigma(b, l) : 1, v[WIDTH], sum;
        for (size_t i = 0; i < ROWS; i++) {
            for (size_t j = 0; j < layer->units; j++) {
                v[j] = parameter(b, layer->biases)[j];
                for (size_t k = 0; k < layer->inputs; k++)
                    v[j] += x[i][k] * scale * parameter(b, layer->weights)[k * layer->units + j];
            }
            sum = 0;
            for (size_t j = 0; j < layer->units; j++) sum += exp(v[j]);
            for (size_t j = 0; j < layer->units; j++) {
                logits[i][j] = v[j];
                x[i][j] = layer->activation == GM_SOFTMAX ? exp(v[j]) / sum : twin_activation(layer->activation, v[j]);
            }
        }
    }
    return divergence;
}

/* mean (|d D / d x| - 1)^2 between operands, the derivative by differences. */
static double twin_penalty(const bench *b, const gm_term *term) {
    static double at[ROWS * WIDTH], moved[ROWS * WIDTH];
    static rows_of up, down, logits;
    double squares[ROWS] = {0}, sum = 0;
    size_t inputs = b->net->inputs;
    for (size_t i = 0; i < ROWS; i++) {
        double e = draw(b, GM_PURPOSE_PENALTY, 0, i);
        for (size_t j = 0; j < inputs; j++)
            at[i * inputs + j] =
                e * b->dx[term->operand][i * inputs + j] + (1 - e) * b->dx[term->second][i * inputs + j];
    }
    const double h = 1e-5;
    for (size_t j = 0; j < inputs; j++) {
        if (j % b->net->columns >= b->net->parts[0].columns) continue; /* classes */
        memcpy(moved, at, sizeof at);
        for (size_t i = 0; i < ROWS; i++) moved[i * inputs + j] += h;
        twin_forward(b, b->operands, moved, up, logits);
        for (size_t i = 0; i < ROWS; i++) moved[i * inputs + j] -= 2 * h;
        twin_forward(b, b->operands, moved, down, logits);
        for (size_t i = 0; i < ROWS; i++) squares[i] += pow((up[i][0] - down[i][0]) / (2 * h), 2);
    }
    for (size_t i = 0; i < ROWS; i++) sum += pow(sqrt(squares[i]) - 1, 2);
    return term->weight * sum / ROWS;
}

/* One row of a term. */
static double twin_row(const bench *b, size_t term, size_t i, const double *o, const double *v) {
    const gm_term *t = &b->loss.terms[term];
    size_t units = b->net->outputs;
    double sum = 0;
    for (size_t j = 0; j < units; j++) {
        double target = t->named && b->targets[term].values ? (double)b->numbers[term][i * units + j] : t->number;
        double p = 1 / (1 + exp(-v[j]));
        if (t->kind == GM_MEAN) sum += o[j] / (double)units;
        if (t->kind == GM_MSE) sum += (o[j] - target) * (o[j] - target) / (double)units;
        if (t->kind == GM_BCE) sum -= (target * log(p) + (1 - target) * log1p(-p)) / (double)units;
        if (t->kind == GM_BERNOULLI) sum -= target * log(p) + (1 - target) * log1p(-p);
        if (t->kind == GM_NORMAL && b->targets[term].columns == units)
            sum += 0.5 * pow((o[j] - target) / t->deviation, 2) + log(t->deviation) + 0.5 * log(2 * acos(-1));
        if (t->kind == GM_NORMAL && b->targets[term].columns < units && j < units / 2) {
            double s = o[units / 2 + j], difference = o[j] - (double)b->numbers[term][i * units / 2 + j];
            sum += 0.5 * (difference * difference * exp(-s) + s + log(2 * acos(-1)));
        }
    }
    size_t class = t->named ? (size_t)b->classes[term][i] : (size_t)t->number;
    if (t->kind == GM_CE) sum -= log(o[class]);
    if (t->kind == GM_KNOWN) {
        double z = 0;
        for (size_t j = 0; j < units; j++) z += exp(v[j]);
        sum -= t->number * log(z / (z + 1)) + (1 - t->number) * log(1 / (z + 1));
    }
    return sum;
}

static double twin_term(const bench *b, size_t term, size_t operand, rows_of o, rows_of v) {
    const gm_term *t = &b->loss.terms[term];
    double sum = 0, rows = 0;
    if (!gm_term_runs(t->kind) || t->kind == GM_KL || t->operand != operand) return 0;
    for (size_t i = 0; i < ROWS; i++) {
        if (t->named && b->targets[term].labels && b->classes[term][i] < 0) continue;
        sum += twin_row(b, term, i, o[i], v[i]);
        rows++;
    }
    return t->weight * sum / rows;
}

static double twin_loss(const bench *b) {
    static rows_of o, v;
    double sum = 0;
    for (size_t k = 0; k < b->operands; k++) {
        double divergence = twin_forward(b, k, b->dx[k], o, v);
        for (size_t i = 0; i < b->loss.term_count; i++) {
            const gm_term *t = &b->loss.terms[i];
            sum += twin_term(b, i, k, o, v);
            if (t->kind == GM_KL && t->operand == k) sum += t->weight * divergence / ROWS;
        }
        for (size_t i = 0; b->t->cotangent && i < ROWS; i++)
            for (size_t j = 0; j < b->net->outputs; j++) sum += o[i][j] * (double)b->cotangent[i * b->net->outputs + j];
    }
    for (size_t i = 0; i < b->loss.term_count; i++)
        if (b->loss.terms[i].kind == GM_GP) sum += twin_penalty(b, &b->loss.terms[i]);
    for (size_t i = 0; i < b->loss.term_count; i++)
        for (size_t k = 0; k < b->net->parameter_count && b->loss.terms[i].kind == GM_L2; k++)
            for (size_t j = 0; b->net->parameters[k].weight && j < b->net->parameters[k].count; j++)
                sum += b->loss.terms[i].weight * parameter(b, k)[j] * parameter(b, k)[j];
    return sum;
}

/* ---- a trial ---- */

static void fill_input(bench *b, size_t o) {
    const gm_net *net = b->net;
    gm_input *input = &b->inputs[o];
    size_t numbers = net->parts[0].columns;
    input->part_count = net->part_count;
    input->parts[0] = (gm_input_part){.name = "x", .values = b->x[o], .columns = numbers};
    if (net->part_count > 1)
        input->parts[1] = (gm_input_part){.name = "y", .labels = b->labels, .columns = net->parts[1].columns};
    for (size_t i = 0; i < ROWS * net->pack; i++) {
        b->labels[i] = (int32_t)(i % 3);
        for (size_t j = 0; j < net->columns; j++) {
            float v = (float)(1.5 * uniform());
            if (j < numbers) b->x[o][i * numbers + j] = v;
            b->dx[o][i * net->columns + j] = j < numbers ? (double)v : (double)(j - numbers == (size_t)b->labels[i]);
        }
    }
}

static void fill_target(bench *b, size_t i) {
    const gm_term *t = &b->loss.terms[i];
    gm_target *target = &b->targets[i];
    target->columns = t->named && t->target[0] == 'h' ? b->net->outputs / 2 : b->net->outputs;
    for (size_t k = 0; k < ROWS * WIDTH; k++) b->numbers[i][k] = (float)(0.5 + 0.5 * uniform());
    for (size_t k = 0; k < ROWS; k++)
        b->classes[i][k] = t->target[0] == 'u' && k % 3 ? -1 : (int32_t)(k * 5 % b->net->outputs);
    if (t->named && (t->target[0] == 'y' || t->target[0] == 'u'))
        target->labels = b->classes[i];
    else if (t->named)
        target->values = b->numbers[i];
}

/* Outside of training gaussian layers draw here, so that there is something to see; mixed ones do not. */
static bool ends_mixed(const trial *t) {
    size_t last = 0;
    while (t->layers[last + 1]) last++;
    return strncmp(t->layers[last], "mixed", 5) == 0;
}

static bench *open_bench(const trial *t) {
    gm_error e = {.text = ""};
    bench *b = calloc(1, sizeof *b);
    if (!b) exit(1);
    size_t layers = 0;
    b->t = t;
    while (t->layers[layers]) layers++;
    b->net = gm_net_parse(t->input, t->layers, layers, (gm_words){.features = 5, .classes = 3, .spans = spans}, &e);
    CHECK_TEXT(e.text, "");
    if (t->loss) CHECK(gm_loss_parse(t->loss, &b->loss, &e) == 0);
    CHECK_TEXT(e.text, "");
    b->operands = b->loss.operand_count ? b->loss.operand_count : 1;
    b->mode = (gm_mode){.training = t->training, .drawing = t->training || !ends_mixed(t), .seed = 11, .step = 41};
    b->params = calloc(b->net->block, sizeof *b->params);
    b->gradient = malloc(b->net->block * sizeof *b->gradient);
    b->p = calloc(b->net->block, sizeof *b->p);
    state = 4711;
    for (size_t k = 0; k < b->net->parameter_count; k++)
        for (size_t j = 0; j < b->net->parameters[k].count; j++) {
            bool positive =
                strstr(b->net->parameters[k].name, "variance") || strstr(b->net->parameters[k].name, "gain");
            b->params[b->net->parameters[k].offset + j] = (float)(positive ? 1 + 0.5 * uniform() : 0.8 * uniform());
        }
    for (size_t i = 0; i < b->net->block; i++) b->p[i] = (double)b->params[i];
    keep_vectors(b);
    for (size_t o = 0; o < b->operands; o++) {
        b->dx[o] = calloc(ROWS * WIDTH, sizeof(double));
        fill_input(b, o);
    }
    for (size_t i = 0; i < b->loss.term_count; i++) fill_target(b, i);
    for (size_t i = 0; i < ROWS * WIDTH; i++) b->cotangent[i] = (float)uniform() / ROWS;
    return b;
}

static void close_bench(bench *b) {
    gm_net_free(b->net);
    for (size_t o = 0; o < b->operands; o++) free(b->dx[o]);
    free(b->params);
    free(b->gradient);
    free(b->p);
    free(b);
}

/* The central difference by one number of the twin's. */
static double slope(const bench *b, double *p) {
    double kept = *p, h = 1e-4 * (1 + fabs(kept));
    *p = kept + h;
    double up = twin_loss(b);
    *p = kept - h;
    double down = twin_loss(b);
    *p = kept;
    return (up - down) / (2 * h);
}

/* |a - b| <= 1e-3 max(|a|, |b|) + 2e-5 M + 1e-6, M the largest gradient of the tensor; the last for sums that are 0. */
static void compare(const trial *t, const char *what, size_t n, const float *got, const double *wanted) {
    double largest = 0;
    for (size_t i = 0; i < n; i++) largest = fmax(largest, fabs(wanted[i]));
    for (size_t i = 0; i < n; i++) {
        double a = (double)got[i], b = wanted[i];
        if (fabs(a - b) <= 1e-3 * fmax(fabs(a), fabs(b)) + 2e-5 * largest + 1e-6) continue;
        printf("# %s, %s ...: %s, number %zu is %.9g, not %.9g (of %.3g)\n", t->loss ? t->loss : "cotangent",
               t->layers[0], what, i, a, b, largest);
        check_failed = true;
        return;
    }
}

static void compare_gradients(const bench *b) {
    static double wanted[ROWS * WIDTH];
    bool penalized = false;
    for (size_t i = 0; i < b->loss.term_count; i++) penalized |= b->loss.terms[i].kind == GM_GP;
    for (size_t k = 0; k < b->net->parameter_count; k++) {
        const gm_parameter *p = &b->net->parameters[k];
        if (p->statistic) continue;
        for (size_t j = 0; j < p->count; j++) wanted[j] = slope(b, b->p + p->offset + j);
        compare(b->t, p->name, p->count, b->gradient + p->offset, wanted);
    }
    for (size_t o = 0; o < b->operands && !penalized; o++) {
        size_t n = ROWS * b->net->inputs;
        for (size_t j = 0; j < n; j += 7) {
            double difference = slope(b, b->dx[o] + j);
            float got = b->input_gradients[o][j];
            compare(b->t, "input", 1, &got, &difference);
        }
    }
}

static void run(bench *b, size_t threads, double *value) {
    gm_error e = {.text = ""};
    float *input_gradients[GM_OPERANDS_MAX] = {NULL}, *gradients[4 * LAYERS];
    bool penalized = b->t->loss && strstr(b->t->loss, "gp(");
    gm_walk *w = gm_walk_new(b->net, 11, &e);
    for (size_t o = 0; o < b->operands && !penalized; o++) input_gradients[o] = b->input_gradients[o];
    for (size_t i = 0; i < b->net->block; i++) b->gradient[i] = 7.0f;
    for (size_t i = 0; i < b->net->parameter_count; i++) gradients[i] = b->gradient + b->net->parameters[i].offset;
    gm_backward call = {.loss = b->t->loss ? &b->loss : NULL,
                        .cotangent = b->t->cotangent ? b->cotangent : NULL,
                        .rows = ROWS * b->net->pack,
                        .inputs = b->inputs,
                        .targets = b->targets,
                        .mode = b->mode,
                        .gradients = gradients,
                        .input_gradients = input_gradients,
                        .value = b->t->loss ? value : NULL};
    CHECK(gm_threads_set(threads, &e) == 0);
    CHECK(gm_walk_backward(w, b->params, &call, &e) == 0);
    CHECK_TEXT(e.text, "");
    gm_walk_free(w);
}

static double twin_cotangent(const bench *b) {
    static rows_of o, v;
    double sum = 0;
    twin_forward(b, 0, b->dx[0], o, v);
    for (size_t i = 0; i < ROWS; i++)
        for (size_t j = 0; j < b->net->outputs; j++) sum += o[i][j] * (double)b->cotangent[i * b->net->outputs + j];
    return sum;
}

static void try_one(const trial *t) {
    bench *b = open_bench(t);
    double value = 0, again = 0, wanted = twin_loss(b);
    if (t->cotangent) wanted -= twin_cotangent(b); /* which the value is without */
    run(b, 1, &value);
    if (t->loss && fabs(value - wanted) > 2e-6 * (1 + fabs(wanted))) {
        printf("# %s, %s ...: the loss is %.9g, not %.9g\n", t->loss, t->layers[0], value, wanted);
        check_failed = true;
    }
    compare_gradients(b);
    float *first = malloc(b->net->block * sizeof *first);
    memcpy(first, b->gradient, b->net->block * sizeof *first);
    run(b, 3, &again);
    CHECK(value == again && memcmp(first, b->gradient, b->net->block * sizeof *first) == 0);
    free(first);
    close_bench(b);
}

#define TRY(trials)                                                                                                    \
    for (size_t i = 0; i < sizeof(trials) / sizeof *(trials); i++) try_one(&(trials)[i])

/* ---- trials ---- */

static void test_gaussian_layer(void) {
    static const trial trials[] = {
        {"5",
         {"dense:6:tanh", "dense:4", "gaussian:2", "dense:6:tanh", "dense:5"},
         "mse(x,p) + 0.3*kl(x)",
         true,
         false},
        {"5", {"dense:4", "gaussian:2"}, "kl(x)", true, false},
        {"5", {"dense:4", "gaussian:2"}, "2*kl(x)", true, true}, /* an encoder, the decoder in another process */
        {"5", {"dense:4", "gaussian:2"}, "mse(x,p)", false, false},
        {"4+classes",
         {"dense:4", "gaussian:2+classes", "dense:4:sigmoid"},
         "bernoulli([x,y],p) + kl([x,y])",
         true,
         false},
        {"4", {"dense:4", "gaussian:2", "dense:3"}, "mse(x,p) + mean(z) + 0.5*kl(z)", true, false},
        {"4", {"dense:4", "dropout:0.4", "gaussian:2", "dense:3:gelu", "dense:2"}, "mse(x,p) + kl(x)", true, false},
    };
    TRY(trials);
}

static void test_likelihoods(void) {
    static const trial trials[] = {
        {"5", {"dense:6:tanh", "dense:5:sigmoid"}, "bernoulli(x,p)", true, false},
        {"5", {"dense:6:tanh", "dense:5"}, "bernoulli(x,p) + 0.1*bernoulli(x,0.3)", true, false},
        {"5", {"dense:6:tanh", "dense:6"}, "gaussian(x,p)", true, false},
        {"5", {"dense:6:tanh", "dense:6"}, "gaussian(x,p,0.2)", true, false},
        {"5", {"dense:6:tanh", "dense:6"}, "gaussian(x,h)", true, false},
        {"5", {"dense:6:tanh", "dense:6:tanh"}, "gaussian(x,h) + mean(x)", true, false},
    };
    TRY(trials);
}

static void test_classes(void) {
    static const trial trials[] = {
        {"5", {"dense:6:tanh", "dense:4:softmax"}, "ce(x,3) + 0.5*known(z,0)", true, false},
        {"5", {"dense:6:tanh", "dense:4:softmax"}, "known(x,1) + ce(x,y)", true, false},
        {"5", {"dense:6:tanh", "dense:4:softmax"}, "ce(x,u) + known(x,0.9) + known(z,0)", true, false},
        {"5", {"dense:6:tanh", "dense:1:tanh"}, "mse(x,p) + l2()", true, true},
    };
    TRY(trials);
}

static void test_batchnorm(void) {
    static const trial trials[] = {
        {"5", {"dense:6", "batchnorm", "dense:4:tanh", "dense:2"}, "mse(x,p)", true, false},
        {"5", {"batchnorm", "dense:4:tanh", "dense:2"}, "mse(x,p)", true, false},
        {"5",
         {"batchnorm", "dense:4:tanh", "batchnorm", "dense:4:gelu", "batchnorm", "dense:2"},
         "mse(x,p) + mean(z)",
         true,
         false},
        {"5",
         {"dense:6:leaky", "batchnorm", "dropout:0.3", "dense:4:tanh", "dense:2"},
         "mse(x,p) + mse(z,p)",
         true,
         false},
        {"5", {"dense:6:tanh", "batchnorm", "dense:4:tanh", "dense:2"}, "mse(x,p) + mean(z)", false, false},
        {"5", {"dense:6:tanh", "batchnorm", "dense:3:tanh"}, NULL, true, true},
        {"5",
         {"dense:6:tanh", "batchnorm", "dense:4", "gaussian:2", "batchnorm", "dense:3"},
         "mse(x,p) + kl(x)",
         true,
         false},
    };
    TRY(trials);
}

static void test_spectral(void) {
    static const trial trials[] = {
        {"5", {"dense:6:tanh:spectral", "dense:2:spectral"}, "mse(x,p)", true, false},
        {"5",
         {"dense:6:leaky:spectral", "dense:4:tanh", "dense:1:spectral"},
         "mean(x) - mean(z) + 0.1*l2()",
         true,
         false},
        {"5", {"dense:6:tanh:spectral", "batchnorm", "dense:3:spectral"}, NULL, true, true},
    };
    TRY(trials);
}

static void test_gradient_penalty(void) {
    static const trial trials[] = {
        {"5", {"dense:6:tanh", "dense:4:tanh", "dense:1"}, "gp(x,z)", true, false},
        {"5", {"dense:6:leaky", "dense:4:leaky", "dense:1"}, "mean(z) - mean(x) + 10*gp(x,z)", true, false},
        {"5", {"dense:6:relu", "dense:4:sigmoid", "dense:1"}, "mean(z) - mean(x) + 10*gp(x,z)", true, false},
        {"5", {"dense:6:elu", "dense:4:gelu", "dense:1:softplus"}, "mean(z) + 10*gp(z,x)", true, false},
        {"5", {"dense:6:softplus", "dense:4:gelu", "dense:1:sigmoid"}, "3*gp(x,x)", true, false},
        {"5", {"dense:6:gelu", "dense:1:tanh"}, "gp(x,z)", true, false},
        {"5", {"dense:6:tanh", "dropout:0.4", "dense:5:tanh", "dense:1"}, "mean(z) - mean(x) + 2*gp(x,z)", true, false},
        {"5", {"dropout:0.4", "dense:5:tanh", "dense:1"}, "mean(z) - mean(x) + 2*gp(x,z)", true, false},
        {"5", {"dense:6:tanh", "dropout:0.4", "dense:5:tanh", "dense:1"}, "2*gp(x,z)", false, false},
        {"5",
         {"dense:6:tanh:spectral", "dense:4:gelu", "dense:1:spectral"},
         "mean(z) - mean(x) + 2*gp(x,z)",
         true,
         false},
        {"4+classes",
         {"dense:6:tanh", "dense:4:tanh", "dense:1"},
         "mean([z,y]) - mean([x,y]) + 10*gp([x,y],[z,y])",
         true,
         false},
    };
    TRY(trials);
}

static void test_mixed(void) {
    static const trial trials[] = {
        {"5", {"dense:6:tanh", "dense:8", "mixed:0.6:tanh"}, NULL, true, true},
        {"5", {"dense:6:tanh", "dense:8", "mixed:1.5"}, "mse(x,p)", true, false},
        {"5", {"dense:6:tanh", "dense:8", "mixed:0.8:sigmoid"}, "mean(x) + mse(z,p)", false, false},
        {"5", {"dense:6:tanh", "batchnorm", "dense:8", "mixed:0.6:tanh"}, NULL, true, true},
    };
    TRY(trials);
}

static void test_packs(void) {
    static const trial trials[] = {
        {"pac:2:4", {"dense:6:tanh", "dense:1:sigmoid"}, "bce(x,0.9) + bce(z,0) + 0.1*l2()", true, false},
        {"pac:3:3", {"dense:6:leaky", "dropout:0.3", "dense:4:gelu", "dense:2"}, "mean(z) - mean(x)", true, false},
        {"pac:2:2+classes", {"dense:6:tanh", "dropout:0.3", "dense:1"}, "bce([x,y],1) + bce([z,y],0)", true, false},
        {"pac:2:4", {"dense:6:tanh", "batchnorm", "dense:3:tanh:spectral"}, "mse(x,0.5) + mean(z)", true, false},
        {"pac:5:2", {"dense:6:tanh", "dense:1"}, NULL, true, true},
        {"pac:2:5",
         {"dense:6:tanh", "dropout:0.3", "dense:4:gelu", "dense:1"},
         "mean(z) - mean(x) + 10*gp(x,z)",
         true,
         false},
        {"pac:2:2+classes",
         {"dense:6:tanh", "dense:4:softplus", "dense:1"},
         "mean([z,y]) - mean([x,y]) + 10*gp([x,y],[z,y])",
         true,
         false},
    };
    TRY(trials);
}

int main(void) {
    RUN(test_gaussian_layer);
    RUN(test_likelihoods);
    RUN(test_classes);
    RUN(test_batchnorm);
    RUN(test_spectral);
    RUN(test_gradient_penalty);
    RUN(test_mixed);
    RUN(test_packs);
    return check_done();
}
