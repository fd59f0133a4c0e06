/* value.h: a small tree of maps, arrays, texts and numbers: a record's `info`, a model's first page.
 *
 * A value owns its children; gm_value_free releases the whole tree. Setters take ownership of the
 * child they are given, also when they fail, and accept NULL children (they fail with "out of memory"), so that calls
 * nest: gm_map_set(map, "seed", gm_value_int(7))
 */
#ifndef GM_VALUE_H
#define GM_VALUE_H

#include "gm/base.h"

#define GM_DEPTH_MAX 16 /* nesting of maps and arrays that is accepted from outside */

typedef enum gm_kind { GM_NIL, GM_BOOL, GM_INT, GM_FLOAT, GM_TEXT, GM_BYTES, GM_ARRAY, GM_MAP } gm_kind;

typedef struct gm_value gm_value;

struct gm_value {
    gm_kind kind;
    bool boolean;
    int64_t integer;
    double number;
    char *text;    /* GM_TEXT and GM_BYTES: `length` bytes and a NUL */
    size_t length; /* bytes of text, or children of an array or a map */
    size_t capacity;
    char **keys;      /* GM_MAP */
    gm_value **items; /* GM_ARRAY and GM_MAP */
};

/* Each returns NULL only when memory ran out. */
gm_value *gm_value_nil(void);
gm_value *gm_value_bool(bool b);
gm_value *gm_value_int(int64_t i);
gm_value *gm_value_float(double d);
gm_value *gm_value_text(const char *text);
gm_value *gm_value_text_n(const char *text, size_t n);
gm_value *gm_value_bytes(const void *bytes, size_t n);
gm_value *gm_value_array(void);
gm_value *gm_value_map(void);
gm_value *gm_value_copy(const gm_value *v);
void gm_value_free(gm_value *v);

/* Sets or replaces a key (order of first insertion is kept); appends to an array. 0, or -1 when memory ran out (child
 * freed). */
int gm_map_set(gm_value *map, const char *key, gm_value *child);
int gm_array_push(gm_value *array, gm_value *child);
void gm_map_remove(gm_value *map, const char *key);

/* The child of that name if it is a map; else an empty map in its place. NULL when memory ran out. */
gm_value *gm_map_section(gm_value *map, const char *key);

/* The child, or NULL if v is NULL, not a map, or has no such key. */
const gm_value *gm_map_get(const gm_value *v, const char *key);
gm_value *gm_map_find(gm_value *v, const char *key);

/* The child's content if it is there and of that kind, else the fallback. An int is also good as a float. */
int64_t gm_map_int(const gm_value *v, const char *key, int64_t fallback);
double gm_map_float(const gm_value *v, const char *key, double fallback);
const char *gm_map_text(const gm_value *v, const char *key, const char *fallback);

bool gm_value_equal(const gm_value *a, const gm_value *b);

#endif
