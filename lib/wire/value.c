#include "gm/value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- making ---- */

static gm_value *make(gm_kind kind) {
    gm_value *v = calloc(1, sizeof *v);
    if (v) v->kind = kind;
    return v;
}

gm_value *gm_value_nil(void) {
    return make(GM_NIL);
}

gm_value *gm_value_bool(bool b) {
    gm_value *v = make(GM_BOOL);
    if (v) v->boolean = b;
    return v;
}

gm_value *gm_value_int(int64_t i) {
    gm_value *v = make(GM_INT);
    if (v) v->integer = i;
    return v;
}

gm_value *gm_value_float(double d) {
    gm_value *v = make(GM_FLOAT);
    if (v) v->number = d;
    return v;
}

static gm_value *make_bytes(gm_kind kind, const void *bytes, size_t n) {
    gm_error ignored;
    gm_value *v = make(kind);
    if (!v) return NULL;
    v->text = gm_copy_text(bytes, n, &ignored);
    v->length = n;
    if (v->text) return v;
    free(v);
    return NULL;
}

gm_value *gm_value_text(const char *text) {
    return make_bytes(GM_TEXT, text, strlen(text));
}

gm_value *gm_value_text_n(const char *text, size_t n) {
    return make_bytes(GM_TEXT, text, n);
}

gm_value *gm_value_bytes(const void *bytes, size_t n) {
    return make_bytes(GM_BYTES, bytes, n);
}

gm_value *gm_value_array(void) {
    return make(GM_ARRAY);
}

gm_value *gm_value_map(void) {
    return make(GM_MAP);
}

void gm_value_free(gm_value *v) {
    if (!v) return;
    if (v->kind == GM_ARRAY || v->kind == GM_MAP)
        for (size_t i = 0; i < v->length; i++) {
            if (v->kind == GM_MAP) free(v->keys[i]);
            gm_value_free(v->items[i]);
        }
    free(v->text);
    free(v->keys);
    free(v->items);
    free(v);
}

static gm_value *copy_children(const gm_value *v) {
    gm_value *copy = make(v->kind);
    for (size_t i = 0; copy && i < v->length; i++) {
        gm_value *child = gm_value_copy(v->items[i]);
        int status = v->kind == GM_MAP ? gm_map_set(copy, v->keys[i], child) : gm_array_push(copy, child);
        if (status == 0) continue;
        gm_value_free(copy);
        return NULL;
    }
    return copy;
}

gm_value *gm_value_copy(const gm_value *v) {
    if (!v) return NULL;
    switch (v->kind) {
    case GM_NIL:
        return gm_value_nil();
    case GM_BOOL:
        return gm_value_bool(v->boolean);
    case GM_INT:
        return gm_value_int(v->integer);
    case GM_FLOAT:
        return gm_value_float(v->number);
    case GM_TEXT:
    case GM_BYTES:
        return make_bytes(v->kind, v->text, v->length);
    case GM_ARRAY:
    case GM_MAP:
        return copy_children(v);
    }
    return NULL;
}

/* ---- changing ---- */

/* Where a key stands in a map; its length if it does not. */
static size_t key_index(const gm_value *map, const char *key) {
    size_t i = 0;
    while (i < map->length && strcmp(map->keys[i], key) != 0) i++;
    return i;
}

/* Room for one child more, in both arrays of a map. */
static int make_room(gm_value *v) {
    gm_error ignored;
    size_t capacity = v->capacity;
    if (v->kind == GM_MAP && gm_grow(&v->keys, &capacity, v->length + 1, sizeof *v->keys, &ignored) != 0) return -1;
    capacity = v->capacity;
    if (gm_grow(&v->items, &capacity, v->length + 1, sizeof(gm_value *), &ignored) != 0) return -1;
    v->capacity = capacity;
    return 0;
}

int gm_map_set(gm_value *map, const char *key, gm_value *child) {
    gm_error ignored;
    if (!child) return -1;
    if (!map || map->kind != GM_MAP) {
        gm_value_free(child);
        return -1;
    }
    size_t i = key_index(map, key);
    if (i < map->length) {
        gm_value_free(map->items[i]);
        map->items[i] = child;
        return 0;
    }
    char *copy = gm_copy_text(key, strlen(key), &ignored);
    if (!copy || make_room(map) != 0) {
        free(copy);
        gm_value_free(child);
        return -1;
    }
    map->keys[map->length] = copy;
    map->items[map->length++] = child;
    return 0;
}

int gm_array_push(gm_value *array, gm_value *child) {
    if (!child) return -1;
    if (!array || array->kind != GM_ARRAY || make_room(array) != 0) {
        gm_value_free(child);
        return -1;
    }
    array->items[array->length++] = child;
    return 0;
}

void gm_map_remove(gm_value *map, const char *key) {
    if (!map || map->kind != GM_MAP) return;
    size_t i = key_index(map, key);
    if (i == map->length) return;
    free(map->keys[i]);
    gm_value_free(map->items[i]);
    map->length--;
    memmove(map->keys + i, map->keys + i + 1, (map->length - i) * sizeof *map->keys);
    memmove(map->items + i, map->items + i + 1, (map->length - i) * sizeof *map->items);
}

/* ---- reading ---- */

gm_value *gm_map_find(gm_value *v, const char *key) {
    if (!v || v->kind != GM_MAP) return NULL;
    size_t i = key_index(v, key);
    return i < v->length ? v->items[i] : NULL;
}

const gm_value *gm_map_get(const gm_value *v, const char *key) {
    if (!v || v->kind != GM_MAP) return NULL;
    size_t i = key_index(v, key);
    return i < v->length ? v->items[i] : NULL;
}

int64_t gm_map_int(const gm_value *v, const char *key, int64_t fallback) {
    const gm_value *child = gm_map_get(v, key);
    return child && child->kind == GM_INT ? child->integer : fallback;
}

double gm_map_float(const gm_value *v, const char *key, double fallback) {
    const gm_value *child = gm_map_get(v, key);
    if (child && child->kind == GM_INT) return (double)child->integer;
    return child && child->kind == GM_FLOAT ? child->number : fallback;
}

const char *gm_map_text(const gm_value *v, const char *key, const char *fallback) {
    const gm_value *child = gm_map_get(v, key);
    return child && child->kind == GM_TEXT ? child->text : fallback;
}

/* Maps are equal in any order of their keys. */
static bool equal_children(const gm_value *a, const gm_value *b) {
    if (a->length != b->length) return false;
    for (size_t i = 0; i < a->length; i++) {
        const gm_value *other = a->kind == GM_MAP ? gm_map_get(b, a->keys[i]) : b->items[i];
        if (!other || !gm_value_equal(a->items[i], other)) return false;
    }
    return true;
}

bool gm_value_equal(const gm_value *a, const gm_value *b) {
    if (!a || !b) return a == b;
    if (a->kind != b->kind) return false;
    switch (a->kind) {
    case GM_NIL:
        return true;
    case GM_BOOL:
        return a->boolean == b->boolean;
    case GM_INT:
        return a->integer == b->integer;
    case GM_FLOAT:
        return a->number == b->number || (isnan(a->number) && isnan(b->number));
    case GM_TEXT:
    case GM_BYTES:
        return a->length == b->length && memcmp(a->text, b->text, a->length) == 0;
    case GM_ARRAY:
    case GM_MAP:
        return equal_children(a, b);
    }
    return false;
}

gm_value *gm_map_section(gm_value *map, const char *key) {
    gm_value *section = gm_map_find(map, key);
    if (section && section->kind == GM_MAP) return section;
    return gm_map_set(map, key, gm_value_map()) == 0 ? gm_map_find(map, key) : NULL;
}
