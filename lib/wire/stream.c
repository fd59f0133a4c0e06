#include "gm/stream.h"
#include "wire.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

#define TENSORS_ROOM 8 /* all tensors of a record together: so many times the limit of one */

/* ---- reading ---- */

struct gm_reader {
    gm_source source;
    char *name;
    size_t max_tensor;
    uint64_t room;      /* bytes that the rest of this record's tensors may have */
    uint64_t total;     /* records read */
    uint64_t in_stream; /* since the last end record */
    bool ended;         /* the last map was an end record */
    bool failed;
    gm_error failure;
};

gm_reader *gm_reader_new(int fd, const char *name, size_t max_tensor, gm_error *e) {
    gm_reader *r = gm_new_zeroed(1, sizeof *r, e);
    if (!r) return NULL;
    r->max_tensor = max_tensor;
    r->name = gm_copy_text(name, strlen(name), e);
    if (r->name && gm_source_open(&r->source, fd, e) == 0) return r;
    free(r->name);
    free(r);
    return NULL;
}

void gm_reader_free(gm_reader *r) {
    if (!r) return;
    gm_source_close(&r->source);
    free(r->name);
    free(r);
}

void gm_reader_watch(gm_reader *r, int output) {
    struct stat st;
    r->source.watched = fstat(output, &st) == 0 && S_ISFIFO(st.st_mode) ? output : -1;
}

uint64_t gm_reader_records(const gm_reader *r) {
    return r->total;
}

/* A key or a name: up to GM_NAME_MAX bytes and a NUL. What is longer is read past and cut to fit (*n tells). */
typedef struct text {
    char bytes[GM_NAME_MAX + 1];
    uint64_t n;
} text;

static int pull_text(gm_source *s, const char *what, text *t, gm_error *e) {
    gm_head head;
    if (gm_pull_head(s, &head, e) != 0) return -1;
    if (head.form != GM_FORM_STR && head.form != GM_FORM_BIN) return gm_fail(e, "%s is not text", what);
    size_t kept = head.n < GM_NAME_MAX ? (size_t)head.n : GM_NAME_MAX;
    t->n = head.n;
    if (gm_source_read(s, t->bytes, kept, e) != 0) return -1;
    t->bytes[kept] = '\0';
    return gm_source_skip(s, head.n - kept, e);
}

/* A name that may be used: GM_NAME_MAX bytes, none of them a NUL. */
static int pull_name(gm_source *s, const char *what, text *t, gm_error *e) {
    if (pull_text(s, what, t, e) != 0) return -1;
    if (t->n == 0) return gm_fail(e, "%s is empty", what);
    if (t->n > GM_NAME_MAX) return gm_fail(e, "%s '%s...' is longer than %d bytes", what, t->bytes, GM_NAME_MAX);
    if (strlen(t->bytes) != t->n) return gm_fail(e, "%s '%s...' has a NUL in it", what, t->bytes);
    return 0;
}

static int pull_unsigned(gm_source *s, const char *what, uint64_t high, uint64_t *v, gm_error *e) {
    gm_head head;
    if (gm_pull_head(s, &head, e) != 0) return -1;
    if (head.form != GM_FORM_UNSIGNED) return gm_fail(e, "%s is not a whole number from 0 on", what);
    if (head.n > high) return gm_fail(e, "%s is %llu, above the limit", what, (unsigned long long)head.n);
    *v = head.n;
    return 0;
}

static int pull_map(gm_source *s, const char *what, uint64_t high, uint64_t *count, gm_error *e) {
    gm_head head;
    if (gm_pull_head(s, &head, e) != 0) return -1;
    if (head.form != GM_FORM_MAP) return gm_fail(e, "%s is not a map", what);
    if (head.n > high)
        return gm_fail(e, "%s: %llu entries, above the limit of %llu", what, (unsigned long long)head.n,
                       (unsigned long long)high);
    *count = head.n;
    return 0;
}

static int skip_value(gm_source *s, gm_error *e) {
    gm_head head;
    if (gm_pull_head(s, &head, e) != 0) return -1;
    return gm_pull_skip(s, &head, GM_DEPTH_MAX, e);
}

/* Where a key stands among the known ones, -1 for an unknown one, -2 (with a message) for one that came before. */
static int find_key(const text *key, const char *const *known, unsigned *seen, gm_error *e) {
    for (int i = 0; known[i]; i++) {
        if (key->n != strlen(known[i]) || memcmp(key->bytes, known[i], (size_t)key->n) != 0) continue;
        if (*seen >> i & 1) {
            gm_fail(e, "'%s' twice", known[i]);
            return -2;
        }
        *seen |= 1U << i;
        return i;
    }
    return -1;
}

/* ---- reading: tensors ---- */

/* What is known so far of a tensor whose fields come in any order. */
typedef struct tensor_fields {
    unsigned seen; /* bits of tensor_field */
    gm_type type;
    unsigned rank;
    size_t shape[GM_RANK_MAX];
    size_t count, bytes;    /* from type and shape, once both are known */
    gm_named_tensor *named; /* once there is data */
} tensor_fields;

typedef enum tensor_field { FIELD_ND, FIELD_TYPE, FIELD_SHAPE, FIELD_DATA, FIELD_KIND } tensor_field;
static const char *const tensor_keys[] = {"nd", "type", "shape", "data", "kind", NULL};

static bool has_field(const tensor_fields *f, tensor_field field) {
    return f->seen >> field & 1;
}

static int pull_type(gm_source *s, tensor_fields *f, gm_error *e) {
    text type;
    if (pull_text(s, "its type", &type, e) != 0) return -1;
    if (type.n <= GM_NAME_MAX && gm_type_parse(type.bytes, (size_t)type.n, &f->type)) return 0;
    return gm_fail(e, "type '%s' is not one of <f4 <f8 |u1 <i4 <i8", type.bytes);
}

static int pull_shape(gm_source *s, tensor_fields *f, gm_error *e) {
    gm_head head;
    if (gm_pull_head(s, &head, e) != 0) return -1;
    if (head.form != GM_FORM_ARRAY) return gm_fail(e, "its shape is not an array");
    if (head.n > GM_RANK_MAX) return gm_fail(e, "rank %llu, above %d", (unsigned long long)head.n, GM_RANK_MAX);
    f->rank = (unsigned)head.n;
    for (unsigned i = 0; i < f->rank; i++) {
        uint64_t axis = 0;
        if (pull_unsigned(s, "an axis of its shape", SIZE_MAX, &axis, e) != 0) return -1;
        f->shape[i] = (size_t)axis;
    }
    return 0;
}

/* Once type and shape are known, they say how much data there is to be. */
static int measure(const gm_reader *r, tensor_fields *f, gm_error *e) {
    if (!has_field(f, FIELD_TYPE) || !has_field(f, FIELD_SHAPE)) return 0;
    if (!gm_shape_measure(f->type, f->rank, f->shape, &f->count, &f->bytes))
        return gm_fail(e, "the product of its shape overflows");
    if (f->bytes > r->max_tensor)
        return gm_fail(e, "%zu bytes, above the limit of %zu (--max-tensor)", f->bytes, r->max_tensor);
    return 0;
}

static int check_data_size(const gm_reader *r, const tensor_fields *f, uint64_t n, gm_error *e) {
    if (has_field(f, FIELD_TYPE) && has_field(f, FIELD_SHAPE) && n != f->bytes) {
        gm_tensor t = {.type = f->type, .rank = f->rank};
        char shape[128];
        memcpy(t.shape, f->shape, sizeof t.shape);
        return gm_fail(e, "%llu bytes of data, but shape %s of %s has %zu", (unsigned long long)n,
                       gm_shape_text(&t, shape), gm_type_text(f->type), f->bytes);
    }
    if (n > r->max_tensor)
        return gm_fail(e, "%llu bytes, above the limit of %zu (--max-tensor)", (unsigned long long)n, r->max_tensor);
    return 0;
}

/* A message of record.c names the tensor already: that goes, as the caller will name it. */
static int drop_prefix(gm_error *e, const char *name) {
    static const char begin[] = "tensor '";
    size_t n = strlen(begin) + strlen(name) + strlen("': ");
    if (strncmp(e->text, begin, strlen(begin)) == 0 && strlen(e->text) > n)
        memmove(e->text, e->text + n, strlen(e->text + n) + 1);
    return -1;
}

static int pull_data(gm_reader *r, gm_record *record, const char *name, tensor_fields *f, gm_error *e) {
    gm_head head;
    if (gm_pull_head(&r->source, &head, e) != 0) return -1;
    if (head.form != GM_FORM_BIN) return gm_fail(e, "its data is not bin");
    if (check_data_size(r, f, head.n, e) != 0) return -1;
    if (head.n > r->room)
        return gm_fail(e, "with it the record's tensors are above %d times --max-tensor", TENSORS_ROOM);
    r->room -= head.n;
    if (head.n > r->source.left) return gm_source_skip(&r->source, head.n, e); /* fails, before memory is taken */
    size_t had = 0, n = (size_t)head.n;
    void *lent = NULL;
    /* Only floats: no number that is used as an index may change behind its check. */
    if (has_field(f, FIELD_TYPE) && f->type == GM_F4 && gm_source_borrow(&r->source, n, &lent, e) != 0) return -1;
    if (lent) {
        f->named = gm_record_lend_tensor(record, name, lent, n, e);
        return f->named ? 0 : drop_prefix(e, name);
    }
    f->named = gm_record_begin_tensor(record, name, n, e);
    if (!f->named) return drop_prefix(e, name);
    while (had < n) {
        size_t part = (f->named->capacity < n ? f->named->capacity : n) - had;
        if (gm_source_read(&r->source, (char *)f->named->tensor.data + had, part, e) != 0) return -1;
        had += part;
        if (had < n && gm_record_extend_tensor(f->named, had, e) != 0) return drop_prefix(e, name);
    }
    return 0;
}

static int pull_nd(gm_source *s, gm_error *e) {
    gm_head head;
    if (gm_pull_head(s, &head, e) != 0) return -1;
    return head.form == GM_FORM_BOOL && head.boolean ? 0 : gm_fail(e, "its 'nd' is not true");
}

/* msgpack-numpy's mark of structured types: empty for plain ones. */
static int pull_kind(gm_source *s, gm_error *e) {
    gm_head head;
    if (gm_pull_head(s, &head, e) != 0) return -1;
    bool empty = head.form == GM_FORM_NIL || ((head.form == GM_FORM_STR || head.form == GM_FORM_BIN) && head.n == 0);
    return empty ? 0 : gm_fail(e, "its 'kind' is not empty");
}

static int pull_tensor_field(gm_reader *r, gm_record *record, const char *name, tensor_fields *f, gm_error *e) {
    text key;
    if (pull_text(&r->source, "a key", &key, e) != 0) return -1;
    int status = -1, field = find_key(&key, tensor_keys, &f->seen, e);
    switch (field) {
    case -2:
        break;
    case FIELD_ND:
        status = pull_nd(&r->source, e);
        break;
    case FIELD_TYPE:
        status = pull_type(&r->source, f, e);
        break;
    case FIELD_SHAPE:
        status = pull_shape(&r->source, f, e);
        break;
    case FIELD_DATA:
        status = pull_data(r, record, name, f, e);
        break;
    case FIELD_KIND:
        status = pull_kind(&r->source, e);
        break;
    default:
        status = skip_value(&r->source, e);
        break;
    }
    if (status != 0 || (field != FIELD_TYPE && field != FIELD_SHAPE)) return status;
    return measure(r, f, e);
}

static int pull_tensor(gm_reader *r, gm_record *record, const char *name, gm_error *e) {
    tensor_fields f = {0};
    uint64_t fields = 0;
    if (gm_record_tensor(record, name)) return gm_fail(e, "twice in the record");
    if (pull_map(&r->source, "it", UINT32_MAX, &fields, e) != 0) return -1;
    for (uint64_t i = 0; i < fields; i++)
        if (pull_tensor_field(r, record, name, &f, e) != 0) return -1;
    for (tensor_field field = FIELD_TYPE; field <= FIELD_DATA; field++)
        if (!has_field(&f, field)) return gm_fail(e, "it has no '%s'", tensor_keys[field]);
    if (check_data_size(r, &f, f.named->tensor.bytes, e) != 0) return -1;
    gm_tensor_set_shape(&f.named->tensor, f.type, f.rank, f.shape, f.count);
    return 0;
}

static int pull_tensors(gm_reader *r, gm_record *record, gm_error *e) {
    uint64_t count = 0;
    text name;
    if (pull_map(&r->source, "'tensors'", GM_TENSORS_MAX, &count, e) != 0) return -1;
    for (uint64_t i = 0; i < count; i++) {
        if (pull_name(&r->source, "the name of a tensor", &name, e) != 0) return -1;
        if (pull_tensor(r, record, name.bytes, e) != 0) return gm_fail_within(e, "tensor '%s': ", name.bytes);
    }
    return 0;
}

/* ---- reading: the rest of a record ---- */

static int pull_scalar(gm_source *s, double *value, gm_error *e) {
    gm_head head;
    if (gm_pull_head(s, &head, e) != 0) return -1;
    switch (head.form) {
    case GM_FORM_FLOAT:
        *value = head.number;
        return 0;
    case GM_FORM_UNSIGNED:
        *value = (double)head.n;
        return 0;
    case GM_FORM_NEGATIVE:
        *value = (double)head.negative;
        return 0;
    default:
        return gm_fail(e, "not a number");
    }
}

static int pull_scalars(gm_source *s, gm_record *record, gm_error *e) {
    uint64_t count = 0;
    double value;
    text name;
    if (pull_map(s, "'scalars'", GM_SCALARS_MAX, &count, e) != 0) return -1;
    for (uint64_t i = 0; i < count; i++) {
        if (pull_name(s, "the name of a scalar", &name, e) != 0) return -1;
        if (gm_record_scalar(record, name.bytes, &value)) return gm_fail(e, "scalar '%s': twice", name.bytes);
        if (pull_scalar(s, &value, e) != 0) return gm_fail_within(e, "scalar '%s': ", name.bytes);
        if (gm_record_set_scalar(record, name.bytes, value, e) != 0) return -1;
    }
    return 0;
}

static int pull_info(gm_source *s, gm_record *record, gm_error *e) {
    gm_budget budget = {.bytes = GM_INFO_BYTES_MAX, .values = GM_INFO_VALUES_MAX};
    gm_head head;
    if (gm_pull_head(s, &head, e) != 0) return -1;
    if (head.form == GM_FORM_NIL) return 0;
    if (head.form != GM_FORM_MAP) return gm_fail(e, "'info' is not a map");
    record->info = gm_pull_value(s, &head, GM_DEPTH_MAX, &budget, e);
    return record->info ? 0 : gm_fail_within(e, "info: ");
}

typedef enum record_field {
    FIELD_GM,
    FIELD_STEP,
    FIELD_ROWS,
    FIELD_TENSORS,
    FIELD_SCALARS,
    FIELD_INFO,
    FIELD_END,
    FIELD_RECORDS
} record_field;
static const char *const record_keys[] = {"gm", "step", "rows", "tensors", "scalars", "info", "end", "records", NULL};

/* What one map of the stream turned out to be. */
typedef struct map_state {
    unsigned seen; /* bits of record_field */
    bool end;
    uint64_t records;
} map_state;

static int pull_version(gm_source *s, gm_error *e) {
    uint64_t version = 0;
    if (pull_unsigned(s, "the format version 'gm'", UINT64_MAX, &version, e) != 0) return -1;
    if (version == 1) return 0;
    return gm_fail(e, "format version %llu; this program reads version 1", (unsigned long long)version);
}

static int pull_end(gm_source *s, map_state *m, gm_error *e) {
    gm_head head;
    if (gm_pull_head(s, &head, e) != 0) return -1;
    if (head.form != GM_FORM_BOOL) return gm_fail(e, "'end' is neither true nor false");
    m->end = head.boolean;
    return 0;
}

static int pull_field(gm_reader *r, gm_record *record, map_state *m, gm_error *e) {
    gm_source *s = &r->source;
    uint64_t rows = 0;
    text key;
    if (pull_text(s, "a key", &key, e) != 0) return -1;
    switch (find_key(&key, record_keys, &m->seen, e)) {
    case -2:
        return -1;
    case FIELD_GM:
        return pull_version(s, e);
    case FIELD_STEP:
        record->has_step = true;
        return pull_unsigned(s, "'step'", GM_STEP_MAX, &record->step, e);
    case FIELD_ROWS:
        if (pull_unsigned(s, "'rows'", GM_ROWS_MAX, &rows, e) != 0) return -1;
        record->rows = (size_t)rows;
        return 0;
    case FIELD_TENSORS:
        return pull_tensors(r, record, e);
    case FIELD_SCALARS:
        return pull_scalars(s, record, e);
    case FIELD_INFO:
        return pull_info(s, record, e);
    case FIELD_END:
        return pull_end(s, m, e);
    case FIELD_RECORDS:
        return pull_unsigned(s, "'records'", UINT64_MAX, &m->records, e);
    default:
        return skip_value(s, e);
    }
}

static int check_map(const gm_reader *r, const gm_record *record, const map_state *m, gm_error *e) {
    if (!(m->seen >> FIELD_GM & 1)) return gm_fail(e, "the map has no format version 'gm'");
    if (!m->end) return m->seen >> FIELD_ROWS & 1 ? 0 : gm_fail(e, "the record has no 'rows'");
    if (record->tensor_count > 0) return gm_fail(e, "an end record with tensors");
    if (!(m->seen >> FIELD_RECORDS & 1)) return gm_fail(e, "an end record that has no 'records'");
    if (m->records != r->in_stream)
        return gm_fail(e, "the end record counts %llu records, but there were %llu", (unsigned long long)m->records,
                       (unsigned long long)r->in_stream);
    return 0;
}

/* One frame or raw map. */
static int pull_map_whole(gm_reader *r, gm_record *record, map_state *m, gm_error *e) {
    uint64_t fields = 0;
    r->room = r->max_tensor > UINT64_MAX / TENSORS_ROOM ? UINT64_MAX : (uint64_t)r->max_tensor * TENSORS_ROOM;
    if (pull_map(&r->source, "the frame's content", UINT32_MAX, &fields, e) != 0) return -1;
    for (uint64_t i = 0; i < fields; i++)
        if (pull_field(r, record, m, e) != 0) return -1;
    if (gm_source_end(&r->source, e) != 0) return -1;
    return check_map(r, record, m, e);
}

static int fail_in_record(gm_reader *r, gm_error *e) {
    unsigned long long number = r->total;
    if (r->source.cut) return gm_fail(e, "stream cut off in record %llu", number);
    return gm_fail_within(e, "record %llu: ", number);
}

/* "not a gm stream (it begins with 'p00,p01')" */
static int fail_foreign(const gm_reader *r, gm_error *e) {
    gm_error begins = *e;
    if (r->total == 0 && !r->ended) return gm_fail(e, "not a gm stream (%s)", begins.text);
    return gm_fail(e, "record %llu: neither a frame nor a map (%s)", (unsigned long long)r->total, begins.text);
}

/* 1, 0 or -1, messages still without the source's name. */
static int next(gm_reader *r, gm_record *record, gm_error *e) {
    for (;;) {
        int begun = gm_source_begin(&r->source, e);
        if (begun < 0 && r->source.foreign) return fail_foreign(r, e);
        if (begun < 0) return fail_in_record(r, e);
        if (begun == 0 && r->ended) return 0;
        if (begun == 0 && r->total == 0) return gm_fail(e, "empty: no records and no end record");
        if (begun == 0)
            return gm_fail(e, "stream cut off after record %llu (no end record)", (unsigned long long)r->total - 1);
        map_state m = {0};
        if (pull_map_whole(r, record, &m, e) != 0) return fail_in_record(r, e);
        r->ended = m.end;
        if (!m.end) break;
        r->in_stream = 0;
        gm_record_clear(record);
    }
    r->total++;
    r->in_stream++;
    return 1;
}

int gm_reader_next(gm_reader *r, gm_record *record, gm_error *e) {
    gm_record_clear(record);
    record->max_tensor = r->max_tensor;
    if (!r->failed) {
        int got = next(r, record, &r->failure);
        if (got >= 0) return got;
        gm_fail_within(&r->failure, "%s: ", r->name);
        r->failed = true;
        gm_record_clear(record);
    }
    *e = r->failure;
    return -1;
}

/* ---- writing ---- */

struct gm_writer {
    gm_sink *sink;
    gm_packed packed;
    char *name;
    uint64_t records;
    bool finished, failed, broken;
};

int gm_level_for(int fd, int *level, gm_error *e) {
    const char *wanted = getenv("GM_LEVEL");
    struct stat status;
    uint64_t number;
    if (!wanted || !*wanted) {
        *level = fstat(fd, &status) == 0 && S_ISREG(status.st_mode) ? 3 : GM_LEVEL_STORE;
        return 0;
    }
    if (strcmp(wanted, "store") == 0) {
        *level = GM_LEVEL_STORE;
        return 0;
    }
    bool below = *wanted == '-';
    if (!gm_parse_u64(wanted + below, 0, below ? 7 : 19, &number))
        return gm_fail_usage(e, "GM_LEVEL: expected 'store' or a level from -7 to 19, got '%s'", wanted);
    *level = below ? -(int)number : (int)number;
    return 0;
}

gm_writer *gm_writer_new(int fd, const char *name, int level, gm_error *e) {
    gm_writer *w = gm_new_zeroed(1, sizeof *w, e);
    if (!w) return NULL;
    gm_packed_init(&w->packed);
    w->name = gm_copy_text(name, strlen(name), e);
    w->sink = w->name ? gm_sink_new(fd, level, e) : NULL;
    if (w->sink) return w;
    gm_writer_free(w);
    return NULL;
}

void gm_writer_free(gm_writer *w) {
    if (!w) return;
    gm_sink_free(w->sink);
    gm_packed_free(&w->packed);
    free(w->name);
    free(w);
}

/* Nothing goes behind the end record, nor behind a frame that was not written whole. */
static int check_open(const gm_writer *w, gm_error *e) {
    if (w->finished) return gm_fail(e, "%s: the stream has its end record already", w->name);
    if (w->failed) return gm_fail(e, "%s: writing has failed before", w->name);
    return 0;
}

static int put_packed(gm_writer *w, gm_error *e) {
    if (gm_sink_put(w->sink, &w->packed, &w->broken, e) == 0) return 0;
    w->failed = true;
    return gm_fail_within(e, "%s: ", w->name);
}

int gm_writer_put(gm_writer *w, const gm_record *record, gm_error *e) {
    if (check_open(w, e) != 0) return -1;
    if (gm_pack_record(&w->packed, record, e) != 0)
        return gm_fail_within(e, "%s: record %llu: ", w->name, (unsigned long long)w->records);
    if (put_packed(w, e) != 0) return -1;
    w->records++;
    return 0;
}

int gm_writer_finish(gm_writer *w, gm_error *e) {
    if (check_open(w, e) != 0) return -1;
    if (gm_pack_end(&w->packed, w->records, e) != 0) return gm_fail_within(e, "%s: ", w->name);
    if (put_packed(w, e) != 0) return -1;
    w->finished = true;
    return 0;
}

bool gm_writer_broken(const gm_writer *w) {
    return w->broken;
}
