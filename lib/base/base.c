#include "gm/base.h"
#include "shortest.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- sizes and memory ---- */

bool gm_multiply(size_t a, size_t b, size_t *product) {
    size_t p;
    if (__builtin_mul_overflow(a, b, &p)) return false;
    *product = p;
    return true;
}

size_t gm_align(size_t n) {
    return (n + GM_ALIGN - 1) / GM_ALIGN * GM_ALIGN;
}

void *gm_new(size_t count, size_t size, gm_error *e) {
    size_t bytes;
    if (!gm_multiply(count, size, &bytes) || bytes > PTRDIFF_MAX - GM_ALIGN) {
        gm_fail(e, "out of memory (%zu times %zu bytes)", count, size);
        return NULL;
    }
    void *memory = aligned_alloc(GM_ALIGN, gm_align(bytes ? bytes : 1));
    if (!memory) gm_fail(e, "out of memory (%zu bytes)", bytes);
    return memory;
}

void *gm_new_zeroed(size_t count, size_t size, gm_error *e) {
    void *memory = gm_new(count, size, e);
    if (memory) memset(memory, 0, count * size);
    return memory;
}

int gm_grow(void *items, size_t *capacity, size_t wanted, size_t size, gm_error *e) {
    if (wanted <= *capacity) return 0;
    size_t target = *capacity > SIZE_MAX / 2 ? wanted : *capacity * 2, bytes;
    if (target < 8) target = 8;
    if (target < wanted) target = wanted;
    if (!gm_multiply(target, size, &bytes) || bytes > PTRDIFF_MAX)
        return gm_fail(e, "out of memory (%zu times %zu bytes)", target, size);
    /* `items` points to a pointer of the caller's type: copied as bytes, not read through a void **. */
    void *old, *grown;
    memcpy(&old, items, sizeof old);
    grown = realloc(old, bytes);
    if (!grown) return gm_fail(e, "out of memory (%zu bytes)", bytes);
    memset((char *)grown + *capacity * size, 0, bytes - *capacity * size);
    memcpy(items, &grown, sizeof grown);
    *capacity = target;
    return 0;
}

char *gm_copy_text(const char *text, size_t n, gm_error *e) {
    char *copy = n < SIZE_MAX ? malloc(n + 1) : NULL;
    if (!copy) {
        gm_fail(e, "out of memory (%zu bytes)", n);
        return NULL;
    }
    if (n > 0) memcpy(copy, text, n);
    copy[n] = '\0';
    return copy;
}

/* ---- numbers from text ---- */

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void make_c_locale(void) {
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* The "C" locale, whatever the process was set to; 0 if memory ran out. */
static locale_t get_c_locale(void) {
    pthread_once(&c_locale_once, make_c_locale);
    return c_locale;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool gm_parse_u64(const char *text, uint64_t low, uint64_t high, uint64_t *value) {
    uint64_t v = 0;
    if (!*text) return false;
    for (; *text; text++) {
        if (!is_digit(*text)) return false;
        if (__builtin_mul_overflow(v, UINT64_C(10), &v)) return false;
        if (__builtin_add_overflow(v, (uint64_t)(*text - '0'), &v)) return false;
    }
    if (v < low || v > high) return false;
    *value = v;
    return true;
}

bool gm_parse_size(const char *text, size_t low, size_t high, size_t *value) {
    uint64_t v;
    if (!gm_parse_u64(text, low, high, &v)) return false;
    *value = (size_t)v;
    return true;
}

bool gm_parse_double(const char *text, double *value) {
    return gm_parse_double_n(text, strlen(text), value);
}

/* A decimal number taken apart: its sign, its first significant digits as an integer, its power of ten. */
typedef struct decimal {
    bool negative;
    bool exact; /* no digit that counts was left out of `digits` */
    uint64_t digits;
    long exponent;
} decimal;

#define EXPONENT_BOUND 100000 /* beyond any double; keeps sums of exponents far from overflow */

/* Reads digits, and returns where they end. At most 18 significant ones go into d->digits. */
static const char *scan_digits(const char *p, const char *end, decimal *d, bool fraction) {
    for (; p < end && is_digit(*p); p++) {
        if (d->digits < UINT64_C(100000000000000000)) {
            d->digits = d->digits * 10 + (uint64_t)(*p - '0');
            if (fraction) d->exponent--;
        } else {
            d->exact = false;
        }
    }
    return p;
}

/* [+-] digits [. digits] [e [+-] digits], with a digit before the exponent; the whole text or false. */
static bool scan_decimal(const char *p, size_t n, decimal *d) {
    const char *end = p + n, *start;
    *d = (decimal){.exact = true};
    if (p < end && (*p == '-' || *p == '+')) d->negative = *p++ == '-';
    start = p;
    p = scan_digits(p, end, d, false);
    bool any = p > start;
    if (p < end && *p == '.') {
        start = ++p;
        p = scan_digits(p, end, d, true);
        any = any || p > start;
    }
    if (!any) return false;
    if (p == end) return true;
    if (*p != 'e' && *p != 'E') return false;
    p++;
    bool below = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+')) p++;
    if (p == end) return false;
    long exponent = 0;
    for (; p < end; p++) {
        if (!is_digit(*p)) return false;
        if (exponent < EXPONENT_BOUND) exponent = exponent * 10 + (*p - '0');
    }
    d->exponent += below ? -exponent : exponent;
    return true;
}

/* The general case, after the grammar was checked: the C library's correctly rounded conversion. */
static bool parse_by_library(const char *text, size_t n, double *value) {
    locale_t locale = get_c_locale();
    char small[128], *copy = n < sizeof small ? small : malloc(n + 1);
    if (!copy || locale == (locale_t)0) {
        if (copy != small) free(copy);
        return false;
    }
    memcpy(copy, text, n);
    copy[n] = '\0';
    double v = strtod_l(copy, NULL, locale);
    if (copy != small) free(copy);
    if (!isfinite(v)) return false;
    *value = v;
    return true;
}

/* Clinger, "How to read floating point numbers accurately" (1990): when the digits and the power of ten are both exact
 * doubles, one multiplication or division rounds once, hence correctly. */
#define EXACT_DIGITS (UINT64_C(1) << 53)
static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

__extension__ typedef unsigned __int128 uint128;

/* digits / 10^k, rounded once, for 0 < digits < 2^60 and k <= 27, the largest for which 5^k is below 2^64. Both sides
 * are shifted until their quotient has 63 bits at least, ten more than a double; the last of them also stands for the
 * remainder. So its conversion rounds as the number itself does. */
static double divide_exactly(uint64_t digits, unsigned k) {
    uint64_t five = 1;
    for (unsigned i = 0; i < k; i++) five *= 5;
    const int up = __builtin_clzll(digits) - 1, five_up = __builtin_clzll(five);
    const uint128 dividend = (uint128)(digits << up) << 64;
    const uint64_t divisor = five << five_up;
    const uint64_t quotient = (uint64_t)(dividend / divisor), sticky = dividend % divisor != 0;
    return ldexp((double)(quotient | sticky), five_up - up - 64 - (int)k);
}

bool gm_parse_double_n(const char *text, size_t n, double *value) {
    decimal d;
    double v;
    if (!scan_decimal(text, n, &d)) return false;
    if (d.exact && d.digits <= EXACT_DIGITS && d.exponent >= -22 && d.exponent <= 22)
        v = d.exponent < 0 ? (double)d.digits / powers[-d.exponent] : (double)d.digits * powers[d.exponent];
    else if (d.exact && d.digits > 0 && d.exponent >= -27 && d.exponent <= 0)
        v = divide_exactly(d.digits, (unsigned)-d.exponent);
    else
        return parse_by_library(text, n, value);
    *value = d.negative ? -v : v;
    return true;
}

#define ALL8(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Where the first point stands in sixteen bytes, the first of them lowest; or 16. */
static size_t find_point(uint128 v) {
    const uint64_t low = (uint64_t)v ^ ALL8('.'), high = (uint64_t)(v >> 64) ^ ALL8('.');
    /* Of the bytes that are zero, the lowest is marked right. */
    const uint64_t in_low = (low - ALL8(1)) & ~low & ALL8(0x80), in_high = (high - ALL8(1)) & ~high & ALL8(0x80);
    if (in_low) return (size_t)__builtin_ctzll(in_low) / 8;
    return in_high ? 8 + (size_t)__builtin_ctzll(in_high) / 8 : 16;
}

static bool all_digits(uint64_t eight) {
    return (((eight + ALL8(0x76)) | eight) & ALL8(0x80)) == 0;
}

/* Eight digits, the first one lowest, as a number: pairs, then fours, then all. */
static uint64_t join_digits(uint64_t eight) {
    const uint64_t pairs = eight * 10 + (eight >> 8), every_other = UINT64_C(0x000000FF000000FF);
    return ((pairs & every_other) * (100 + (UINT64_C(1000000) << 32)) +
            (pairs >> 16 & every_other) * (1 + (UINT64_C(10000) << 32))) >>
           32;
}

/* Up to 16 digits with a point anywhere, taken all at once; what has more, or an exponent, goes the longer way. */
bool gm_parse_double_roomy(const char *text, size_t n, double *value) {
    static const double signs[] = {1, -1};
    uint128 v;
    const bool negative = text[0] == '-', sign = negative || text[0] == '+';
    const size_t length = n - sign;
    if (n == 0 || length - 1 >= sizeof v) return gm_parse_double_n(text, n, value);
    memcpy(&v, text + sign, sizeof v);
    const unsigned behind = 8 * (unsigned)(sizeof v - length);
    v = v << behind >> behind; /* what is no part of the text decides nothing */
    const size_t point = find_point(v);
    size_t digits = length, decimals = 0;
    if (point < length) {
        const uint128 before = ((uint128)1 << (8 * point)) - 1;
        v = (v & before) | (v >> 8 & ~before);
        digits--;
        decimals = digits - point;
    }
    if (digits == 0) return false; /* a lone point */
    const unsigned free_bits = 8 * (unsigned)(sizeof v - digits);
    v = (v << free_bits) ^ ((((uint128)ALL8('0') << 64) | ALL8('0')) << free_bits);
    const uint64_t first = (uint64_t)v, last = (uint64_t)(v >> 64);
    const uint64_t number = join_digits(first) * 100000000 + join_digits(last);
    if (!all_digits(first) || !all_digits(last) || number > EXACT_DIGITS) return gm_parse_double_n(text, n, value);
    *value = (double)(int64_t)number * signs[negative] / powers[decimals];
    return true;
}

/* ---- text from numbers ---- */

static void print_digits(char out[32], int digits, double value) {
    locale_t locale = get_c_locale(), old = locale != (locale_t)0 ? uselocale(locale) : locale;
    snprintf(out, 32, "%.*g", digits, value);
    if (old != (locale_t)0) uselocale(old);
}

static bool print_special(char out[32], double value) {
    if (isfinite(value)) return false;
    snprintf(out, 32, "%s", isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
    return true;
}

/* Every decimal number of 6 digits survives a float of full precision, so %.6g without its zeros is already the
 * shortest text if 6 digits are enough; numbers near zero (subnormal) hold fewer digits and start at one. The same with
 * 15 for a double. */

char *gm_format_f32(float value, char out[32]) {
    if (gm_shortest_f32(value, out)) return out;
    if (print_special(out, (double)value)) return out;
    float magnitude = fabsf(value);
    for (int digits = magnitude > 0 && magnitude < 1.17549435e-38f ? 1 : 6; digits <= 9; digits++) {
        print_digits(out, digits, (double)value);
        locale_t locale = get_c_locale();
        if (locale != (locale_t)0 && strtof_l(out, NULL, locale) == value) break;
    }
    return out;
}

char *gm_format_f64(double value, char out[32]) {
    if (print_special(out, value)) return out;
    double magnitude = fabs(value), back = 0;
    for (int digits = magnitude > 0 && magnitude < 2.2250738585072014e-308 ? 1 : 15; digits <= 17; digits++) {
        print_digits(out, digits, value);
        if (gm_parse_double(out, &back) && back == value) break;
    }
    return out;
}

/* ---- words ---- */

#define WORD_MAX 63

static size_t smallest(size_t a, size_t b, size_t c) {
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Damerau-Levenshtein distance in its optimal string alignment form: a swap of two neighbours counts as one change. */
static size_t word_distance(const char *a, size_t n, const char *b, size_t m) {
    size_t rows[3][WORD_MAX + 1], *before = rows[0], *previous = rows[1], *current = rows[2];
    for (size_t j = 0; j <= m; j++) before[j] = previous[j] = j;
    for (size_t i = 1; i <= n; i++) {
        current[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t change = previous[j - 1] + (a[i - 1] != b[j - 1]);
            current[j] = smallest(previous[j] + 1, current[j - 1] + 1, change);
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && before[j - 2] + 1 < current[j]) current[j] = before[j - 2] + 1;
        }
        size_t *oldest = before;
        before = previous;
        previous = current;
        current = oldest;
    }
    return previous[m];
}

const char *gm_did_you_mean(const char *word, const char *const *words) {
    size_t n = strlen(word), best = 3;
    const char *found = NULL;
    if (n > WORD_MAX) return NULL;
    for (; *words; words++) {
        size_t m = strlen(*words);
        /* as many changes at least as one of them is longer */
        if (m > WORD_MAX || (m > n ? m - n : n - m) >= best) continue;
        size_t distance = word_distance(word, n, *words, m);
        if (distance < best && 2 * distance < n) {
            best = distance;
            found = *words;
        }
    }
    return found;
}

/* ---- descriptors ---- */

int gm_open(const char *path, int flags) {
    int fd;
    do fd = open(path, flags | O_CLOEXEC, 0666);
    while (fd < 0 && errno == EINTR);
    return fd;
}

int gm_write_all(int fd, const void *bytes, size_t n) {
    const char *p = bytes;
    while (n > 0) {
        ssize_t written = write(fd, p, n);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return -1;
        p += written;
        n -= (size_t)written;
    }
    return 0;
}

long gm_read_all(int fd, void *bytes, size_t n) {
    char *p = bytes;
    size_t had = 0;
    while (had < n) {
        ssize_t got = read(fd, p + had, n - had);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -1;
        if (got == 0) break;
        had += (size_t)got;
    }
    return (long)had;
}

char *gm_directory_of(const char *path, gm_error *e) {
    const char *slash = strrchr(path, '/');
    if (!slash) return gm_copy_text(".", 1, e);
    return gm_copy_text(path, slash == path ? 1 : (size_t)(slash - path), e);
}

int gm_sync_directory_of(const char *path, gm_error *e) {
    char *directory = gm_directory_of(path, e);
    if (!directory) return -1;
    int fd = gm_open(directory, O_RDONLY | O_DIRECTORY), failed = 0;
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL)) failed = gm_fail_errno(e, "%s: cannot sync its directory", path);
    if (fd >= 0) close(fd);
    free(directory);
    return failed;
}

bool gm_pipe_is_broken(int fd) {
    struct pollfd output = {.fd = fd};
    return poll(&output, 1, 0) == 1 && (output.revents & POLLERR);
}

int gm_fail_broken_pipe(gm_error *e) {
    (void)raise(SIGPIPE);
    return gm_fail(e, "nobody reads standard output any more");
}

/* ---- time ---- */

uint64_t gm_nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}
