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
    gm_error e;
    float x[3];
    CHECK(gm_column_encode(c, &s->scale, "blue", 4, x, &e) == 0 && x[0] == 0 && x[1] == 1 && x[2] == 0);
    CHECK(gm_column_encode(c, &s->scale, "gre\nn", 5, x, &e) == -1);
    CHECK_TEXT(e.text, "column 'colour': 'gre?n' is not one of the model's 3 categories");
    gm_schema_free(s);
}

/* Empty values do not decide what a column is. */
static void test_scan_empty_values(void) {
    put_text("e.csv", "a,b\n,1\nword,2\n");
    gm_schema *s = schema_of("e.csv", NULL, "none");
    if (s != NULL)
        CHECK(s->columns[0].categorical && s->columns[0].category_count == 2 && s->label == NULL &&
              s->class_count == 0);
    if (s != NULL) CHECK_TEXT(s->columns[0].categories[0], "");
    gm_schema_free(s);
    put_text("e.csv", "a,b\n,1\n\n,2\n5,2\n");
    CHECK_TEXT(scan_message("e.csv", NULL), "e.csv: line 5, column 'a': empty in line 2; a number belongs there");
    put_text("e.csv", "a,b\n,1\n,2\n");
    CHECK_TEXT(scan_message("e.csv", NULL), "e.csv: column 'a' is empty in every row");
    put_text("e.csv", "a,b\n3,1\n,2\n");
    CHECK_TEXT(scan_message("e.csv", NULL), "e.csv: line 3, column 'a': empty; a number belongs here");
}

static void test_scan_refusals(void) {
    static const char *const words[] = {"n/a", "1e999", "0x10", "inf", "nan", "1,5", "- 1", "1e", "--1", "1 2"};
    char text[128], expected[128];
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        snprintf(text, sizeof text, "ash,k\n1,a\n\"%s\",b\n", words[i]);
        snprintf(expected, sizeof expected, "x.csv: line 3, column 'ash': '%s' is not a number", words[i]);
        put_text("x.csv", text);
        CHECK_TEXT(scan_message("x.csv", "k"), expected);
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
    CHECK_TEXT(scan_message("x.csv", "digit"), "x.csv: line 3, column 'digit': empty; a class belongs here");
    put_text("x.csv", "a\n1e308\n-1e308\n");
    CHECK_TEXT(scan_message("x.csv", NULL), "x.csv: column 'a': its numbers are too large to be scaled");
    CHECK_TEXT(scan_message("none.csv", NULL), "none.csv: No such file or directory");
    CHECK_TEXT(scan_message(".", NULL), ".: Is a directory");
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
    gm_schema *s = gm_schema_scan(files, 2, "k", (gm_scale){GM_SCALE_NONE, 0, 0}, &e);
    CHECK(s != NULL);
    if (s != NULL)
        CHECK(s->rows == 3 && s->columns[0].maximum == 10 && s->columns[1].maximum == 20 && s->class_rows[0] == 2);
    gm_schema_free(s);
    put_text("two.csv", "k,a\nx,10\n");
    CHECK(gm_schema_scan(files, 2, "k", (gm_scale){GM_SCALE_NONE, 0, 0}, &e) == NULL);
    CHECK_TEXT(e.text, "two.csv: no column 'b', which one.csv has");
    put_text("two.csv", "k,a,b,c\nx,10,1,1\n");
    CHECK(gm_schema_scan(files, 2, "k", (gm_scale){GM_SCALE_NONE, 0, 0}, &e) == NULL);
    CHECK_TEXT(e.text, "two.csv: 4 columns, one.csv has 3");
    CHECK(gm_schema_scan(files, 0, "k", (gm_scale){GM_SCALE_NONE, 0, 0}, &e) == NULL && e.usage);
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
    gm_error e;
    float x;
    CHECK(gm_column_encode(&c, &none, "1e300", 5, &x, &e) == -1);
    CHECK_TEXT(e.text, "column 'a': '1e300' is too large for a 32-bit float");
    CHECK(gm_column_encode(&c, &none, "", 0, &x, &e) == -1);
    CHECK_TEXT(e.text, "column 'a': empty; a number belongs here");
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
    gm_csv *before = gm_csv_new(before_fd, file, &e), *after = gm_csv_new(after_fd, "back.csv", &e);
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
               "\"a,1\",word,n,kind\n0.75,z,-3,\"the \"\"one\"\"\"\n1.5,\"x, y\",12,two\n0.5,\"x, y\",0,7\n");
    CHECK_TEXT(decoded(s, 1, x, NULL), "\"a,1\",word,n\n0.75,z,-3\n");
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
    same = same && a->category_count == b->category_count && a->features == b->features;
    for (size_t i = 0; same && i < a->category_count; i++) same = same_text(a->categories[i], b->categories[i]);
    return same;
}

static bool same_schema(const gm_schema *a, const gm_schema *b) {
    bool same = same_text(a->source, b->source) && same_text(a->label, b->label) && a->column_count == b->column_count;
    same = same && a->features == b->features && a->class_count == b->class_count && a->rows == b->rows;
    same = same && a->height == b->height && a->width == b->width && a->classes_are_numbers == b->classes_are_numbers;
    same = same && a->scale.kind == b->scale.kind && a->scale.low == b->scale.low && a->scale.high == b->scale.high;
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
    CHECK(gm_schema_parse(NULL, &e) == NULL);
    gm_value_free(v);
}

int main(void) {
    if (!files_enter()) return 1;
    RUN(test_scale_words);
    RUN(test_scan_wine);
    RUN(test_scan_categories);
    RUN(test_scan_empty_values);
    RUN(test_scan_refusals);
    RUN(test_scan_identifiers);
    RUN(test_scan_several);
    RUN(test_classes);
    RUN(test_column_scaling);
    RUN(test_round_trips);
    RUN(test_decode);
    RUN(test_decode_lone_empty);
    RUN(test_value);
    RUN(test_value_refusals);
    RUN(test_value_contents);
    files_leave();
    return check_done();
}
