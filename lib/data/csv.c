/* csv.c: rows of text from CSV, through libcsv, or cut in place where a block has no quotes.
 *
 * A block that was read is parsed whole. Its fields go into one arena, so a field costs a copy and no allocation; lines
 * that are cut in place stay in the block. What is wrong in a block is kept in `trouble` until the good rows before it
 * are handed out.
 */
#include "csv_ahead.h"
#include "csv_split.h"
#include "text.h"
#include "lexicon.h"

#include <csv.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK ((size_t)64 << 10)
#define FIELD_MAX ((size_t)1 << 20)
#define ROW_MAX ((size_t)64 << 20)
#define FIELDS_MAX (GM_COLUMNS_MAX + 1) /* the label's too */
#define SMALL ((size_t)16)              /* fields below this are copied as one piece of this size */

static const unsigned char byte_order_mark[3] = {0xEF, 0xBB, 0xBF};

typedef struct gm_csv_row {
    uint64_t line;
    uint32_t fields; /* that are kept */
    bool ragged;     /* it has another number of them than the header */
} gm_csv_row;

struct gm_csv {
    int fd;
    char *name;
    gm_csv_form form;
    struct csv_parser parser;
    unsigned char *block;
    bool ended;  /* the file is */
    bool quotes; /* a quote was seen: a field may hold line ends */
    gm_splitter splitter;
    bool header_done;        /* columns are known */
    gm_lexicon columns;      /* a column without a name, or with one that another has, under what cannot be found */
    gm_lexicon twice;        /* names that several columns have */
    gm_error header_trouble; /* the first of such columns, or "" */
    char *arena;             /* texts of `fields` */
    size_t arena_used, arena_capacity;
    gm_field *fields; /* of complete rows, then of the row that is being read: of each as many as columns at most */
    size_t field_count, field_capacity;
    size_t field_next; /* the first of the row that is to be handed out */
    size_t row_fields; /* fields of the row that is being read, kept or not */
    size_t row_arena;  /* where its texts begin */
    uint64_t line;     /* where the next field begins, from 1 */
    uint64_t row_line; /* where the row that is being read begins */
    bool blank;        /* a blank line that is a row, if it is not the last line of the file */
    uint64_t blank_line;
    bool after_return; /* the last row ended with CR: a LF that follows is no line of its own */
    size_t row_field;  /* its first field */
    gm_csv_row *rows;  /* that are complete */
    size_t row_count, row_capacity;
    size_t row_next; /* to be handed out */
    uint64_t rows_given;
    bool failed;
    gm_error trouble;
};

/* libcsv's buffer holds the one field that is being read. An unclosed quote would make it swallow the whole file. */
static void *bounded_realloc(void *old, size_t n) {
    return n <= FIELD_MAX + 1 ? realloc(old, n) : NULL;
}

static uint64_t line_ends(const char *text, size_t n) {
    uint64_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\n' || (text[i] == '\r' && (i + 1 == n || text[i + 1] != '\n'))) count++;
    }
    return count;
}

static void fail_at(gm_csv *c, uint64_t line, const char *what) {
    gm_fail(&c->trouble, "%s: line %llu: %s", c->name, (unsigned long long)line, what);
    c->failed = true;
}

static void keep_field(gm_csv *c, const char *text, size_t n) {
    char *copy = c->arena + c->arena_used;
    /* Neither buffer ends within SMALL bytes of here, and a copy of fixed size is two instructions. */
    if (n < SMALL) {
        memcpy(copy, text, SMALL);
    } else {
        memcpy(copy, text, n);
    }
    copy[n] = '\0';
    c->fields[c->field_count++] = (gm_field){copy, n};
    c->arena_used += n + 1;
}

/* Columns are c1, c2, ...; the row stays a row. */
static void count_columns(gm_csv *c) {
    char name[32];
    for (size_t i = 0; i < c->row_fields && !c->failed; i++) {
        const int length = snprintf(name, sizeof name, "c%zu", i + 1);
        c->failed = gm_lexicon_add(&c->columns, name, (size_t)length, &c->trouble) < 0;
    }
    c->header_done = !c->failed;
}

/* What a file without a header looks like, if it is taken for one with a header. */
static const char *hint(const gm_field *field) {
    double number;
    return gm_parse_double_n(field->text, field->length, &number) ? "; has the file no header?" : "";
}

/* A column without a name of its own, which only who needs all names, or this one, minds. No text from a file has a
 * NUL. */
static int add_unnamed(gm_csv *c, size_t i, long at) {
    const gm_field *field = &c->fields[i];
    char shown[GM_VISIBLE], stand_in[32] = "";
    gm_error said;
    gm_visible(field->text, field->length, shown);
    if (field->length == 0) {
        gm_fail(&said, "%s: line %llu: column %zu has no name (if it only numbers the rows, leave it out)", c->name,
                (unsigned long long)c->row_line, i + 1);
    } else {
        gm_fail(&said, "%s: line %llu: columns %ld and %zu are both named '%s'%s", c->name,
                (unsigned long long)c->row_line, at + 1, i + 1, shown, hint(field));
    }
    if (c->header_trouble.text[0] == '\0') c->header_trouble = said;
    if (field->length > 0 && gm_lexicon_add(&c->twice, field->text, field->length, &c->trouble) < 0) return -1;
    const int length = snprintf(stand_in + 1, sizeof stand_in - 1, "%zu", i);
    return gm_lexicon_add(&c->columns, stand_in, 1 + (size_t)length, &c->trouble) < 0 ? -1 : 0;
}

static int add_column(gm_csv *c, size_t i) {
    const gm_field *field = &c->fields[i];
    if (field->length > GM_COLUMN_NAME_MAX) {
        return gm_fail(&c->trouble, "%s: line %llu: column %zu has a name of more than 256 bytes", c->name,
                       (unsigned long long)c->row_line, i + 1);
    }
    const long at = field->length > 0 ? gm_lexicon_find(&c->columns, field->text, field->length) : -1;
    if (field->length == 0 || at >= 0) return add_unnamed(c, i, at);
    return gm_lexicon_add(&c->columns, field->text, field->length, &c->trouble) < 0 ? -1 : 0;
}

static void take_header(gm_csv *c) {
    for (size_t i = 0; i < c->row_fields && !c->failed; i++) c->failed = add_column(c, i) < 0;
    if (c->failed) return;
    c->header_done = true;
    c->field_count = 0;
    c->arena_used = 0;
}

int gm_csv_check_names(const gm_csv *c, gm_error *e) {
    if (c->header_trouble.text[0] == '\0') return 0;
    *e = c->header_trouble;
    return -1;
}

int gm_csv_check_name(const gm_csv *c, const char *name, gm_error *e) {
    char shown[GM_VISIBLE];
    if (gm_lexicon_find(&c->twice, name, strlen(name)) < 0) return 0;
    return gm_fail(e, "%s: more than one column is named '%s'", c->name, gm_visible_text(name, shown));
}

static void keep_row(gm_csv *c) {
    const bool ragged = c->row_fields != c->columns.count;
    if (!ragged || c->form.tolerant) {
        c->rows[c->row_count++] = (gm_csv_row){c->row_line, (uint32_t)(c->field_count - c->row_field), ragged};
        return;
    }
    gm_fail(&c->trouble, "%s: line %llu: %zu field%s, the %s has %zu", c->name, (unsigned long long)c->row_line,
            c->row_fields, c->row_fields == 1 ? "" : "s", c->form.no_header ? "first row" : "header", c->columns.count);
    c->failed = true;
}

static void end_row(gm_csv *c) {
    const bool header = !c->header_done && !c->form.no_header;
    if (header) {
        take_header(c);
    } else if (!c->header_done) {
        count_columns(c);
    }
    if (!header && !c->failed) keep_row(c);
    c->row_arena = c->arena_used;
    c->row_field = c->field_count;
    c->row_fields = 0;
}

/* The row that the last blank line was. No field of the row behind it was kept yet. */
static void give_blank(gm_csv *c) {
    c->blank = false;
    c->row_line = c->blank_line;
    c->row_fields = c->columns.count == 1 ? 1 : 0;
    if (c->row_fields == 1) keep_field(c, (const char[SMALL]){""}, 0);
    end_row(c);
}

static void note_blank(gm_csv *c, uint64_t line) {
    if (!c->header_done || (c->columns.count > 1 && !c->form.tolerant)) return;
    if (c->blank) give_blank(c);
    c->blank = true;
    c->blank_line = line;
}

static void on_field(void *text, size_t n, void *context) {
    gm_csv *c = context;
    if (c->failed) return;
    if (c->row_fields == 0) {
        if (c->blank) give_blank(c);
        c->row_line = c->line;
    }
    if (c->row_fields < (c->header_done ? c->columns.count : FIELDS_MAX)) {
        keep_field(c, text, n);
        if (c->arena_used - c->row_arena > ROW_MAX) fail_at(c, c->row_line, "a row above 64 MiB");
    } else if (!c->header_done) {
        fail_at(c, c->row_line, "more than 65536 columns");
    }
    c->row_fields++;
    if (c->quotes) c->line += line_ends(text, n);
}

/* `end` is the byte that ended the row, -1 at the end of the file. Blank lines come here too. */
static void on_row(int end, void *context) {
    gm_csv *c = context;
    if (c->failed) return;
    const bool second_half = c->row_fields == 0 && end == '\n' && c->after_return;
    if (c->row_fields > 0) {
        end_row(c);
    } else if (!second_half && end >= 0) {
        note_blank(c, c->line);
    }
    if (!second_half) c->line++;
    c->after_return = end == '\r';
}

/* Why csv_parse stopped before the end of its input. */
static void explain(gm_csv *c) {
    const struct csv_parser *p = &c->parser;
    const uint64_t here = c->line + line_ends((const char *)p->entry_buf, p->entry_pos);
    if (p->status != CSV_EPARSE && p->entry_size < FIELD_MAX) {
        fail_at(c, here, "out of memory");
    } else if (p->status != CSV_EPARSE) {
        fail_at(c, c->line, p->quoted ? "a quote opened here is never closed within 1 MiB" : "a field above 1 MiB");
    } else if (!p->quoted) {
        fail_at(c, here, "a quote inside a field that does not begin with one");
    } else {
        gm_fail(&c->trouble, "%s: line %llu: text behind the quote that closes a field (it opened in line %llu)",
                c->name, (unsigned long long)here, (unsigned long long)c->line);
        c->failed = true;
    }
}

/* The callbacks cannot fail for want of memory: n more bytes of input make at most n + 1 fields, and their texts with
 * NULs no more bytes than were read, each NUL in the place of a comma or a line end. */
static int reserve(gm_csv *c, size_t n, gm_error *e) {
    const char *old = c->arena;
    const size_t bytes = c->arena_used + c->parser.entry_pos + n + 2 * SMALL;
    if (gm_grow(&c->arena, &c->arena_capacity, bytes, 1, e) < 0) return -1;
    if (c->arena != old) {
        size_t at = 0;
        for (size_t i = 0; i < c->field_count; i++) {
            c->fields[i].text = c->arena + at;
            at += c->fields[i].length + 1;
        }
    }
    if (gm_grow(&c->fields, &c->field_capacity, c->field_count + n + 2, sizeof *c->fields, e) < 0) return -1;
    return gm_grow(&c->rows, &c->row_capacity, n + 2, sizeof *c->rows, e);
}

/* All complete rows were handed out: their room is used again, and the begun row moves to the front. */
static void forget_rows(gm_csv *c) {
    const size_t first = c->row_field, begun = c->field_count - first;
    const size_t shift = c->row_arena;
    if (c->row_count == 0) return;
    memmove(c->arena, c->arena + shift, c->arena_used - shift);
    for (size_t i = 0; i < begun; i++) {
        c->fields[i] = (gm_field){c->fields[first + i].text - shift, c->fields[first + i].length};
    }
    c->field_count = begun;
    c->arena_used -= shift;
    c->row_arena = 0;
    c->row_count = c->row_next = 0;
    c->row_field = c->field_next = 0;
}

/* Bytes for libcsv. */
static void parse_bytes(gm_csv *c, const unsigned char *bytes, size_t n) {
    const size_t done = csv_parse(&c->parser, bytes, n, on_field, on_row, c);
    if (!c->failed && done != n) explain(c);
}

/* The row was cut already: its first field is where the blank one's goes. */
static void give_blank_before(gm_csv *c) {
    const gm_field first = c->fields[c->field_count];
    const size_t found = c->row_fields;
    give_blank(c);
    c->fields[c->field_count] = first;
    c->row_fields = found;
}

/* Whole lines without quotes, the last of which ends with LF. */
static void split_lines(gm_csv *c, char *bytes, size_t n) {
    const size_t columns = c->columns.count;
    char *const end = bytes + n;
    if (c->after_return && bytes < end) bytes = gm_split_end(&c->splitter, bytes);
    c->after_return = false;
    if (gm_split_begin(&c->splitter, bytes, (size_t)(end - bytes), &c->trouble) < 0) c->failed = true;
    while (bytes < end && !c->failed) {
        char *const line = bytes;
        bytes = gm_split_line(&c->splitter, line, c->fields + c->field_count, columns, &c->row_fields);
        const uint64_t here = c->line++;
        if (c->row_fields == 0) {
            note_blank(c, here);
            continue;
        }
        if (c->blank) give_blank_before(c);
        c->row_line = here;
        c->field_count += c->row_fields < columns ? c->row_fields : columns;
        end_row(c);
    }
}

/* libcsv stands between two rows. Its states have no public names; the first is that of a parser that was just made. */
static bool between_rows(const gm_csv *c) {
    return c->header_done && c->parser.pstate == 0;
}

/* Text without quotes: libcsv ends the row that it has begun and begins the last one, all between is cut in place. */
static void parse_plain(gm_csv *c, unsigned char *bytes, size_t n) {
    const unsigned char *last = memrchr(bytes, '\n', n);
    const size_t whole = last != NULL ? (size_t)(last - bytes) + 1 : 0;
    size_t at = 0;
    while (at < whole && !between_rows(c) && !c->failed) {
        const unsigned char *end = memchr(bytes + at, '\n', whole - at);
        const size_t line = (size_t)(end - bytes) + 1 - at;
        parse_bytes(c, bytes + at, line);
        at += line;
    }
    if (!c->failed) split_lines(c, (char *)bytes + at, whole - at);
    if (!c->failed) parse_bytes(c, bytes + whole, n - whole);
}

static void parse(gm_csv *c, unsigned char *bytes, size_t n) {
    const unsigned char *nul = memchr(bytes, 0, n);
    const size_t good = nul != NULL ? (size_t)(nul - bytes) : n;
    const bool quotes = memchr(bytes, CSV_QUOTE, good) != NULL;
    c->quotes = c->quotes || quotes;
    if (reserve(c, good, &c->trouble) < 0) {
        c->failed = true;
        return;
    }
    if (quotes) {
        parse_bytes(c, bytes, good);
    } else {
        parse_plain(c, bytes, good);
    }
    if (!c->failed && nul != NULL) {
        const uint64_t within =
            c->parser.entry_pos > 0 ? line_ends((char *)c->parser.entry_buf, c->parser.entry_pos) : 0;
        fail_at(c, c->line + within, "a NUL byte; CSV is text, in ASCII or UTF-8");
    }
}

static void end_of_file(gm_csv *c) {
    c->ended = true;
    if (reserve(c, 0, &c->trouble) < 0) {
        c->failed = true;
    } else if (csv_fini(&c->parser, on_field, on_row, c) != 0 && !c->failed) {
        fail_at(c, c->line, "a quote opened here is never closed");
    }
    if (!c->failed && !c->header_done) {
        gm_fail(&c->trouble, "%s: empty file", c->name);
        c->failed = true;
    }
}

/* One read(2): its bytes, 0 at the end, -1. Waits, also where the descriptor was made non-blocking. */
static ssize_t read_some(gm_csv *c, unsigned char *to, size_t n) {
    for (;;) {
        const ssize_t got = read(c->fd, to, n);
        if (got >= 0) return got;
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            struct pollfd wait = {.fd = c->fd, .events = POLLIN};
            (void)poll(&wait, 1, -1);
        } else if (errno != EINTR) {
            gm_fail_errno(&c->trouble, "%s", c->name);
            c->failed = true;
            return -1;
        }
    }
}

static void fill(gm_csv *c) {
    forget_rows(c);
    const ssize_t got = read_some(c, c->block, BLOCK);
    if (got > 0) {
        parse(c, c->block, (size_t)got);
    } else if (got == 0) {
        end_of_file(c);
    }
}

/* The first block, without a byte order mark. */
static void fill_first(gm_csv *c) {
    size_t have = 0;
    while (have < sizeof byte_order_mark) {
        const ssize_t got = read_some(c, c->block + have, BLOCK - have);
        if (got < 0) return;
        if (got == 0) break;
        have += (size_t)got;
    }
    const size_t skip = have >= sizeof byte_order_mark && memcmp(c->block, byte_order_mark, sizeof byte_order_mark) == 0
                            ? sizeof byte_order_mark
                            : 0;
    parse(c, c->block + skip, have - skip);
}

gm_csv *gm_csv_new(int fd, const char *name, gm_csv_form form, gm_error *e) {
    gm_csv *c = gm_new_zeroed(1, sizeof *c, e);
    if (c == NULL) return NULL;
    c->fd = fd;
    c->line = 1;
    c->form = form;
    if (c->form.separator == 0) c->form.separator = ',';
    gm_splitter_init(&c->splitter, c->form.separator);
    csv_init(&c->parser, CSV_STRICT | CSV_STRICT_FINI | CSV_APPEND_NULL | CSV_REPALL_NL);
    csv_set_delim(&c->parser, (unsigned char)c->form.separator);
    csv_set_blk_size(&c->parser, 65536);
    csv_set_realloc_func(&c->parser, bounded_realloc);
    c->name = gm_copy_text(name, strlen(name), e);
    c->block = c->name != NULL ? gm_new_zeroed(BLOCK + GM_SPLIT_ROOM, 1, e) : NULL;
    if (c->block == NULL) {
        gm_csv_free(c);
        return NULL;
    }
    fill_first(c);
    while (!c->header_done && !c->failed && !c->ended) fill(c);
    if (!c->header_done) {
        *e = c->trouble;
        gm_csv_free(c);
        return NULL;
    }
    return c;
}

void gm_csv_free(gm_csv *c) {
    if (c == NULL) return;
    csv_free(&c->parser);
    gm_splitter_free(&c->splitter);
    gm_lexicon_free(&c->columns);
    gm_lexicon_free(&c->twice);
    free(c->name);
    free(c->block);
    free(c->arena);
    free(c->fields);
    free(c->rows);
    free(c);
}

size_t gm_csv_columns(const gm_csv *c) {
    return c->columns.count;
}

const char *gm_csv_column(const gm_csv *c, size_t i) {
    return c->columns.items[i].text;
}

long gm_csv_find(const gm_csv *c, const char *name) {
    uint64_t number;
    const bool from_end = name[0] == '-';
    if (!c->form.no_header || !gm_parse_u64(name + (from_end ? 1 : 0), 1, c->columns.count, &number))
        return gm_lexicon_find(&c->columns, name, strlen(name));
    return from_end ? (long)(c->columns.count - number) : (long)number - 1;
}

const char *gm_csv_doubt(const gm_csv *c) {
    double ignored;
    if (c->columns.count == 1) return "; the file has one column only: is its separator another one?";
    return !c->form.no_header && gm_parse_double(gm_csv_column(c, 0), &ignored) ? "; has the file no header?" : "";
}

int gm_csv_no_column(const gm_csv *c, const char *file, const char *what, const char *name, gm_error *e) {
    const char **names = gm_new_zeroed(c->columns.count + 1, sizeof *names, e);
    char shown[GM_VISIBLE], proposed[GM_VISIBLE];
    if (names == NULL) return -1;
    for (size_t i = 0, count = 0; i < c->columns.count; i++)
        if (c->columns.items[i].text[0] != '\0') names[count++] = c->columns.items[i].text;
    const char *meant = gm_did_you_mean(name, names);
    free(names);
    gm_visible_text(name, shown);
    if (meant == NULL) return gm_fail(e, "%s: no %s '%s'%s", file, what, shown, gm_csv_doubt(c));
    gm_visible_text(meant, proposed);
    return gm_fail(e, "%s: no %s '%s' (did you mean '%s'?)", file, what, shown, proposed);
}

bool gm_csv_ready(const gm_csv *c) {
    return c->row_next < c->row_count;
}

bool gm_csv_ready_now(gm_csv *c) {
    while (!gm_csv_ready(c) && !c->failed && !c->ended) {
        struct pollfd now = {.fd = c->fd, .events = POLLIN};
        if (poll(&now, 1, 0) <= 0) break;
        fill(c);
    }
    return gm_csv_ready(c);
}

int gm_csv_next(gm_csv *c, const gm_field **fields, uint64_t *line, gm_error *e) {
    while (!gm_csv_ready(c)) {
        if (c->failed) {
            *e = c->trouble;
            return -1;
        }
        if (c->ended && c->rows_given == 0 && !c->form.may_be_empty)
            return gm_fail(e, "%s: no rows behind the header", c->name);
        if (c->ended) return 0;
        fill(c);
    }
    const gm_csv_row *row = &c->rows[c->row_next++];
    *fields = row->ragged ? NULL : c->fields + c->field_next;
    *line = row->line;
    c->field_next += row->fields;
    c->rows_given++;
    return 1;
}

const gm_field *gm_csv_given(const gm_csv *c, size_t i) {
    const size_t fields = c->row_next > 0 ? c->rows[c->row_next - 1].fields : 0;
    return i < fields ? c->fields + c->field_next - fields + i : NULL;
}

/* RFC 4180's reasons for quotes, and two of readers: blanks at the ends, which libcsv leaves out, and what would be
 * taken for a byte order mark at the beginning of a file. */
static bool needs_quotes(char separator, const char *text, size_t n) {
    if (n == 0) return false;
    if (text[0] == ' ' || text[0] == '\t' || text[n - 1] == ' ' || text[n - 1] == '\t') return true;
    if (n >= sizeof byte_order_mark && memcmp(text, byte_order_mark, sizeof byte_order_mark) == 0) return true;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == separator || text[i] == '"' || text[i] == '\n' || text[i] == '\r') return true;
    }
    return false;
}

void gm_csv_put(FILE *f, const char *text, size_t n) {
    gm_csv_put_between(f, ',', text, n);
}

void gm_csv_put_between(FILE *f, char separator, const char *text, size_t n) {
    if (needs_quotes(separator, text, n)) {
        csv_fwrite(f, text, n);
    } else {
        fwrite(text, 1, n, f);
    }
}
