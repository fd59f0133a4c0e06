/* iteration.c: one training step against OpenBLAS's time for its matrix products alone.
 *
 * usage: iteration PIPELINE-STAGES...   (each stage one word, as for gm-pipe without the bars)
 *
 * Runs the pipeline in this process, as gm-pipe does on one thread, with gm_matmul and its kin wrapped (ld --wrap): the
 * products of one step are written down, to be done again alone, by cblas_sgemm and cblas_sgemv, on memory laid out as
 * theirs was. Says `ready`; then each line of standard input is a turn, `step COUNT` or `blas COUNT`, and is answered
 * with the milliseconds of one: processor time if CLOCK=cpu is in the environment.
 */
#include "gm/filter.h"
#include "gm/ops.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CALLS_MAX 4096
#define STAGES_MAX 16
#define WORDS_MAX 32
#define WARM_UP 100

typedef struct product {
    bool ta, tb; /* A, B are stored transposed */
    int m, n, k, lda, ldb, ldc;
    float beta;
    const float *a, *b;
    float *c;
} product;

static product calls[CALLS_MAX];
static size_t call_count;
static bool writing_down;

static void write_down(bool ta, bool tb, size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b,
                       size_t ldb, float beta, float *c, size_t ldc) {
    if (!writing_down || call_count == CALLS_MAX) return;
    calls[call_count++] = (product){ta, tb, (int)m, (int)n, (int)k, (int)lda, (int)ldb, (int)ldc, beta, a, b, c};
}

#define WRAP(name, ta, tb)                                                                                             \
    void __real_##name(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb,           \
                       float beta, float *c, size_t ldc);                                                              \
    void __wrap_##name(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb,           \
                       float beta, float *c, size_t ldc);                                                              \
    void __wrap_##name(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb,           \
                       float beta, float *c, size_t ldc) {                                                             \
        write_down(ta, tb, m, n, k, a, lda, b, ldb, beta, c, ldc);                                                     \
        __real_##name(m, n, k, a, lda, b, ldb, beta, c, ldc);                                                          \
    }

WRAP(gm_matmul, false, false)
WRAP(gm_matmul_nt, false, true)
WRAP(gm_matmul_tn, true, false)

void __real_gm_matmul_biased(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb,
                             const float *packed, const float *biases, bool rectified, float *c, size_t ldc);
void __wrap_gm_matmul_biased(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb,
                             const float *packed, const float *biases, bool rectified, float *c, size_t ldc);
void __wrap_gm_matmul_biased(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb,
                             const float *packed, const float *biases, bool rectified, float *c, size_t ldc) {
    write_down(false, false, m, n, k, a, lda, b, ldb, 0.0f, c, ldc);
    __real_gm_matmul_biased(m, n, k, a, lda, b, ldb, packed, biases, rectified, c, ldc);
}

static double now(void) {
    const char *wanted = getenv("CLOCK");
    struct timespec t;
    clock_gettime(wanted && strcmp(wanted, "cpu") == 0 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- the pipeline, stage by stage, without a stream at its end ---- */

static gm_call stages[STAGES_MAX];
static size_t stage_count;
static gm_record *record;

extern const gm_tool gm_batch_tool, gm_forward_tool, gm_grad_tool, gm_noise_tool, gm_step_tool;
static const gm_tool *const tools[] = {&gm_batch_tool, &gm_forward_tool, &gm_grad_tool, &gm_noise_tool, &gm_step_tool};

static _Noreturn void die(const gm_error *e) {
    fprintf(stderr, "iteration: %s\n", e->text);
    exit(1);
}

static void open_stage(char *line) {
    gm_error e = {0};
    char *words[WORDS_MAX] = {NULL};
    int count = 0;
    bool done;
    for (char *w = strtok(line, " "); w && count < WORDS_MAX - 1; w = strtok(NULL, " ")) words[count++] = w;
    for (size_t i = 0; i < sizeof tools / sizeof *tools; i++)
        if (count && stage_count < STAGES_MAX && strcmp(tools[i]->name, words[0]) == 0) {
            if (gm_call_open(tools[i], count, words, true, &stages[stage_count++], &done, &e) != 0) die(&e);
            return;
        }
    gm_fail(&e, "no stage '%s'", count ? words[0] : "");
    die(&e);
}

static void run_steps(size_t steps) {
    gm_error e = {0};
    for (size_t s = 0; s < steps; s++) {
        gm_record_clear(record);
        for (size_t i = 0; i < stage_count; i++) {
            if (stages[i].tool->process(&stages[i], record, &e) != 1) {
                gm_fail_within(&e, "%s: ", stages[i].tool->name);
                die(&e);
            }
            stages[i].records++;
        }
    }
}

/* ---- the calls again, alone ---- */

typedef struct region {
    const char *start, *end;
    char *copy;
} region;
static region regions[3 * CALLS_MAX];
static size_t region_count;

static size_t extent(int rows, int columns, int stride) {
    return ((size_t)(rows - 1) * (size_t)stride + (size_t)columns) * sizeof(float);
}

static void add_region(const void *start, size_t bytes) {
    regions[region_count++] = (region){start, (const char *)start + bytes, NULL};
}

static int by_start(const void *a, const void *b) {
    const region *x = a, *y = b;
    return (x->start > y->start) - (x->start < y->start);
}

static void *moved(const void *p) {
    for (size_t i = 0; i < region_count; i++)
        if ((const char *)p >= regions[i].start && (const char *)p < regions[i].end)
            return regions[i].copy + ((const char *)p - regions[i].start);
    abort();
}

/* Memory of our own for the operands, overlapping where theirs overlapped. */
static void lay_out(void) {
    for (size_t i = 0; i < call_count; i++) {
        const product *p = &calls[i];
        add_region(p->a, p->ta ? extent(p->k, p->m, p->lda) : extent(p->m, p->k, p->lda));
        add_region(p->b, p->tb ? extent(p->n, p->k, p->ldb) : extent(p->k, p->n, p->ldb));
        add_region(p->c, extent(p->m, p->n, p->ldc));
    }
    qsort(regions, region_count, sizeof *regions, by_start);
    size_t kept = 0;
    for (size_t i = 1; i < region_count; i++) {
        if (regions[i].start < regions[kept].end) {
            if (regions[i].end > regions[kept].end) regions[kept].end = regions[i].end;
        } else {
            regions[++kept] = regions[i];
        }
    }
    region_count = kept + 1;
    for (size_t i = 0; i < region_count; i++) {
        gm_error e;
        size_t bytes = (size_t)(regions[i].end - regions[i].start);
        regions[i].copy = gm_new(bytes, 1, &e);
        if (!regions[i].copy) die(&e);
        for (size_t k = 0; k < bytes / sizeof(float); k++)
            ((float *)(void *)regions[i].copy)[k] = (float)(k % 7) * 0.01F;
    }
    for (size_t i = 0; i < call_count; i++) {
        calls[i].a = moved(calls[i].a);
        calls[i].b = moved(calls[i].b);
        calls[i].c = moved(calls[i].c);
    }
}

/* A single row or column is a matrix-vector product. */
static void by_blas(const product *p) {
    CBLAS_TRANSPOSE ta = p->ta ? CblasTrans : CblasNoTrans, tb = p->tb ? CblasTrans : CblasNoTrans;
    if (p->n == 1)
        cblas_sgemv(CblasRowMajor, ta, p->ta ? p->k : p->m, p->ta ? p->m : p->k, 1, p->a, p->lda, p->b,
                    p->tb ? 1 : p->ldb, p->beta, p->c, p->ldc);
    else if (p->m == 1)
        cblas_sgemv(CblasRowMajor, p->tb ? CblasNoTrans : CblasTrans, p->tb ? p->n : p->k, p->tb ? p->k : p->n, 1, p->b,
                    p->ldb, p->a, p->ta ? p->lda : 1, p->beta, p->c, 1);
    else
        cblas_sgemm(CblasRowMajor, ta, tb, p->m, p->n, p->k, 1, p->a, p->lda, p->b, p->ldb, p->beta, p->c, p->ldc);
}

static void by_ours(const product *p) {
    size_t m = (size_t)p->m, n = (size_t)p->n, k = (size_t)p->k;
    size_t lda = (size_t)p->lda, ldb = (size_t)p->ldb, ldc = (size_t)p->ldc;
    if (p->ta)
        __real_gm_matmul_tn(m, n, k, p->a, lda, p->b, ldb, p->beta, p->c, ldc);
    else if (p->tb)
        __real_gm_matmul_nt(m, n, k, p->a, lda, p->b, ldb, p->beta, p->c, ldc);
    else
        __real_gm_matmul(m, n, k, p->a, lda, p->b, ldb, p->beta, p->c, ldc);
}

static void replay(size_t steps, void (*multiply)(const product *)) {
    for (size_t s = 0; s < steps; s++)
        for (size_t i = 0; i < call_count; i++) multiply(&calls[i]);
}

/* What a turn does, by its first word. */
static bool do_turn(const char *word, size_t count) {
    if (strcmp(word, "step") == 0)
        run_steps(count);
    else if (strcmp(word, "blas") == 0)
        replay(count, by_blas);
    else if (strcmp(word, "ours") == 0)
        replay(count, by_ours);
    else
        return false;
    return true;
}

int main(int argc, char **argv) {
    gm_error e = {0};
    char line[64];
    size_t count;
    gm_flush_denormals();
    record = gm_record_new(&e);
    if (!record) die(&e);
    for (int i = 1; i < argc; i++) open_stage(argv[i]);
    run_steps(WARM_UP);
    writing_down = true;
    run_steps(1);
    writing_down = false;
    lay_out();
    replay(WARM_UP, by_blas);
    for (puts("ready"); fflush(stdout) == 0 && fgets(line, sizeof line, stdin);) {
        line[strcspn(line, "\n")] = '\0';
        char *number = strchr(line, ' ');
        if (number) *number++ = '\0';
        double start = now();
        if (!number || !gm_parse_size(number, 1, SIZE_MAX, &count) || !do_turn(line, count)) {
            gm_fail(&e, "expected 'step COUNT', 'blas COUNT' or 'ours COUNT'");
            die(&e);
        }
        printf("%.6f\n", (now() - start) / (double)count * 1e3);
    }
    for (size_t i = 0; i < stage_count; i++) gm_call_close(&stages[i]);
    for (size_t i = 0; i < region_count; i++) free(regions[i].copy);
    gm_record_free(record);
    return 0;
}
