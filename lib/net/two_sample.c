/* two_sample.c: can a small network tell two sets of rows apart? */
#include "../math/sample.h"

#include "gm/grad.h"
#include "gm/optim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BATCH ((size_t)64)
#define UPDATES_LEAST ((size_t)300)
#define UPDATES_MOST ((size_t)3000)
#define EPOCHS ((size_t)20)

/* Both sets, standardized: first the real rows, then the fake ones; `half` of each. */
typedef struct trial {
    size_t half, columns;
    float *x;
    int32_t *y;
    gm_net *net;
    gm_walk *walk;
    gm_loss loss;
    gm_optim optim;
    float *blocks;   /* parameters and two moments, and the same again for the step after */
    float *gradient; /* a block */
    float **gradients;
    float *batch;
    int32_t *labels;
    uint32_t *order; /* of the rows that are trained on */
    uint64_t seed;
} trial;

static void trial_free(trial *t) {
    gm_walk_free(t->walk);
    gm_net_free(t->net);
    free(t->x);
    free(t->y);
    free(t->blocks);
    free(t->gradient);
    free(t->gradients);
    free(t->batch);
    free(t->labels);
    free(t->order);
}

static void standardize(size_t rows, size_t columns, float *x) {
    for (size_t c = 0; c < columns; c++) {
        double sum = 0, squares = 0;
        for (size_t i = 0; i < rows; i++) sum += (double)x[i * columns + c];
        const double mean = sum / (double)rows;
        for (size_t i = 0; i < rows; i++) squares += pow((double)x[i * columns + c] - mean, 2);
        const double deviation = sqrt(squares / (double)rows);
        for (size_t i = 0; i < rows; i++)
            x[i * columns + c] = deviation > 0 ? (float)(((double)x[i * columns + c] - mean) / deviation) : 0;
    }
}

static int fill(trial *t, const gm_points *real, const gm_points *fake, gm_error *e) {
    const size_t numbers = t->half * t->columns;
    t->x = gm_new(2 * t->half, t->columns * sizeof *t->x, e);
    t->y = gm_new_zeroed(2 * t->half, sizeof *t->y, e);
    float *a = gm_draw_rows(real, t->half, GM_DRAW_REAL, t->seed, e);
    float *b = a ? gm_draw_rows(fake, t->half, GM_DRAW_FAKE, t->seed, e) : NULL;
    const bool ok = t->x && t->y && b;
    if (ok) {
        memcpy(t->x, a, numbers * sizeof *a);
        memcpy(t->x + numbers, b, numbers * sizeof *b);
        for (size_t i = 0; i < t->half; i++) t->y[i] = 1;
        standardize(2 * t->half, t->columns, t->x);
    }
    free(a);
    free(b);
    return ok ? 0 : -1;
}

static int make_network(trial *t, gm_error *e) {
    static const char *const layers[] = {GM_TWO_SAMPLE_LAYERS};
    char input[24];
    size_t digits = 0, value = t->columns;
    char reversed[24];
    do reversed[digits++] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    for (size_t i = 0; i < digits; i++) input[i] = reversed[digits - 1 - i];
    input[digits] = '\0';
    t->net = gm_net_parse(input, layers, sizeof layers / sizeof *layers, (gm_words){0}, e);
    if (!t->net || gm_loss_parse("bce(x,y) + 1e-3*l2()", &t->loss, e) != 0 ||
        gm_optim_parse("adam:lr=3e-3", &t->optim, e) != 0)
        return -1;
    const size_t count = t->net->parameter_count;
    t->walk = gm_walk_new(t->net, t->seed, e);
    t->blocks = gm_new(6 * t->net->block, sizeof *t->blocks, e);
    t->gradient = gm_new(t->net->block, sizeof *t->gradient, e);
    t->gradients = gm_new(count, sizeof *t->gradients, e);
    t->batch = gm_new(2 * t->half, t->columns * sizeof *t->batch, e);
    t->labels = gm_new(2 * t->half, sizeof *t->labels, e);
    t->order = gm_new(2 * t->half, sizeof *t->order, e);
    if (!t->walk || !t->blocks || !t->gradient || !t->gradients || !t->batch || !t->labels || !t->order) return -1;
    for (size_t i = 0; i < count; i++) t->gradients[i] = t->gradient + t->net->parameters[i].offset;
    return 0;
}

static bool is_judged(const trial *t, size_t row, size_t fold) {
    return row % t->half % GM_TWO_SAMPLE_FOLDS == fold;
}

/* One update, from blocks `now` to blocks `next`. */
static int update(trial *t, uint64_t number, size_t rows, const float *now, float *next, gm_error *e) {
    const size_t block = t->net->block;
    const gm_input input = {.part_count = 1, .parts = {{.name = "x", .values = t->batch, .columns = t->columns}}};
    const gm_target targets[GM_TERMS_MAX] = {{.labels = t->labels}};
    const gm_backward call = {
        .loss = &t->loss, .rows = rows, .inputs = &input, .targets = targets, .gradients = t->gradients};
    if (gm_walk_backward(t->walk, now, &call, e) != 0) return -1;
    for (size_t i = 0; i < t->net->parameter_count; i++) {
        const gm_parameter *p = &t->net->parameters[i];
        const float *state[2] = {now + block + p->offset, now + 2 * block + p->offset};
        float *new_state[2] = {next + block + p->offset, next + 2 * block + p->offset};
        if (!gm_optim_update(&t->optim, number, p->count, false, t->gradients[i], now + p->offset, state,
                             next + p->offset, new_state))
            return gm_fail(e, "the two-sample test did not converge: its numbers are not finite");
    }
    return 0;
}

/* Batches of the rows outside of the fold, each epoch in another order. *trained: the blocks in the end. */
static int train(trial *t, size_t fold, const float **trained, gm_error *e) {
    const size_t block = t->net->block;
    float *now = t->blocks, *next = t->blocks + 3 * block;
    size_t rows = 0, at = 0;
    uint64_t epoch = 0;
    memset(t->blocks, 0, 6 * block * sizeof *t->blocks);
    if (gm_net_init(t->net, "he", t->seed, now, e) != 0) return -1;
    for (size_t i = 0; i < 2 * t->half; i++) rows += !is_judged(t, i, fold);
    const size_t size = rows < BATCH ? rows : BATCH, wanted = rows < BATCH ? EPOCHS : EPOCHS * rows / BATCH;
    const size_t updates = wanted < UPDATES_LEAST ? UPDATES_LEAST : wanted > UPDATES_MOST ? UPDATES_MOST : wanted;
    for (size_t u = 0; u < updates; u++) {
        for (size_t n = 0; n < size;) {
            if (at == 0)
                gm_rng_permutation((gm_rng){.seed = t->seed,
                                            .purpose = GM_PURPOSE_COMPARE,
                                            .stream = GM_DRAW_BATCHES,
                                            .step = epoch++ * GM_TWO_SAMPLE_FOLDS + fold},
                                   2 * t->half, t->order);
            const size_t row = t->order[at];
            at = at + 1 < 2 * t->half ? at + 1 : 0;
            if (is_judged(t, row, fold)) continue;
            memcpy(t->batch + n * t->columns, t->x + row * t->columns, t->columns * sizeof *t->x);
            t->labels[n++] = t->y[row];
        }
        if (update(t, u + 1, size, now, next, e) != 0) return -1;
        float *turn = now;
        now = next;
        next = turn;
    }
    *trained = now;
    return 0;
}

/* Adds the rows of the fold that are told rightly. */
static int judge(trial *t, size_t fold, const float *params, size_t *right, size_t *judged, gm_error *e) {
    size_t n = 0;
    for (size_t i = 0; i < 2 * t->half; i++) {
        if (!is_judged(t, i, fold)) continue;
        memcpy(t->batch + n * t->columns, t->x + i * t->columns, t->columns * sizeof *t->x);
        t->labels[n++] = t->y[i];
    }
    const gm_input input = {.part_count = 1, .parts = {{.name = "x", .values = t->batch, .columns = t->columns}}};
    float *logits = gm_new(n, sizeof *logits, e);
    int status = logits ? gm_walk_forward(t->walk, params, &input, n, (gm_mode){0}, logits, e) : -1;
    for (size_t i = 0; status == 0 && i < n; i++) *right += (logits[i] > 0) == (t->labels[i] == 1);
    *judged += n;
    free(logits);
    return status;
}

/* Of a share p of `count` independent trials. E. B. Wilson: Probable inference, the law of succession, and statistical
 * inference. JASA 22, 1927. */
static void wilson(double p, double count, double *low, double *high) {
    const double z = 1.959963984540054, square = z * z / count;
    const double middle = (p + square / 2) / (1 + square);
    const double reach = z * sqrt(p * (1 - p) / count + square / (4 * count)) / (1 + square);
    *low = middle - reach;
    *high = middle + reach;
}

/* The folds' networks have learnt from each other's rows, so all the judged rows say less than as many independent
 * ones: the variance of the mean is 1 + K / (K - 1) times theirs, with K folds. C. Nadeau, Y. Bengio: Inference for the
 * generalization error. Machine Learning 52, 2003, section 3. */
static double independent_rows(size_t judged) {
    const double folds = GM_TWO_SAMPLE_FOLDS;
    return (double)judged / (1 + folds / (folds - 1));
}

int gm_two_sample(const gm_points *real, const gm_points *fake, uint64_t seed, gm_two_sample_figures *f, gm_error *e) {
    size_t right = 0, judged = 0;
    *f = (gm_two_sample_figures){0};
    if (gm_points_check(real, fake, GM_TWO_SAMPLE_ROWS, e) != 0) return -1;
    trial t = {.half = real->rows < fake->rows ? real->rows : fake->rows, .columns = real->columns, .seed = seed};
    if (t.half > GM_TWO_SAMPLE_MOST) t.half = GM_TWO_SAMPLE_MOST;
    int status = fill(&t, real, fake, e) == 0 && make_network(&t, e) == 0 ? 0 : -1;
    for (size_t fold = 0; status == 0 && fold < GM_TWO_SAMPLE_FOLDS; fold++) {
        const float *params = NULL;
        status = train(&t, fold, &params, e) == 0 ? judge(&t, fold, params, &right, &judged, e) : -1;
    }
    if (status == 0) {
        f->rows = judged;
        f->accuracy = (double)right / (double)judged;
        wilson(f->accuracy, independent_rows(judged), &f->low, &f->high);
    }
    trial_free(&t);
    return status;
}
