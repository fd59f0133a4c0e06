/* reduce.c: gradients of the parts of a batch, weighed by their rows. */
#include "gm/reduce.h"

#include "../math/clones.h"
#include "gm/ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define ROWS_MAX 0x1p53 /* whole numbers up to here are exact in totals */

/* ---- what belongs to the models ---- */

/* True if text is "PREFIX/MODEL" for one of the models; then *rest is what follows. Without models: "PREFIX". */
static bool belongs(const char *text, const char *prefix, char *const *models, size_t model_count, const char **rest) {
    size_t n = strlen(prefix);
    if (strncmp(text, prefix, n) != 0) return false;
    *rest = text + n;
    for (size_t i = 0; i < model_count; i++) {
        size_t length = strlen(models[i]);
        if (strncmp(text + n, models[i], length) != 0 || (text[n + length] && text[n + length] != '/')) continue;
        *rest = text + n + length;
        return true;
    }
    return model_count == 0;
}

static bool is_gradient(const char *name, char *const *models, size_t model_count) {
    const char *rest;
    return (belongs(name, "grad/", models, model_count, &rest) || belongs(name, "stat/", models, model_count, &rest)) &&
           *rest;
}

static bool is_loss(const char *name, char *const *models, size_t model_count) {
    const char *rest;
    return belongs(name, "loss/", models, model_count, &rest) && (model_count == 0 || !*rest);
}

static int append(size_t **places, size_t *capacity, size_t *count, size_t place, gm_error *e) {
    if (gm_grow(places, capacity, *count + 1, sizeof **places, e) != 0) return -1;
    (*places)[(*count)++] = place;
    return 0;
}

static void sign_bytes(gm_gradients *g, const void *bytes, size_t n) {
    g->signature = XXH64(bytes, n, g->signature);
}

static void sign_number(gm_gradients *g, uint64_t number) {
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(number >> (8 * i));
    sign_bytes(g, bytes, sizeof bytes);
}

/* A name with its NUL, so that no two lists of names are one text. */
static void sign_tensor(gm_gradients *g, const gm_named_tensor *named) {
    sign_bytes(g, named->name, strlen(named->name) + 1);
    sign_number(g, named->tensor.rank);
    for (unsigned i = 0; i < named->tensor.rank; i++) sign_number(g, named->tensor.shape[i]);
}

static int find_tensors(gm_gradients *g, char *const *models, size_t model_count, gm_error *e) {
    size_t bytes = 0;
    for (size_t i = 0; i < g->record->tensor_count; i++) {
        const gm_named_tensor *named = &g->record->tensors[i];
        if (!is_gradient(named->name, models, model_count)) continue;
        if (named->tensor.type != GM_F4)
            return gm_fail(e, "tensor '%s': expected <f4, got %s", named->name, gm_type_text(named->tensor.type));
        if (append(&g->tensors, &g->tensor_capacity, &g->tensor_count, i, e) != 0) return -1;
        if (__builtin_add_overflow(bytes, named->tensor.bytes, &bytes))
            return gm_fail(e, "tensor '%s': the gradients are too many for memory", named->name);
        g->numbers += named->tensor.count;
        sign_tensor(g, named);
    }
    return 0;
}

int gm_gradients_find(gm_gradients *g, gm_record *r, char *const *models, size_t model_count, gm_error *e) {
    g->record = r;
    g->tensor_count = g->scalar_count = g->numbers = 0;
    g->totals = 1;
    g->signature = 0;
    if (find_tensors(g, models, model_count, e) != 0) return -1;
    sign_number(g, g->tensor_count);
    for (size_t i = 0; i < r->scalar_count; i++) {
        if (!is_loss(r->scalars[i].name, models, model_count)) continue;
        if (append(&g->scalars, &g->scalar_capacity, &g->scalar_count, i, e) != 0) return -1;
        g->totals++;
        sign_bytes(g, r->scalars[i].name, strlen(r->scalars[i].name) + 1);
    }
    return 0;
}

void gm_gradients_free(gm_gradients *g) {
    free(g->tensors);
    free(g->scalars);
    *g = (gm_gradients){0};
}

static const gm_named_tensor *tensor_at(const gm_gradients *g, size_t i) {
    return &g->record->tensors[g->tensors[i]];
}

static gm_scalar *scalar_at(const gm_gradients *g, size_t i) {
    return &g->record->scalars[g->scalars[i]];
}

/* ---- comparing ---- */

/* The first name of two lists that differs; a list that has ended has none. */
static int compare_names(const char *what, const char *name, const char *other, gm_error *e) {
    if (name && other && strcmp(name, other) == 0) return 0;
    if (!other) return gm_fail(e, "%s '%s' is missing", what, name);
    if (!name) return gm_fail(e, "%s '%s' is one too many", what, other);
    return gm_fail(e, "%s '%s' stands where '%s' is expected", what, other, name);
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

int gm_gradients_compare(const gm_gradients *g, const gm_gradients *other, gm_error *e) {
    char expected[128], got[128];
    for (size_t i = 0; i < larger(g->tensor_count, other->tensor_count); i++) {
        const gm_named_tensor *a = i < g->tensor_count ? tensor_at(g, i) : NULL,
                              *b = i < other->tensor_count ? tensor_at(other, i) : NULL;
        if (compare_names("tensor", a ? a->name : NULL, b ? b->name : NULL, e) != 0) return -1;
        const gm_tensor *s = &a->tensor, *t = &b->tensor;
        if (s->rank == t->rank && memcmp(s->shape, t->shape, s->rank * sizeof *s->shape) == 0) continue;
        return gm_fail(e, "tensor '%s': expected %s, got %s", a->name, gm_shape_text(s, expected),
                       gm_shape_text(t, got));
    }
    for (size_t i = 0; i < larger(g->scalar_count, other->scalar_count); i++)
        if (compare_names("scalar", i < g->scalar_count ? scalar_at(g, i)->name : NULL,
                          i < other->scalar_count ? scalar_at(other, i)->name : NULL, e) != 0)
            return -1;
    return 0;
}

/* ---- summing ---- */

/* Each pass returns 0 if all numbers that it wrote are finite. */

static GM_CLONES uint32_t weigh(size_t n, float rows, const float *values, float *sums) {
    uint32_t bad = 0;
    GM_INDEPENDENT for (size_t i = 0; i < n; i++) {
        sums[i] = rows * values[i];
        bad |= gm_not_finite(sums[i]);
    }
    return bad;
}

static GM_CLONES uint32_t weigh_and_add(size_t n, float rows, const float *values, float *sums) {
    uint32_t bad = 0;
    GM_INDEPENDENT for (size_t i = 0; i < n; i++) {
        sums[i] += rows * values[i];
        bad |= gm_not_finite(sums[i]);
    }
    return bad;
}

static GM_CLONES uint32_t quotient(size_t n, float rows, const float *sums, float *values) {
    uint32_t bad = 0;
    GM_INDEPENDENT for (size_t i = 0; i < n; i++) {
        values[i] = sums[i] / rows;
        bad |= gm_not_finite(values[i]);
    }
    return bad;
}

/* By a power of two it is a product, the same bits in a fraction of the time. */
static uint32_t divide(size_t n, float rows, const float *sums, float *values) {
    int exponent;
    return frexpf(rows, &exponent) == 0.5f ? weigh(n, 1.0f / rows, sums, values) : quotient(n, rows, sums, values);
}

static int fail_sum(const gm_named_tensor *named, const float *sums, gm_error *e) {
    return gm_fail(e, "tensor '%s': the sum over rows is not finite at index %zu", named->name,
                   gm_first_not_finite(named->tensor.count, sums));
}

/* sums = rows * gradients, or that much more. */
static int sum_tensor(const gm_named_tensor *named, float rows, bool fresh, float *sums, gm_error *e) {
    const gm_tensor *t = &named->tensor;
    if ((fresh ? weigh : weigh_and_add)(t->count, rows, t->data, sums) == 0) return 0;
    size_t own = gm_first_not_finite(t->count, t->data);
    if (own == t->count) return fail_sum(named, sums, e);
    return gm_fail(e, "tensor '%s' is not finite at index %zu", named->name, own);
}

/* gradients = sums / rows. */
static int set_tensor(const gm_named_tensor *named, float rows, const float *sums, gm_error *e) {
    const gm_tensor *t = &named->tensor;
    return divide(t->count, rows, sums, t->data) == 0 ? 0 : fail_sum(named, sums, e);
}

static int sum_parts(const gm_gradients *g, bool fresh, float *sums, double *totals, gm_error *e) {
    double rows = (double)g->record->rows;
    if (g->record->rows == 0 || rows > ROWS_MAX)
        return gm_fail(e, "gradients of %zu rows have no weight", g->record->rows);
    for (size_t i = 0; i < g->tensor_count; i++) {
        const gm_named_tensor *named = tensor_at(g, i);
        if (sum_tensor(named, (float)rows, fresh, sums, e) != 0) return -1;
        sums += named->tensor.count;
    }
    totals[0] = fresh ? rows : totals[0] + rows;
    for (size_t i = 0; i < g->scalar_count; i++) {
        double sum = rows * scalar_at(g, i)->value;
        totals[1 + i] = fresh ? sum : totals[1 + i] + sum;
        if (!isfinite(totals[1 + i])) return gm_fail(e, "scalar '%s' is not finite", scalar_at(g, i)->name);
    }
    return 0;
}

int gm_gradients_weigh(const gm_gradients *g, float *sums, double *totals, gm_error *e) {
    return sum_parts(g, true, sums, totals, e);
}

int gm_gradients_add(const gm_gradients *g, float *sums, double *totals, gm_error *e) {
    return sum_parts(g, false, sums, totals, e);
}

/* info.summed.NAME for each model: the rows that its gradients are of now. */
static int note_rows(const gm_gradients *g, double rows, gm_error *e) {
    char model[GM_NAME_MAX + 1] = "";
    gm_value *info = gm_record_info(g->record, e);
    if (!info) return -1;
    for (size_t i = 0; i < g->tensor_count; i++) {
        const char *name = strchr(tensor_at(g, i)->name, '/') + 1, *end = strrchr(name, '/');
        size_t n = end ? (size_t)(end - name) : strlen(name);
        if (strlen(model) == n && memcmp(model, name, n) == 0) continue;
        memcpy(model, name, n);
        model[n] = '\0';
        if (gm_map_set(gm_map_section(info, "summed"), model, gm_value_int((int64_t)rows)) != 0)
            return gm_fail(e, "out of memory");
    }
    return 0;
}

int gm_gradients_set(const gm_gradients *g, const float *sums, const double *totals, gm_error *e) {
    double rows = totals[0];
    if (!(rows >= 1 && rows <= ROWS_MAX && rows == floor(rows))) return gm_fail(e, "the sum is of %g rows", rows);
    if (rows == (double)g->record->rows) return 0;
    for (size_t i = 0; i < g->tensor_count; i++) {
        const gm_named_tensor *named = tensor_at(g, i);
        if (set_tensor(named, (float)rows, sums, e) != 0) return -1;
        sums += named->tensor.count;
    }
    for (size_t i = 0; i < g->scalar_count; i++) {
        if (!isfinite(totals[1 + i])) return gm_fail(e, "scalar '%s' is not finite", scalar_at(g, i)->name);
        scalar_at(g, i)->value = totals[1 + i] / rows;
    }
    return note_rows(g, rows, e);
}
