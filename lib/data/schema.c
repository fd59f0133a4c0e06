/* schema.c: what a model knows of its data: scaling's words, classes, release. */
#include "gm/schema.h"
#include "text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void free_texts(char **texts, size_t count) {
    for (size_t i = 0; texts != NULL && i < count; i++) free(texts[i]);
    free(texts);
}

void gm_schema_free(gm_schema *s) {
    if (s == NULL) return;
    for (size_t i = 0; s->columns != NULL && i < s->column_count; i++) {
        free_texts(s->columns[i].categories, s->columns[i].category_count);
        free(s->columns[i].name);
        free(s->columns[i].knots);
        free(s->columns[i].levels);
    }
    free(s->columns);
    free_texts(s->classes, s->class_count);
    free_texts(s->marks.items, s->marks.count);
    free(s->class_rows);
    free(s->source);
    free(s->label);
    free(s);
}

/* ---- scale ---- */

/* "-1,1" to two numbers. */
static bool parse_range(const char *text, gm_scale *scale) {
    const char *comma = strchr(text, ',');
    if (comma == NULL) return false;
    scale->kind = GM_SCALE_RANGE;
    return gm_parse_double_n(text, (size_t)(comma - text), &scale->low) && gm_parse_double(comma + 1, &scale->high);
}

int gm_scale_parse(const char *text, gm_scale *scale, gm_error *e) {
    static const char *const words[] = {"none", "standard", "range", "quantile", NULL};
    static const double bound = 1e30; /* so that features stay far inside a 32-bit float */
    gm_scale parsed = {GM_SCALE_NONE, 0, 0};
    char shown[GM_VISIBLE];
    if (strncmp(text, "range:", 6) == 0) {
        if (!parse_range(text + 6, &parsed))
            return gm_fail_usage(e, "scale '%s': two numbers belong here, as in range:-1,1", text);
        if (!(parsed.low < parsed.high))
            return gm_fail_usage(e, "scale '%s': the low end must be below the high end", text);
        if (parsed.low < -bound || parsed.high > bound) return gm_fail_usage(e, "scale '%s': ends beyond 1e30", text);
    } else if (strcmp(text, "range") == 0) {
        return gm_fail_usage(e, "scale 'range': two numbers belong here, as in range:-1,1");
    } else if (strcmp(text, "standard") == 0) {
        parsed.kind = GM_SCALE_STANDARD;
    } else if (strcmp(text, "quantile") == 0) {
        parsed.kind = GM_SCALE_QUANTILE;
    } else if (strcmp(text, "none") != 0) {
        const char *meant = gm_did_you_mean(text, words);
        gm_visible_text(text, shown);
        if (meant != NULL) return gm_fail_usage(e, "unknown scale '%s' (did you mean '%s'?)", shown, meant);
        return gm_fail_usage(e, "unknown scale '%s'; there are none, standard, quantile, and range:LOW,HIGH", shown);
    }
    *scale = parsed;
    return 0;
}

char *gm_scale_text(const gm_scale *scale, char out[80]) {
    static const char *const words[] = {
        [GM_SCALE_NONE] = "none", [GM_SCALE_STANDARD] = "standard", [GM_SCALE_QUANTILE] = "quantile"};
    char low[32], high[32];
    if (scale->kind == GM_SCALE_RANGE) {
        snprintf(out, 80, "range:%s,%s", gm_format_f64(scale->low, low), gm_format_f64(scale->high, high));
    } else {
        snprintf(out, 80, "%s", words[scale->kind]);
    }
    return out;
}

/* ---- separator ---- */

int gm_separator_parse(const char *text, char *separator, gm_error *e) {
    static const struct {
        const char *name;
        char separator;
    } names[] = {{"tab", '\t'}, {"\\t", '\t'}, {"space", ' '}};
    char shown[GM_VISIBLE];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i].name) != 0) continue;
        *separator = names[i].separator;
        return 0;
    }
    /* Not what numbers, names and quotes are made of. */
    if (text[0] != '\0' && text[1] == '\0' && strchr("\t !#$%&*,/:;<=>?@\\^|~", text[0]) != NULL) {
        *separator = text[0];
        return 0;
    }
    gm_visible_text(text, shown);
    return gm_fail_usage(e, "separator '%s': one mark such as , ; | : or the words tab and space belong here", shown);
}

int gm_caching_parse(const char *text, gm_caching *caching, gm_error *e) {
    static const char *const words[] = {"off", "auto", "on"};
    char shown[GM_VISIBLE];
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(text, words[i]) != 0) continue;
        *caching = (gm_caching)i;
        return 0;
    }
    return gm_fail_usage(e, "'%s' is not off, auto or on", gm_visible_text(text, shown));
}

/* ---- classes ---- */

/* As strcmp for n bytes against a text with a NUL. */
static int compare_bytes(const char *a, size_t n, const char *b) {
    const size_t m = strlen(b);
    const int order = memcmp(a, b, n < m ? n : m);
    return order != 0 ? order : (n > m) - (n < m);
}

static long find_bytes(const gm_schema *s, const char *text, size_t n) {
    size_t low = 0, high = s->class_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = compare_bytes(text, n, s->classes[middle]);
        if (order == 0) return (long)middle;
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return -1;
}

static long find_number(const gm_schema *s, double value) {
    size_t low = 0, high = s->class_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        double class = 0;
        if (!gm_parse_double(s->classes[middle], &class)) return -1;
        if (value == class) return (long)middle;
        if (value < class) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return -1;
}

long gm_schema_class(const gm_schema *s, const char *text, size_t n) {
    double value;
    if (!s->classes_are_numbers) return find_bytes(s, text, n);
    return gm_parse_double_n(text, n, &value) ? find_number(s, value) : -1;
}

int gm_schema_spans(const gm_schema *s, gm_spans *spans, gm_error *e) {
    *spans = (gm_spans){.items = gm_new(2 * s->column_count + 1, sizeof *spans->items, e)};
    if (!spans->items) return -1;
    for (size_t i = 0; i < s->column_count; i++) {
        const gm_column *c = &s->columns[i];
        spans->items[spans->count++] = c->categorical ? (int32_t)c->category_count : GM_SPAN_NUMBER;
        if (!c->categorical && c->features == 2) spans->items[spans->count++] = GM_SPAN_FLAG;
    }
    return 0;
}

size_t gm_schema_labelled(const gm_schema *s) {
    size_t rows = 0;
    for (size_t i = 0; i < s->class_count; i++) rows += s->class_rows[i];
    return rows;
}

static bool same_texts(char *const *a, size_t n, char *const *b, size_t m) {
    if (n != m) return false;
    for (size_t i = 0; i < n; i++)
        if (strcmp(a[i], b[i]) != 0) return false;
    return true;
}

static bool same_form(const gm_schema *a, const gm_schema *b) {
    const char mine = a->form.separator != 0 ? a->form.separator : ',';
    const char other = b->form.separator != 0 ? b->form.separator : ',';
    return mine == other && a->form.no_header == b->form.no_header && a->marks_given == b->marks_given &&
           same_texts(a->marks.items, a->marks.count, b->marks.items, b->marks.count);
}

static bool same_knots(const gm_column *a, const gm_column *b) {
    if (a->knot_count != b->knot_count) return false;
    for (size_t i = 0; i < a->knot_count; i++)
        if (a->knots[i] != b->knots[i] || a->levels[i] != b->levels[i]) return false;
    return true;
}

static bool same_column(const gm_column *a, const gm_column *b, gm_scale_kind scale) {
    if (strcmp(a->name, b->name) != 0 || a->categorical != b->categorical) return false;
    if ((a->missing > 0) != (b->missing > 0)) return false;
    if (a->categorical) return same_texts(a->categories, a->category_count, b->categories, b->category_count);
    if (scale == GM_SCALE_QUANTILE) return same_knots(a, b);
    if (scale == GM_SCALE_RANGE) return a->minimum == b->minimum && a->maximum == b->maximum;
    return scale == GM_SCALE_NONE || (a->mean == b->mean && a->deviation == b->deviation);
}

bool gm_schema_encodes_alike(const gm_schema *a, const gm_schema *b) {
    if (a->column_count != b->column_count || a->scale.kind != b->scale.kind || !same_form(a, b)) return false;
    if (a->scale.kind == GM_SCALE_RANGE && (a->scale.low != b->scale.low || a->scale.high != b->scale.high))
        return false;
    for (size_t i = 0; i < a->column_count; i++)
        if (!same_column(&a->columns[i], &b->columns[i], a->scale.kind)) return false;
    /* a model that knows no classes takes any */
    return a->class_count == 0 || b->class_count == 0 ||
           (a->unlabelled == b->unlabelled && same_texts(a->classes, a->class_count, b->classes, b->class_count));
}
