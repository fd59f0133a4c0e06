/* schema_value.c: a schema as a value of the model file, and back.
 *
 *   { source, rows, scale, features, columns: N, [names: N texts; absent for p0 p1 ...], minimum, maximum, mean,
 * deviation, integer, [missing]: N each, or one that holds for all, [decimals, padded]: N each, or one, [categories:
 * [{column, words}]], [knots: [{column, values, levels}]], [label, [label_place], classes, class_rows, [unlabelled:
 * true]], [height, width], [separator], [header: false], [marks], [held_out] }
 *
 * What stands in brackets is left out where it says nothing: no missing numbers, another scale than quantile, a label
 * behind all columns, a comma, a header, the usual marks, no fold.
 *
 * Pictures have hundreds of columns that differ in nothing but two numbers, so what columns share is written once.
 */
#include "gm/schema.h"
#include "text.h"
#include "lexicon.h"
#include "quantile.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX ((int64_t)1 << 48)

enum { STATISTICS = 4 };

static const char *const statistic_names[STATISTICS] = {"minimum", "maximum", "mean", "deviation"};

static double *statistic(gm_column *c, size_t i) {
    double *const places[STATISTICS] = {&c->minimum, &c->maximum, &c->mean, &c->deviation};
    return places[i];
}

static double statistic_of(const gm_column *c, size_t i) {
    const double numbers[STATISTICS] = {c->minimum, c->maximum, c->mean, c->deviation};
    return numbers[i];
}

/* The name of a column of a file without names. */
static const char *number_name(size_t i, char out[32]) {
    snprintf(out, 32, "p%zu", i);
    return out;
}

/* ---- to a value: each function returns NULL or -1 only when memory ran out ---- */

static gm_value *texts_value(char *const *texts, size_t count) {
    gm_value *array = gm_value_array();
    for (size_t i = 0; array != NULL && i < count; i++) {
        if (gm_array_push(array, gm_value_text(texts[i])) < 0) {
            gm_value_free(array);
            return NULL;
        }
    }
    return array;
}

static gm_value *statistic_value(const gm_schema *s, size_t which) {
    bool same = true;
    for (size_t i = 1; i < s->column_count; i++) {
        same = same && statistic_of(&s->columns[i], which) == statistic_of(&s->columns[0], which);
    }
    if (same) return gm_value_float(statistic_of(&s->columns[0], which));
    gm_value *array = gm_value_array();
    for (size_t i = 0; array != NULL && i < s->column_count; i++) {
        if (gm_array_push(array, gm_value_float(statistic_of(&s->columns[i], which))) < 0) {
            gm_value_free(array);
            return NULL;
        }
    }
    return array;
}

/* A truth of each column, at `offset` in it. */
static bool truth_of(const gm_column *c, size_t offset) {
    return *(const bool *)((const char *)c + offset);
}

static gm_value *truth_value(const gm_schema *s, size_t offset) {
    bool same = true;
    for (size_t i = 1; i < s->column_count; i++)
        same = same && truth_of(&s->columns[i], offset) == truth_of(&s->columns[0], offset);
    if (same) return gm_value_bool(truth_of(&s->columns[0], offset));
    gm_value *array = gm_value_array();
    for (size_t i = 0; array != NULL && i < s->column_count; i++) {
        if (gm_array_push(array, gm_value_bool(truth_of(&s->columns[i], offset))) < 0) {
            gm_value_free(array);
            return NULL;
        }
    }
    return array;
}

static gm_value *decimals_value(const gm_schema *s) {
    bool same = true;
    for (size_t i = 1; i < s->column_count; i++) same = same && s->columns[i].decimals == s->columns[0].decimals;
    if (same) return gm_value_int(s->columns[0].decimals);
    gm_value *array = gm_value_array();
    for (size_t i = 0; array != NULL && i < s->column_count; i++) {
        if (gm_array_push(array, gm_value_int(s->columns[i].decimals)) < 0) {
            gm_value_free(array);
            return NULL;
        }
    }
    return array;
}

static gm_value *numbers_value(const double *numbers, size_t count) {
    gm_value *array = gm_value_array();
    for (size_t i = 0; array != NULL && i < count; i++) {
        if (gm_array_push(array, gm_value_float(numbers[i])) < 0) {
            gm_value_free(array);
            return NULL;
        }
    }
    return array;
}

static int set_knots(const gm_schema *s, gm_value *map) {
    gm_value *all = gm_value_array();
    if (s->scale.kind != GM_SCALE_QUANTILE) {
        gm_value_free(all);
        return 0;
    }
    if (gm_map_set(map, "knots", all) < 0) return -1;
    for (size_t i = 0; i < s->column_count; i++) {
        const gm_column *c = &s->columns[i];
        if (c->categorical) continue;
        gm_value *one = gm_value_map();
        if (gm_array_push(all, one) < 0) return -1;
        if (gm_map_set(one, "column", gm_value_int((int64_t)i)) < 0) return -1;
        if (gm_map_set(one, "values", numbers_value(c->knots, c->knot_count)) < 0) return -1;
        if (gm_map_set(one, "levels", numbers_value(c->levels, c->knot_count)) < 0) return -1;
    }
    return 0;
}

/* Nothing to say: 0 for all. */
static int set_missing(const gm_schema *s, gm_value *map) {
    bool any = false;
    for (size_t i = 0; i < s->column_count; i++) any = any || s->columns[i].missing > 0;
    if (!any) return 0;
    gm_value *array = gm_value_array();
    if (gm_map_set(map, "missing", array) < 0) return -1;
    for (size_t i = 0; i < s->column_count; i++) {
        if (gm_array_push(array, gm_value_int((int64_t)s->columns[i].missing)) < 0) return -1;
    }
    return 0;
}

static int set_form(const gm_schema *s, gm_value *map) {
    const char separator[2] = {s->form.separator, '\0'};
    char fold[48];
    const bool comma = s->form.separator == 0 || s->form.separator == ',';
    if (!comma && gm_map_set(map, "separator", gm_value_text(separator)) < 0) return -1;
    if (s->held_out.count > 0 && gm_map_set(map, "held_out", gm_value_text(gm_fold_text(&s->held_out, fold))) < 0)
        return -1;
    if (s->form.no_header && gm_map_set(map, "header", gm_value_bool(false)) < 0) return -1;
    return s->marks_given ? gm_map_set(map, "marks", texts_value(s->marks.items, s->marks.count)) : 0;
}

static int set_names(const gm_schema *s, gm_value *map) {
    char name[32];
    bool numbered = true;
    for (size_t i = 0; i < s->column_count; i++)
        numbered = numbered && strcmp(s->columns[i].name, number_name(i, name)) == 0;
    if (numbered) return 0;
    gm_value *names = gm_value_array();
    if (gm_map_set(map, "names", names) < 0) return -1;
    for (size_t i = 0; i < s->column_count; i++) {
        if (gm_array_push(names, gm_value_text(s->columns[i].name)) < 0) return -1;
    }
    return 0;
}

static int set_categories(const gm_schema *s, gm_value *map) {
    gm_value *all = NULL;
    for (size_t i = 0; i < s->column_count; i++) {
        const gm_column *c = &s->columns[i];
        if (!c->categorical) continue;
        if (all == NULL) {
            all = gm_value_array();
            if (gm_map_set(map, "categories", all) < 0) return -1;
        }
        gm_value *one = gm_value_map();
        if (gm_array_push(all, one) < 0) return -1;
        if (gm_map_set(one, "column", gm_value_int((int64_t)i)) < 0) return -1;
        if (gm_map_set(one, "words", texts_value(c->categories, c->category_count)) < 0) return -1;
    }
    return 0;
}

static int set_classes(const gm_schema *s, gm_value *map) {
    if (s->label == NULL) return 0;
    gm_value *rows = gm_value_array();
    if (gm_map_set(map, "class_rows", rows) < 0) return -1;
    for (size_t i = 0; i < s->class_count; i++) {
        if (gm_array_push(rows, gm_value_int((int64_t)s->class_rows[i])) < 0) return -1;
    }
    if (gm_map_set(map, "label", gm_value_text(s->label)) < 0) return -1;
    const bool last = s->label_place == s->column_count;
    if (!last && gm_map_set(map, "label_place", gm_value_int((int64_t)s->label_place)) < 0) return -1;
    if (s->unlabelled && gm_map_set(map, "unlabelled", gm_value_bool(true)) < 0) return -1;
    return gm_map_set(map, "classes", texts_value(s->classes, s->class_count));
}

static int set_all(const gm_schema *s, gm_value *map) {
    char scale[80];
    if (gm_map_set(map, "source", gm_value_text(s->source)) < 0) return -1;
    if (gm_map_set(map, "rows", gm_value_int((int64_t)s->rows)) < 0) return -1;
    if (gm_map_set(map, "scale", gm_value_text(gm_scale_text(&s->scale, scale))) < 0) return -1;
    if (gm_map_set(map, "features", gm_value_int((int64_t)s->features)) < 0) return -1;
    if (gm_map_set(map, "columns", gm_value_int((int64_t)s->column_count)) < 0) return -1;
    if (set_names(s, map) < 0) return -1;
    for (size_t i = 0; i < STATISTICS; i++) {
        if (gm_map_set(map, statistic_names[i], statistic_value(s, i)) < 0) return -1;
    }
    if (gm_map_set(map, "integer", truth_value(s, offsetof(gm_column, integer))) < 0) return -1;
    if (gm_map_set(map, "decimals", decimals_value(s)) < 0) return -1;
    if (gm_map_set(map, "padded", truth_value(s, offsetof(gm_column, padded))) < 0) return -1;
    if (set_missing(s, map) < 0 || set_form(s, map) < 0 || set_knots(s, map) < 0) return -1;
    if (set_categories(s, map) < 0 || set_classes(s, map) < 0) return -1;
    if (s->height == 0) return 0;
    if (gm_map_set(map, "height", gm_value_int((int64_t)s->height)) < 0) return -1;
    return gm_map_set(map, "width", gm_value_int((int64_t)s->width));
}

gm_value *gm_schema_value(const gm_schema *s, gm_error *e) {
    gm_value *map = gm_value_map();
    if (map == NULL || set_all(s, map) < 0) {
        gm_fail(e, "out of memory");
        gm_value_free(map);
        return NULL;
    }
    return map;
}

/* ---- and back: nothing in the value is trusted ---- */

/* The child's integer in [low, high]. */
static int get_size(const gm_value *map, const char *key, int64_t low, int64_t high, size_t *out, gm_error *e) {
    const int64_t number = gm_map_int(map, key, -1);
    if (number < low || number > high) return gm_fail(e, "'%s' is missing or out of its range", key);
    *out = (size_t)number;
    return 0;
}

/* A copy of a text child without NUL bytes inside. */
static char *copy_text(const gm_value *v, const char *what, size_t low, size_t high, gm_error *e) {
    if (v == NULL || v->kind != GM_TEXT || v->length < low || v->length > high ||
        memchr(v->text, 0, v->length) != NULL) {
        gm_fail(e, "'%s' is missing or no proper text", what);
        return NULL;
    }
    return gm_copy_text(v->text, v->length, e);
}

/* An array of texts that differ from each other. */
static char **copy_texts(const gm_value *v, const char *what, size_t low, size_t high, size_t longest, gm_error *e) {
    gm_lexicon words = {0};
    if (v == NULL || v->kind != GM_ARRAY || v->length < low || v->length > high) {
        gm_fail(e, "'%s' is missing, or no array of the right length", what);
        return NULL;
    }
    for (size_t i = 0; i < v->length; i++) {
        const gm_value *t = v->items[i];
        const bool good = t->kind == GM_TEXT && t->length <= longest && memchr(t->text, 0, t->length) == NULL;
        if (!good) gm_fail(e, "'%s': item %zu is no proper text", what, i);
        const long at = good ? gm_lexicon_add(&words, t->text, t->length, e) : -1;
        if (at >= 0 && (size_t)at < i) gm_fail(e, "'%s': items %ld and %zu are the same", what, at, i);
        if (at < 0 || (size_t)at < i) {
            gm_lexicon_free(&words);
            return NULL;
        }
    }
    char **texts = gm_lexicon_take(&words, e);
    if (texts == NULL) gm_lexicon_free(&words);
    return texts;
}

static int get_names(gm_schema *s, const gm_value *map, gm_error *e) {
    const gm_value *names = gm_map_get(map, "names");
    char name[32];
    if (names == NULL) {
        for (size_t i = 0; i < s->column_count; i++) {
            number_name(i, name);
            s->columns[i].name = gm_copy_text(name, strlen(name), e);
            if (s->columns[i].name == NULL) return -1;
        }
        return 0;
    }
    char **texts = copy_texts(names, "names", s->column_count, s->column_count, GM_COLUMN_NAME_MAX, e);
    if (texts == NULL) return -1;
    for (size_t i = 0; i < s->column_count; i++) s->columns[i].name = texts[i];
    free(texts);
    for (size_t i = 0; i < s->column_count; i++) {
        if (s->columns[i].name[0] == '\0') return gm_fail(e, "'names': item %zu is empty", i);
    }
    return 0;
}

static bool finite_number(const gm_value *v, double *number) {
    if (v->kind == GM_INT) {
        *number = (double)v->integer;
    } else if (v->kind == GM_FLOAT && isfinite(v->number)) {
        *number = v->number;
    } else {
        return false;
    }
    return true;
}

/* One number for each column, or one for all. */
static int get_statistic(gm_schema *s, const gm_value *map, size_t which, gm_error *e) {
    const gm_value *v = gm_map_get(map, statistic_names[which]);
    const bool array = v != NULL && v->kind == GM_ARRAY;
    if (v == NULL || (array && v->length != s->column_count)) {
        return gm_fail(e, "'%s' is missing or of a wrong length", statistic_names[which]);
    }
    for (size_t i = 0; i < s->column_count; i++) {
        if (!finite_number(array ? v->items[i] : v, statistic(&s->columns[i], which))) {
            return gm_fail(e, "'%s': no finite number for column %zu", statistic_names[which], i);
        }
    }
    return 0;
}

static int get_truth(gm_schema *s, const gm_value *map, const char *key, size_t offset, gm_error *e) {
    const gm_value *v = gm_map_get(map, key);
    const bool array = v != NULL && v->kind == GM_ARRAY;
    if (v == NULL || (array && v->length != s->column_count))
        return gm_fail(e, "'%s' is missing or of a wrong length", key);
    for (size_t i = 0; i < s->column_count; i++) {
        const gm_value *one = array ? v->items[i] : v;
        if (one->kind != GM_BOOL) return gm_fail(e, "'%s': neither true nor false for column %zu", key, i);
        *(bool *)((char *)&s->columns[i] + offset) = one->boolean;
    }
    return 0;
}

static int get_decimals(gm_schema *s, const gm_value *map, gm_error *e) {
    const gm_value *v = gm_map_get(map, "decimals");
    const bool array = v != NULL && v->kind == GM_ARRAY;
    for (size_t i = 0; v == NULL && i < s->column_count; i++) s->columns[i].decimals = -1;
    if (v == NULL) return 0;
    if (array && v->length != s->column_count) return gm_fail(e, "'decimals' is of a wrong length");
    for (size_t i = 0; i < s->column_count; i++) {
        const gm_value *one = array ? v->items[i] : v;
        if (one->kind != GM_INT || one->integer < -1 || one->integer > GM_DECIMALS_MAX)
            return gm_fail(e, "'decimals': no number of digits for column %zu", i);
        s->columns[i].decimals = (int)one->integer;
    }
    return 0;
}

static double *copy_numbers(const gm_value *v, size_t count, gm_error *e) {
    double *numbers = gm_new(count, sizeof *numbers, e);
    for (size_t i = 0; numbers != NULL && i < count; i++) {
        if (finite_number(v->items[i], &numbers[i])) continue;
        gm_fail(e, "'knots': item %zu is no finite number", i);
        free(numbers);
        return NULL;
    }
    return numbers;
}

static int get_column_knots(gm_schema *s, const gm_value *one, gm_error *e) {
    const gm_value *values = gm_map_get(one, "values"), *levels = gm_map_get(one, "levels");
    size_t at = 0;
    if (get_size(one, "column", 0, (int64_t)s->column_count - 1, &at, e) < 0) return -1;
    gm_column *c = &s->columns[at];
    if (c->knots != NULL) return gm_fail(e, "'knots': column %zu comes twice", at);
    if (values == NULL || levels == NULL || values->kind != GM_ARRAY || levels->kind != GM_ARRAY ||
        values->length != levels->length || values->length > GM_KNOTS_MAX)
        return gm_fail(e, "'knots': column %zu has no values and levels that fit", at);
    c->knots = copy_numbers(values, values->length, e);
    c->levels = c->knots != NULL ? copy_numbers(levels, levels->length, e) : NULL;
    c->knot_count = values->length;
    return c->levels != NULL ? 0 : -1;
}

/* Each numeric column has knots if the scale needs them. */
static int get_knots(gm_schema *s, const gm_value *map, gm_error *e) {
    const gm_value *all = gm_map_get(map, "knots");
    const bool quantile = s->scale.kind == GM_SCALE_QUANTILE;
    if (!quantile && all == NULL) return 0;
    if (!quantile || all == NULL || all->kind != GM_ARRAY)
        return gm_fail(e, "'knots' and the scale contradict each other");
    for (size_t i = 0; i < all->length; i++)
        if (get_column_knots(s, all->items[i], e) < 0) return -1;
    for (size_t i = 0; i < s->column_count; i++) {
        const gm_column *c = &s->columns[i];
        if (c->categorical != (c->knots == NULL)) return gm_fail(e, "'knots' do not fit column %zu", i);
        if (!c->categorical && gm_quantile_check(c, i, e) < 0) return -1;
    }
    return 0;
}

static int get_missing(gm_schema *s, const gm_value *map, gm_error *e) {
    const gm_value *v = gm_map_get(map, "missing");
    if (v == NULL) return 0;
    if (v->kind != GM_ARRAY || v->length != s->column_count) return gm_fail(e, "'missing' is of a wrong length");
    for (size_t i = 0; i < s->column_count; i++) {
        const gm_value *one = v->items[i];
        if (one->kind != GM_INT || one->integer < 0 || one->integer > (int64_t)s->rows)
            return gm_fail(e, "'missing': no count of rows for column %zu", i);
        s->columns[i].missing = (size_t)one->integer;
    }
    return 0;
}

static int get_form(gm_schema *s, const gm_value *map, gm_error *e) {
    const gm_value *header = gm_map_get(map, "header"), *separator = gm_map_get(map, "separator");
    const gm_value *marks = gm_map_get(map, "marks"), *fold = gm_map_get(map, "held_out");
    if (fold != NULL) {
        if (fold->kind != GM_TEXT) return gm_fail(e, "'held_out' is no text");
        if (gm_fold_parse(fold->text, &s->held_out, e) < 0) return -1;
        s->held_out.rest = true;
    }
    if (header != NULL && header->kind != GM_BOOL) return gm_fail(e, "'header' is neither true nor false");
    s->form.no_header = header != NULL && !header->boolean;
    if (separator != NULL) {
        if (separator->kind != GM_TEXT || separator->length != 1) return gm_fail(e, "'separator' is no character");
        if (gm_separator_parse(separator->text, &s->form.separator, e) < 0) return -1;
    }
    if (marks == NULL) return 0;
    s->marks_given = true;
    s->marks.items = copy_texts(marks, "marks", 0, GM_CATEGORIES_MAX, GM_CATEGORY_TEXT_MAX, e);
    s->marks.count = s->marks.items != NULL ? marks->length : 0;
    return s->marks.items != NULL ? 0 : -1;
}

static int get_categories(gm_schema *s, const gm_value *map, gm_error *e) {
    const gm_value *all = gm_map_get(map, "categories");
    if (all == NULL) return 0;
    if (all->kind != GM_ARRAY) return gm_fail(e, "'categories' is no array");
    for (size_t i = 0; i < all->length; i++) {
        size_t at = 0;
        if (get_size(all->items[i], "column", 0, (int64_t)s->column_count - 1, &at, e) < 0) return -1;
        gm_column *c = &s->columns[at];
        const gm_value *words = gm_map_get(all->items[i], "words");
        if (c->categorical) return gm_fail(e, "'categories': column %zu comes twice", at);
        c->categories = copy_texts(words, "words", 1, GM_CATEGORIES_MAX, GM_CATEGORY_TEXT_MAX, e);
        if (c->categories == NULL) return -1;
        c->categorical = true;
        c->category_count = words->length;
    }
    return 0;
}

static int check_columns(gm_schema *s, size_t features, gm_error *e) {
    size_t sum = 0;
    for (size_t i = 0; i < s->column_count; i++) {
        gm_column *c = &s->columns[i];
        if (c->categorical && c->missing > 0) return gm_fail(e, "'missing': column %zu is not numeric", i);
        c->features = c->categorical ? c->category_count : c->missing > 0 ? 2 : 1;
        sum += c->features;
        if (!(c->minimum <= c->mean && c->mean <= c->maximum && c->deviation >= 0 &&
              isfinite(c->maximum - c->minimum))) {
            return gm_fail(e, "the statistics of column %zu contradict each other", i);
        }
    }
    if (sum != features) return gm_fail(e, "%zu features, but the columns have %zu", features, sum);
    s->features = sum;
    return 0;
}

/* As gm_schema_class needs them: each above the one before. */
static int check_order(gm_schema *s, gm_error *e) {
    double number, before = 0;
    s->classes_are_numbers = true;
    for (size_t i = 0; i < s->class_count; i++) {
        s->classes_are_numbers = s->classes_are_numbers && gm_parse_double(s->classes[i], &number);
    }
    for (size_t i = 0; i < s->class_count; i++) {
        if (s->classes[i][0] == '\0') return gm_fail(e, "'classes': item %zu is empty", i);
        if (s->classes_are_numbers && !gm_parse_double(s->classes[i], &number))
            return gm_fail(e, "'classes' are no numbers");
        const bool above =
            s->classes_are_numbers ? i == 0 || number > before : i == 0 || strcmp(s->classes[i - 1], s->classes[i]) < 0;
        if (!above) return gm_fail(e, "'classes' are not sorted");
        before = number;
    }
    return 0;
}

static int get_classes(gm_schema *s, const gm_value *map, gm_error *e) {
    const gm_value *label = gm_map_get(map, "label"), *rows = gm_map_get(map, "class_rows");
    const gm_value *classes = gm_map_get(map, "classes"), *unlabelled = gm_map_get(map, "unlabelled");
    if (label == NULL) return classes != NULL || rows != NULL ? gm_fail(e, "classes without a label") : 0;
    s->label = copy_text(label, "label", 1, GM_COLUMN_NAME_MAX, e);
    if (s->label == NULL) return -1;
    s->label_place = s->column_count;
    if (gm_map_get(map, "label_place") != NULL &&
        get_size(map, "label_place", 0, (int64_t)s->column_count, &s->label_place, e) < 0)
        return -1;
    if (unlabelled != NULL && unlabelled->kind != GM_BOOL) return gm_fail(e, "'unlabelled' is neither true nor false");
    s->unlabelled = unlabelled != NULL && unlabelled->boolean;
    for (size_t i = 0; i < s->column_count; i++) {
        if (strcmp(s->columns[i].name, s->label) == 0) return gm_fail(e, "column %zu has the label's name", i);
    }
    s->classes = copy_texts(classes, "classes", 2, GM_CATEGORIES_MAX, GM_CATEGORY_TEXT_MAX, e);
    if (s->classes == NULL) return -1;
    s->class_count = classes->length;
    if (check_order(s, e) < 0) return -1;
    if (rows == NULL || rows->kind != GM_ARRAY || rows->length != s->class_count)
        return gm_fail(e, "'class_rows' does not fit");
    s->class_rows = gm_new(s->class_count, sizeof *s->class_rows, e);
    if (s->class_rows == NULL) return -1;
    size_t sum = 0;
    for (size_t i = 0; i < s->class_count; i++) {
        const gm_value *v = rows->items[i];
        if (v->kind != GM_INT || v->integer < 0 || v->integer > (int64_t)s->rows)
            return gm_fail(e, "'class_rows' does not fit");
        s->class_rows[i] = (size_t)v->integer;
        sum += s->class_rows[i];
    }
    if (sum < s->rows ? s->unlabelled : sum == s->rows) return 0;
    return gm_fail(e, "'class_rows' are not %zu in sum", s->rows);
}

static int get_shape(gm_schema *s, const gm_value *map, gm_error *e) {
    if (gm_map_get(map, "height") == NULL && gm_map_get(map, "width") == NULL) return 0;
    const int64_t most = (int64_t)GM_COLUMNS_MAX;
    if (get_size(map, "height", 1, most, &s->height, e) < 0 || get_size(map, "width", 1, most, &s->width, e) < 0)
        return -1;
    return s->height * s->width == s->column_count ? 0 : gm_fail(e, "height times width is not the number of columns");
}

static int get_all(gm_schema *s, const gm_value *map, gm_error *e) {
    size_t columns = 0, features = 0;
    if (map == NULL || map->kind != GM_MAP) return gm_fail(e, "it is no map");
    s->source = copy_text(gm_map_get(map, "source"), "source", 1, 4096, e);
    if (s->source == NULL || get_size(map, "rows", 1, ROWS_MAX, &s->rows, e) < 0) return -1;
    const char *scale = gm_map_text(map, "scale", NULL);
    if (scale == NULL) return gm_fail(e, "'scale' is missing");
    if (gm_scale_parse(scale, &s->scale, e) < 0) return -1;
    if (get_size(map, "columns", 1, (int64_t)GM_COLUMNS_MAX, &columns, e) < 0) return -1;
    if (get_size(map, "features", 1, (int64_t)GM_FEATURES_MAX, &features, e) < 0) return -1;
    s->columns = gm_new_zeroed(columns, sizeof *s->columns, e);
    if (s->columns == NULL) return -1;
    s->column_count = columns;
    if (get_names(s, map, e) < 0) return -1;
    for (size_t i = 0; i < STATISTICS; i++) {
        if (get_statistic(s, map, i, e) < 0) return -1;
    }
    if (get_truth(s, map, "integer", offsetof(gm_column, integer), e) < 0) return -1;
    if (get_decimals(s, map, e) < 0) return -1;
    if (gm_map_get(map, "padded") != NULL && get_truth(s, map, "padded", offsetof(gm_column, padded), e) < 0) return -1;
    if (get_missing(s, map, e) < 0 || get_form(s, map, e) < 0 || get_categories(s, map, e) < 0) return -1;
    if (check_columns(s, features, e) < 0 || get_knots(s, map, e) < 0) return -1;
    return get_classes(s, map, e) < 0 ? -1 : get_shape(s, map, e);
}

gm_schema *gm_schema_parse(const gm_value *v, gm_error *e) {
    gm_schema *s = gm_new_zeroed(1, sizeof *s, e);
    if (s == NULL) return NULL;
    if (get_all(s, v, e) < 0) {
        e->usage = false; /* a broken file, whatever a part of it was called */
        gm_fail_within(e, "the model's schema of its data: ");
        gm_schema_free(s);
        return NULL;
    }
    return s;
}
