/* shortest.c: floats as text, in double arithmetic.
 *
 * A float's 24 bits and 9 decimal digits leave a double room: x times a power of ten has a relative error of 2^-52 at
 * most, so its nearest integer is the right one but for those very near a half, and the float that the digits read back
 * as is the right one but for results within a few units of the middle between two floats. These few are looked at
 * again in long double, whose errors are 2000 times smaller where it has 64 bits; what remains is left to the C
 * library, whose arithmetic is exact, and whose first use takes memory.
 */
#include "shortest.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define LEAST 2.4e-38 /* twice the smallest normal float */
#define GUARD 1e-6    /* of an integer below 10^9, whose error is below a quarter of that */
#define MIDDLE (UINT64_C(1) << 28)
#define LOW_BITS ((UINT64_C(1) << 29) - 1) /* of a double's fraction behind a float's */
#define UNITS 4
#define ERROR (4 * LDBL_EPSILON)
#define EXACT_SCALE 12 /* a float times 10^12 is exact: 24 bits and those of 5^12 are 52 */

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
static const long double long_powers[] = {
    1e-46L, 1e-45L, 1e-44L, 1e-43L, 1e-42L, 1e-41L, 1e-40L, 1e-39L, 1e-38L, 1e-37L, 1e-36L, 1e-35L, 1e-34L,
    1e-33L, 1e-32L, 1e-31L, 1e-30L, 1e-29L, 1e-28L, 1e-27L, 1e-26L, 1e-25L, 1e-24L, 1e-23L, 1e-22L, 1e-21L,
    1e-20L, 1e-19L, 1e-18L, 1e-17L, 1e-16L, 1e-15L, 1e-14L, 1e-13L, 1e-12L, 1e-11L, 1e-10L, 1e-9L,  1e-8L,
    1e-7L,  1e-6L,  1e-5L,  1e-4L,  1e-3L,  1e-2L,  1e-1L,  1e0L,   1e1L,   1e2L,   1e3L,   1e4L,   1e5L,
    1e6L,   1e7L,   1e8L,   1e9L,   1e10L,  1e11L,  1e12L,  1e13L,  1e14L,  1e15L,  1e16L,  1e17L,  1e18L,
    1e19L,  1e20L,  1e21L,  1e22L,  1e23L,  1e24L,  1e25L,  1e26L,  1e27L,  1e28L,  1e29L,  1e30L,  1e31L,
    1e32L,  1e33L,  1e34L,  1e35L,  1e36L,  1e37L,  1e38L,  1e39L,  1e40L,  1e41L,  1e42L,  1e43L,  1e44L,
    1e45L,  1e46L,  1e47L,  1e48L,  1e49L,  1e50L,  1e51L,  1e52L,  1e53L,  1e54L,
};

static double power(int exponent) {
    return powers[exponent - POWER_LEAST];
}

static long double long_power(int exponent) {
    return long_powers[exponent - POWER_LEAST];
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

/* try_digits where that cannot tell. */
static outcome try_again(double x, int scale, uint64_t *integer) {
    const long double exact = x, above = nextafterf((float)x, INFINITY), below = nextafterf((float)x, 0);
    long double scaled = exact * long_power(scale), whole = floorl(scaled), part = scaled - whole;
    bool exact_tie = part == 0.5L && scale >= 0 && scale <= EXACT_SCALE, near = fabsl(part - 0.5L) <= ERROR * scaled;
    /* half a unit is more than a float's last place while they are below 2^22 */
    if (near && !exact_tie) return scaled < 0x1p22L ? OTHER_FLOAT : CANNOT_TELL;
    *integer = (uint64_t)whole + (exact_tie ? (uint64_t)whole & 1 : part > 0.5L); /* to the even one, as printf does */
    long double back = (long double)*integer * long_power(-scale), error = ERROR * back;
    long double high = (exact + above) / 2, low = (exact + below) / 2;
    if (isinf(above) || fabsl(back - high) <= error || fabsl(back - low) <= error) return CANNOT_TELL;
    return back > low && back < high ? READS_BACK : OTHER_FLOAT;
}

/* x to that many digits as an integer; whether these digits are the float. */
static outcome try_digits(double x, int scale, uint64_t *integer) {
    double scaled = x * power(scale), whole = floor(scaled), part = scaled - whole;
    if (fabs(part - 0.5) < GUARD) return try_again(x, scale, integer);
    *integer = (uint64_t)whole + (part > 0.5);
    double back = (double)*integer * power(-scale);
    uint64_t bits;
    memcpy(&bits, &back, sizeof bits);
    int64_t from_middle = (int64_t)(bits & LOW_BITS) - (int64_t)MIDDLE;
    if (from_middle >= -UNITS && from_middle <= UNITS) return try_again(x, scale, integer);
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
        outcome got = try_digits(x, precision - 1 - exponent, &integer);
        if (got == CANNOT_TELL) return false;
        if (got == OTHER_FLOAT) continue;
        int count = put_digits(integer, digits);
        static const uint64_t over[] = {1000000, 10000000, 100000000, 1000000000};
        put_decimal(out, digits, count, exponent + (integer == over[precision - 6]), precision);
        return true;
    }
    return false;
}
