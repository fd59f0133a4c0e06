/* encode.c: rows of text or bytes to features, as a schema says. */
#include "encode.h"
#include "csv_ahead.h"
#include "text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- scaling ---- */

gm_affine gm_column_affine(const gm_column *c, const gm_scale *scale) {
    gm_affine a = {0, 1, 0};
    if (scale->kind == GM_SCALE_STANDARD) {
        a = (gm_affine){c->mean, 1 / c->deviation, 0};
    } else if (scale->kind == GM_SCALE_RANGE) {
        a = (gm_affine){c->minimum, (scale->high - scale->low) / (c->maximum - c->minimum), scale->low};
    }
    if (!isfinite(a.factor)) a.factor = 0; /* one value only */
    return a;
}

int gm_affine_encode(const gm_column *c, gm_affine a, const char *text, size_t n, float *feature, gm_error *e) {
    char name[GM_VISIBLE], shown[GM_VISIBLE];
    double value;
    if (!gm_parse_double_n(text, n, &value)) {
        gm_visible_text(c->name, name);
        if (n == 0) return gm_fail(e, "column '%s': empty; a number belongs here", name);
        return gm_fail(e, "column '%s': '%s' is not a number", name, gm_visible(text, n, shown));
    }
    *feature = gm_affine_scale(a, value);
    if (isfinite(*feature)) return 0;
    return gm_fail(e, "column '%s': '%s' is too large for a 32-bit float", gm_visible_text(c->name, name),
                   gm_visible(text, n, shown));
}

float gm_column_scale(const gm_column *c, const gm_scale *scale, double value) {
    return gm_affine_scale(gm_column_affine(c, scale), value);
}

double gm_column_unscale(const gm_column *c, const gm_scale *scale, float feature) {
    const gm_affine a = gm_column_affine(c, scale);
    double value = a.factor == 0 ? a.offset : a.offset + ((double)feature - a.base) / a.factor;
    if (c->integer) value = rint(value);
    if (value < c->minimum) value = c->minimum;
    if (value > c->maximum) value = c->maximum;
    return value;
}

static int no_category(const gm_column *c, const char *text, size_t n, gm_error *e) {
    char name[GM_VISIBLE], shown[GM_VISIBLE];
    return gm_fail(e, "column '%s': '%s' is not one of the model's %zu categories", gm_visible_text(c->name, name),
                   gm_visible(text, n, shown), c->category_count);
}

int gm_column_encode(const gm_column *c, const gm_scale *scale, const char *text, size_t n, float *features,
                     gm_error *e) {
    if (!c->categorical) return gm_affine_encode(c, gm_column_affine(c, scale), text, n, features, e);
    for (size_t i = 0; i < c->category_count; i++) {
        if (strlen(c->categories[i]) == n && memcmp(c->categories[i], text, n) == 0) {
            memset(features, 0, c->features * sizeof *features);
            features[i] = 1;
            return 0;
        }
    }
    return no_category(c, text, n, e);
}

/* ---- CSV ---- */

static int add_words(gm_lexicon *w, char *const *texts, size_t count, gm_error *e) {
    for (size_t i = 0; i < count; i++) {
        if (gm_lexicon_add(w, texts[i], strlen(texts[i]), e) < 0) return -1;
    }
    return 0;
}

int gm_encoder_open(gm_encoder *n, const gm_schema *schema, gm_error *e) {
    *n = (gm_encoder){.schema = schema, .label_place = -1};
    n->affine = gm_new(schema->column_count, sizeof *n->affine, e);
    n->places = n->affine != NULL ? gm_new(schema->column_count, sizeof *n->places, e) : NULL;
    n->categories = n->places != NULL ? gm_new_zeroed(schema->column_count, sizeof *n->categories, e) : NULL;
    if (n->categories == NULL) return -1;
    for (size_t i = 0; i < schema->column_count; i++) {
        const gm_column *c = &schema->columns[i];
        n->affine[i] = gm_column_affine(c, &schema->scale);
        if (!c->categorical) continue;
        n->one_hot = true;
        if (add_words(&n->categories[i], c->categories, c->category_count, e) < 0) return -1;
    }
    return add_words(&n->classes, schema->classes, schema->class_count, e);
}

void gm_encoder_close(gm_encoder *n) {
    for (size_t i = 0; n->categories != NULL && i < n->schema->column_count; i++) gm_lexicon_free(&n->categories[i]);
    gm_lexicon_free(&n->classes);
    free(n->affine);
    free(n->places);
    free(n->categories);
    *n = (gm_encoder){0};
}

int gm_encoder_match(gm_encoder *n, const gm_csv *csv, const char *file, bool need_label, gm_error *e) {
    const gm_schema *s = n->schema;
    char name[GM_VISIBLE];
    for (size_t i = 0; i < s->column_count; i++) {
        const long at = gm_csv_find(csv, s->columns[i].name);
        if (at < 0) {
            return gm_fail(e, "%s: no column '%s' (the model knows it from %s)", file,
                           gm_visible_text(s->columns[i].name, name), s->source);
        }
        n->places[i] = (size_t)at;
    }
    n->label_place = s->label != NULL ? gm_csv_find(csv, s->label) : -1;
    return need_label && n->label_place < 0 ? gm_csv_no_column(csv, file, "label column", s->label, e) : 0;
}

static int encode_label(const gm_encoder *n, const gm_field *field, int32_t *y, gm_error *e) {
    const gm_schema *s = n->schema;
    char name[GM_VISIBLE], shown[GM_VISIBLE];
    long class = gm_lexicon_find(&n->classes, field->text, field->length);
    if (class < 0) class = gm_schema_class(s, field->text, field->length);
    *y = (int32_t) class;
    if (class >= 0) return 0;
    gm_visible_text(s->label, name);
    if (field->length == 0) return gm_fail(e, "column '%s': empty; a class belongs here", name);
    return gm_fail(e, "column '%s': class '%s' is not one of the model's %zu classes", name,
                   gm_visible(field->text, field->length, shown), s->class_count);
}

int gm_encoder_row(const gm_encoder *n, const gm_field *fields, float *cells, int32_t *y, gm_error *e) {
    const gm_schema *s = n->schema;
    for (size_t i = 0; i < s->column_count; i++) {
        const gm_column *c = &s->columns[i];
        const gm_field *field = &fields[n->places[i]];
        if (!c->categorical) {
            if (gm_affine_encode(c, n->affine[i], field->text, field->length, &cells[i], e) < 0) return -1;
            continue;
        }
        const long category = gm_lexicon_find(&n->categories[i], field->text, field->length);
        if (category < 0) return no_category(c, field->text, field->length, e);
        cells[i] = (float)category;
    }
    return y != NULL ? encode_label(n, &fields[n->label_place], y, e) : 0;
}

void gm_cells_expand(const gm_schema *s, bool one_hot, size_t n, const float *cells, float *x) {
    if (!one_hot) {
        memcpy(x, cells, n * s->features * sizeof *x);
        return;
    }
    for (size_t row = 0; row < n; row++) {
        for (size_t i = 0; i < s->column_count; i++, cells++) {
            const gm_column *c = &s->columns[i];
            if (c->categorical) {
                memset(x, 0, c->features * sizeof *x);
                x[(size_t)*cells] = 1;
            } else {
                *x = *cells;
            }
            x += c->features;
        }
    }
}

/* ---- pictures ---- */

static int check_pixels(const gm_schema *s, const gm_idx *idx, const char *file, gm_error *e) {
    const size_t columns = gm_idx_columns(idx);
    char name[GM_VISIBLE], expected[32];
    size_t height, width;
    gm_idx_shape(idx, &height, &width);
    if (columns != s->column_count) {
        return gm_fail(e, "%s: pictures of %zu pixels; the model (data: %s) has %zu columns", file, columns, s->source,
                       s->column_count);
    }
    if (height != s->height && height != 0 && s->height != 0) {
        return gm_fail(e, "%s: pictures of %zux%zu; the model's are %zux%zu", file, height, width, s->height, s->width);
    }
    for (size_t i = 0; i < columns; i++) {
        snprintf(expected, sizeof expected, "p%zu", i);
        if (s->columns[i].categorical || strcmp(s->columns[i].name, expected) != 0) {
            return gm_fail(e, "%s: the pixel '%s' of pictures stands where the model (data: %s) has the column '%s'",
                           file, expected, s->source, gm_visible_text(s->columns[i].name, name));
        }
    }
    return 0;
}

static bool same_affine(gm_affine a, gm_affine b) {
    return a.offset == b.offset && a.factor == b.factor && a.base == b.base;
}

int gm_pixels_open(gm_pixels *p, const gm_schema *s, const gm_idx *idx, const char *file, gm_error *e) {
    *p = (gm_pixels){.columns = s->column_count, .uniform = true};
    if (check_pixels(s, idx, file, e) < 0) return -1;
    p->affine = gm_new(p->columns, sizeof *p->affine, e);
    if (p->affine == NULL) return -1;
    for (size_t i = 0; i < p->columns; i++) {
        p->affine[i] = gm_column_affine(&s->columns[i], &s->scale);
        p->uniform = p->uniform && same_affine(p->affine[i], p->affine[0]);
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[8];
        const int length = snprintf(text, sizeof text, "%u", byte);
        p->table[byte] = gm_affine_scale(p->affine[0], byte);
        p->classes[byte] = (int32_t)gm_schema_class(s, text, (size_t)length);
    }
    return 0;
}

void gm_pixels_close(gm_pixels *p) {
    free(p->affine);
    p->affine = NULL;
}

void gm_pixels_scale(const gm_pixels *p, size_t n, const unsigned char *bytes, float *x) {
    if (p->uniform) {
        for (size_t i = 0; i < n * p->columns; i++) x[i] = p->table[bytes[i]];
        return;
    }
    for (size_t row = 0; row < n; row++, bytes += p->columns, x += p->columns) {
        for (size_t i = 0; i < p->columns; i++) x[i] = gm_affine_scale(p->affine[i], bytes[i]);
    }
}
