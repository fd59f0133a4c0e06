/* blas.h: the only door to BLAS. All matrices are row-major and dense (leading dimension = columns unless given).
 *
 * The kernels are those that OpenBLAS chooses for the processor, or that OPENBLAS_CORETYPE names; for a processor that
 * is newer than OpenBLAS they are SkylakeX's where it has AVX-512, Haswell's where it has AVX2. Where none are named
 * and there is AVX-512 or AVX2, single-precision products that are not very large are computed by tiles of our own
 * instead (lib/math/product.h).
 */
#ifndef GM_BLAS_H
#define GM_BLAS_H

#include "gm/base.h"

/* Sees to it that the calling thread can compute: OpenBLAS tries for ever to get a buffer where there is no memory for
 * one, and the functions below have no way to say so. */
GM_MUST_USE int gm_blas_ready(gm_error *e);

/* C[m,n] = A[m,k] B[k,n] + beta C. One thread; a single row goes through the matrix-vector product, and of a single
 * column GM_COLUMN_ROWS numbers at a time. */
void gm_matmul(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb, float beta,
               float *c, size_t ldc);
/* C[m,n] = A[m,k] B[k,n] + biases[n] in each row; where it is rectified, 0 for what is negative. The same bits as one
 * after the other. `packed` is what gm_matmul_pack made of B, or NULL. */
void gm_matmul_biased(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb,
                      const float *packed, const float *biases, bool rectified, float *c, size_t ldc);
/* packed[gm_matmul_packed(n, k)] = B[k,n] as products read it, for one that many are made with. It takes no number, and
 * need not be called, where there are no tiles. */
size_t gm_matmul_packed(size_t n, size_t k);
void gm_matmul_pack(size_t n, size_t k, const float *b, size_t ldb, float *packed);
/* C[m,n] = A[m,k] B[n,k]' + beta C. */
void gm_matmul_nt(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                  float *c, size_t ldc);
/* C[m,n] = A[k,m]' B[k,n] + beta C. */
void gm_matmul_tn(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                  float *c, size_t ldc);

/* Whether how a product is cut changes no bit: a number of C is the same whichever rows and columns are computed with
 * it, where these are 2 rows at least and 384 at most, and cuts leave no single column and are between rows whose
 * numbers GM_COLUMN_ROWS divides. True of tiles; OpenBLAS chooses its loops by the shape of a product. */
bool gm_matmul_cuts_freely(void);
#define GM_COLUMN_ROWS 64

/* C[m,n] = A[k,m]' B[k,n] + beta C, in double. */
void gm_matmul_double_tn(size_t m, size_t n, size_t k, const double *a, size_t lda, const double *b, size_t ldb,
                         double beta, double *c, size_t ldc);

/* The eigenvalues of a symmetric A[n,n], ascending, into values[n], by LAPACK's dsyev. A is overwritten: row i becomes
 * the eigenvector of values[i] (of length 1), or, without `vectors`, nothing of use. -1 if memory ran out, n is above
 * 2^30, or the iteration did not converge. */
GM_MUST_USE int gm_symmetric_eigen(size_t n, double *a, bool vectors, double *values, gm_error *e);

/* "OpenBLAS 0.3.21 SkylakeX with AVX-512 tiles": library, version, the kernel in use, and what else computes products.
 * Another text, other bits. */
const char *gm_blas_text(void);

#endif
