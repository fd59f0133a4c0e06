/* table.c: all rows, in the form that takes least memory: CSV as cells, pictures as bytes, streams as floats. Batches
 * are expanded when they are picked. Of CSV files that have caches, what is above HELD_BYTES stays there.
 */
#include "../math/clones.h"
#include "rows.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES ((size_t)1 << 20)  /* read at a time */
#define HELD_BYTES ((size_t)192 << 20) /* of rows that could be had from caches */

struct gm_table {
    gm_data_kind kind;
    const gm_schema *schema; /* for columns of several features */
    bool expand, labelled;
    size_t rows, features;
    size_t width;                /* numbers of a stored row */
    size_t held;                 /* rows in memory: the first ones */
    float *cells;                /* [held, width], but for IDX */
    unsigned char *bytes;        /* [held, width], for IDX */
    int32_t *y;                  /* [held], if labelled */
    size_t capacity, y_capacity; /* rows there is room for */
    gm_pixels pixels;
    gm_oddity *oddities; /* [columns], or NULL */
    /* what is not held */
    gm_rows *source;
    uint64_t *numbers; /* of a fold: where the rows are in the source */
    size_t numbers_capacity;
    float *row; /* [width] */
};

static void release(gm_table *t) {
    gm_rows_close(t->source);
    gm_pixels_close(&t->pixels);
    free(t->cells);
    free(t->bytes);
    free(t->y);
    free(t->oddities);
    free(t->numbers);
    free(t->row);
}

/* ---- reading ---- */

static long read_piece(gm_table *t, gm_rows *d, size_t wanted, gm_error *e) {
    const size_t at = t->held * t->width;
    int32_t *y = t->labelled ? t->y + t->held : NULL;
    if (t->kind == GM_DATA_IDX) return gm_rows_bytes(d, wanted, t->bytes + at, y, e);
    if (t->kind == GM_DATA_CSV) return gm_rows_cells(d, wanted, false, t->cells + at, y, e);
    return gm_rows_next(d, wanted, false, t->cells + at, y, e);
}

/* Room for `wanted` rows of `bytes` each, twice as many as there were but at most `most`. As gm_grow, but pages that
 * are not written to take no memory. */
static int grow_rows(void *rows, size_t *capacity, size_t wanted, size_t most, size_t bytes, gm_error *e) {
    size_t target = *capacity < SIZE_MAX / 2 ? *capacity * 2 : wanted, total;
    void *old, *grown;
    if (wanted <= *capacity) return 0;
    if (target > most) target = most;
    if (target < wanted) target = wanted;
    memcpy(&old, rows, sizeof old);
    grown = gm_multiply(target, bytes, &total) && total <= PTRDIFF_MAX ? realloc(old, total > 0 ? total : 1) : NULL;
    if (grown == NULL) return gm_fail(e, "out of memory (%zu rows)", target);
    memcpy(rows, &grown, sizeof grown);
    *capacity = target;
    return 0;
}

/* Room for a piece behind the rows that are held. */
static int grow(gm_table *t, size_t piece, size_t held_most, gm_error *e) {
    const bool idx = t->kind == GM_DATA_IDX;
    const size_t wanted = t->held + piece, most = held_most < SIZE_MAX - piece ? held_most + piece : SIZE_MAX;
    if (t->labelled && grow_rows(&t->y, &t->y_capacity, wanted, most, sizeof *t->y, e) < 0) return -1;
    if (idx) return grow_rows(&t->bytes, &t->capacity, wanted, most, t->width, e);
    size_t bytes;
    if (!gm_multiply(t->width, sizeof *t->cells, &bytes)) return gm_fail(e, "out of memory (%zu columns)", t->width);
    return grow_rows(&t->cells, &t->capacity, wanted, most, bytes, e);
}

/* Where the rows of a piece are in the source. */
static int note_numbers(gm_table *t, const gm_rows *d, size_t rows, gm_error *e) {
    const uint64_t *numbers = gm_rows_numbers(d);
    if (numbers == NULL) return 0;
    if (gm_grow(&t->numbers, &t->numbers_capacity, t->rows + rows, sizeof *t->numbers, e) < 0) return -1;
    memcpy(t->numbers + t->rows, numbers, rows * sizeof *numbers);
    return 0;
}

/* Reads all rows, and holds at most held_most of them and one piece. */
static int read_all(gm_table *t, gm_rows *d, size_t held_most, const char *file, gm_error *e) {
    const size_t piece = t->width == 0 ? 1 : 1 + PIECE_BYTES / sizeof(float) / t->width;
    for (;;) {
        if (grow(t, piece, held_most, e) < 0) return -1;
        const long got = read_piece(t, d, piece, e);
        if (got < 0 || note_numbers(t, d, (size_t)got, e) < 0) return -1;
        if (got == 0) break;
        t->rows += (size_t)got;
        if (t->held < held_most) t->held += (size_t)got;
        if (t->rows > UINT32_MAX) return gm_fail(e, "%s: more than %lu rows", file, (unsigned long)UINT32_MAX);
    }
    return t->rows > 0 ? 0 : gm_fail(e, "%s: no rows", file);
}

/* 1; 0 if rows that are not held are not kept either, where no cache could be written; -1. */
static int load(gm_table *t, char *const *files, size_t file_count, const gm_data_choice *choice, gm_error *e) {
    gm_rows *d = gm_rows_open(files, file_count, t->schema, choice, e);
    if (d == NULL) return -1;
    t->source = d;
    t->kind = gm_rows_kind(d);
    t->labelled = gm_rows_labelled(d);
    t->features = gm_rows_features(d);
    t->width = t->kind == GM_DATA_STREAM ? t->features : t->schema->column_count;
    t->expand = t->kind == GM_DATA_CSV && gm_rows_expands(d);
    const size_t row = t->width > 0 ? t->width * sizeof(float) : 1;
    const size_t most =
        gm_rows_has_caches(d) ? (choice->held_bytes > 0 ? choice->held_bytes : HELD_BYTES) / row : SIZE_MAX;
    const int done = read_all(t, d, most, gm_data_name(files[0]), e);
    if (t->kind == GM_DATA_IDX) gm_rows_take_pixels(d, &t->pixels);
    t->oddities = gm_rows_take_oddities(d);
    if (done < 0) return -1;
    if (t->held < t->rows) {
        t->row = gm_new(t->width, sizeof *t->row, e);
        return t->row != NULL ? gm_rows_whole(d) : -1;
    }
    gm_rows_close(d);
    t->source = NULL;
    return 1;
}

gm_table *gm_table_load(char *const *files, size_t file_count, const gm_schema *schema, const gm_data_choice *choice,
                        gm_error *e) {
    gm_table *t = gm_new_zeroed(1, sizeof *t, e);
    if (t == NULL) return NULL;
    t->schema = schema;
    int done = load(t, files, file_count, choice, e);
    if (done == 0) {
        release(t);
        gm_data_choice uncached = *choice;
        uncached.caching = GM_CACHING_OFF;
        *t = (gm_table){.schema = schema};
        done = load(t, files, file_count, &uncached, e);
    }
    if (done > 0) return t;
    gm_table_free(t);
    return NULL;
}

void gm_table_free(gm_table *t) {
    if (t == NULL) return;
    release(t);
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

/* ---- picking ---- */

/* Rows are picked all over the table: the one after the next is sent for. */
GM_INLINE void send_for(const gm_table *t, size_t row) {
    const bool idx = t->kind == GM_DATA_IDX;
    if (row >= t->held) return;
    const char *at = idx ? (const char *)t->bytes + row * t->width : (const char *)(t->cells + row * t->width);
    gm_send_for(at, idx ? t->width : t->width * sizeof *t->cells);
}

static void pick_held(const gm_table *t, size_t row, float *x, int32_t *y) {
    const size_t at = row * t->width;
    if (y != NULL) *y = t->y[row];
    if (x == NULL) return;
    if (t->kind == GM_DATA_IDX) {
        gm_pixels_scale(&t->pixels, 1, t->bytes + at, x);
    } else if (t->expand) {
        gm_cells_expand(t->schema, true, 1, t->cells + at, x);
    } else {
        memcpy(x, t->cells + at, t->width * sizeof *x);
    }
}

static int pick_kept(const gm_table *t, size_t row, float *x, int32_t *y, gm_error *e) {
    const uint64_t number = t->numbers != NULL ? t->numbers[row] : row;
    if (gm_rows_cells_at(t->source, number, t->expand || x == NULL ? t->row : x, y, e) < 0) return -1;
    if (t->expand && x != NULL) gm_cells_expand(t->schema, true, 1, t->row, x);
    return 0;
}

int gm_table_pick(const gm_table *t, size_t n, const uint32_t *rows, float *x, int32_t *y, gm_error *e) {
    for (size_t i = 0; i < n; i++) {
        float *features = x != NULL ? x + i * t->features : NULL;
        int32_t *label = t->labelled && y != NULL ? &y[i] : NULL;
        if (features != NULL && i + 2 < n) send_for(t, rows[i + 2]);
        if (rows[i] < t->held)
            pick_held(t, rows[i], features, label);
        else if (pick_kept(t, rows[i], features, label, e) < 0)
            return -1;
    }
    return 0;
}
