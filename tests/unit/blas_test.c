/* blas_test.c: the three products against a naive twin in double, for every kind of shape; products in several threads
 * at once against the same ones in one thread. */
#include "check.h"
#include "gm/blas.h"
#include "gm/threads.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 72, PADDING = 5 };

typedef void product(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                     float *c, size_t ldc);

static void fill(size_t n, float *x, uint32_t state) {
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)(state >> 8) * 0x1p-23f - 1.0f;
    }
}

/* The greatest |c - naive| over the product, or infinity if something beside the product was written. */
static double distance(product *f, size_t m, size_t n, size_t k, float beta, size_t padding, float start) {
    static float a[(MOST + PADDING) * (MOST + PADDING)], b[(MOST + PADDING) * (MOST + PADDING)];
    static float c[(MOST + PADDING) * (MOST + PADDING)], before[(MOST + PADDING) * (MOST + PADDING)];
    bool at = f == gm_matmul_tn, bt = f == gm_matmul_nt;
    size_t lda = (at ? m : k) + padding, ldb = (bt ? k : n) + padding, ldc = n + padding;
    fill(sizeof a / sizeof *a, a, 1);
    fill(sizeof b / sizeof *b, b, 2);
    fill(sizeof c / sizeof *c, c, 3);
    if (isnan(start))
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < n; j++) c[i * ldc + j] = start;
    memcpy(before, c, sizeof c);
    f(m, n, k, a, lda, b, ldb, beta, c, ldc);
    double greatest = 0;
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            double sum = beta == 0 ? 0 : (double)beta * (double)before[i * ldc + j];
            for (size_t p = 0; p < k; p++)
                sum += (double)a[at ? p * lda + i : i * lda + p] * (double)b[bt ? j * ldb + p : p * ldb + j];
            double error = fabs((double)c[i * ldc + j] - sum);
            if (!(error <= greatest)) greatest = error;
        }
        for (size_t j = n; j < ldc; j++)
            if (c[i * ldc + j] != before[i * ldc + j]) return INFINITY;
    }
    for (size_t i = m * ldc; i < sizeof c / sizeof *c; i++)
        if (c[i] != before[i]) return INFINITY;
    return greatest;
}

static void check_product(product *f) {
    static const size_t sizes[] = {1, 2, 3, 16, 33, MOST};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    static const float betas[] = {0, 1, 0.5f};
    for (size_t i = 0; i < SIZES * SIZES * SIZES; i++) {
        size_t m = sizes[i % SIZES], n = sizes[i / SIZES % SIZES], k = sizes[i / SIZES / SIZES];
        for (size_t b = 0; b < 3; b++) {
            CHECK(distance(f, m, n, k, betas[b], 0, 0) < 3e-5);
            CHECK(distance(f, m, n, k, betas[b], PADDING, 0) < 3e-5);
        }
        CHECK(distance(f, m, n, k, 0, PADDING, NAN) < 3e-5); /* beta 0 does not read C */
    }
    CHECK(distance(f, 0, 4, 4, 1, 0, 0) == 0);
    CHECK(distance(f, 4, 0, 4, 1, 0, 0) == 0);
    CHECK(distance(f, 4, 5, 0, 0.5f, PADDING, 0) == 0);
    CHECK(distance(f, 4, 5, 0, 0, PADDING, NAN) == 0);
    CHECK(distance(f, 4, 1, 0, 1, PADDING, 0) == 0);
}

static void test_matmul(void) {
    check_product(gm_matmul);
}

static void test_matmul_nt(void) {
    check_product(gm_matmul_nt);
}

static void test_matmul_tn(void) {
    check_product(gm_matmul_tn);
}

/* By whichever way a product goes: the bits of the product, then the biases, then the floor. */
static void check_biased(size_t m, size_t n, size_t k) {
    enum { MOST_NUMBERS = 390 * 520 };
    static float a[MOST_NUMBERS], b[MOST_NUMBERS], c[MOST_NUMBERS], plain[MOST_NUMBERS], biases[MOST],
        packed[MOST_NUMBERS];
    const size_t ldc = n + PADDING;
    fill(MOST_NUMBERS, a, 4);
    fill(MOST_NUMBERS, b, 5);
    fill(MOST, biases, 6);
    CHECK(gm_matmul_packed(n, k) <= MOST_NUMBERS);
    gm_matmul_pack(n, k, b, n, packed);
    for (int with = 0; with < 4; with++) {
        const bool rectified = with & 1, once = with & 2;
        fill(MOST_NUMBERS, c, 7);
        fill(MOST_NUMBERS, plain, 7);
        gm_matmul_biased(m, n, k, a, k, b, n, once ? packed : NULL, biases, rectified, c, ldc);
        gm_matmul(m, n, k, a, k, b, n, 0, plain, ldc);
        for (size_t i = 0; i < m; i++) {
            for (size_t j = 0; j < n; j++) {
                float *x = &plain[i * ldc + j];
                *x += biases[j];
                if (rectified && *x < 0) *x = 0;
            }
        }
        CHECK(memcmp(c, plain, sizeof c) == 0); /* nothing beside it, either */
    }
}

static void test_biased(void) {
    static const size_t sizes[] = {1, 2, 16, 33, MOST};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    for (size_t i = 0; i < SIZES * SIZES * SIZES; i++)
        check_biased(sizes[i % SIZES], sizes[i / SIZES % SIZES], sizes[i / SIZES / SIZES]);
    check_biased(0, 4, 4);
    check_biased(4, 0, 4);
    check_biased(4, 5, 0);
    check_biased(390, 60, 520); /* more than tiles take */
}

/* A product in one piece against its pieces: rows from `row` on, columns from `column` on. */
static bool same_cut(product *f, size_t m, size_t n, size_t k, size_t row, size_t column) {
    enum { CUT_MOST = 384 * 384 };
    static float a[CUT_MOST], b[CUT_MOST], whole[CUT_MOST], cut[CUT_MOST];
    const bool at = f == gm_matmul_tn, bt = f == gm_matmul_nt;
    const size_t lda = at ? m : k, ldb = bt ? k : n;
    const size_t rows[] = {0, row, m}, columns[] = {0, column, n};
    fill(CUT_MOST, a, 8);
    fill(CUT_MOST, b, 9);
    f(m, n, k, a, lda, b, ldb, 0, whole, n);
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < 2; j++)
            f(rows[i + 1] - rows[i], columns[j + 1] - columns[j], k, a + (at ? rows[i] : rows[i] * lda), lda,
              b + (bt ? columns[j] * ldb : columns[j]), ldb, 0, cut + rows[i] * n + columns[j], n);
    return memcmp(whole, cut, m * n * sizeof *cut) == 0;
}

static void test_cuts(void) {
    static product *const products[] = {gm_matmul, gm_matmul_nt, gm_matmul_tn};
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 1; k <= 321; k += 64) {
            CHECK(same_cut(products[i], 193, 1, k, 128, 1));
            CHECK(same_cut(products[i], 383, 1, k, 192, 1));
            if (!gm_matmul_cuts_freely()) continue;
            CHECK(same_cut(products[i], 384, 80, k, 256, 78));
            CHECK(same_cut(products[i], 130, 300, k, 128, 144));
            CHECK(same_cut(products[i], 4, 5, k, 2, 2));
        }
    }
}

enum { SIDE = 96, COPIES = 64 };
static float left[SIDE * SIDE], right[SIDE * SIDE], results[COPIES][SIDE * SIDE];

static void multiply(void *unused, size_t i) {
    (void)unused;
    gm_matmul(SIDE, SIDE, SIDE, left, SIDE, right, SIDE, 0, results[i], SIDE);
}

/* Calls from several threads at once give the bits of one call. */
static void test_threads(void) {
    gm_error e;
    CHECK(gm_threads_set(4, &e) == 0);
    fill(SIDE * SIDE, left, 4);
    fill(SIDE * SIDE, right, 5);
    bool same = true;
    for (size_t round = 0; round < 10; round++) {
        memset(results, 255, sizeof results);
        gm_parallel(COPIES, multiply, NULL);
        for (size_t i = 1; i < COPIES; i++) same = same && memcmp(results[i], results[0], sizeof results[0]) == 0;
    }
    CHECK(same);
    double sum = 0;
    for (size_t p = 0; p < SIDE; p++) sum += (double)left[3 * SIDE + p] * (double)right[p * SIDE + 7];
    CHECK_NEAR(results[COPIES - 1][3 * SIDE + 7], sum, 3e-5);
    CHECK(gm_threads_set(1, &e) == 0);
}

/* ---- callers beside each other ---- */

enum { CALLERS = 4, LARGEST = 128 * 128 };

/* One thread's product. Operands differ between threads: where BLAS gives one buffer to two of them, each packs other
 * numbers into it, and a result is wrong. */
static struct caller {
    product *f;
    size_t m, n, k, lda, ldb, wrong;
    float a[LARGEST], b[LARGEST], wanted[LARGEST], got[LARGEST];
} callers[CALLERS];

static double deadline;

static double seconds(void) {
    return 1e-9 * (double)gm_nanoseconds();
}

static void call(const struct caller *c, float *to) {
    c->f(c->m, c->n, c->k, c->a, c->lda, c->b, c->ldb, 0, to, c->n);
}

static void *keep_calling(void *at) {
    struct caller *c = at;
    do {
        for (size_t i = 0; i < 8; i++) {
            call(c, c->got);
            c->wrong += memcmp(c->got, c->wanted, c->m * c->n * sizeof *c->got) != 0;
        }
    } while (seconds() < deadline);
    return NULL;
}

static void set_caller(struct caller *c, product *f, size_t m, size_t n, size_t k) {
    uint32_t seed = (uint32_t)(c - callers) * 2 + 6;
    c->f = f;
    c->m = m;
    c->n = n;
    c->k = k;
    c->lda = f == gm_matmul_tn ? m : k;
    c->ldb = f == gm_matmul_nt ? k : n;
    c->wrong = 0;
    fill(LARGEST, c->a, seed);
    fill(LARGEST, c->b, seed + 1);
    call(c, c->wanted);
}

/* How many products of threads that call at once, for a while, differ from those of one thread alone. */
static size_t wrong_products(product *f, size_t m, size_t n, size_t k, double length) {
    pthread_t threads[CALLERS];
    size_t wrong = 0, started = 0;
    for (size_t i = 0; i < CALLERS; i++) set_caller(&callers[i], f, m, n, k);
    deadline = seconds() + length;
    while (started < CALLERS && pthread_create(&threads[started], NULL, keep_calling, &callers[started]) == 0)
        started++;
    CHECK(started == CALLERS);
    for (size_t i = 0; i < started; i++) pthread_join(threads[i], NULL);
    for (size_t i = 0; i < CALLERS; i++) wrong += callers[i].wrong;
    return wrong;
}

/* A race for buffers is lost the more often the shorter the products are. Which ones are packed into buffers at all is
 * up to the kernel: of the small ones only A B' with SkylakeX's, all with Haswell's. */
static void test_callers(void) {
    static const size_t small[][3] = {{2, 4, 2}, {8, 8, 8}, {16, 16, 16}, {64, 96, 64}};
    static product *const products[] = {gm_matmul, gm_matmul_nt, gm_matmul_tn};
    for (size_t i = 0; i < 3; i++) {
        for (size_t s = 0; s < sizeof small / sizeof *small; s++)
            CHECK(wrong_products(products[i], small[s][0], small[s][1], small[s][2], i == 1 ? 0.12 : 0.02) == 0);
        CHECK(wrong_products(products[i], 101, 101, 101, 0.05) == 0);
        CHECK(wrong_products(products[i], 600, 1, 20, 0.02) == 0); /* matrix times vector */
    }
}

/* A thread's buffer is given back when it ends: OpenBLAS has a few hundred in all. */
static void test_short_threads(void) {
    enum { THREADS = 1200 };
    size_t same = 0;
    set_caller(&callers[0], gm_matmul_nt, 16, 16, 16);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_t thread;
        deadline = 0;
        if (pthread_create(&thread, NULL, keep_calling, &callers[0]) != 0) break;
        same += pthread_join(thread, NULL) == 0 && callers[0].wrong == 0;
    }
    CHECK(same == THREADS);
}

static void test_text(void) {
    const char *text = gm_blas_text();
    char kernel[64];
    int major, minor, patch;
    CHECK(sscanf(text, "OpenBLAS %d.%d.%d %63s", &major, &minor, &patch, kernel) == 4);
    CHECK(gm_blas_text() == text);
#if defined(__x86_64__)
    /* a processor that OpenBLAS does not know has no kernel of a processor without its instructions */
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && !getenv("OPENBLAS_CORETYPE"))
        CHECK(strcmp(kernel, "Prescott") != 0);
#endif
}

int main(void) {
    RUN(test_matmul);
    RUN(test_matmul_nt);
    RUN(test_matmul_tn);
    RUN(test_biased);
    RUN(test_cuts);
    RUN(test_threads);
    RUN(test_callers);
    RUN(test_short_threads);
    RUN(test_text);
    return check_done();
}
