/* record.h: what travels through a pipeline: one batch, with its tensors, scalars and info.
 *
 * A record owns everything in it. gm_record_clear keeps the memory of its tensors for the next
 * batch, so a pipeline allocates nothing after its first records. A tensor's numbers stay where they are until the
 * record is cleared or that tensor is removed, replaced or converted; a pointer to a gm_tensor also until any tensor is
 * removed (those behind it move up).
 */
#ifndef GM_RECORD_H
#define GM_RECORD_H

#include "gm/tensor.h"
#include "gm/value.h"

typedef struct gm_named_tensor {
    char name[GM_NAME_MAX + 1];
    gm_tensor tensor;
    size_t capacity; /* bytes behind tensor.data */
    bool lent;       /* they are a reader's, not the record's: floats */
} gm_named_tensor;

typedef struct gm_scalar {
    char name[GM_NAME_MAX + 1];
    double value;
} gm_scalar;

typedef struct gm_spare {
    void *data;
    size_t capacity;
} gm_spare;

typedef struct gm_record {
    bool has_step;
    uint64_t step; /* at most GM_STEP_MAX */
    size_t rows;   /* at most GM_ROWS_MAX in streams */
    size_t tensor_count;
    gm_named_tensor *tensors; /* in the order in which they were put */
    size_t scalar_count;
    gm_scalar *scalars;
    gm_value *info;    /* a map, or NULL */
    size_t max_tensor; /* bytes that one tensor may take: a reader sets its own limit, as rows from outside are no
                          proof of data; else SIZE_MAX */
    /* private: */
    size_t tensor_capacity, scalar_capacity;
    gm_spare *spares, *resting;
    size_t spare_count, spare_capacity, resting_count, resting_capacity;
} gm_record;

#define GM_STEP_MAX (UINT64_C(1) << 48)
#define GM_ROWS_MAX ((size_t)INT32_MAX) /* BLAS counts in int */
#define GM_TENSORS_MAX 4096             /* in one record */
#define GM_SCALARS_MAX 4096

gm_record *gm_record_new(gm_error *e);
void gm_record_free(gm_record *r);
void gm_record_clear(gm_record *r);

/* The tensor of that name, or NULL. */
gm_tensor *gm_record_tensor(gm_record *r, const char *name);

/* Adds a tensor (or replaces the one of that name); its numbers are uninitialised. NULL with a message if the name is
 * empty, over GM_NAME_MAX bytes or has control characters, the shape overflows, the tensor is above r->max_tensor, the
 * record is full or memory ran out. */
GM_MUST_USE gm_tensor *gm_record_put(gm_record *r, const char *name, gm_type type, unsigned rank, const size_t *shape,
                                     gm_error *e);

/* As gm_record_put for a float matrix [rows, columns]; returns its numbers. */
GM_MUST_USE float *gm_record_put_matrix(gm_record *r, const char *name, size_t rows, size_t columns, gm_error *e);

/* Removes a tensor; nothing happens if there is none. */
void gm_record_remove(gm_record *r, const char *name);
/* Gives a tensor another name, replacing what has that name. 0, or -1 with a message. */
GM_MUST_USE int gm_record_rename(gm_record *r, const char *from, const char *to, gm_error *e);

/* A tensor as floats [r->rows, *columns]: other types are converted in place, ranks above 2 are flattened behind the
 * first axis, rank 1 has one column. Errors: no such tensor (the message lists those there), first axis not r->rows. */
GM_MUST_USE float *gm_record_matrix(gm_record *r, const char *name, size_t *columns, gm_error *e);

/* As gm_record_matrix, and refuses a number that is not finite (the message names row and column). */
GM_MUST_USE float *gm_record_finite(gm_record *r, const char *name, size_t *columns, gm_error *e);

/* A tensor of class numbers [r->rows]: converted in place to <i4; a fraction or a number outside int32 is an error. */
GM_MUST_USE int32_t *gm_record_labels(gm_record *r, const char *name, gm_error *e);

/* Keeps the first `rows` rows of every tensor (all have r->rows of them) and sets r->rows. */
GM_MUST_USE int gm_record_shorten(gm_record *r, size_t rows, gm_error *e);

/* Scalars. */
GM_MUST_USE int gm_record_set_scalar(gm_record *r, const char *name, double value, gm_error *e);
bool gm_record_scalar(const gm_record *r, const char *name, double *value);
void gm_record_remove_scalar(gm_record *r, const char *name);

/* The info map, made if it was not there; NULL with a message. */
GM_MUST_USE gm_value *gm_record_info(gm_record *r, gm_error *e);

#endif
