#include "gm/tensor.h"

#include <stdio.h>
#include <string.h>

static const struct {
    size_t size;
    const char *text;
} types[] = {
    [GM_F4] = {4, "<f4"}, [GM_F8] = {8, "<f8"}, [GM_U1] = {1, "|u1"}, [GM_I4] = {4, "<i4"}, [GM_I8] = {8, "<i8"},
};

size_t gm_type_size(gm_type type) {
    return types[type].size;
}

const char *gm_type_text(gm_type type) {
    return types[type].text;
}

bool gm_type_parse(const char *text, size_t n, gm_type *type) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (n == strlen(types[i].text) && memcmp(text, types[i].text, n) == 0) {
            *type = (gm_type)i;
            return true;
        }
    return false;
}

bool gm_shape_measure(gm_type type, unsigned rank, const size_t *shape, size_t *count, size_t *bytes) {
    /* The product of the axes that are not 0 must fit too, so that callers may multiply any part of a shape. */
    size_t product = 1, size;
    bool empty = false;
    if (rank > GM_RANK_MAX) return false;
    for (unsigned i = 0; i < rank; i++) {
        if (shape[i] == 0) empty = true;
        if (shape[i] != 0 && !gm_multiply(product, shape[i], &product)) return false;
    }
    if (!gm_multiply(product, gm_type_size(type), &size) || size > PTRDIFF_MAX - GM_ALIGN) return false;
    *count = empty ? 0 : product;
    *bytes = empty ? 0 : size;
    return true;
}

char *gm_shape_text(const gm_tensor *t, char out[128]) {
    size_t used = 0;
    if (t->rank == 0) return memcpy(out, "()", 3);
    out[0] = '\0';
    for (unsigned i = 0; i < t->rank; i++) {
        char axis[32];
        int n = snprintf(axis, sizeof axis, "%s%zu", i > 0 ? "×" : "", t->shape[i]);
        if (n < 0 || used + (size_t)n >= 128) break;
        memcpy(out + used, axis, (size_t)n + 1);
        used += (size_t)n;
    }
    return out;
}

double gm_tensor_at(const gm_tensor *t, size_t i) {
    switch (t->type) {
    case GM_F4:
        return (double)((const float *)t->data)[i];
    case GM_F8:
        return ((const double *)t->data)[i];
    case GM_U1:
        return (double)((const uint8_t *)t->data)[i];
    case GM_I4:
        return (double)((const int32_t *)t->data)[i];
    case GM_I8:
        return (double)((const int64_t *)t->data)[i];
    }
    return 0;
}
