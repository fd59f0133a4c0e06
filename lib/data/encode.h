/* encode.h: rows of text or bytes to features, as a schema says. Private to lib/data.
 *
 * Between text and features stand cells: one float for each column. Numeric: the scaled number, or NaN where it is
 * missing and the column has an indicator for that. Categorical: the category's number, or -1 for one that is unknown.
 * Features are made of cells only for the rows that are asked for.
 */
#ifndef GM_DATA_ENCODE_H
#define GM_DATA_ENCODE_H

#include "gm/data.h"
#include "idx.h"
#include "lexicon.h"
#include "missing.h"
#include "text.h"

/* feature = base + (value - offset) * factor, in double, rounded once to float; the same expression everywhere, so that
 * a value has the same bits whichever way it came. factor 0: a constant column. */
typedef struct gm_affine {
    double offset, factor, base;
} gm_affine;
gm_affine gm_column_affine(const gm_column *c, const gm_scale *scale);
static inline float gm_affine_scale(gm_affine a, double value) {
    return (float)(a.base + (value - a.offset) * a.factor);
}
/* ---- CSV ---- */

/* What a column held that the schema does not know. */
typedef struct gm_oddity {
    uint64_t rows;          /* by gm_cells_recall */
    char first[GM_VISIBLE]; /* the first unknown category */
} gm_oddity;

typedef struct gm_coding {
    size_t place; /* the column's field in the file at hand */
    bool categorical, indicator;
    gm_affine affine;
    float mean; /* scaled: stands for a number that is missing */
    gm_lexicon categories;
} gm_coding;

typedef struct gm_encoder {
    const gm_schema *schema;
    gm_coding *codings;  /* [columns] */
    gm_oddity *oddities; /* [columns] */
    gm_missing missing;
    gm_lexicon classes;
    long label_place; /* -1: the file has no labels */
    bool expand;      /* cells are not yet the features */
    bool odd;         /* some cell was a number or a category that the schema does not know */
} gm_encoder;

/* Zeroed memory becomes an encoder; release it after success and failure alike. */
GM_MUST_USE int gm_encoder_open(gm_encoder *n, const gm_schema *schema, gm_error *e);
void gm_encoder_close(gm_encoder *n);
/* Finds the schema's columns in a file. A missing label is an error with need_label, else label_place is -1. */
GM_MUST_USE int gm_encoder_match(gm_encoder *n, const gm_csv *csv, const char *file, bool need_label, gm_error *e);
/* One row to cells [columns] and, unless y is NULL, its class number. Any number that is missing is NaN, until
 * gm_cells_recall. The message names the column, not file and line. */
GM_MUST_USE int gm_encoder_row(gm_encoder *n, const gm_field *fields, float *cells, int32_t *y, gm_error *e);
/* Of a row that may have such cells: the mean for numbers that are missing where none was before; all that is odd is
 * counted, unless oddities is NULL. */
void gm_cells_recall(const gm_encoder *n, float *cells, gm_oddity *oddities);
/* cells [n, columns] to x [n, features]. */
void gm_cells_expand(const gm_schema *s, bool expand, size_t n, const float *cells, float *x);
/* A line for each kind of oddity; oddities may be NULL. */
void gm_oddities_tell(const gm_schema *s, const gm_oddity *oddities, gm_note *note, const void *context);

/* ---- pictures ---- */

typedef struct gm_pixels {
    size_t columns;
    double *affine;       /* offsets [columns], factors [columns], bases [columns] */
    bool alike;           /* they are the same for all columns */
    int32_t classes[256]; /* class number of a label's byte, -1 if none */
} gm_pixels;

/* Checks that the schema is one of such pictures. */
GM_MUST_USE int gm_pixels_open(gm_pixels *p, const gm_schema *s, const gm_idx *idx, const char *file, gm_error *e);
void gm_pixels_close(gm_pixels *p);
void gm_pixels_scale(const gm_pixels *p, size_t n, const unsigned char *bytes, float *x);

#endif
