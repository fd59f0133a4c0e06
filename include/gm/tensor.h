/* tensor.h: an array of numbers with a type and a shape.
 *
 * Tensors are in C order (the last index runs fastest) and little-endian. A gm_tensor inside a
 * record is owned by the record.
 */
#ifndef GM_TENSOR_H
#define GM_TENSOR_H

#include "gm/base.h"

#define GM_RANK_MAX 8

typedef enum gm_type { GM_F4, GM_F8, GM_U1, GM_I4, GM_I8 } gm_type;

typedef struct gm_tensor {
    gm_type type;
    unsigned rank;             /* 0 to GM_RANK_MAX; a tensor of rank 0 holds one number */
    size_t shape[GM_RANK_MAX]; /* only the first `rank` entries count */
    size_t count;              /* numbers: the product of the shape */
    size_t bytes;              /* count times the size of one number */
    void *data;                /* GM_ALIGN-aligned */
} gm_tensor;

/* Bytes of one number: 4 8 1 4 8. */
size_t gm_type_size(gm_type type);

/* The type's string: "<f4" "<f8" "|u1" "<i4" "<i8"; and back, false for any other string (n bytes, no NUL needed). */
const char *gm_type_text(gm_type type);
GM_MUST_USE bool gm_type_parse(const char *text, size_t n, gm_type *type);

/* The product of a shape and its size in bytes; false if either overflows or rank > GM_RANK_MAX. */
GM_MUST_USE bool gm_shape_measure(gm_type type, unsigned rank, const size_t *shape, size_t *count, size_t *bytes);

/* "4×64", "()" for rank 0; cut to fit. Returns out. */
char *gm_shape_text(const gm_tensor *t, char out[128]);

/* Number i as a double (exact but for i8 above 2^53). */
double gm_tensor_at(const gm_tensor *t, size_t i);

#endif
