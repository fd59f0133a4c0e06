/* missing.c: what stands where a number is missing. */
#include "missing.h"

#include <string.h>

static char *usual_marks[] = {"NA", "N/A", "NaN", "nan", "null", "NULL", "?", "-"};
static const gm_names usual = {sizeof usual_marks / sizeof usual_marks[0], usual_marks};

int gm_missing_open(gm_missing *m, const gm_names *marks, gm_error *e) {
    double ignored;
    if (marks == NULL) marks = &usual;
    *m = (gm_missing){0};
    for (size_t i = 0; i < marks->count; i++) {
        if (gm_lexicon_add(&m->marks, marks->items[i], strlen(marks->items[i]), e) < 0) return -1;
        m->numbers = m->numbers || gm_parse_double(marks->items[i], &ignored);
    }
    return 0;
}

void gm_missing_close(gm_missing *m) {
    gm_lexicon_free(&m->marks);
}

bool gm_missing_is(const gm_missing *m, const char *text, size_t n) {
    return n == 0 || gm_lexicon_find(&m->marks, text, n) >= 0;
}
