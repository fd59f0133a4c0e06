/* decode.c: encoded rows back to CSV.
 */
#include "gm/data.h"

#include <math.h>
#include <string.h>

/* A field; where it is the row's only one, an empty text is quoted, as a blank line is no row. */
static void put_text(FILE *f, const char *text, bool alone) {
    if (alone && text[0] == '\0') {
        fputs("\"\"", f);
    } else {
        gm_csv_put(f, text, strlen(text));
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

/* A float has a little more than 7 digits: an eighth would show where it was rounded (14.229999 for 14.23). */
static void put_number(FILE *f, const gm_column *c, const gm_scale *scale, float feature) {
    const double value = gm_column_unscale(c, scale, feature);
    if (c->integer && fabs(value) <= 0x1p53) {
        put_whole(f, value);
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
    for (size_t i = 0; i < s->column_count; i++) {
        if (i > 0) putc(',', f);
        gm_csv_put(f, s->columns[i].name, strlen(s->columns[i].name));
    }
    if (labels && s->label != NULL) {
        putc(',', f);
        gm_csv_put(f, s->label, strlen(s->label));
    }
    putc('\n', f);
}

static void put_row(FILE *f, const gm_schema *s, const float *x, const int32_t *label) {
    const bool alone = s->column_count == 1 && label == NULL;
    for (size_t i = 0; i < s->column_count; i++) {
        const gm_column *c = &s->columns[i];
        if (i > 0) putc(',', f);
        if (c->categorical) {
            put_text(f, c->categories[largest(c->features, x)], alone);
        } else {
            put_number(f, c, &s->scale, *x);
        }
        x += c->features;
    }
    if (label != NULL) {
        putc(',', f);
        /* A number that is no class of the schema stays a number. */
        if (*label >= 0 && (size_t)*label < s->class_count) {
            put_text(f, s->classes[*label], false);
        } else {
            fprintf(f, "%d", (int)*label);
        }
    }
    putc('\n', f);
}

void gm_decode_rows(FILE *f, const gm_schema *s, size_t n, const float *x, const int32_t *labels) {
    flockfile(f);
    for (size_t i = 0; i < n; i++)
        put_row(f, s, x + i * s->features, labels != NULL && s->label != NULL ? &labels[i] : NULL);
    funlockfile(f);
}
