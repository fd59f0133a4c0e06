#include "check.h"

#include "gm/base.h"
#include "gm/tensor.h"

#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static gm_error e;

static void test_errors(void) {
    CHECK(gm_fail(&e, "tensor '%s': bad", "x\n\033[2J") == -1);
    CHECK(!e.usage);
    CHECK_TEXT(e.text, "tensor 'x??[2J': bad");
    CHECK(gm_fail_within(&e, "record %d: ", 12) == -1);
    CHECK_TEXT(e.text, "record 12: tensor 'x??[2J': bad");
    CHECK(gm_fail_usage(&e, "unknown option") == -1 && e.usage);
    CHECK(gm_fail_within(&e, "%s: ", "a") == -1 && e.usage);
    CHECK_TEXT(e.text, "a: unknown option");
    errno = ENOENT;
    CHECK(gm_fail_errno(&e, "open %s", "f") == -1 && errno == ENOENT && !e.usage);
    CHECK_TEXT(e.text, "open f: No such file or directory");
    CHECK_TEXT(gm_errno_text(EPERM), "Operation not permitted");
}

static void test_long_errors(void) {
    char text[2000];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    gm_fail(&e, "%s", text);
    CHECK(strlen(e.text) == sizeof e.text - 1);
    gm_fail_within(&e, "%s: ", "prefix");
    CHECK(strlen(e.text) == sizeof e.text - 1 && strncmp(e.text, "prefix: aaa", 11) == 0);
    errno = EIO;
    gm_fail_errno(&e, "%s", text);
    CHECK(strlen(e.text) == sizeof e.text - 1);
}

static void test_sizes(void) {
    size_t product = 7;
    CHECK(gm_multiply(3, 5, &product) && product == 15);
    CHECK(!gm_multiply(SIZE_MAX, 2, &product) && product == 15);
    CHECK(gm_multiply(SIZE_MAX, 0, &product) && product == 0);
    CHECK(gm_align(0) == 0 && gm_align(1) == 64 && gm_align(64) == 64 && gm_align(65) == 128);
}

static void test_memory(void) {
    void *a = gm_new(0, 4, &e), *b = gm_new_zeroed(100, 4, &e);
    CHECK(a && (uintptr_t)a % GM_ALIGN == 0);
    CHECK(b && (uintptr_t)b % GM_ALIGN == 0);
    for (size_t i = 0; b && i < 400; i++) CHECK(((char *)b)[i] == 0);
    free(a);
    free(b);
    volatile size_t much = SIZE_MAX / 2;
    CHECK(!gm_new(much, 4, &e) && strstr(e.text, "out of memory"));
    CHECK(!gm_new(much, 2, &e) && strstr(e.text, "out of memory"));
}

static void test_grow(void) {
    int *items = NULL;
    size_t capacity = 0;
    CHECK(gm_grow(&items, &capacity, 3, sizeof *items, &e) == 0 && capacity >= 3);
    for (size_t i = 0; i < capacity; i++) CHECK(items[i] == 0);
    items[2] = 5;
    CHECK(gm_grow(&items, &capacity, 1000, sizeof *items, &e) == 0 && capacity >= 1000);
    CHECK(items[2] == 5 && items[capacity - 1] == 0);
    size_t before = capacity;
    int *old = items;
    CHECK(gm_grow(&items, &capacity, SIZE_MAX / 2, sizeof *items, &e) == -1);
    CHECK(capacity == before && items == old && items[2] == 5);
    CHECK(gm_grow(&items, &capacity, 10, sizeof *items, &e) == 0 && capacity == before);
    free(items);
    char *copy = gm_copy_text("hello", 3, &e);
    CHECK(copy);
    CHECK_TEXT(copy, "hel");
    free(copy);
    copy = gm_copy_text(NULL, 0, &e);
    CHECK(copy && !*copy);
    free(copy);
}

static void test_whole_numbers(void) {
    uint64_t v = 9;
    size_t size = 9;
    CHECK(gm_parse_u64("0", 0, 10, &v) && v == 0);
    CHECK(gm_parse_u64("18446744073709551615", 0, UINT64_MAX, &v) && v == UINT64_MAX);
    v = 9;
    static const char *const bad[] = {"",   " 1", "1 ", "+1", "-1", "0x1", "1.0", "1e3", "18446744073709551616",
                                      "11", "a",  NULL};
    for (size_t i = 0; bad[i]; i++) {
        CHECK(!gm_parse_u64(bad[i], 0, 10, &v));
        CHECK(v == 9);
    }
    CHECK(!gm_parse_u64("1", 2, 10, &v));
    CHECK(gm_parse_size("42", 1, 42, &size) && size == 42);
    CHECK(!gm_parse_size("43", 1, 42, &size) && size == 42);
}

static void check_same_as_library(const char *text) {
    double v = 0, roomy = 0, wanted = strtod(text, NULL);
    char room[4096];
    const size_t n = strlen(text);
    memset(room, '7', sizeof room); /* what stands behind a number is not looked at */
    memcpy(room, text, n);
    const bool read = gm_parse_double(text, &v) && gm_parse_double_roomy(room, n, &roomy);
    if (!read || memcmp(&v, &wanted, sizeof v) != 0 || memcmp(&roomy, &wanted, sizeof v) != 0) {
        printf("# '%s': %.17g and %.17g, not %.17g\n", text, v, roomy, wanted);
        check_failed = true;
    }
}

static void test_doubles(void) {
    static const char *const good[] = {"0",
                                       "-0",
                                       "1",
                                       "+1",
                                       "-1.5",
                                       ".5",
                                       "5.",
                                       "1e3",
                                       "1E-3",
                                       "1e+22",
                                       "1e22",
                                       "1e23",
                                       "123456789012345e22",
                                       "0.1",
                                       "3.14159265358979323846264338327950288",
                                       "9007199254740993",
                                       "9007199254740992",
                                       "1e-22",
                                       "1e-23",
                                       "4.9e-324",
                                       "1.7976931348623157e308",
                                       "2.2250738585072011e-308",
                                       "1e-400",
                                       "0e999999999999",
                                       "123456789012345678901234567890",
                                       "0.000000000000000000000000000000000000001",
                                       "00000000000000000000000000000000001.5",
                                       "0.30000000000000004",
                                       "8.5e-5",
                                       "1.00000000000000011102230246251565404236316680908203125",
                                       "179769313486231570000e288",
                                       NULL};
    for (size_t i = 0; good[i]; i++) check_same_as_library(good[i]);
    static const char *const bad[] = {
        "",    ".",     "-",    "+",     "e5",  "1e",   "1e+",      "1e5.",  " 1",
        "1 ",  "1\n",   "0x10", "inf",   "nan", "-inf", "infinity", "1e309", "-1e999999999999999999999",
        "1,5", "1.5.2", "--1",  "1_000", "1f",  "١",    NULL};
    for (size_t i = 0; bad[i]; i++) {
        double v = 7;
        char room[64] = "";
        memcpy(room, bad[i], strlen(bad[i]));
        CHECK(!gm_parse_double(bad[i], &v));
        CHECK(!gm_parse_double_roomy(room, strlen(bad[i]), &v));
        CHECK(v == 7);
        if (v != 7) printf("# '%s'\n", bad[i]);
    }
    double v;
    CHECK(gm_parse_double_n("12.5,3", 4, &v) && v == 12.5);
    CHECK(!gm_parse_double_n("12.5,3", 5, &v));
    CHECK(!gm_parse_double_n("1\0", 2, &v));
}

static void test_long_number(void) {
    char text[3000] = "0.";
    memset(text + 2, '0', 2000);
    memcpy(text + 2002, "25e2000", 8);
    double v = 0;
    CHECK(gm_parse_double(text, &v) && v == 0.025 * 10);
}

static uint64_t random_state;
static uint64_t random_bits(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

/* Digits, of which none to all stand behind a point; some with an exponent. */
static void write_decimal(char text[64]) {
    const unsigned digits = 1 + (unsigned)(random_bits() % 19), whole = (unsigned)(random_bits() % (digits + 1));
    const bool point = whole < digits || random_bits() % 4 == 0, exponent = random_bits() % 8 == 0;
    char *p = text;
    if (random_bits() % 2) *p++ = random_bits() % 8 ? '-' : '+';
    for (unsigned i = 0; i < digits; i++) {
        if (i == whole && point) *p++ = '.';
        *p++ = (char)('0' + (random_bits() % 4 ? random_bits() % 10 : 0));
    }
    if (whole == digits && point) *p++ = '.';
    const int power = (int)(random_bits() % 60) - 40;
    *p = '\0';
    if (exponent) snprintf(p, 16, "e%d", power);
}

/* A number half way between two doubles, or beside it: the hard ones to round. */
static void write_half_way(char text[64]) {
    const uint64_t odd = (UINT64_C(1) << 53) + random_bits() % (UINT64_C(1) << 53) * 2 + 1;
    const uint64_t half = odd / 2 + random_bits() % 3 - 1;
    snprintf(text, 64, "%llu.%s", (unsigned long long)half, random_bits() % 2 ? "5" : "25");
}

/* Numbers of every length against the C library, in the locale "C". */
static void test_random_doubles(void) {
    random_state = 1;
    for (int i = 0; i < 300000 && !check_failed; i++) {
        char text[64];
        write_decimal(text);
        check_same_as_library(text);
        write_half_way(text);
        check_same_as_library(text);
        snprintf(text, sizeof text, "%.*g", 1 + (int)(random_bits() % 17),
                 (double)(random_bits() >> 40) * pow(10, (int)(random_bits() % 40) - 20));
        check_same_as_library(text);
    }
}

static void check_formats(double v) {
    char text[32];
    double back = 0;
    CHECK(gm_parse_double(gm_format_f64(v, text), &back) && back == v);
    float f = (float)v;
    gm_format_f32(f, text);
    CHECK(strtof(text, NULL) == f);
    CHECK(strlen(text) < 32);
}

/* The definition: the fewest digits from 6 on that the C library reads back. */
static void plain_format(float value, char out[32]) {
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(out, 32, "%.*g", digits, (double)value);
        if (strtof(out, NULL) == value) return;
    }
}

static void check_plain(float value) {
    char out[32], plain[32];
    plain_format(value, plain);
    CHECK_TEXT(gm_format_f32(value, out), plain);
}

/* gm_format_f32 is fast for most floats; all must have the text that they always had. */
static void test_shortest(void) {
    uint32_t state = 7;
    for (int i = 0; i < 400000; i++) {
        float value;
        state = state * 1664525U + 1013904223U;
        uint32_t bits = state ^ state >> 13;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value) || fabsf(value) < 1.17549435e-38F) continue;
        check_plain(value);
        check_plain((float)(state >> 8) / 16777216); /* what probabilities are */
        check_plain((float)(int32_t)bits);
        check_plain((float)(state >> 12) / 32); /* ties at six or seven digits */
        if (check_failed) return;
    }
    for (int exponent = -37; exponent <= 38; exponent++)
        for (int digit = 1; digit < 10; digit++) {
            char text[32];
            snprintf(text, sizeof text, "%de%d", digit, exponent);
            float value = strtof(text, NULL);
            if (!isfinite(value)) continue;
            check_plain(value);
            check_plain(nextafterf(value, 0));
            check_plain(-nextafterf(value, 1e38F));
        }
    for (int i = -126; i < 128; i++) {
        check_plain(ldexpf(1, i));
        check_plain(nextafterf(ldexpf(1, i), 0));
        check_plain(nextafterf(ldexpf(1, i), 1e38F));
    }
}

static void test_formats(void) {
    char out[32];
    CHECK_TEXT(gm_format_f32(0.1f, out), "0.1");
    CHECK_TEXT(gm_format_f32(1.0f / 3, out), "0.33333334");
    CHECK_TEXT(gm_format_f32(16777216.0f, out), "16777216");
    CHECK_TEXT(gm_format_f32(1e-45f, out), "1e-45");
    CHECK_TEXT(gm_format_f32(3.4028235e38f, out), "3.4028235e+38");
    CHECK_TEXT(gm_format_f32(-0.0f, out), "-0");
    CHECK_TEXT(gm_format_f32(NAN, out), "nan");
    CHECK_TEXT(gm_format_f64(-INFINITY, out), "-inf");
    CHECK_TEXT(gm_format_f64(INFINITY, out), "inf");
    CHECK_TEXT(gm_format_f64(0.1, out), "0.1");
    CHECK_TEXT(gm_format_f64(0.1 + 0.2, out), "0.30000000000000004");
    CHECK_TEXT(gm_format_f64(4.9e-324, out), "5e-324");
    CHECK_TEXT(gm_format_f64(100, out), "100");
    CHECK_TEXT(gm_format_f64(-1.7976931348623157e308, out), "-1.7976931348623157e+308");
    CHECK_TEXT(gm_format_f64(9007199254740994.0, out), "9007199254740994");
    for (int i = -1074; i < 1024; i++) check_formats(ldexp(1, i) < 3e38 ? ldexp(1, i) : 1);
    for (int i = 1; i < 1000; i++) check_formats((double)i / 997 * 1e5);
}

/* A locale with a decimal comma, if this machine has one: nothing may change. */
static void test_locale(void) {
    static const char *const names[] = {"pl_PL.UTF-8", "de_DE.UTF-8", "fr_FR.UTF-8", NULL};
    for (size_t i = 0; names[i]; i++) {
        locale_t locale = newlocale(LC_ALL_MASK, names[i], (locale_t)0);
        if (locale == (locale_t)0) continue;
        locale_t old = uselocale(locale);
        double v = 0;
        char out[32];
        CHECK(gm_parse_double("3.3", &v) && v == 3.3);
        CHECK(gm_parse_double("3.30000000000000000000000001", &v) && v == 3.3);
        CHECK(!gm_parse_double("3,3", &v));
        CHECK_TEXT(gm_format_f64(0.5, out), "0.5");
        CHECK_TEXT(gm_format_f32(0.7f, out), "0.7");
        uselocale(old);
        freelocale(locale);
    }
}

static void test_words(void) {
    static const char *const words[] = {"dense", "dropout", "batchnorm", "gaussian", "lr", NULL};
    CHECK(gm_did_you_mean("dnese", words) == words[0]);
    CHECK(gm_did_you_mean("drpout", words) == words[1]);
    CHECK(gm_did_you_mean("batch-norm", words) == words[2]);
    CHECK(gm_did_you_mean("dense", words) == words[0]);
    CHECK(!gm_did_you_mean("conv", words));
    CHECK(!gm_did_you_mean("xy", words));
    CHECK(!gm_did_you_mean("lx", words));
    CHECK(!gm_did_you_mean("", words));
    char longer[200];
    memset(longer, 'd', 199);
    longer[199] = '\0';
    CHECK(!gm_did_you_mean(longer, words));
}

static void test_descriptors(void) {
    int ends[2];
    char sent[300000], got[300000] = {0};
    for (size_t i = 0; i < sizeof sent; i++) sent[i] = (char)(i * 7);
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        _exit(gm_write_all(ends[1], sent, sizeof sent) != 0);
    }
    close(ends[1]);
    CHECK(gm_read_all(ends[0], got, 1000) == 1000);
    CHECK(gm_read_all(ends[0], got + 1000, sizeof got) == (long)sizeof sent - 1000);
    CHECK(memcmp(sent, got, sizeof sent) == 0);
    CHECK(gm_read_all(ends[0], got, 10) == 0);
    close(ends[0]);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(gm_read_all(-1, got, 10) == -1 && errno == EBADF);
    CHECK(gm_write_all(-1, got, 10) == -1 && errno == EBADF);
}

static void test_tensor_types(void) {
    static const size_t sizes[] = {4, 8, 1, 4, 8};
    static const char *const texts[] = {"<f4", "<f8", "|u1", "<i4", "<i8"};
    for (gm_type t = GM_F4; t <= GM_I8; t++) {
        gm_type parsed;
        CHECK(gm_type_size(t) == sizes[t]);
        CHECK_TEXT(gm_type_text(t), texts[t]);
        CHECK(gm_type_parse(texts[t], 3, &parsed) && parsed == t);
    }
    gm_type type;
    CHECK(!gm_type_parse("<f2", 3, &type) && !gm_type_parse(">f4", 3, &type) && !gm_type_parse("<f4", 2, &type));
}

static void test_shapes(void) {
    size_t count = 0, bytes = 0;
    CHECK(gm_shape_measure(GM_F4, 0, NULL, &count, &bytes) && count == 1 && bytes == 4);
    CHECK(gm_shape_measure(GM_F8, 2, (size_t[]){3, 5}, &count, &bytes) && count == 15 && bytes == 120);
    CHECK(gm_shape_measure(GM_F4, 2, (size_t[]){0, 5}, &count, &bytes) && count == 0 && bytes == 0);
    CHECK(!gm_shape_measure(GM_F4, 2, (size_t[]){SIZE_MAX / 2, 3}, &count, &bytes));
    CHECK(!gm_shape_measure(GM_F4, 1, (size_t[]){SIZE_MAX / 4}, &count, &bytes));
    CHECK(!gm_shape_measure(GM_F4, 3, (size_t[]){0, SIZE_MAX / 2, 3}, &count, &bytes));
    CHECK(!gm_shape_measure(GM_U1, 9, (size_t[]){1, 1, 1, 1, 1, 1, 1, 1, 1}, &count, &bytes));
    char text[128];
    gm_tensor t = {.rank = 2, .shape = {4, 64}};
    CHECK_TEXT(gm_shape_text(&t, text), "4×64");
    t.rank = 0;
    CHECK_TEXT(gm_shape_text(&t, text), "()");
    t.rank = 8;
    for (size_t i = 0; i < 8; i++) t.shape[i] = SIZE_MAX;
    CHECK(strlen(gm_shape_text(&t, text)) < 128);
}

static void test_tensor_at(void) {
    float f4[] = {1, 0.5f};
    double f8[] = {1, 0.1};
    uint8_t u1[] = {1, 255};
    int32_t i4[] = {1, -7};
    int64_t i8[] = {1, INT64_C(1) << 52};
    void *data[] = {f4, f8, u1, i4, i8};
    double wanted[] = {0.5, 0.1, 255, -7, 4503599627370496.0};
    for (gm_type type = GM_F4; type <= GM_I8; type++) {
        gm_tensor t = {.type = type, .data = data[type]};
        CHECK(gm_tensor_at(&t, 0) == 1 && gm_tensor_at(&t, 1) == wanted[type]);
    }
}

int main(void) {
    RUN(test_errors);
    RUN(test_long_errors);
    RUN(test_sizes);
    RUN(test_memory);
    RUN(test_grow);
    RUN(test_whole_numbers);
    RUN(test_doubles);
    RUN(test_long_number);
    RUN(test_random_doubles);
    RUN(test_formats);
    RUN(test_shortest);
    RUN(test_locale);
    RUN(test_words);
    RUN(test_descriptors);
    RUN(test_tensor_types);
    RUN(test_shapes);
    RUN(test_tensor_at);
    return check_done();
}
