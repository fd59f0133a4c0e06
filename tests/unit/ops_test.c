/* ops_test.c: elementary functions against the C library's in double, and equal bits however the loops are cut. */
#include "check.h"
#include "gm/ops.h"

#include <float.h>
#include <stdlib.h>

enum { CHUNK = 4096 };

typedef void function(size_t n, const float *in, float *out);

static float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float one(function *f, float x) {
    float y;
    f(1, &x, &y);
    return y;
}

/* |got - exact| in units in the last place of a float near `exact`. */
static double ulps(float got, double exact) {
    if ((double)got == exact) return 0;
    int exponent;
    (void)frexp(exact, &exponent);
    return fabs((double)got - exact) / ldexp(1.0, exponent - 24);
}

/* The greatest error over every `step`-th float from low to high, both of one sign. */
static double worst(function *f, double (*exact)(double), float low, float high, uint32_t step, bool absolute) {
    uint32_t from = bits_of(low), to = bits_of(high), at = from < to ? from : to, end = from < to ? to : from;
    double greatest = 0;
    float in[CHUNK], out[CHUNK];
    while (at <= end) {
        size_t n = 0;
        for (; n < CHUNK && at <= end; at += step) in[n++] = float_of(at);
        f(n, in, out);
        for (size_t i = 0; i < n; i++) {
            double y = exact((double)in[i]), error = absolute ? fabs((double)out[i] - y) : ulps(out[i], y);
            if (!(error <= greatest)) greatest = error;
        }
    }
    return greatest;
}

#define CHECK_WORST(f, exact, low, high, step, absolute, bound)                                                        \
    do {                                                                                                               \
        double error = worst(f, exact, low, high, step, absolute);                                                     \
        printf("# %s on [%g, %g]: greatest error %.3g\n", #f, (double)(low), (double)(high), error);                   \
        CHECK(error <= (bound));                                                                                       \
    } while (0)

static double sigmoid_exact(double x) {
    return 1 / (1 + exp(-x));
}

static double softplus_exact(double x) {
    return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
}

static void test_exp(void) {
    CHECK_WORST(gm_exp, exp, 1e-30f, 88.7f, 1009, false, 2);
    CHECK_WORST(gm_exp, exp, -1e-30f, -87.3f, 1009, false, 2);
    CHECK_WORST(gm_exp, exp, 80.0f, 88.7f, 3, false, 2);
    CHECK_WORST(gm_exp, exp, -80.0f, -87.3f, 3, false, 2);
    CHECK(one(gm_exp, 0.0f) == 1.0f && one(gm_exp, -0.0f) == 1.0f);
    CHECK(one(gm_exp, 88.7228317f) > 3.4e38f && one(gm_exp, 88.7228317f) <= FLT_MAX);
    CHECK(one(gm_exp, 88.73f) == INFINITY && one(gm_exp, FLT_MAX) == INFINITY && one(gm_exp, INFINITY) == INFINITY);
    CHECK(one(gm_exp, -87.34f) == 0 && one(gm_exp, -1000.0f) == 0);
    CHECK(one(gm_exp, -FLT_MAX) == 0 && one(gm_exp, -INFINITY) == 0);
    CHECK(isnan(one(gm_exp, NAN)) && isnan(one(gm_exp, float_of(0xffc12345u))));
}

static void test_log(void) {
    CHECK_WORST(gm_log, log, FLT_MIN, FLT_MAX, 1009, false, 2);
    CHECK_WORST(gm_log, log, 0.5f, 2.0f, 7, false, 2);
    CHECK(one(gm_log, 1.0f) == 0);
    CHECK(one(gm_log, 0.0f) == -INFINITY && one(gm_log, -0.0f) == -INFINITY && one(gm_log, 1e-40f) == -INFINITY);
    CHECK(one(gm_log, INFINITY) == INFINITY);
    CHECK(isnan(one(gm_log, -1.0f)) && isnan(one(gm_log, -INFINITY)) && isnan(one(gm_log, NAN)));
}

static void test_tanh(void) {
    CHECK_WORST(gm_tanh, tanh, 1e-37f, 100.0f, 1009, false, 4);
    CHECK_WORST(gm_tanh, tanh, -1e-37f, -100.0f, 1009, false, 4);
    CHECK_WORST(gm_tanh, tanh, 0.5f, 0.75f, 7, false, 4);
    CHECK(bits_of(one(gm_tanh, -0.0f)) == 0x80000000u);
    CHECK(one(gm_tanh, INFINITY) == 1 && one(gm_tanh, -INFINITY) == -1 && one(gm_tanh, -FLT_MAX) == -1);
    CHECK(isnan(one(gm_tanh, NAN)) && isnan(one(gm_tanh, float_of(0x7fc12345u))));
}

static void test_sigmoid(void) {
    CHECK_WORST(gm_sigmoid, sigmoid_exact, 1e-30f, 1000.0f, 1009, false, 4);
    CHECK_WORST(gm_sigmoid, sigmoid_exact, -1e-30f, -87.3f, 1009, false, 4);
    CHECK(one(gm_sigmoid, 0.0f) == 0.5f);
    CHECK(one(gm_sigmoid, INFINITY) == 1 && one(gm_sigmoid, -INFINITY) == 0);
    CHECK(one(gm_sigmoid, FLT_MAX) == 1 && one(gm_sigmoid, -FLT_MAX) == 0);
    CHECK(isnan(one(gm_sigmoid, NAN)));
}

static void test_softplus(void) {
    CHECK_WORST(gm_softplus, softplus_exact, 1e-30f, FLT_MAX, 1009, false, 4);
    CHECK_WORST(gm_softplus, softplus_exact, -1e-30f, -87.3f, 1009, false, 4);
    CHECK_WORST(gm_softplus, softplus_exact, -0.8f, -0.95f, 7, false, 4);
    CHECK(one(gm_softplus, -88.0f) == 0 && one(gm_softplus, -INFINITY) == 0 && one(gm_softplus, -FLT_MAX) == 0);
    CHECK(one(gm_softplus, FLT_MAX) == FLT_MAX && one(gm_softplus, INFINITY) == INFINITY);
    CHECK(isnan(one(gm_softplus, NAN)));
}

static void test_erf(void) {
    CHECK_WORST(gm_erf, erf, 1e-30f, 10.0f, 1009, true, 2e-7);
    CHECK_WORST(gm_erf, erf, -1e-30f, -10.0f, 1009, true, 2e-7);
    CHECK_WORST(gm_erf, erf, 1e-30f, 10.0f, 1009, false, 4);
    CHECK(bits_of(one(gm_erf, -0.0f)) == 0x80000000u);
    CHECK(one(gm_erf, INFINITY) == 1 && one(gm_erf, -INFINITY) == -1 && one(gm_erf, FLT_MAX) == 1);
    CHECK(isnan(one(gm_erf, NAN)));
}

static void test_sincos(void) {
    const double turn = 6.28318530717958647692;
    double worst_sine = 0, worst_cosine = 0, worst_circle = 0;
    for (uint32_t k = 0; k < 1u << 20; k += 3) {
        float t = ((float)k + 0.5f) * 0x1p-20f, s, c;
        gm_sincos_turns(1, &t, &s, &c);
        worst_sine = fmax(worst_sine, fabs((double)s - sin(turn * (double)t)));
        worst_cosine = fmax(worst_cosine, fabs((double)c - cos(turn * (double)t)));
        worst_circle = fmax(worst_circle, fabs((double)s * (double)s + (double)c * (double)c - 1));
    }
    CHECK(worst_sine < 1.5e-7 && worst_cosine < 1.5e-7 && worst_circle < 3e-7);
    const float turns[] = {0, 0.25f, 0.5f, 0.75f};
    float sine[4], cosine[4];
    gm_sincos_turns(4, turns, sine, cosine);
    CHECK(sine[0] == 0 && sine[1] == 1 && sine[2] == 0 && sine[3] == -1);
    CHECK(cosine[0] == 1 && cosine[1] == 0 && cosine[2] == -1 && cosine[3] == 0);
    float tiny = 0x1p-24f;
    gm_sincos_turns(1, &tiny, sine, cosine);
    CHECK(ulps(sine[0], turn * 0x1p-24) < 2);
}

static void sine_of_turns(size_t n, const float *in, float *out) {
    static float turns[CHUNK], cosine[CHUNK];
    for (size_t i = 0; i < n; i++) turns[i] = fabsf(in[i]) < 1 ? fabsf(in[i]) : 0.625f;
    gm_sincos_turns(n, turns, out, cosine);
    for (size_t i = 0; i < n; i++) out[i] += 3 * cosine[i];
}

static function *const functions[] = {gm_exp, gm_log, gm_tanh, gm_sigmoid, gm_softplus, gm_erf, sine_of_turns};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

/* Numbers of every size and both signs, most of them where the functions are curved. */
static void fill(size_t n, float *x, uint32_t state) {
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        float curved = ((float)(state >> 8) * 0x1p-24f - 0.5f) * 24.0f;
        x[i] = state % 5 ? curved : float_of(state);
        uint32_t exponent = bits_of(x[i]) >> 23 & 255;
        if (exponent == 0 || exponent == 255) x[i] = 1;
    }
}

/* f over n numbers is f over each alone, in place or not: whole vectors and what is left over give the same bits. */
static void test_cuts(void) {
    enum { MOST = 67 };
    float in[MOST + 1], out[MOST + 1], alone[MOST];
    fill(MOST, in + 1, 1);
    in[5] = INFINITY, in[6] = -INFINITY, in[7] = 0, in[8] = -0.0f, in[9] = 100, in[10] = -100;
    for (size_t f = 0; f < FUNCTIONS; f++) {
        for (size_t i = 0; i < MOST; i++) functions[f](1, in + 1 + i, alone + i);
        for (size_t n = 1; n <= MOST; n++)
            for (size_t offset = 0; offset < 2; offset++) {
                float *place = out + offset;
                functions[f](n, in + 1, place);
                CHECK(memcmp(place, alone, n * sizeof *alone) == 0);
                memcpy(place, in + 1, n * sizeof *place);
                functions[f](n, place, place);
                CHECK(memcmp(place, alone, n * sizeof *alone) == 0);
            }
    }
    float untouched = 42;
    gm_exp(0, NULL, &untouched);
    CHECK(untouched == 42);
}

/* The bits themselves, whatever compiler, clone or machine made them: another hash is another sequence of training. */
static void test_bits(void) {
    static const uint64_t wanted[FUNCTIONS] = {0xde969a1e0e640115, 0x267913243837a36b, 0x6888395555b48518,
                                               0x823fc2b26f1ec494, 0xa18947875355d787, 0x92938fde3b18ee81,
                                               0xc5bab3b11fd69031};
    static float in[CHUNK], out[CHUNK];
    fill(CHUNK, in, 7);
    for (size_t f = 0; f < FUNCTIONS; f++) {
        uint64_t hash = 14695981039346656037u;
        functions[f](CHUNK, in, out);
        for (size_t i = 0; i < CHUNK; i++) hash = (hash ^ (isnan(out[i]) ? 0 : bits_of(out[i]))) * 1099511628211u;
        if (hash != wanted[f]) printf("# function %zu: 0x%016llx\n", f, (unsigned long long)hash);
        CHECK(hash == wanted[f]);
    }
}

static void test_sums(void) {
    static float x[1003];
    fill(1003, x, 3);
    for (size_t i = 0; i < 1003; i++) x[i] = fmaxf(-50, fminf(50, x[i]));
    for (size_t n = 0; n <= 1003; n += n < 70 ? 1 : 311) {
        double lanes[3][16] = {{0}}, sum[3] = {0};
        for (size_t i = 0; i < n; i++) {
            lanes[0][i % 16] += (double)x[i];
            lanes[1][i % 16] += (double)x[i] * (double)x[i];
            lanes[2][i % 16] += fabs((double)x[i]);
        }
        for (size_t k = 0; k < 3; k++)
            for (size_t j = 0; j < 16; j++) sum[k] += lanes[k][j];
        CHECK(gm_sum(n, x) == sum[0]);
        CHECK(gm_sum_squares(n, x) == sum[1]);
        CHECK(gm_sum_absolute(n, x) == sum[2]);
    }
    const float huge[] = {FLT_MAX, FLT_MAX};
    CHECK(gm_sum_squares(2, huge) == 2 * (double)FLT_MAX * (double)FLT_MAX);
}

static void test_first_not_finite(void) {
    static float x[1000];
    for (size_t i = 0; i < 1000; i++) x[i] = i % 2 ? FLT_MAX : -1e-40f;
    CHECK(gm_first_not_finite(0, x) == 0 && gm_first_not_finite(1000, x) == 1000);
    const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    for (size_t at = 0; at < 1000; at += 37) {
        float kept = x[at];
        x[at] = bad[at % 4];
        CHECK(gm_first_not_finite(1000, x) == at);
        CHECK(gm_first_not_finite(at, x) == at);
        x[at] = kept;
    }
    x[300] = NAN, x[999] = INFINITY;
    CHECK(gm_first_not_finite(1000, x) == 300);
}

static void test_flush_denormals(void) {
    volatile float small = FLT_MIN;
    CHECK(small / 4 > 0);
    gm_flush_denormals();
    volatile float flushed = small / 4;
    CHECK(flushed == 0);
    test_cuts(); /* and no function passes through denormal numbers on its way */
    test_bits();
}

int main(void) {
    RUN(test_exp);
    RUN(test_log);
    RUN(test_tanh);
    RUN(test_sigmoid);
    RUN(test_softplus);
    RUN(test_erf);
    RUN(test_sincos);
    RUN(test_cuts);
    RUN(test_bits);
    RUN(test_sums);
    RUN(test_first_not_finite);
    if (!getenv("GM_VALGRIND")) RUN(test_flush_denormals); /* under Valgrind they stay */
    return check_done();
}
