/* product_test.c: tiles against chains of fmaf, bit for bit: so nothing depends on where a product is cut, packed, or
 * read in place. That a chain is near the exact sum is blas_test.c's. */
#include "../../lib/math/product.h"
#include "check.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { PADDING = 3 };

static const gm_tiles *tiles; /* the kind that is tested */

static void fill(size_t n, float *x, uint32_t state) {
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)(state >> 8) * 0x1p-23f - 1.0f;
    }
}

static float at(gm_operand x, size_t i, size_t j) {
    return x.at[i * x.row + j * x.column];
}

/* One number of C as product.h says it: k is cut into runs of about equal length. */
static float chain(size_t k, gm_operand a, gm_operand b, size_t i, size_t j, gm_ending ending, float c) {
    size_t runs = (k + GM_PRODUCT_RUN - 1) / GM_PRODUCT_RUN;
    for (size_t r = 0; r < runs; r++) {
        float sum = 0.0f, scale = r ? 1.0f : ending.beta;
        for (size_t p = k * r / runs; p < k * (r + 1) / runs; p++) sum = fmaf(at(a, i, p), at(b, p, j), sum);
        c = scale == 0.0f ? sum : scale * c + sum;
    }
    if (ending.biases) c += ending.biases[j];
    return ending.rectified && c < 0.0f ? 0.0f : c;
}

enum { BIASED = 1, RECTIFIED = 2, ENDINGS = 4 };

/* Both factors stored so or transposed, their rows some numbers apart, B packed before or not, the sums ended so: the
 * first number that is not the chain's, or that was written outside C, or SIZE_MAX. */
static size_t first_wrong(size_t m, size_t n, size_t k, bool ta, bool tb, bool packs, float beta, int with,
                          size_t apart, float *strips) {
    size_t lda = (ta ? m : k) + PADDING, ldb = (tb ? k : n) + apart, ldc = n + PADDING, wrong = SIZE_MAX;
    size_t sizes[] = {(ta ? k : m) * lda, (tb ? n : k) * ldb, m * ldc, m * ldc, n, gm_product_packed(n, k)};
    enum { ROOMS = sizeof sizes / sizeof *sizes };
    float *room[ROOMS];
    for (size_t i = 0; i < ROOMS; i++) {
        room[i] = malloc(sizes[i] * sizeof(float)); /* no more than is used: sanitizers see what is read */
        if (!room[i]) abort();
        fill(sizes[i], room[i], i == 3 ? 2 : (uint32_t)i);
    }
    gm_ending ending = {.beta = beta, .biases = with & BIASED ? room[4] : NULL, .rectified = with & RECTIFIED};
    gm_operand a = ta ? (gm_operand){room[0], 1, lda} : (gm_operand){room[0], lda, 1};
    gm_operand b = tb ? (gm_operand){room[1], 1, ldb} : (gm_operand){room[1], ldb, 1};
    float *c = room[2], *before = room[3];
    if (beta == 0.0f) /* C is not read */
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < n; j++) c[i * ldc + j] = before[i * ldc + j] = NAN;
    if (packs) {
        tiles->pack(n, k, b, room[5]);
        for (size_t i = 0; i < sizes[1]; i++) room[1][i] = NAN; /* not read again */
    }
    tiles->product(m, n, k, a, b, packs ? room[5] : NULL, ending, c, ldc, strips);
    if (packs) fill(sizes[1], room[1], 1);
    for (size_t i = 0; i < m * ldc && wrong == SIZE_MAX; i++) {
        float wanted = i % ldc < n ? chain(k, a, b, i / ldc, i % ldc, ending, before[i]) : before[i];
        if (memcmp(&c[i], &wanted, sizeof wanted) != 0) wrong = i;
    }
    for (size_t i = 0; i < ROOMS; i++) free(room[i]);
    return wrong;
}

static void check_shape(size_t m, size_t n, size_t k, float beta, size_t apart) {
    static float strips[GM_PRODUCT_ROOM];
    for (int turned = 0; turned < 16; turned++) {
        int with = (int)((m + n + k) % ENDINGS) ^ turned / 2 % ENDINGS; /* all meet all, in one shape or the other */
        size_t wrong =
            first_wrong(m, n, k, turned & 1, turned & 2, turned & 8, beta, with, apart, turned & 4 ? strips : NULL);
        if (wrong == SIZE_MAX) continue;
        printf("# %s: %zu x %zu x %zu, beta %g, B %zu apart, turned %d, ending %d: number %zu\n", tiles->name, m, n, k,
               (double)beta, apart, turned, with, wrong);
        CHECK(wrong == SIZE_MAX);
    }
}

/* Every height and width of a tile. */
static void test_tiles(void) {
    for (size_t m = 1; m <= 25; m++)
        for (size_t n = 1; n <= 65; n += n < 20 ? 1 : 5) check_shape(m, n, 19, 0, PADDING);
    for (size_t m = 1; m <= 13; m++)
        for (size_t n = 64; n <= 81; n++) check_shape(m, n, 19, 0, PADDING);
    for (size_t m = 1; m <= 25; m += 4)
        for (size_t n = 1; n <= 65; n += 4) check_shape(m, n, 5, m % 3 ? 0.5f : 1, 0);
}

/* Runs, and tails of packed blocks of 16. */
static void test_runs(void) {
    static const size_t lengths[] = {1, 15, 16, 17, 31, 33, 255, 256, 257, 300, 511, 512, 513, 784};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        check_shape(13, 37, lengths[i], 0, PADDING);
        check_shape(12, 32, lengths[i], 0.25f, 0);
    }
}

/* Panels read in place, packed because they meet many rows, packed because their rows are far apart; pieces of A. */
static void test_pieces(void) {
    check_shape(128, 48, 40, 0, 0);
    check_shape(129, 48, 40, 0, 0);
    check_shape(40, 64, 256, 0, 1500);
    check_shape(256, 70, 256, 1, PADDING);
    check_shape(257, 70, 20, 0.5f, PADDING);
    check_shape(384, 33, 20, 1, PADDING);
    check_shape(385, 33, 20, 1, PADDING);
    check_shape(1000, 32, 270, 0, 0);
}

/* What is not a number stays so when it is rectified, and a zero its sign, as by the comparison. */
static void test_special(void) {
    const float one = 1.0f, special[] = {NAN, -0.0f, 0.0f, -1.0f, 2.0f, INFINITY, -INFINITY}, *biases = special;
    enum { N = sizeof special / sizeof *special };
    float b[N], c[N];
    for (size_t j = 0; j < N; j++) b[j] = -0.0f;
    tiles->product(1, N, 1, (gm_operand){&one, 1, 1}, (gm_operand){b, N, 1}, NULL, (gm_ending){0.0f, biases, true}, c,
                   N, NULL);
    for (size_t j = 0; j < N; j++) {
        float sum = fmaf(one, b[j], 0.0f) + biases[j], wanted = sum < 0.0f ? 0.0f : sum;
        CHECK(isnan(wanted) ? isnan(c[j]) : memcmp(&c[j], &wanted, sizeof wanted) == 0);
    }
}

int main(void) {
    bool any = false;
    for (size_t i = 0; (tiles = gm_tiles_kinds[i]); i++) {
        if (!tiles->able()) continue;
        any = true;
        RUN(test_tiles);
        RUN(test_runs);
        RUN(test_pieces);
        RUN(test_special);
    }
    if (!any) {
        puts("ok 1 - tiles # skip this processor is able to none\n1..1");
        return 0;
    }
    return check_done();
}
