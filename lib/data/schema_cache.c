/* schema_cache.c: what a scan found in a data file, kept in a cache beside it.
 */
#include "schema_cache.h"

#include "gm/stream.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BODY_MAX ((uint64_t)256 << 20)

static gm_value *texts(const gm_names *names) {
    gm_value *array = names != NULL ? gm_value_array() : gm_value_nil();
    for (size_t i = 0; array != NULL && names != NULL && i < names->count; i++) {
        if (gm_array_push(array, gm_value_text(names->items[i])) == 0) continue;
        gm_value_free(array);
        return NULL;
    }
    return array;
}

/* All that the schema depends on beside the file. */
static gm_value *choice_value(const gm_scan_choice *choice) {
    char scale[80], fold[48];
    gm_value *map = gm_value_map();
    if (map != NULL && gm_map_set(map, "scan", gm_value_bool(true)) == 0 &&
        gm_map_set(map, "label", choice->label != NULL ? gm_value_text(choice->label) : gm_value_nil()) == 0 &&
        gm_map_set(map, "unlabelled", gm_value_bool(choice->unlabelled)) == 0 &&
        gm_map_set(map, "one class", gm_value_bool(choice->one_class)) == 0 &&
        gm_map_set(map, "scale", gm_value_text(gm_scale_text(&choice->scale, scale))) == 0 &&
        gm_map_set(map, "fold", gm_value_text(gm_fold_text(&choice->fold, fold))) == 0 &&
        gm_map_set(map, "rest", gm_value_bool(choice->fold.rest)) == 0 &&
        gm_map_set(map, "separator", gm_value_int(choice->form.separator)) == 0 &&
        gm_map_set(map, "no header", gm_value_bool(choice->form.no_header)) == 0 &&
        gm_map_set(map, "categorical", texts(&choice->categorical)) == 0 &&
        gm_map_set(map, "numeric", texts(&choice->numeric)) == 0 && gm_map_set(map, "marks", texts(choice->marks)) == 0)
        return map;
    gm_value_free(map);
    return NULL;
}

static bool make_key(gm_schema_cache *c, const gm_scan_choice *choice) {
    unsigned char *bytes;
    size_t n;
    gm_error ignored;
    gm_value *value = choice_value(choice);
    const bool done = value != NULL && gm_value_pack(value, &bytes, &n, &ignored) == 0;
    gm_value_free(value);
    if (!done) return false;
    c->key = gm_cache_key_of(bytes, n);
    free(bytes);
    return true;
}

static gm_schema *read_body(const gm_cache *cache) {
    gm_error ignored;
    unsigned char *bytes = cache->bytes <= BODY_MAX ? gm_new((size_t)cache->bytes, 1, &ignored) : NULL;
    const bool read = bytes != NULL && gm_cache_read(cache, 0, bytes, (size_t)cache->bytes) == 0;
    gm_value *value = read ? gm_value_unpack(bytes, (size_t)cache->bytes, &ignored) : NULL;
    gm_schema *s = value != NULL ? gm_schema_parse(value, &ignored) : NULL;
    gm_value_free(value);
    free(bytes);
    return s;
}

gm_schema *gm_schema_cache_open(gm_schema_cache *c, char *const *files, size_t file_count,
                                const gm_scan_choice *choice) {
    gm_cache cache = {.fd = -1};
    *c = (gm_schema_cache){.data = -1};
    if (file_count != 1 || !gm_cache_wanted(choice->caching, files, file_count) || !make_key(c, choice)) return NULL;
    c->data = gm_open(files[0], O_RDONLY);
    if (c->data < 0) return NULL;
    gm_schema *s = gm_cache_open(files[0], c->data, &c->key, &cache) == GM_CACHE_GOOD ? read_body(&cache) : NULL;
    if (cache.fd >= 0) close(cache.fd);
    if (s == NULL) c->writer = gm_cache_begin(files[0], c->data, &c->key);
    return s;
}

void gm_schema_cache_close(gm_schema_cache *c, const gm_schema *found) {
    unsigned char *bytes = NULL;
    size_t n = 0;
    gm_error ignored;
    gm_cache cache = {.fd = -1};
    gm_value *value = c->writer != NULL && found != NULL ? gm_schema_value(found, &ignored) : NULL;
    if (value != NULL && gm_value_pack(value, &bytes, &n, &ignored) == 0 && gm_cache_put(c->writer, bytes, n) == 0) {
        if (gm_cache_commit(c->writer, &cache) == 0 && cache.fd >= 0) close(cache.fd);
    } else {
        gm_cache_abandon(c->writer);
    }
    gm_value_free(value);
    free(bytes);
    if (c->data >= 0) close(c->data);
}
