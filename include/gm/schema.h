/* schema.h: what a model knows of its data: columns, classes, scaling; encoding rows and decoding them.
 *
 * A schema owns its texts. It is kept in the model file as a gm_value, so that training, classifying and sampling
 * encode and decode alike.
 */
#ifndef GM_SCHEMA_H
#define GM_SCHEMA_H

#include "gm/spans.h"
#include "gm/value.h"

typedef enum gm_scale_kind { GM_SCALE_NONE, GM_SCALE_STANDARD, GM_SCALE_RANGE, GM_SCALE_QUANTILE } gm_scale_kind;

typedef struct gm_scale {
    gm_scale_kind kind;
    double low, high;
} gm_scale; /* "none", "standard", "range:-1,1", "quantile" (of CSV only: see lib/data/quantile.h) */
GM_MUST_USE int gm_scale_parse(const char *text, gm_scale *scale, gm_error *e);
char *gm_scale_text(const gm_scale *scale, char out[80]);

/* A part of the rows: fold `index` of `count`, counted from 1. Stratified by the label where there is one; a function
 * of the seed and of the rows' order, so whoever reads the same files (in the same order) finds the same folds. */
typedef struct gm_fold {
    uint32_t index, count; /* count 0: all rows */
    uint64_t seed;
    bool rest; /* all rows but those of the fold: what is trained on where the fold is held out */
} gm_fold;
/* "I/K" or "I/K:SEED", 1 <= I <= K, 2 <= K <= 1000; `rest` becomes false. */
GM_MUST_USE int gm_fold_parse(const char *text, gm_fold *fold, gm_error *e);
/* The same text back, without a seed of 0. */
char *gm_fold_text(const gm_fold *fold, char out[48]);

/* How a CSV file is written. */
typedef struct gm_csv_form {
    char separator; /* 0: a comma */
    bool no_header; /* columns are c1, c2, ... */
    /* not of the file but of who reads it: see gm_csv_next */
    bool tolerant, may_be_empty;
} gm_csv_form;
/* "," ";" "|" or another mark, "tab" or "\t", "space". */
GM_MUST_USE int gm_separator_parse(const char *text, char *separator, gm_error *e);

typedef struct gm_names {
    size_t count;
    char **items;
} gm_names;

typedef struct gm_column {
    char *name; /* from the header; "p0" ... where the data has none */
    bool categorical;
    bool integer;                             /* numeric: every value was a whole number, so decoding rounds */
    double minimum, maximum, mean, deviation; /* numeric, over the values; deviation divides by their number */
    size_t missing;                           /* numeric: rows without a value */
    int decimals;           /* numeric: the most digits behind the point that a value was written with; -1: not known */
    bool padded;            /* all values were written with so many */
    double *knots, *levels; /* numeric, with the scale quantile: values, and the shares of rows up to them */
    size_t knot_count;
    char **categories; /* categorical: in order of first appearance */
    size_t category_count;
    size_t features; /* category_count (one-hot); numeric: 1, or 2 with missing values (then 1 where it is missing) */
} gm_column;

typedef struct gm_schema {
    char *source;     /* base name of the file it was read from */
    gm_csv_form form; /* of the CSV files it was read from, and of those it reads */
    gm_fold held_out; /* what it knows of rows is known of those outside of this fold; count 0: of all */
    bool marks_given; /* what stands where a number is missing are `marks`, not the usual texts */
    gm_names marks;
    size_t column_count; /* without the label */
    gm_column *columns;
    size_t features;    /* sum of the columns' features */
    char *label;        /* name of the label's column, or NULL */
    size_t label_place; /* columns before it */
    char **classes;     /* sorted: as numbers if all are numbers, else by bytes */
    size_t *class_rows; /* rows of each class; 0 where only rows of the fold that was held out have it */
    size_t class_count;
    bool classes_are_numbers; /* all of them: then "3" and "3.0" are one class */
    bool unlabelled;          /* a row may have no class (an empty label): its class number is GM_UNLABELLED */
    size_t rows;
    size_t height, width; /* of a picture, where the data says so (IDX), else 0 */
    gm_scale scale;
} gm_schema;

/* The class number of a row without a class. */
#define GM_UNLABELLED (-1)

void gm_schema_free(gm_schema *s);
GM_MUST_USE gm_value *gm_schema_value(const gm_schema *s, gm_error *e);
GM_MUST_USE gm_schema *gm_schema_parse(const gm_value *v, gm_error *e);

/* Whether what is made of data files, their schema and the encoded rows of CSV, is kept beside them and read from there
 * the next time: FILE.KEY.gmcache, where KEY tells apart what was made in different ways. A cache is used only while
 * the file is unchanged (size, times, first and last bytes), and has a checksum; what is read from it has the same bits
 * as what it was made of. */
typedef enum gm_caching {
    GM_CACHING_OFF,
    GM_CACHING_LARGE, /* if the files have GM_CACHING_FROM bytes together */
    GM_CACHING_ON
} gm_caching;
#define GM_CACHING_FROM ((uint64_t)16 << 20)
GM_MUST_USE int gm_caching_parse(const char *text, gm_caching *caching, gm_error *e); /* off, auto or on */

/* How data are to be described. */
typedef struct gm_scan_choice {
    const char *label; /* its column; NULL: none (an IDX file of labels still gives classes "0" ...) */
    bool unlabelled;   /* of CSV: rows with an empty label are taken, not refused */
    bool one_class;    /* a label with one class only is taken, not refused: nothing is to learn it */
    gm_scale scale;
    gm_fold fold; /* numbers, categories and counts are those of these rows; classes are those of all rows */
    gm_csv_form form;
    gm_names categorical, numeric; /* columns that are so whatever their first value is */
    const gm_names *marks;         /* what stands where a number is missing; NULL: the usual (gm-init(1)) */
    gm_caching caching;            /* of a single file */
} gm_scan_choice;

/* Reads data once and describes it. Files: CSV files with equal headers, or IDX files (.gz too): pictures, and one of
 * rank 1 for the labels. A column is numeric if its first value that is there is a number; after that a word in it is
 * an error. If that is a word it is categorical, and an error if it holds what looks like measurements (gm-init(1)),
 * held out or not. A label column may hold anything. A column without a value is numeric, 0, and missing in all rows.
 */
GM_MUST_USE gm_schema *gm_schema_scan(char *const *files, size_t file_count, const gm_scan_choice *choice, gm_error *e);

/* True if both encode every row alike: columns in the same order, categories, classes, and what the scaling uses. */
bool gm_schema_encodes_alike(const gm_schema *a, const gm_schema *b);

/* Class number of a label's text (n bytes): numbers equal as numbers ("3" and "3.0"); -1 if there is none. */
long gm_schema_class(const gm_schema *s, const char *text, size_t n);

/* What stands in the features, for a mixed layer. The caller frees the items. */
GM_MUST_USE int gm_schema_spans(const gm_schema *s, gm_spans *spans, gm_error *e);

/* Rows that have a class: the sum of class_rows. */
size_t gm_schema_labelled(const gm_schema *s);

/* A number to its (first) feature and back. A constant column scales to 0 (standard) or to the range's low end.
 * Decoding clips to [minimum, maximum] and rounds where the column is integer. */
float gm_column_scale(const gm_column *c, const gm_scale *scale, double value);
double gm_column_unscale(const gm_column *c, const gm_scale *scale, float feature);

#endif
