#include "check.h"

#include "gm/reduce.h"

#include <stdlib.h>

static gm_error e;

static float *put(gm_record *r, const char *name, size_t rows, size_t columns, float first) {
    float *numbers = gm_record_put_matrix(r, name, rows, columns, &e);
    if (!numbers) exit(1);
    for (size_t i = 0; i < rows * columns; i++) numbers[i] = first + (float)i;
    return numbers;
}

/* What gm-grad leaves of two models, between other things. */
static gm_record *part(size_t rows, float first) {
    gm_record *r = gm_record_new(&e);
    if (!r) exit(1);
    r->rows = rows;
    put(r, "x", rows, 3, 0);
    put(r, "grad/D/0.W", 2, 3, first);
    put(r, "grad/DD/0.W", 1, 2, first);
    put(r, "stat/D/1.mean", 1, 4, 10 * first);
    put(r, "grad/D", 1, 1, 0);
    put(r, "gradual/D/x", 1, 1, 0);
    CHECK(gm_record_set_scalar(r, "loss/D", (double)first, &e) == 0);
    CHECK(gm_record_set_scalar(r, "loss/DD", 2, &e) == 0);
    CHECK(gm_record_set_scalar(r, "lr/D", 0.5, &e) == 0);
    return r;
}

static gm_gradients find(gm_record *r, char *const *models, size_t count) {
    gm_gradients g = {0};
    CHECK(gm_gradients_find(&g, r, models, count, &e) == 0);
    return g;
}

static char *const models[] = {"D", "G"};

static void test_find(void) {
    gm_record *r = part(3, 1);
    gm_gradients g = find(r, models, 2);
    CHECK(g.tensor_count == 2 && g.numbers == 10 && g.scalar_count == 1 && g.totals == 2);
    CHECK(gm_gradients_find(&g, r, NULL, 0, &e) == 0);
    CHECK(g.tensor_count == 4 && g.numbers == 13 && g.scalar_count == 2 && g.totals == 3);
    CHECK(gm_gradients_find(&g, r, models + 1, 1, &e) == 0 && g.tensor_count == 0 && g.numbers == 0 && g.totals == 1);
    CHECK(gm_record_put(r, "stat/D/1.variance", GM_F8, 1, (size_t[]){2}, &e));
    CHECK(gm_gradients_find(&g, r, models + 1, 1, &e) == 0);
    CHECK(gm_gradients_find(&g, r, models, 1, &e) == -1);
    CHECK_TEXT(e.text, "tensor 'stat/D/1.variance': expected <f4, got <f8");
    gm_gradients_free(&g);
    gm_record_free(r);
}

/* The rows of parts, their numbers and what else is in the record make no difference; names, shapes and order do. */
static void test_signature(void) {
    gm_record *r = part(3, 1), *s = part(5, 2);
    gm_record_remove(s, "x");
    gm_gradients g = find(r, models, 1), h = find(s, models, 1);
    CHECK(g.signature == h.signature && gm_gradients_compare(&g, &h, &e) == 0);
    CHECK(gm_gradients_find(&h, s, NULL, 0, &e) == 0 && g.signature != h.signature);
    CHECK(gm_gradients_compare(&g, &h, &e) == -1);
    CHECK_TEXT(e.text, "tensor 'grad/DD/0.W' stands where 'stat/D/1.mean' is expected");
    put(s, "grad/D/0.W", 3, 2, 0);
    CHECK(gm_gradients_find(&h, s, models, 1, &e) == 0 && g.signature != h.signature);
    CHECK(gm_gradients_compare(&g, &h, &e) == -1);
    CHECK_TEXT(e.text, "tensor 'grad/D/0.W': expected 2×3, got 3×2");
    put(s, "grad/D/0.W", 2, 3, 0);
    gm_record_remove(s, "stat/D/1.mean");
    CHECK(gm_gradients_find(&h, s, models, 1, &e) == 0 && g.signature != h.signature);
    CHECK(gm_gradients_compare(&g, &h, &e) == -1);
    CHECK_TEXT(e.text, "tensor 'stat/D/1.mean' is missing");
    CHECK(gm_gradients_compare(&h, &g, &e) == -1);
    CHECK_TEXT(e.text, "tensor 'stat/D/1.mean' is one too many");
    put(s, "stat/D/1.mean", 1, 4, 0);
    gm_record_remove_scalar(s, "loss/D");
    CHECK(gm_gradients_find(&h, s, models, 1, &e) == 0 && g.signature != h.signature);
    CHECK(gm_gradients_compare(&g, &h, &e) == -1);
    CHECK_TEXT(e.text, "scalar 'loss/D' is missing");
    gm_gradients_free(&g);
    gm_gradients_free(&h);
    gm_record_free(r);
    gm_record_free(s);
}

static void test_weighted_mean(void) {
    gm_record *r = part(1, 4), *s = part(3, 8);
    gm_gradients g = find(r, models, 1), h = find(s, models, 1);
    float sums[10];
    double totals[2];
    CHECK(gm_gradients_weigh(&g, sums, totals, &e) == 0 && sums[0] == 4 && totals[0] == 1 && totals[1] == 4);
    CHECK(gm_gradients_add(&h, sums, totals, &e) == 0 && sums[0] == 28 && totals[0] == 4 && totals[1] == 28);
    CHECK(gm_gradients_set(&g, sums, totals, &e) == 0);
    const float *w = gm_record_tensor(r, "grad/D/0.W")->data, *mean = gm_record_tensor(r, "stat/D/1.mean")->data;
    double loss = 0;
    CHECK(w[0] == 7 && w[5] == 12 && mean[0] == 70 && mean[3] == 73);
    CHECK(gm_record_scalar(r, "loss/D", &loss) && loss == 7);
    CHECK(gm_record_scalar(r, "loss/DD", &loss) && loss == 2 && r->rows == 1);
    const float *other = gm_record_tensor(r, "grad/DD/0.W")->data;
    CHECK(other[0] == 4 && other[1] == 5);
    gm_gradients_free(&g);
    gm_gradients_free(&h);
    gm_record_free(r);
    gm_record_free(s);
}

/* Means are quotients to the bit, also by powers of two. */
static void test_quotients(void) {
    static const double rows[] = {3, 4, 255, 256, 384};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        gm_record *r = part(1, 4);
        gm_gradients g = find(r, models, 1);
        float sums[10];
        double totals[2] = {rows[i], 1};
        for (size_t k = 0; k < 10; k++) sums[k] = 0.1F * (float)k - 1e-37F;
        CHECK(gm_gradients_set(&g, sums, totals, &e) == 0);
        const float *w = gm_record_tensor(r, "grad/D/0.W")->data;
        for (size_t k = 0; k < 6; k++) CHECK(w[k] == sums[k] / (float)rows[i]);
        gm_gradients_free(&g);
        gm_record_free(r);
    }
}

/* The only part keeps its bits: 3 v / 3 need not be v. */
static void test_single_part(void) {
    gm_record *r = part(3, 0.1F);
    gm_gradients g = find(r, NULL, 0);
    float sums[13], before[6];
    double totals[3];
    memcpy(before, gm_record_tensor(r, "grad/D/0.W")->data, sizeof before);
    CHECK(gm_gradients_weigh(&g, sums, totals, &e) == 0 && gm_gradients_set(&g, sums, totals, &e) == 0);
    CHECK(memcmp(before, gm_record_tensor(r, "grad/D/0.W")->data, sizeof before) == 0);
    gm_gradients_free(&g);
    gm_record_free(r);
}

static void test_bad_numbers(void) {
    gm_record *r = part(2, 1);
    gm_gradients g = find(r, models, 1);
    float sums[10], *w = gm_record_tensor(r, "grad/D/0.W")->data;
    double totals[2];
    w[4] = NAN;
    CHECK(gm_gradients_weigh(&g, sums, totals, &e) == -1);
    CHECK_TEXT(e.text, "tensor 'grad/D/0.W' is not finite at index 4");
    w[4] = 3e38F;
    CHECK(gm_gradients_weigh(&g, sums, totals, &e) == -1);
    CHECK_TEXT(e.text, "tensor 'grad/D/0.W': the sum over rows is not finite at index 4");
    w[4] = 1e38F;
    CHECK(gm_gradients_weigh(&g, sums, totals, &e) == 0 && gm_gradients_add(&g, sums, totals, &e) == -1);
    CHECK_TEXT(e.text, "tensor 'grad/D/0.W': the sum over rows is not finite at index 4");
    w[4] = 0;
    CHECK(gm_record_set_scalar(r, "loss/D", INFINITY, &e) == 0);
    CHECK(gm_gradients_weigh(&g, sums, totals, &e) == -1);
    CHECK_TEXT(e.text, "scalar 'loss/D' is not finite");
    CHECK(gm_record_set_scalar(r, "loss/D", 0, &e) == 0 && gm_gradients_weigh(&g, sums, totals, &e) == 0);
    sums[9] = -INFINITY;
    totals[0] = 4;
    CHECK(gm_gradients_set(&g, sums, totals, &e) == -1);
    CHECK_TEXT(e.text, "tensor 'stat/D/1.mean': the sum over rows is not finite at index 3");
    sums[9] = 0;
    totals[1] = NAN;
    CHECK(gm_gradients_set(&g, sums, totals, &e) == -1);
    CHECK_TEXT(e.text, "scalar 'loss/D' is not finite");
    const double none[] = {0, -1, 2.5, NAN, INFINITY, 1e300};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        totals[0] = none[i];
        CHECK(gm_gradients_set(&g, sums, totals, &e) == -1 && strstr(e.text, "the sum is of"));
    }
    r->rows = 0;
    CHECK(gm_gradients_weigh(&g, sums, totals, &e) == -1);
    CHECK_TEXT(e.text, "gradients of 0 rows have no weight");
    gm_gradients_free(&g);
    gm_record_free(r);
}

int main(void) {
    RUN(test_find);
    RUN(test_signature);
    RUN(test_weighted_mean);
    RUN(test_quotients);
    RUN(test_single_part);
    RUN(test_bad_numbers);
    return check_done();
}
