#include "gm/blas.h"

#include "clones.h"
#include "product.h"

#include <cblas.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* OpenBLAS packs its operands into buffers of a pool. The serial build's pool has no working lock (SINGLE_THREADED
 * without USE_LOCKING: two threads can be given one buffer, and products come out wrong), and it tries for ever to map
 * a buffer where there is no memory. So each thread maps a buffer of its own here, where a lack of memory can be told:
 * the linker's --wrap sends OpenBLAS's calls of blas_memory_alloc and blas_memory_free to us. In a program that was
 * linked without --wrap, calls are made one at a time. */
void *__real_blas_memory_alloc(int position) __attribute__((weak));
void __real_blas_memory_free(void *buffer) __attribute__((weak));
void *__wrap_blas_memory_alloc(int position);
void __wrap_blas_memory_free(void *buffer);

/* OpenBLAS's BUFFER_SIZE, or more; mapped, and used in part. */
#if defined(__x86_64__) || defined(__aarch64__)
#define BUFFER_BYTES ((size_t)128 << 20)
#else
#define BUFFER_BYTES ((size_t)256 << 20)
#endif

static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key; /* unmaps a thread's buffer when it ends */
static bool has_key;
static atomic_bool pool_is_ours;  /* --wrap is in force */
static _Thread_local void *own;   /* this thread's buffer; tiles are packed into it, too */
static _Thread_local bool in_use; /* it was handed out */

static void unmap(void *buffer) {
    munmap(buffer, BUFFER_BYTES);
}

static void make_key(void) {
    has_key = pthread_key_create(&key, unmap) == 0;
}

/* True if this thread has a buffer. */
static bool map_own(void) {
    if (own) return true;
    (void)pthread_once(&key_once, make_key);
    void *room = mmap(NULL, BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) return false;
    if (!has_key || pthread_setspecific(key, room) != 0) {
        unmap(room);
        return false;
    }
    own = room;
    return true;
}

void *__wrap_blas_memory_alloc(int position) {
    atomic_store_explicit(&pool_is_ours, true, memory_order_relaxed);
    if (!in_use && map_own()) {
        in_use = true;
        return own;
    }
    pthread_mutex_lock(&pool_lock);
    void *buffer = __real_blas_memory_alloc(position);
    pthread_mutex_unlock(&pool_lock);
    return buffer;
}

void __wrap_blas_memory_free(void *buffer) {
    if (buffer == own) {
        in_use = false;
        return;
    }
    pthread_mutex_lock(&pool_lock);
    __real_blas_memory_free(buffer);
    pthread_mutex_unlock(&pool_lock);
}

/* Around each call of BLAS: until it is known that buffers are ours, one call at a time. */
static pthread_mutex_t call_lock = PTHREAD_MUTEX_INITIALIZER;

/* The first call: one that asks for a buffer, however small it is. */
static void try_pool(void) {
    float a = 0, c = 0;
    cblas_ssyrk(CblasRowMajor, CblasUpper, CblasNoTrans, 1, 1, 1.0f, &a, 1, 0.0f, &c, 1);
}

static bool enter(void) {
    static bool tried;
    if (atomic_load_explicit(&pool_is_ours, memory_order_relaxed)) return false;
    pthread_mutex_lock(&call_lock);
    if (!tried) try_pool();
    tried = true;
    if (!atomic_load_explicit(&pool_is_ours, memory_order_relaxed)) return true;
    pthread_mutex_unlock(&call_lock);
    return false;
}

static void leave(bool locked) {
    if (locked) pthread_mutex_unlock(&call_lock);
}

int gm_blas_ready(gm_error *e) {
    if (map_own()) return 0;
    return gm_fail(e, "out of memory (%zu bytes for OpenBLAS)", BUFFER_BYTES);
}

/* Units are at most 2^24 and rows come in chunks: nothing here is near 2^31. */
static blasint integer(size_t n) {
    return (blasint)n;
}

static void matmat(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, size_t m, size_t n, size_t k, const float *a, size_t lda,
                   const float *b, size_t ldb, float beta, float *c, size_t ldc) {
    bool locked = enter();
    cblas_sgemm(CblasRowMajor, ta, tb, integer(m), integer(n), integer(k), 1.0f, a, integer(lda), b, integer(ldb), beta,
                c, integer(ldc));
    leave(locked);
}

/* y = op(A) x + beta y, A stored as [rows, columns]. The zero is stored first where beta is 0: y may hold a nan. */
static void matvec(CBLAS_TRANSPOSE op, size_t rows, size_t columns, const float *a, size_t lda, const float *x,
                   size_t step, float beta, float *y, size_t y_step) {
    size_t results = op == CblasTrans ? columns : rows;
    if (beta == 0.0f)
        for (size_t i = 0; i < results; i++) y[i * y_step] = 0.0f;
    bool locked = enter();
    cblas_sgemv(CblasRowMajor, op, integer(rows), integer(columns), 1.0f, a, integer(lda), x, integer(step),
                beta == 0.0f ? 1.0f : beta, y, integer(y_step));
    leave(locked);
}

/* C = beta C: what is left of the sum when k is 0. True if there is nothing else to do. */
static bool empty_product(size_t m, size_t n, size_t k, float beta, float *c, size_t ldc) {
    if (k > 0) return m == 0 || n == 0;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) c[i * ldc + j] = beta == 0.0f ? 0.0f : beta * c[i * ldc + j];
    return true;
}

static const gm_tiles *tiles; /* for products that they suit, or NULL; set before main */

static gm_operand operand(CBLAS_TRANSPOSE op, const float *x, size_t ld) {
    return op == CblasTrans ? (gm_operand){x, 1, ld} : (gm_operand){x, ld, 1};
}

/* C[m,1] = op(A) b + beta C. */
static void multiply_column(CBLAS_TRANSPOSE ta, size_t m, size_t k, const float *a, size_t lda, const float *b,
                            size_t step, float beta, float *c, size_t ldc) {
    for (size_t i = 0; i < m; i += GM_COLUMN_ROWS) {
        const size_t rows = m - i < GM_COLUMN_ROWS ? m - i : GM_COLUMN_ROWS;
        if (ta == CblasTrans)
            matvec(ta, k, rows, a + i, lda, b, step, beta, c + i * ldc, ldc);
        else
            matvec(ta, rows, k, a + i * lda, lda, b, step, beta, c + i * ldc, ldc);
    }
}

GM_CLONES static void add_biases(size_t m, size_t n, const float *biases, float *c, size_t ldc) {
    for (size_t i = 0; i < m; i++, c += ldc) {
        GM_INDEPENDENT
        for (size_t j = 0; j < n; j++) c[j] += biases[j];
    }
}

GM_CLONES static void rectify(size_t m, size_t n, float *c, size_t ldc) {
    for (size_t i = 0; i < m; i++, c += ldc) {
        GM_INDEPENDENT
        for (size_t j = 0; j < n; j++) c[j] = c[j] < 0.0f ? 0.0f : c[j];
    }
}

/* C[m,n] = op(A) op(B) + beta C, by OpenBLAS. */
static void multiply_by_blas(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, size_t m, size_t n, size_t k, const float *a,
                             size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc) {
    if (empty_product(m, n, k, beta, c, ldc)) return;
    if (n == 1)
        multiply_column(ta, m, k, a, lda, b, tb == CblasTrans ? 1 : ldb, beta, c, ldc);
    else if (m == 1)
        matvec(tb == CblasTrans ? CblasNoTrans : CblasTrans, tb == CblasTrans ? n : k, tb == CblasTrans ? k : n, b, ldb,
               a, ta == CblasTrans ? lda : 1, beta, c, 1);
    else
        matmat(ta, tb, m, n, k, a, lda, b, ldb, beta, c, ldc);
}

/* C[m,n] = op(A) op(B), ended. */
static void multiply(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, size_t m, size_t n, size_t k, const float *a, size_t lda,
                     const float *b, size_t ldb, const float *packed, gm_ending ending, float *c, size_t ldc) {
    if (tiles && m > 1 && n > 1 && k > 0 && gm_product_suits(m, k)) {
        tiles->product(m, n, k, operand(ta, a, lda), operand(tb, b, ldb), packed, ending, c, ldc,
                       map_own() ? own : NULL);
        return;
    }
    multiply_by_blas(ta, tb, m, n, k, a, lda, b, ldb, ending.beta, c, ldc);
    if (ending.biases) add_biases(m, n, ending.biases, c, ldc);
    if (ending.rectified) rectify(m, n, c, ldc);
}

bool gm_matmul_cuts_freely(void) {
    return tiles != NULL;
}

void gm_matmul(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb, float beta,
               float *c, size_t ldc) {
    multiply(CblasNoTrans, CblasNoTrans, m, n, k, a, lda, b, ldb, NULL, (gm_ending){.beta = beta}, c, ldc);
}

void gm_matmul_biased(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb,
                      const float *packed, const float *biases, bool rectified, float *c, size_t ldc) {
    const gm_ending ending = {.biases = biases, .rectified = rectified};
    multiply(CblasNoTrans, CblasNoTrans, m, n, k, a, lda, b, ldb, packed, ending, c, ldc);
}

size_t gm_matmul_packed(size_t n, size_t k) {
    return tiles ? gm_product_packed(n, k) : 0;
}

void gm_matmul_pack(size_t n, size_t k, const float *b, size_t ldb, float *packed) {
    if (tiles) tiles->pack(n, k, operand(CblasNoTrans, b, ldb), packed);
}

void gm_matmul_nt(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                  float *c, size_t ldc) {
    multiply(CblasNoTrans, CblasTrans, m, n, k, a, lda, b, ldb, NULL, (gm_ending){.beta = beta}, c, ldc);
}

void gm_matmul_tn(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                  float *c, size_t ldc) {
    multiply(CblasTrans, CblasNoTrans, m, n, k, a, lda, b, ldb, NULL, (gm_ending){.beta = beta}, c, ldc);
}

void gm_matmul_double_tn(size_t m, size_t n, size_t k, const double *a, size_t lda, const double *b, size_t ldb,
                         double beta, double *c, size_t ldc) {
    bool locked = enter();
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, integer(m), integer(n), integer(k), 1.0, a, integer(lda), b,
                integer(ldb), beta, c, integer(ldc));
    leave(locked);
}

/* LAPACK (in the same library, written in Fortran): the lengths of the two texts stand behind the arguments. */
void dsyev_(const char *job, const char *half, const int *n, double *a, const int *lda, double *values, double *work,
            const int *work_count, int *info, size_t job_length, size_t half_length);

int gm_symmetric_eigen(size_t n, double *a, bool vectors, double *values, gm_error *e) {
    const char *job = vectors ? "V" : "N";
    const int size = (int)n, ask = -1;
    int info = 0;
    double best = 0;
    if (n == 0) return 0;
    if (n > (size_t)1 << 30) return gm_fail(e, "a matrix of %zu rows is too large", n);
    dsyev_(job, "U", &size, a, &size, values, &best, &ask, &info, 1, 1);
    const int count = (int)best;
    double *work = gm_new((size_t)count, sizeof *work, e);
    if (!work) return -1;
    bool locked = enter();
    dsyev_(job, "U", &size, a, &size, values, work, &count, &info, 1, 1);
    leave(locked);
    free(work);
    return info == 0 ? 0 : gm_fail(e, "the eigenvalues of a matrix of %zu rows were not found", n);
}

/* ---- the kernels ---- */

/* OpenBLAS gives a processor that is newer than itself the kernels of the oldest one, Prescott: a quarter of the speed.
 * So those are replaced by the ones for the instructions that the processor has, unless OPENBLAS_CORETYPE names some.
 * Before main, while there are no threads; OpenBLAS chooses in gotoblas_init, which does its work once. */
void gotoblas_init(void) __attribute__((weak));
void gotoblas_dynamic_init(void) __attribute__((weak));
void gotoblas_dynamic_quit(void) __attribute__((weak));

static const char *fitting_kernel(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return "SkylakeX";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "Haswell";
#endif
    return NULL;
}

__attribute__((constructor)) static void choose_kernels(void) {
    if (!getenv("OPENBLAS_CORETYPE")) tiles = gm_tiles_here();
    if (!gotoblas_init || !gotoblas_dynamic_init || !gotoblas_dynamic_quit) return;
    gotoblas_init();
    const char *fitting = fitting_kernel();
    if (!fitting || getenv("OPENBLAS_CORETYPE") || strcmp(openblas_get_corename(), "Prescott") != 0) return;
    /* not by setenv, which takes memory and may get none: the bits would be another kernel's, and nobody told */
    char named[64], *only[] = {named, NULL}, **environment = environ;
    snprintf(named, sizeof named, "OPENBLAS_CORETYPE=%s", fitting);
    environ = only;
    gotoblas_dynamic_quit();
    gotoblas_dynamic_init();
    environ = environment;
}

static char blas_text[128];

/* The configuration begins with "OpenBLAS 0.3.21 ...". */
static void make_blas_text(void) {
    const char *configuration = openblas_get_config();
    size_t name = strcspn(configuration, " ");
    size_t version = name + (configuration[name] ? 1 + strcspn(configuration + name + 1, " ") : 0);
    snprintf(blas_text, sizeof blas_text, "%.*s %s%s%s%s", (int)version, configuration, openblas_get_corename(),
             tiles ? " with " : "", tiles ? tiles->name : "", tiles ? " tiles" : "");
}

const char *gm_blas_text(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, make_blas_text);
    return blas_text;
}
