/* figures.c: how good predictions are, as lines of text or as JSON. */
#include "gm/data.h"
#include "gm/filter.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The figures that are one number, in the order in which they are printed. */
typedef struct figure {
    const char *name;
    double value;
} figure;
#define FIGURES 6

static void list_figures(const gm_figures *f, figure list[FIGURES]) {
    figure all[FIGURES] = {{"accuracy", f->accuracy}, {"balanced_accuracy", f->balanced_accuracy},
                           {"log_loss", f->log_loss}, {"brier", f->brier},
                           {"auc", f->auc},           {"macro_f1", f->macro_f1}};
    memcpy(list, all, sizeof all);
}

static const char *class_name(const gm_report *r, size_t i, char number[32]) {
    if (r->names) return r->names[i];
    snprintf(number, 32, "%zu", i);
    return number;
}

/* ---- lines ---- */

/* A class in one word: blanks as _, control characters as '?'. *same: it is its name. */
static char *word_of(const char *class, bool *same, gm_error *e) {
    size_t n = strlen(class);
    char *word = gm_new(n + 1, 1, e);
    if (!word) return NULL;
    for (size_t i = 0; i <= n; i++) word[i] = isspace((unsigned char)class[i]) ? '_' : class[i];
    gm_hide_controls(word, n);
    *same = strcmp(word, class) == 0;
    return word;
}

static bool is_taken(char *const *words, size_t count, size_t but, const char *word) {
    for (size_t i = 0; i < count; i++)
        if (i != but && words[i] && strcmp(words[i], word) == 0) return true;
    return false;
}

/* "a_b" of a class `a b` where there is a class `a_b` too: its number goes behind it. */
static char *number_word(char *word, size_t i, gm_error *e) {
    size_t size = strlen(word) + 24;
    char *longer = gm_new(size, 1, e);
    if (longer) snprintf(longer, size, "%s_%zu", word, i);
    free(word);
    return longer;
}

static void free_words(char **words, size_t count) {
    for (size_t i = 0; words && i < count; i++) free(words[i]);
    free(words);
}

/* Words for the classes, no two alike. First those which are their names, which so have them. */
static char **class_words(const gm_report *r, gm_error *e) {
    char number[32];
    char **words = gm_new_zeroed(r->classes, sizeof *words, e);
    if (!words) return NULL;
    for (int changed = 0; changed < 2; changed++) {
        for (size_t i = 0; i < r->classes; i++) {
            bool same = false;
            if (words[i]) continue;
            char *word = word_of(class_name(r, i, number), &same, e);
            if (word && !same && !changed) {
                free(word);
                continue;
            }
            while (word && !same && is_taken(words, r->classes, i, word)) word = number_word(word, i, e);
            words[i] = word;
            if (word) continue;
            free_words(words, r->classes);
            return NULL;
        }
    }
    return words;
}

/* Names and counts under each other; a name of UTF-8 counts its characters. */
static void put_cell(const char *text, int width) {
    int characters = 0;
    for (const char *c = text; *c; c++) characters += (*c & 0xC0) != 0x80;
    printf("%*s%s", characters < width ? width - characters : 0, "", text);
}

static const char *shown_name(const gm_report *r, size_t i, char shown[GM_VISIBLE]) {
    char number[32];
    return gm_visible_text(class_name(r, i, number), shown);
}

static void put_confusion(const gm_report *r) {
    char number[32], shown[GM_VISIBLE];
    int width = 8;
    for (size_t i = 0; i < r->classes; i++) {
        int n = (int)strlen(shown_name(r, i, shown));
        if (n > width) width = n < 24 ? n : 24;
    }
    puts("confusion (a row for each class, a column for each prediction)");
    put_cell("", width + 2);
    for (size_t i = 0; i < r->classes; i++) put_cell(shown_name(r, i, shown), width + 1);
    for (size_t i = 0; i < r->classes; i++) {
        fputs("\n  ", stdout);
        put_cell(shown_name(r, i, shown), width);
        for (size_t k = 0; k < r->classes; k++) {
            snprintf(number, sizeof number, "%llu", (unsigned long long)gm_tally_count(r->tally, i, k));
            put_cell(number, width + 1);
        }
    }
    putchar('\n');
}

static int put_lines(const gm_report *r, const gm_figures *f, gm_error *e) {
    figure list[FIGURES];
    char **words = class_words(r, e);
    if (!words) return -1;
    list_figures(f, list);
    printf("rows %llu\n", (unsigned long long)f->rows);
    for (size_t i = 0; i < FIGURES; i++)
        if (!isnan(list[i].value)) printf("%s %.4f\n", list[i].name, list[i].value);
    for (size_t i = 0; i < r->classes; i++) {
        printf("precision_%s %.4f\n", words[i], gm_tally_precision(r->tally, i));
        printf("recall_%s %.4f\n", words[i], gm_tally_recall(r->tally, i));
    }
    if (r->confusion) put_confusion(r);
    free_words(words, r->classes);
    return 0;
}

/* ---- JSON ---- */

static gm_value *by_class(const gm_report *r, double (*of)(const gm_tally *t, size_t class)) {
    char number[32];
    gm_value *map = gm_value_map();
    for (size_t i = 0; map && i < r->classes; i++) {
        if (gm_map_set(map, class_name(r, i, number), gm_value_float(of(r->tally, i))) == 0) continue;
        gm_value_free(map);
        map = NULL;
    }
    return map;
}

static gm_value *names_value(const gm_report *r) {
    char number[32];
    gm_value *array = gm_value_array();
    for (size_t i = 0; array && i < r->classes; i++) {
        if (gm_array_push(array, gm_value_text(class_name(r, i, number))) == 0) continue;
        gm_value_free(array);
        array = NULL;
    }
    return array;
}

/* Row i of the matrix, or with i == classes all rows. */
static gm_value *confusion_value(const gm_report *r, size_t i) {
    gm_value *array = gm_value_array();
    for (size_t k = 0; array && k < r->classes; k++) {
        gm_value *child =
            i == r->classes ? confusion_value(r, k) : gm_value_int((int64_t)gm_tally_count(r->tally, i, k));
        if (gm_array_push(array, child) == 0) continue;
        gm_value_free(array);
        array = NULL;
    }
    return array;
}

static bool set_figures(gm_value *map, const gm_figures *f) {
    figure list[FIGURES];
    list_figures(f, list);
    bool good = map && gm_map_set(map, "rows", gm_value_int((int64_t)f->rows)) == 0;
    for (size_t i = 0; good && i < FIGURES; i++)
        if (!isnan(list[i].value)) good = gm_map_set(map, list[i].name, gm_value_float(list[i].value)) == 0;
    return good;
}

static int put_json(const gm_report *r, const gm_figures *f, gm_error *e) {
    gm_value *map = gm_value_map();
    bool good = set_figures(map, f) && gm_map_set(map, "classes", names_value(r)) == 0 &&
                gm_map_set(map, "precision", by_class(r, gm_tally_precision)) == 0 &&
                gm_map_set(map, "recall", by_class(r, gm_tally_recall)) == 0 &&
                gm_map_set(map, "f1", by_class(r, gm_tally_f1)) == 0;
    if (good && r->confusion) good = gm_map_set(map, "confusion", confusion_value(r, r->classes)) == 0;
    if (good) {
        gm_json_put(stdout, map);
        putchar('\n');
    }
    gm_value_free(map);
    return good ? 0 : gm_fail(e, "out of memory");
}

int gm_report_put(const gm_report *r, gm_error *e) {
    gm_figures f;
    if (gm_tally_figures(r->tally, &f, e) != 0) return -1;
    if (r->json) return put_json(r, &f, e);
    return put_lines(r, &f, e);
}
