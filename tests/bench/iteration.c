/* iteration.c: one training step against its own BLAS calls alone.
 *
 * usage: iteration PIPELINE-STAGES...   (each stage one word, as for gm-pipe without the bars)
 *
 * Runs the pipeline in this process, as gm-pipe does on one thread, with cblas_sgemm and cblas_sgemv wrapped
 * (ld --wrap): the calls of one step are written down, to be done again alone, on memory laid out as theirs was. Says
 * `ready`; then each line of standard input is a turn, `step COUNT` or `blas COUNT`, and is answered with the
 * milliseconds of one: processor time if CLOCK=cpu is in the environment.
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

typedef struct blas_call {
    bool matrix; /* sgemm, else sgemv */
    CBLAS_TRANSPOSE ta, tb;
    int m, n, k, lda, ldb, ldc;
    float beta;
    const float *a, *b;
    float *c;
} blas_call;

static blas_call calls[CALLS_MAX];
static size_t call_count;
static bool writing_down;

void __real_cblas_sgemm(CBLAS_LAYOUT layout, CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k, float alpha,
                        const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);
void __wrap_cblas_sgemm(CBLAS_LAYOUT layout, CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k, float alpha,
                        const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);
void __real_cblas_sgemv(CBLAS_LAYOUT layout, CBLAS_TRANSPOSE ta, int m, int n, float alpha, const float *a, int lda,
                        const float *x, int stride_x, float beta, float *y, int stride_y);
void __wrap_cblas_sgemv(CBLAS_LAYOUT layout, CBLAS_TRANSPOSE ta, int m, int n, float alpha, const float *a, int lda,
                        const float *x, int stride_x, float beta, float *y, int stride_y);

void __wrap_cblas_sgemm(CBLAS_LAYOUT layout, CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k, float alpha,
                        const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc) {
    if (writing_down && call_count < CALLS_MAX)
        calls[call_count++] = (blas_call){true, ta, tb, m, n, k, lda, ldb, ldc, beta, a, b, c};
    __real_cblas_sgemm(layout, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void __wrap_cblas_sgemv(CBLAS_LAYOUT layout, CBLAS_TRANSPOSE ta, int m, int n, float alpha, const float *a, int lda,
                        const float *x, int stride_x, float beta, float *y, int stride_y) {
    if (writing_down && call_count < CALLS_MAX)
        calls[call_count++] = (blas_call){false, ta, CblasNoTrans, m, n, 0, lda, stride_x, stride_y, beta, a, x, y};
    __real_cblas_sgemv(layout, ta, m, n, alpha, a, lda, x, stride_x, beta, y, stride_y);
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
        const blas_call *c = &calls[i];
        bool ta = c->ta == CblasTrans;
        if (c->matrix) {
            add_region(c->a, ta ? extent(c->k, c->m, c->lda) : extent(c->m, c->k, c->lda));
            add_region(c->b, c->tb == CblasTrans ? extent(c->n, c->k, c->ldb) : extent(c->k, c->n, c->ldb));
            add_region(c->c, extent(c->m, c->n, c->ldc));
        } else {
            add_region(c->a, extent(c->m, c->n, c->lda));
            add_region(c->b, extent(ta ? c->m : c->n, 1, c->ldb));
            add_region(c->c, extent(ta ? c->n : c->m, 1, c->ldc));
        }
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

static void replay(size_t steps) {
    for (size_t s = 0; s < steps; s++)
        for (size_t i = 0; i < call_count; i++) {
            const blas_call *c = &calls[i];
            if (c->matrix)
                __real_cblas_sgemm(CblasRowMajor, c->ta, c->tb, c->m, c->n, c->k, 1, c->a, c->lda, c->b, c->ldb,
                                   c->beta, c->c, c->ldc);
            else
                __real_cblas_sgemv(CblasRowMajor, c->ta, c->m, c->n, 1, c->a, c->lda, c->b, c->ldb, c->beta, c->c,
                                   c->ldc);
        }
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
    replay(WARM_UP);
    for (puts("ready"); fflush(stdout) == 0 && fgets(line, sizeof line, stdin);) {
        bool steps = strncmp(line, "step ", 5) == 0;
        line[strcspn(line, "\n")] = '\0';
        if ((!steps && strncmp(line, "blas ", 5) != 0) || !gm_parse_size(line + 5, 1, SIZE_MAX, &count)) {
            gm_fail(&e, "expected 'step COUNT' or 'blas COUNT', got '%s'", line);
            die(&e);
        }
        double start = now();
        if (steps)
            run_steps(count);
        else
            replay(count);
        printf("%.6f\n", (now() - start) / (double)count * 1e3);
    }
    for (size_t i = 0; i < stage_count; i++) gm_call_close(&stages[i]);
    for (size_t i = 0; i < region_count; i++) free(regions[i].copy);
    gm_record_free(record);
    return 0;
}
