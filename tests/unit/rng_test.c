/* rng_test.c: Philox against Random123's known answers, and that numbers do not depend on how they are asked for. */
#include "check.h"
#include "gm/rng.h"

#include <stdlib.h>

static const gm_rng some = {.seed = 0x123456789abcdef0u, .purpose = GM_PURPOSE_NOISE, .stream = 77, .step = 41};

static void test_known_answers(void) {
    /* The lines "philox4x32 10" of Random123's kat_vectors, their counters and keys put into the fields of gm_rng. */
    uint32_t words[4];
    gm_rng rng = {0};
    gm_rng_words(rng, 0, 4, words);
    CHECK(words[0] == 0x6627e8d5u && words[1] == 0xe169c58du && words[2] == 0xbc57ac4cu && words[3] == 0x9b00dbd8u);
    rng = (gm_rng){.seed = UINT64_MAX, .purpose = (gm_purpose)255, .stream = 0xffffffu, .step = 0xffffffffffffu};
    gm_rng_words(rng, 4 * (uint64_t)0xffffffffffffu, 4, words);
    CHECK(words[0] == 0x408f276du && words[1] == 0x41c83b0eu && words[2] == 0xa20bc7c6u && words[3] == 0x6d5451fdu);
    rng = (gm_rng){.seed = 0x299f31d0a4093822u, .purpose = (gm_purpose)3, .stream = 0x707344u, .step = 0x85a313198a2eu};
    gm_rng_words(rng, 4 * (uint64_t)0x08d3243f6a88u, 4, words);
    CHECK(words[0] == 0xd16cfe09u && words[1] == 0x94fdccebu && words[2] == 0x5001e420u && words[3] == 0x24126ea1u);
}

static void test_words_cut(void) {
    enum { N = 150 };
    uint32_t whole[N], part[N + 1];
    gm_rng_words(some, 3, N, whole);
    for (size_t from = 0; from < 9; from++)
        for (size_t n = 0; from + n <= N; n++) {
            part[n] = 4242;
            gm_rng_words(some, 3 + from, n, part);
            CHECK(memcmp(part, whole + from, n * sizeof *part) == 0 && part[n] == 4242);
        }
}

static void test_fields_matter(void) {
    uint32_t a, b;
    gm_rng_words(some, 5, 1, &a);
    gm_rng other = some;
    other.seed ^= (uint64_t)1 << 63;
    gm_rng_words(other, 5, 1, &b);
    CHECK(a != b);
    other = some, other.purpose = GM_PURPOSE_DROPOUT;
    gm_rng_words(other, 5, 1, &b);
    CHECK(a != b);
    other = some, other.stream++;
    gm_rng_words(other, 5, 1, &b);
    CHECK(a != b);
    other = some, other.step += (uint64_t)1 << 40;
    gm_rng_words(other, 5, 1, &b);
    CHECK(a != b);
    gm_rng_words(some, 5 + ((uint64_t)1 << 45), 1, &b);
    CHECK(a != b);
    other = some, other.stream |= 0xff000000u; /* 24 bits count: the purpose is not touched */
    gm_rng_words(other, 5, 1, &b);
    CHECK(a == b);
}

static void test_stream(void) {
    CHECK(gm_rng_stream("") == (2166136261u & 0xffffffu)); /* FNV-1a's test vectors */
    CHECK(gm_rng_stream("a") == (0xe40c292cu & 0xffffffu));
    CHECK(gm_rng_stream("foobar") == (0xbf9cf968u & 0xffffffu));
    CHECK(gm_rng_stream("z") != gm_rng_stream("zz"));
}

static void test_uniform(void) {
    enum { N = 100000 };
    static float x[N];
    static uint32_t words[N];
    gm_rng_uniform(some, 1, N, x);
    gm_rng_words(some, 1, N, words);
    double mean = 0, square = 0;
    bool exact = true, inside = true;
    for (size_t i = 0; i < N; i++) {
        exact = exact && (double)x[i] == ((words[i] >> 9) + 0.5) / 8388608;
        inside = inside && x[i] > 0 && x[i] < 1;
        mean += (double)x[i] / N;
        square += (double)x[i] * (double)x[i] / N;
    }
    CHECK(exact && inside);
    CHECK_NEAR(mean, 0.5, 0.005);
    CHECK_NEAR(square, 1.0 / 3, 0.005);
}

static void test_normal(void) {
    enum { N = 200000 };
    static float x[N], u[N];
    gm_rng_normal(some, 0, N, x);
    gm_rng_uniform(some, 0, N, u);
    double moment[5] = {0}, error = 0;
    for (size_t i = 0; i < N; i++) {
        double r = sqrt(-2 * log((double)u[i / 2 * 2])), t = 6.283185307179586 * (double)u[i / 2 * 2 + 1];
        error = fmax(error, fabs((double)x[i] - (i % 2 ? r * sin(t) : r * cos(t))));
        for (int k = 1; k < 5; k++) moment[k] += pow((double)x[i], k) / N;
    }
    CHECK(error < 2e-6);
    CHECK_NEAR(moment[1], 0, 0.01);
    CHECK_NEAR(moment[2], 1, 0.015);
    CHECK_NEAR(moment[3], 0, 0.04);
    CHECK_NEAR(moment[4], 3, 0.12);
}

static void test_normal_cut(void) {
    enum { N = 1100 };
    static float whole[N], part[N + 1];
    gm_rng_normal(some, 6, N, whole);
    for (size_t from = 0; from < 4; from++)
        for (size_t n = 0; from + n <= N; n += n < 40 ? 1 : 101) {
            part[n] = 42;
            gm_rng_normal(some, 6 + from, n, part);
            CHECK(memcmp(part, whole + from, n * sizeof *part) == 0 && part[n] == 42);
            gm_rng_uniform(some, 6 + from, n, part);
            CHECK(part[n] == 42);
        }
}

/* The bits of the normal numbers, whatever compiler or machine made them. */
static void test_normal_bits(void) {
    static float x[2048];
    gm_rng_normal(some, 0, 2048, x);
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < 2048; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        hash = (hash ^ bits) * 1099511628211u;
    }
    CHECK(hash == 0xb0052ecf5451303au);
}

static void test_permutation(void) {
    enum { N = 60000 };
    static uint32_t p[N], twin[N], words[N];
    static bool seen[N];
    for (size_t n = 0; n <= N; n = n < 1030 ? n * 2 + 1 : n == N ? N + 1 : N) {
        gm_rng_permutation(some, n, p);
        gm_rng_words(some, 0, n, words);
        for (size_t i = 0; i < n; i++) twin[i] = (uint32_t)i;
        for (size_t i = n; i-- > 1;) {
            size_t j = (size_t)((uint64_t)words[i] * (i + 1) >> 32);
            uint32_t kept = twin[i];
            twin[i] = twin[j], twin[j] = kept;
        }
        CHECK(memcmp(p, twin, n * sizeof *p) == 0);
    }
    bool once = true;
    for (size_t i = 0; i < N; i++) {
        once = once && p[i] < N && !seen[p[i]];
        seen[p[i]] = true;
    }
    CHECK(once);
}

/* All 24 orders of four, equally often: chi squared with 23 degrees of freedom is below 49.7 in 999 cases of 1000. */
static void test_permutation_fair(void) {
    int count[256] = {0};
    for (uint64_t epoch = 0; epoch < 24000; epoch++) {
        uint32_t p[4];
        gm_rng rng = {.seed = 5, .purpose = GM_PURPOSE_SHUFFLE, .step = epoch};
        gm_rng_permutation(rng, 4, p);
        count[p[0] << 6 | p[1] << 4 | p[2] << 2 | p[3]]++;
    }
    double chi = 0;
    int orders = 0;
    for (size_t i = 0; i < 256; i++)
        if (count[i]) chi += (count[i] - 1000) * (count[i] - 1000) / 1000.0, orders++;
    CHECK(orders == 24 && chi < 49.7);
}

int main(void) {
    RUN(test_known_answers);
    RUN(test_words_cut);
    RUN(test_fields_matter);
    RUN(test_stream);
    RUN(test_uniform);
    RUN(test_normal);
    RUN(test_normal_cut);
    RUN(test_normal_bits);
    RUN(test_permutation);
    RUN(test_permutation_fair);
    return check_done();
}
