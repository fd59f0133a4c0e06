/* tiles_avx2.c: tiles of 6 rows and 16 columns, which 16 registers hold. With so few, addresses and loads take more of
 * the processor than the sums can spare: both factors are packed where that pays, so that addresses are constants. */
#include "product.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define TARGET __attribute__((target("avx2,fma")))
#define TEMPLATE TARGET static inline __attribute__((always_inline))
#define INTRINSIC(name) _mm256_##name
#define WIDTH ((size_t)8)
#define ROWS ((size_t)6)
#define EACH_HEIGHT(X) X(1) X(2) X(3) X(4) X(5) X(6)
#if defined(__clang__)
#define UNROLL_SUMS _Pragma("clang loop unroll_count(4)")
#else
#define UNROLL_SUMS _Pragma("GCC unroll 4")
#endif
#define PIECE ((size_t)256)
#define FEW ((size_t)0)
#define PACKS_A true

typedef __m256 vector;
typedef __m256i mask;

TEMPLATE mask first_of(size_t n) {
    static const int marks[2 * WIDTH] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const mask *)(marks + (n >= WIDTH ? 0 : WIDTH - n)));
}

TEMPLATE vector load_first(const float *x, mask some) {
    return _mm256_maskload_ps(x, some);
}

TEMPLATE void store_first(float *x, mask some, vector v) {
    _mm256_maskstore_ps(x, some, v);
}

/* r = its transpose: within halves of the vectors, then the halves. */
TEMPLATE void transpose(vector r[WIDTH]) {
    vector t[WIDTH];
    GM_UNROLL for (size_t i = 0; i < WIDTH; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    GM_UNROLL for (size_t i = 0; i < WIDTH; i += 4) {
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    GM_UNROLL for (size_t i = 0; i < WIDTH / 2; i++) {
        t[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
        t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
    }
    GM_UNROLL for (size_t i = 0; i < WIDTH; i++) r[i] = t[i];
}

#include "tiles.h"

static bool able(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

const gm_tiles gm_tiles_avx2 = {"AVX2", able, product, pack};

#endif
