/* product.c: matrix products by tiles, in AVX-512. */
#include "product.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define WIDTH ((size_t)16)     /* floats of a vector */
#define ROWS ((size_t)12)      /* of a tile at most */
#define PANEL (2 * WIDTH)      /* columns of a tile at most */
#define RUN ((size_t)256)      /* multiply-adds of a chain at most: a packed panel stays in the first cache */
#define PIECE ((size_t)384)    /* rows of A at most that meet one packed panel: a run of them stays in the second */
#define FEW ((size_t)128)      /* rows of A that do not pay for packing */
#define NEAR ((size_t)1 << 18) /* floats of B that a run passes over, where it need not be packed */

#define TARGET __attribute__((target("avx512f")))
#define TEMPLATE TARGET static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

bool gm_product_able(void) {
    return __builtin_cpu_supports("avx512f");
}

bool gm_product_suits(size_t m, size_t k) {
    return m <= PIECE || k <= 2 * RUN;
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* How many pieces of at most `most` n has. */
static size_t pieces(size_t n, size_t most) {
    return (n + most - 1) / most;
}

/* The first n numbers of a vector; all for n >= WIDTH. */
TEMPLATE __mmask16 first_of(size_t n) {
    return n >= WIDTH ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1);
}

/* ---- packing a panel ---- */

/* to[k, width] = B[k, n], the columns beyond n are 0. */
TEMPLATE void copy_rows(const size_t vectors, size_t k, size_t n, const float *b, size_t ldb, float *to) {
    const __mmask16 rest = first_of(n - (vectors - 1) * WIDTH);
    for (size_t p = 0; p < k; p++, b += ldb, to += vectors * WIDTH) {
        if (vectors == 2) _mm512_store_ps(to, _mm512_loadu_ps(b));
        _mm512_store_ps(to + (vectors - 1) * WIDTH, _mm512_maskz_loadu_ps(rest, b + (vectors - 1) * WIDTH));
    }
}

TARGET static void pack_rows(size_t vectors, size_t k, size_t n, const float *b, size_t ldb, float *to) {
    if (vectors == 2)
        copy_rows(2, k, n, b, ldb, to);
    else
        copy_rows(1, k, n, b, ldb, to);
}

TEMPLATE __m512 low_pairs(__m512 a, __m512 b) {
    return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}

TEMPLATE __m512 high_pairs(__m512 a, __m512 b) {
    return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}

/* r = its transpose: within quarters of the vectors, then the quarters. */
TEMPLATE void transpose(__m512 r[WIDTH]) {
    __m512 t[WIDTH];
    UNROLL for (size_t i = 0; i < WIDTH; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    UNROLL for (size_t i = 0; i < WIDTH; i += 4) {
        r[i] = low_pairs(t[i], t[i + 2]);
        r[i + 1] = high_pairs(t[i], t[i + 2]);
        r[i + 2] = low_pairs(t[i + 1], t[i + 3]);
        r[i + 3] = high_pairs(t[i + 1], t[i + 3]);
    }
    UNROLL for (size_t i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
    }
    UNROLL for (size_t i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
        r[i + 4] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 12] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

/* The same of B's transpose, b[n, k]. */
TARGET static void pack_columns(size_t vectors, size_t k, size_t n, const float *b, size_t ldb, float *to) {
    const size_t width = vectors * WIDTH;
    for (size_t j = 0; j < width; j += WIDTH, b += WIDTH * ldb) {
        for (size_t p = 0; p < k; p += WIDTH) {
            const __mmask16 some = first_of(k - p);
            __m512 r[WIDTH];
            UNROLL for (size_t i = 0; i < WIDTH; i++) {
                r[i] = j + i < n ? _mm512_maskz_loadu_ps(some, b + i * ldb + p) : _mm512_setzero_ps();
            }
            transpose(r);
            UNROLL for (size_t i = 0; i < WIDTH; i++) {
                if (p + i < k) _mm512_store_ps(to + (p + i) * width + j, r[i]);
            }
        }
    }
}

/* ---- a tile ---- */

/* C[rows, n] = A B + beta C, the rows of B ldb apart and of whole vectors. Inlined for each number of rows and vectors,
 * so that all sums are in registers. */
TEMPLATE void fixed_tile(const size_t rows, const size_t vectors, size_t n, size_t k, const float *a, size_t row,
                         size_t column, const float *b, size_t ldb, float beta, float *c, size_t ldc) {
    const __mmask16 whole = first_of(WIDTH), rest = first_of(n - (vectors - 1) * WIDTH);
    __m512 sums[ROWS][2];
    const float *at[ROWS / 3]; /* of every third row: addresses are in registers, too */
    UNROLL for (size_t i = 0; i < rows; i++) {
        UNROLL for (size_t v = 0; v < vectors; v++) sums[i][v] = _mm512_setzero_ps();
    }
    UNROLL for (size_t i = 0; i < rows; i += 3) at[i / 3] = a + i * row;
    UNROLL for (size_t i = 0; i < rows; i++) {
        UNROLL for (size_t v = 0; v < vectors; v++) _mm_prefetch(c + i * ldc + v * WIDTH, _MM_HINT_T0);
    }
    for (size_t p = 0; p < k; p++, b += ldb) {
        __m512 factors[2];
        UNROLL for (size_t v = 0; v < vectors; v++) factors[v] = _mm512_loadu_ps(b + v * WIDTH);
        UNROLL for (size_t i = 0; i < rows; i++) {
            __m512 x = _mm512_set1_ps(at[i / 3][i % 3 * row]);
            UNROLL for (size_t v = 0; v < vectors; v++) sums[i][v] = _mm512_fmadd_ps(x, factors[v], sums[i][v]);
        }
        UNROLL for (size_t i = 0; i < rows; i += 3) at[i / 3] += column;
    }
    const __m512 scale = _mm512_set1_ps(beta);
    UNROLL for (size_t i = 0; i < rows; i++, c += ldc) {
        UNROLL for (size_t v = 0; v < vectors; v++) {
            const __mmask16 some = v + 1 < vectors ? whole : rest;
            if (beta != 0.0f)
                sums[i][v] =
                    _mm512_add_ps(_mm512_mul_ps(scale, _mm512_maskz_loadu_ps(some, c + v * WIDTH)), sums[i][v]);
            _mm512_mask_storeu_ps(c + v * WIDTH, some, sums[i][v]);
        }
    }
}

#define CASE(rows)                                                                                                     \
    case rows:                                                                                                         \
        if (n > WIDTH)                                                                                                 \
            fixed_tile(rows, 2, n, k, a, row, column, b, ldb, beta, c, ldc);                                           \
        else                                                                                                           \
            fixed_tile(rows, 1, n, k, a, row, column, b, ldb, beta, c, ldc);                                           \
        break

TARGET static void tile(size_t rows, size_t n, size_t k, const float *a, size_t row, size_t column, const float *b,
                        size_t ldb, float beta, float *c, size_t ldc) {
    switch (rows) {
        CASE(1);
        CASE(2);
        CASE(3);
        CASE(4);
        CASE(5);
        CASE(6);
        CASE(7);
        CASE(8);
        CASE(9);
        CASE(10);
        CASE(11);
        CASE(12);
    }
}

/* ---- products ---- */

static gm_operand from(gm_operand x, size_t i, size_t j) {
    x.at += i * x.row + j * x.column;
    return x;
}

/* Whether a panel of B, [k, n], is packed: not where few tiles meet it, which read it as fast where it lies, if its
 * rows are not so far apart that they are in each other's way in the caches. Tiles read whole vectors. */
static bool is_packed(size_t m, size_t n, size_t k, gm_operand b) {
    return b.column != 1 || m > FEW || k * b.row >= NEAR || n % WIDTH != 0;
}

/* Fetches rows first .. end - 1 of a panel of B that lies in rows: processors see no pattern in rows far apart. */
static void fetch_rows(const float *b, size_t ldb, size_t first, size_t end) {
    for (size_t p = first; p < end; p++) {
        _mm_prefetch(b + p * ldb, _MM_HINT_T1);
        _mm_prefetch(b + p * ldb + WIDTH, _MM_HINT_T1);
    }
}

/* One run of a piece of A, with all panels of B. Tiles are about equally high. */
static void multiply_piece(size_t m, size_t n, size_t k, gm_operand a, gm_operand b, float beta, float *c, size_t ldc) {
    _Alignas(64) float panel[RUN * PANEL];
    const size_t tiles = pieces(m, ROWS), least = m / tiles, higher = m % tiles;
    for (size_t j = 0; j < n; j += PANEL) {
        const size_t columns = smaller(n - j, PANEL), vectors = pieces(columns, WIDTH);
        const bool packed = is_packed(m, columns, k, b);
        const float *at = from(b, 0, j).at;
        if (packed && b.column == 1)
            pack_rows(vectors, k, columns, at, b.row, panel);
        else if (packed)
            pack_columns(vectors, k, columns, at, b.column, panel);
        const bool fetches = b.column == 1 && j + PANEL < n;
        for (size_t i = 0, first = 0, rows; i < tiles; i++, first += rows) {
            if (fetches) fetch_rows(at + PANEL, b.row, k * i / tiles, k * (i + 1) / tiles);
            rows = least + (i < higher ? 1 : 0);
            tile(rows, columns, k, a.at + first * a.row, a.row, a.column, packed ? panel : at,
                 packed ? vectors * WIDTH : b.row, beta, c + first * ldc + j, ldc);
        }
    }
}

void gm_product(size_t m, size_t n, size_t k, gm_operand a, gm_operand b, float beta, float *c, size_t ldc) {
    const size_t runs = pieces(k, RUN), parts = pieces(m, PIECE);
    for (size_t r = 0, at = 0, stop; r < runs; r++, at = stop) {
        stop = k * (r + 1) / runs;
        for (size_t i = 0, first = 0, end; i < parts; i++, first = end) {
            end = m * (i + 1) / parts;
            multiply_piece(end - first, n, stop - at, from(a, first, at), from(b, at, 0), r == 0 ? beta : 1.0f,
                           c + first * ldc, ldc);
        }
    }
}

#else

bool gm_product_able(void) {
    return false;
}

bool gm_product_suits(size_t m, size_t k) {
    (void)m, (void)k;
    return false;
}

void gm_product(size_t m, size_t n, size_t k, gm_operand a, gm_operand b, float beta, float *c, size_t ldc) {
    (void)m, (void)n, (void)k, (void)a, (void)b, (void)beta, (void)c, (void)ldc;
}

#endif
