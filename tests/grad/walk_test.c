/* walk_test.c: gm_walk beside its gradients: equal bits, what is wanted and what is not, saturation, refusals. */
#include "../unit/check.h"

#include "gm/blas.h"
#include "gm/grad.h"
#include "gm/threads.h"

#include <stdlib.h>

#define ROWS ((size_t)200)
#define INPUTS ((size_t)100)
#define WIDE ((size_t)1300) /* units: more than any loop takes at a time */
#define WIDE_ROWS ((size_t)3)

typedef struct gan {
    gm_net *net;
    gm_walk *walk;
    gm_loss loss;
    float *params;
    float x[2][ROWS * INPUTS];
    gm_input inputs[2];
} gan;

static gm_net *parse_net(const char *input, const char *const *layers, size_t n) {
    gm_error e = {.text = ""};
    gm_net *net = gm_net_parse(input, layers, n, (gm_words){.classes = 10}, &e);
    CHECK_TEXT(e.text, "");
    return net;
}

static float *new_floats(size_t n) {
    float *x = calloc(n, sizeof *x);
    if (!x) exit(1);
    return x;
}

#define PARAMETERS ((size_t)8)

/* Where each parameter's gradient goes in a block. */
static void place(const gm_net *net, float *block, float *gradients[PARAMETERS]) {
    for (size_t i = 0; i < net->parameter_count; i++) gradients[i] = block + net->parameters[i].offset;
}

static gan *open_layers(const char *const *layers, size_t n, const char *loss) {
    gm_error e;
    gan *g = calloc(1, sizeof *g);
    if (!g) exit(1);
    g->net = parse_net("100", layers, n);
    g->walk = gm_walk_new(g->net, 11, &e);
    g->params = new_floats(g->net->block);
    CHECK(gm_net_init(g->net, "glorot", 3, g->params, &e) == 0);
    CHECK(gm_loss_parse(loss, &g->loss, &e) == 0);
    for (size_t o = 0; o < 2; o++) {
        for (size_t i = 0; i < ROWS * INPUTS; i++)
            g->x[o][i] = (float)((i * 7919 + o * 104729) % 2001) / 1000.0f - 1.0f;
        g->inputs[o] = (gm_input){.part_count = 1, .parts[0] = {.name = "x", .values = g->x[o], .columns = INPUTS}};
    }
    return g;
}

static gan *open_gan(const char *loss) {
    static const char *const layers[] = {"dense:200:leaky", "dropout:0.5", "dense:70:gelu", "dense:1:sigmoid"};
    return open_layers(layers, 4, loss);
}

static void close_gan(gan *g) {
    gm_walk_free(g->walk);
    gm_net_free(g->net);
    free(g->params);
    free(g);
}

typedef struct results {
    float *gradient;
    float input_gradients[2][ROWS * INPUTS];
    float output[ROWS];
    double value;
} results;

static results *run(gan *g, size_t rows, bool gradient, bool inputs) {
    gm_error e = {.text = ""};
    results *r = calloc(1, sizeof *r);
    float *input_gradients[2] = {r->input_gradients[0], r->input_gradients[1]};
    r->gradient = new_floats(g->net->block);
    float *gradients[PARAMETERS];
    place(g->net, r->gradient, gradients);
    gm_backward call = {.loss = &g->loss,
                        .rows = rows,
                        .inputs = g->inputs,
                        .mode = {.training = true, .seed = 5, .step = 9},
                        .gradients = gradient ? gradients : NULL,
                        .input_gradients = inputs ? input_gradients : NULL,
                        .value = &r->value};
    CHECK(gm_walk_backward(g->walk, g->params, &call, &e) == 0);
    CHECK(gm_walk_forward(g->walk, g->params, &g->inputs[0], rows, call.mode, r->output, &e) == 0);
    CHECK_TEXT(e.text, "");
    return r;
}

static void free_results(results *r) {
    free(r->gradient);
    free(r);
}

static bool equal_gradients(const gan *g, const results *a, const results *b) {
    return memcmp(a->gradient, b->gradient, g->net->block * sizeof(float)) == 0;
}

static bool equal_inputs(const results *a, const results *b) {
    return memcmp(a->input_gradients, b->input_gradients, sizeof a->input_gradients) == 0;
}

/* Bits depend neither on the threads nor on what the walk did before (its buffers hold the leftovers of larger
 * batches). */
static void test_same_bits(void) {
    static const size_t threads[] = {1, 2, 3, 2, 1};
    gm_error e;
    gan *g = open_gan("bce(x,0.9) + bce(fake,0) + 0.1*mse(x,1) + 1e-3*l2()");
    results *first = run(g, ROWS, true, true);
    CHECK(first->value > 0.0 && first->value < 10.0);
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        CHECK(gm_threads_set(threads[i], &e) == 0);
        free_results(run(g, 1 + 45 * i, true, i % 2));
        results *again = run(g, ROWS, true, true);
        CHECK(equal_gradients(g, first, again));
        CHECK(equal_inputs(first, again));
        CHECK(memcmp(first->output, again->output, sizeof first->output) == 0);
        CHECK(first->value == again->value);
        free_results(again);
    }
    CHECK(gm_threads_set(1, &e) == 0);
    free_results(first);
    close_gan(g);
}

/* Nor on the chunks and slices that so many threads cut, be the last of them single rows. */
static void test_same_bits_of_cuts(void) {
    static const char *const layers[] = {"dense:65:leaky", "dense:129:tanh", "dense:193:relu", "dense:1:sigmoid"};
    static const size_t rows[] = {1, 2, 63, 65, 128, 129, 193, ROWS};
    gm_error e;
    gan *g = open_layers(layers, 4, "bce(x,0.9) + bce(fake,0) + 1e-3*l2()");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        results *one = run(g, rows[i], true, true);
        for (size_t threads = 2; threads <= 3; threads++) {
            CHECK(gm_threads_set(threads, &e) == 0);
            results *more = run(g, rows[i], true, true);
            CHECK(equal_gradients(g, one, more));
            CHECK(equal_inputs(one, more));
            CHECK(memcmp(one->output, more->output, sizeof one->output) == 0);
            CHECK(one->value == more->value && one->value > 0.0);
            free_results(more);
        }
        CHECK(gm_threads_set(1, &e) == 0);
        free_results(one);
    }
    close_gan(g);
}

/* Asking for less changes nothing of the rest, and writes nothing of what was not asked for. */
static void test_what_is_wanted(void) {
    gan *g = open_gan("bce(x,1) + bce(fake,0)");
    results *all = run(g, ROWS, true, true), *zero = calloc(1, sizeof *zero);
    for (int i = 0; i < 4; i++) {
        bool gradient = i & 1, inputs = i & 2;
        results *r = run(g, ROWS, gradient, inputs);
        CHECK(r->value == all->value);
        CHECK(equal_gradients(g, r, all) == gradient);
        CHECK(equal_inputs(r, inputs ? all : zero));
        free_results(r);
    }
    free(zero);
    free_results(all);
    close_gan(g);
}

/* The output that backward computes on the way is the one of forward: mean(x) says so, mask and all. */
static void test_forward_is_backwards_forward(void) {
    gan *g = open_gan("mean(x)");
    results *r = run(g, 1, false, false);
    CHECK(r->value == (double)r->output[0]);
    free_results(r);
    r = run(g, ROWS, false, false);
    double sum = 0.0;
    for (size_t i = 0; i < ROWS; i++) sum += (double)r->output[i];
    CHECK_NEAR(r->value, sum / (double)ROWS, 1e-12);
    free_results(r);
    close_gan(g);
}

/* The second operand's rows have masks of their own. */
static void test_operands_have_their_masks(void) {
    gan *g = open_gan("mean(x) - mean(fake)");
    g->inputs[1] = g->inputs[0];
    results *r = run(g, ROWS, false, false);
    CHECK(r->value != 0.0);
    free_results(r);
    close_gan(g);
}

static void test_masks_follow_the_step(void) {
    gm_error e;
    gan *g = open_gan("mean(x)");
    float a[ROWS], b[ROWS], c[ROWS], d[ROWS];
    CHECK(gm_walk_forward(g->walk, g->params, &g->inputs[0], ROWS, (gm_mode){.training = true, .seed = 5, .step = 9}, a,
                          &e) == 0);
    CHECK(gm_walk_forward(g->walk, g->params, &g->inputs[0], ROWS, (gm_mode){.training = true, .seed = 5, .step = 10},
                          b, &e) == 0);
    CHECK(gm_walk_forward(g->walk, g->params, &g->inputs[0], ROWS, (gm_mode){.training = true, .seed = 6, .step = 9}, c,
                          &e) == 0);
    CHECK(gm_walk_forward(g->walk, g->params, &g->inputs[0], ROWS, (gm_mode){.training = true, .seed = 5, .step = 9}, d,
                          &e) == 0);
    CHECK(memcmp(a, b, sizeof a) != 0);
    CHECK(memcmp(a, c, sizeof a) != 0);
    CHECK(memcmp(a, d, sizeof a) == 0);
    CHECK(gm_walk_forward(g->walk, g->params, &g->inputs[0], 0, (gm_mode){.training = true, .seed = 5, .step = 9}, d,
                          &e) == 0);
    CHECK(memcmp(a, d, sizeof a) == 0);
    close_gan(g);
}

/* ---- one layer that hands its input on: output and logits can be chosen ---- */

typedef struct plain {
    gm_net *net;
    gm_walk *walk;
    float *params, *gradient;
    float input_gradient[WIDE * WIDE_ROWS];
    double value;
    gm_error e;
} plain;

/* dense:UNITS:ACTIVATION on as many inputs, W the identity. */
static plain *open_plain(size_t units, const char *activation) {
    char input[16], layer[40];
    const char *const layers[] = {layer};
    plain *p = calloc(1, sizeof *p);
    if (!p) exit(1);
    snprintf(input, sizeof input, "%zu", units);
    snprintf(layer, sizeof layer, "dense:%zu:%s", units, activation);
    p->net = parse_net(input, layers, 1);
    p->walk = gm_walk_new(p->net, 11, &p->e);
    p->params = calloc(p->net->block, sizeof(float));
    p->gradient = calloc(p->net->block, sizeof(float));
    for (size_t i = 0; i < units; i++) p->params[p->net->parameters[0].offset + i * units + i] = 1.0f;
    return p;
}

static void close_plain(plain *p) {
    gm_walk_free(p->walk);
    gm_net_free(p->net);
    free(p->params);
    free(p->gradient);
    free(p);
}

/* The loss of v[rows, units], with the same target for every term. -1 with p->e. */
static int run_plain(plain *p, const char *text, size_t rows, const float *v, gm_target target) {
    gm_loss loss;
    gm_input inputs[GM_OPERANDS_MAX];
    gm_target targets[GM_TERMS_MAX];
    float *input_gradients[GM_OPERANDS_MAX] = {p->input_gradient}, *gradients[PARAMETERS];
    place(p->net, p->gradient, gradients);
    p->e.text[0] = '\0';
    if (gm_loss_parse(text, &loss, &p->e) < 0) return -1;
    for (size_t i = 0; i < GM_TERMS_MAX; i++) targets[i] = target;
    for (size_t i = 0; i < GM_OPERANDS_MAX; i++)
        inputs[i] = (gm_input){.part_count = 1, .parts[0] = {.name = "x", .values = v, .columns = p->net->inputs}};
    gm_backward call = {.loss = &loss,
                        .rows = rows,
                        .inputs = inputs,
                        .targets = targets,
                        .gradients = gradients,
                        .input_gradients = input_gradients,
                        .value = &p->value};
    return gm_walk_backward(p->walk, p->params, &call, &p->e);
}

/* Far beyond where the sigmoid is 0 or 1 in floats. */
static void test_saturated_bce(void) {
    static const char *const activations[] = {"sigmoid", "linear"};
    static const float v[] = {200.0f, -200.0f};
    for (size_t i = 0; i < 2; i++) {
        plain *p = open_plain(1, activations[i]);
        CHECK(run_plain(p, "bce(x,1)", 2, v, (gm_target){0}) == 0);
        CHECK_NEAR(p->value, 100.0, 1e-4);
        CHECK_NEAR(p->input_gradient[0], 0.0, 1e-30);
        CHECK_NEAR(p->input_gradient[1], -0.5, 1e-7);
        CHECK(run_plain(p, "bce(x,0)", 2, v, (gm_target){0}) == 0);
        CHECK_NEAR(p->value, 100.0, 1e-4);
        CHECK_NEAR(p->input_gradient[0], 0.5, 1e-7);
        CHECK_NEAR(p->input_gradient[1], 0.0, 1e-30);
        CHECK(run_plain(p, "prob(x)", 2, v, (gm_target){0}) == 0);
        CHECK_NEAR(p->value, 0.5, 1e-7);
        close_plain(p);
    }
}

static void test_saturated_ce(void) {
    static const float v[] = {200.0f, -200.0f, 0.0f, 200.0f, -200.0f, 0.0f};
    static const int32_t y[] = {0, 1};
    plain *p = open_plain(3, "softmax");
    CHECK(run_plain(p, "ce(x,y)", 2, v, (gm_target){.labels = y}) == 0);
    CHECK_NEAR(p->value, 200.0, 1e-4);
    CHECK_NEAR(p->input_gradient[0], 0.0, 1e-30);
    CHECK_NEAR(p->input_gradient[3], 0.5, 1e-7);
    CHECK_NEAR(p->input_gradient[4], -0.5, 1e-7);
    close_plain(p);
}

/* What is not a number must come out as none, whatever stands between. */
static void test_nan_is_seen(void) {
    static const char *const activations[] = {"linear",  "relu", "leaky", "tanh",    "sigmoid",
                                              "softmax", "elu",  "gelu",  "softplus"};
    static const char *const losses[] = {"bce(x,1)",   "prob(x)",       "mse(x,1)", "mae(x,1)",
                                         "hinge(x,1)", "sqhinge(x,-1)", "mean(x)"};
    const float v[] = {1.0f, NAN};
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++) {
        plain *p = open_plain(2, activations[i]);
        CHECK(run_plain(p, "mean(x)", 1, v, (gm_target){0}) == 0);
        CHECK(isnan(p->value));
        close_plain(p);
    }
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        plain *p = open_plain(2, "linear");
        CHECK(run_plain(p, losses[i], 1, v, (gm_target){0}) == 0);
        CHECK(isnan(p->value));
        close_plain(p);
    }
}

/* Values that can be told by hand. */
static void test_values(void) {
    static const float v[] = {0.5f, -2.0f, 3.0f, 1.0f, 0.0f, -1.0f};
    static const int32_t y[] = {2, 0};
    plain *p = open_plain(3, "linear");
    CHECK(run_plain(p, "mean(x)", 2, v, (gm_target){0}) == 0);
    CHECK_NEAR(p->value, 1.5 / 6, 1e-7);
    CHECK(run_plain(p, "mae(x,1)", 2, v, (gm_target){0}) == 0);
    CHECK_NEAR(p->value, (0.5 + 3 + 2 + 0 + 1 + 2) / 6, 1e-7);
    CHECK(run_plain(p, "hinge(x,y)", 2, v, (gm_target){.labels = y}) == 0); /* summed over the units */
    CHECK_NEAR(p->value, (1.5 + 0 + 0 + 0 + 1 + 0) / 2, 1e-7);
    CHECK(run_plain(p, "hinge(x,1)", 2, v, (gm_target){0}) == 0); /* their mean */
    CHECK_NEAR(p->value, (0.5 + 3 + 0 + 0 + 1 + 2) / 6, 1e-7);
    CHECK(run_plain(p, "l1() - 2*l2()", 2, v, (gm_target){0}) == 0); /* of the identity */
    CHECK_NEAR(p->value, -3.0, 1e-12);
    CHECK_NEAR(p->gradient[p->net->parameters[0].offset], -3.0, 1e-7);
    CHECK(p->gradient[p->net->parameters[0].offset + 1] == 0.0f);
    CHECK(p->gradient[p->net->parameters[1].offset] == 0.0f);
    close_plain(p);
}

/* ---- a forward call that is expected back ---- */

#define CODE ((size_t)30)

typedef struct generator {
    gm_net *net;
    gm_walk *walk;
    float *params;
    float z[ROWS * CODE], cotangent[ROWS * 40], output[ROWS * 40];
    int32_t labels[ROWS];
    gm_input input; /* codes and classes */
    gm_mode mode;
} generator;

static generator *open_generator(const char *middle, const char *last) {
    const char *layers[] = {"dense:64:relu", middle, last};
    gm_error e;
    generator *g = calloc(1, sizeof *g);
    if (!g) exit(1);
    g->net = parse_net("30+classes", layers, 3);
    g->walk = gm_walk_new(g->net, 11, &e);
    g->params = new_floats(g->net->block);
    CHECK(gm_net_init(g->net, "glorot", 3, g->params, &e) == 0);
    for (size_t i = 0; i < ROWS * CODE; i++) g->z[i] = (float)(i * 7919 % 2001) / 1000.0f - 1.0f;
    for (size_t i = 0; i < ROWS * 40; i++) g->cotangent[i] = (float)(i * 104729 % 1999) / 1e5f - 0.01f;
    for (size_t i = 0; i < ROWS; i++) g->labels[i] = (int32_t)(i % 10);
    g->input = (gm_input){.part_count = 2,
                          .parts[0] = {.name = "z", .values = g->z, .columns = CODE},
                          .parts[1] = {.name = "y", .labels = g->labels, .columns = 10}};
    g->mode = (gm_mode){.training = true, .drawing = true, .seed = 5, .step = 9, .version = 10};
    return g;
}

static void close_generator(generator *g) {
    gm_walk_free(g->walk);
    gm_net_free(g->net);
    free(g->params);
    free(g);
}

static void generate(generator *g) {
    gm_error e = {.text = ""};
    CHECK(gm_walk_forward(g->walk, g->params, &g->input, ROWS, g->mode, g->output, &e) == 0);
}

/* The gradients of a way back, with `parameters` in place of the generator's. */
static float *go_back(generator *g, const float *parameters) {
    gm_error e = {.text = ""};
    float *block = new_floats(g->net->block), *gradients[PARAMETERS];
    place(g->net, block, gradients);
    gm_backward call = {
        .cotangent = g->cotangent, .rows = ROWS, .inputs = &g->input, .mode = g->mode, .gradients = gradients};
    CHECK(gm_walk_backward(g->walk, parameters, &call, &e) == 0);
    CHECK_TEXT(e.text, "");
    return block;
}

static bool same_gradients(const generator *g, float *a, float *b) {
    bool same = memcmp(a, b, g->net->block * sizeof *a) == 0;
    free(a);
    free(b);
    return same;
}

/* The way back begins from the forward call, for which it is given other parameters here; where anything else differs,
 * or there was a call in between, it does not. */
static void test_way_back(void) {
    static const char *const activations[] = {"dense:40:tanh", "dense:40", "dense:40:softmax"};
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++) {
        generator *g = open_generator("dense:50:leaky", activations[i]),
                  *fresh = open_generator("dense:50:leaky", activations[i]);
        float *others = new_floats(g->net->block);
        for (size_t k = 0; k < g->net->block; k++) others[k] = 0.5f * g->params[k];
        gm_walk_expect(g->walk);
        generate(g);
        generate(fresh);
        CHECK(memcmp(g->output, fresh->output, sizeof g->output) == 0);
        CHECK(same_gradients(g, go_back(g, g->params), go_back(fresh, g->params)));
        generate(g);
        CHECK(!same_gradients(g, go_back(g, others), go_back(fresh, others)));
        CHECK(same_gradients(g, go_back(g, others), go_back(fresh, others))); /* kept for one way back */
        for (int change = 0; change < 6; change++) {
            generate(g);
            if (change == 0) g->mode.version++;
            if (change == 1) g->mode.step++;
            if (change == 2) g->z[ROWS * CODE - 1] += 1;
            if (change == 3) g->labels[ROWS - 1] = 0;
            if (change == 4) g->mode.training = false;
            if (change == 5) g->mode.version = 0;
            memcpy(fresh->z, g->z, sizeof g->z);
            memcpy(fresh->labels, g->labels, sizeof g->labels);
            CHECK(same_gradients(g, go_back(g, others), go_back(fresh, others)));
        }
        free(others);
        close_generator(g);
        close_generator(fresh);
    }
}

/* Layers that keep something else for the way back are run again. */
static void test_way_back_of_others(void) {
    static const char *const layers[] = {"dense:50:gelu", "dropout:0.3", "batchnorm"};
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        generator *g = open_generator(layers[i], "dense:40:tanh"), *fresh = open_generator(layers[i], "dense:40:tanh");
        gm_walk_expect(g->walk);
        generate(g);
        generate(fresh);
        CHECK(memcmp(g->output, fresh->output, sizeof g->output) == 0);
        CHECK(same_gradients(g, go_back(g, g->params), go_back(fresh, g->params)));
        close_generator(g);
        close_generator(fresh);
    }
}

/* ---- parameters that stay ---- */

static void forward(gan *g, const float *params, size_t rows, float *output) {
    gm_error e = {.text = ""};
    CHECK(gm_walk_forward(g->walk, params, &g->inputs[0], rows, (gm_mode){0}, output, &e) == 0);
    CHECK_TEXT(e.text, "");
}

/* Weights that are packed once give the bits of weights that are not, which other parameters still are. */
static void test_held(void) {
    static const char *const layers[] = {"dense:200:leaky", "dense:70:gelu", "dense:33:relu", "dense:1:sigmoid"};
    static const size_t rows[] = {1, 2, 63, 65, 129, ROWS};
    float before[ROWS], after[ROWS];
    gm_error e;
    gan *g = open_layers(layers, 4, "mean(x)"), *held = open_layers(layers, 4, "mean(x)");
    gm_walk_hold(held->walk, held->params);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t threads = 1; threads <= 2; threads++) {
            CHECK(gm_threads_set(threads, &e) == 0);
            forward(g, g->params, rows[i], before);
            forward(held, held->params, rows[i], after);
            CHECK(memcmp(before, after, rows[i] * sizeof *before) == 0);
            forward(held, g->params, rows[i], after);
            CHECK(memcmp(before, after, rows[i] * sizeof *before) == 0);
        }
        CHECK(gm_threads_set(1, &e) == 0);
    }
    forward(g, g->params, ROWS, before);
    held->params[held->net->parameters[held->net->layers[0].weights].offset] = NAN; /* seen only if it is read */
    forward(held, held->params, ROWS, after);
    CHECK(gm_matmul_cuts_freely() ? memcmp(before, after, sizeof before) == 0 : isnan(after[0]));
    close_gan(g);
    close_gan(held);
}

/* Rows of a portion, with as many walks as threads or with one. */
static size_t portion_of(const char *first, const char *second, size_t threads, size_t walks) {
    const char *const layers[] = {first, second, "dense:1"};
    gm_error e;
    gm_net *net = parse_net("100", layers, 3);
    float params = 0; /* not read until rows are run */
    gm_team *team = gm_team_new(net, 11, &params, threads, &e);
    size_t rows = team->portion;
    CHECK(team->count == walks);
    gm_team_free(team);
    gm_net_free(net);
    return rows;
}

/* Networks whose weights are not all packed are run in large portions, and with the bits of others (spectral ones). */
static void test_not_held(void) {
    static const char *const layers[] = {"dense:200:leaky", "dense:70:gelu:spectral", "dense:33:relu",
                                         "dense:1:sigmoid"};
    float before[ROWS], after[ROWS];
    const bool cuts = gm_matmul_cuts_freely();
    const size_t few = cuts ? 128 * 784 / 100 : 2048;
    for (size_t threads = 1; threads <= 3; threads++) {
        CHECK(portion_of("dense:200:relu", "dense:300", threads, cuts ? threads : 1) == few);
        CHECK(portion_of("dense:2000:relu", "dense:1900", threads, cuts ? threads : 1) == few);
        CHECK(portion_of("dense:2000:relu", "dense:2000", threads, 1) == 2048);
        CHECK(portion_of("rff:200:1", "dense:300", threads, 1) == 2048);
        CHECK(portion_of("dense:200:relu:spectral", "dense:300", threads, 1) == 2048);
    }
    gan *g = open_layers(layers, 4, "mean(x)"), *held = open_layers(layers, 4, "mean(x)");
    gm_walk_hold(held->walk, held->params);
    for (int i = 0; i < 2; i++) {
        forward(g, g->params, ROWS, before);
        forward(held, held->params, ROWS, after);
        CHECK(memcmp(before, after, sizeof before) == 0);
    }
    close_gan(g);
    close_gan(held);
}

/* ---- layers wider than the pieces in which loops work ---- */

static double slope(gm_activation a, double v) {
    double s = 1 / (1 + exp(-v));
    switch (a) {
    case GM_TANH:
        return 1 - tanh(v) * tanh(v);
    case GM_SIGMOID:
        return s * (1 - s);
    case GM_ELU:
        return v > 0 ? 1 : exp(v);
    case GM_GELU:
        return 0.5 * (1 + erf(v / sqrt(2.0))) + v * exp(-v * v / 2) / sqrt(2 * acos(-1.0));
    case GM_SOFTPLUS:
        return s;
    default:
        return 1;
    }
}

static void fill_wide(float *v) {
    for (size_t i = 0; i < WIDE * WIDE_ROWS; i++) v[i] = (float)(i * 7919 % 4001) / 1000.0f - 2.0f;
}

static void test_wide_activations(void) {
    static const gm_activation activations[] = {GM_LINEAR, GM_TANH, GM_SIGMOID, GM_ELU, GM_GELU, GM_SOFTPLUS};
    static float v[WIDE * WIDE_ROWS];
    fill_wide(v);
    for (size_t k = 0; k < sizeof activations / sizeof *activations; k++) {
        plain *p = open_plain(WIDE, gm_activation_text(activations[k]));
        double worst = 0, worst_bias = 0;
        CHECK(run_plain(p, "1300*mean(x)", WIDE_ROWS, v, (gm_target){0}) == 0);
        for (size_t j = 0; j < WIDE; j++) {
            double sum = 0;
            for (size_t i = 0; i < WIDE_ROWS; i++) {
                double wanted = slope(activations[k], (double)v[i * WIDE + j]) / (double)WIDE_ROWS;
                worst = fmax(worst, fabs((double)p->input_gradient[i * WIDE + j] - wanted));
                sum += wanted;
            }
            worst_bias = fmax(worst_bias, fabs((double)p->gradient[p->net->parameters[1].offset + j] - sum));
        }
        CHECK_NEAR(worst, 0.0, 2e-6);
        CHECK_NEAR(worst_bias, 0.0, 4e-6);
        close_plain(p);
    }
}

/* The products of a wide layer are cut, where there is one chunk, for the threads to share. */
static void test_wide_same_bits(void) {
    static float v[WIDE * WIDE_ROWS], input_gradient[WIDE * WIDE_ROWS];
    plain *p = open_plain(WIDE, "gelu");
    size_t n = p->net->block;
    float *gradient = new_floats(n);
    double value = 0;
    fill_wide(v);
    for (size_t i = 0; i < n; i++) p->params[i] = (float)(i * 104729 % 2003) / 4e4f - 0.025f;
    for (size_t i = 0; i < 6; i++) {
        const size_t threads = i % 3 + 1, rows = i < 3 ? WIDE_ROWS : 1;
        CHECK(gm_threads_set(threads, &p->e) == 0);
        CHECK(run_plain(p, "mse(x,1)", rows, v, (gm_target){0}) == 0);
        if (threads == 1) {
            memcpy(gradient, p->gradient, n * sizeof *gradient);
            memcpy(input_gradient, p->input_gradient, sizeof input_gradient);
            value = p->value;
        }
        CHECK(memcmp(gradient, p->gradient, n * sizeof *gradient) == 0);
        CHECK(memcmp(input_gradient, p->input_gradient, sizeof input_gradient) == 0);
        CHECK(value == p->value && value > 0);
    }
    CHECK(gm_threads_set(1, &p->e) == 0);
    free(gradient);
    close_plain(p);
}

static void test_wide_losses(void) {
    static float v[WIDE * WIDE_ROWS], t[WIDE * WIDE_ROWS];
    static const int32_t y[] = {1299, 0, 700};
    plain *p = open_plain(WIDE, "linear");
    double bce = 0, mse = 0, hot = 0, column = 0;
    fill_wide(v);
    for (size_t i = 0; i < WIDE * WIDE_ROWS; i++) {
        double x = (double)v[i];
        t[i] = (float)(i % 101) / 100.0f;
        bce += log1p(exp(x)) - x * (double)t[i];
        mse += (x - (double)t[i]) * (x - (double)t[i]);
        hot += fabs(x - (i % WIDE == (size_t)y[i / WIDE]));
        column += fabs(x - (double)t[i / WIDE]);
    }
    double n = (double)(WIDE * WIDE_ROWS);
    CHECK(run_plain(p, "bce(x,t)", WIDE_ROWS, v, (gm_target){.values = t, .columns = WIDE}) == 0);
    CHECK_NEAR(p->value, bce / n, 1e-6);
    CHECK(run_plain(p, "mse(x,t)", WIDE_ROWS, v, (gm_target){.values = t, .columns = WIDE}) == 0);
    CHECK_NEAR(p->value, mse / n, 1e-6);
    CHECK(run_plain(p, "mae(x,t)", WIDE_ROWS, v, (gm_target){.labels = y}) == 0);
    CHECK_NEAR(p->value, hot / n, 1e-6);
    CHECK(run_plain(p, "mae(x,t)", WIDE_ROWS, v, (gm_target){.values = t, .columns = 1}) == 0);
    CHECK_NEAR(p->value, column / n, 1e-6);
    close_plain(p);
}

/* ---- refusals ---- */

static void refused(plain *p, const char *text, size_t rows, const float *v, const char *message, gm_target target) {
    CHECK(run_plain(p, text, rows, v, target) < 0);
    CHECK_TEXT(p->e.text, message);
}

static void test_bad_targets(void) {
    static const float v[12] = {0}, t[] = {0.5f, 1.5f, 0.5f, 0.5f}, s[] = {1.0f, 1.0f, -1.0f, 0.0f};
    static const int32_t y[] = {0, 2, 1, 12}, z[] = {1, -1, 0, 0}, w[] = {1, -2, 0, 0};
    plain *p = open_plain(3, "softmax"), *one = open_plain(1, "linear"), *two = open_plain(2, "linear");
    refused(p, "ce(x,y)", 4, v, "tensor 'y': row 3: class 12 is outside 0..2", (gm_target){.labels = y});
    refused(p, "mse(x,y)", 4, v, "tensor 'y': row 1: class -1 is outside 0..2", (gm_target){.labels = z});
    refused(p, "ce(x,y)", 2, v, "tensor 'y': expected class numbers or 3 columns of probabilities, got 1",
            (gm_target){.values = t, .columns = 1});
    refused(p, "mse(x,y)", 2, v, "tensor 'y': expected 1 or 3 columns, got 2", (gm_target){.values = t, .columns = 2});
    refused(p, "mse(x,y)", 2, v, "tensor 'y' is missing", (gm_target){0});
    refused(one, "bce(x,y)", 4, v, "tensor 'y': row 1: class 2 is outside 0..1", (gm_target){.labels = y});
    refused(one, "hinge(x,y)", 4, v, "tensor 'y': row 1: class -2 is outside 0..1", (gm_target){.labels = w});
    refused(one, "bce(x,y)", 4, v, "tensor 'y': row 1: 1.5 is no probability, which bce needs",
            (gm_target){.values = t, .columns = 1});
    refused(two, "sqhinge(x,y)", 2, v, "tensor 'y': row 1: 0 is neither -1 nor 1, which sqhinge needs",
            (gm_target){.values = s, .columns = 2});
    refused(one, "mse(x,y)", 1, v, "tensor 'y': expected 1 column, got 4", (gm_target){.values = s, .columns = 4});
    CHECK(!one->e.usage);
    CHECK(run_plain(one, "mse(x,y)", 4, v, (gm_target){.labels = y}) == 0); /* a number is as good as any */
    CHECK_NEAR(one->value, (4.0 + 1 + 144) / 4, 1e-5);
    close_plain(p);
    close_plain(one);
    close_plain(two);
}

static void test_bad_calls(void) {
    static const float v[3] = {0};
    plain *p = open_plain(3, "sigmoid");
    refused(p, "ce(x,y)", 1, v, "loss: column 1: ce needs a softmax output; the last layer is sigmoid", (gm_target){0});
    refused(p, "bce(x,1)", 0, v, "a batch without rows has no mean", (gm_target){0});
    refused(p, "bce(x,1)", SIZE_MAX / 2, v, "a batch too large for memory", (gm_target){0});
    CHECK(run_plain(p, "l2()", 0, v, (gm_target){0}) == 0);
    CHECK_NEAR(p->value, 3.0, 1e-12);
    close_plain(p);
}

static void refused_input(const gm_net *net, const gm_input *input, const char *text) {
    gm_error e = {.text = ""};
    CHECK(gm_input_check(input, net, 2, &e) < 0);
    CHECK_TEXT(e.text, text);
    CHECK(!e.usage);
}

static void test_bad_inputs(void) {
    static const char *const layers[] = {"dense:2"};
    static const float v[200] = {0};
    static const int32_t good[] = {9, 0}, bad[] = {9, 10};
    gm_error e;
    gm_net *one = parse_net("20", layers, 1), *two = parse_net("20+classes", layers, 1);
    gm_input input = {
        .part_count = 1,
        .parts = {{.name = "z", .values = v, .columns = 100}, {.name = "y", .labels = good, .columns = 10}}};
    refused_input(one, &input, "tensor 'z': expected 20 columns, got 100");
    refused_input(two, &input, "tensor 'z': expected 30 columns, got 100");
    input.part_count = 2;
    refused_input(two, &input, "tensor 'z': expected 20 columns, got 100");
    refused_input(one, &input, "tensor 'z': 100 columns are too many, the joined input has 20");
    input.parts[0].columns = 5;
    refused_input(one, &input, "2 tensors joined: expected 20 columns in all, got 15");
    input.parts[0].columns = 10;
    CHECK(gm_input_check(&input, one, 2, &e) == 0);
    input.parts[0].columns = 20;
    CHECK(gm_input_check(&input, two, 2, &e) == 0);
    input.parts[1].labels = bad;
    refused_input(two, &input, "tensor 'y': row 1: class 10 is outside 0..9");
    input.parts[1].columns = SIZE_MAX;
    refused_input(one, &input, "tensor 'y': 18446744073709551615 columns are too many, the joined input has 20");
    gm_net_free(one);
    gm_net_free(two);
}

/* A network of packs does what one as wide as they are does with the same numbers, to the bit, also where parts are
 * joined; `joined` are its rows, parts side by side, r of a pack one after the other. */
static void compare_packs(const char *const *layers, size_t n, const char *loss) {
    enum { PACK = 3, COLUMNS = 6, CLASSES = 10, PACKS = 70, WIDTH = PACK * (COLUMNS + CLASSES) };
    static float x[2][PACKS * PACK * COLUMNS], joined[2][PACKS * WIDTH], d[2][2][PACKS * WIDTH], out[2][PACKS];
    static int32_t y[PACKS * PACK];
    gm_error e = {.text = ""};
    gm_net *nets[2] = {parse_net("pac:3:6+classes", layers, n), parse_net("48", layers, n)};
    gm_input inputs[2][2];
    gm_loss parsed;
    double values[2];
    CHECK(gm_loss_parse(loss, &parsed, &e) == 0);
    memset(joined, 0, sizeof joined);
    for (size_t o = 0; o < 2; o++) {
        for (size_t row = 0; row < PACKS * PACK; row++) {
            float *to = joined[o] + row * (COLUMNS + CLASSES);
            for (size_t i = 0; i < COLUMNS; i++)
                x[o][row * COLUMNS + i] = to[i] =
                    (float)(((row * COLUMNS + i) * 7919 + o * 104729) % 2001) / 1000.0f - 1.0f;
            y[row] = (int32_t)(row * 7 % CLASSES);
            to[COLUMNS + y[row]] = 1.0f;
        }
        inputs[0][o] = (gm_input){.part_count = 2,
                                  .parts = {{.name = "x", .values = x[o], .columns = COLUMNS},
                                            {.name = "y", .labels = y, .columns = CLASSES}}};
        inputs[1][o] = (gm_input){.part_count = 1, .parts = {{.name = "x", .values = joined[o], .columns = WIDTH}}};
    }
    float *params = gm_new(nets[0]->block, sizeof *params, &e), *blocks[2];
    CHECK(nets[0]->block == nets[1]->block && gm_net_init(nets[0], "he", 3, params, &e) == 0);
    for (size_t k = 0; k < 2; k++) {
        float *gradients[4 * PARAMETERS], *input_gradients[2] = {d[k][0], d[k][1]};
        gm_walk *walk = gm_walk_new(nets[k], 11, &e);
        blocks[k] = gm_new_zeroed(nets[k]->block, sizeof(float), &e);
        place(nets[k], blocks[k], gradients);
        gm_backward call = {.loss = &parsed,
                            .rows = k == 0 ? PACKS * PACK : PACKS,
                            .inputs = inputs[k],
                            .mode = {.training = true, .seed = 5, .step = 9},
                            .gradients = gradients,
                            .input_gradients = input_gradients,
                            .value = &values[k]};
        CHECK(gm_walk_backward(walk, params, &call, &e) == 0);
        CHECK(gm_walk_forward(walk, params, &inputs[k][0], call.rows, call.mode, out[k], &e) == 0);
        gm_walk_free(walk);
    }
    CHECK_TEXT(e.text, "");
    CHECK(values[0] == values[1] && memcmp(out[0], out[1], sizeof out[0]) == 0);
    CHECK(memcmp(blocks[0], blocks[1], nets[0]->block * sizeof(float)) == 0);
    CHECK(memcmp(d[0], d[1], sizeof d[0]) == 0 && d[0][0][PACKS * WIDTH - 1] != 0.0f);
    for (size_t k = 0; k < 2; k++) {
        free(blocks[k]);
        gm_net_free(nets[k]);
    }
    free(params);
}

static void test_packs(void) {
    static const char *const plain_layers[] = {"dense:40:leaky", "dropout:0.3", "dense:1:sigmoid"};
    static const char *const staged_layers[] = {"dense:40:leaky:spectral", "batchnorm", "dropout:0.3", "dense:1"};
    compare_packs(plain_layers, 3, "bce(x,0.9) + bce(z,0) + 1e-3*l2()");
    compare_packs(staged_layers, 4, "mean(z) - mean(x)");
}

static void test_bad_packs(void) {
    static const char *const layers[] = {"dense:2"};
    static const float v[200] = {0};
    static const int32_t labels[] = {0, 1, 9, 10};
    gm_error e;
    gm_net *net = parse_net("pac:4:20", layers, 1), *two = parse_net("pac:2:20+classes", layers, 1);
    gm_input input = {
        .part_count = 1,
        .parts = {{.name = "z", .values = v, .columns = 20}, {.name = "y", .labels = labels, .columns = 10}}};
    refused_input(net, &input, "a batch of 2 rows is no multiple of the pack of 4");
    CHECK(gm_input_check(&input, net, 8, &e) == 0);
    input.parts[0].columns = 80;
    refused_input(net, &input, "tensor 'z': expected 20 columns, got 80");
    input.parts[0].columns = 20;
    input.part_count = 2;
    CHECK(gm_input_check(&input, two, 2, &e) == 0);
    CHECK(gm_input_check(&input, two, 4, &e) < 0);
    CHECK_TEXT(e.text, "tensor 'y': row 3: class 10 is outside 0..9");
    gm_net_free(net);
    gm_net_free(two);
}

int main(void) {
    RUN(test_same_bits);
    RUN(test_same_bits_of_cuts);
    RUN(test_what_is_wanted);
    RUN(test_forward_is_backwards_forward);
    RUN(test_operands_have_their_masks);
    RUN(test_masks_follow_the_step);
    RUN(test_saturated_bce);
    RUN(test_saturated_ce);
    RUN(test_nan_is_seen);
    RUN(test_values);
    RUN(test_way_back);
    RUN(test_way_back_of_others);
    RUN(test_held);
    RUN(test_not_held);
    RUN(test_wide_activations);
    RUN(test_wide_same_bits);
    RUN(test_wide_losses);
    RUN(test_bad_targets);
    RUN(test_bad_calls);
    RUN(test_bad_inputs);
    RUN(test_packs);
    RUN(test_bad_packs);
    return check_done();
}
