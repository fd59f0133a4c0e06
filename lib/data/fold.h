/* fold.h: which rows a fold holds. Private to lib/data.
 */
#ifndef GM_DATA_FOLD_H
#define GM_DATA_FOLD_H

#include "gm/schema.h"
#include "lexicon.h"

/* Reads along with the rows: each row must be asked for, in their order. Memory grows with the classes only. */
typedef struct gm_folds {
    gm_fold fold;
    gm_lexicon strata; /* the classes, numbered in order of first appearance */
    uint64_t *rows;    /* [strata] rows of each so far */
    uint32_t *order;   /* [strata, fold.count] the folds of the block that is being dealt out */
    size_t row_capacity, order_capacity;
} gm_folds;

void gm_folds_close(gm_folds *f);
/* 1 if the next row, of this class (n bytes, equal for equal classes; 0 bytes where rows have none), is wanted; 0; -1.
 */
GM_MUST_USE int gm_folds_wants(gm_folds *f, const void *class, size_t n, gm_error *e);
/* The same of a class as CSV has it: "1" and "1.0" are one, as they are where class numbers stand for them. */
GM_MUST_USE int gm_folds_wants_text(gm_folds *f, const char *class, size_t n, gm_error *e);

#endif
