/* plugin.c: the only file that calls MPI. */
#include "plugin.h"

#include <mpi.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

static MPI_Comm ranks = MPI_COMM_NULL; /* no other library's messages are seen here */

static int result(int code, const char *call, char *text) {
    char reason[MPI_MAX_ERROR_STRING] = "unknown error";
    int length = 0;
    if (code == MPI_SUCCESS) return 0;
    MPI_Error_string(code, reason, &length);
    snprintf(text, GM_MPI_TEXT, "%s: %s", call, reason);
    return -1;
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

/* ---- sums of floats ----
 *
 * Where all ranks are processes of one machine their rooms are memory that they share (a window of MPI's): each rank
 * adds up a slice of the numbers, in the order of ranks, into the room of rank 0, and all read the sums there. There
 * are two windows, which take turns, so that a rank may fill its next room while others still read. Otherwise a room is
 * memory of its own, and MPI_Allreduce adds.
 *
 * Windows are made and grown in a sum, to which all ranks come with as many numbers: until then a room is private. */

typedef struct window {
    MPI_Win handle;
    float *base; /* of rank 0; that of rank r is r * capacity floats on */
} window;

static struct {
    MPI_Comm machine; /* the ranks, if all are on one machine; else MPI_COMM_NULL */
    int rank, size;
    window windows[2];
    size_t capacity; /* floats of a rank's part of a window */
    unsigned turn;
    float *own; /* a private room */
    size_t own_capacity;
} rooms = {.machine = MPI_COMM_NULL, .windows = {{.handle = MPI_WIN_NULL}, {.handle = MPI_WIN_NULL}}};

#define SLICE_ALIGN ((size_t)16)

static int find_machine(char *text) {
    int size = 0;
    if (result(MPI_Comm_split_type(ranks, MPI_COMM_TYPE_SHARED, rooms.rank, MPI_INFO_NULL, &rooms.machine),
               "MPI_Comm_split_type", text) != 0 ||
        result(MPI_Comm_size(rooms.machine, &size), "MPI_Comm_size", text) != 0)
        return -1;
    if (size == rooms.size) return 0;
    return result(MPI_Comm_free(&rooms.machine), "MPI_Comm_free", text);
}

static int free_windows(char *text) {
    for (int i = 0; i < 2; i++) {
        window *w = &rooms.windows[i];
        if (w->handle == MPI_WIN_NULL) continue;
        if (result(MPI_Win_unlock_all(w->handle), "MPI_Win_unlock_all", text) != 0 ||
            result(MPI_Win_free(&w->handle), "MPI_Win_free", text) != 0)
            return -1;
    }
    rooms.capacity = 0;
    return 0;
}

/* The parts of all ranks lie behind each other, as MPI makes them if nothing else is asked for. */
static int make_window(window *w, size_t capacity, char *text) {
    float *own;
    MPI_Aint bytes;
    int unit;
    if (result(MPI_Win_allocate_shared((MPI_Aint)(capacity * sizeof *own), sizeof *own, MPI_INFO_NULL, rooms.machine,
                                       &own, &w->handle),
               "MPI_Win_allocate_shared", text) != 0 ||
        result(MPI_Win_set_errhandler(w->handle, MPI_ERRORS_RETURN), "MPI_Win_set_errhandler", text) != 0 ||
        result(MPI_Win_shared_query(w->handle, 0, &bytes, &unit, &w->base), "MPI_Win_shared_query", text) != 0)
        return -1;
    return result(MPI_Win_lock_all(MPI_MODE_NOCHECK, w->handle), "MPI_Win_lock_all", text);
}

static float *room_of(const window *w, int rank) {
    return w->base + (size_t)rank * rooms.capacity;
}

static float *room(size_t count) {
    if (rooms.machine != MPI_COMM_NULL && count <= rooms.capacity)
        return room_of(&rooms.windows[rooms.turn], rooms.rank);
    if (count <= rooms.own_capacity) return rooms.own;
    free(rooms.own);
    rooms.own = malloc(count * sizeof *rooms.own);
    rooms.own_capacity = rooms.own ? count : 0;
    return rooms.own;
}

/* Where MPIs make shared memory: for two windows, and as much is left to others. An MPI that finds too little there may
 * end by a signal, or leave ranks waiting. */
static bool has_space(size_t capacity) {
    struct statvfs s;
    return statvfs("/dev/shm", &s) == 0 &&
           (uint64_t)s.f_bavail * s.f_frsize / 4 >= capacity * sizeof(float) * (size_t)rooms.size;
}

/* The private room moves into a window that is large enough, if all ranks find space for it; else rooms stay private.
 */
static int grow_windows(size_t count, char *text) {
    size_t capacity = (count + SLICE_ALIGN - 1) / SLICE_ALIGN * SLICE_ALIGN;
    if (free_windows(text) != 0) return -1;
    int64_t shared = has_space(capacity);
    if (least(&shared, 1, text) != 0) return -1;
    if (!shared) return result(MPI_Comm_free(&rooms.machine), "MPI_Comm_free", text);
    for (int i = 0; i < 2; i++)
        if (make_window(&rooms.windows[i], capacity, text) != 0) return -1;
    rooms.capacity = capacity;
    memcpy(room_of(&rooms.windows[rooms.turn], rooms.rank), rooms.own, count * sizeof *rooms.own);
    free(rooms.own);
    rooms.own = NULL;
    rooms.own_capacity = 0;
    return 0;
}

/* What each rank wrote before, all ranks see behind it. */
static int meet_in(const window *w, char *text) {
    if (result(MPI_Win_sync(w->handle), "MPI_Win_sync", text) != 0 ||
        result(MPI_Barrier(rooms.machine), "MPI_Barrier", text) != 0)
        return -1;
    return result(MPI_Win_sync(w->handle), "MPI_Win_sync", text);
}

static void add_slice(const window *w, size_t first, size_t end) {
    float *restrict sums = room_of(w, 0);
    for (int r = 1; r < rooms.size; r++) {
        const float *restrict other = room_of(w, r);
        for (size_t i = first; i < end; i++) sums[i] += other[i];
    }
}

static size_t slice_at(size_t count, int rank) {
    return rank == rooms.size ? count : count / SLICE_ALIGN * (size_t)rank / (size_t)rooms.size * SLICE_ALIGN;
}

static int sum_floats(size_t count, const float **sums, char *text) {
    if (rooms.machine != MPI_COMM_NULL && count > rooms.capacity && grow_windows(count, text) != 0) return -1;
    if (rooms.machine == MPI_COMM_NULL || count == 0) {
        *sums = rooms.own;
        return reduce(rooms.own, count, sizeof *rooms.own, MPI_FLOAT, MPI_SUM, text);
    }
    const window *w = &rooms.windows[rooms.turn];
    if (meet_in(w, text) != 0) return -1;
    add_slice(w, slice_at(count, rooms.rank), slice_at(count, rooms.rank + 1));
    if (meet_in(w, text) != 0) return -1;
    *sums = room_of(w, 0);
    rooms.turn ^= 1;
    return 0;
}

static int sum_doubles(double *numbers, size_t count, char *text) {
    return reduce(numbers, count, sizeof *numbers, MPI_DOUBLE, MPI_SUM, text);
}

/* ---- beginning and end ---- */

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
    if (result(MPI_Comm_size(ranks, size), "MPI_Comm_size", text) != 0) return -1;
    rooms.rank = *rank;
    rooms.size = *size;
    return find_machine(text);
}

static int finish(char *text) {
    free(rooms.own);
    if (free_windows(text) != 0) return -1;
    if (rooms.machine != MPI_COMM_NULL && result(MPI_Comm_free(&rooms.machine), "MPI_Comm_free", text) != 0) return -1;
    if (result(MPI_Comm_free(&ranks), "MPI_Comm_free", text) != 0) return -1;
    return result(MPI_Finalize(), "MPI_Finalize", text);
}

__attribute__((visibility("default"))) extern const gm_mpi gm_mpi_table;
const gm_mpi gm_mpi_table = {
    .abi = GM_MPI_ABI,
    .start = start,
    .least = least,
    .gather = gather,
    .room = room,
    .sum_floats = sum_floats,
    .sum_doubles = sum_doubles,
    .finish = finish,
};
