/* encode.c: rows of text or bytes to features, as a schema says. */
#include "encode.h"
#include "csv_ahead.h"
#include "quantile.h"
#include "text.h"

#include "../math/clones.h"

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

float gm_column_scale(const gm_column *c, const gm_scale *scale, double value) {
    if (scale->kind == GM_SCALE_QUANTILE) return gm_quantile_scale(c, value);
    return gm_affine_scale(gm_column_affine(c, scale), value);
}

double gm_column_unscale(const gm_column *c, const gm_scale *scale, float feature) {
    const gm_affine a = gm_column_affine(c, scale);
    double value = a.factor == 0 ? a.offset : a.offset + ((double)feature - a.base) / a.factor;
    if (scale->kind == GM_SCALE_QUANTILE) value = gm_quantile_unscale(c, feature);
    if (c->integer) value = rint(value);
    if (value < c->minimum) value = c->minimum;
    if (value > c->maximum) value = c->maximum;
    return value;
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
    n->codings = gm_new_zeroed(schema->column_count, sizeof *n->codings, e);
    n->oddities = n->codings != NULL ? gm_new_zeroed(schema->column_count, sizeof *n->oddities, e) : NULL;
    if (n->oddities == NULL) return -1;
    if (gm_missing_open(&n->missing, schema->marks_given ? &schema->marks : NULL, e) < 0) return -1;
    for (size_t i = 0; i < schema->column_count; i++) {
        const gm_column *c = &schema->columns[i];
        gm_coding *k = &n->codings[i];
        k->categorical = c->categorical;
        k->indicator = c->missing > 0;
        k->affine = gm_column_affine(c, &schema->scale);
        k->mean = c->categorical ? 0 : gm_column_scale(c, &schema->scale, c->mean);
        n->expand = n->expand || k->categorical || k->indicator;
        if (add_words(&k->categories, c->categories, c->category_count, e) < 0) return -1;
    }
    return add_words(&n->classes, schema->classes, schema->class_count, e);
}

void gm_encoder_close(gm_encoder *n) {
    for (size_t i = 0; n->codings != NULL && i < n->schema->column_count; i++)
        gm_lexicon_free(&n->codings[i].categories);
    gm_missing_close(&n->missing);
    gm_lexicon_free(&n->classes);
    free(n->codings);
    free(n->oddities);
    *n = (gm_encoder){0};
}

/* All columns that a file should have and has not, in one message. */
static int no_columns(const gm_schema *s, const gm_csv *csv, const char *file, gm_error *e) {
    enum { NAMED = 8 };
    char list[NAMED * (GM_VISIBLE + 4)] = "", name[GM_VISIBLE], more[32] = "";
    size_t used = 0, count = 0;
    for (size_t i = 0; i < s->column_count; i++) {
        if (gm_csv_find(csv, s->columns[i].name) >= 0 || count++ >= NAMED) continue;
        used += (size_t)snprintf(list + used, sizeof list - used, "%s'%s'", count > 1 ? ", " : "",
                                 gm_visible_text(s->columns[i].name, name));
    }
    if (count > NAMED) snprintf(more, sizeof more, " and %zu more", count - NAMED);
    return gm_fail(e, "%s: no column%s %s%s (the model knows %s from %s)%s", file, count > 1 ? "s" : "", list, more,
                   count > 1 ? "them" : "it", s->source, count == s->column_count ? gm_csv_doubt(csv) : "");
}

/* Without names, columns are known by their order. Only the label may be left out. */
static int match_by_order(gm_encoder *n, const gm_csv *csv, const char *file, gm_error *e) {
    const gm_schema *s = n->schema;
    const size_t there = gm_csv_columns(csv), label = s->label != NULL ? 1 : 0;
    const bool whole = there == s->column_count + label;
    if (!whole && there != s->column_count) {
        return gm_fail(e, "%s: %zu columns; the model knows %zu%s, by their order as there is no header", file, there,
                       s->column_count + label, label > 0 ? " with the label" : "");
    }
    n->label_place = whole && s->label != NULL ? gm_csv_find(csv, s->label) : -1;
    for (size_t i = 0; i < s->column_count; i++)
        n->codings[i].place = whole && n->label_place >= 0 && i >= (size_t)n->label_place ? i + 1 : i;
    return 0;
}

static int match_by_name(gm_encoder *n, const gm_csv *csv, const char *file, gm_error *e) {
    const gm_schema *s = n->schema;
    for (size_t i = 0; i < s->column_count; i++) {
        const long at = gm_csv_find(csv, s->columns[i].name);
        if (at < 0) return no_columns(s, csv, file, e);
        if (gm_csv_check_name(csv, s->columns[i].name, e) < 0) return -1;
        n->codings[i].place = (size_t)at;
    }
    n->label_place = s->label != NULL ? gm_csv_find(csv, s->label) : -1;
    return s->label != NULL ? gm_csv_check_name(csv, s->label, e) : 0;
}

int gm_encoder_match(gm_encoder *n, const gm_csv *csv, const char *file, bool need_label, gm_error *e) {
    const gm_schema *s = n->schema;
    if ((s->form.no_header ? match_by_order(n, csv, file, e) : match_by_name(n, csv, file, e)) < 0) return -1;
    return need_label && n->label_place < 0 ? gm_csv_no_column(csv, file, "label column", s->label, e) : 0;
}

static int encode_label(const gm_encoder *n, const gm_field *field, int32_t *y, gm_error *e) {
    const gm_schema *s = n->schema;
    char name[GM_VISIBLE], shown[GM_VISIBLE];
    if (field->length == 0 && s->unlabelled) {
        *y = GM_UNLABELLED;
        return 0;
    }
    long class = gm_lexicon_find(&n->classes, field->text, field->length);
    if (class < 0) class = gm_schema_class(s, field->text, field->length);
    *y = (int32_t) class;
    if (class >= 0) return 0;
    gm_visible_text(s->label, name);
    if (field->length == 0) return gm_fail(e, "column '%s': " GM_EMPTY_LABEL, name);
    return gm_fail(e, "column '%s': class '%s' is not one of the model's %zu classes", name,
                   gm_visible(field->text, field->length, shown), s->class_count);
}

static int bad_number(const gm_column *c, const gm_field *field, const char *what, gm_error *e) {
    char name[GM_VISIBLE], shown[GM_VISIBLE];
    return gm_fail(e, "column '%s': '%s' is %s", gm_visible_text(c->name, name),
                   gm_visible(field->text, field->length, shown), what);
}

static int encode_number(gm_encoder *n, size_t column, const gm_field *field, float *cell, gm_error *e) {
    const gm_coding *k = &n->codings[column];
    double value;
    const bool number = gm_parse_double_roomy(field->text, field->length, &value);
    if ((!number || n->missing.numbers) && gm_missing_is(&n->missing, field->text, field->length)) {
        *cell = NAN;
        if (!k->indicator) n->odd = true;
        return 0;
    }
    if (!number) return bad_number(&n->schema->columns[column], field, "not a number", e);
    const bool quantile = n->schema->scale.kind == GM_SCALE_QUANTILE;
    *cell = quantile ? gm_quantile_scale(&n->schema->columns[column], value) : gm_affine_scale(k->affine, value);
    if (isfinite(*cell)) return 0;
    return bad_number(&n->schema->columns[column], field, "too large for a 32-bit float", e);
}

static float encode_category(gm_encoder *n, size_t column, const gm_field *field) {
    const long category = gm_lexicon_find(&n->codings[column].categories, field->text, field->length);
    gm_oddity *odd = &n->oddities[column];
    if (category < 0) {
        if (odd->first[0] == '\0') gm_visible(field->text, field->length, odd->first);
        n->odd = true;
    }
    return (float)category;
}

int gm_encoder_row(gm_encoder *n, const gm_field *fields, float *cells, int32_t *y, gm_error *e) {
    for (size_t i = 0; i < n->schema->column_count; i++) {
        const gm_field *field = &fields[n->codings[i].place];
        if (n->codings[i].categorical) {
            cells[i] = encode_category(n, i, field);
        } else if (encode_number(n, i, field, &cells[i], e) < 0) {
            return -1;
        }
    }
    return y != NULL ? encode_label(n, &fields[n->label_place], y, e) : 0;
}

void gm_cells_recall(const gm_encoder *n, float *cells, gm_oddity *oddities) {
    for (size_t i = 0; i < n->schema->column_count; i++) {
        const gm_coding *k = &n->codings[i];
        const bool odd = k->categorical ? cells[i] < 0 : !k->indicator && isnan(cells[i]);
        if (!odd) continue;
        if (!k->categorical) cells[i] = k->mean;
        if (oddities != NULL) oddities[i].rows++;
    }
}

/* A category that was kept in a file is not trusted. */
static void expand_cell(const gm_column *c, const gm_scale *scale, float cell, float *x) {
    if (c->categorical) {
        memset(x, 0, c->features * sizeof *x);
        if (cell >= 0 && cell < (float)c->category_count) x[(size_t)cell] = 1;
    } else if (c->missing == 0) {
        x[0] = cell;
    } else {
        x[0] = isnan(cell) ? gm_column_scale(c, scale, c->mean) : cell;
        x[1] = isnan(cell) ? 1.0f : 0.0f;
    }
}

void gm_cells_expand(const gm_schema *s, bool expand, size_t n, const float *cells, float *x) {
    if (!expand) {
        memcpy(x, cells, n * s->features * sizeof *x);
        return;
    }
    for (size_t row = 0; row < n; row++) {
        for (size_t i = 0; i < s->column_count; i++) {
            expand_cell(&s->columns[i], &s->scale, *cells++, x);
            x += s->columns[i].features;
        }
    }
}

/* ---- what the schema does not know ---- */

enum { TOLD = 8 }; /* columns that are named */

static void tell_missing(const gm_schema *s, const gm_oddity *oddities, gm_note *note, const void *context) {
    char line[128 + TOLD * (GM_VISIBLE + 24)], list[TOLD * (GM_VISIBLE + 24)] = "", more[48] = "", name[GM_VISIBLE];
    size_t used = 0, columns = 0;
    uint64_t rows = 0;
    for (size_t i = 0; i < s->column_count; i++) {
        if (s->columns[i].categorical || oddities[i].rows == 0) continue;
        rows += oddities[i].rows;
        if (columns++ >= TOLD) continue;
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s %llu", columns > 1 ? ", " : "",
                                 gm_visible_text(s->columns[i].name, name), (unsigned long long)oddities[i].rows);
    }
    if (columns == 0) return;
    if (columns > TOLD) snprintf(more, sizeof more, ", and %zu more columns", columns - TOLD);
    snprintf(line, sizeof line,
             "%llu missing number%s taken for the mean of the column (none was missing before): %s%s",
             (unsigned long long)rows, rows == 1 ? "" : "s", list, more);
    note(context, line);
}

static void tell_unknown(const gm_column *c, const gm_oddity *odd, gm_note *note, const void *context) {
    char line[256], name[GM_VISIBLE];
    snprintf(line, sizeof line, "column '%s': %llu row%s with a category that the model does not know, as '%s'",
             gm_visible_text(c->name, name), (unsigned long long)odd->rows, odd->rows == 1 ? "" : "s", odd->first);
    note(context, line);
}

void gm_oddities_tell(const gm_schema *s, const gm_oddity *oddities, gm_note *note, const void *context) {
    size_t unknown = 0;
    char line[96];
    if (oddities == NULL) return;
    tell_missing(s, oddities, note, context);
    for (size_t i = 0; i < s->column_count; i++) {
        if (!s->columns[i].categorical || oddities[i].rows == 0) continue;
        if (unknown++ < TOLD) tell_unknown(&s->columns[i], &oddities[i], note, context);
    }
    if (unknown <= TOLD) return;
    snprintf(line, sizeof line, "%zu more columns with categories that the model does not know", unknown - TOLD);
    note(context, line);
}

/* ---- pictures ---- */

static int check_pixels(const gm_schema *s, const gm_idx *idx, const char *file, gm_error *e) {
    const size_t columns = gm_idx_columns(idx);
    char name[GM_VISIBLE], expected[32];
    size_t height, width;
    gm_idx_shape(idx, &height, &width);
    if (s->scale.kind == GM_SCALE_QUANTILE)
        return gm_fail(e, "%s: the scale of the model (data: %s) is not one of pictures", file, s->source);
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

int gm_pixels_open(gm_pixels *p, const gm_schema *s, const gm_idx *idx, const char *file, gm_error *e) {
    *p = (gm_pixels){.columns = s->column_count};
    if (check_pixels(s, idx, file, e) < 0) return -1;
    p->affine = gm_new(3 * p->columns, sizeof *p->affine, e);
    if (p->affine == NULL) return -1;
    p->alike = true;
    for (size_t i = 0; i < p->columns; i++) {
        const gm_affine a = gm_column_affine(&s->columns[i], &s->scale);
        p->affine[i] = a.offset;
        p->affine[p->columns + i] = a.factor;
        p->affine[2 * p->columns + i] = a.base;
        if (a.offset != p->affine[0] || a.factor != p->affine[p->columns] || a.base != p->affine[2 * p->columns])
            p->alike = false;
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[8];
        const int length = snprintf(text, sizeof text, "%u", byte);
        p->classes[byte] = (int32_t)gm_schema_class(s, text, (size_t)length);
    }
    return 0;
}

void gm_pixels_close(gm_pixels *p) {
    free(p->affine);
    p->affine = NULL;
}

GM_CLONES static void scale_row(size_t n, const double *offset, const double *factor, const double *base,
                                const unsigned char *bytes, float *x) {
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) x[i] = gm_affine_scale((gm_affine){offset[i], factor[i], base[i]}, bytes[i]);
}

GM_CLONES static void scale_alike(size_t n, gm_affine a, const unsigned char *bytes, float *x) {
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) x[i] = gm_affine_scale(a, bytes[i]);
}

void gm_pixels_scale(const gm_pixels *p, size_t n, const unsigned char *bytes, float *x) {
    if (p->alike) {
        const gm_affine a = {p->affine[0], p->affine[p->columns], p->affine[2 * p->columns]};
        scale_alike(n * p->columns, a, bytes, x);
        return;
    }
    for (size_t row = 0; row < n; row++, bytes += p->columns, x += p->columns)
        scale_row(p->columns, p->affine, p->affine + p->columns, p->affine + 2 * p->columns, bytes, x);
}
