/* data.h: rows from CSV, IDX or stream files, encoded by a schema; rows back to CSV; pictures to PNG.
 */
#ifndef GM_DATA_H
#define GM_DATA_H

#include "gm/record.h"
#include "gm/schema.h"

#include <stdio.h>

/* ---- CSV ---- */

typedef struct gm_csv gm_csv;

typedef struct gm_field {
    const char *text;
    size_t length;
} gm_field; /* a NUL stands behind text; of a row, GM_NUMBER_ROOM bytes from text on can be read */

/* RFC 4180 through libcsv: a separator, quotes, embedded newlines, LF or CRLF, an optional byte order mark. `name` is
 * for messages. The first row is the header, unless the form has none. A row with another number of fields, an unclosed
 * quote (named by the line where it opened) and a field above 1 MiB are errors that name the line. Blank lines
 * are skipped; but in a table of one column they are rows with an empty field, and to a tolerant form rows with another
 * number of fields, if a line is behind them. Reads `fd` in blocks; holds one block of rows. The reader does not own
 * fd. */
GM_MUST_USE gm_csv *gm_csv_new(int fd, const char *name, gm_csv_form form, gm_error *e);
void gm_csv_free(gm_csv *c);
size_t gm_csv_columns(const gm_csv *c);
const char *gm_csv_column(const gm_csv *c, size_t i); /* "" for one without a name of its own */
/* The column's index, or -1. Without a header, columns also have numbers: 1 is the first, -1 the last. */
long gm_csv_find(const gm_csv *c, const char *name);
/* 0 if every column of the header has a name of its own; -1 with the first that has not. */
GM_MUST_USE int gm_csv_check_names(const gm_csv *c, gm_error *e);
/* -1 if several columns have this name; gm_csv_find then finds the first. */
GM_MUST_USE int gm_csv_check_name(const gm_csv *c, const char *name, gm_error *e);
/* A file without rows is an error, unless the form may be empty.
 * Next row: 1 with *fields (columns of them, good until the next call; NULL for a row with another number of fields,
 * which is no error if the form is tolerant) and *line (where the row begins, from 1); 0 at the end; -1. Answers with
 * whatever rows a read(2) brought: a slow pipe is not waited on for a full block. */
GM_MUST_USE int gm_csv_next(gm_csv *c, const gm_field **fields, uint64_t *line, gm_error *e);
/* True if a further row can be had without reading from the descriptor. */
bool gm_csv_ready(const gm_csv *c);

/* Writes one field, quoted where RFC 4180 needs it; the second form for another separator than the comma. */
void gm_csv_put(FILE *f, const char *text, size_t n);
void gm_csv_put_between(FILE *f, char separator, const char *text, size_t n);

/* ---- rows of any source, encoded ---- */

/* True if the file can be read and begins as a stream does. */
bool gm_data_is_stream(const char *path);

typedef struct gm_rows gm_rows;

/* A line for people, as it comes up. */
typedef void gm_note(const void *context, const char *line);

/* What is to be read of data files. */
typedef struct gm_data_choice {
    bool need_label;    /* a missing label column is an error; else labels are used where there are any */
    size_t max_tensor;  /* bytes, of streams */
    gm_fold fold;       /* these rows only; needs the label of a schema that knows one */
    const char *id;     /* a CSV column that is carried along as text, or NULL; must outlive the reader */
    bool keep_going;    /* of CSV: a row that cannot be used is given all the same, see gm_marks */
    bool may_be_empty;  /* of CSV: a file of a header only has no rows, which is no error */
    gm_caching caching; /* not with an id or keep_going, nor of standard input */
    size_t held_bytes;  /* of rows that a table holds if it can have the others from caches; 0: 192 MiB */
    gm_note *note;      /* is told what becomes of caches; NULL: nobody is */
    const void *note_context;
} gm_data_choice;

/* Opens files of one kind (told by their first bytes): CSV, IDX, IDX.gz, or streams; "-" is standard input. `schema`
 * (may be NULL only for streams) says how to encode and must outlive the reader; columns of a CSV are matched by name,
 * in any order, extra ones are ignored. */
GM_MUST_USE gm_rows *gm_rows_open(char *const *files, size_t file_count, const gm_schema *schema,
                                  const gm_data_choice *choice, gm_error *e);
void gm_rows_close(gm_rows *d);
bool gm_rows_labelled(const gm_rows *d); /* each row has a class number, or GM_UNLABELLED */
size_t gm_rows_features(const gm_rows *d);
/* Up to `wanted` rows in file order: their features [wanted, features] and class numbers (if labelled; may be NULL).
 * Returns the rows (fewer than wanted at the end, or where `eager` and waiting for more would block), 0 at the end, -1.
 * Rows before one that is an error are returned first. */
GM_MUST_USE long gm_rows_next(gm_rows *d, size_t wanted, bool eager, float *x, int32_t *y, gm_error *e);
/* The same, eager, but features are copied to `room` [wanted, features] only where they do not lie in a row already, as
 * those of a stream's record do: they are at *x until the next call. */
GM_MUST_USE long gm_rows_lend(gm_rows *d, size_t wanted, float *room, const float **x, int32_t *y, gm_error *e);
/* Caches are still to be opened or written, in the directories of the files. */
bool gm_rows_caches(const gm_rows *d);

/* What there is of rows beside numbers and classes. Zeroed before its first use. */
typedef struct gm_marks {
    gm_field *ids;  /* the choice's column `id`, or NULL */
    bool *unusable; /* with keep_going: rows that cannot be used (another number of fields than the header, what is no
                       number, no class): their features mean nothing; else NULL */
    char *text;     /* private, as what follows: of the ids, one behind the other */
    size_t text_used, id_capacity, text_capacity, unusable_capacity;
} gm_marks;
/* Moves those of the rows that were returned last to `marks`, whose memory is used for later ones. */
void gm_rows_marks(gm_rows *d, gm_marks *marks);
void gm_marks_free(gm_marks *marks);
/* With keep_going: how many rows could not be used so far, with the message of the first. */
uint64_t gm_rows_unusable_count(const gm_rows *d, const char **first);

/* What the rows held, so far, that the schema does not know, a line for each kind of it: numbers that are missing where
 * none was before (the column's mean is taken), and categories (none of the known ones is set). To be told at the end.
 */
void gm_rows_notes(const gm_rows *d, gm_note *note, const void *context);

/* The variance of all numbers of all encoded rows together, 0 if they are one value: the data are read once more. */
GM_MUST_USE int gm_data_variance(char *const *files, size_t file_count, const gm_schema *schema,
                                 const gm_data_choice *choice, double *variance, gm_error *e);

/* All rows, for shuffled batches: in memory, but of CSV files with caches only the first 192 MiB of them; the others
 * are read when they are picked. Bytes of IDX pictures stay bytes until they are picked. */
typedef struct gm_table gm_table;
GM_MUST_USE gm_table *gm_table_load(char *const *files, size_t file_count, const gm_schema *schema,
                                    const gm_data_choice *choice, gm_error *e);
void gm_table_free(gm_table *t);
size_t gm_table_rows(const gm_table *t);
size_t gm_table_features(const gm_table *t);
bool gm_table_labelled(const gm_table *t);
void gm_table_notes(const gm_table *t, gm_note *note, const void *context);
/* Rows picked by number into x [n, features] and, if labelled, y [n], each NULL where it is not wanted. By one thread
 * at a time. -1 only with caches. */
GM_MUST_USE int gm_table_pick(const gm_table *t, size_t n, const uint32_t *rows, float *x, int32_t *y, gm_error *e);

/* ---- encoded rows back to CSV ---- */

/* The header: columns' names, and the label's if `labels`; nothing where the schema's files have none. */
void gm_decode_header(FILE *f, const gm_schema *s, bool labels);
/* n rows of features [n, s->features], with class numbers where labels is not NULL. Check ferror(f) at the end. */
void gm_decode_rows(FILE *f, const gm_schema *s, size_t n, const float *x, const int32_t *labels);

/* ---- for people ---- */

/* Text from outside as a message may show it: at most 40 bytes, control characters as '?'. Returns out. */
#define GM_VISIBLE 48
char *gm_visible(const char *text, size_t n, char out[GM_VISIBLE]);
/* The same for a text with a NUL behind it. */
char *gm_visible_text(const char *text, char out[GM_VISIBLE]);
/* Control characters of n bytes become '?', in place. */
void gm_hide_controls(char *text, size_t n);

/* The data, a line for each column (of many: the first and the last), the label with its classes. Check ferror(f). */
void gm_schema_describe(FILE *f, const gm_schema *s);

/* ---- PNG ---- */

/* Writes a grid of n grey pictures [n, height * width] to an open file; low..high becomes black..white (clipped).
 * `columns` pictures side by side (0: the square root of n, rounded up), one pixel between them, each pixel `zoom`
 * times as wide and high (0: so that the picture is about 600 wide). */
GM_MUST_USE int gm_png_grid(int fd, size_t n, size_t height, size_t width, size_t columns, size_t zoom,
                            const float *pixels, float low, float high, gm_error *e);

#endif
