/* idx.c: LeCun's IDX files of bytes: pictures and their labels. */
#include "idx.h"
#include "source.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { UNSIGNED_BYTE = 0x08, RANK_MAX = 3 };

typedef struct idx_file {
    gzFile file;
    const char *name;
    unsigned rank;
    size_t shape[RANK_MAX];
    size_t row_bytes;
    size_t rows_read;
} idx_file;

struct gm_idx {
    char **names; /* of all files */
    size_t name_count;
    idx_file *pictures, *labels; /* label_count is 0 or picture_count */
    size_t picture_count, label_count;
    size_t current;
    unsigned char *spare; /* a place for labels that nobody wants */
    size_t spare_capacity;
};

/* Reads n bytes: how many there were, or -1 for a file that is broken. A file that is only cut is no error here. */
static long read_bytes(idx_file *f, unsigned char *to, size_t n, gm_error *e) {
    size_t have = 0;
    while (have < n) {
        const size_t left = n - have;
        const int got = gzread(f->file, to + have, left < (1u << 30) ? (unsigned)left : 1u << 30);
        if (got <= 0) break;
        have += (size_t)got;
    }
    int code = Z_OK;
    const char *text = gzerror(f->file, &code);
    if (code == Z_ERRNO) return gm_fail_errno(e, "%s", f->name);
    if (code == Z_OK || code == Z_BUF_ERROR) return (long)have;
    return gm_fail(e, "%s: broken gzip data: %s", f->name, text);
}

/* zlib reports a stream without its end only through this code. */
static bool gzip_cut(const idx_file *f) {
    int code = Z_OK;
    gzerror(f->file, &code);
    return code == Z_BUF_ERROR;
}

/* "60000 pictures of 28x28 declared", "60000 labels declared" */
static const char *declared(const idx_file *f, char out[128]) {
    const char *plural = f->shape[0] == 1 ? "" : "s";
    if (f->rank == 1) {
        snprintf(out, 128, "%zu label%s declared", f->shape[0], plural);
    } else if (f->rank == 2) {
        snprintf(out, 128, "%zu row%s of %zu declared", f->shape[0], plural, f->shape[1]);
    } else {
        snprintf(out, 128, "%zu picture%s of %zux%zu declared", f->shape[0], plural, f->shape[1], f->shape[2]);
    }
    return out;
}

/* Nothing may stand behind the last row; reading on also makes zlib check the sum at its end. */
static int check_end(idx_file *f, gm_error *e) {
    unsigned char byte;
    char text[128];
    const long more = read_bytes(f, &byte, 1, e);
    if (more < 0) return -1;
    if (more > 0) return gm_fail(e, "%s: more bytes behind what it should hold: %s", f->name, declared(f, text));
    if (gzip_cut(f)) return gm_fail(e, "%s: cut off: the gzip checksum at its end is missing", f->name);
    return 0;
}

static long read_rows(idx_file *f, size_t wanted, unsigned char *to, gm_error *e) {
    const size_t left = f->shape[0] - f->rows_read;
    const size_t rows = wanted < left ? wanted : left;
    char text[128];
    const long got = read_bytes(f, to, rows * f->row_bytes, e);
    if (got < 0) return -1;
    if ((size_t)got < rows * f->row_bytes) {
        return gm_fail(e, "%s: cut off: %s, %zu there", f->name, declared(f, text),
                       f->rows_read + (size_t)got / f->row_bytes);
    }
    f->rows_read += rows;
    if (rows > 0 && f->rows_read == f->shape[0] && check_end(f, e) < 0) return -1;
    return (long)rows;
}

static int read_shape(idx_file *f, gm_error *e) {
    unsigned char head[4 * RANK_MAX];
    const size_t bytes = 4 * (size_t)f->rank;
    const long got = read_bytes(f, head, bytes, e);
    if (got < 0) return -1;
    if ((size_t)got < bytes) return gm_fail(e, "%s: cut off within its head", f->name);
    f->row_bytes = 1;
    for (unsigned i = 0; i < f->rank; i++) {
        const unsigned char *at = head + 4 * (size_t)i;
        f->shape[i] = (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
        if (i > 0 && (!gm_multiply(f->row_bytes, f->shape[i], &f->row_bytes) || f->row_bytes > GM_COLUMNS_MAX)) {
            return gm_fail(e, "%s: a row of more than %zu bytes", f->name, GM_COLUMNS_MAX);
        }
    }
    if (f->row_bytes == 0) return gm_fail(e, "%s: pictures without pixels", f->name);
    if (f->shape[0] == 0) return gm_fail(e, "%s: no rows", f->name);
    return 0;
}

static int read_head(idx_file *f, gm_error *e) {
    unsigned char magic[4];
    const long got = read_bytes(f, magic, sizeof magic, e);
    if (got < 0) return -1;
    const bool idx =
        got == (long)sizeof magic && magic[0] == 0 && magic[1] == 0 && magic[2] >= 0x08 && magic[2] <= 0x0E;
    if (!idx && gzip_cut(f)) return gm_fail(e, "%s: cut off within its head", f->name);
    if (!idx && gzdirect(f->file)) return gm_fail(e, "%s: no IDX file", f->name);
    if (!idx)
        return gm_fail(e, "%s: gzip, but no IDX file inside; CSV is read uncompressed (zcat FILE | ...)", f->name);
    if (magic[2] != UNSIGNED_BYTE) {
        return gm_fail(e, "%s: IDX of type 0x%02x; only unsigned bytes (0x08) are read", f->name, magic[2]);
    }
    if (magic[3] < 1 || magic[3] > RANK_MAX) {
        return gm_fail(e, "%s: IDX of rank %u; pictures have rank 3 (number, height, width), labels rank 1", f->name,
                       magic[3]);
    }
    f->rank = magic[3];
    return read_shape(f, e);
}

/* `fd`: the file, if it is open already, or -1. */
static int open_file(idx_file *f, const char *path, int fd, gm_error *e) {
    gm_data_kind kind = GM_DATA_IDX;
    *f = (idx_file){.name = gm_data_name(path)};
    if (fd < 0) fd = gm_data_open(path, &kind, e);
    if (fd < 0) return -1;
    if (kind != GM_DATA_IDX) {
        close(fd);
        return gm_fail(e, "%s is %s, the files before it are IDX", f->name, gm_data_kind_text(kind));
    }
    f->file = gzdopen(fd, "rb");
    if (f->file == NULL) {
        close(fd);
        return gm_fail(e, "%s: out of memory", f->name);
    }
    gzbuffer(f->file, 1u << 15);
    return read_head(f, e);
}

/* Labels beside their pictures, and all pictures of one size. */
static int check_pairs(const gm_idx *d, gm_error *e) {
    if (d->picture_count == 0) return gm_fail(e, "%s: labels without pictures", d->labels[0].name);
    if (d->label_count != 0 && d->label_count != d->picture_count) {
        return gm_fail(e, "%zu file%s of pictures but %zu of labels", d->picture_count,
                       d->picture_count == 1 ? "" : "s", d->label_count);
    }
    for (size_t i = 0; i < d->picture_count; i++) {
        const idx_file *first = &d->pictures[0], *p = &d->pictures[i];
        char text[128], other[128];
        if (p->rank != first->rank || memcmp(p->shape + 1, first->shape + 1, (p->rank - 1) * sizeof p->shape[0]) != 0) {
            return gm_fail(e, "%s: %s, but %s: %s", p->name, declared(p, text), first->name, declared(first, other));
        }
        if (d->label_count > 0 && d->labels[i].shape[0] != p->shape[0]) {
            return gm_fail(e, "%s and %s: %zu pictures but %zu labels", p->name, d->labels[i].name, p->shape[0],
                           d->labels[i].shape[0]);
        }
    }
    return 0;
}

static int open_all(gm_idx *d, int first_fd, gm_error *e) {
    for (size_t i = 0; i < d->name_count; i++) {
        idx_file f;
        const int opened = open_file(&f, d->names[i], i == 0 ? first_fd : -1, e);
        idx_file *place = f.rank == 1 ? &d->labels[d->label_count++] : &d->pictures[d->picture_count++];
        *place = f; /* also after a failure: it is closed from there */
        if (opened < 0) return -1;
    }
    return check_pairs(d, e);
}

static int hold_names(gm_idx *d, char *const *files, size_t file_count, gm_error *e) {
    d->names = gm_new_zeroed(file_count, sizeof *d->names, e);
    d->pictures = gm_new_zeroed(file_count, sizeof *d->pictures, e);
    d->labels = gm_new_zeroed(file_count, sizeof *d->labels, e);
    if (d->names == NULL || d->pictures == NULL || d->labels == NULL) return -1;
    for (size_t i = 0; i < file_count; i++) {
        d->names[i] = gm_copy_text(files[i], strlen(files[i]), e);
        if (d->names[i] == NULL) return -1;
        d->name_count++;
    }
    return 0;
}

gm_idx *gm_idx_open(char *const *files, size_t file_count, int first_fd, gm_error *e) {
    gm_idx *d = gm_new_zeroed(1, sizeof *d, e);
    if (d == NULL || hold_names(d, files, file_count, e) < 0) {
        close(first_fd);
        gm_idx_free(d);
        return NULL;
    }
    if (open_all(d, first_fd, e) < 0) {
        gm_idx_free(d);
        return NULL;
    }
    return d;
}

void gm_idx_free(gm_idx *d) {
    if (d == NULL) return;
    for (size_t i = 0; i < d->picture_count; i++) {
        if (d->pictures[i].file != NULL) gzclose_r(d->pictures[i].file);
    }
    for (size_t i = 0; i < d->label_count; i++) {
        if (d->labels[i].file != NULL) gzclose_r(d->labels[i].file);
    }
    for (size_t i = 0; i < d->name_count; i++) free(d->names[i]);
    free(d->names);
    free(d->pictures);
    free(d->labels);
    free(d->spare);
    free(d);
}

size_t gm_idx_columns(const gm_idx *d) {
    return d->pictures[0].row_bytes;
}

void gm_idx_shape(const gm_idx *d, size_t *height, size_t *width) {
    const bool flat = d->pictures[0].rank == 2;
    *height = flat ? 0 : d->pictures[0].shape[1];
    *width = flat ? 0 : d->pictures[0].shape[2];
}

bool gm_idx_labelled(const gm_idx *d) {
    return d->label_count > 0;
}

const char *gm_idx_label_file(const gm_idx *d) {
    return d->labels[d->current < d->label_count ? d->current : d->label_count - 1].name;
}

long gm_idx_next(gm_idx *d, size_t wanted, unsigned char *pictures, unsigned char *labels, size_t *first, gm_error *e) {
    while (d->current < d->picture_count && d->pictures[d->current].rows_read == d->pictures[d->current].shape[0])
        d->current++;
    if (d->current == d->picture_count) return 0;
    idx_file *p = &d->pictures[d->current];
    if (first != NULL) *first = p->rows_read;
    const long rows = read_rows(p, wanted, pictures, e);
    if (rows < 0 || d->label_count == 0) return rows;
    if (labels == NULL) {
        if (gm_grow(&d->spare, &d->spare_capacity, (size_t)rows, 1, e) < 0) return -1;
        labels = d->spare;
    }
    return read_rows(&d->labels[d->current], (size_t)rows, labels, e) < 0 ? -1 : rows;
}
