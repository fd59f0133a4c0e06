/* shortest.c: floats as text, in double arithmetic.
 *
 * A float's 24 bits and 9 decimal digits leave a double room: x times a power of ten has a relative error of 2^-52 at
 * most, so its nearest integer is the right one but for those within GUARD of a half, and the float that the digits
 * read back as is the right one but for results within a few units of the middle between two floats. These are left to
 * the C library, whose arithmetic is exact.
 */
#include "shortest.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#define LEAST 2.4e-38 /* twice the smallest normal float */
#define GUARD 1e-5    /* of an integer below 10^9, whose error is below 10^-6 */
#define MIDDLE (UINT64_C(1) << 28)
#define LOW_BITS ((UINT64_C(1) << 29) - 1) /* of a double's fraction behind a float's */
#define UNITS 16

#define POWER_LEAST (-46)
static const double powers[] = {
    1e-46, 1e-45, 1e-44, 1e-43, 1e-42, 1e-41, 1e-40, 1e-39, 1e-38, 1e-37, 1e-36, 1e-35, 1e-34, 1e-33, 1e-32,
    1e-31, 1e-30, 1e-29, 1e-28, 1e-27, 1e-26, 1e-25, 1e-24, 1e-23, 1e-22, 1e-21, 1e-20, 1e-19, 1e-18, 1e-17,
    1e-16, 1e-15, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10, 1e-9,  1e-8,  1e-7,  1e-6,  1e-5,  1e-4,  1e-3,  1e-2,
    1e-1,  1e0,   1e1,   1e2,   1e3,   1e4,   1e5,   1e6,   1e7,   1e8,   1e9,   1e10,  1e11,  1e12,  1e13,
    1e14,  1e15,  1e16,  1e17,  1e18,  1e19,  1e20,  1e21,  1e22,  1e23,  1e24,  1e25,  1e26,  1e27,  1e28,
    1e29,  1e30,  1e31,  1e32,  1e33,  1e34,  1e35,  1e36,  1e37,  1e38,  1e39,  1e40,  1e41,  1e42,  1e43,
    1e44,  1e45,  1e46,  1e47,  1e48,  1e49,  1e50,  1e51,  1e52,  1e53,  1e54,
};

static double power(int exponent) {
    return powers[exponent - POWER_LEAST];
}

/* floor(log10(x)), by the binary exponent and then by comparison. */
static int decimal_exponent(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int binary = (int)(bits >> 52) - 1023;
    int exponent = (binary * 1233) >> 12; /* binary * log10(2), at most one too low */
    return exponent + (x >= power(exponent + 1));
}

typedef enum outcome { READS_BACK, OTHER_FLOAT, CANNOT_TELL } outcome;

/* x to that many digits as an integer; whether these digits are the float. */
static outcome try_digits(double x, int exponent, int digits, uint64_t *integer) {
    int scale = digits - 1 - exponent;
    double scaled = x * power(scale), whole = floor(scaled), part = scaled - whole;
    if (fabs(part - 0.5) < GUARD) return CANNOT_TELL;
    *integer = (uint64_t)whole + (part > 0.5);
    double back = (double)*integer * power(-scale);
    uint64_t bits;
    memcpy(&bits, &back, sizeof bits);
    int64_t from_middle = (int64_t)(bits & LOW_BITS) - (int64_t)MIDDLE;
    if (from_middle >= -UNITS && from_middle <= UNITS) return CANNOT_TELL;
    return (double)(float)back == x ? READS_BACK : OTHER_FLOAT;
}

/* The digits of an integer without zeros at its end; how many. */
static int put_digits(uint64_t integer, char digits[20]) {
    char reversed[20];
    int n = 0, count = 0;
    while (integer && integer % 10 == 0) integer /= 10;
    for (; integer; integer /= 10) reversed[n++] = (char)('0' + integer % 10);
    while (n) digits[count++] = reversed[--n];
    return count;
}

static char *put_exponent(char *out, int exponent) {
    unsigned size = (unsigned)(exponent < 0 ? -exponent : exponent);
    *out++ = 'e';
    *out++ = exponent < 0 ? '-' : '+';
    *out++ = (char)('0' + size / 10);
    *out++ = (char)('0' + size % 10);
    return out;
}

/* As %.*g writes it: `precision` decides between the forms. */
static void put_decimal(char *out, const char *digits, int count, int exponent, int precision) {
    bool scientific = exponent < -4 || exponent >= precision;
    int before = scientific ? 1 : exponent + 1; /* digits before the point */
    if (before <= 0) {
        *out++ = '0';
        *out++ = '.';
        for (; before < 0; before++) *out++ = '0';
        memcpy(out, digits, (size_t)count);
        out[count] = '\0';
        return;
    }
    for (int i = 0; i < before || i < count; i++) {
        if (i == before) *out++ = '.';
        *out++ = i < count ? digits[i] : '0';
    }
    if (scientific) out = put_exponent(out, exponent);
    *out = '\0';
}

bool gm_shortest_f32(float value, char out[32]) {
    double x = fabs((double)value);
    char digits[20];
    if (signbit(value)) *out++ = '-';
    if (x == 0) {
        memcpy(out, "0", 2);
        return value == 0;
    }
    if (!(x >= LEAST) || !isfinite(x)) return false;
    int exponent = decimal_exponent(x);
    for (int precision = 6; precision <= 9; precision++) {
        uint64_t integer = 0;
        outcome got = try_digits(x, exponent, precision, &integer);
        if (got == CANNOT_TELL) return false;
        if (got == OTHER_FLOAT) continue;
        int count = put_digits(integer, digits);
        static const uint64_t over[] = {1000000, 10000000, 100000000, 1000000000};
        put_decimal(out, digits, count, exponent + (integer == over[precision - 6]), precision);
        return true;
    }
    return false;
}
