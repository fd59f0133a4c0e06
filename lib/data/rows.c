/* rows.c: rows of any source, encoded, in file order.
 */
#include "rows.h"
#include "csv_ahead.h"
#include "fold.h"
#include "row_cache.h"
#include "text.h"

#include "gm/stream.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct gm_rows {
    gm_data_kind kind;
    char **files;
    size_t file_count;
    size_t file_next; /* to be opened */
    const char *name; /* of the file at hand, for messages */
    int fd;           /* of the file at hand, or -1 */
    const gm_schema *schema;
    gm_data_choice choice;
    bool need_label; /* the choice's, or for its fold */
    bool labelled;
    bool begun; /* the first file was seen: `labelled` and `features` are known */
    size_t features;
    gm_folds folds;
    /* CSV */
    gm_csv *csv;
    gm_encoder encoder;
    float *cells; /* where they are not the features */
    size_t cells_capacity;
    size_t id_place; /* of the choice's id in the file at hand */
    gm_marks marks;  /* of the rows given last */
    uint64_t unusable_count;
    gm_error unusable_first;
    bool failed; /* the rows before `trouble` were given */
    gm_error trouble;
    gm_row_cache *cache; /* NULL: none is used */
    float *spare_cells;  /* of a row that is kept, and not of the fold */
    uint64_t number;     /* of the next row in all files */
    uint64_t *numbers;   /* of the rows given last, if they are kept and of a fold */
    size_t numbers_capacity;
    /* IDX */
    gm_idx *idx;
    gm_pixels pixels;
    unsigned char *bytes, *label_bytes;
    size_t bytes_capacity, label_capacity;
    /* streams */
    gm_reader *reader;
    gm_record *record; /* whose rows from record_row on are still to be given */
    float *record_x;
    int32_t *record_y;
    size_t record_row, record_rows;
};

/* ---- files, one after the other ---- */

static void close_file(gm_rows *d) {
    gm_csv_free(d->csv);
    gm_reader_free(d->reader);
    d->csv = NULL;
    d->reader = NULL;
    if (d->fd >= 0) close(d->fd);
    d->fd = -1;
}

static void tell(const gm_rows *d, const char *format, ...) GM_PRINTF(2, 3);
static void tell(const gm_rows *d, const char *format, ...) {
    char line[1024];
    va_list arguments;
    if (d->choice.note == NULL) return;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    d->choice.note(d->choice.note_context, line);
}

/* Why there will be no cache. A directory that cannot be written is only told to who wants one. */
static void tell_uncached(const gm_rows *d) {
    const bool usual = errno == EACCES || errno == EROFS || errno == EPERM || errno == EOPNOTSUPP || errno == EISDIR;
    if (!usual || d->choice.caching == GM_CACHING_ON)
        tell(d, "%s: no cache beside it: %s", d->name, gm_errno_text(errno));
}

/* 1: the rows of the file at hand come from its cache; 0: from itself. */
static int open_cache(gm_rows *d) {
    const bool need_label = d->need_label || (d->begun && d->labelled);
    const gm_cache_state state = gm_row_cache_open(d->cache, d->file_next - 1, d->name, d->fd, need_label);
    if (state == GM_CACHE_DAMAGED) tell(d, "%s: its cache is damaged, and is made anew", d->name);
    if (state == GM_CACHE_GOOD && !d->begun) d->labelled = gm_row_cache_labelled(d->cache);
    return state == GM_CACHE_GOOD;
}

static int open_text(gm_rows *d, gm_error *e) {
    gm_csv_form form = d->schema->form;
    form.tolerant = d->choice.keep_going;
    form.may_be_empty = d->choice.may_be_empty;
    d->csv = gm_csv_new(d->fd, d->name, form, e);
    if (d->csv == NULL) return -1;
    if (d->choice.id != NULL) {
        const long at = gm_csv_find(d->csv, d->choice.id);
        if (at < 0) return gm_csv_no_column(d->csv, d->name, "column", d->choice.id, e);
        if (gm_csv_check_name(d->csv, d->choice.id, e) < 0) return -1;
        d->id_place = (size_t)at;
    }
    /* Once rows have labels, all must. */
    if (gm_encoder_match(&d->encoder, d->csv, d->name, d->need_label || (d->begun && d->labelled), e) < 0) return -1;
    if (!d->begun) d->labelled = d->encoder.label_place >= 0;
    return 0;
}

static int open_csv(gm_rows *d, gm_error *e) {
    if (d->cache != NULL && open_cache(d)) return 0;
    if (d->cache != NULL && gm_row_cache_begin(d->cache, d->name, d->fd) < 0) tell_uncached(d);
    return open_text(d, e);
}

static int open_stream(gm_rows *d, gm_error *e) {
    if (d->record == NULL) d->record = gm_record_new(e);
    d->reader = d->record != NULL ? gm_reader_new(d->fd, d->name, d->choice.max_tensor, e) : NULL;
    return d->reader != NULL ? 0 : -1;
}

/* 1: the next file is open; 0: there is none; -1. */
static int next_file(gm_rows *d, gm_error *e) {
    gm_data_kind kind;
    close_file(d);
    if (d->file_next == d->file_count) return 0;
    const char *path = d->files[d->file_next++];
    d->name = gm_data_name(path);
    d->fd = gm_data_open(path, &kind, e);
    if (d->fd < 0) return -1;
    if (d->file_next == 1) d->kind = kind;
    if (kind != d->kind) {
        return gm_fail(e, "%s is %s, the files before it are %s", d->name, gm_data_kind_text(kind),
                       gm_data_kind_text(d->kind));
    }
    if (kind == GM_DATA_IDX) return 1;
    return (kind == GM_DATA_CSV ? open_csv(d, e) : open_stream(d, e)) < 0 ? -1 : 1;
}

/* ---- CSV ---- */

static const gm_field no_field = {"", 0};

static int wants_fields(gm_rows *d, const gm_field *fields, gm_error *e) {
    const gm_field *label = fields != NULL && d->encoder.label_place >= 0 ? &fields[d->encoder.label_place] : &no_field;
    return gm_folds_wants_text(&d->folds, label->text, label->length, e);
}

/* Puts the place before the message; a header where the model's data have none is the likely reason for a word. */
static int bad_row(const gm_rows *d, uint64_t line, gm_error *e) {
    const gm_error said = *e;
    const bool header = line == 1 && d->schema->form.no_header;
    return gm_fail(e, "%s: line %llu, %s%s", d->name, (unsigned long long)line, said.text,
                   header ? " (a header? the model's data had none)" : "");
}

/* Of the row at hand, which may have too few fields or too many. */
static int keep_id(gm_rows *d, size_t row, gm_error *e) {
    if (d->choice.id == NULL) return 0;
    const gm_field *field = gm_csv_given(d->csv, d->id_place);
    if (field == NULL) field = &no_field;
    gm_marks *m = &d->marks;
    if (gm_grow(&m->ids, &m->id_capacity, row + 1, sizeof *m->ids, e) < 0) return -1;
    if (gm_grow(&m->text, &m->text_capacity, m->text_used + field->length + 1, 1, e) < 0) return -1;
    memcpy(m->text + m->text_used, field->text, field->length + 1);
    m->ids[row].length = field->length;
    m->text_used += field->length + 1;
    return 0;
}

/* The texts are where they stay. */
static void place_ids(gm_marks *m, size_t rows) {
    const char *text = m->text;
    for (size_t i = 0; m->ids != NULL && i < rows; i++) {
        m->ids[i].text = text;
        text += m->ids[i].length + 1;
    }
}

/* The error stands behind these rows. */
static long trouble_behind(gm_rows *d, size_t rows, gm_error *e) {
    if (rows == 0) return -1;
    d->failed = true;
    d->trouble = *e;
    return (long)rows;
}

/* A row's numbers. With keep_going one that has none is marked and gets zeros. */
static int take_row(gm_rows *d, size_t row, const gm_field *fields, uint64_t line, float *cells, int32_t *y,
                    gm_error *e) {
    if (d->choice.keep_going) {
        gm_marks *m = &d->marks;
        if (gm_grow(&m->unusable, &m->unusable_capacity, row + 1, sizeof *m->unusable, e) < 0) return -1;
        m->unusable[row] = false;
    }
    const int taken = fields != NULL ? gm_encoder_row(&d->encoder, fields, cells, y, e)
                                     : gm_fail(e, "another number of fields than the %s has",
                                               d->schema->form.no_header ? "first row" : "header");
    if (taken >= 0) return 0;
    if (fields != NULL)
        bad_row(d, line, e);
    else
        gm_fail_within(e, "%s: line %llu: ", d->name, (unsigned long long)line);
    if (!d->choice.keep_going) return -1;
    if (d->unusable_count++ == 0) d->unusable_first = *e;
    d->marks.unusable[row] = true;
    memset(cells, 0, d->schema->column_count * sizeof *cells);
    if (y != NULL) *y = 0;
    return 0;
}

/* A row that is read is kept, be it wanted or not. What cannot be kept whole is not. */
static void cache_row(gm_rows *d, const float *cells, const int32_t *label) {
    if (d->encoder.label_place >= 0 && label == NULL) {
        gm_row_cache_abandon(d->cache);
    } else if (gm_row_cache_put(d->cache, cells, label) < 0) {
        gm_row_cache_abandon(d->cache);
        tell_uncached(d);
    }
}

static void cache_unwanted(gm_rows *d, const gm_field *fields) {
    int32_t label;
    gm_error ignored;
    int32_t *const y = d->encoder.label_place >= 0 ? &label : NULL;
    if (gm_encoder_row(&d->encoder, fields, d->spare_cells, y, &ignored) < 0)
        gm_row_cache_abandon(d->cache);
    else
        cache_row(d, d->spare_cells, y);
}

/* The file at hand was read to its end. */
static void cache_file(gm_rows *d) {
    uint64_t bytes;
    const int done = gm_row_cache_commit(d->cache, &bytes);
    if (done < 0) tell_uncached(d);
    if (done > 0) {
        tell(
            d,
            "%s: its encoded rows are kept beside it for the next time (a .gmcache of %.0f MB; --cache off keeps none)",
            d->name, (double)bytes / 1e6);
    }
}

typedef enum row_kind { ROW_BROKEN = -1, ROW_NONE, ROW_TAKEN, ROW_UNWANTED } row_kind;

static row_kind text_row(gm_rows *d, size_t row, float *cells, int32_t *y, gm_error *e) {
    const gm_field *fields;
    uint64_t line;
    const int got = gm_csv_next(d->csv, &fields, &line, e);
    if (got <= 0) return got < 0 ? ROW_BROKEN : ROW_NONE;
    const bool kept = d->cache != NULL && gm_row_cache_writes(d->cache);
    const int taken = wants_fields(d, fields, e);
    if (taken < 0) return ROW_BROKEN;
    if (taken == 0 && kept) cache_unwanted(d, fields);
    if (taken == 0) return ROW_UNWANTED;
    if (take_row(d, row, fields, line, cells, y, e) < 0 || keep_id(d, row, e) < 0) return ROW_BROKEN;
    if (kept) cache_row(d, cells, y);
    return ROW_TAKEN;
}

/* Folds know a class by its text. */
static row_kind cached_row(gm_rows *d, float *cells, int32_t *y, gm_error *e) {
    int32_t class = GM_UNLABELLED;
    const int got = gm_row_cache_next(d->cache, cells, &class, e);
    if (got <= 0) return got < 0 ? ROW_BROKEN : ROW_NONE;
    if (y != NULL) *y = class;
    const char *text = class >= 0 ? d->schema->classes[class] : "";
    const int taken = gm_folds_wants_text(&d->folds, text, strlen(text), e);
    return taken < 0 ? ROW_BROKEN : taken > 0 ? ROW_TAKEN : ROW_UNWANTED;
}

static row_kind next_row(gm_rows *d, size_t row, float *cells, int32_t *y, gm_error *e) {
    const bool cached = d->cache != NULL && gm_row_cache_reads(d->cache);
    const row_kind kind = cached ? cached_row(d, cells, y, e) : text_row(d, row, cells, y, e);
    if (kind == ROW_TAKEN && d->encoder.odd) gm_cells_recall(&d->encoder, cells, d->encoder.oddities);
    if (kind == ROW_TAKEN && d->cache != NULL && d->folds.fold.count > 0) {
        if (gm_grow(&d->numbers, &d->numbers_capacity, row + 1, sizeof *d->numbers, e) < 0) return ROW_BROKEN;
        d->numbers[row] = d->number;
    }
    if (kind == ROW_TAKEN || kind == ROW_UNWANTED) d->number++;
    if (kind != ROW_NONE) return kind;
    if (d->cache != NULL && gm_row_cache_writes(d->cache)) cache_file(d);
    return next_file(d, e) < 0 ? ROW_BROKEN : ROW_NONE;
}

long gm_rows_cells(gm_rows *d, size_t wanted, bool eager, float *cells, int32_t *y, gm_error *e) {
    const size_t columns = d->schema->column_count;
    size_t rows = 0;
    d->marks.text_used = 0;
    if (d->failed) {
        *e = d->trouble;
        return -1;
    }
    while (rows < wanted && d->fd >= 0) {
        if (eager && rows > 0 && d->csv != NULL && !gm_csv_ready_now(d->csv)) break;
        int32_t *label = d->labelled && y != NULL ? &y[rows] : NULL;
        const row_kind kind = next_row(d, rows, cells + rows * columns, label, e);
        if (kind == ROW_BROKEN) {
            place_ids(&d->marks, rows);
            return trouble_behind(d, rows, e);
        }
        if (kind == ROW_TAKEN) rows++;
    }
    place_ids(&d->marks, rows);
    return (long)rows;
}

static long next_csv(gm_rows *d, size_t wanted, bool eager, float *x, int32_t *y, gm_error *e) {
    size_t count;
    if (!d->encoder.expand) return gm_rows_cells(d, wanted, eager, x, y, e);
    if (!gm_multiply(wanted, d->schema->column_count, &count))
        return gm_fail(e, "a batch of %zu rows is too large", wanted);
    if (gm_grow(&d->cells, &d->cells_capacity, count, sizeof *d->cells, e) < 0) return -1;
    const long rows = gm_rows_cells(d, wanted, eager, d->cells, y, e);
    if (rows > 0) gm_cells_expand(d->schema, true, (size_t)rows, d->cells, x);
    return rows;
}

/* ---- IDX ---- */

static int encode_label_byte(const gm_rows *d, unsigned char byte, size_t number, int32_t *y, gm_error *e) {
    *y = d->pixels.classes[byte];
    if (*y >= 0) return 0;
    return gm_fail(e, "%s: label %zu: class '%u' is not one of the model's %zu classes", gm_idx_label_file(d->idx),
                   number + 1, byte, d->schema->class_count);
}

/* Of n pictures that were read, those of the fold move together; number `first` of the file is the first one. The
 * number of them, or -1. */
static long keep_pictures(gm_rows *d, size_t n, size_t first, unsigned char *bytes, int32_t *y, gm_error *e) {
    const size_t columns = d->pixels.columns;
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        const int taken = gm_folds_wants(&d->folds, d->label_bytes + i, d->labelled ? 1 : 0, e);
        if (taken < 0) return -1;
        if (taken == 0) continue;
        if (y != NULL && encode_label_byte(d, d->label_bytes[i], first + i, &y[kept], e) < 0) return -1;
        if (kept < i) memcpy(bytes + kept * columns, bytes + i * columns, columns);
        kept++;
    }
    return (long)kept;
}

long gm_rows_bytes(gm_rows *d, size_t wanted, unsigned char *bytes, int32_t *y, gm_error *e) {
    if (gm_grow(&d->label_bytes, &d->label_capacity, wanted, 1, e) < 0) return -1;
    size_t rows = 0;
    while (rows < wanted) {
        size_t first;
        unsigned char *at = bytes + rows * d->pixels.columns;
        const long got = gm_idx_next(d->idx, wanted - rows, at, d->labelled ? d->label_bytes : NULL, &first, e);
        if (got == 0) break;
        const long kept =
            got > 0 ? keep_pictures(d, (size_t)got, first, at, d->labelled && y != NULL ? y + rows : NULL, e) : -1;
        if (kept < 0) return -1;
        rows += (size_t)kept;
    }
    return (long)rows;
}

static long next_idx(gm_rows *d, size_t wanted, float *x, int32_t *y, gm_error *e) {
    size_t count;
    if (!gm_multiply(wanted, d->pixels.columns, &count)) return gm_fail(e, "a batch of %zu rows is too large", wanted);
    if (gm_grow(&d->bytes, &d->bytes_capacity, count, 1, e) < 0) return -1;
    const long rows = gm_rows_bytes(d, wanted, d->bytes, y, e);
    if (rows > 0) gm_pixels_scale(&d->pixels, (size_t)rows, d->bytes, x);
    return rows;
}

static int open_idx(gm_rows *d, gm_error *e) {
    const int fd = d->fd;
    d->fd = -1;
    d->file_next = d->file_count; /* all of them are opened here */
    d->idx = gm_idx_open(d->files, d->file_count, fd, e);
    if (d->idx == NULL || gm_pixels_open(&d->pixels, d->schema, d->idx, d->name, e) < 0) return -1;
    d->labelled = gm_idx_labelled(d->idx) && d->schema->label != NULL;
    if (!d->labelled && d->need_label) return gm_fail(e, "%s: no file of labels is among the IDX files", d->name);
    return 0;
}

/* ---- streams ---- */

static int take_labels(gm_rows *d, gm_error *e) {
    const bool there = gm_record_tensor(d->record, "y") != NULL;
    char text[GM_VISIBLE];
    d->record_y = NULL;
    if (!there && !d->need_label && !(d->begun && d->labelled)) return 0;
    d->record_y = gm_record_labels(d->record, "y", e);
    if (d->record_y == NULL) return -1;
    for (size_t i = 0; i < d->record->rows; i++) {
        const int32_t class = d->record_y[i];
        if (class == GM_UNLABELLED && d->schema != NULL && d->schema->unlabelled) continue;
        if (class >= 0 && (d->schema == NULL || d->schema->class_count == 0 || (size_t) class < d->schema->class_count))
            continue;
        snprintf(text, sizeof text, "%d", (int)class);
        if (d->schema == NULL || d->schema->class_count == 0)
            return gm_fail(e, "tensor 'y', row %zu: no class number: %s", i, text);
        return gm_fail(e, "tensor 'y', row %zu: class %s is not one of the model's %zu classes", i, text,
                       d->schema->class_count);
    }
    return 0;
}

/* The rows of the fold move together. */
static int keep_rows(gm_rows *d, gm_error *e) {
    const size_t features = d->features;
    d->record_rows = 0;
    for (size_t i = 0; i < d->record->rows; i++) {
        const int32_t *class = d->record_y != NULL ? &d->record_y[i] : NULL;
        const int taken = gm_folds_wants(&d->folds, class, class != NULL ? sizeof *class : 0, e);
        if (taken < 0) return -1;
        if (taken == 0) continue;
        const size_t to = d->record_rows++;
        if (to == i) continue;
        memcpy(d->record_x + to * features, d->record_x + i * features, features * sizeof(float));
        if (class != NULL) d->record_y[to] = *class;
    }
    return 0;
}

static int take_record(gm_rows *d, gm_error *e) {
    size_t columns;
    d->record_row = d->record_rows = 0;
    d->record_x = gm_record_finite(d->record, "x", &columns, e);
    if (d->record_x == NULL || take_labels(d, e) < 0) return -1;
    if (!d->begun) {
        d->labelled = d->record_y != NULL;
        if (d->schema == NULL) d->features = columns;
        d->begun = true;
    }
    if (columns == d->features) return keep_rows(d, e);
    return gm_fail(e, "tensor 'x': expected %zu columns, got %zu", d->features, columns);
}

/* 1: a record with rows to give is there; 0: the end; -1. */
static int next_record(gm_rows *d, gm_error *e) {
    while (d->reader != NULL) {
        const int got = gm_reader_next(d->reader, d->record, e);
        if (got < 0 || (got == 0 && next_file(d, e) < 0)) return -1;
        if (got == 0) continue;
        if (take_record(d, e) < 0) {
            return gm_fail_within(e, "%s: record %llu: ", d->name,
                                  (unsigned long long)gm_reader_records(d->reader) - 1);
        }
        if (d->record_rows > 0) return 1;
    }
    d->record_x = NULL;
    return 0;
}

/* Up to `wanted` rows of the record at hand, or of the next one: where they lie. 0 at the end, -1. */
static long rows_of_record(gm_rows *d, size_t wanted, const float **x, int32_t *y, gm_error *e) {
    if (d->failed) {
        *e = d->trouble;
        return -1;
    }
    const bool none = d->record_x == NULL || d->record_row == d->record_rows;
    const int got = none ? next_record(d, e) : 1;
    if (got <= 0) return got;
    const size_t left = d->record_rows - d->record_row, n = left < wanted ? left : wanted;
    *x = d->record_x + d->record_row * d->features;
    if (d->labelled && y != NULL) memcpy(y, d->record_y + d->record_row, n * sizeof *y);
    d->record_row += n;
    return (long)n;
}

/* Where `eager`, of one record: it is a batch, and nobody can tell whether the next one is there without waiting for
 * it. */
static long next_stream(gm_rows *d, size_t wanted, bool eager, float *x, int32_t *y, gm_error *e) {
    size_t rows = 0;
    while (rows < wanted && (rows == 0 || !eager)) {
        const float *from;
        const long n = rows_of_record(d, wanted - rows, &from, y != NULL ? y + rows : NULL, e);
        if (n < 0) return trouble_behind(d, rows, e);
        if (n == 0) break;
        memcpy(x + rows * d->features, from, (size_t)n * d->features * sizeof *x);
        rows += (size_t)n;
    }
    return (long)rows;
}

/* ---- all ---- */

static int copy_files(gm_rows *d, char *const *files, size_t file_count, gm_error *e) {
    d->files = gm_new_zeroed(file_count, sizeof *d->files, e);
    if (d->files == NULL) return -1;
    for (size_t i = 0; i < file_count; i++, d->file_count++) {
        d->files[i] = gm_copy_text(files[i], strlen(files[i]), e);
        if (d->files[i] == NULL) return -1;
    }
    return 0;
}

static int open_first_csv(gm_rows *d, gm_error *e) {
    if (d->choice.id == NULL && !d->choice.keep_going && gm_cache_wanted(d->choice.caching, d->files, d->file_count)) {
        d->cache = gm_row_cache_new(&d->encoder, d->file_count, e);
        d->spare_cells = d->cache != NULL ? gm_new(d->schema->column_count, sizeof *d->spare_cells, e) : NULL;
        if (d->spare_cells == NULL) return -1;
    }
    return open_csv(d, e);
}

static int open_first(gm_rows *d, gm_error *e) {
    if (d->schema != NULL) {
        d->features = d->schema->features;
        if (gm_encoder_open(&d->encoder, d->schema, e) < 0) return -1;
        d->need_label = d->choice.need_label || (d->choice.fold.count > 0 && d->schema->label != NULL);
        if (d->need_label && d->schema->label == NULL)
            return gm_fail(e, "the model knows no label (data: %s)", d->schema->source);
    }
    if (gm_data_check(d->files, d->file_count, e) < 0) return -1;
    const bool csv_needs_schema = d->schema == NULL;
    gm_data_kind kind;
    d->name = gm_data_name(d->files[0]);
    d->fd = gm_data_open(d->files[0], &kind, e);
    if (d->fd < 0) return -1;
    d->kind = kind;
    d->file_next = 1;
    if (kind != GM_DATA_STREAM && csv_needs_schema) {
        return gm_fail_usage(e, "%s is %s: a model or a label must say how its columns are encoded", d->name,
                             gm_data_kind_text(kind));
    }
    if (d->choice.id != NULL && kind != GM_DATA_CSV) {
        return gm_fail(e, "%s is %s, which has no column '%s': only CSV has", d->name, gm_data_kind_text(kind),
                       d->choice.id);
    }
    if (kind == GM_DATA_IDX) return open_idx(d, e);
    if (kind == GM_DATA_STREAM) return open_stream(d, e) < 0 || next_record(d, e) < 0 ? -1 : 0;
    return open_first_csv(d, e);
}

gm_rows *gm_rows_open(char *const *files, size_t file_count, const gm_schema *schema, const gm_data_choice *choice,
                      gm_error *e) {
    if (file_count == 0) {
        gm_fail_usage(e, "no data file was named");
        return NULL;
    }
    gm_rows *d = gm_new_zeroed(1, sizeof *d, e);
    if (d == NULL) return NULL;
    d->fd = -1;
    d->schema = schema;
    d->choice = *choice;
    d->need_label = choice->need_label;
    d->folds.fold = choice->fold;
    d->encoder.schema = schema;
    if (copy_files(d, files, file_count, e) < 0 || open_first(d, e) < 0) {
        gm_rows_close(d);
        return NULL;
    }
    d->begun = true;
    return d;
}

void gm_rows_close(gm_rows *d) {
    if (d == NULL) return;
    close_file(d);
    gm_row_cache_free(d->cache);
    free(d->spare_cells);
    free(d->numbers);
    gm_encoder_close(&d->encoder);
    gm_idx_free(d->idx);
    gm_pixels_close(&d->pixels);
    gm_record_free(d->record);
    gm_folds_close(&d->folds);
    for (size_t i = 0; i < d->file_count; i++) free(d->files[i]);
    free(d->files);
    free(d->cells);
    gm_marks_free(&d->marks);
    free(d->bytes);
    free(d->label_bytes);
    free(d);
}

bool gm_rows_labelled(const gm_rows *d) {
    return d->labelled;
}

void gm_rows_marks(gm_rows *d, gm_marks *marks) {
    const gm_marks room = *marks;
    *marks = d->marks;
    d->marks = room;
}

void gm_marks_free(gm_marks *marks) {
    free(marks->ids);
    free(marks->unusable);
    free(marks->text);
}

uint64_t gm_rows_unusable_count(const gm_rows *d, const char **first) {
    *first = d->unusable_first.text;
    return d->unusable_count;
}

size_t gm_rows_features(const gm_rows *d) {
    return d->features;
}

bool gm_rows_caches(const gm_rows *d) {
    return d->cache != NULL && (gm_row_cache_writes(d->cache) || d->file_next < d->file_count);
}

bool gm_rows_has_caches(const gm_rows *d) {
    return d->cache != NULL && (gm_row_cache_reads(d->cache) || gm_row_cache_writes(d->cache));
}

bool gm_rows_whole(const gm_rows *d) {
    return d->cache != NULL && gm_row_cache_whole(d->cache);
}

const uint64_t *gm_rows_numbers(const gm_rows *d) {
    return d->numbers;
}

int gm_rows_cells_at(const gm_rows *d, uint64_t number, float *cells, int32_t *y, gm_error *e) {
    return gm_row_cache_at(d->cache, number, cells, y, e);
}

gm_data_kind gm_rows_kind(const gm_rows *d) {
    return d->kind;
}

bool gm_rows_expands(const gm_rows *d) {
    return d->encoder.expand;
}

void gm_rows_notes(const gm_rows *d, gm_note *note, const void *context) {
    if (d->schema != NULL) gm_oddities_tell(d->schema, d->encoder.oddities, note, context);
}

gm_oddity *gm_rows_take_oddities(gm_rows *d) {
    gm_oddity *oddities = d->encoder.oddities;
    d->encoder.oddities = NULL;
    return oddities;
}

void gm_rows_take_pixels(gm_rows *d, gm_pixels *pixels) {
    *pixels = d->pixels;
    d->pixels.affine = NULL;
}

long gm_rows_next(gm_rows *d, size_t wanted, bool eager, float *x, int32_t *y, gm_error *e) {
    switch (d->kind) {
    case GM_DATA_CSV:
        return next_csv(d, wanted, eager, x, y, e);
    case GM_DATA_IDX:
        return next_idx(d, wanted, x, y, e);
    case GM_DATA_STREAM:
        break;
    }
    return next_stream(d, wanted, eager, x, y, e);
}

long gm_rows_lend(gm_rows *d, size_t wanted, float *room, const float **x, int32_t *y, gm_error *e) {
    *x = room;
    return d->kind == GM_DATA_STREAM ? rows_of_record(d, wanted, x, y, e) : gm_rows_next(d, wanted, true, room, y, e);
}
