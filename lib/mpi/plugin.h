/* plugin.h: what gm-mpi.so offers: the few MPI calls of gm-allreduce, as a table behind the symbol gm_mpi_table.
 *
 * It is an object of its own, loaded where a job has several ranks, so that no tool links an MPI and all run where
 * there is none. It does not print or exit. Each function returns 0, or -1 with a line in text[GM_MPI_TEXT]; all but
 * start are collective calls: every rank makes the same ones in the same order, from the thread that called start.
 */
#ifndef GM_MPI_PLUGIN_H
#define GM_MPI_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#define GM_MPI_ABI 2 /* changes with this table */
#define GM_MPI_TEXT 512

typedef struct gm_mpi {
    int abi;
    int (*start)(int *rank, int *size, char *text);
    /* Each value becomes the least of all ranks'. */
    int (*least)(int64_t *values, size_t count, char *text);
    /* all[size * count]: the values of rank 0, of rank 1, ... */
    int (*gather)(const int64_t *values, size_t count, int64_t *all, char *text);
    /* Where this rank leaves the numbers of its next sum_floats: NULL without memory. Of this rank alone: no other one
     * needs to come. */
    float *(*room)(size_t count);
    /* *sums: over all ranks, of what they left in their rooms, as many on each; the same bits on all of them. Good
     * until the next sum. */
    int (*sum_floats)(size_t count, const float **sums, char *text);
    /* Each number becomes the sum over all ranks, the same bits on all of them. */
    int (*sum_doubles)(double *numbers, size_t count, char *text);
    int (*finish)(char *text);
} gm_mpi;

#endif
