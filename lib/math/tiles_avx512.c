/* tiles_avx512.c: tiles of 12 rows and 32 columns. A is read where it lies. */
#include "product.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define TARGET __attribute__((target("avx512f")))
#define TEMPLATE TARGET static inline __attribute__((always_inline))
#define INTRINSIC(name) _mm512_##name
#define WIDTH ((size_t)16)
#define ROWS ((size_t)12)
#define EACH_HEIGHT(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)
#define UNROLL_SUMS
#define PIECE ((size_t)384)
#define FEW ((size_t)128)
#define PACKS_A false

typedef __m512 vector;
typedef __mmask16 mask;

TEMPLATE mask first_of(size_t n) {
    return (mask)(n >= WIDTH ? 0xffffu : (1u << n) - 1);
}

TEMPLATE vector load_first(const float *x, mask some) {
    return _mm512_maskz_loadu_ps(some, x);
}

TEMPLATE void store_first(float *x, mask some, vector v) {
    _mm512_mask_storeu_ps(x, some, v);
}

TEMPLATE vector low_pairs(vector a, vector b) {
    return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}

TEMPLATE vector high_pairs(vector a, vector b) {
    return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}

/* r = its transpose: within quarters of the vectors, then the quarters. */
TEMPLATE void transpose(vector r[WIDTH]) {
    vector t[WIDTH];
    GM_UNROLL for (size_t i = 0; i < WIDTH; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    GM_UNROLL for (size_t i = 0; i < WIDTH; i += 4) {
        r[i] = low_pairs(t[i], t[i + 2]);
        r[i + 1] = high_pairs(t[i], t[i + 2]);
        r[i + 2] = low_pairs(t[i + 1], t[i + 3]);
        r[i + 3] = high_pairs(t[i + 1], t[i + 3]);
    }
    GM_UNROLL for (size_t i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
    }
    GM_UNROLL for (size_t i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
        r[i + 4] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 12] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

#include "tiles.h"

static bool able(void) {
    return __builtin_cpu_supports("avx512f");
}

const gm_tiles gm_tiles_avx512 = {"AVX-512", able, product, pack};

#endif
