/* table.c: all rows in memory, in the form that takes least of it: CSV as cells, pictures as bytes, streams as floats.
 * Batches are expanded when they are picked.
 */
#include "rows.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES ((size_t)1 << 20) /* read at a time */

struct gm_table {
    gm_data_kind kind;
    const gm_schema *schema; /* for columns of several features */
    bool expand, labelled;
    size_t rows, features;
    size_t width;                /* numbers of a stored row */
    float *cells;                /* [rows, width], but for IDX */
    unsigned char *bytes;        /* [rows, width], for IDX */
    int32_t *y;                  /* [rows], if labelled */
    size_t capacity, y_capacity; /* numbers and labels there is room for */
    gm_pixels pixels;
    gm_oddity *oddities; /* [columns], or NULL */
};

static long read_piece(gm_table *t, gm_rows *d, size_t wanted, gm_error *e) {
    const size_t at = t->rows * t->width;
    int32_t *y = t->labelled ? t->y + t->rows : NULL;
    if (t->kind == GM_DATA_IDX) return gm_rows_bytes(d, wanted, t->bytes + at, y, e);
    if (t->kind == GM_DATA_CSV) return gm_rows_cells(d, wanted, false, t->cells + at, y, e);
    return gm_rows_next(d, wanted, false, t->cells + at, y, e);
}

/* Room for `more` rows. */
static int grow(gm_table *t, size_t more, gm_error *e) {
    size_t wanted;
    if (!gm_multiply(t->rows + more, t->width, &wanted)) return gm_fail(e, "out of memory (%zu rows)", t->rows);
    if (t->labelled && gm_grow(&t->y, &t->y_capacity, t->rows + more, sizeof *t->y, e) < 0) return -1;
    if (t->kind == GM_DATA_IDX) return gm_grow(&t->bytes, &t->capacity, wanted, 1, e);
    return gm_grow(&t->cells, &t->capacity, wanted, sizeof *t->cells, e);
}

static int read_all(gm_table *t, gm_rows *d, const char *file, gm_error *e) {
    const size_t piece = t->width == 0 ? 1 : 1 + PIECE_BYTES / sizeof(float) / t->width;
    for (;;) {
        if (grow(t, piece, e) < 0) return -1;
        const long got = read_piece(t, d, piece, e);
        if (got < 0) return -1;
        if (got == 0) break;
        t->rows += (size_t)got;
        if (t->rows > UINT32_MAX) return gm_fail(e, "%s: more than %lu rows", file, (unsigned long)UINT32_MAX);
    }
    return t->rows > 0 ? 0 : gm_fail(e, "%s: no rows", file);
}

gm_table *gm_table_load(char *const *files, size_t file_count, const gm_schema *schema, const gm_data_choice *choice,
                        gm_error *e) {
    gm_rows *d = gm_rows_open(files, file_count, schema, choice, e);
    gm_table *t = d != NULL ? gm_new_zeroed(1, sizeof *t, e) : NULL;
    if (t == NULL) {
        gm_rows_close(d);
        return NULL;
    }
    t->kind = gm_rows_kind(d);
    t->schema = schema;
    t->labelled = gm_rows_labelled(d);
    t->features = gm_rows_features(d);
    t->width = t->kind == GM_DATA_STREAM ? t->features : schema->column_count;
    t->expand = t->kind == GM_DATA_CSV && gm_rows_expands(d);
    const int done = read_all(t, d, gm_data_name(files[0]), e);
    if (t->kind == GM_DATA_IDX) gm_rows_take_pixels(d, &t->pixels);
    t->oddities = gm_rows_take_oddities(d);
    gm_rows_close(d);
    if (done == 0) return t;
    gm_table_free(t);
    return NULL;
}

void gm_table_free(gm_table *t) {
    if (t == NULL) return;
    gm_pixels_close(&t->pixels);
    free(t->cells);
    free(t->bytes);
    free(t->y);
    free(t->oddities);
    free(t);
}

size_t gm_table_rows(const gm_table *t) {
    return t->rows;
}

size_t gm_table_features(const gm_table *t) {
    return t->features;
}

bool gm_table_labelled(const gm_table *t) {
    return t->labelled;
}

void gm_table_notes(const gm_table *t, gm_note *note, const void *context) {
    if (t->schema != NULL) gm_oddities_tell(t->schema, t->oddities, note, context);
}

/* Rows are picked all over the table: the one after the next is sent for. */
static void send_for(const gm_table *t, size_t row) {
    const bool idx = t->kind == GM_DATA_IDX;
    const char *at = idx ? (const char *)t->bytes + row * t->width : (const char *)(t->cells + row * t->width);
    const size_t bytes = idx ? t->width : t->width * sizeof *t->cells;
    for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(at + i);
}

void gm_table_pick(const gm_table *t, size_t n, const uint32_t *rows, float *x, int32_t *y) {
    for (size_t i = 0; i < n; i++, x += t->features) {
        const size_t at = rows[i] * t->width;
        if (i + 2 < n) send_for(t, rows[i + 2]);
        if (t->kind == GM_DATA_IDX) {
            gm_pixels_scale(&t->pixels, 1, t->bytes + at, x);
        } else if (t->expand) {
            gm_cells_expand(t->schema, true, 1, t->cells + at, x);
        } else {
            memcpy(x, t->cells + at, t->width * sizeof *x);
        }
        if (t->labelled && y != NULL) y[i] = t->y[rows[i]];
    }
}
