/* describe.c: a schema as text for people. */
#include "gm/data.h"
#include "text.h"

#include <string.h>

enum {
    SHOWN_ALL = 24, /* columns; of more than these the first and the last are shown */
    SHOWN_FIRST = 12,
    SHOWN_LAST = 4,
    NAME_WIDTH = 24,
    LIST_WIDTH = 72
};

/* A name in a column of the table: characters, not bytes, are counted. */
static void put_name(FILE *f, const char *prefix, const char *name) {
    char shown[GM_VISIBLE];
    size_t characters = strlen(prefix);
    gm_visible_text(name, shown);
    for (const char *c = shown; *c != '\0'; c++) characters += ((unsigned char)*c & 0xC0) != 0x80;
    fprintf(f, "  %s%s%*s", prefix, shown, characters < NAME_WIDTH ? (int)(NAME_WIDTH - characters) : 0, "");
}

/* "red, blue, ... (17 more)"; with `rows`, "A 59, B 71". */
static void put_list(FILE *f, char *const *texts, const size_t *rows, size_t count) {
    char shown[GM_VISIBLE], number[32] = "";
    size_t width = 0;
    for (size_t i = 0; i < count; i++) {
        gm_visible_text(texts[i], shown);
        if (rows != NULL) snprintf(number, sizeof number, " %zu", rows[i]);
        width += strlen(shown) + strlen(number) + 2;
        if (i > 0 && width > LIST_WIDTH) {
            fprintf(f, ", ... (%zu more)", count - i);
            return;
        }
        fprintf(f, "%s%s%s", i > 0 ? ", " : "", shown[0] != '\0' ? shown : "''", number);
    }
}

static void put_column(FILE *f, const gm_column *c) {
    put_name(f, "", c->name);
    if (c->categorical) {
        fprintf(f, " %zu categor%s: ", c->category_count, c->category_count == 1 ? "y" : "ies");
        put_list(f, c->categories, NULL, c->category_count);
    } else {
        fprintf(f, " numeric, %.6g to %.6g, mean %.6g, deviation %.6g", c->minimum, c->maximum, c->mean, c->deviation);
        if (c->missing > 0) fprintf(f, ", %zu missing", c->missing);
        if (c->knot_count > 0) fprintf(f, ", %zu knots", c->knot_count);
    }
    putc('\n', f);
}

static void put_left_out(FILE *f, const gm_column *columns, size_t count) {
    size_t categorical = 0, missing = 0;
    for (size_t i = 0; i < count; i++) {
        categorical += columns[i].categorical;
        missing += columns[i].missing > 0;
    }
    fprintf(f, "  ... %zu more: %zu numeric", count, count - categorical);
    if (categorical > 0) fprintf(f, ", %zu categorical", categorical);
    if (missing > 0) fprintf(f, ", %zu with missing numbers", missing);
    putc('\n', f);
}

static void put_form(FILE *f, const gm_schema *s) {
    const char separator = s->form.separator != 0 ? s->form.separator : ',';
    if (separator == '\t') {
        fputs(", separated by tab", f);
    } else if (separator != ',') {
        fprintf(f, ", separated by '%c'", separator);
    }
    if (s->form.no_header) fputs(", no header", f);
    if (!s->marks_given) return;
    fputs(", missing numbers are ", f);
    put_list(f, s->marks.items, NULL, s->marks.count);
}

void gm_schema_describe(FILE *f, const gm_schema *s) {
    char scale[80], shown[GM_VISIBLE], fold[48];
    fprintf(f, "  data %s: %zu rows", gm_visible_text(s->source, shown), s->rows);
    if (s->held_out.count > 0) fprintf(f, " outside of fold %s", gm_fold_text(&s->held_out, fold));
    fprintf(f, ", %zu features, scale %s", s->features, gm_scale_text(&s->scale, scale));
    if (s->height > 0) fprintf(f, ", pictures of %zux%zu", s->height, s->width);
    put_form(f, s);
    putc('\n', f);
    const bool whole = s->column_count <= SHOWN_ALL;
    const size_t first = whole ? s->column_count : SHOWN_FIRST, last = whole ? 0 : SHOWN_LAST;
    for (size_t i = 0; i < first; i++) put_column(f, &s->columns[i]);
    if (!whole) put_left_out(f, s->columns + first, s->column_count - first - last);
    for (size_t i = s->column_count - last; i < s->column_count; i++) put_column(f, &s->columns[i]);
    if (s->label == NULL) return;
    put_name(f, "label ", s->label);
    fprintf(f, " %zu classes: ", s->class_count);
    put_list(f, s->classes, s->class_rows, s->class_count);
    if (s->unlabelled) fprintf(f, "; %zu rows without", s->rows - gm_schema_labelled(s));
    putc('\n', f);
}
