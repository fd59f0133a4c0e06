/* spec.c: names of models, and a specification as a map and back. */
#include "gm/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "grad/NAME/255.W" must be the name of a tensor. */
#define NAME_LONGEST (GM_NAME_MAX - 16)

int gm_model_name_check(const char *name, gm_error *e) {
    size_t n = strlen(name);
    if (n == 0) return gm_fail_usage(e, "the name of a model is empty");
    if (n > NAME_LONGEST) {
        return gm_fail_usage(e, "model name '%.20s...' has %zu bytes, the most is %d", name, n, NAME_LONGEST);
    }
    size_t good = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    if (good < n) return gm_fail_usage(e, "model name '%s': only letters, digits and . _ - may be in a name", name);
    return 0;
}

int gm_model_name_from(const char *path, char name[GM_NAME_MAX + 1], gm_error *e) {
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    size_t n = strlen(base);
    if (n >= 3 && strcmp(base + n - 3, ".gm") == 0) n -= 3;
    if (n > GM_NAME_MAX) return gm_fail_usage(e, "%s: too long to name the model after it; --name gives a name", path);
    memcpy(name, base, n);
    name[n] = '\0';
    if (gm_model_name_check(name, e) != 0) return gm_fail_within(e, "%s: ", path);
    return 0;
}

bool gm_model_floats(const gm_model_spec *spec, size_t *floats) {
    return gm_multiply(1 + gm_optim_blocks(&spec->optim), spec->net->block, floats);
}

void gm_model_spec_free(gm_model_spec *spec) {
    gm_net_free(spec->net);
    gm_value_free(spec->schema);
    gm_value_free(spec->provenance);
    *spec = (gm_model_spec){0};
}

/* What the words of INPUT stood for. */
static gm_words words_of(const gm_net *net) {
    gm_words words = {0};
    for (size_t i = 0; i < net->part_count; i++) {
        if (net->parts[i].kind == GM_PART_FEATURES) words.features = net->parts[i].columns;
        if (net->parts[i].kind == GM_PART_CLASSES) words.classes = net->parts[i].columns;
    }
    return words;
}

static gm_value *spans_value(const gm_spans *spans) {
    gm_value *items = gm_value_array();
    for (size_t i = 0; items && i < spans->count; i++)
        if (gm_array_push(items, gm_value_int(spans->items[i])) != 0) {
            gm_value_free(items);
            items = NULL;
        }
    return items;
}

static gm_value *layers_value(const gm_net *net) {
    gm_value *layers = gm_value_array();
    for (size_t i = 0; layers && i < net->layer_count; i++) {
        char text[64];
        const char *layer = gm_layer_text(&net->layers[i], text, sizeof text);
        if (!layer || gm_array_push(layers, gm_value_text(layer)) != 0) {
            gm_value_free(layers);
            layers = NULL;
        }
    }
    return layers;
}

gm_value *gm_model_spec_value(const gm_model_spec *spec, bool provenance, gm_error *e) {
    char input[512], optimizer[256], seed[24];
    gm_words words = words_of(spec->net);
    /* A text, because msgpack's integers are signed here and a seed has all 64 bits. */
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)spec->seed);
    gm_value *map = gm_value_map();
    bool ok = map && gm_net_input_text(spec->net, input, sizeof input) &&
              gm_map_set(map, "name", gm_value_text(spec->name)) == 0 &&
              gm_map_set(map, "input", gm_value_text(input)) == 0 &&
              gm_map_set(map, "layers", layers_value(spec->net)) == 0 &&
              gm_map_set(map, "features", gm_value_int((int64_t)words.features)) == 0 &&
              gm_map_set(map, "classes", gm_value_int((int64_t)words.classes)) == 0 &&
              gm_map_set(map, "optimizer", gm_value_text(gm_optim_text(&spec->optim, optimizer))) == 0 &&
              gm_map_set(map, "init", gm_value_text(spec->init)) == 0 &&
              gm_map_set(map, "seed", gm_value_text(seed)) == 0;
    if (ok && spec->net->spans.count) ok = gm_map_set(map, "spans", spans_value(&spec->net->spans)) == 0;
    if (ok && spec->schema) ok = gm_map_set(map, "schema", gm_value_copy(spec->schema)) == 0;
    if (ok && provenance && spec->provenance) {
        ok = gm_map_set(map, "provenance", gm_value_copy(spec->provenance)) == 0;
    }
    if (ok) return map;
    gm_value_free(map);
    gm_fail(e, "out of memory");
    return NULL;
}

/* The text under a key, at most `most` bytes and without a NUL in it; NULL with a message. */
static const char *need_text(const gm_value *map, const char *key, size_t most, gm_error *e) {
    const gm_value *v = gm_map_get(map, key);
    if (!v || v->kind != GM_TEXT) {
        gm_fail(e, "the specification has no text '%s'", key);
        return NULL;
    }
    if (v->length > most || strlen(v->text) != v->length) {
        gm_fail(e, "the specification's '%s' is no text of at most %zu bytes", key, most);
        return NULL;
    }
    return v->text;
}

static int parse_words(const gm_value *map, gm_words *words, gm_error *e) {
    int64_t features = gm_map_int(map, "features", 0), classes = gm_map_int(map, "classes", 0);
    if (features < 0 || classes < 0 || features > (int64_t)GM_UNITS_MAX || classes > (int64_t)GM_UNITS_MAX) {
        return gm_fail(e, "the specification's number of features or classes is out of range");
    }
    *words = (gm_words){.features = (size_t)features, .classes = (size_t)classes};
    return 0;
}

/* The optional list of spans; the caller frees its items. */
static int parse_spans(const gm_value *map, gm_spans *spans, gm_error *e) {
    const gm_value *list = gm_map_get(map, "spans");
    *spans = (gm_spans){0};
    if (!list) return 0;
    if (list->kind != GM_ARRAY || list->length > GM_UNITS_MAX)
        return gm_fail(e, "the specification's spans are no list of numbers");
    spans->items = gm_new(list->length + 1, sizeof *spans->items, e);
    if (!spans->items) return -1;
    for (size_t i = 0; i < list->length; i++) {
        const gm_value *item = list->items[i];
        if (item->kind != GM_INT || item->integer < GM_SPAN_FLAG || item->integer > (int64_t)GM_UNITS_MAX)
            return gm_fail(e, "the specification's span %zu is none", i);
        spans->items[spans->count++] = (int32_t)item->integer;
    }
    return 0;
}

static gm_net *parse_net(const gm_value *map, gm_error *e) {
    const char *texts[GM_LAYERS_MAX];
    const char *input = need_text(map, "input", 511, e);
    const gm_value *layers = gm_map_get(map, "layers");
    gm_words words;
    if (!input || parse_words(map, &words, e) != 0) return NULL;
    if (!layers || layers->kind != GM_ARRAY || layers->length == 0 || layers->length > GM_LAYERS_MAX) {
        gm_fail(e, "the specification has no list of 1 to %d layers", GM_LAYERS_MAX);
        return NULL;
    }
    for (size_t i = 0; i < layers->length; i++) {
        if (layers->items[i]->kind != GM_TEXT) {
            gm_fail(e, "the specification's layer %zu is no text", i);
            return NULL;
        }
        texts[i] = layers->items[i]->text;
    }
    gm_net *net = parse_spans(map, &words.spans, e) == 0 ? gm_net_parse(input, texts, layers->length, words, e) : NULL;
    free(words.spans.items);
    return net;
}

static int parse_fields(const gm_value *map, gm_model_spec *spec, gm_error *e) {
    const char *name = need_text(map, "name", GM_NAME_MAX, e);
    if (!name || gm_model_name_check(name, e) != 0) return -1;
    memcpy(spec->name, name, strlen(name) + 1);
    const char *optimizer = need_text(map, "optimizer", 255, e);
    if (!optimizer || gm_optim_parse(optimizer, &spec->optim, e) != 0) return -1;
    const char *init = need_text(map, "init", sizeof spec->init - 1, e);
    if (!init || gm_init_check(init, e) != 0) return -1;
    memcpy(spec->init, init, strlen(init) + 1);
    const char *seed = need_text(map, "seed", 20, e);
    if (!seed) return -1;
    if (!gm_parse_u64(seed, 0, UINT64_MAX, &spec->seed)) return gm_fail(e, "the specification's seed is no number");
    return 0;
}

/* A copy of an optional map. */
static int parse_map(const gm_value *map, const char *key, gm_value **copy, gm_error *e) {
    const gm_value *v = gm_map_get(map, key);
    if (!v || v->kind == GM_NIL) return 0;
    if (v->kind != GM_MAP) return gm_fail(e, "the specification's '%s' is no map", key);
    *copy = gm_value_copy(v);
    return *copy ? 0 : gm_fail(e, "out of memory");
}

int gm_model_spec_parse(const gm_value *v, gm_model_spec *spec, gm_error *e) {
    *spec = (gm_model_spec){0};
    int failed = 0;
    if (!v || v->kind != GM_MAP) failed = gm_fail(e, "the specification is no map");
    if (!failed) failed = parse_fields(v, spec, e);
    if (!failed) {
        spec->net = parse_net(v, e);
        failed = spec->net ? 0 : -1;
    }
    if (!failed) failed = parse_map(v, "schema", &spec->schema, e);
    if (!failed) failed = parse_map(v, "provenance", &spec->provenance, e);
    if (failed) {
        gm_model_spec_free(spec);
        e->usage = false; /* the texts come from a file, not from the command */
    }
    return failed;
}
