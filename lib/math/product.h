/* product.h: matrix products of the sizes that batches and layers have.
 *
 * OpenBLAS is made for large products: it packs both factors, which costs a seventh of the time where there are a few
 * hundred rows. Here C is computed in tiles that stay in registers, A is read where it lies, and of B one panel of a
 * tile's width at a time is packed, into the first cache. (Goto and van de Geijn, Anatomy of High-Performance Matrix
 * Multiplication, ACM TOMS 34, 2008, keep a packed piece of A in the second cache and panels of both in the first.)
 *
 * Each number of C is a chain of fused multiply-adds in the order of k, in runs that depend on k alone, and the sums of
 * the runs are added in order: its bits do not depend on where C is cut.
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

/* Whether this processor has AVX-512, which gm_product is written in: with the 16 short registers of AVX2, tiles are
 * too small to gain anything on OpenBLAS. */
bool gm_product_able(void);

/* Whether a product of m rows and sums of k numbers is faster this way: a large one is read and written too often. */
bool gm_product_suits(size_t m, size_t k);

/* C[m,n] = A[m,k] B[k,n] + beta C, the rows of C ldc apart; m, n and k are at least 1. One of b's strides is 1. C is
 * not read where beta is 0. Only where gm_product_able(). */
void gm_product(size_t m, size_t n, size_t k, gm_operand a, gm_operand b, float beta, float *c, size_t ldc);

#endif
