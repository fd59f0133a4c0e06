/* ranks.h: the processes (ranks) of one MPI job that make the same steps, each with a copy of the models of its own.
 *
 * At each meeting every rank says where it stands. If that is not the same, or one says that it failed, the job is over
 * for all of them: each call returns -1, and one rank, the first of those to blame, has something to say. A process
 * joins once for each of its calls (gm-pipe may have several); they meet in the order of the pipeline, which is the
 * same on all ranks. From one thread only.
 */
#ifndef GM_RANKS_H
#define GM_RANKS_H

#include "gm/error.h"

#include <stddef.h>
#include <stdint.h>

/* Fields of what a rank says. Those up to GM_AT_EQUAL must be equal on all ranks. */
enum {
    GM_AT_KIND,      /* gm_rank_kind */
    GM_AT_MODEL,     /* a hash of its specification */
    GM_AT_CHECK,     /* how often copies are compared */
    GM_AT_TOTAL,     /* steps of the run, 0 if that is not known */
    GM_AT_BATCH,     /* rows of the whole batch, 0 if each rank has batches of its own */
    GM_AT_STEP,      /* the record's, -1 if it has none */
    GM_AT_DATA,      /* a hash of the whole batch, 0 if each rank has batches of its own */
    GM_AT_GRADIENTS, /* a hash of their names and shapes */
    GM_AT_HASH,      /* of the model's content, 0 where it is not compared */
    GM_AT_EQUAL,
    GM_AT_FIRST = GM_AT_EQUAL, /* the first row of this rank's part of the batch */
    GM_AT_ROWS,                /* and how many there are */
    GM_AT_FIELDS
};
typedef enum gm_rank_kind { GM_RANK_RECORD, GM_RANK_ENDED, GM_RANK_FAILED } gm_rank_kind;

/* True if this process is one of several ranks, as the environment says. -1 if that says what cannot be. */
GM_MUST_USE int gm_ranks_find(bool *several, gm_error *e);

/* Joins the other ranks, which starts MPI. Behind it gm_ranks_leave is due, also if it failed. */
GM_MUST_USE int gm_ranks_join(gm_error *e);
void gm_ranks_leave(void);

/* Meets the other ranks. -1 if they differ: *field is the first field in which they do (GM_AT_FIRST: parts overlap;
 * GM_AT_ROWS: they are not the whole batch), right[] what the majority says; what is wrong with this rank is for the
 * caller to say, but if e has a text already (*field is -1), MPI's. With `look`, parts are compared too. */
GM_MUST_USE int gm_ranks_meet(const int64_t mine[GM_AT_FIELDS], bool look, int64_t right[GM_AT_FIELDS], int *field,
                              gm_error *e);
/* The same for a call whose stream has ended: it does not meet the others again. */
GM_MUST_USE int gm_ranks_part(const int64_t mine[GM_AT_FIELDS], int64_t right[GM_AT_FIELDS], int *field, gm_error *e);

/* Where this rank leaves `count` numbers to be summed; may be memory that the ranks of one machine share. NULL: no
 * memory; nobody else knows of it yet. */
GM_MUST_USE float *gm_ranks_room(size_t count, gm_error *e);
/* *sums: over all ranks, of what they left in their rooms, the same bits on each; good until the next sum. Behind a
 * meeting, where all said the same, so that each has left as many numbers. */
GM_MUST_USE int gm_ranks_sum_floats(size_t count, const float **sums, gm_error *e);
/* Sums over all ranks, in place, the same bits on each. */
GM_MUST_USE int gm_ranks_sum_doubles(double *numbers, size_t count, gm_error *e);

/* This process fails, as e says: the others are told so, if they do not know. Puts the rank before the text, or empties
 * it where another rank speaks. A process calls it between gm_ranks_join and gm_ranks_leave. */
void gm_ranks_fail(gm_error *e);

#endif
