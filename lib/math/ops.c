/* ops.c: elementary functions and reductions.
 *
 * Each function is a range reduction and a polynomial fitted by Remez' algorithm (weighted for relative error) on the
 * reduced range; the error of the fit is given with the coefficients. Loops have no branches, only selections, so that
 * they vectorise. Comparisons are turned so that a nan in the input falls through to the output.
 */
#include "gm/ops.h"

#include "clones.h"

#include <float.h>
#include <math.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

/* ---- exp and what is made of it ---- */

#define EXP_LOW (-87.33654f) /* exp of less is below FLT_MIN */
#define EXP_HIGH 88.72283f   /* exp of more is above FLT_MAX */

/* exp(x) = 2^n p, returns p in [0.7, 1.42]; |x| <= 89. Adding 1.5 2^23 rounds to an integer in the low bits (Cody and
 * Waite 1980). With r = x - n ln 2: p = 1 + r + r^2 Q(r), Q of degree 4, fit 3.1e-9. */
GM_INLINE float exp_reduced(float x, uint32_t *n) {
    const float rounder = 12582912.0f;
    float shifted = x * 1.44269504f + rounder;
    *n = gm_bits(shifted) - gm_bits(rounder);
    float k = shifted - rounder;
    float r = x - k * 0.693359375f; /* ln 2 = 0.693359375 - 2.1219444e-4; the first product is exact */
    r = r + k * 2.12194440e-4f;
    float q = 0.00138145359f;
    q = q * r + 0.00836874545f;
    q = q * r + 0.041668389f;
    q = q * r + 0.166665211f;
    q = q * r + 0.49999994f;
    return q * (r * r) + r + 1.0f;
}

/* exp(x) for |x| <= 87.3, or nan. */
GM_INLINE float exp_inside(float x) {
    uint32_t n;
    float p = exp_reduced(x, &n);
    return p * gm_from_bits((n + 127u) << 23);
}

/* exp(-|x|), 0 below FLT_MIN. */
GM_INLINE float exp_minus_absolute(float x) {
    float a = fabsf(x);
    float y = exp_inside(a > -EXP_LOW ? EXP_LOW : -a);
    return a > -EXP_LOW ? 0.0f : y;
}

GM_CLONES void gm_exp(size_t n, const float *in, float *out) {
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) {
        float x = in[i];
        uint32_t power;
        float p = exp_reduced(x, &power);
        float y = gm_from_bits(gm_bits(p) + (power << 23)); /* not a product: power may be 128 */
        y = x >= EXP_LOW ? y : 0.0f;
        out[i] = x <= EXP_HIGH ? y : x + INFINITY;
    }
}

GM_CLONES void gm_sigmoid(size_t n, const float *in, float *out) {
    /* 1 / (1 + exp(-x)), for x < 0 as exp(x) / (1 + exp(x)): no overflow, and small results keep their digits. */
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) {
        float x = in[i];
        float t = exp_minus_absolute(x);
        out[i] = (x < 0.0f ? t : 1.0f) / (1.0f + t);
    }
}

GM_CLONES void gm_tanh(size_t n, const float *in, float *out) {
    /* Below 5/8 x + x^3 P(x^2), P of degree 4, fit 4.4e-9; above 1 - 2 / (exp(2 |x|) + 1), which is 1 from 9.02 on. */
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) {
        float x = in[i], a = fabsf(x), z = x * x;
        float large = 1.0f - 2.0f / (exp_inside(a > 10.0f ? 20.0f : a + a) + 1.0f);
        float p = -0.00570497522f;
        p = p * z + 0.0206390768f;
        p = p * z - 0.0537397116f;
        p = p * z + 0.133314416f;
        p = p * z - 0.333332807f;
        float small = p * z * x + x;
        out[i] = copysignf(a < 0.625f ? small : large, x);
    }
}

/* ---- log ---- */

/* log(1 + f) without its leading terms, for 1 + f in [sqrt(1/2), sqrt(2)]: with s = f / (2 + f), z = s^2,
 * log(1 + f) = 2 atanh(s) = 2 s + s z R(z) = f - f^2 / 2 + s (f^2 / 2 + z R(z)); R of degree 3, fit 4.8e-12 (the form
 * is that of Ng's fdlibm). Returns s (f^2 / 2 + z R(z)). */
GM_INLINE float log_rest(float f) {
    float s = f / (2.0f + f), z = s * s;
    float r = 0.235827684f;
    r = r * z + 0.285372794f;
    r = r * z + 0.400003344f;
    r = r * z + 0.666666627f;
    return s * (0.5f * f * f + z * r);
}

/* k ln 2 + log(1 + f), the small terms first; the product with the first part of ln 2 is exact. */
GM_INLINE float log_joined(float k, float f) {
    return k * 0.693138123f + (f - (0.5f * f * f - (log_rest(f) + k * 9.05800061e-6f)));
}

GM_CLONES void gm_log(size_t n, const float *in, float *out) {
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) {
        float x = in[i];
        uint32_t bits = gm_bits(x);
        uint32_t above = bits - 0x3f3504f3u + 0x3f800000u; /* the exponent counted from sqrt(1/2) on */
        float k = (float)((int32_t)(above >> 23) - 127);
        float f = gm_from_bits((above & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
        float y = log_joined(k, f);
        float edge = fabsf(x) < FLT_MIN ? -INFINITY : NAN; /* denormal numbers count as zero */
        y = x >= FLT_MIN ? y : edge;
        out[i] = x <= FLT_MAX ? y : x; /* inf and nan */
    }
}

GM_CLONES void gm_softplus(size_t n, const float *in, float *out) {
    /* max(x, 0) + log(1 + t) with t = exp(-|x|) in [0, 1]; 1 + t is not rounded before its log is taken. */
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) {
        float x = in[i];
        float t = exp_minus_absolute(x);
        float far = t > 0.41421356f ? 1.0f : 0.0f;
        float f = t > 0.41421356f ? (t - 1.0f) * 0.5f : t;
        out[i] = (x > 0.0f ? x : 0.0f) + log_joined(far, f);
    }
}

/* ---- erf, sine and cosine ---- */

GM_CLONES void gm_erf(size_t n, const float *in, float *out) {
    /* Below 1 x P(x^2), P of degree 6, fit 1.2e-9; above 1 - exp(-Q(|x|)), Q of degree 6 for -log(erfc) on [1, 4], fit
     * 1.0e-9; erf is 1 from 3.92 on. */
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) {
        float x = in[i], a = fabsf(x), z = x * x;
        float p = 7.85386874e-05f;
        p = p * z - 0.000801019603f;
        p = p * z + 0.00518832775f;
        p = p * z - 0.0268538129f;
        p = p * z + 0.112835854f;
        p = p * z - 0.37612626f;
        p = p * z + 1.12837911f;
        float b = a > 4.0f ? 4.0f : a;
        float q = -0.000185571989f;
        q = q * b + 0.00293958769f;
        q = q * b - 0.0218052417f;
        q = q * b + 0.103037216f;
        q = q * b + 0.638225853f;
        q = q * b + 1.12703991f;
        q = q * b + 0.000353743118f;
        out[i] = a < 1.0f ? p * x : copysignf(1.0f - exp_inside(-q), x);
    }
}

GM_CLONES void gm_sincos_turns(size_t n, const float *turns, float *sine, float *cosine) {
    /* The nearest quarter of a turn is taken away exactly; on what is left, |y| <= pi / 4, sin y = y + y^3 S(y^2) (fit
     * 3.6e-9) and cos y = 1 - y^2 / 2 + y^4 C(y^2) (fit 1.2e-10). */
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) {
        const float rounder = 12582912.0f;
        float shifted = turns[i] * 4.0f + rounder;
        uint32_t quarter = gm_bits(shifted);
        float y = (turns[i] - (shifted - rounder) * 0.25f) * 6.28318531f, z = y * y;
        float s = (-0.000195172979f * z + 0.008332178f) * z - 0.166666552f;
        s = s * z * y + y;
        float c = (2.44331568e-05f * z - 0.00138873165f) * z + 0.0416666456f;
        c = c * z * z - 0.5f * z + 1.0f;
        /* sin(y + q pi / 2) is s, c, -s, -c and cos c, -s, -c, s for q = 0, 1, 2, 3. */
        float sq = quarter & 1u ? c : s, cq = quarter & 1u ? s : c;
        sine[i] = gm_from_bits(gm_bits(sq) ^ ((quarter & 2u) << 30));
        cosine[i] = gm_from_bits(gm_bits(cq) ^ (((quarter + 1u) & 2u) << 30));
    }
}

/* ---- reductions ---- */

#define LANES 16

GM_INLINE double lanes_sum(const double *lane) {
    double sum = 0;
    for (size_t j = 0; j < LANES; j++) sum += lane[j];
    return sum;
}

GM_CLONES double gm_sum(size_t n, const float *x) {
    double lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++) lane[j] += (double)x[i + j];
    for (size_t j = 0; i + j < n; j++) lane[j] += (double)x[i + j];
    return lanes_sum(lane);
}

GM_CLONES double gm_sum_squares(size_t n, const float *x) {
    double lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++) lane[j] += (double)x[i + j] * (double)x[i + j];
    for (size_t j = 0; i + j < n; j++) lane[j] += (double)x[i + j] * (double)x[i + j];
    return lanes_sum(lane);
}

GM_CLONES double gm_sum_absolute(size_t n, const float *x) {
    double lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++) lane[j] += fabs((double)x[i + j]);
    for (size_t j = 0; i + j < n; j++) lane[j] += fabs((double)x[i + j]);
    return lanes_sum(lane);
}

double gm_power(double base, uint64_t n) {
    double result = 1;
    for (; n > 0 && result > 0 && result < 1e60; n >>= 1) {
        if (n & 1) result *= base;
        if (base < 1e60) base *= base;
    }
    return result < 1e60 ? result : 1e60;
}

GM_CLONES size_t gm_first_not_finite(size_t n, const float *x) {
    enum { BLOCK = 256 };
    size_t start = 0;
    for (; start + BLOCK <= n; start += BLOCK) {
        uint32_t found = 0;
        for (size_t j = 0; j < BLOCK; j++) found |= gm_not_finite(x[start + j]);
        if (found) break;
    }
    while (start < n && !gm_not_finite(x[start])) start++;
    return start;
}

void gm_flush_denormals(void) {
#if defined(__x86_64__)
    _mm_setcsr(_mm_getcsr() | 0x8040u); /* flush to zero, and denormals are zero */
#elif defined(__aarch64__)
    uint64_t control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    __asm__ volatile("msr fpcr, %0" : : "r"(control | (uint64_t)1 << 24)); /* FZ */
#endif
}
