/* plugin.c: the only file that calls MPI. */
#include "plugin.h"

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

static MPI_Comm ranks = MPI_COMM_NULL; /* no other library's messages are seen here */

static int result(int code, const char *call, char *text) {
    char reason[MPI_MAX_ERROR_STRING] = "unknown error";
    int length = 0;
    if (code == MPI_SUCCESS) return 0;
    MPI_Error_string(code, reason, &length);
    snprintf(text, GM_MPI_TEXT, "%s: %s", call, reason);
    return -1;
}

static int start(int *rank, int *size, char *text) {
    int granted = 0;
#ifdef OPEN_MPI
    setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0); /* who waits leaves the processor to those it waits for */
#endif
    if (result(MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &granted), "MPI_Init_thread", text) != 0) return -1;
    if (granted < MPI_THREAD_FUNNELED) {
        snprintf(text, GM_MPI_TEXT, "this MPI bears no threads in a process that uses it");
        return -1;
    }
    if (result(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler", text) != 0 ||
        result(MPI_Comm_dup(MPI_COMM_WORLD, &ranks), "MPI_Comm_dup", text) != 0 ||
        result(MPI_Comm_rank(ranks, rank), "MPI_Comm_rank", text) != 0)
        return -1;
    return result(MPI_Comm_size(ranks, size), "MPI_Comm_size", text);
}

/* In pieces, as MPI counts with int. */
static int reduce(void *numbers, size_t count, size_t size, MPI_Datatype type, MPI_Op operation, char *text) {
    const size_t most = (size_t)1 << 30;
    for (size_t at = 0; at < count;) {
        size_t n = count - at < most ? count - at : most;
        int code = MPI_Allreduce(MPI_IN_PLACE, (char *)numbers + at * size, (int)n, type, operation, ranks);
        if (result(code, "MPI_Allreduce", text) != 0) return -1;
        at += n;
    }
    return 0;
}

static int least(int64_t *values, size_t count, char *text) {
    return reduce(values, count, sizeof *values, MPI_INT64_T, MPI_MIN, text);
}

static int gather(const int64_t *values, size_t count, int64_t *all, char *text) {
    int n = (int)count;
    return result(MPI_Allgather(values, n, MPI_INT64_T, all, n, MPI_INT64_T, ranks), "MPI_Allgather", text);
}

static int sum_floats(float *numbers, size_t count, char *text) {
    return reduce(numbers, count, sizeof *numbers, MPI_FLOAT, MPI_SUM, text);
}

static int sum_doubles(double *numbers, size_t count, char *text) {
    return reduce(numbers, count, sizeof *numbers, MPI_DOUBLE, MPI_SUM, text);
}

static int finish(char *text) {
    if (result(MPI_Comm_free(&ranks), "MPI_Comm_free", text) != 0) return -1;
    return result(MPI_Finalize(), "MPI_Finalize", text);
}

__attribute__((visibility("default"))) extern const gm_mpi gm_mpi_table;
const gm_mpi gm_mpi_table = {
    .abi = GM_MPI_ABI,
    .start = start,
    .least = least,
    .gather = gather,
    .sum_floats = sum_floats,
    .sum_doubles = sum_doubles,
    .finish = finish,
};
