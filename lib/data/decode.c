/* decode.c: encoded rows back to CSV.
 */
#include "gm/data.h"

#include <math.h>
#include <string.h>

static char separator_of(const gm_schema *s) {
    return s->form.separator != 0 ? s->form.separator : ',';
}

/* A field; where it is the row's only one, an empty text is quoted, as a blank line is no row. */
static void put_text(FILE *f, const gm_schema *s, const char *text, bool alone) {
    if (alone && text[0] == '\0') {
        fputs("\"\"", f);
    } else {
        gm_csv_put_between(f, separator_of(s), text, strlen(text));
    }
}

static void put_whole(FILE *f, double value) {
    char text[24], *at = text + sizeof text;
    const bool negative = value < 0;
    uint64_t left = (uint64_t)fabs(value);
    do {
        *--at = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (negative) *--at = '-';
    fwrite(at, 1, (size_t)(text + sizeof text - at), f);
}

/* With the decimals that the data have, as far as 7 digits reach: trailing zeros only where all values have them. */
static void put_decimals(FILE *f, const gm_column *c, double value) {
    char text[400]; /* 309 digits before the point */
    const double size = fabs(value);
    const int before = size < 10 ? 1 : 1 + (int)floor(log10(size)), left = before < 7 ? 7 - before : 0;
    const int shown = c->decimals < left ? c->decimals : left;
    int n = snprintf(text, sizeof text, "%.*f", shown, value);
    if (strspn(text, "-0.") == (size_t)n && text[0] == '-') memmove(text, text + 1, (size_t)n--); /* no "-0.0" */
    if (!c->padded && strchr(text, '.') != NULL) {
        while (text[n - 1] == '0') n--;
        if (text[n - 1] == '.') n--;
    }
    fwrite(text, 1, (size_t)n, f);
}

/* A float has a little more than 7 digits: an eighth would show where it was rounded (14.229999 for 14.23). */
static void put_number(FILE *f, const gm_column *c, const gm_scale *scale, float feature) {
    const double value = gm_column_unscale(c, scale, feature);
    if (c->integer && c->decimals <= 0 && fabs(value) <= 0x1p53) {
        put_whole(f, value);
    } else if (c->decimals >= 0 && isfinite(value)) {
        put_decimals(f, c, value);
    } else {
        fprintf(f, "%.7g", value == 0 ? 0 : value); /* no "-0" */
    }
}

static size_t largest(size_t n, const float *x) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++) {
        if (x[i] > x[best]) best = i;
    }
    return best;
}

void gm_decode_header(FILE *f, const gm_schema *s, bool labels) {
    if (s->form.no_header) return;
    const gm_column *c = s->columns;
    const bool labelled = labels && s->label != NULL;
    const size_t fields = s->column_count + (labelled ? 1 : 0);
    for (size_t i = 0; i < fields; i++) {
        if (i > 0) putc(separator_of(s), f);
        put_text(f, s, labelled && i == s->label_place ? s->label : c++->name, false);
    }
    putc('\n', f);
}

static void put_column(FILE *f, const gm_schema *s, const gm_column *c, const float *x, bool alone) {
    if (c->categorical) {
        put_text(f, s, c->categories[largest(c->features, x)], alone);
    } else if (c->missing > 0 && x[1] > 0.5f) {
        put_text(f, s, "", alone);
    } else {
        put_number(f, c, &s->scale, x[0]);
    }
}

/* A number that is no class of the schema stays a number. */
static void put_label(FILE *f, const gm_schema *s, int32_t label) {
    if (label >= 0 && (size_t)label < s->class_count) {
        put_text(f, s, s->classes[label], false);
    } else {
        fprintf(f, "%d", (int)label);
    }
}

static void put_row(FILE *f, const gm_schema *s, const float *x, const int32_t *label) {
    const size_t fields = s->column_count + (label != NULL ? 1 : 0);
    const size_t place = label != NULL ? s->label_place : fields;
    const gm_column *c = s->columns;
    for (size_t i = 0; i < fields; i++) {
        if (i > 0) putc(separator_of(s), f);
        if (i == place) {
            put_label(f, s, *label);
            continue;
        }
        put_column(f, s, c, x, fields == 1);
        x += c++->features;
    }
    putc('\n', f);
}

void gm_decode_rows(FILE *f, const gm_schema *s, size_t n, const float *x, const int32_t *labels) {
    flockfile(f);
    for (size_t i = 0; i < n; i++)
        put_row(f, s, x + i * s->features, labels != NULL && s->label != NULL ? &labels[i] : NULL);
    funlockfile(f);
}
