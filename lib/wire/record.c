#include "gm/record.h"
#include "wire.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPARE_SLACK ((size_t)32 << 10)
#define FIRST_ROOM ((size_t)1 << 20) /* what a tensor from outside gets before its data has come */

/* ---- the record and its memory ---- */

gm_record *gm_record_new(gm_error *e) {
    gm_record *r = gm_new_zeroed(1, sizeof *r, e);
    if (!r) return NULL;
    /* All the room there can be, so that pointers to tensors outlive later puts; pages are touched as they are used. */
    r->tensors = gm_new(GM_TENSORS_MAX, sizeof *r->tensors, e);
    r->tensor_capacity = GM_TENSORS_MAX;
    r->max_tensor = SIZE_MAX;
    if (r->tensors) return r;
    free(r);
    return NULL;
}

void gm_record_free(gm_record *r) {
    if (!r) return;
    gm_record_clear(r);
    for (size_t i = 0; i < r->spare_count; i++) free(r->spares[i].data);
    free(r->spares);
    free(r->resting);
    free(r->tensors);
    free(r->scalars);
    free(r);
}

/* Keeps memory for a later tensor; if there is no room to remember it, lets it go. */
static void give_memory(gm_record *r, void *data, size_t capacity) {
    gm_error ignored;
    if (gm_grow(&r->spares, &r->spare_capacity, r->spare_count + 1, sizeof *r->spares, &ignored) != 0) {
        free(data);
        return;
    }
    r->spares[r->spare_count++] = (gm_spare){.data = data, .capacity = capacity};
}

static void give_tensor(gm_record *r, const gm_named_tensor *named) {
    if (!named->lent) give_memory(r, named->tensor.data, named->capacity);
}

/* A spare that holds `bytes` bytes and is not much too large (else tensors that alternate between large and small would
 * all end in large memory); the closest one. spare_count if there is none. */
static size_t find_spare(const gm_record *r, size_t bytes) {
    size_t best = r->spare_count;
    for (size_t i = 0; i < r->spare_count; i++) {
        size_t capacity = r->spares[i].capacity;
        if (capacity < bytes || capacity / 2 > bytes + SPARE_SLACK) continue;
        if (best == r->spare_count || capacity < r->spares[best].capacity) best = i;
    }
    return best;
}

static gm_spare take_spare(gm_record *r, size_t index) {
    gm_spare spare = r->spares[index];
    r->spares[index] = r->spares[--r->spare_count];
    return spare;
}

/* Memory for `bytes` bytes: a spare, or new. For each new one the largest spare goes, so that a record never has more
 * buffers than it once had tensors. */
static void *take_memory(gm_record *r, size_t bytes, size_t *capacity, gm_error *e) {
    size_t found = find_spare(r, bytes), largest = 0;
    if (found < r->spare_count) {
        gm_spare spare = take_spare(r, found);
        *capacity = spare.capacity;
        return spare.data;
    }
    for (size_t i = 1; i < r->spare_count; i++)
        if (r->spares[i].capacity > r->spares[largest].capacity) largest = i;
    if (r->spare_count > 0) free(take_spare(r, largest).data);
    *capacity = bytes;
    return gm_new(bytes, 1, e);
}

void gm_record_clear(gm_record *r) {
    for (size_t i = 0; i < r->resting_count; i++) give_memory(r, r->resting[i].data, r->resting[i].capacity);
    r->resting_count = 0;
    for (size_t i = 0; i < r->tensor_count; i++) give_tensor(r, &r->tensors[i]);
    gm_value_free(r->info);
    r->info = NULL;
    r->tensor_count = r->scalar_count = r->rows = 0;
    r->has_step = false;
    r->step = 0;
}

/* ---- tensors ---- */

/* Where a tensor stands; tensor_count if there is none of that name. */
static size_t tensor_index(const gm_record *r, const char *name) {
    size_t i = 0;
    while (i < r->tensor_count && strcmp(r->tensors[i].name, name) != 0) i++;
    return i;
}

gm_tensor *gm_record_tensor(gm_record *r, const char *name) {
    size_t i = tensor_index(r, name);
    return i < r->tensor_count ? &r->tensors[i].tensor : NULL;
}

/* ASCII's controls, and U+0080 to U+009F in UTF-8, which some terminals obey. */
static bool is_control(const unsigned char *at) {
    return at[0] < ' ' || at[0] == 127 || (at[0] == 0xC2 && at[1] >= 0x80 && at[1] <= 0x9F);
}

static int check_name(const char *what, const char *name, gm_error *e) {
    size_t n = strnlen(name, GM_NAME_MAX + 1);
    if (n == 0) return gm_fail(e, "a %s has an empty name", what);
    if (n > GM_NAME_MAX)
        return gm_fail(e, "%s '%.*s...': the name is longer than %d bytes", what, GM_NAME_MAX, name, GM_NAME_MAX);
    for (size_t i = 0; i < n; i++)
        if (is_control((const unsigned char *)name + i))
            return gm_fail(e, "%s '%s': the name has control characters", what, name);
    return 0;
}

/* Where a tensor of that name stands or, if there is none, may be added. */
static int find_place(const gm_record *r, const char *name, size_t *index, gm_error *e) {
    if (check_name("tensor", name, e) != 0) return -1;
    *index = tensor_index(r, name);
    if (*index == r->tensor_capacity)
        return gm_fail(e, "tensor '%s': a record holds at most %d tensors", name, GM_TENSORS_MAX);
    return 0;
}

/* Makes the tensor at `index` (perhaps one more than there are) have room for `bytes` bytes; its numbers are lost. */
static int make_room(gm_record *r, size_t index, const char *name, size_t bytes, gm_error *e) {
    gm_named_tensor *named = &r->tensors[index];
    size_t capacity;
    if (index < r->tensor_count && named->capacity >= bytes && !named->lent) return 0;
    void *data = take_memory(r, bytes, &capacity, e);
    if (!data) return gm_fail_within(e, "tensor '%s': ", name);
    if (index < r->tensor_count) {
        give_tensor(r, named);
    } else {
        memcpy(named->name, name, strlen(name) + 1);
        r->tensor_count++;
    }
    named->tensor.data = data;
    named->capacity = capacity;
    named->lent = false;
    return 0;
}

void gm_tensor_set_shape(gm_tensor *t, gm_type type, unsigned rank, const size_t *shape, size_t count) {
    t->type = type;
    t->rank = rank;
    t->count = count;
    t->bytes = count * gm_type_size(type);
    for (unsigned i = 0; i < rank; i++) t->shape[i] = shape[i];
}

static int check_size(const gm_record *r, const char *name, size_t bytes, gm_error *e) {
    if (bytes <= r->max_tensor) return 0;
    return gm_fail(e, "tensor '%s': %zu bytes, above the limit of %zu (--max-tensor)", name, bytes, r->max_tensor);
}

gm_tensor *gm_record_put(gm_record *r, const char *name, gm_type type, unsigned rank, const size_t *shape,
                         gm_error *e) {
    size_t index, count, bytes;
    if (find_place(r, name, &index, e) != 0) return NULL;
    if (!gm_shape_measure(type, rank, shape, &count, &bytes)) {
        gm_fail(e, "tensor '%s': the shape's product overflows, or its rank is over %d", name, GM_RANK_MAX);
        return NULL;
    }
    if (check_size(r, name, bytes, e) != 0) return NULL;
    if (make_room(r, index, name, bytes, e) != 0) return NULL;
    gm_tensor_set_shape(&r->tensors[index].tensor, type, rank, shape, count);
    return &r->tensors[index].tensor;
}

gm_named_tensor *gm_record_begin_tensor(gm_record *r, const char *name, size_t bytes, gm_error *e) {
    size_t index, room = bytes;
    if (find_place(r, name, &index, e) != 0) return NULL;
    if (find_spare(r, bytes) == r->spare_count && bytes > FIRST_ROOM) room = FIRST_ROOM;
    if (make_room(r, index, name, room, e) != 0) return NULL;
    gm_tensor_set_shape(&r->tensors[index].tensor, GM_U1, 1, &bytes, bytes);
    return &r->tensors[index];
}

int gm_record_extend_tensor(gm_named_tensor *named, size_t had, gm_error *e) {
    size_t room = named->capacity * 2, bytes = named->tensor.bytes;
    if (room > bytes) room = bytes;
    void *data = gm_new(room, 1, e);
    if (!data) return gm_fail_within(e, "tensor '%s': ", named->name);
    memcpy(data, named->tensor.data, had);
    free(named->tensor.data);
    named->tensor.data = data;
    named->capacity = room;
    return 0;
}

gm_named_tensor *gm_record_lend_tensor(gm_record *r, const char *name, void *data, size_t bytes, gm_error *e) {
    size_t index;
    if (find_place(r, name, &index, e) != 0) return NULL;
    gm_named_tensor *named = &r->tensors[index];
    if (index < r->tensor_count)
        give_tensor(r, named);
    else
        memcpy(r->tensors[r->tensor_count++].name, name, strlen(name) + 1);
    named->tensor.data = data;
    named->capacity = bytes;
    named->lent = true;
    gm_tensor_set_shape(&named->tensor, GM_U1, 1, &bytes, bytes);
    return named;
}

float *gm_record_put_matrix(gm_record *r, const char *name, size_t rows, size_t columns, gm_error *e) {
    gm_tensor *t = gm_record_put(r, name, GM_F4, 2, (size_t[]){rows, columns}, e);
    return t ? t->data : NULL;
}

static void remove_at(gm_record *r, size_t index) {
    give_tensor(r, &r->tensors[index]);
    r->tensor_count--;
    memmove(r->tensors + index, r->tensors + index + 1, (r->tensor_count - index) * sizeof *r->tensors);
}

void gm_record_remove(gm_record *r, const char *name) {
    size_t index = tensor_index(r, name);
    if (index < r->tensor_count) remove_at(r, index);
}

/* "no tensor 'z' here; there are x, y" */
static int fail_missing(const gm_record *r, const char *name, gm_error *e) {
    char list[256] = "";
    size_t used = 0;
    for (size_t i = 0; i < r->tensor_count; i++) {
        int n = snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", r->tensors[i].name);
        if (n < 0 || (size_t)n >= sizeof list - used) {
            snprintf(list + used, sizeof list - used, "%s", "");
            return gm_fail(e, "no tensor '%s' in the record; there are %s, and more", name, list);
        }
        used += (size_t)n;
    }
    if (r->tensor_count == 0) return gm_fail(e, "no tensor '%s' in the record; there are none", name);
    return gm_fail(e, "no tensor '%s' in the record; there %s %s", name, r->tensor_count == 1 ? "is" : "are", list);
}

int gm_record_rename(gm_record *r, const char *from, const char *to, gm_error *e) {
    size_t index = tensor_index(r, from);
    if (index == r->tensor_count) return fail_missing(r, from, e);
    if (check_name("tensor", to, e) != 0) return -1;
    size_t taken = tensor_index(r, to);
    if (taken == index) return 0;
    memcpy(r->tensors[index].name, to, strlen(to) + 1);
    if (taken < r->tensor_count) remove_at(r, taken);
    return 0;
}

/* ---- tensors as the tools want them ---- */

/* A tensor whose first axis is the record's rows. */
static gm_named_tensor *find_batch(gm_record *r, const char *name, gm_error *e) {
    size_t index = tensor_index(r, name);
    if (index == r->tensor_count) {
        fail_missing(r, name, e);
        return NULL;
    }
    gm_named_tensor *named = &r->tensors[index];
    if (named->tensor.rank == 0) {
        gm_fail(e, "tensor '%s': expected %zu rows, got a single number", name, r->rows);
        return NULL;
    }
    if (named->tensor.shape[0] != r->rows) {
        gm_fail(e, "tensor '%s': expected %zu rows, got %zu", name, r->rows, named->tensor.shape[0]);
        return NULL;
    }
    return named;
}

/* Takes memory for the tensor's numbers in another type of 4 bytes. */
static void *begin_conversion(gm_record *r, const gm_named_tensor *named, size_t *capacity, gm_error *e) {
    size_t bytes;
    if (!gm_multiply(named->tensor.count, 4, &bytes)) {
        gm_fail(e, "out of memory");
        return NULL;
    }
    if (check_size(r, named->name, bytes, e) != 0) return NULL;
    if (gm_grow(&r->resting, &r->resting_capacity, r->resting_count + 1, sizeof *r->resting, e) != 0) return NULL;
    return take_memory(r, bytes, capacity, e);
}

/* The numbers in the old type rest until the record is cleared: somebody may have been given them before. */
static void end_conversion(gm_record *r, gm_named_tensor *named, gm_type type, void *data, size_t capacity) {
    if (!named->lent)
        r->resting[r->resting_count++] = (gm_spare){.data = named->tensor.data, .capacity = named->capacity};
    named->lent = false;
    named->tensor.data = data;
    named->tensor.type = type;
    named->tensor.bytes = named->tensor.count * gm_type_size(type);
    named->capacity = capacity;
}

float *gm_record_matrix(gm_record *r, const char *name, size_t *columns, gm_error *e) {
    gm_named_tensor *named = find_batch(r, name, e);
    if (!named) return NULL;
    gm_tensor *t = &named->tensor;
    *columns = 1;
    for (unsigned i = 1; i < t->rank; i++) *columns *= t->shape[i]; /* fits: gm_shape_measure */
    if (t->type == GM_F4) return t->data;
    size_t capacity;
    float *floats = begin_conversion(r, named, &capacity, e);
    if (!floats) return NULL;
    for (size_t i = 0; i < t->count; i++) floats[i] = (float)gm_tensor_at(t, i);
    end_conversion(r, named, GM_F4, floats, capacity);
    return floats;
}

/* True if no number is inf or nan. Times zero, those two become nan and all else zero, so one sum tells. */
static bool all_finite(const float *numbers, size_t n) {
    float lanes[16] = {0};
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (size_t k = 0; k < 16; k++) lanes[k] += numbers[i + k] * 0.0f;
    for (; i < n; i++) lanes[0] += numbers[i] * 0.0f;
    for (size_t k = 0; k < 16; k++)
        if (lanes[k] != 0.0f) return false;
    return true;
}

float *gm_record_finite(gm_record *r, const char *name, size_t *columns, gm_error *e) {
    float *numbers = gm_record_matrix(r, name, columns, e);
    if (!numbers) return NULL;
    size_t n = r->rows * *columns;
    if (all_finite(numbers, n)) return numbers;
    size_t i = 0;
    while (i < n && isfinite(numbers[i])) i++;
    if (i == n) return numbers; /* lent memory, which changes */
    gm_fail(e, "tensor '%s': row %zu, column %zu is %s", name, i / *columns, i % *columns,
            isnan(numbers[i]) ? "nan" : "infinite");
    return NULL;
}

int32_t *gm_record_labels(gm_record *r, const char *name, gm_error *e) {
    gm_named_tensor *named = find_batch(r, name, e);
    char text[128];
    size_t capacity;
    if (!named) return NULL;
    gm_tensor *t = &named->tensor;
    if (t->count != r->rows || (t->rank > 1 && t->shape[1] != 1)) {
        gm_fail(e, "tensor '%s': expected one class number for each row, got %s", name, gm_shape_text(t, text));
        return NULL;
    }
    if (t->type == GM_I4) return t->data;
    int32_t *labels = begin_conversion(r, named, &capacity, e);
    if (!labels) return NULL;
    for (size_t i = 0; i < t->count; i++) {
        double value = gm_tensor_at(t, i);
        if (!(value >= INT32_MIN && value <= INT32_MAX && value == floor(value))) {
            gm_fail(e, "tensor '%s': row %zu is %g, which is no class number", name, i, value);
            give_memory(r, labels, capacity);
            return NULL;
        }
        labels[i] = (int32_t)value;
    }
    end_conversion(r, named, GM_I4, labels, capacity);
    return labels;
}

/* ---- scalars and info ---- */

static size_t scalar_index(const gm_record *r, const char *name) {
    size_t i = 0;
    while (i < r->scalar_count && strcmp(r->scalars[i].name, name) != 0) i++;
    return i;
}

int gm_record_set_scalar(gm_record *r, const char *name, double value, gm_error *e) {
    if (check_name("scalar", name, e) != 0) return -1;
    size_t index = scalar_index(r, name);
    if (index == GM_SCALARS_MAX)
        return gm_fail(e, "scalar '%s': a record holds at most %d scalars", name, GM_SCALARS_MAX);
    if (index == r->scalar_count) {
        if (gm_grow(&r->scalars, &r->scalar_capacity, index + 1, sizeof *r->scalars, e) != 0) return -1;
        memcpy(r->scalars[index].name, name, strlen(name) + 1);
        r->scalar_count++;
    }
    r->scalars[index].value = value;
    return 0;
}

bool gm_record_scalar(const gm_record *r, const char *name, double *value) {
    size_t index = scalar_index(r, name);
    if (index == r->scalar_count) return false;
    *value = r->scalars[index].value;
    return true;
}

void gm_record_remove_scalar(gm_record *r, const char *name) {
    size_t index = scalar_index(r, name);
    if (index == r->scalar_count) return;
    r->scalar_count--;
    memmove(r->scalars + index, r->scalars + index + 1, (r->scalar_count - index) * sizeof *r->scalars);
}

gm_value *gm_record_info(gm_record *r, gm_error *e) {
    if (!r->info) r->info = gm_value_map();
    if (!r->info) gm_fail(e, "out of memory");
    return r->info;
}

int gm_record_shorten(gm_record *r, size_t rows, gm_error *e) {
    if (rows > r->rows) return gm_fail(e, "a record of %zu rows cannot be cut to %zu", r->rows, rows);
    for (size_t i = 0; i < r->tensor_count; i++) {
        gm_tensor *t = &r->tensors[i].tensor;
        if (t->rank == 0 || t->shape[0] != r->rows)
            return gm_fail(e, "tensor '%s' has no axis of %zu rows", r->tensors[i].name, r->rows);
        t->count = r->rows ? t->count / r->rows * rows : 0;
        t->bytes = t->count * gm_type_size(t->type);
        t->shape[0] = rows;
    }
    r->rows = rows;
    return 0;
}
