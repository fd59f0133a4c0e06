/* shard.h: parts of a batch: which one a process takes, and where the rows of a record stand in the whole batch.
 *
 * K processes that take the K parts of each batch and add their gradients (reduce.h) take the steps of one process with
 * the whole batch. So what is drawn for a row is drawn for its place in the whole batch.
 */
#ifndef GM_SHARD_H
#define GM_SHARD_H

#include "gm/record.h"

#define GM_SHARDS_MAX ((size_t)1 << 24)

/* Part `index` (from 0) of `count`. */
typedef struct gm_shard {
    size_t index, count;
} gm_shard;

/* "I/K"; or "auto": rank and size of the process that MPI (OMPI_COMM_WORLD_RANK and _SIZE, PMI_RANK and PMI_SIZE) or
 * Slurm (SLURM_PROCID, SLURM_STEP_NUM_TASKS) started, the first of these that is there; 0/1 if none is. -1 with a usage
 * error, or if one is there that is no rank of its size. */
GM_MUST_USE int gm_shard_parse(const char *text, gm_shard *shard, gm_error *e);

/* The rows of this part of `rows` rows: floor(rows index / count) and on, up to floor(rows (index + 1) / count). -1 if
 * a part would be empty. */
GM_MUST_USE int gm_shard_cut(const gm_shard *shard, size_t rows, size_t *first, size_t *own, gm_error *e);

/* Where the rows of a record stand (info.part). */
typedef struct gm_place {
    size_t first, rows; /* the record's first row in the whole batch, and the rows of that */
    bool partial;       /* the record says so; else first is 0, rows are the record's */
    bool counted;       /* what follows is known */
    size_t labelled;    /* rows of the whole batch whose class in `y` is known */
    int64_t batch;      /* a hash of the whole batch, by which parts of another one are told; 0: not known */
} gm_place;

/* -1 for an info.part that is none, or of rows that do not fit in its batch. */
GM_MUST_USE int gm_place_of(const gm_record *r, gm_place *place, gm_error *e);
/* Sets info.part, or removes it where !place->partial. */
GM_MUST_USE int gm_place_set(gm_record *r, const gm_place *place, gm_error *e);

#endif
