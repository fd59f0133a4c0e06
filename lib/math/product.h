/* product.h: matrix products of the sizes that batches and layers have.
 *
 * OpenBLAS is made for large products: it keeps packed pieces of both factors, passes over C to scale it, and reads it
 * again, which costs a tenth to a sixth of the time where there are a few hundred rows. Here C is computed in tiles
 * that stay in registers and are scaled on their way out, and of B one panel of a tile's width at a time is packed,
 * into the first cache; A is read where it lies, or packed where registers are few. (After Goto and van de Geijn,
 * Anatomy of High-Performance Matrix Multiplication, ACM TOMS 34, 2008.)
 *
 * Each number of C is a chain of fused multiply-adds in the order of k, in runs that depend on k alone, and the sums of
 * the runs are added in order: its bits depend neither on where C is cut nor on the kind of tiles.
 */
#ifndef GM_PRODUCT_H
#define GM_PRODUCT_H

#include <stdbool.h>
#include <stddef.h>

/* A matrix: number (i, j) is at[i * row + j * column]. */
typedef struct gm_operand {
    const float *at;
    size_t row, column;
} gm_operand;

/* What becomes of the sums: sums + beta C, and after that + biases[n] in each row, unless that is NULL, and 0 where it
 * is `rectified` and that is negative. C is not read where beta is 0. */
typedef struct gm_ending {
    float beta;
    const float *biases;
    bool rectified;
} gm_ending;

/* Multiply-adds of a chain at most: a packed panel of B stays in the first cache. */
#define GM_PRODUCT_RUN ((size_t)256)
#define GM_PRODUCT_ROOM (257 * GM_PRODUCT_RUN)

/* Numbers of B[k,n] packed: all panels, filled up to whole vectors. */
static inline size_t gm_product_packed(size_t n, size_t k) {
    return (n + 15) / 16 * 16 * k;
}

/* Tiles in the vectors of one kind of processor. */
typedef struct gm_tiles {
    const char *name; /* "AVX-512" */
    bool (*able)(void);
    /* C[m,n] = A[m,k] B[k,n], ended so, the rows of C ldc apart; m, n and k are at least 1. One stride of each factor
     * is 1. `packed` is what pack() made of B, or NULL; `room` is GM_PRODUCT_ROOM floats for packed rows of A, or NULL:
     * then A is read where it lies. Both give the same bits. Only where able(). */
    void (*product)(size_t m, size_t n, size_t k, gm_operand a, gm_operand b, const float *packed, gm_ending ending,
                    float *c, size_t ldc, float *room);
    /* packed[gm_product_packed(n, k)] = B[k,n], for one that many products are made with. */
    void (*pack)(size_t n, size_t k, gm_operand b, float *packed);
} gm_tiles;

extern const gm_tiles gm_tiles_avx512, gm_tiles_avx2; /* on x86-64 */

/* All kinds that there are here, the fastest first, and NULL. */
extern const gm_tiles *const gm_tiles_kinds[];

/* The fastest kind that this processor is able to, or NULL. */
const gm_tiles *gm_tiles_here(void);

/* Whether a product of m rows and sums of k numbers is faster this way: a large one is read and written too often. */
bool gm_product_suits(size_t m, size_t k);

/* What loops of tiles are unrolled with: all their arrays are to be registers. */
#if defined(__clang__)
#define GM_UNROLL _Pragma("unroll")
#else
#define GM_UNROLL _Pragma("GCC unroll 16")
#endif

#endif
