/* row_cache.c: the encoded rows of CSV files, each file's in a cache beside it.
 */
#include "row_cache.h"

#include "gm/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_AHEAD ((size_t)256 << 10) /* bytes of rows */

typedef struct kept_file {
    const char *path; /* of the data */
    gm_cache cache;
    uint64_t first, rows; /* the number of its first row in all files */
    bool labelled, odd;
} kept_file;

/* What stands behind the rows and the columns' oddities. */
typedef struct body_end {
    uint64_t rows;
    uint32_t labelled, odd;
} body_end;

typedef char odd_text[GM_VISIBLE];

struct gm_row_cache {
    gm_encoder *encoder;
    size_t columns;
    gm_cache_key key;
    kept_file *files; /* [count] */
    size_t file_count, current;
    bool reads, labelled;
    uint64_t row; /* of the current file: the next to be read or the number of those written */
    unsigned char *ahead;
    size_t ahead_rows, ahead_next; /* rows in `ahead`, and the next of them */
    gm_cache_writer *writer;
};

static size_t row_bytes(const gm_row_cache *c, bool labelled) {
    return (c->columns + (labelled ? 1 : 0)) * sizeof(float);
}

static int make_key(gm_row_cache *c, gm_error *e) {
    unsigned char *bytes;
    size_t n;
    gm_value *value = gm_schema_value(c->encoder->schema, e);
    const int done = value != NULL ? gm_value_pack(value, &bytes, &n, e) : -1;
    gm_value_free(value);
    if (done < 0) return -1;
    c->key = gm_cache_key_of(bytes, n);
    free(bytes);
    return 0;
}

gm_row_cache *gm_row_cache_new(gm_encoder *n, size_t file_count, gm_error *e) {
    gm_row_cache *c = gm_new_zeroed(1, sizeof *c, e);
    if (c == NULL) return NULL;
    c->encoder = n;
    c->columns = n->schema->column_count;
    c->files = gm_new_zeroed(file_count, sizeof *c->files, e);
    c->ahead = c->files != NULL ? gm_new(READ_AHEAD + row_bytes(c, true), 1, e) : NULL;
    if (c->ahead == NULL || make_key(c, e) < 0) {
        gm_row_cache_free(c);
        return NULL;
    }
    for (; c->file_count < file_count; c->file_count++) c->files[c->file_count].cache.fd = -1;
    return c;
}

void gm_row_cache_free(gm_row_cache *c) {
    if (c == NULL) return;
    gm_cache_abandon(c->writer);
    for (size_t i = 0; c->files != NULL && i < c->file_count; i++)
        if (c->files[i].cache.fd >= 0) close(c->files[i].cache.fd);
    free(c->files);
    free(c->ahead);
    free(c);
}

/* ---- reading ---- */

static int changed(const kept_file *f, gm_error *e) {
    return gm_fail(e, "%s: its cache was good when it was opened, and now is not: delete %s.*.gmcache", f->path,
                   f->path);
}

/* That the body has the size that its end says, and what its columns held. */
static int read_end(gm_row_cache *c, kept_file *f) {
    body_end end;
    uint64_t expected;
    const uint64_t fixed = c->columns * sizeof(odd_text) + sizeof end;
    if (f->cache.bytes < fixed || gm_cache_read(&f->cache, f->cache.bytes - sizeof end, &end, sizeof end) < 0)
        return -1;
    f->labelled = end.labelled != 0;
    f->odd = end.odd != 0;
    f->rows = end.rows;
    if (__builtin_mul_overflow(end.rows, row_bytes(c, f->labelled), &expected) || expected != f->cache.bytes - fixed)
        return -1;
    if (f->labelled && c->encoder->schema->label == NULL) return -1;
    for (size_t i = 0; f->odd && i < c->columns; i++) {
        gm_oddity *odd = &c->encoder->oddities[i];
        odd_text text;
        if (gm_cache_read(&f->cache, expected + i * sizeof text, text, sizeof text) < 0) return -1;
        text[sizeof text - 1] = '\0';
        gm_hide_controls(text, strlen(text));
        if (odd->first[0] == '\0') memcpy(odd->first, text, sizeof text);
    }
    return 0;
}

static void enter(gm_row_cache *c, bool reads, bool labelled) {
    c->reads = reads;
    c->labelled = labelled;
    c->row = c->ahead_rows = c->ahead_next = 0;
}

gm_cache_state gm_row_cache_open(gm_row_cache *c, size_t file, const char *path, int data, bool need_label) {
    kept_file *f = &c->files[file];
    c->current = file;
    f->path = path;
    f->first = file > 0 ? f[-1].first + f[-1].rows : 0;
    gm_cache_state state = gm_cache_open(path, data, &c->key, &f->cache);
    if (state == GM_CACHE_GOOD && read_end(c, f) < 0) state = GM_CACHE_DAMAGED;
    if (state == GM_CACHE_GOOD && need_label && !f->labelled) state = GM_CACHE_NONE;
    if (state == GM_CACHE_GOOD) {
        enter(c, true, f->labelled);
        return state;
    }
    if (f->cache.fd >= 0) close(f->cache.fd);
    f->cache.fd = -1;
    return state;
}

bool gm_row_cache_reads(const gm_row_cache *c) {
    return c->reads;
}

bool gm_row_cache_labelled(const gm_row_cache *c) {
    return c->labelled;
}

/* One row as it is kept. */
static int take_row(const gm_row_cache *c, const kept_file *f, const unsigned char *bytes, float *cells, int32_t *y,
                    gm_error *e) {
    const gm_schema *s = c->encoder->schema;
    memcpy(cells, bytes, c->columns * sizeof *cells);
    if (!f->labelled || y == NULL) return 0;
    memcpy(y, bytes + c->columns * sizeof *cells, sizeof *y);
    const bool good = *y == GM_UNLABELLED ? s->unlabelled : *y >= 0 && (size_t)*y < s->class_count;
    return good ? 0 : changed(f, e);
}

int gm_row_cache_next(gm_row_cache *c, float *cells, int32_t *y, gm_error *e) {
    const kept_file *f = &c->files[c->current];
    const size_t bytes = row_bytes(c, f->labelled);
    if (c->row == f->rows) {
        c->reads = false;
        return 0;
    }
    if (c->ahead_next == c->ahead_rows) {
        const size_t most = 1 + READ_AHEAD / bytes;
        c->ahead_rows = f->rows - c->row < most ? (size_t)(f->rows - c->row) : most;
        c->ahead_next = 0;
        if (gm_cache_read(&f->cache, c->row * bytes, c->ahead, c->ahead_rows * bytes) < 0) return changed(f, e);
    }
    if (take_row(c, f, c->ahead + c->ahead_next++ * bytes, cells, y, e) < 0) return -1;
    if (f->odd) c->encoder->odd = true;
    c->row++;
    return 1;
}

bool gm_row_cache_whole(const gm_row_cache *c) {
    for (size_t i = 0; i < c->file_count; i++)
        if (c->files[i].cache.fd < 0) return false;
    return true;
}

static const kept_file *file_of(const gm_row_cache *c, uint64_t row) {
    size_t low = 0, high = c->file_count;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (c->files[middle].first <= row)
            low = middle;
        else
            high = middle;
    }
    return &c->files[low];
}

int gm_row_cache_at(const gm_row_cache *c, uint64_t row, float *cells, int32_t *y, gm_error *e) {
    const kept_file *f = file_of(c, row);
    const size_t bytes = row_bytes(c, f->labelled);
    if (gm_cache_read(&f->cache, (row - f->first) * bytes, c->ahead, bytes) < 0) return changed(f, e);
    if (take_row(c, f, c->ahead, cells, y, e) < 0) return -1;
    if (f->odd) gm_cells_recall(c->encoder, cells, NULL);
    return 0;
}

/* ---- writing ---- */

int gm_row_cache_begin(gm_row_cache *c, const char *path, int data) {
    enter(c, false, false);
    c->writer = gm_cache_begin(path, data, &c->key);
    return c->writer != NULL ? 0 : -1;
}

bool gm_row_cache_writes(const gm_row_cache *c) {
    return c->writer != NULL;
}

int gm_row_cache_put(gm_row_cache *c, const float *cells, const int32_t *y) {
    c->row++;
    c->labelled = y != NULL;
    if (gm_cache_put(c->writer, cells, c->columns * sizeof *cells) < 0) return -1;
    return y != NULL ? gm_cache_put(c->writer, y, sizeof *y) : 0;
}

int gm_row_cache_commit(gm_row_cache *c, uint64_t *bytes) {
    kept_file *f = &c->files[c->current];
    const gm_encoder *n = c->encoder;
    const body_end end = {c->row, c->labelled ? 1 : 0, n->odd ? 1 : 0};
    f->rows = c->row;
    f->labelled = c->labelled;
    f->odd = n->odd;
    int done = 0;
    for (size_t i = 0; i < c->columns && done == 0; i++)
        done = gm_cache_put(c->writer, n->oddities[i].first, sizeof(odd_text));
    if (done == 0) done = gm_cache_put(c->writer, &end, sizeof end);
    if (done == 0)
        done = gm_cache_commit(c->writer, &f->cache);
    else
        gm_row_cache_abandon(c);
    c->writer = NULL;
    *bytes = f->cache.bytes;
    return done < 0 ? -1 : f->cache.fd >= 0;
}

void gm_row_cache_abandon(gm_row_cache *c) {
    const int number = errno;
    gm_cache_abandon(c->writer);
    c->writer = NULL;
    errno = number;
}
