/* peak.c: how many floating-point operations BLAS makes in a second at best.
 *
 * usage: peak THREADS TIMES
 *
 * Each thread multiplies two matrices of its own, 2048 by 2048, so many times, all at once. Says GFLOP/s of all
 * together: a product and its sum are two operations.
 */
#include "gm/blas.h"
#include "gm/threads.h"

#include <stdio.h>
#include <stdlib.h>

#define SIDE ((size_t)2048)

typedef struct work {
    size_t times;
    float *rooms[GM_THREADS_MAX]; /* of each thread: two factors, and their product */
} work;

static void multiply(void *context, size_t i) {
    const work *w = context;
    float *a = w->rooms[i], *b = a + SIDE * SIDE;
    for (size_t k = 0; k < w->times; k++) gm_matmul(SIDE, SIDE, SIDE, a, SIDE, b, SIDE, 0, b + SIDE * SIDE, SIDE);
}

static double now(void) {
    return 1e-9 * (double)gm_nanoseconds();
}

static int measure(size_t threads, size_t times, gm_error *e) {
    work w = {.times = 1};
    if (gm_threads_set(threads, e) != 0 || gm_blas_ready(e) != 0) return -1;
    for (size_t i = 0; i < threads; i++) {
        w.rooms[i] = gm_new(3 * SIDE * SIDE, sizeof(float), e);
        if (!w.rooms[i]) return -1;
        for (size_t k = 0; k < 2 * SIDE * SIDE; k++) w.rooms[i][k] = (float)(k % 7) * 0.01F;
    }
    gm_parallel(threads, multiply, &w); /* to warm up */
    w.times = times;
    double start = now();
    gm_parallel(threads, multiply, &w);
    double operations = 2.0 * (double)(SIDE * SIDE * SIDE) * (double)(threads * times);
    printf("%.6f\n", 1e-9 * operations / (now() - start));
    for (size_t i = 0; i < threads; i++) free(w.rooms[i]);
    return gm_threads_set(1, e);
}

int main(int argc, char **argv) {
    gm_error e;
    size_t threads, times;
    if (argc != 3 || !gm_parse_size(argv[1], 1, GM_THREADS_MAX, &threads) ||
        !gm_parse_size(argv[2], 1, 1000000, &times)) {
        fputs("usage: peak THREADS TIMES\n", stderr);
        return 2;
    }
    if (measure(threads, times, &e) == 0) return 0;
    fprintf(stderr, "peak: %s\n", e.text);
    return 1;
}
