/* reduce.h: what turns the gradients of the parts of a batch into those of the whole batch.
 *
 * Gradients and losses are means over rows. So those of a batch are the means of its parts', each weighted by its rows:
 * every part is weighed, the parts are summed, and the sum is divided by the rows of all.
 *
 *   gm_gradients own = {0};
 *   gm_gradients_find(&own, record, models, model_count, e)   what the record holds of these models
 *   gm_gradients_weigh(&own, sums, totals, e)                 sums = rows * gradients, totals = rows, rows * losses
 *   sums and totals of the other parts are added: by gm_gradients_add, or by MPI_Allreduce
 *   gm_gradients_set(&own, sums, totals, e)                   gradients = sums / all rows, losses likewise
 *
 * A gm_gradients points into its record, and holds until a tensor or a scalar is put there, removed or converted. What
 * it owns is kept from one record to the next, and released by gm_gradients_free.
 */
#ifndef GM_REDUCE_H
#define GM_REDUCE_H

#include "gm/record.h"

/* What a record holds of some models: tensors grad/NAME/ and stat/NAME/, scalars loss/NAME, in the record's order. */
typedef struct gm_gradients {
    gm_record *record;
    size_t tensor_count, scalar_count;
    size_t numbers;     /* in all tensors: floats of a sum */
    size_t totals;      /* 1 + scalar_count: doubles of a sum, the first of them rows */
    uint64_t signature; /* a hash of the names and shapes, in order: equal on all machines for equal ones */
    /* private: places in the record */
    size_t *tensors, *scalars;
    size_t tensor_capacity, scalar_capacity;
} gm_gradients;

/* Those of the `model_count` models named; with none named, of all models and every scalar loss/... A record without
 * any is no error. -1 if a tensor is not <f4 ("tensor 'grad/D/0.W': expected <f4, got <f8"), or memory ran out. */
GM_MUST_USE int gm_gradients_find(gm_gradients *g, gm_record *r, char *const *models, size_t model_count, gm_error *e);
void gm_gradients_free(gm_gradients *g);

/* 0 if `other` holds the same names and shapes in the same order, else -1 and the first difference: "tensor
 * 'grad/D/0.W': expected 4×3, got 4×2". Both records must be at hand; signatures tell the same from afar. */
GM_MUST_USE int gm_gradients_compare(const gm_gradients *g, const gm_gradients *other, gm_error *e);

/* sums[numbers] = rows * gradients, totals[totals] = rows, rows * losses; _add: the same is added to what is there, so
 * that parts are summed in the order of the calls. -1 if the record has no rows, or a number is not finite or its
 * multiple is not ("tensor 'grad/D/0.W' is not finite at index 7"). */
GM_MUST_USE int gm_gradients_weigh(const gm_gradients *g, float *sums, double *totals, gm_error *e);
GM_MUST_USE int gm_gradients_add(const gm_gradients *g, float *sums, double *totals, gm_error *e);

/* The record's tensors and scalars become sums / totals[0], totals / totals[0]; if all rows are the record's own they
 * stay as they are. info.summed.NAME of each model is then the rows of all, which gm-step compares with info.part. The
 * record's own rows stay: a caller that leaves out the other tensors of the part may set them. -1 if a sum is not
 * finite, or totals[0] is no number of rows. */
GM_MUST_USE int gm_gradients_set(const gm_gradients *g, const float *sums, const double *totals, gm_error *e);

#endif
