/* ranks.c: meetings of the ranks of a job.
 *
 * A meeting is one small MPI_Allreduce where all say the same; only if they do not, or parts are to be compared, every
 * rank gets what every other said, and all draw the same conclusions from it.
 */
#include "gm/ranks.h"
#include "mpi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The one job of this process. */
static struct {
    const gm_mpi *mpi; /* NULL: not started */
    gm_shard own;
    size_t joined; /* calls */
    size_t due;    /* those that meet the others again */
    int64_t *all;  /* [ranks, GM_AT_FIELDS] of a meeting */
    bool over;     /* the job ends here */
    bool broken;   /* MPI itself failed */
    bool speaks;   /* where it is over: this rank says why */
    bool spoken;
    char who[96]; /* "rank 1", "ranks 1, 3" */
} job;

int gm_ranks_find(bool *several, gm_error *e) {
    if (gm_shard_parse("auto", &job.own, e) != 0) return -1;
    *several = job.own.count > 1;
    return 0;
}

/* One rank is to blame, and speaks. */
static void end_by(size_t rank) {
    job.over = true;
    job.speaks = rank == job.own.index;
    snprintf(job.who, sizeof job.who, "rank %zu", rank);
}

static int break_job(const char *text, gm_error *e) {
    job.broken = true;
    end_by(job.own.index);
    return gm_fail(e, "%s", text);
}

int gm_ranks_join(gm_error *e) {
    job.joined++;
    job.due++;
    if (job.joined > 1) return 0;
    job.all = gm_new(job.own.count, GM_AT_FIELDS * sizeof *job.all, e);
    job.mpi = job.all ? gm_mpi_start(&job.own, e) : NULL;
    if (job.mpi) return 0;
    job.broken = job.over = job.speaks = true; /* the message names the rank, or no job is known */
    return -1;
}

void gm_ranks_leave(void) {
    char text[GM_MPI_TEXT];
    if (--job.joined > 0) return;
    if (job.mpi && !job.broken) job.broken = job.mpi->finish(text) != 0;
    free(job.all);
    job.all = NULL;
}

/* ---- what the ranks said ---- */

static const int64_t *said_by(size_t rank) {
    return job.all + rank * GM_AT_FIELDS;
}

/* The rank whose value of a field most ranks have; of equally many the first. */
static size_t majority(int field) {
    size_t best = 0, most = 0;
    for (size_t i = 0; i < job.own.count && most <= job.own.count / 2; i++) {
        size_t count = 0;
        for (size_t k = i; k < job.own.count; k++) count += said_by(k)[field] == said_by(i)[field];
        if (count > most) {
            most = count;
            best = i;
        }
    }
    return best;
}

static bool differs(int field) {
    for (size_t i = 1; i < job.own.count; i++)
        if (said_by(i)[field] != said_by(0)[field]) return true;
    return false;
}

/* Rows that another rank has as well: those of the later one are too many. */
static bool overlaps(size_t rank) {
    const int64_t *own = said_by(rank);
    for (size_t i = 0; i < rank; i++) {
        const int64_t *other = said_by(i);
        if (own[GM_AT_FIRST] < other[GM_AT_FIRST] + other[GM_AT_ROWS] &&
            other[GM_AT_FIRST] < own[GM_AT_FIRST] + own[GM_AT_ROWS])
            return true;
    }
    return false;
}

static bool is_to_blame(size_t rank, int field, size_t right) {
    const int64_t *said = said_by(rank);
    if (field == GM_AT_FIRST) return overlaps(rank);
    if (field == GM_AT_ROWS) return rank == 0;
    if (field == GM_AT_KIND) return said[GM_AT_KIND] == said_by(right)[GM_AT_KIND];
    return said[field] != said_by(right)[field];
}

/* Names the ranks to blame, the first of which speaks. */
static void blame(int field, size_t right) {
    char list[sizeof job.who - 16] = "";
    size_t count = 0, at = 0;
    for (size_t i = 0; i < job.own.count; i++) {
        if (!is_to_blame(i, field, right)) continue;
        if (count++ == 0) end_by(i);
        if (at < sizeof list - 24) at += (size_t)snprintf(list + at, sizeof list - at, count > 1 ? ", %zu" : "%zu", i);
    }
    if (count > 1) snprintf(job.who, sizeof job.who, "ranks %s", list);
}

/* Of those that do not go on, failed ranks come before ended ones, and only the first failed one is told of. */
static size_t first_of_kind(gm_rank_kind kind) {
    size_t i = 0;
    while (i < job.own.count && said_by(i)[GM_AT_KIND] != kind) i++;
    return i;
}

static void blame_kind(size_t *right) {
    *right = first_of_kind(GM_RANK_FAILED);
    if (*right < job.own.count) {
        end_by(*right);
        return;
    }
    *right = first_of_kind(GM_RANK_ENDED);
    blame(GM_AT_KIND, *right);
}

/* The parts of all ranks are the batch, each row once. */
static int check_parts(size_t *right) {
    int64_t rows = 0;
    *right = 0;
    for (size_t i = 0; i < job.own.count; i++) {
        if (overlaps(i)) return GM_AT_FIRST;
        rows += said_by(i)[GM_AT_ROWS];
    }
    return rows == said_by(0)[GM_AT_BATCH] ? GM_AT_FIELDS : GM_AT_ROWS;
}

/* The first field in which ranks differ, or GM_AT_FIELDS; *right is a rank that has what is right (of kinds: what is
 * not). */
static int find_difference(bool look, size_t *right) {
    for (int field = 0; field < GM_AT_EQUAL; field++) {
        if (!differs(field)) continue;
        *right = majority(field);
        return field;
    }
    if (said_by(0)[GM_AT_KIND] == GM_RANK_FAILED) return GM_AT_KIND;
    return look && said_by(0)[GM_AT_BATCH] > 0 ? check_parts(right) : GM_AT_FIELDS;
}

/* ---- meeting ---- */

/* True in *same if all said the same in the fields that are to be equal: the least of a number and that of its
 * complement are complements then. */
static int ask_all(const int64_t *mine, bool *same, char text[GM_MPI_TEXT]) {
    int64_t least[GM_AT_EQUAL + GM_AT_EQUAL];
    int64_t *complements = least + GM_AT_EQUAL;
    for (int i = 0; i < GM_AT_EQUAL; i++) {
        least[i] = mine[i];
        complements[i] = ~mine[i];
    }
    if (job.mpi->least(least, GM_AT_EQUAL + GM_AT_EQUAL, text) != 0) return -1;
    *same = mine[GM_AT_KIND] != GM_RANK_FAILED;
    for (int i = 0; i < GM_AT_EQUAL; i++) *same = *same && least[i] == ~complements[i];
    return 0;
}

int gm_ranks_meet(const int64_t mine[GM_AT_FIELDS], bool look, int64_t right[GM_AT_FIELDS], int *field, gm_error *e) {
    char text[GM_MPI_TEXT];
    bool same = false;
    size_t rank = 0;
    *field = -1;
    if (ask_all(mine, &same, text) != 0) return break_job(text, e);
    if (same && !look) return 0;
    if (job.mpi->gather(mine, GM_AT_FIELDS, job.all, text) != 0) return break_job(text, e);
    int found = find_difference(look, &rank);
    if (found == GM_AT_FIELDS) return 0;
    *field = found;
    e->text[0] = '\0';
    if (found == GM_AT_KIND)
        blame_kind(&rank);
    else
        blame(found, rank);
    memcpy(right, said_by(rank), GM_AT_FIELDS * sizeof *right);
    return -1;
}

int gm_ranks_part(const int64_t mine[GM_AT_FIELDS], int64_t right[GM_AT_FIELDS], int *field, gm_error *e) {
    if (gm_ranks_meet(mine, false, right, field, e) != 0) return -1;
    job.due--;
    return 0;
}

float *gm_ranks_room(size_t count, gm_error *e) {
    float *room = job.mpi->room(count ? count : 1);
    if (!room) gm_fail(e, "out of memory (%zu floats)", count);
    return room;
}

int gm_ranks_sum_floats(size_t count, const float **sums, gm_error *e) {
    char text[GM_MPI_TEXT];
    return job.mpi->sum_floats(count, sums, text) == 0 ? 0 : break_job(text, e);
}

int gm_ranks_sum_doubles(double *numbers, size_t count, gm_error *e) {
    char text[GM_MPI_TEXT];
    return job.mpi->sum_doubles(numbers, count, text) == 0 ? 0 : break_job(text, e);
}

/* ---- failing ---- */

/* The others wait for this rank, or will: it comes once more, to say that it failed. */
static void tell_others(void) {
    const int64_t mine[GM_AT_FIELDS] = {GM_RANK_FAILED};
    int64_t right[GM_AT_FIELDS];
    gm_error e;
    int field;
    if (gm_ranks_meet(mine, false, right, &field, &e) == 0) end_by(job.own.index);
}

void gm_ranks_fail(gm_error *e) {
    if (!job.over && job.due > 0) tell_others();
    if (!job.over) end_by(job.own.index);
    if (!job.speaks)
        e->text[0] = '\0';
    else if (!job.spoken && *job.who)
        gm_fail_within(e, "%s: ", job.who);
    job.spoken = true;
}
