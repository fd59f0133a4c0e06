/* allreduce.c: how long the ranks of a job take to add floats, as gm-allreduce has them do it.
 *
 * usage: mpirun -n RANKS allreduce COUNT...     for each COUNT of floats a line `COUNT MICROSECONDS`, the median
 */
#include "gm/base.h"
#include "gm/ranks.h"
#include "gm/shard.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TURNS 201

static _Noreturn void die(const char *text) {
    fprintf(stderr, "allreduce: %s\n", text);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(size_t count) {
    static double took[TURNS];
    gm_error e = {0};
    float *numbers = gm_new_zeroed(count, sizeof *numbers, &e);
    double together = 0;
    if (!numbers) die(e.text);
    for (size_t i = 0; i < TURNS; i++) {
        if (gm_ranks_sum_doubles(&together, 1, &e) != 0) die(e.text); /* all begin at once */
        double start = now();
        if (gm_ranks_sum_floats(numbers, count, &e) != 0) die(e.text);
        took[i] = now() - start;
    }
    free(numbers);
    qsort(took, TURNS, sizeof *took, compare);
    return took[TURNS / 2];
}

int main(int argc, char **argv) {
    gm_error e = {0};
    bool several = false;
    gm_shard own;
    if (gm_ranks_find(&several, &e) != 0 || gm_shard_parse("auto", &own, &e) != 0) die(e.text);
    if (!several) die("run it by mpirun");
    if (gm_ranks_join(&e) != 0) die(e.text);
    for (int i = 1; i < argc; i++) {
        size_t count;
        if (!gm_parse_size(argv[i], 1, (size_t)1 << 30, &count)) die("COUNT is a number of floats");
        double took = median(count);
        if (own.index == 0) printf("%zu %.3f\n", count, took);
    }
    gm_ranks_leave();
    return 0;
}
