/* score_test.c: figures and calibration against values computed in NumPy in double precision. */
#include "check.h"

#include "gm/score.h"
#include "gm/verdict.h"

#include <stdlib.h>

static gm_error e;

static bool says(const char *part) {
    if (strstr(e.text, part)) return true;
    printf("# the message is: %s\n", e.text);
    return false;
}

static size_t largest(size_t n, const float *p) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (p[i] > p[best]) best = i;
    return best;
}

static gm_figures figures_of(gm_tally *t) {
    gm_figures f = {0};
    CHECK(gm_tally_figures(t, &f, &e) == 0);
    return f;
}

static void test_three_classes(void) {
    static const float p[7][3] = {{.7F, .2F, .1F}, {.1F, .6F, .3F}, {.3F, .3F, .4F},  {.5F, .25F, .25F},
                                  {.2F, .2F, .6F}, {.1F, .8F, .1F}, {.25F, .5F, .25F}};
    static const int32_t y[7] = {0, 1, 2, 1, 2, 1, 0};
    gm_tally *t = gm_tally_new(3, true, &e);
    for (size_t i = 0; i < 7; i++) CHECK(gm_tally_add(t, p[i], largest(3, p[i]), y[i], &e) == 0);
    gm_figures f = figures_of(t);
    CHECK(f.rows == 7);
    CHECK_NEAR(f.accuracy, 5.0 / 7, 1e-12);
    CHECK_NEAR(f.balanced_accuracy, (1.0 / 2 + 2.0 / 3 + 1) / 3, 1e-12);
    CHECK_NEAR(f.macro_f1, (1.0 / 2 + 2.0 / 3 + 1) / 3, 1e-12);
    CHECK_NEAR(f.log_loss, 0.7557641578076539, 1e-12);
    CHECK_NEAR(f.brier, 0.42714285475867164, 1e-12);
    CHECK_NEAR(f.auc, 0.8777777777777778, 1e-12);
    CHECK_NEAR(gm_tally_precision(t, 1), 2.0 / 3, 1e-12);
    CHECK_NEAR(gm_tally_recall(t, 0), 0.5, 1e-12);
    CHECK_NEAR(gm_tally_f1(t, 2), 1, 1e-12);
    CHECK(gm_tally_count(t, 1, 0) == 1 && gm_tally_count(t, 0, 1) == 1 && gm_tally_count(t, 2, 2) == 2);
    gm_tally_free(t);
}

static void test_two_classes(void) {
    static const float p1[6] = {.1F, .4F, .35F, .8F, .5F, .5F};
    static const int32_t y[6] = {0, 0, 1, 1, 1, 0};
    gm_tally *t = gm_tally_new(2, true, &e);
    for (size_t i = 0; i < 6; i++) {
        float p[2] = {1 - p1[i], p1[i]};
        CHECK(gm_tally_add(t, p, largest(2, p), y[i], &e) == 0);
    }
    gm_figures f = figures_of(t);
    CHECK_NEAR(f.accuracy, 4.0 / 6, 1e-12);
    CHECK_NEAR(f.brier, 0.18875000134110453, 1e-9);
    CHECK_NEAR(f.log_loss, 0.5459076983458541, 1e-7); /* 1 - p in float here */
    CHECK_NEAR(f.auc, 0.7222222222222222, 1e-12);
    gm_tally_free(t);
}

/* Scores that are no probabilities, classes that do not occur or are never predicted, no rows. */
static void test_odd_tallies(void) {
    gm_tally *t = gm_tally_new(3, false, &e);
    gm_figures f;
    CHECK(gm_tally_figures(t, &f, &e) == -1 && says("no rows"));
    CHECK(gm_tally_add(t, (float[]){1, -1, 0}, 0, 3, &e) == -1 && says("outside"));
    CHECK(gm_tally_add(t, (float[]){1, -1, 0}, 0, -1, &e) == -1);
    CHECK(gm_tally_add(t, (float[]){1, -1, 0}, 0, 0, &e) == 0);
    f = figures_of(t);
    CHECK(isnan(f.auc) && isnan(f.log_loss) && isnan(f.brier)); /* one class only: no pair */
    CHECK(f.accuracy == 1 && f.balanced_accuracy == 1 && f.macro_f1 == 1);
    CHECK(gm_tally_add(t, (float[]){3, -1, 0}, 0, 1, &e) == 0);
    f = figures_of(t); /* class 0: recall 1, precision 1/2; class 1 was never predicted, class 2 is not there at all */
    CHECK_NEAR(f.balanced_accuracy, 0.5, 1e-12);
    CHECK_NEAR(f.macro_f1, (2.0 / 3) / 2, 1e-12);
    CHECK(gm_tally_precision(t, 1) == 0 && gm_tally_recall(t, 2) == 0);
    CHECK_NEAR(f.auc, (0 + 0.5) / 2, 1e-12); /* class 0: 1 against 3; class 1: equal scores */
    gm_tally_free(t);

    t = gm_tally_new(2, true, &e); /* an impossible class costs much, not everything */
    CHECK(gm_tally_add(t, (float[]){0, 1}, 1, 0, &e) == 0);
    f = figures_of(t);
    CHECK_NEAR(f.log_loss, -log(1e-15), 1e-9);
    gm_tally_free(t);
}

/* The definition, pair by pair. */
static double plain_auc(size_t n, const float *score, const int32_t *y) {
    double ordered = 0, pairs = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++) {
            if (y[i] != 1 || y[k] == 1) continue;
            pairs++;
            ordered += score[i] > score[k] ? 1 : score[i] < score[k] ? 0 : 0.5;
        }
    return ordered / pairs;
}

static void test_auc(void) {
    enum { N = 500 };
    float score[N];
    int32_t y[N];
    uint64_t work[N];
    for (unsigned levels = 2; levels < 100; levels += 7) {
        unsigned state = levels;
        for (size_t i = 0; i < N; i++) {
            state = state * 1103515245U + 12345U;
            score[i] = ((float)(state >> 16 & 0x7fff) - 16384) / 3;
            score[i] = (float)((int)score[i] % (int)levels);
            state = state * 1103515245U + 12345U;
            y[i] = (state >> 16 & 0x7fff) + (score[i] > 0 ? 9000U : 0) > 20000;
        }
        score[0] = -0.0F;
        score[1] = 0.0F;
        score[2] = -1e30F;
        CHECK_NEAR(gm_auc(N, score, 1, y, 1, work), plain_auc(N, score, y), 1e-12);
    }
    CHECK(isnan(gm_auc(N, score, 1, y, 7, work)));
}

static const float platt_scores[9] = {-2, -1.5F, -.3F, .2F, .1F, .9F, 1.4F, -.6F, 2.2F};
static const int32_t platt_labels[9] = {0, 0, 1, 0, 1, 1, 1, 0, 1};

static void test_platt(void) {
    gm_calibration c = {0};
    CHECK(gm_calibrate(9, 1, platt_scores, platt_labels, &c, &e) == 0);
    CHECK(c.kind == GM_PLATT && c.rows == 9 && c.step == 0 && gm_calibration_good(&c));
    CHECK_NEAR(c.slope, 0.996144829799, 1e-7);
    CHECK_NEAR(c.offset, 0.228379090071, 1e-7);
    float p[2];
    gm_calibration_apply(&c, 1, &platt_scores[3], p);
    CHECK_NEAR(p[1], 0.60530235, 1e-6);
    CHECK_NEAR(p[0] + p[1], 1, 1e-7);
}

/* The same probabilities whatever unit the scores are in, also where they separate the classes. */
static void test_scale(void) {
    static const int32_t separate[9] = {0, 0, 0, 1, 1, 1, 1, 0, 1};
    for (int apart = 0; apart < 2; apart++) {
        const int32_t *labels = apart ? separate : platt_labels;
        gm_calibration one, other;
        CHECK(gm_calibrate(9, 1, platt_scores, labels, &one, &e) == 0);
        for (float unit = 1e-6F; unit < 1e7F; unit *= 1000) {
            float scores[9];
            for (size_t i = 0; i < 9; i++) scores[i] = platt_scores[i] * unit;
            CHECK(gm_calibrate(9, 1, scores, labels, &other, &e) == 0);
            CHECK_NEAR(other.slope * (double)unit / one.slope, 1, 1e-5);
            CHECK_NEAR(other.offset, one.offset, 1e-4);
        }
    }
}

static const float scores3[6][3] = {{2, 0, -1}, {.5F, 1, 0},     {1, 1.5F, .2F},
                                    {-1, 0, 2}, {.3F, .1F, .9F}, {1, -1, 1.2F}};
static const int32_t labels3[6] = {0, 1, 0, 2, 2, 1};

static void test_temperature(void) {
    gm_calibration c = {0};
    CHECK(gm_calibrate(6, 3, scores3[0], labels3, &c, &e) == 0);
    CHECK(c.kind == GM_TEMPERATURE && c.offset == 0 && c.rows == 6);
    CHECK_NEAR(c.slope, 0.257284668, 1e-7);
    for (size_t i = 0; i < 6; i++) {
        float p[3];
        gm_calibration_apply(&c, 3, scores3[i], p);
        CHECK_NEAR(p[0] + p[1] + p[2], 1, 1e-6);
        CHECK(largest(3, p) == largest(3, scores3[i]));
    }
    /* all rows right: the smoothed targets keep the slope finite; another unit, the same product */
    static const int32_t right[6] = {0, 1, 1, 2, 2, 2};
    float scaled[18];
    for (size_t i = 0; i < 18; i++) scaled[i] = (&scores3[0][0])[i] * 1e-5F;
    gm_calibration small;
    CHECK(gm_calibrate(6, 3, scores3[0], right, &c, &e) == 0 && c.slope < 100);
    CHECK(gm_calibrate(6, 3, scaled, right, &small, &e) == 0);
    CHECK_NEAR(small.slope * 1e-5 / c.slope, 1, 1e-6);
}

static void test_refusals(void) {
    gm_calibration c;
    static const int32_t ones[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1}, out[9] = {0, 1, 2};
    int32_t opposite[9];
    for (size_t i = 0; i < 9; i++) opposite[i] = !platt_labels[i];
    CHECK(gm_calibrate(0, 1, platt_scores, platt_labels, &c, &e) == -1 && says("no rows"));
    CHECK(gm_calibrate(9, 1, platt_scores, ones, &c, &e) == -1 && says("one class"));
    CHECK(gm_calibrate(3, 3, scores3[0], ones, &c, &e) == -1 && says("one class"));
    CHECK(gm_calibrate(9, 1, platt_scores, out, &c, &e) == -1 && says("outside"));
    CHECK(gm_calibrate(9, 1, platt_scores, opposite, &c, &e) == -1 && says("do not rise with the class"));
    static const int32_t wrong[6] = {2, 0, 2, 0, 1, 1};
    CHECK(gm_calibrate(6, 3, scores3[0], wrong, &c, &e) == -1 && says("do not rise with the class"));
    static const float equal[9] = {4, 4, 4, 4, 4, 4, 4, 4, 4};
    CHECK(gm_calibrate(9, 1, equal, platt_labels, &c, &e) == -1 && says("do not rise"));
    CHECK(gm_calibrate(3, 3, equal, labels3, &c, &e) == -1);
    CHECK(!gm_calibration_good(&(gm_calibration){.kind = GM_PLATT, .slope = -1}));
    CHECK(!gm_calibration_good(&(gm_calibration){.kind = GM_UNCALIBRATED, .slope = 1}));
    CHECK(!gm_calibration_good(&(gm_calibration){.kind = (gm_calibration_kind)7, .slope = 1}));
    CHECK(!gm_calibration_good(&(gm_calibration){.kind = GM_PLATT, .slope = (double)INFINITY}));
}

static gm_verdict verdict_of(const char *last, size_t known) {
    gm_net *net = gm_net_parse("3", &last, 1, (gm_words){0}, &e);
    if (!net) printf("# %s\n", e.text);
    gm_verdict v = gm_verdict_of(net, known);
    gm_net_free(net);
    return v;
}

static void test_meanings(void) {
    CHECK(verdict_of("dense:4:softmax", 4).meaning == GM_MEANS_PROBABILITIES);
    CHECK(verdict_of("dense:4:softmax", 0).meaning == GM_MEANS_PROBABILITIES);
    CHECK(verdict_of("dense:4:softmax", 5).meaning == GM_MEANS_OUTPUT);
    CHECK(verdict_of("dense:1:sigmoid", 2).meaning == GM_MEANS_BINARY);
    CHECK(verdict_of("dense:1", 2).meaning == GM_MEANS_BINARY_SCORE);
    CHECK(verdict_of("dense:4", 4).meaning == GM_MEANS_SCORES);
    /* a discriminator of data with ten classes */
    gm_verdict d = verdict_of("dense:1:sigmoid", 10);
    CHECK(d.meaning == GM_MEANS_OUTPUT && d.classes == 1 && !gm_verdict_probable(&d) && !gm_verdict_scores(&d));
}

/* The class is that of the largest number, the first of equal ones. */
static void test_class(void) {
    gm_verdict v = verdict_of("dense:1:sigmoid", 2);
    float p[4], below = nextafterf(.5F, 0), above = nextafterf(.5F, 1);
    CHECK(gm_verdict_row(&v, (float[]){.5F}, p) == 0 && p[0] == p[1]);
    CHECK(gm_verdict_row(&v, &below, p) == 0 && p[0] >= p[1]);
    CHECK(gm_verdict_row(&v, &above, p) == 1 && p[1] > p[0]);
    v = verdict_of("dense:1", 2);
    CHECK(gm_verdict_row(&v, (float[]){0}, p) == 0 && p[0] == 0 && !signbit(p[0]));
    CHECK(gm_verdict_row(&v, (float[]){2}, p) == 1 && p[0] == -2);
    gm_calibration c = {.kind = GM_PLATT, .slope = 1, .offset = -3, .rows = 1};
    CHECK(gm_verdict_calibrate(&v, &c, &e) == 0 && gm_verdict_probable(&v));
    CHECK(gm_verdict_row(&v, (float[]){2}, p) == 0 && p[0] > p[1]); /* the threshold moved */
    CHECK(gm_verdict_row(&v, (float[]){3}, p) == 0 && p[0] == .5F);
    c.kind = GM_TEMPERATURE;
    CHECK(gm_verdict_calibrate(&v, &c, &e) == -1 && says("does not fit"));
    v = verdict_of("dense:4", 4);
    CHECK(gm_verdict_row(&v, (float[]){1, 7, 7, 0}, p) == 1);
    CHECK(gm_verdict_calibrate(&v, &(gm_calibration){.kind = GM_TEMPERATURE, .slope = 50, .rows = 1}, &e) == 0);
    CHECK(gm_verdict_row(&v, (float[]){1e8F, 7, 2e8F, 0}, p) == 2 && p[2] == 1);
}

int main(void) {
    RUN(test_three_classes);
    RUN(test_two_classes);
    RUN(test_odd_tallies);
    RUN(test_auc);
    RUN(test_platt);
    RUN(test_scale);
    RUN(test_temperature);
    RUN(test_refusals);
    RUN(test_meanings);
    RUN(test_class);
    return check_done();
}
