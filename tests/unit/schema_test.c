/* schema_test.c: scanning, encoding, decoding, and the schema's way through a model file. */
#include "data_files.h"
#include "gm/stream.h"

#include <float.h>

static void test_scale_words(void) {
    gm_scale s;
    gm_error e;
    char text[80];
    CHECK(gm_scale_parse("none", &s, &e) == 0 && s.kind == GM_SCALE_NONE);
    CHECK(gm_scale_parse("standard", &s, &e) == 0 && s.kind == GM_SCALE_STANDARD);
    CHECK_TEXT(gm_scale_text(&s, text), "standard");
    CHECK(gm_scale_parse("range:-1,1", &s, &e) == 0 && s.kind == GM_SCALE_RANGE && s.low == -1 && s.high == 1);
    CHECK_TEXT(gm_scale_text(&s, text), "range:-1,1");
    CHECK(gm_scale_parse("range:0.1,1e3", &s, &e) == 0);
    CHECK_TEXT(gm_scale_text(&s, text), "range:0.1,1000");
    static const char *const wrong[] = {"",           "range",       "range:",    "range:1",
                                        "range:1,",   "range:1,1",   "range:2,1", "range:0,1,",
                                        "range: 0,1", "range:0,inf", "rang:0,1",  "range:0,1e31"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        e.usage = false;
        CHECK(gm_scale_parse(wrong[i], &s, &e) == -1 && e.usage);
        CHECK(s.low == 0.1); /* left alone */
    }
    CHECK(gm_scale_parse("standart", &s, &e) == -1);
    CHECK_TEXT(e.text, "unknown scale 'standart' (did you mean 'standard'?)");
    CHECK(gm_scale_parse("quantile", &s, &e) == 0 && s.kind == GM_SCALE_QUANTILE);
    CHECK_TEXT(gm_scale_text(&s, text), "quantile");
    CHECK(gm_scale_parse("quantile:2", &s, &e) == -1 && e.usage);
}

static void test_scan_wine(void) {
    gm_schema *s = schema_of(files_wine, "cultivar", "standard");
    if (s == NULL) return;
    CHECK_TEXT(s->source, "wine.csv");
    CHECK(s->rows == 178 && s->column_count == 13 && s->features == 13 && s->height == 0);
    CHECK_TEXT(s->label, "cultivar");
    CHECK(s->class_count == 3 && !s->classes_are_numbers);
    CHECK_TEXT(s->classes[0], "A");
    CHECK_TEXT(s->classes[2], "C");
    CHECK(s->class_rows[0] == 59 && s->class_rows[1] == 71 && s->class_rows[2] == 48);
    const gm_column *alcohol = &s->columns[0], *proline = &s->columns[12];
    CHECK_TEXT(alcohol->name, "alcohol");
    CHECK(!alcohol->categorical && !alcohol->integer && alcohol->minimum == 11.03 && alcohol->maximum == 14.83);
    CHECK_NEAR(alcohol->mean, 13.000617977528, 1e-9);
    CHECK_NEAR(alcohol->deviation, 0.809542914528517, 1e-9);
    CHECK(proline->integer && proline->minimum == 278 && proline->maximum == 1680);
    gm_schema_free(s);
}

static void test_scan_categories(void) {
    put_text("c.csv", "colour,size,kind\nred,1,x\nblue,2,y\n\"deep, red\",3,x\nred,4,y\n");
    gm_schema *s = schema_of("c.csv", "kind", "none");
    if (s == NULL) return;
    const gm_column *c = &s->columns[0];
    CHECK(c->categorical && c->category_count == 3 && c->features == 3 && s->features == 4);
    CHECK_TEXT(c->categories[0], "red");
    CHECK_TEXT(c->categories[2], "deep, red");
    gm_schema_free(s);
}

/* Marks of missing numbers do not decide what a column is. */
static void test_scan_missing(void) {
    put_text("e.csv", "a,b\n,1\nNA,4\nword,2\n");
    gm_schema *s = schema_of("e.csv", NULL, "none");
    if (s != NULL)
        CHECK(s->columns[0].categorical && s->columns[0].category_count == 3 && s->label == NULL &&
              s->class_count == 0);
    if (s != NULL) CHECK_TEXT(s->columns[0].categories[0], "");
    if (s != NULL) CHECK_TEXT(s->columns[0].categories[1], "NA");
    gm_schema_free(s);
    put_text("e.csv", "a,b\n,1\nN/A,1\n5,?\n8,3\n-,1\nNaN,2\nnull,2\n");
    s = schema_of("e.csv", NULL, "standard");
    if (s != NULL) {
        const gm_column *a = &s->columns[0], *b = &s->columns[1];
        CHECK(!a->categorical && a->missing == 5 && a->features == 2 && a->mean == 6.5 && a->deviation == 1.5);
        CHECK(a->integer && a->minimum == 5 && a->maximum == 8);
        CHECK(b->missing == 1 && b->features == 2 && s->features == 4 && s->rows == 7);
    }
    gm_schema_free(s);
    put_text("e.csv", "a,b\n3,1\nn/a,2\n");
    CHECK_TEXT(scan_message("e.csv", NULL),
               "e.csv: line 3, column 'a': 'n/a' is not a number (gm-init --missing TEXT, if it stands for none)");
}

static gm_schema *scan_of(const char *file, const gm_scan_choice *choice) {
    static gm_error e;
    char *files[] = {(char *)(uintptr_t)file};
    gm_schema *s = gm_schema_scan(files, 1, choice, &e);
    if (s == NULL) printf("# %s\n", e.text);
    CHECK(s != NULL);
    return s;
}

static const char *message_of(const char *file, const gm_scan_choice *choice) {
    static gm_error e;
    char *files[] = {(char *)(uintptr_t)file};
    gm_schema *s = gm_schema_scan(files, 1, choice, &e);
    CHECK(s == NULL);
    gm_schema_free(s);
    return e.text;
}

static char *names_ab[] = {(char[]){"a"}, (char[]){"b"}};

static void test_scan_own_marks(void) {
    char *texts[] = {(char[]){"n/a"}, (char[]){"-999"}};
    const gm_names marks = {2, texts}, none = {0, texts};
    put_text("e.csv", "a\n1\n-999\n3\nn/a\n\"\"\n-999.0\n");
    gm_schema *s = scan_of("e.csv", &(gm_scan_choice){.marks = &marks});
    if (s != NULL) CHECK(s->columns[0].missing == 3 && s->columns[0].minimum == -999 && s->rows == 6 && s->marks_given);
    gm_schema_free(s);
    put_text("e.csv", "a\n1\nNA\n");
    CHECK_TEXT(message_of("e.csv", &(gm_scan_choice){.marks = &none}),
               "e.csv: line 3, column 'a': 'NA' is not a number (gm-init --missing TEXT, if it stands for none)");
}

static void test_scan_kinds(void) {
    const gm_names a = {1, names_ab}, ab = {2, names_ab};
    put_text("e.csv", "a,b,k\n1,NA,x\n2,3,y\n1,,x\n");
    gm_schema *s = scan_of("e.csv", &(gm_scan_choice){.categorical = ab});
    if (s != NULL) {
        CHECK(s->columns[0].categorical && s->columns[0].category_count == 2 && s->columns[1].category_count == 3);
        CHECK_TEXT(s->columns[1].categories[0], "NA");
        CHECK_TEXT(s->columns[1].categories[2], "");
    }
    gm_schema_free(s);
    CHECK_TEXT(message_of("e.csv", &(gm_scan_choice){.categorical = a, .numeric = ab}),
               "column 'a' cannot be numeric and categorical");
    CHECK_TEXT(message_of("e.csv", &(gm_scan_choice){.label = "a", .categorical = a}),
               "e.csv: column 'a' is the label, whose values are classes");
    put_text("e.csv", "aa,b\n1,2\n");
    CHECK_TEXT(message_of("e.csv", &(gm_scan_choice){.categorical = ab}), "e.csv: no column 'a'");
    put_text("e.csv", "a,b\nx,2\n");
    CHECK_TEXT(message_of("e.csv", &(gm_scan_choice){.numeric = a}), "e.csv: line 2, column 'a': 'x' is not a number");
}

static void test_scan_forms(void) {
    put_text("e.csv", "1;x;\"a;b\"\n2;y;z\n");
    const gm_csv_form form = {.separator = ';', .no_header = true};
    gm_schema *s = scan_of("e.csv", &(gm_scan_choice){.label = "2", .form = form});
    if (s != NULL) {
        CHECK(s->column_count == 2 && s->form.separator == ';' && s->form.no_header);
        CHECK_TEXT(s->label, "c2");
        CHECK_TEXT(s->columns[1].name, "c3");
        CHECK_TEXT(s->columns[1].categories[0], "a;b");
    }
    gm_schema_free(s);
    s = scan_of("e.csv", &(gm_scan_choice){.label = "-1", .form = form});
    if (s != NULL) CHECK_TEXT(s->label, "c3");
    gm_schema_free(s);
    CHECK_TEXT(message_of("e.csv", &(gm_scan_choice){.label = "4", .form = form}), "e.csv: no label column '4'");
    CHECK_TEXT(message_of("e.csv", &(gm_scan_choice){.label = "c4", .form = form}), "e.csv: no label column 'c4'");
}

static void test_separators(void) {
    static const char *const good[] = {",", ";", "|", "\t", "tab", "\\t", "space", ":"};
    static const char *const wrong[] = {"", ",,", "\"", "\n", "\r", ".", "-", "+", "0", "e", "_", "'", "comma", "\x80"};
    char separator = 0;
    gm_error e;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) CHECK(gm_separator_parse(good[i], &separator, &e) == 0);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        CHECK(gm_separator_parse(wrong[i], &separator, &e) == -1 && e.usage);
    CHECK(gm_separator_parse("tab", &separator, &e) == 0 && separator == '\t');
}

static void test_fold_words(void) {
    gm_fold f;
    gm_error e;
    CHECK(gm_fold_parse("2/5", &f, &e) == 0 && f.index == 2 && f.count == 5 && f.seed == 0 && !f.rest);
    CHECK(gm_fold_parse("1000/1000:18446744073709551615", &f, &e) == 0 && f.index == 1000 && f.seed == UINT64_MAX);
    static const char *const wrong[] = {"",     "1",    "/5",   "1/",    "0/5",   "6/5",    "1/1",  "1/1001",
                                        "1/5:", "a/5",  "1/b",  "1/5:x", "-1/5",  "1/5:-1", "1/5 ", " 1/5",
                                        "1:5",  "1/:5", "1//5", "1/5/2", "1/5::", "1e0/5"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        e.usage = false;
        CHECK(gm_fold_parse(wrong[i], &f, &e) == -1 && e.usage);
    }
    CHECK(gm_fold_parse("6/5", &f, &e) == -1);
    CHECK_TEXT(e.text, "fold '6/5': folds are numbered from 1 to 5");
}

/* What is learnt of the data is learnt of the rows outside the fold; only classes are those of all. */
static void test_scan_fold(void) {
    const gm_fold rest = {.index = 2, .count = 4, .rest = true};
    char *files[] = {files_wine};
    gm_error e;
    gm_schema *whole = schema_of(files_wine, "cultivar", "none");
    gm_schema *s = scan_of(files_wine, &(gm_scan_choice){.label = "cultivar", .fold = rest});
    gm_rows *d = gm_rows_open(files, 1, whole, &(gm_data_choice){.fold = rest}, &e);
    if (whole == NULL || s == NULL || d == NULL) return;
    float x[178 * 13];
    int32_t y[178];
    size_t classes[3] = {0};
    const long n = gm_rows_next(d, 178, false, x, y, &e);
    CHECK(n == (long)s->rows && n > 130 && n < 136);
    for (size_t i = 0; i < 13; i++) {
        double sum = 0, low = INFINITY;
        for (long row = 0; row < n; row++) {
            sum += (double)x[row * 13 + (long)i];
            low = fmin(low, (double)x[row * 13 + (long)i]);
        }
        CHECK_NEAR(sum / (double)n, s->columns[i].mean, 1e-5 * fabs(s->columns[i].mean));
        CHECK_NEAR(low, s->columns[i].minimum, 1e-6 * fabs(low));
    }
    for (long row = 0; row < n; row++) classes[y[row]]++;
    for (size_t i = 0; i < 3; i++) CHECK(classes[i] == s->class_rows[i]);
    gm_rows_close(d);
    gm_schema_free(s);
    gm_schema_free(whole);
}

/* A class that only held-out rows have is known, with no rows; two classes must be left. */
static void test_scan_fold_classes(void) {
    const gm_fold rest = {.index = 1, .count = 2, .rest = true};
    gm_fold other = rest;
    other.index = 2;
    put_text("e.csv", "a,k\n1,x\n2,x\n3,x\n4,x\n5,y\n6,y\n7,rare\n");
    gm_schema *s = scan_of("e.csv", &(gm_scan_choice){.label = "k", .fold = rest});
    gm_schema *t = scan_of("e.csv", &(gm_scan_choice){.label = "k", .fold = other});
    if (s == NULL || t == NULL) return;
    CHECK(s->class_count == 3 && t->class_count == 3 && s->class_rows[0] + t->class_rows[0] == 1);
    CHECK(s->class_rows[1] == 2 && t->class_rows[1] == 2 && s->class_rows[2] == 1 && t->class_rows[2] == 1);
    CHECK(s->rows + t->rows == 7);
    gm_schema_free(s);
    gm_schema_free(t);
    put_text("e.csv", "a,k\n1,x\n2,x\n3,y\n");
    size_t refused = 0;
    for (uint32_t i = 1; i <= 2; i++) {
        char *files[] = {(char[]){"e.csv"}};
        gm_error e;
        s = gm_schema_scan(files, 1, &(gm_scan_choice){.label = "k", .fold = {i, 2, 0, true}}, &e);
        if (s == NULL) CHECK(strstr(e.text, "has one class only ('x') in the rows that are not held out") != NULL);
        refused += s == NULL;
        gm_schema_free(s);
    }
    CHECK(refused == 1);
    put_text("e.csv", "a\n1\n");
    refused = 0;
    for (uint32_t i = 1; i <= 2; i++) {
        char *files[] = {(char[]){"e.csv"}};
        gm_error e;
        s = gm_schema_scan(files, 1, &(gm_scan_choice){.fold = {i, 2, 0, true}}, &e);
        if (s == NULL) CHECK_TEXT(e.text, "e.csv: no row is left outside of the fold that is held out");
        refused += s == NULL;
        gm_schema_free(s);
    }
    CHECK(refused == 1);
}

static void test_scan_refusals(void) {
    static const char *const words[] = {"n/a", "n/a1", "1e999", "0x10", "inf", "1,5", "- 1", "1e", "--1", "1 2"};
    char text[128], expected[128];
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        snprintf(text, sizeof text, "ash,k\n1,a\n\"%s\",b\n", words[i]);
        snprintf(expected, sizeof expected, "x.csv: line 3, column 'ash': '%s' is not a number", words[i]);
        put_text("x.csv", text);
        CHECK(strncmp(scan_message("x.csv", "k"), expected, strlen(expected)) == 0);
    }
    put_text("x.csv", "ash,k\n1,a\nan \033[31mevil\033 text that is much longer than a message should be,b\n");
    CHECK_TEXT(scan_message("x.csv", "k"),
               "x.csv: line 3, column 'ash': 'an ?[31mevil? text that is much longe...' is not a number");
    put_text("x.csv", "ash,digits,c\n1,2,3\n");
    CHECK_TEXT(scan_message("x.csv", "digit"), "x.csv: no label column 'digit' (did you mean 'digits'?)");
    CHECK_TEXT(scan_message("x.csv", "kind"), "x.csv: no label column 'kind'");
    put_text("x.csv", "digit\n1\n2\n");
    CHECK_TEXT(scan_message("x.csv", "digit"), "x.csv: no column beside the label 'digit'");
    put_text("x.csv", "a,digit\n1,2\n3,2\n4,2.0\n");
    CHECK_TEXT(scan_message("x.csv", "digit"), "x.csv: label column 'digit' has one class only ('2')");
    put_text("x.csv", "a,digit\n1,2\n3,\n");
    CHECK_TEXT(
        scan_message("x.csv", "digit"),
        "x.csv: line 3, column 'digit': empty; a class belongs here (gm-init --unlabelled takes rows without one)");
    put_text("x.csv", "a\n1e308\n-1e308\n");
    CHECK_TEXT(scan_message("x.csv", NULL), "x.csv: column 'a': its numbers are too large to be scaled");
    CHECK_TEXT(scan_message("none.csv", NULL), "none.csv: No such file or directory");
    CHECK_TEXT(scan_message(".", NULL), ".: Is a directory");
}

/* A column that begins with what is no number is one of names only if that is what it holds. */
static void test_scan_first_words(void) {
    static const char *const refused[] = {"1,5",   "-1,5",  "1,234.5", "1.234,5", "1,234,567", "0x10",
                                          "-0XfF", "1e999", "inf",     "n/a",     "None",      "#N/A",
                                          "<NA>",  ".",     "low",     ",5",      "2,5e3"};
    static const char *const names[] = {"3a",       "12-B",  "2020-01-02", "10:30", "1.2.3", "10.0.0.1", "1,2,3",
                                        "1,2,b",    "0x",    "0xyz",       "a,5",   "1,",    "7e",       "2020.01.02",
                                        "1,23,456", "1e999", "n/a",        "inf",   "."};
    char text[128], expected[128];
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        snprintf(text, sizeof text, "ash,k\nNA,a\n\"%s\",b\n1,a\n2,b\n2,b\n", refused[i]);
        snprintf(expected, sizeof expected, "x.csv: line 3, column 'ash': '%s' is not a number", refused[i]);
        put_text("x.csv", text);
        CHECK(strncmp(scan_message("x.csv", "k"), expected, strlen(expected)) == 0);
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(text, sizeof text, "ash,k\n\"%s\",b\nword,a\n3,a\nNA,b\n7,b\n", names[i]);
        put_text("x.csv", text);
        gm_schema *s = schema_of("x.csv", "k", "none");
        CHECK(s != NULL && s->columns[0].categorical && s->columns[0].category_count == 5);
        gm_schema_free(s);
    }
    put_text("x.csv", "ash,k\nred,a\n\"1,5\",b\n");
    CHECK_TEXT(scan_message("x.csv", "k"), "x.csv: line 3, column 'ash': '1,5' is not a number: numbers have a point "
                                           "(gm-init --categorical COLUMN, if all are names)");
}

/* Whichever rows are held out, a column is of the kind that all rows make it. */
static void test_scan_kind_of_folds(void) {
    put_text("e.csv", "a,b,k\nx,,p\n1,,q\ny,,p\nz,3,q\n2,,p\n2,,q\n");
    for (uint32_t i = 1; i <= 6; i++) {
        gm_schema *s = scan_of("e.csv", &(gm_scan_choice){.fold = {i, 6, 1, true}});
        if (s == NULL) return;
        const gm_column *a = &s->columns[0], *b = &s->columns[1];
        CHECK(s->rows == 5 && a->categorical && a->category_count >= 3 && !b->categorical && b->features == 2);
        CHECK(b->missing == (b->mean == 0 ? 5 : 4) && b->minimum == b->mean && b->maximum == b->mean);
        gm_schema_free(s);
    }
}

/* Nothing is known of a column that is empty: the one value 0. */
static void test_scan_empty(void) {
    put_text("e.csv", "a,b\n,1\nnan,2\n");
    gm_schema *s = schema_of("e.csv", NULL, "standard");
    if (s == NULL) return;
    const gm_column *a = &s->columns[0];
    CHECK(!a->categorical && a->missing == 2 && a->features == 2 && a->mean == 0 && a->deviation == 0);
    CHECK(a->minimum == 0 && a->maximum == 0 && gm_column_scale(a, &s->scale, 7) == 0);
    gm_schema_free(s);
}

static void test_scan_identifiers(void) {
    FILE *f = fopen("id.csv", "w");
    files_note("id.csv");
    fputs("who,a\n", f);
    for (int i = 0; i < 10001; i++) fprintf(f, "w%d,%d\n", i, i % 2);
    fclose(f);
    CHECK_TEXT(scan_message("id.csv", "a"),
               "id.csv: line 10002, column 'who': more than 10000 categories; if it is an identifier, leave it out");
    CHECK_TEXT(scan_message("id.csv", "who"),
               "id.csv: line 10002, column 'who': more than 10000 classes; is it an identifier, or a measurement?");
}

static void test_scan_several(void) {
    char *files[] = {"one.csv", "two.csv"};
    gm_error e;
    put_text("one.csv", "a,b,k\n1,2,x\n3,4,y\n");
    put_text("two.csv", "k,b,a\nx,20,10\n");
    gm_schema *s = gm_schema_scan(files, 2, &(gm_scan_choice){.label = "k", .scale.kind = GM_SCALE_NONE}, &e);
    CHECK(s != NULL);
    if (s != NULL)
        CHECK(s->rows == 3 && s->columns[0].maximum == 10 && s->columns[1].maximum == 20 && s->class_rows[0] == 2);
    gm_schema_free(s);
    put_text("two.csv", "k,a\nx,10\n");
    CHECK(gm_schema_scan(files, 2, &(gm_scan_choice){.label = "k", .scale.kind = GM_SCALE_NONE}, &e) == NULL);
    CHECK_TEXT(e.text, "two.csv: no column 'b', which one.csv has");
    put_text("two.csv", "k,a,b,c\nx,10,1,1\n");
    CHECK(gm_schema_scan(files, 2, &(gm_scan_choice){.label = "k", .scale.kind = GM_SCALE_NONE}, &e) == NULL);
    CHECK_TEXT(e.text, "two.csv: 4 columns, one.csv has 3");
    CHECK(gm_schema_scan(files, 0, &(gm_scan_choice){.label = "k", .scale.kind = GM_SCALE_NONE}, &e) == NULL &&
          e.usage);
}

static long class_of(const gm_schema *s, const char *text) {
    return gm_schema_class(s, text, strlen(text));
}

static void test_classes(void) {
    put_text("n.csv", "a,k\n1,10\n1,9\n1,-2\n1,9.0\n1,1e2\n");
    gm_schema *s = schema_of("n.csv", "k", "none");
    if (s != NULL) {
        CHECK(s->class_count == 4 && s->classes_are_numbers);
        CHECK_TEXT(s->classes[0], "-2");
        CHECK_TEXT(s->classes[1], "9");
        CHECK_TEXT(s->classes[2], "10");
        CHECK(s->class_rows[1] == 2);
        CHECK(class_of(s, "9") == 1 && class_of(s, "9.0") == 1 && class_of(s, "90e-1") == 1 && class_of(s, "100") == 3);
        CHECK(class_of(s, "11") == -1 && class_of(s, "") == -1 && class_of(s, "nine") == -1);
        CHECK(gm_schema_class(s, "10", 1) == -1);
    }
    gm_schema_free(s);
    put_text("n.csv", "a,k\n1,3\n1,x\n1,3.0\n1,B\n");
    s = schema_of("n.csv", "k", "none");
    if (s != NULL) {
        CHECK(s->class_count == 4 && !s->classes_are_numbers);
        CHECK(class_of(s, "3") == 0 && class_of(s, "3.0") == 1 && class_of(s, "B") == 2 && class_of(s, "x") == 3);
        CHECK(class_of(s, "30") == -1 && class_of(s, "b") == -1 && class_of(s, "") == -1);
    }
    gm_schema_free(s);
}

static void test_column_scaling(void) {
    const gm_column c = {.name = "a", .minimum = -10, .maximum = 30, .mean = 4, .deviation = 8, .features = 1};
    const gm_column constant = {.name = "a", .minimum = 5, .maximum = 5, .mean = 5, .deviation = 0, .features = 1};
    const gm_scale none = {GM_SCALE_NONE, 0, 0}, standard = {GM_SCALE_STANDARD, 0, 0}, range = {GM_SCALE_RANGE, -1, 1};
    CHECK(gm_column_scale(&c, &none, 7.5) == 7.5f);
    CHECK(gm_column_scale(&c, &standard, 12) == 1 && gm_column_scale(&c, &standard, 4) == 0);
    CHECK(gm_column_scale(&c, &range, -10) == -1 && gm_column_scale(&c, &range, 30) == 1 &&
          gm_column_scale(&c, &range, 10) == 0);
    CHECK(gm_column_unscale(&c, &range, 2) == 30 && gm_column_unscale(&c, &range, -1.5f) == -10);
    CHECK(gm_column_scale(&constant, &standard, 5) == 0 && gm_column_scale(&constant, &range, 5) == -1);
    CHECK(gm_column_scale(&constant, &standard, 9) == 0 && gm_column_scale(&constant, &none, 5) == 5);
    CHECK(gm_column_unscale(&constant, &standard, 0.7f) == 5 && gm_column_unscale(&constant, &range, 1) == 5);
    gm_column integer = c;
    integer.integer = true;
    CHECK(gm_column_unscale(&integer, &none, 2.6f) == 3 && gm_column_unscale(&integer, &none, 31) == 30);
}

/* 0, which every second row has, is an atom; so is 7 at the end. */
static void test_quantile_atoms(void) {
    FILE *f = fopen("q.csv", "w");
    CHECK(f != NULL);
    if (f == NULL) return;
    fputs("a,b,c,kind\n", f);
    for (int i = 0; i < 100; i++)
        fprintf(f, "%d,%d.%02d,%s,%s\n",
                i % 2    ? 0
                : i < 80 ? i
                         : 100,
                i / 10, i % 10, i == 3 ? "" : "2.50", i < 50 ? "x" : "y");
    fclose(f);
    gm_schema *s = schema_of("q.csv", "kind", "quantile");
    if (s == NULL) return;
    const gm_column *a = &s->columns[0], *b = &s->columns[1], *c = &s->columns[2];
    /* 51 rows are 0: the jump from 0 to 0.51, whose middle is 0.255; 10 rows are 100 */
    CHECK(gm_column_scale(a, &s->scale, 0) == (float)(2 * 0.255 - 1) &&
          gm_column_scale(a, &s->scale, -5) == (float)(2 * 0.255 - 1));
    CHECK(gm_column_scale(a, &s->scale, 100) == (float)(2 * 0.95 - 1) &&
          gm_column_scale(a, &s->scale, 1e9) == (float)(2 * 0.95 - 1));
    for (float x = -1.5f; x < 0.019f; x += 0.01f) CHECK(gm_column_unscale(a, &s->scale, x) == 0);
    for (float x = 0.81f; x < 2; x += 0.01f) CHECK(gm_column_unscale(a, &s->scale, x) == 100);
    for (int value = 2; value < 80; value += 2) {
        const float x = gm_column_scale(a, &s->scale, value);
        CHECK(x > 0 && x < 0.8f && gm_column_unscale(a, &s->scale, x) == value);
    }
    /* different values everywhere: their ranks */
    CHECK(b->knot_count == 100 && gm_column_scale(b, &s->scale, 3.05) == (float)(2 * 0.355 - 1));
    CHECK(gm_column_unscale(b, &s->scale, gm_column_scale(b, &s->scale, 3.05)) == 3.05);
    CHECK_NEAR(gm_column_unscale(b, &s->scale, gm_column_scale(b, &s->scale, 3.053)), 3.053, 1e-6);
    /* one value only, and missing */
    CHECK(c->features == 2 && gm_column_scale(c, &s->scale, 2.5) == 0 && gm_column_unscale(c, &s->scale, 0.9f) == 2.5);
    CHECK(isnan(gm_column_unscale(b, &s->scale, NAN)));
    CHECK(c->decimals == 2 && c->padded && b->decimals == 2 && a->decimals == 0);
    gm_schema_free(s);
}

/* More values than are kept: the features are still uniform, the ends exact, and the same each time. */
static void test_quantile_sample(void) {
    enum { ROWS = 60000 };
    FILE *f = fopen("q.csv", "w");
    CHECK(f != NULL);
    if (f == NULL) return;
    fputs("a\n", f);
    for (int i = 0; i < ROWS; i++) {
        const double u = (double)(i * 7919 % ROWS) / ROWS;
        fprintf(f, "%.9g\n", i % 4 == 0 ? 0 : u < 0.5 ? exp(6 * u) : 1e6 * u);
    }
    fclose(f);
    gm_schema *s = schema_of("q.csv", NULL, "quantile"), *again = schema_of("q.csv", NULL, "quantile");
    if (s == NULL || again == NULL) return;
    const gm_column *a = &s->columns[0];
    CHECK(gm_schema_encodes_alike(s, again) && a->knot_count <= 512 && a->knot_count > 200);
    CHECK(a->knots[0] == 0 && a->knots[a->knot_count - 1] == a->maximum && a->maximum > 9.9e5);
    CHECK_NEAR(a->levels[1], 0.25, 0.015); /* the atom's share */
    size_t tenths[10] = {0};
    for (int i = 0; i < ROWS; i++) {
        const double u = (double)(i * 7919 % ROWS) / ROWS, value = i % 4 == 0 ? 0 : u < 0.5 ? exp(6 * u) : 1e6 * u;
        const float x = gm_column_scale(a, &s->scale, value);
        if (value > 0) tenths[(size_t)((x + 1) * 5)]++;
        CHECK_NEAR(gm_column_unscale(a, &s->scale, x), value, 1e-3 * (1 + value));
    }
    for (size_t i = 3; i < 9; i++) CHECK_NEAR((double)tenths[i] / ROWS, 0.1, 0.01);
    gm_schema_free(again);
    gm_schema_free(s);
}

/* Reads a CSV, encodes and decodes it by its own schema, and compares with the file. */
static void round_trip(const char *file, const char *label, const char *scale) {
    gm_schema *s = schema_of(file, label, scale);
    if (s == NULL) return;
    char *files[] = {(char *)(uintptr_t)file};
    gm_error e;
    gm_rows *d = gm_rows_open(files, 1, s, &(gm_data_choice){.need_label = true}, &e);
    CHECK(d != NULL);
    float *x = malloc(s->rows * s->features * sizeof *x);
    int32_t *y = malloc(s->rows * sizeof *y);
    CHECK(d != NULL && gm_rows_next(d, s->rows, false, x, y, &e) == (long)s->rows);
    gm_rows_close(d);
    FILE *out = fopen("back.csv", "w");
    files_note("back.csv");
    gm_decode_header(out, s, true);
    gm_decode_rows(out, s, s->rows, x, y);
    CHECK(fclose(out) == 0);
    const int before_fd = open(file, O_RDONLY | O_CLOEXEC), after_fd = open("back.csv", O_RDONLY | O_CLOEXEC);
    gm_csv *before = gm_csv_new(before_fd, file, (gm_csv_form){0}, &e),
           *after = gm_csv_new(after_fd, "back.csv", (gm_csv_form){0}, &e);
    const gm_field *f, *g;
    uint64_t line;
    size_t rows = 0, wrong = 0;
    while (gm_csv_next(before, &f, &line, &e) == 1 && gm_csv_next(after, &g, &line, &e) == 1) {
        for (size_t i = 0; i < s->column_count; i++) {
            double a = NAN, b = NAN;
            const bool read = gm_parse_double(f[i].text, &a) && gm_parse_double(g[i].text, &b);
            const bool close_enough = s->columns[i].integer ? a == b : fabs(a - b) <= 1e-6 * fabs(a);
            if ((!read || !close_enough) && wrong++ < 5)
                printf("# %s, %s: '%s' became '%s'\n", file, scale, f[i].text, g[i].text);
        }
        CHECK_TEXT(g[s->column_count].text, f[s->column_count].text);
        rows++;
    }
    CHECK(wrong == 0 && rows == s->rows);
    gm_csv_free(before);
    gm_csv_free(after);
    close(before_fd);
    close(after_fd);
    free(x);
    free(y);
    gm_schema_free(s);
}

static void test_round_trips(void) {
    static const char *const scales[] = {"none", "standard", "range:-1,1", "range:0,1"};
    for (size_t i = 0; i < sizeof scales / sizeof scales[0]; i++) {
        round_trip(files_digits, "digit", scales[i]);
        round_trip(files_wine, "cultivar", scales[i]);
        round_trip(files_iris, "species", scales[i]);
    }
}

static const char *decoded(const gm_schema *s, size_t n, const float *x, const int32_t *y) {
    static char out[1024];
    memset(out, 0, sizeof out);
    FILE *f = fmemopen(out, sizeof out, "w");
    gm_decode_header(f, s, y != NULL);
    gm_decode_rows(f, s, n, x, y);
    CHECK(!ferror(f));
    fclose(f);
    return out;
}

static void test_decode(void) {
    put_text("d.csv", "\"a,1\",word,n,kind\n0.5,\"x, y\",-3,\"the \"\"one\"\"\"\n1.5,z,12,two\n");
    gm_schema *s = schema_of("d.csv", "kind", "none");
    if (s == NULL) return;
    const float x[] = {0.75f, 0.2f, 0.9f, -2.6f, 9, 0.6f, 0.5f, 12.4f, -0.0f, 0, 0, 0};
    const int32_t y[] = {0, 1, 7};
    CHECK_TEXT(decoded(s, 3, x, y),
               "\"a,1\",word,n,kind\n0.8,z,-3,\"the \"\"one\"\"\"\n1.5,\"x, y\",12,two\n0.5,\"x, y\",0,7\n");
    CHECK_TEXT(decoded(s, 1, x, NULL), "\"a,1\",word,n\n0.8,z,-3\n");
    gm_schema_free(s);
}

/* Missing numbers come back as empty fields, other forms of CSV in their own form. */
static void test_decode_forms(void) {
    put_text("d.csv", "x;1;\"a;b\"\ny;;c\n");
    gm_schema *s = scan_of("d.csv", &(gm_scan_choice){.label = "1", .form = {.separator = ';', .no_header = true}});
    if (s == NULL) return;
    CHECK(s->features == 4);
    const float x[] = {1, 0.4f, 1, 0, 1, 0.6f, 0, 1};
    const int32_t y[] = {1, 0};
    CHECK_TEXT(decoded(s, 2, x, y), "y;1;\"a;b\"\nx;;c\n");
    CHECK_TEXT(decoded(s, 1, x, NULL), "1;\"a;b\"\n");
    gm_schema_free(s);
}

/* A category of no text in a file of one column would be a blank line. */
static void test_decode_lone_empty(void) {
    put_text("d.csv", "word\n\"\"\nx\n");
    gm_schema *s = schema_of("d.csv", NULL, "none");
    if (s == NULL) return;
    const float x[] = {1, 0, 0, 1};
    CHECK_TEXT(decoded(s, 2, x, NULL), "word\n\"\"\nx\n");
    gm_schema_free(s);
}

/* ---- the value ---- */

static bool same_text(const char *a, const char *b) {
    return a == NULL ? b == NULL : b != NULL && strcmp(a, b) == 0;
}

static bool same_column(const gm_column *a, const gm_column *b) {
    bool same = same_text(a->name, b->name) && a->categorical == b->categorical && a->integer == b->integer;
    same = same && a->minimum == b->minimum && a->maximum == b->maximum && a->mean == b->mean &&
           a->deviation == b->deviation;
    same = same && a->decimals == b->decimals && a->padded == b->padded && a->knot_count == b->knot_count;
    for (size_t i = 0; same && i < a->knot_count; i++)
        same = a->knots[i] == b->knots[i] && a->levels[i] == b->levels[i];
    same = same && a->missing == b->missing && a->category_count == b->category_count && a->features == b->features;
    for (size_t i = 0; same && i < a->category_count; i++) same = same_text(a->categories[i], b->categories[i]);
    return same;
}

static bool same_schema(const gm_schema *a, const gm_schema *b) {
    bool same = same_text(a->source, b->source) && same_text(a->label, b->label) && a->column_count == b->column_count;
    same = same && a->features == b->features && a->class_count == b->class_count && a->rows == b->rows;
    same = same && a->height == b->height && a->width == b->width && a->classes_are_numbers == b->classes_are_numbers;
    same = same && a->scale.kind == b->scale.kind && a->scale.low == b->scale.low && a->scale.high == b->scale.high;
    same = same && a->form.separator == b->form.separator && a->form.no_header == b->form.no_header;
    same = same && a->held_out.index == b->held_out.index && a->held_out.count == b->held_out.count;
    same = same && a->held_out.seed == b->held_out.seed && a->held_out.rest == b->held_out.rest;
    same = same && a->marks_given == b->marks_given && a->marks.count == b->marks.count;
    for (size_t i = 0; same && i < a->marks.count; i++) same = same_text(a->marks.items[i], b->marks.items[i]);
    for (size_t i = 0; same && i < a->column_count; i++) same = same_column(&a->columns[i], &b->columns[i]);
    for (size_t i = 0; same && i < a->class_count; i++) {
        same = same_text(a->classes[i], b->classes[i]) && a->class_rows[i] == b->class_rows[i];
    }
    return same;
}

/* There and back, through msgpack; the bytes. */
static size_t there_and_back(const gm_schema *s) {
    gm_error e = {.text = ""};
    unsigned char *bytes = NULL;
    size_t n = 0;
    gm_value *v = gm_schema_value(s, &e);
    CHECK(v != NULL && gm_value_pack(v, &bytes, &n, &e) == 0);
    gm_value *read = gm_value_unpack(bytes, n, &e);
    CHECK(read != NULL);
    gm_schema *back = gm_schema_parse(read, &e);
    CHECK_TEXT(e.text, "");
    CHECK(back != NULL && same_schema(s, back));
    gm_schema_free(back);
    gm_value_free(read);
    gm_value_free(v);
    free(bytes);
    return n;
}

static void test_value(void) {
    gm_schema *s = schema_of(files_wine, "cultivar", "standard");
    if (s != NULL) CHECK(there_and_back(s) < 3000);
    gm_schema_free(s);
    s = schema_of(files_digits, "digit", "range:-1,1");
    if (s != NULL) there_and_back(s);
    gm_schema_free(s);
    put_text("v.csv", "a,word,b,other\n1,x,1.5,\n2,\"y z\",2,u\n");
    s = schema_of("v.csv", NULL, "none");
    if (s != NULL) there_and_back(s);
    gm_schema_free(s);
    char *texts[] = {(char[]){"-"}, (char[]){"-9"}};
    const gm_names marks = {2, texts};
    put_text("v.csv", "1|u|5\n1|u|\n1|v|\n-9|v|6\n2|w|\n-|w|7\n");
    const gm_fold rest = {1, 2, 99, true};
    s = scan_of(
        "v.csv",
        &(gm_scan_choice){.label = "c2", .form = {.separator = '|', .no_header = true}, .marks = &marks, .fold = rest});
    if (s != NULL) there_and_back(s);
    gm_schema_free(s);
}

/* A schema without missing numbers, of a usual file, has the keys that it always had. */
static void test_value_keys(void) {
    static const char *const added[] = {"missing", "separator", "header", "marks", "held_out"};
    gm_schema *s = schema_of(files_wine, "cultivar", "standard");
    gm_error e;
    if (s == NULL) return;
    gm_value *v = gm_schema_value(s, &e);
    for (size_t i = 0; i < sizeof added / sizeof added[0]; i++) CHECK(gm_map_get(v, added[i]) == NULL);
    gm_value_free(v);
    gm_schema_free(s);
}

static gm_value *knots_value(int64_t column, gm_value *values, gm_value *levels) {
    gm_value *all = gm_value_array(), *one = gm_value_map();
    CHECK(gm_array_push(all, one) == 0 && gm_map_set(one, "column", gm_value_int(column)) == 0);
    CHECK(gm_map_set(one, "values", values) == 0 && gm_map_set(one, "levels", levels) == 0);
    return all;
}

/* What is not in the value's favour: each change must be refused. */
static void refuse(const gm_value *good, const char *key, gm_value *child) {
    gm_error e = {.text = ""};
    gm_value *v = gm_value_copy(good);
    CHECK(v != NULL);
    if (child != NULL) {
        CHECK(gm_map_set(v, key, child) == 0);
    } else {
        gm_map_remove(v, key);
    }
    gm_schema *s = gm_schema_parse(v, &e);
    if (s != NULL) printf("# '%s' was accepted\n", key);
    CHECK(s == NULL && e.text[0] != '\0' && !e.usage);
    gm_schema_free(s);
    gm_value_free(v);
}

static gm_value *numbers(size_t n, double value) {
    gm_value *array = gm_value_array();
    for (size_t i = 0; i < n; i++) CHECK(gm_array_push(array, gm_value_float(value)) == 0);
    return array;
}

static gm_value *counts(size_t n, int64_t count) {
    gm_value *array = gm_value_array();
    for (size_t i = 0; i < n; i++) CHECK(gm_array_push(array, gm_value_int(count)) == 0);
    return array;
}

static gm_value *three_texts(const char *a, const char *b, const char *c) {
    gm_value *array = gm_value_array();
    CHECK(gm_array_push(array, gm_value_text(a)) == 0 && gm_array_push(array, gm_value_text(b)) == 0);
    CHECK(gm_array_push(array, gm_value_text(c)) == 0);
    return array;
}

static void test_value_refusals(void) {
    gm_schema *s = schema_of(files_wine, "cultivar", "standard");
    gm_error e;
    if (s == NULL) return;
    gm_value *v = gm_schema_value(s, &e);
    gm_schema_free(s);
    CHECK(v != NULL);
    static const char *const needed[] = {"source",  "rows",    "scale",     "features",  "columns",
                                         "minimum", "maximum", "mean",      "deviation", "integer",
                                         "classes", "label",   "class_rows"};
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        refuse(v, needed[i], NULL);
        refuse(v, needed[i], gm_value_nil());
        refuse(v, needed[i], gm_value_map());
        refuse(v, needed[i], gm_value_array());
        refuse(v, needed[i], gm_value_text(""));
    }
    gm_value_free(v);
}

static gm_value *three_numbers(double a, double b, double c) {
    gm_value *array = gm_value_array();
    CHECK(gm_array_push(array, gm_value_float(a)) == 0 && gm_array_push(array, gm_value_float(b)) == 0);
    CHECK(gm_array_push(array, gm_value_float(c)) == 0);
    return array;
}

/* Knots must be few, finite, sorted, and there where the scale needs them. */
static void test_value_knots(void) {
    put_text("k.csv", "a,word\n1,x\n2,y\n4,z\n");
    gm_schema *s = schema_of("k.csv", NULL, "quantile");
    gm_error e;
    if (s == NULL) return;
    there_and_back(s);
    gm_value *v = gm_schema_value(s, &e);
    gm_schema_free(s);
    gm_value *good = gm_value_copy(v);
    CHECK(gm_map_set(good, "knots", knots_value(0, three_numbers(1, 2, 4), three_numbers(0, 0.5, 1))) == 0);
    s = gm_schema_parse(good, &e);
    CHECK(s != NULL && s->columns[0].knot_count == 3);
    gm_schema_free(s);
    gm_value_free(good);
    refuse(v, "knots", NULL);
    refuse(v, "knots", gm_value_array());
    refuse(v, "knots", gm_value_int(3));
    refuse(v, "scale", gm_value_text("standard"));
    refuse(v, "knots", knots_value(1, three_numbers(1, 2, 4), three_numbers(0, 0.5, 1)));
    refuse(v, "knots", knots_value(2, three_numbers(1, 2, 4), three_numbers(0, 0.5, 1)));
    refuse(v, "knots", knots_value(0, three_numbers(1, 2, 4), numbers(2, 0)));
    refuse(v, "knots", knots_value(0, gm_value_array(), gm_value_array()));
    refuse(v, "knots", knots_value(0, numbers(600, 1), numbers(600, 1)));
    refuse(v, "knots", knots_value(0, three_numbers(1, 5, 4), three_numbers(0, 0.5, 1)));
    refuse(v, "knots", knots_value(0, three_numbers(1, NAN, 4), three_numbers(0, 0.5, 1)));
    refuse(v, "knots", knots_value(0, three_numbers(0, 2, 4), three_numbers(0, 0.5, 1)));
    refuse(v, "knots", knots_value(0, three_numbers(1, 2, 5), three_numbers(0, 0.5, 1)));
    refuse(v, "knots", knots_value(0, three_numbers(1, 1, 4), three_numbers(0.2, 0.2, 1)));
    refuse(v, "knots", knots_value(0, three_numbers(1, 2, 4), three_numbers(-0.1, 0.5, 1)));
    refuse(v, "knots", knots_value(0, three_numbers(1, 2, 4), three_numbers(0, 0.5, 1.1)));
    refuse(v, "knots", knots_value(0, three_numbers(1, 2, 4), three_numbers(0, 0.6, 0.5)));
    refuse(v, "knots", knots_value(0, gm_value_text("x"), three_numbers(0, 0.6, 0.5)));
    gm_value_free(v);
}

static void test_value_contents(void) {
    gm_schema *s = schema_of(files_wine, "cultivar", "standard");
    gm_error e;
    if (s == NULL) return;
    gm_value *v = gm_schema_value(s, &e);
    gm_schema_free(s);
    refuse(v, "columns", gm_value_int(0));
    refuse(v, "columns", gm_value_int(12));
    refuse(v, "columns", gm_value_int(INT64_MAX));
    refuse(v, "features", gm_value_int(14));
    refuse(v, "rows", gm_value_int(179));
    refuse(v, "rows", gm_value_int(0));
    refuse(v, "scale", gm_value_text("range:1,0"));
    refuse(v, "minimum", numbers(13, 1e9));
    refuse(v, "minimum", numbers(12, 0));
    refuse(v, "mean", numbers(13, NAN));
    refuse(v, "maximum", gm_value_float(INFINITY));
    refuse(v, "deviation", gm_value_float(-1));
    refuse(v, "label", gm_value_text("ash"));
    refuse(v, "label", gm_value_text_n("a\0b", 3));
    refuse(v, "classes", three_texts("A", "C", "B"));
    refuse(v, "classes", three_texts("A", "A", "B"));
    refuse(v, "classes", three_texts("2", "10", "9"));
    refuse(v, "classes", three_texts("", "A", "B"));
    refuse(v, "class_rows", numbers(3, 1));
    refuse(v, "height", gm_value_int(2));
    refuse(v, "names", three_texts("a", "b", "c"));
    refuse(v, "categories", gm_value_text("x"));
    refuse(v, "missing", gm_value_int(1));
    refuse(v, "missing", numbers(13, 1));
    refuse(v, "missing", counts(12, 0));
    refuse(v, "missing", counts(13, 1)); /* two features each */
    refuse(v, "missing", counts(13, 178));
    refuse(v, "missing", counts(13, -1));
    refuse(v, "header", gm_value_int(0));
    refuse(v, "separator", gm_value_text(""));
    refuse(v, "separator", gm_value_text(";;"));
    refuse(v, "separator", gm_value_text("\""));
    refuse(v, "held_out", gm_value_text("6/5"));
    refuse(v, "held_out", gm_value_int(1));
    refuse(v, "decimals", gm_value_int(-2));
    refuse(v, "decimals", gm_value_float(1));
    refuse(v, "decimals", counts(12, 0));
    refuse(v, "padded", gm_value_int(1));
    refuse(v, "unlabelled", gm_value_int(1));
    refuse(v, "label_place", gm_value_int(14));
    refuse(v, "label_place", gm_value_int(-1));
    refuse(v, "marks", gm_value_text("x"));
    refuse(v, "marks", three_texts("x", "y", "x"));
    CHECK(gm_schema_parse(NULL, &e) == NULL);
    gm_value_free(v);
}

int main(void) {
    if (!files_enter()) return 1;
    RUN(test_scale_words);
    RUN(test_scan_wine);
    RUN(test_scan_categories);
    RUN(test_scan_missing);
    RUN(test_scan_own_marks);
    RUN(test_scan_kinds);
    RUN(test_scan_forms);
    RUN(test_separators);
    RUN(test_fold_words);
    RUN(test_scan_fold);
    RUN(test_scan_fold_classes);
    RUN(test_scan_refusals);
    RUN(test_scan_first_words);
    RUN(test_scan_kind_of_folds);
    RUN(test_scan_empty);
    RUN(test_scan_identifiers);
    RUN(test_scan_several);
    RUN(test_classes);
    RUN(test_column_scaling);
    RUN(test_round_trips);
    RUN(test_quantile_atoms);
    RUN(test_quantile_sample);
    RUN(test_decode);
    RUN(test_decode_forms);
    RUN(test_decode_lone_empty);
    RUN(test_value);
    RUN(test_value_keys);
    RUN(test_value_refusals);
    RUN(test_value_contents);
    RUN(test_value_knots);
    files_leave();
    return check_done();
}
