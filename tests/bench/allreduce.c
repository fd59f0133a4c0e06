/* allreduce.c: how long the ranks of a job take to add floats, as gm-allreduce has them do it.
 *
 * usage: mpirun -n RANKS allreduce doubles|floats COUNT...     for each COUNT a line `COUNT MICROSECONDS`, the median
 *
 * Doubles go through MPI_Allreduce, floats, on one machine, through memory that the ranks share.
 */
#include "gm/base.h"
#include "gm/ranks.h"
#include "gm/shard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TURNS 201

static _Noreturn void die(const char *text) {
    fprintf(stderr, "allreduce: %s\n", text);
    exit(1);
}

static double now(void) {
    return 1e-3 * (double)gm_nanoseconds();
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void add_doubles(size_t count) {
    static double *numbers;
    static size_t capacity;
    gm_error e = {0};
    if (gm_grow(&numbers, &capacity, count, sizeof *numbers, &e) != 0) die(e.text);
    if (gm_ranks_sum_doubles(numbers, count, &e) != 0) die(e.text);
}

static void add_floats(size_t count) {
    gm_error e = {0};
    const float *sums;
    if (!gm_ranks_room(count, &e) || gm_ranks_sum_floats(count, &sums, &e) != 0) die(e.text);
}

static double median(void (*add)(size_t), size_t count) {
    static double took[TURNS];
    gm_error e = {0};
    double together = 0;
    add(count);
    for (size_t i = 0; i < TURNS; i++) {
        if (gm_ranks_sum_doubles(&together, 1, &e) != 0) die(e.text); /* all begin at once */
        double start = now();
        add(count);
        took[i] = now() - start;
    }
    qsort(took, TURNS, sizeof *took, compare);
    return took[TURNS / 2];
}

int main(int argc, char **argv) {
    gm_error e = {0};
    bool several = false;
    gm_shard own;
    if (gm_ranks_find(&several, &e) != 0 || gm_shard_parse("auto", &own, &e) != 0) die(e.text);
    if (!several) die("run it by mpirun");
    bool doubles = argc > 1 && strcmp(argv[1], "doubles") == 0;
    if (!doubles && (argc < 2 || strcmp(argv[1], "floats") != 0)) die("usage: allreduce doubles|floats COUNT...");
    if (gm_ranks_join(&e) != 0) die(e.text);
    for (int i = 2; i < argc; i++) {
        size_t count;
        if (!gm_parse_size(argv[i], 1, (size_t)1 << 30, &count)) die("COUNT is a number of floats");
        double took = median(doubles ? add_doubles : add_floats, count);
        if (own.index == 0) printf("%zu %.3f\n", count, took);
    }
    gm_ranks_leave();
    return 0;
}
