/* msgpack (https://github.com/msgpack/msgpack/blob/master/spec.md). Writing is msgpack-c's; reading is done here, head
 * by head, because msgpack-c's parser makes memory for whatever count a header claims. */
#include "gm/stream.h"
#include "wire.h"

#include <stdlib.h>

#define COPY_MAX ((size_t)1024)     /* data up to this size is copied among the small bytes: cheaper than a piece */
#define MAP_KEYS_MAX ((size_t)4096) /* in a tree from outside: keys are looked up one by one */

/* ---- writing: pieces ---- */

void gm_packed_init(gm_packed *p) {
    *p = (gm_packed){0};
    msgpack_sbuffer_init(&p->small);
}

void gm_packed_free(gm_packed *p) {
    msgpack_sbuffer_destroy(&p->small);
    free(p->pieces);
    *p = (gm_packed){0};
}

static void start_packing(gm_packed *p, msgpack_packer *packer) {
    msgpack_sbuffer_clear(&p->small);
    p->count = p->total = 0;
    msgpack_packer_init(packer, &p->small, msgpack_sbuffer_write);
}

/* Makes a piece of the small bytes since the last one. */
static int close_piece(gm_packed *p, size_t *packed, gm_error *e) {
    size_t n = p->small.size - *packed;
    if (n == 0) return 0;
    if (gm_grow(&p->pieces, &p->capacity, p->count + 1, sizeof *p->pieces, e) != 0) return -1;
    p->pieces[p->count++] = (gm_piece){.offset = *packed, .length = n};
    p->total += n;
    *packed = p->small.size;
    return 0;
}

/* Data of n bytes behind the bin header that was just packed. */
static int add_data(gm_packed *p, msgpack_packer *packer, size_t *packed, const void *data, size_t n, gm_error *e) {
    if (n <= COPY_MAX) return n == 0 || msgpack_pack_bin_body(packer, data, n) == 0 ? 0 : gm_fail(e, "out of memory");
    if (close_piece(p, packed, e) != 0) return -1;
    if (gm_grow(&p->pieces, &p->capacity, p->count + 1, sizeof *p->pieces, e) != 0) return -1;
    p->pieces[p->count++] = (gm_piece){.data = data, .length = n};
    return __builtin_add_overflow(p->total, n, &p->total) ? gm_fail(e, "the record is too large") : 0;
}

/* Each packing function returns 0, or not 0 when memory ran out. */
static int pack_text(msgpack_packer *packer, const char *text, size_t n) {
    return msgpack_pack_str(packer, n) || (n > 0 && msgpack_pack_str_body(packer, text, n));
}

static int pack_key(msgpack_packer *packer, const char *key) {
    return pack_text(packer, key, strlen(key));
}

static int pack_value(msgpack_packer *packer, const gm_value *v, unsigned depth) {
    int failed = 0;
    if (depth == 0 && (v->kind == GM_ARRAY || v->kind == GM_MAP)) return -1;
    switch (v->kind) {
    case GM_NIL:
        return msgpack_pack_nil(packer);
    case GM_BOOL:
        return v->boolean ? msgpack_pack_true(packer) : msgpack_pack_false(packer);
    case GM_INT:
        return msgpack_pack_int64(packer, v->integer);
    case GM_FLOAT:
        return msgpack_pack_double(packer, v->number);
    case GM_TEXT:
        return pack_text(packer, v->text, v->length);
    case GM_BYTES:
        return msgpack_pack_bin(packer, v->length) ||
               (v->length > 0 && msgpack_pack_bin_body(packer, v->text, v->length));
    case GM_ARRAY:
        failed = msgpack_pack_array(packer, v->length);
        for (size_t i = 0; !failed && i < v->length; i++) failed = pack_value(packer, v->items[i], depth - 1);
        return failed;
    case GM_MAP:
        failed = msgpack_pack_map(packer, v->length);
        for (size_t i = 0; !failed && i < v->length; i++)
            failed = pack_key(packer, v->keys[i]) || pack_value(packer, v->items[i], depth - 1);
        return failed;
    }
    return -1;
}

static int fail_packing(gm_error *e) {
    return gm_fail(e, "out of memory, or values nested over %d levels deep", GM_DEPTH_MAX);
}

/* ---- writing: records ---- */

/* Everything of a tensor's map before its data. */
static int pack_tensor_head(msgpack_packer *packer, const gm_named_tensor *named) {
    const gm_tensor *t = &named->tensor;
    int failed = pack_key(packer, named->name) || msgpack_pack_map(packer, 4) || pack_key(packer, "nd") ||
                 msgpack_pack_true(packer) || pack_key(packer, "type") || pack_key(packer, gm_type_text(t->type)) ||
                 pack_key(packer, "shape") || msgpack_pack_array(packer, t->rank);
    for (unsigned i = 0; !failed && i < t->rank; i++) failed = msgpack_pack_uint64(packer, t->shape[i]);
    return failed || pack_key(packer, "data") || msgpack_pack_bin(packer, t->bytes);
}

static int pack_tensors(gm_packed *p, msgpack_packer *packer, size_t *packed, const gm_record *r, gm_error *e) {
    if (pack_key(packer, "tensors") || msgpack_pack_map(packer, r->tensor_count)) return fail_packing(e);
    for (size_t i = 0; i < r->tensor_count; i++) {
        const gm_named_tensor *named = &r->tensors[i];
        if (named->tensor.bytes > UINT32_MAX)
            return gm_fail(e, "tensor '%s': 4 GiB or more, above what msgpack can hold", named->name);
        if (pack_tensor_head(packer, named)) return fail_packing(e);
        if (add_data(p, packer, packed, named->tensor.data, named->tensor.bytes, e) != 0) return -1;
    }
    return 0;
}

static int pack_scalars(msgpack_packer *packer, const gm_record *r) {
    int failed = pack_key(packer, "scalars") || msgpack_pack_map(packer, r->scalar_count);
    for (size_t i = 0; !failed && i < r->scalar_count; i++)
        failed = pack_key(packer, r->scalars[i].name) || msgpack_pack_double(packer, r->scalars[i].value);
    return failed;
}

int gm_pack_record(gm_packed *p, const gm_record *r, gm_error *e) {
    msgpack_packer packer;
    size_t packed = 0, keys = 3 + (size_t)r->has_step + (r->scalar_count > 0) + (r->info != NULL);
    start_packing(p, &packer);
    int failed = msgpack_pack_map(&packer, keys) || pack_key(&packer, "gm") || msgpack_pack_int(&packer, 1);
    if (r->has_step) failed = failed || pack_key(&packer, "step") || msgpack_pack_uint64(&packer, r->step);
    failed = failed || pack_key(&packer, "rows") || msgpack_pack_uint64(&packer, r->rows);
    if (failed) return fail_packing(e);
    if (pack_tensors(p, &packer, &packed, r, e) != 0) return -1;
    if (r->scalar_count > 0 && pack_scalars(&packer, r)) return fail_packing(e);
    size_t before = p->small.size;
    if (r->info && (pack_key(&packer, "info") || pack_value(&packer, r->info, GM_DEPTH_MAX))) return fail_packing(e);
    if (p->small.size - before > GM_INFO_BYTES_MAX) return gm_fail(e, "info: above 1 MiB, which no reader accepts");
    return close_piece(p, &packed, e);
}

int gm_pack_end(gm_packed *p, uint64_t records, gm_error *e) {
    msgpack_packer packer;
    size_t packed = 0;
    start_packing(p, &packer);
    if (msgpack_pack_map(&packer, 3) || pack_key(&packer, "gm") || msgpack_pack_int(&packer, 1) ||
        pack_key(&packer, "end") || msgpack_pack_true(&packer) || pack_key(&packer, "records") ||
        msgpack_pack_uint64(&packer, records))
        return fail_packing(e);
    return close_piece(p, &packed, e);
}

int gm_value_pack(const gm_value *v, unsigned char **bytes, size_t *n, gm_error *e) {
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    if (pack_value(&packer, v, GM_DEPTH_MAX)) {
        msgpack_sbuffer_destroy(&buffer);
        return fail_packing(e);
    }
    *n = buffer.size;
    *bytes = (unsigned char *)msgpack_sbuffer_release(&buffer);
    return 0;
}

/* ---- reading: heads ---- */

/* An unsigned big-endian number of n bytes. */
static int pull_number(gm_source *s, size_t n, uint64_t *v, gm_error *e) {
    unsigned char bytes[8];
    if (gm_source_read(s, bytes, n, e) != 0) return -1;
    *v = 0;
    for (size_t i = 0; i < n; i++) *v = *v << 8 | bytes[i];
    return 0;
}

static int pull_float(gm_source *s, size_t n, gm_head *head, gm_error *e) {
    uint64_t bits;
    if (pull_number(s, n, &bits, e) != 0) return -1;
    head->form = GM_FORM_FLOAT;
    if (n == 8) {
        memcpy(&head->number, &bits, 8);
        return 0;
    }
    uint32_t half = (uint32_t)bits;
    float number;
    memcpy(&number, &half, 4);
    head->number = (double)number;
    return 0;
}

/* A signed number of n bytes; what is not negative is an unsigned one. */
static int pull_signed(gm_source *s, size_t n, gm_head *head, gm_error *e) {
    uint64_t v;
    if (pull_number(s, n, &v, e) != 0) return -1;
    unsigned shift = (unsigned)(64 - 8 * n);
    int64_t number = (int64_t)(v << shift) >> shift;
    head->form = number < 0 ? GM_FORM_NEGATIVE : GM_FORM_UNSIGNED;
    head->negative = number;
    head->n = (uint64_t)number;
    return 0;
}

static int pull_sized(gm_source *s, gm_form form, size_t n, gm_head *head, gm_error *e) {
    head->form = form;
    if (pull_number(s, n, &head->n, e) != 0) return -1;
    if (form == GM_FORM_EXT) head->n++;
    return 0;
}

static int set_head(gm_head *head, gm_form form, uint64_t n) {
    head->form = form;
    head->n = n;
    return 0;
}

int gm_pull_head(gm_source *s, gm_head *head, gm_error *e) {
    unsigned char b;
    *head = (gm_head){0};
    if (gm_source_read(s, &b, 1, e) != 0) return -1;
    if (b <= 0x7F) return set_head(head, GM_FORM_UNSIGNED, b);
    if (b <= 0x8F) return set_head(head, GM_FORM_MAP, b & 0x0F);
    if (b <= 0x9F) return set_head(head, GM_FORM_ARRAY, b & 0x0F);
    if (b <= 0xBF) return set_head(head, GM_FORM_STR, b & 0x1F);
    if (b >= 0xE0) {
        head->negative = (int)b - 256;
        return set_head(head, GM_FORM_NEGATIVE, 0);
    }
    switch (b) {
    case 0xC0:
        return set_head(head, GM_FORM_NIL, 0);
    case 0xC2:
    case 0xC3:
        head->boolean = b & 1;
        return set_head(head, GM_FORM_BOOL, 0);
    case 0xC4:
    case 0xC5:
    case 0xC6:
        return pull_sized(s, GM_FORM_BIN, (size_t)1 << (b - 0xC4), head, e);
    case 0xC7:
    case 0xC8:
    case 0xC9:
        return pull_sized(s, GM_FORM_EXT, (size_t)1 << (b - 0xC7), head, e);
    case 0xCA:
        return pull_float(s, 4, head, e);
    case 0xCB:
        return pull_float(s, 8, head, e);
    case 0xCC:
    case 0xCD:
    case 0xCE:
    case 0xCF:
        return pull_sized(s, GM_FORM_UNSIGNED, (size_t)1 << (b - 0xCC), head, e);
    case 0xD0:
    case 0xD1:
    case 0xD2:
    case 0xD3:
        return pull_signed(s, (size_t)1 << (b - 0xD0), head, e);
    case 0xD4:
    case 0xD5:
    case 0xD6:
    case 0xD7:
    case 0xD8:
        return set_head(head, GM_FORM_EXT, (UINT64_C(1) << (b - 0xD4)) + 1);
    case 0xD9:
    case 0xDA:
    case 0xDB:
        return pull_sized(s, GM_FORM_STR, (size_t)1 << (b - 0xD9), head, e);
    case 0xDC:
    case 0xDD:
        return pull_sized(s, GM_FORM_ARRAY, (size_t)2 << (b - 0xDC), head, e);
    case 0xDE:
    case 0xDF:
        return pull_sized(s, GM_FORM_MAP, (size_t)2 << (b - 0xDE), head, e);
    default:
        return gm_fail(e, "byte %02x begins nothing in msgpack", b);
    }
}

/* ---- reading: what is ignored ---- */

static int fail_depth(gm_error *e) {
    return gm_fail(e, "nested over %d levels deep", GM_DEPTH_MAX);
}

int gm_pull_skip(gm_source *s, const gm_head *head, unsigned depth, gm_error *e) {
    bool bytes = head->form == GM_FORM_STR || head->form == GM_FORM_BIN || head->form == GM_FORM_EXT;
    if (bytes) return gm_source_skip(s, head->n, e);
    if (head->form != GM_FORM_ARRAY && head->form != GM_FORM_MAP) return 0;
    if (depth == 0) return fail_depth(e);
    uint64_t items = head->form == GM_FORM_MAP ? 2 * head->n : head->n;
    for (uint64_t i = 0; i < items; i++) {
        gm_head item;
        if (gm_pull_head(s, &item, e) != 0 || gm_pull_skip(s, &item, depth - 1, e) != 0) return -1;
    }
    return 0;
}

/* ---- reading: trees ---- */

static int spend(gm_budget *budget, uint64_t bytes, gm_error *e) {
    if (budget->values == 0 || bytes >= budget->bytes) return gm_fail(e, "larger than what is accepted");
    budget->values--;
    budget->bytes -= (size_t)bytes + 1;
    return 0;
}

/* The n bytes of a text, with a NUL behind them. */
static char *pull_text(gm_source *s, uint64_t n, gm_error *e) {
    if (n > s->left && gm_source_skip(s, n, e) != 0) return NULL; /* for the message, before memory is taken */
    char *text = malloc((size_t)n + 1);
    if (!text)
        gm_fail(e, "out of memory (%llu bytes)", (unsigned long long)n);
    else if (gm_source_read(s, text, (size_t)n, e) == 0) {
        text[n] = '\0';
        return text;
    }
    free(text);
    return NULL;
}

static gm_value *pull_bytes(gm_source *s, const gm_head *head, gm_error *e) {
    char *text = pull_text(s, head->n, e);
    if (!text) return NULL;
    size_t n = (size_t)head->n;
    gm_value *v = head->form == GM_FORM_STR ? gm_value_text_n(text, n) : gm_value_bytes(text, n);
    free(text);
    if (!v) gm_fail(e, "out of memory");
    return v;
}

static int pull_entry(gm_source *s, gm_value *map, unsigned depth, gm_budget *budget, gm_error *e) {
    gm_head head;
    if (gm_pull_head(s, &head, e) != 0) return -1;
    if (head.form != GM_FORM_STR && head.form != GM_FORM_BIN) return gm_fail(e, "a key is not text");
    if (spend(budget, head.n, e) != 0) return -1;
    char *key = pull_text(s, head.n, e);
    if (!key) return -1;
    gm_value *child = NULL;
    if (strlen(key) != head.n)
        gm_fail(e, "a key has a NUL");
    else if (gm_map_get(map, key))
        gm_fail(e, "key '%s' twice", key);
    else if (gm_pull_head(s, &head, e) == 0)
        child = gm_pull_value(s, &head, depth, budget, e);
    int status = child ? gm_map_set(map, key, child) : -1;
    if (child && status != 0) gm_fail(e, "out of memory");
    free(key);
    return status;
}

static int pull_item(gm_source *s, gm_value *array, unsigned depth, gm_budget *budget, gm_error *e) {
    gm_head head;
    if (gm_pull_head(s, &head, e) != 0) return -1;
    gm_value *child = gm_pull_value(s, &head, depth, budget, e);
    if (!child) return -1;
    return gm_array_push(array, child) == 0 ? 0 : gm_fail(e, "out of memory");
}

static gm_value *pull_children(gm_source *s, const gm_head *head, unsigned depth, gm_budget *budget, gm_error *e) {
    bool map = head->form == GM_FORM_MAP;
    if (depth == 0) {
        fail_depth(e);
        return NULL;
    }
    if (map && head->n > MAP_KEYS_MAX) {
        gm_fail(e, "a map of more than %zu keys", MAP_KEYS_MAX);
        return NULL;
    }
    gm_value *v = map ? gm_value_map() : gm_value_array();
    if (!v) gm_fail(e, "out of memory");
    for (uint64_t i = 0; v && i < head->n; i++) {
        int status = map ? pull_entry(s, v, depth - 1, budget, e) : pull_item(s, v, depth - 1, budget, e);
        if (status == 0) continue;
        gm_value_free(v);
        return NULL;
    }
    return v;
}

gm_value *gm_pull_value(gm_source *s, const gm_head *head, unsigned depth, gm_budget *budget, gm_error *e) {
    gm_value *v = NULL;
    bool bytes = head->form == GM_FORM_STR || head->form == GM_FORM_BIN;
    if (spend(budget, bytes ? head->n : 0, e) != 0) return NULL;
    switch (head->form) {
    case GM_FORM_NIL:
        v = gm_value_nil();
        break;
    case GM_FORM_BOOL:
        v = gm_value_bool(head->boolean);
        break;
    case GM_FORM_UNSIGNED:
        v = head->n <= INT64_MAX ? gm_value_int((int64_t)head->n) : gm_value_float((double)head->n);
        break;
    case GM_FORM_NEGATIVE:
        v = gm_value_int(head->negative);
        break;
    case GM_FORM_FLOAT:
        v = gm_value_float(head->number);
        break;
    case GM_FORM_STR:
    case GM_FORM_BIN:
        return pull_bytes(s, head, e);
    case GM_FORM_EXT:
        gm_fail(e, "an extension type");
        return NULL;
    case GM_FORM_ARRAY:
    case GM_FORM_MAP:
        return pull_children(s, head, depth, budget, e);
    }
    if (!v) gm_fail(e, "out of memory");
    return v;
}

gm_value *gm_value_unpack(const unsigned char *bytes, size_t n, gm_error *e) {
    gm_source source;
    gm_head head;
    gm_source_memory(&source, bytes, n);
    gm_budget budget = {.bytes = SIZE_MAX, .values = SIZE_MAX}; /* the bytes are here: they bound it */
    if (gm_pull_head(&source, &head, e) != 0) return NULL;
    gm_value *v = gm_pull_value(&source, &head, GM_DEPTH_MAX, &budget, e);
    if (v && source.left > 0) {
        gm_fail(e, "%llu bytes behind the value", (unsigned long long)source.left);
        gm_value_free(v);
        return NULL;
    }
    return v;
}
