#include "gm/blas.h"

#include <cblas.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* Units are at most 2^24 and rows come in chunks: nothing here is near 2^31. */
static blasint integer(size_t n) {
    return (blasint)n;
}

/* y = op(A) x + beta y, A stored as [rows, columns]. The zero is stored first where beta is 0: y may hold a nan. */
static void matvec(CBLAS_TRANSPOSE op, size_t rows, size_t columns, const float *a, size_t lda, const float *x,
                   size_t step, float beta, float *y, size_t y_step) {
    size_t results = op == CblasTrans ? columns : rows;
    if (beta == 0.0f)
        for (size_t i = 0; i < results; i++) y[i * y_step] = 0.0f;
    cblas_sgemv(CblasRowMajor, op, integer(rows), integer(columns), 1.0f, a, integer(lda), x, integer(step),
                beta == 0.0f ? 1.0f : beta, y, integer(y_step));
}

/* C = beta C: what is left of the sum when k is 0. True if there is nothing else to do. */
static bool empty_product(size_t m, size_t n, size_t k, float beta, float *c, size_t ldc) {
    if (k > 0) return m == 0 || n == 0;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) c[i * ldc + j] = beta == 0.0f ? 0.0f : beta * c[i * ldc + j];
    return true;
}

void gm_matmul(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb, float beta,
               float *c, size_t ldc) {
    if (empty_product(m, n, k, beta, c, ldc)) return;
    if (n == 1)
        matvec(CblasNoTrans, m, k, a, lda, b, ldb, beta, c, ldc);
    else if (m == 1)
        matvec(CblasTrans, k, n, b, ldb, a, 1, beta, c, 1);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, integer(m), integer(n), integer(k), 1.0f, a,
                    integer(lda), b, integer(ldb), beta, c, integer(ldc));
}

void gm_matmul_nt(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                  float *c, size_t ldc) {
    if (empty_product(m, n, k, beta, c, ldc)) return;
    if (n == 1)
        matvec(CblasNoTrans, m, k, a, lda, b, 1, beta, c, ldc);
    else if (m == 1)
        matvec(CblasNoTrans, n, k, b, ldb, a, 1, beta, c, 1);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, integer(m), integer(n), integer(k), 1.0f, a, integer(lda),
                    b, integer(ldb), beta, c, integer(ldc));
}

void gm_matmul_tn(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                  float *c, size_t ldc) {
    if (empty_product(m, n, k, beta, c, ldc)) return;
    if (n == 1)
        matvec(CblasTrans, k, m, a, lda, b, ldb, beta, c, ldc);
    else if (m == 1)
        matvec(CblasTrans, k, n, b, ldb, a, lda, beta, c, 1);
    else
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, integer(m), integer(n), integer(k), 1.0f, a, integer(lda),
                    b, integer(ldb), beta, c, integer(ldc));
}

static char blas_text[128];

/* The configuration begins with "OpenBLAS 0.3.21 ...". */
static void make_blas_text(void) {
    const char *configuration = openblas_get_config();
    size_t name = strcspn(configuration, " ");
    size_t version = name + (configuration[name] ? 1 + strcspn(configuration + name + 1, " ") : 0);
    snprintf(blas_text, sizeof blas_text, "%.*s %s", (int)version, configuration, openblas_get_corename());
}

const char *gm_blas_text(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, make_blas_text);
    return blas_text;
}
