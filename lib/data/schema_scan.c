/* schema_scan.c: describing a data file in one pass and in constant memory, but for the categories and, with the scale
 * quantile, a bounded sample of each column.
 */
#include "gm/data.h"
#include "csv_ahead.h"
#include "encode.h"
#include "fold.h"
#include "lookalike.h"
#include "missing.h"
#include "quantile.h"
#include "schema_cache.h"
#include "source.h"
#include "text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef enum column_kind { UNDECIDED, NUMERIC, CATEGORICAL } column_kind; /* undecided while no value was there */

typedef struct column_scan {
    column_kind kind;
    size_t place;  /* field of the file at hand */
    size_t values; /* numeric: rows that have one */
    size_t missing;
    bool integer;
    double minimum, maximum, mean, squares; /* squares: sum of (value - mean)^2 */
    gm_lexicon words;                       /* categories; marks of missing numbers while it is undecided */
    int most_decimals, least_decimals;      /* of the values; -1: some have an exponent */
    gm_reservoir reservoir;                 /* with the scale quantile */
    /* Of a column that is categorical because it began with a word, over all rows, held out or not. */
    bool forced; /* its kind was said: nothing is in doubt */
    size_t numbers, others;
    bool names;             /* some of the others may be no stand-in for a number */
    char first[GM_VISIBLE]; /* the first text that is no number, and where it stands */
    const char *first_file;
    uint64_t first_line;
} column_scan;

typedef struct scan {
    const gm_scan_choice *choice;
    const char *label;    /* its column's name, or NULL */
    char *label_name;     /* the same, as the first file has it */
    gm_lexicon names;     /* of the columns */
    column_scan *columns; /* [names.count] */
    size_t label_place;   /* field of the file at hand */
    size_t label_first;   /* the same of the first file */
    gm_lexicon classes;
    size_t *class_rows;
    size_t class_capacity;
    gm_folds folds;
    gm_missing missing;
    size_t rows;      /* of those that are wanted */
    const char *file; /* of the row at hand, and its line */
    uint64_t line;
} scan;

static void scan_free(scan *s) {
    for (size_t i = 0; s->columns != NULL && i < s->names.count; i++) {
        gm_lexicon_free(&s->columns[i].words);
        gm_reservoir_free(&s->columns[i].reservoir);
    }
    free(s->columns);
    free(s->label_name);
    gm_lexicon_free(&s->names);
    gm_lexicon_free(&s->classes);
    gm_folds_close(&s->folds);
    gm_missing_close(&s->missing);
    free(s->class_rows);
}

/* ---- CSV ---- */

/* Columns that were said to be of a kind. */
static int force_kind(scan *s, const gm_csv *csv, const char *file, const gm_names *names, column_kind kind,
                      gm_error *e) {
    char shown[GM_VISIBLE];
    for (size_t i = 0; i < names->count; i++) {
        const long at = gm_csv_find(csv, names->items[i]);
        if (at < 0) return gm_csv_no_column(csv, file, "column", names->items[i], e);
        const char *name = gm_csv_column(csv, (size_t)at);
        const long place = gm_lexicon_find(&s->names, name, strlen(name));
        gm_visible_text(name, shown);
        if (place < 0) return gm_fail_usage(e, "%s: column '%s' is the label, whose values are classes", file, shown);
        column_scan *c = &s->columns[place];
        if (c->kind != UNDECIDED && c->kind != kind)
            return gm_fail_usage(e, "column '%s' cannot be numeric and categorical", shown);
        c->kind = kind;
        c->forced = true;
    }
    return 0;
}

/* Takes the columns from the first file's header. */
static int take_columns(scan *s, const gm_csv *csv, const char *file, gm_error *e) {
    const size_t count = gm_csv_columns(csv);
    char shown[GM_VISIBLE];
    for (size_t i = 0; i < count; i++) {
        const char *name = gm_csv_column(csv, i);
        if (s->label != NULL && strcmp(name, s->label) == 0) continue;
        if (gm_lexicon_add(&s->names, name, strlen(name), e) < 0) return -1;
    }
    if (s->names.count == 0)
        return gm_fail(e, "%s: no column beside the label '%s'", file, gm_visible_text(s->label, shown));
    if (s->names.count > GM_COLUMNS_MAX) return gm_fail(e, "%s: more than %zu columns", file, GM_COLUMNS_MAX);
    s->columns = gm_new_zeroed(s->names.count, sizeof *s->columns, e);
    if (s->columns == NULL) return -1;
    if (force_kind(s, csv, file, &s->choice->categorical, CATEGORICAL, e) < 0) return -1;
    return force_kind(s, csv, file, &s->choice->numeric, NUMERIC, e);
}

/* The label's column, under the name that the first file gives it. */
static int match_label(scan *s, const gm_csv *csv, const char *file, gm_error *e) {
    if (s->label == NULL) return 0;
    const long at = gm_csv_find(csv, s->label);
    if (at < 0) return gm_csv_no_column(csv, file, "label column", s->label, e);
    s->label_place = (size_t)at;
    if (s->columns != NULL) return 0;
    s->label_first = s->label_place;
    const char *name = gm_csv_column(csv, (size_t)at);
    s->label_name = gm_copy_text(name, strlen(name), e);
    s->label = s->label_name;
    return s->label != NULL ? 0 : -1;
}

static int match_columns(scan *s, const gm_csv *csv, const char *file, const char *first, gm_error *e) {
    char shown[GM_VISIBLE];
    const size_t count = gm_csv_columns(csv);
    if (gm_csv_check_names(csv, e) < 0 || match_label(s, csv, file, e) < 0) return -1;
    if (s->columns == NULL && take_columns(s, csv, file, e) < 0) return -1;
    for (size_t i = 0; i < s->names.count; i++) {
        const long at = gm_csv_find(csv, s->names.items[i].text);
        if (at < 0) {
            return gm_fail(e, "%s: no column '%s', which %s has", file, gm_visible_text(s->names.items[i].text, shown),
                           first);
        }
        s->columns[i].place = (size_t)at;
    }
    const size_t wanted = s->names.count + (s->label != NULL ? 1 : 0);
    if (count != wanted) return gm_fail(e, "%s: %zu columns, %s has %zu", file, count, first, wanted);
    return 0;
}

/* Digits behind a number's point; -1 with an exponent. */
static int decimals_of(const char *text, size_t n) {
    for (size_t i = n; i-- > 0;) {
        if (text[i] == '.') return (int)(n - 1 - i);
        if (text[i] == 'e' || text[i] == 'E') return -1;
    }
    return 0;
}

static void add_decimals(column_scan *c, int decimals) {
    const bool unknown = decimals < 0 || (c->values > 0 && c->most_decimals < 0);
    if (c->values == 0 || decimals > c->most_decimals) c->most_decimals = decimals;
    if (c->values == 0 || decimals < c->least_decimals) c->least_decimals = decimals;
    if (unknown) c->most_decimals = -1;
}

static void add_number(column_scan *c, double value) {
    if (c->values == 0) {
        c->minimum = c->maximum = value;
        c->integer = true;
    }
    c->values++;
    if (value < c->minimum) c->minimum = value;
    if (value > c->maximum) c->maximum = value;
    c->integer = c->integer && value == trunc(value) && fabs(value) < 0x1p53;
    /* B. P. Welford: Note on a method for calculating corrected sums of squares and products. Technometrics 4, 1962. */
    const double before = value - c->mean;
    c->mean += before / (double)c->values;
    c->squares += before * (value - c->mean);
}

/* names: unless the column is said to be one of names. */
static int not_a_number(const char *shown, gm_likeness likeness, bool names, gm_error *e) {
    static const char *const hints[][2] = {
        [GM_LIKE_WORD] = {"", " (gm-init --categorical COLUMN, if all are names)"},
        [GM_LIKE_ABSENT] = {" (gm-init --missing TEXT, if it stands for none)",
                            " (gm-init --missing TEXT, if it stands for none; --categorical COLUMN, if all are names)"},
        [GM_LIKE_COMMA] = {": numbers have a point",
                           ": numbers have a point (gm-init --categorical COLUMN, if all are names)"},
        [GM_LIKE_HEX] = {"", " (gm-init --categorical COLUMN, if all are names)"},
    };
    return gm_fail(e, "'%s' is not a number%s", shown, hints[likeness][names ? 1 : 0]);
}

/* A column that began with a word holds numbers, for the most part or but for what stands for none. */
static bool is_doubtful(const column_scan *c) {
    if (c->kind != CATEGORICAL || c->forced || c->numbers == 0) return false;
    return !c->names || c->numbers > c->others;
}

static int refuse_doubtful(const column_scan *c, const char *name, gm_error *e) {
    char shown[GM_VISIBLE];
    not_a_number(c->first, GM_LIKE_ABSENT, true, e);
    return gm_fail_within(e, "%s: line %llu, column '%s': ", c->first_file, (unsigned long long)c->first_line,
                          gm_visible_text(name, shown));
}

static int add_category(column_scan *c, const gm_field *field, gm_error *e) {
    if (field->length > GM_CATEGORY_TEXT_MAX)
        return gm_fail(e, "a category of more than %zu bytes", GM_CATEGORY_TEXT_MAX);
    if (gm_lexicon_add(&c->words, field->text, field->length, e) < 0) return -1;
    if (c->words.count <= GM_CATEGORIES_MAX) return 0;
    if (is_doubtful(c)) return not_a_number(c->first, GM_LIKE_ABSENT, true, e);
    return gm_fail(e, "more than %zu categories; if it is an identifier, leave it out", GM_CATEGORIES_MAX);
}

/* A value of a column that holds words so far. */
static int count_word(column_scan *c, const scan *s, const gm_field *field, bool number, gm_error *e) {
    char shown[GM_VISIBLE];
    if (number) {
        c->numbers++;
        return 0;
    }
    if (c->others++ == 0) {
        gm_visible(field->text, field->length, c->first);
        c->first_file = s->file;
        c->first_line = s->line;
    }
    if (gm_lexicon_find(&c->words, field->text, field->length) >= 0) return 0; /* looked at before */
    const gm_likeness likeness = gm_likeness_of(field->text);
    c->names = c->names || likeness == GM_LIKE_WORD;
    if (likeness != GM_LIKE_COMMA && likeness != GM_LIKE_HEX) return 0;
    return not_a_number(gm_visible(field->text, field->length, shown), likeness, true, e);
}

/* The first value that is no mark of a missing number says what the column is, be its row wanted or not; marks before
 * it are categories if that is a word. */
static int add_value(column_scan *c, const scan *s, const gm_field *field, bool wanted, gm_error *e) {
    double value = 0;
    char shown[GM_VISIBLE];
    if (c->kind == CATEGORICAL && c->forced) return wanted ? add_category(c, field, e) : 0;
    const bool number = gm_parse_double_roomy(field->text, field->length, &value);
    if ((!number || s->missing.numbers) && gm_missing_is(&s->missing, field->text, field->length)) {
        if (wanted) c->missing++;
        return c->kind != NUMERIC && wanted ? add_category(c, field, e) : 0;
    }
    if (c->kind == UNDECIDED) {
        if (number) gm_lexicon_free(&c->words);
        c->kind = number ? NUMERIC : CATEGORICAL;
    }
    if (c->kind == CATEGORICAL)
        return count_word(c, s, field, number, e) == 0 && (!wanted || add_category(c, field, e) == 0) ? 0 : -1;
    if (!number)
        return not_a_number(gm_visible(field->text, field->length, shown), gm_likeness_of(field->text), false, e);
    if (!wanted) return 0;
    add_decimals(c, decimals_of(field->text, field->length));
    add_number(c, value);
    const bool kept = s->choice->scale.kind == GM_SCALE_QUANTILE;
    return kept ? gm_reservoir_add(&c->reservoir, (size_t)(c - s->columns), value, e) : 0;
}

static int add_class(scan *s, const char *text, size_t n, size_t rows, gm_error *e) {
    if (n == 0 && s->choice->unlabelled) return 0;
    if (n == 0) return gm_fail(e, GM_EMPTY_LABEL);
    if (n > GM_CATEGORY_TEXT_MAX) return gm_fail(e, "a class of more than %zu bytes", GM_CATEGORY_TEXT_MAX);
    const long class = gm_lexicon_add(&s->classes, text, n, e);
    if (class < 0) return -1;
    if (s->classes.count > GM_CATEGORIES_MAX) {
        return gm_fail(e, "more than %zu classes; is it an identifier, or a measurement?", GM_CATEGORIES_MAX);
    }
    if (gm_grow(&s->class_rows, &s->class_capacity, s->classes.count, sizeof *s->class_rows, e) < 0) return -1;
    s->class_rows[class] += rows;
    return 0;
}

static int add_values(scan *s, const gm_field *fields, bool wanted, gm_error *e) {
    char shown[GM_VISIBLE];
    for (size_t i = 0; i < s->names.count; i++) {
        if (add_value(&s->columns[i], s, &fields[s->columns[i].place], wanted, e) == 0) continue;
        return gm_fail_within(e, "column '%s': ", gm_visible_text(s->names.items[i].text, shown));
    }
    s->rows += wanted ? 1 : 0;
    return 0;
}

/* Of a row that is not of the fold only the class and the columns' kinds count: so each fold has the same. */
static int add_row(scan *s, const gm_field *fields, gm_error *e) {
    static const gm_field none = {"", 0};
    char shown[GM_VISIBLE];
    const gm_field *label = s->label != NULL ? &fields[s->label_place] : &none;
    const int wanted = gm_folds_wants_text(&s->folds, label->text, label->length, e);
    if (wanted < 0 || add_values(s, fields, wanted > 0, e) < 0) return -1;
    if (s->label == NULL || add_class(s, label->text, label->length, wanted > 0 ? 1 : 0, e) == 0) return 0;
    return gm_fail_within(e, "column '%s': ", gm_visible_text(s->label, shown));
}

static int scan_rows(scan *s, gm_csv *csv, const char *file, gm_error *e) {
    const gm_field *fields;
    int got;
    s->file = file;
    while ((got = gm_csv_next(csv, &fields, &s->line, e)) > 0) {
        if (add_row(s, fields, e) < 0) return gm_fail_within(e, "%s: line %llu, ", file, (unsigned long long)s->line);
    }
    return got;
}

/* `fd`: the file, if it is open already, or -1. */
static int scan_csv_file(scan *s, const char *path, int fd, const char *first, gm_error *e) {
    gm_data_kind kind = GM_DATA_CSV;
    const char *name = gm_data_name(path);
    if (fd < 0) fd = gm_data_open(path, &kind, e);
    if (fd < 0) return -1;
    if (kind != GM_DATA_CSV) {
        close(fd);
        return gm_fail(e, "%s is %s, the files before it are CSV", name, gm_data_kind_text(kind));
    }
    gm_csv *csv = gm_csv_new(fd, name, s->choice->form, e);
    const bool good = csv != NULL && match_columns(s, csv, name, first, e) == 0 && scan_rows(s, csv, name, e) == 0;
    gm_csv_free(csv);
    close(fd);
    return good ? 0 : -1;
}

static int scan_csv(scan *s, char *const *files, size_t file_count, int first_fd, gm_error *e) {
    for (size_t i = 0; i < file_count; i++) {
        if (scan_csv_file(s, files[i], i == 0 ? first_fd : -1, gm_data_name(files[0]), e) < 0) return -1;
    }
    for (size_t i = 0; i < s->names.count; i++)
        if (is_doubtful(&s->columns[i])) return refuse_doubtful(&s->columns[i], s->names.items[i].text, e);
    return 0;
}

/* ---- the scan becomes a schema ---- */

static int finish_column(column_scan *c, bool quantile, gm_column *out, gm_error *e) {
    char shown[GM_VISIBLE];
    if (c->kind == CATEGORICAL) {
        const size_t count = c->words.count;
        out->categories = gm_lexicon_take(&c->words, e);
        if (out->categories == NULL) return -1;
        out->categorical = true;
        out->features = out->category_count = count;
        return 0;
    }
    out->missing = c->missing;
    out->features = c->missing > 0 ? 2 : 1;
    out->decimals = c->values > 0 ? c->most_decimals : -1;
    out->padded = out->decimals > 0 && c->least_decimals == c->most_decimals;
    if (c->values == 0) return quantile ? gm_quantile_fit(&c->reservoir, out, e) : 0; /* the one value 0 */
    out->integer = c->integer;
    out->minimum = c->minimum;
    out->maximum = c->maximum;
    /* Rounding must not carry the mean outside. */
    out->mean = fmin(fmax(c->mean, c->minimum), c->maximum);
    out->deviation = sqrt(c->squares / (double)c->values);
    if (!isfinite(c->mean) || !isfinite(out->deviation) || !isfinite(out->maximum - out->minimum))
        return gm_fail(e, "column '%s': its numbers are too large to be scaled", gm_visible_text(out->name, shown));
    return quantile ? gm_quantile_fit(&c->reservoir, out, e) : 0;
}

typedef struct class_item {
    char *text;
    size_t rows;
    double number;
} class_item;

static int by_number(const void *a, const void *b) {
    const class_item *p = a, *q = b;
    if (p->number != q->number) return p->number < q->number ? -1 : 1;
    return strcmp(p->text, q->text);
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(((const class_item *)a)->text, ((const class_item *)b)->text);
}

/* Classes that are equal as numbers become one, under the shorter text ("3" and "3.0": "3"). */
static size_t merge_equal(class_item *items, size_t count) {
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        class_item *last = kept > 0 ? &items[kept - 1] : NULL;
        if (last == NULL || last->number != items[i].number) {
            items[kept++] = items[i];
            continue;
        }
        const bool shorter = strlen(items[i].text) < strlen(last->text);
        free(shorter ? last->text : items[i].text);
        if (shorter) last->text = items[i].text;
        last->rows += items[i].rows;
    }
    return kept;
}

/* Two classes at least must have rows to learn from, where they are learnt. */
static int check_classes(const gm_schema *s, bool one_class, gm_error *e) {
    size_t there = 0, last = 0;
    char label[GM_VISIBLE], class[GM_VISIBLE];
    for (size_t i = 0; i < s->class_count; i++) {
        if (s->class_rows[i] == 0) continue;
        there++;
        last = i;
    }
    if (there > 1 || (there == 1 && one_class)) return 0;
    if (s->class_count == 0)
        return gm_fail(e, "label column '%s' is empty in every row", gm_visible_text(s->label, label));
    return gm_fail(e, "label column '%s' has one class only ('%s')%s", gm_visible_text(s->label, label),
                   gm_visible_text(s->classes[last], class),
                   s->class_count > 1 ? " in the rows that are not held out" : "");
}

static int finish_classes(scan *s, gm_schema *out, gm_error *e) {
    const size_t count = s->classes.count;
    class_item *items = gm_new(count, sizeof *items, e);
    out->class_rows = gm_new(count, sizeof *out->class_rows, e);
    out->classes = items != NULL && out->class_rows != NULL ? gm_lexicon_take(&s->classes, e) : NULL;
    if (out->classes == NULL) {
        free(items);
        return -1;
    }
    out->classes_are_numbers = true;
    for (size_t i = 0; i < count; i++) {
        items[i] = (class_item){out->classes[i], s->class_rows[i], 0};
        if (!gm_parse_double(items[i].text, &items[i].number)) out->classes_are_numbers = false;
    }
    qsort(items, count, sizeof *items, out->classes_are_numbers ? by_number : by_bytes);
    out->class_count = out->classes_are_numbers ? merge_equal(items, count) : count;
    for (size_t i = 0; i < out->class_count; i++) {
        out->classes[i] = items[i].text;
        out->class_rows[i] = items[i].rows;
    }
    free(items);
    return check_classes(out, s->choice->one_class, e);
}

static int copy_marks(const gm_names *marks, gm_schema *out, gm_error *e) {
    if (marks == NULL) return 0;
    out->marks_given = true;
    out->marks.items = gm_new(marks->count, sizeof *out->marks.items, e);
    for (size_t i = 0; out->marks.items != NULL && i < marks->count; i++, out->marks.count++) {
        out->marks.items[i] = gm_copy_text(marks->items[i], strlen(marks->items[i]), e);
        if (out->marks.items[i] == NULL) return -1;
    }
    return out->marks.items != NULL ? 0 : -1;
}

static int finish_csv(scan *s, gm_schema *out, gm_error *e) {
    if (s->rows == 0) return gm_fail(e, "no row is left outside of the fold that is held out");
    out->form = s->choice->form;
    if (copy_marks(s->choice->marks, out, e) < 0) return -1;
    out->columns = gm_new_zeroed(s->names.count, sizeof *out->columns, e);
    if (out->columns == NULL) return -1;
    out->column_count = s->names.count;
    out->rows = s->rows;
    for (size_t i = 0; i < out->column_count; i++) {
        out->columns[i].name = s->names.items[i].text;
        s->names.items[i].text = NULL;
    }
    for (size_t i = 0; i < out->column_count; i++) {
        const bool quantile = out->scale.kind == GM_SCALE_QUANTILE;
        if (finish_column(&s->columns[i], quantile, &out->columns[i], e) < 0) return -1;
        out->features += out->columns[i].features;
    }
    if (out->features > GM_FEATURES_MAX) {
        return gm_fail(e, "%zu features, one for each category; at most %zu are taken", out->features, GM_FEATURES_MAX);
    }
    if (s->label == NULL) return 0;
    out->label = gm_copy_text(s->label, strlen(s->label), e);
    out->label_place = s->label_first;
    out->unlabelled = s->choice->unlabelled;
    return out->label != NULL ? finish_classes(s, out, e) : -1;
}

static int describe_csv(gm_schema *out, char *const *files, size_t file_count, int first_fd,
                        const gm_scan_choice *choice, gm_error *e) {
    scan s = {.choice = choice, .label = choice->label, .folds.fold = choice->fold};
    int done = gm_missing_open(&s.missing, choice->marks, e);
    if (done < 0) close(first_fd);
    if (done == 0) done = scan_csv(&s, files, file_count, first_fd, e);
    if (done == 0 && finish_csv(&s, out, e) < 0) done = gm_fail_within(e, "%s: ", gm_data_name(files[0]));
    scan_free(&s);
    return done;
}

/* ---- IDX ---- */

typedef struct pixel_scan {
    gm_folds folds;
    size_t columns, rows;
    uint64_t *sum, *squares; /* [columns], exact */
    size_t classes[256];     /* rows of each label */
    bool there[256];         /* it is a label, if only of rows that are not of the fold */
} pixel_scan;

/* One picture; `label` NULL: there are none. */
static int add_picture(pixel_scan *p, const unsigned char *picture, const unsigned char *label, gm_error *e) {
    const int wanted = gm_folds_wants(&p->folds, label != NULL ? label : picture, label != NULL ? 1 : 0, e);
    if (wanted < 0) return -1;
    if (label != NULL) p->there[*label] = true;
    if (wanted == 0) return 0;
    for (size_t i = 0; i < p->columns; i++) {
        p->sum[i] += picture[i];
        p->squares[i] += (uint64_t)picture[i] * picture[i];
    }
    if (label != NULL) p->classes[*label]++;
    p->rows++;
    return 0;
}

static int scan_pixels(pixel_scan *p, gm_idx *idx, gm_error *e) {
    enum { ROWS = 64 };
    unsigned char *bytes = gm_new(ROWS * p->columns, 1, e), labels[ROWS];
    const bool labelled = gm_idx_labelled(idx);
    if (bytes == NULL) return -1;
    long got;
    while ((got = gm_idx_next(idx, ROWS, bytes, labelled ? labels : NULL, NULL, e)) > 0) {
        for (long row = 0; row < got; row++) {
            if (add_picture(p, bytes + (size_t)row * p->columns, labelled ? &labels[row] : NULL, e) < 0) got = -1;
        }
        if (got < 0) break;
    }
    free(bytes);
    if (got == 0 && p->rows == 0) return gm_fail(e, "no row is left outside of the fold that is held out");
    return (int)got;
}

static int finish_pixels(const pixel_scan *p, gm_schema *out, const char *label, gm_error *e) {
    const double rows = (double)p->rows;
    char name[32];
    out->columns = gm_new_zeroed(p->columns, sizeof *out->columns, e);
    if (out->columns == NULL) return -1;
    out->rows = p->rows;
    out->column_count = out->features = p->columns;
    for (size_t i = 0; i < p->columns; i++) {
        const double mean = (double)p->sum[i] / rows;
        const int length = snprintf(name, sizeof name, "p%zu", i);
        out->columns[i] = (gm_column){
            .name = gm_copy_text(name, (size_t)length, e),
            .integer = true,
            .decimals = 0,
            .maximum = 255, /* of every pixel, so that all are scaled alike */
            .mean = mean,
            .deviation = sqrt(fmax(0, (double)p->squares[i] / rows - mean * mean)),
            .features = 1,
        };
        if (out->columns[i].name == NULL) return -1;
        if (label != NULL && strcmp(label, name) == 0)
            return gm_fail_usage(e, "'%s' is a pixel's name; the label needs another", name);
    }
    return 0;
}

static int finish_pixel_classes(const pixel_scan *p, const gm_idx *idx, gm_schema *out, const char *label,
                                gm_error *e) {
    const gm_scan_choice choice = {0};
    scan s = {.choice = &choice, .label = label != NULL ? label : "label"};
    char text[8];
    int done = 0;
    for (unsigned byte = 0; byte < 256 && done == 0; byte++) {
        const int length = snprintf(text, sizeof text, "%u", byte);
        if (p->there[byte]) done = add_class(&s, text, (size_t)length, p->classes[byte], e);
    }
    out->label = done == 0 ? gm_copy_text(s.label, strlen(s.label), e) : NULL;
    if (out->label == NULL || finish_classes(&s, out, e) < 0) done = gm_fail_within(e, "%s: ", gm_idx_label_file(idx));
    scan_free(&s);
    return done;
}

static int describe_pictures(gm_schema *out, gm_idx *idx, const char *file, const gm_scan_choice *choice, gm_error *e) {
    pixel_scan p = {.folds.fold = choice->fold, .columns = gm_idx_columns(idx)};
    const char *label = choice->label;
    char shown[GM_VISIBLE];
    if (choice->categorical.count > 0 || choice->numeric.count > 0 || choice->marks != NULL)
        return gm_fail_usage(e, "%s: the columns of IDX files are numeric, and none is missing", file);
    if (choice->scale.kind == GM_SCALE_QUANTILE)
        return gm_fail_usage(e, "%s: the scale 'quantile' is for CSV files", file);
    if (choice->unlabelled) return gm_fail_usage(e, "%s: the rows of IDX files all have a class", file);
    if (label != NULL && !gm_idx_labelled(idx)) {
        return gm_fail(e, "%s: no file of labels ('%s') is among the IDX files", file, gm_visible_text(label, shown));
    }
    gm_idx_shape(idx, &out->height, &out->width);
    out->label_place = gm_idx_columns(idx);
    p.sum = gm_new_zeroed(p.columns, sizeof *p.sum, e);
    p.squares = gm_new_zeroed(p.columns, sizeof *p.squares, e);
    int done = p.sum != NULL && p.squares != NULL ? scan_pixels(&p, idx, e) : -1;
    if (done == 0) done = finish_pixels(&p, out, label, e);
    if (done == 0 && gm_idx_labelled(idx)) done = finish_pixel_classes(&p, idx, out, label, e);
    free(p.sum);
    free(p.squares);
    gm_folds_close(&p.folds);
    return done;
}

static int describe_idx(gm_schema *out, char *const *files, size_t file_count, int first_fd,
                        const gm_scan_choice *choice, gm_error *e) {
    gm_idx *idx = gm_idx_open(files, file_count, first_fd, e);
    const int done = idx != NULL ? describe_pictures(out, idx, gm_data_name(files[0]), choice, e) : -1;
    gm_idx_free(idx);
    return done;
}

/* ---- all ---- */

static int describe(gm_schema *s, char *const *files, size_t file_count, const gm_scan_choice *choice, gm_error *e) {
    gm_data_kind kind;
    const char *name = gm_base_name(gm_data_name(files[0])), *label = choice->label;
    if (label != NULL && (label[0] == '\0' || strlen(label) > GM_COLUMN_NAME_MAX)) {
        return gm_fail_usage(e, "a label column's name has 1 to %zu bytes", GM_COLUMN_NAME_MAX);
    }
    s->source = gm_copy_text(name, strlen(name), e);
    if (s->source == NULL || gm_data_check(files, file_count, e) < 0) return -1;
    const int fd = gm_data_open(files[0], &kind, e);
    if (fd < 0) return -1;
    if (kind == GM_DATA_CSV) return describe_csv(s, files, file_count, fd, choice, e);
    if (kind == GM_DATA_IDX) return describe_idx(s, files, file_count, fd, choice, e);
    close(fd);
    return gm_fail(e, "%s is a stream; columns and classes are read from CSV or IDX files", gm_data_name(files[0]));
}

static gm_schema *scan_files(char *const *files, size_t file_count, const gm_scan_choice *choice, gm_error *e) {
    gm_schema *s = gm_new_zeroed(1, sizeof *s, e);
    if (s == NULL) return NULL;
    s->scale = choice->scale;
    if (choice->fold.rest) s->held_out = choice->fold;
    if (describe(s, files, file_count, choice, e) < 0) {
        gm_schema_free(s);
        return NULL;
    }
    return s;
}

gm_schema *gm_schema_scan(char *const *files, size_t file_count, const gm_scan_choice *choice, gm_error *e) {
    gm_schema_cache cache;
    if (file_count == 0) {
        gm_fail_usage(e, "no data file was named");
        return NULL;
    }
    gm_schema *s = gm_schema_cache_open(&cache, files, file_count, choice);
    const bool known = s != NULL;
    if (!known) s = scan_files(files, file_count, choice, e);
    gm_schema_cache_close(&cache, known ? NULL : s);
    return s;
}
