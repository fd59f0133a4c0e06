/* rows_test.c: encoded rows of CSV files and streams, from files and pipes; tables. */
#include "data_files.h"
#include "gm/stream.h"

#include <sys/stat.h>
#include <sys/wait.h>

static char *input[] = {(char[]){"-"}};
static char *two_files[] = {(char[]){"new.csv"}, (char[]){"more.csv"}};

/* a (0 to 10), colour (red, blue), b; label k (x, y). */
static gm_schema *small_schema(void) {
    put_text("old.csv", "a,colour,b,k\n0,red,5,x\n10,blue,7,y\n");
    return schema_of("old.csv", "k", "range:0,1");
}

static const char *open_message(char *const *files, size_t count, const gm_schema *s, bool need_label) {
    static gm_error e;
    snprintf(e.text, sizeof e.text, "no error");
    e.usage = false;
    gm_rows *d = gm_rows_open(files, count, s,
                              &(gm_data_choice){.need_label = need_label, .max_tensor = GM_MAX_TENSOR_DEFAULT}, &e);
    float x[64];
    int32_t y[8];
    while (d != NULL && gm_rows_next(d, 2, false, x, gm_rows_labelled(d) ? y : NULL, &e) > 0) continue;
    gm_rows_close(d);
    return e.text;
}

static void test_csv(void) {
    gm_schema *s = small_schema();
    gm_error e;
    float x[12];
    int32_t y[3] = {0};
    /* Columns in another order, one too many. */
    put_text("new.csv", "k,b,extra,a,colour\ny,5,zzz,10,red\nx,6,,5,blue\n");
    gm_rows *d = gm_rows_open(two_files, 1, s, &(gm_data_choice){.need_label = true}, &e);
    CHECK(d != NULL && gm_rows_labelled(d) && gm_rows_features(d) == 4);
    CHECK(d != NULL && gm_rows_next(d, 3, false, x, y, &e) == 2);
    const float expected[8] = {1, 1, 0, 0, 0.5f, 0, 1, 0.5f};
    CHECK(memcmp(x, expected, sizeof expected) == 0 && y[0] == 1 && y[1] == 0);
    CHECK(d != NULL && gm_rows_next(d, 3, false, x, y, &e) == 0 && gm_rows_next(d, 3, false, x, y, &e) == 0);
    gm_rows_close(d);
    gm_schema_free(s);
}

static void test_csv_several(void) {
    gm_schema *s = small_schema();
    gm_error e;
    float x[20] = {0};
    int32_t y[5] = {0};
    put_text("new.csv", "a,colour,b,k\n0,red,5,x\n1,red,5,x\n2,red,5,y\n");
    put_text("more.csv", "k,a,b,colour\ny,3,5,red\n\"x\",4,5,red\n");
    gm_rows *d = gm_rows_open(two_files, 2, s, &(gm_data_choice){.need_label = true}, &e);
    CHECK(d != NULL && gm_rows_next(d, 2, false, x, y, &e) == 2 && gm_rows_next(d, 2, false, x, y, &e) == 2);
    CHECK(y[0] == 1 && y[1] == 1 && x[4] == 0.3f);
    CHECK(d != NULL && gm_rows_next(d, 2, false, x, y, &e) == 1 && y[0] == 0 && x[0] == 0.4f);
    gm_rows_close(d);
    put_text("more.csv", "a,b,colour\n3,5,red\n");
    CHECK_TEXT(open_message(two_files, 2, s, false), "more.csv: no label column 'k'");
    put_text("more.csv", "a,k,colour\n3,x,red\n");
    CHECK_TEXT(open_message(two_files, 2, s, false), "more.csv: no column 'b' (the model knows it from old.csv)");
    gm_schema_free(s);
}

static void test_csv_labels(void) {
    gm_schema *s = small_schema();
    gm_error e;
    float x[4];
    put_text("new.csv", "a,colour,b\n0,red,5\n");
    CHECK_TEXT(open_message(two_files, 1, s, true), "new.csv: no label column 'k'");
    gm_rows *d = gm_rows_open(two_files, 1, s, &(gm_data_choice){0}, &e);
    CHECK(d != NULL && !gm_rows_labelled(d) && gm_rows_next(d, 1, false, x, NULL, &e) == 1);
    gm_rows_close(d);
    put_text("new.csv", "a,colour,b,k\n0,red,5,x\n0,red,5,11\n");
    CHECK_TEXT(open_message(two_files, 1, s, true),
               "new.csv: line 3, column 'k': class '11' is not one of the model's 2 classes");
    put_text("new.csv", "a,colour,b,k\n0,red,5,\n");
    CHECK_TEXT(
        open_message(two_files, 1, s, true),
        "new.csv: line 2, column 'k': empty; a class belongs here (gm-init --unlabelled takes rows without one)");
    /* Labels that nobody asks for are not read. */
    d = gm_rows_open(two_files, 1, s, &(gm_data_choice){0}, &e);
    CHECK(d != NULL && gm_rows_labelled(d) && gm_rows_next(d, 1, false, x, NULL, &e) == 1);
    gm_rows_close(d);
    gm_schema_free(s);
    s = schema_of("old.csv", NULL, "none");
    CHECK_TEXT(open_message(two_files, 1, s, true), "the model knows no label (data: old.csv)");
    gm_schema_free(s);
}

static void test_csv_refusals(void) {
    gm_schema *s = small_schema();
    put_text("new.csv", "a,colour,b,k\n0,red,5,x\n\n1,red,n/a,x\n");
    CHECK_TEXT(open_message(two_files, 1, s, true), "new.csv: line 4, column 'b': 'n/a' is not a number");
    put_text("new.csv", "a,k\n0,x\n");
    CHECK_TEXT(open_message(two_files, 1, s, true),
               "new.csv: no columns 'colour', 'b' (the model knows them from old.csv)");
    put_text("new.csv", "a,colour,k\n0,red,x\n");
    CHECK_TEXT(open_message(two_files, 1, s, true), "new.csv: no column 'b' (the model knows it from old.csv)");
    unlink("new.csv");
    CHECK_TEXT(open_message(two_files, 1, s, true), "new.csv: No such file or directory");
    put_text("new.csv", "a,colour,b,k\n0,red,5,x\n");
    unlink("more.csv");
    CHECK_TEXT(open_message(two_files, 2, s, true), "more.csv: No such file or directory");
    CHECK_TEXT(open_message(two_files, 0, s, true), "no data file was named");
    CHECK_TEXT(open_message(two_files, 1, NULL, false),
               "new.csv is CSV: a model or a label must say how its columns are encoded");
    gm_schema_free(s);
}

/* ---- what the model does not know ---- */

static char notes[512];
static void take_note(const void *context, const char *line) {
    CHECK(context == notes);
    const size_t used = strlen(notes);
    snprintf(notes + used, sizeof notes - used, "%s\n", line);
}

static const char *notes_of(const gm_rows *d) {
    notes[0] = '\0';
    gm_rows_notes(d, take_note, notes);
    return notes;
}

/* Where training data had no missing numbers: the mean, and a count of them; unknown categories: none is set. */
static void test_unknown(void) {
    gm_schema *s = small_schema();
    gm_error e;
    float x[16];
    put_text("new.csv", "a,colour,b,k\n,green,NA,x\n5,blue,5,x\n-,,6,x\n?,red,6,x\n");
    gm_rows *d = gm_rows_open(two_files, 1, s, &(gm_data_choice){0}, &e);
    CHECK(d != NULL && gm_rows_next(d, 4, false, x, NULL, &e) == 4);
    if (d == NULL) return;
    const float expected[16] = {0.5f, 0, 0, 0.5f, 0.5f, 0, 1, 0, 0.5f, 0, 0, 0.5f, 0.5f, 1, 0, 0.5f};
    CHECK(memcmp(x, expected, sizeof x) == 0);
    CHECK_TEXT(notes_of(d), "4 missing numbers taken for the mean of the column (none was missing before): a 3, b 1\n"
                            "column 'colour': 2 rows with a category that the model does not know, as 'green'\n");
    gm_rows_close(d);
    gm_table *t = gm_table_load(two_files, 1, s, &(gm_data_choice){0}, &e);
    const uint32_t numbers[4] = {0, 1, 2, 3};
    memset(x, 0, sizeof x);
    if (t != NULL) CHECK(gm_table_pick(t, 4, numbers, x, NULL, &e) == 0);
    CHECK(t != NULL && memcmp(x, expected, sizeof x) == 0);
    notes[0] = '\0';
    if (t != NULL) gm_table_notes(t, take_note, notes);
    CHECK(strlen(notes) > 100);
    gm_table_free(t);
    gm_schema_free(s);
}

/* Where it had some: the mean, and a feature that says so. */
static void test_missing(void) {
    gm_error e;
    float x[6];
    put_text("old.csv", "a,b\n1,5\n,6\n3,7\n");
    gm_schema *s = schema_of("old.csv", NULL, "standard");
    put_text("new.csv", "b,a\n6,NA\n6,2\n");
    gm_rows *d = gm_rows_open(two_files, 1, s, &(gm_data_choice){0}, &e);
    CHECK(d != NULL && gm_rows_features(d) == 3 && gm_rows_next(d, 2, false, x, NULL, &e) == 2);
    const float expected[6] = {0, 1, 0, 0, 0, 0};
    CHECK(memcmp(x, expected, sizeof expected) == 0);
    if (d != NULL) CHECK_TEXT(notes_of(d), "");
    gm_rows_close(d);
    gm_schema_free(s);
}

/* ---- without a header ---- */

static const char *no_header_message(const gm_schema *s, const char *text) {
    put_text("new.csv", text);
    return open_message(two_files, 1, s, false);
}

static void test_no_header(void) {
    char *files[] = {(char[]){"old.csv"}};
    gm_error e;
    float x[4] = {0};
    int32_t y[2] = {0};
    put_text("old.csv", "x\t1\t5\ny\t2\t6\n");
    gm_schema *s =
        gm_schema_scan(files, 1, &(gm_scan_choice){.label = "1", .form = {.separator = '\t', .no_header = true}}, &e);
    CHECK(s != NULL);
    if (s == NULL) return;
    put_text("new.csv", "y\t3\t8\n");
    put_text("more.csv", "x\t4\t9\n");
    gm_rows *d = gm_rows_open(two_files, 2, s, &(gm_data_choice){.id = "-1"}, &e);
    CHECK(d != NULL && gm_rows_next(d, 4, false, x, y, &e) == 2);
    CHECK(x[0] == 3 && x[1] == 8 && x[2] == 4 && x[3] == 9 && y[0] == 1 && y[1] == 0);
    gm_marks marks = {0};
    if (d != NULL) gm_rows_marks(d, &marks);
    CHECK(marks.ids != NULL);
    if (marks.ids != NULL) CHECK_TEXT(marks.ids[1].text, "9");
    gm_marks_free(&marks);
    gm_rows_close(d);
    put_text("new.csv", "3\t8\n");
    d = gm_rows_open(two_files, 1, s, &(gm_data_choice){0}, &e);
    CHECK(d != NULL && !gm_rows_labelled(d) && gm_rows_next(d, 4, false, x, NULL, &e) == 1 && x[0] == 3 && x[1] == 8);
    gm_rows_close(d);
    CHECK_TEXT(no_header_message(s, "k\tone\ttwo\nx\t1\t2\n"),
               "new.csv: line 1, column 'c2': 'one' is not a number (a header? the model's data had none)");
    CHECK_TEXT(no_header_message(s, "x\t1\t2\t3\n"),
               "new.csv: 4 columns; the model knows 3 with the label, by their order as there is no header");
    CHECK_TEXT(no_header_message(s, "x\t1\t2\nx\t1\n"), "new.csv: line 2: 2 fields, the first row has 3");
    gm_schema_free(s);
}

/* ---- folds and ids ---- */

enum { FOLD_ROWS = 203 };

/* Rows 0 ... with their number in the column n, and classes that are unevenly frequent; the second half elsewhere. */
static gm_schema *fold_files(void) {
    char text[2][FOLD_ROWS * 16] = {"n,k,m\n", "m,n,k\n"};
    size_t used[2] = {6, 6};
    for (int i = 0; i < FOLD_ROWS; i++) {
        const int half = i >= 100;
        const char *class = i % 10 == 3 ? "rare" : i % 3 == 0 ? "b" : "often";
        used[half] += (size_t)snprintf(text[half] + used[half], sizeof text[half] - used[half],
                                       half ? "1,%d,%s\n" : "%d,%s,1\n", i, class);
    }
    put_text("new.csv", text[0]);
    put_text("more.csv", text[1]);
    gm_error e;
    gm_schema *s = gm_schema_scan(two_files, 2, &(gm_scan_choice){.label = "k"}, &e);
    CHECK(s != NULL);
    return s;
}

/* The numbers of the rows of a fold, in pieces of 7. */
static size_t fold_numbers(const gm_schema *s, gm_fold fold, uint32_t *numbers, int32_t *y) {
    gm_error e;
    float x[14];
    size_t rows = 0;
    long got;
    gm_marks marks = {0};
    gm_rows *d = gm_rows_open(two_files, 2, s, &(gm_data_choice){.fold = fold, .id = "n"}, &e);
    CHECK(d != NULL);
    while (d != NULL && (got = gm_rows_next(d, 7, false, x, y + rows, &e)) > 0) {
        gm_rows_marks(d, &marks);
        for (size_t i = 0; i < (size_t)got; i++) {
            double id = -1;
            CHECK(gm_parse_double(marks.ids[i].text, &id) && id == (double)x[2 * i]);
            numbers[rows++] = (uint32_t)id;
        }
    }
    gm_marks_free(&marks);
    gm_rows_close(d);
    return rows;
}

static void test_folds(void) {
    gm_schema *s = fold_files();
    if (s == NULL) return;
    int owner[FOLD_ROWS] = {0}, rest[FOLD_ROWS] = {0};
    size_t by_class[5][3] = {{0}};
    for (uint32_t i = 1; i <= 5; i++) {
        uint32_t numbers[FOLD_ROWS];
        int32_t y[FOLD_ROWS];
        size_t n = fold_numbers(s, (gm_fold){.index = i, .count = 5, .seed = 7}, numbers, y);
        for (size_t k = 0; k < n; k++) {
            CHECK(owner[numbers[k]] == 0 && (k == 0 || numbers[k] > numbers[k - 1]));
            owner[numbers[k]] = (int)i;
            by_class[i - 1][y[k]]++;
        }
        const size_t others = fold_numbers(s, (gm_fold){i, 5, 7, true}, numbers, y);
        CHECK(n + others == FOLD_ROWS);
        for (size_t k = 0; k < others; k++) {
            CHECK(owner[numbers[k]] != (int)i);
            rest[numbers[k]]++;
        }
    }
    for (size_t i = 0; i < FOLD_ROWS; i++) CHECK(owner[i] != 0 && rest[i] == 4);
    for (size_t class = 0; class < 3; class ++) {
        for (size_t i = 0; i < 5; i++) {
            const size_t n = by_class[i][class], share = s->class_rows[class] / 5;
            CHECK(n == share || n == share + 1);
        }
    }
    gm_schema_free(s);
}

static void test_fold_seeds(void) {
    gm_schema *s = fold_files();
    if (s == NULL) return;
    uint32_t one[FOLD_ROWS], two[FOLD_ROWS];
    int32_t y[FOLD_ROWS];
    const size_t n = fold_numbers(s, (gm_fold){.index = 1, .count = 3, .seed = 1}, one, y);
    CHECK(fold_numbers(s, (gm_fold){.index = 1, .count = 3, .seed = 1}, two, y) == n);
    CHECK(memcmp(one, two, n * sizeof *one) == 0);
    const size_t m = fold_numbers(s, (gm_fold){.index = 1, .count = 3, .seed = 2}, two, y);
    CHECK(n != m || memcmp(one, two, n * sizeof *one) != 0);
    gm_schema_free(s);
}

/* The same rows as a table, and as a stream of the encoded rows. */
static void test_fold_kinds(void) {
    gm_schema *s = fold_files();
    if (s == NULL) return;
    const gm_data_choice choice = {.max_tensor = GM_MAX_TENSOR_DEFAULT, .fold = {2, 3, 5, true}};
    gm_error e;
    uint32_t numbers[FOLD_ROWS], places[FOLD_ROWS];
    int32_t y[FOLD_ROWS], seen[FOLD_ROWS] = {0};
    float x[2 * FOLD_ROWS] = {0};
    char *stream[] = {(char[]){"fold.gms"}};
    const size_t n = fold_numbers(s, choice.fold, numbers, y);
    gm_table *t = gm_table_load(two_files, 2, s, &choice, &e);
    CHECK(t != NULL && gm_table_rows(t) == n);
    for (uint32_t i = 0; i < n; i++) places[i] = i;
    if (t != NULL) CHECK(gm_table_pick(t, n, places, x, seen, &e) == 0);
    for (size_t i = 0; i < n; i++) CHECK(x[2 * i] == (float)numbers[i] && seen[i] == y[i]);
    gm_table_free(t);

    gm_rows *d = gm_rows_open(two_files, 2, s, &(gm_data_choice){0}, &e);
    const int fd = open("fold.gms", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    files_note("fold.gms");
    gm_writer *w = gm_writer_new(fd, "fold.gms", GM_LEVEL_STORE, &e);
    gm_record *r = gm_record_new(&e);
    long got;
    while ((got = gm_rows_next(d, 50, false, x, seen, &e)) > 0) {
        const size_t rows = (size_t)got;
        gm_record_clear(r);
        r->rows = rows;
        memcpy(gm_record_put_matrix(r, "x", rows, 2, &e), x, rows * 2 * sizeof *x);
        memcpy(gm_record_put(r, "y", GM_I4, 1, &rows, &e)->data, seen, rows * sizeof *seen);
        CHECK(gm_writer_put(w, r, &e) == 0);
    }
    CHECK(gm_writer_finish(w, &e) == 0);
    gm_record_free(r);
    gm_writer_free(w);
    gm_rows_close(d);
    close(fd);
    d = gm_rows_open(stream, 1, NULL, &choice, &e);
    CHECK(d != NULL && gm_rows_next(d, FOLD_ROWS, false, x, seen, &e) == (long)n);
    for (size_t i = 0; i < n; i++) CHECK(x[2 * i] == (float)numbers[i] && seen[i] == y[i]);
    gm_rows_close(d);
    gm_schema_free(s);
}

static void test_fold_needs(void) {
    gm_schema *s = fold_files();
    gm_error e;
    if (s == NULL) return;
    put_text("new.csv", "n,m\n1,1\n");
    CHECK(gm_rows_open(two_files, 1, s, &(gm_data_choice){.fold = {1, 2, 0, false}}, &e) == NULL);
    CHECK_TEXT(e.text, "new.csv: no label column 'k'");
    put_text("new.csv", "n,m,k,note\n1,1,b,x\n");
    CHECK(gm_rows_open(two_files, 1, s, &(gm_data_choice){.id = "nmoe"}, &e) == NULL);
    CHECK_TEXT(e.text, "new.csv: no column 'nmoe'");
    CHECK(gm_rows_open(two_files, 1, s, &(gm_data_choice){.id = "nota"}, &e) == NULL);
    CHECK_TEXT(e.text, "new.csv: no column 'nota' (did you mean 'note'?)");
    gm_schema_free(s);
}

/* Numbers that are equal name one class, however they are written. */
static void test_number_classes(void) {
    gm_error e;
    float x[3];
    int32_t y[3];
    put_text("old.csv", "a,k\n1,10\n2,9\n");
    gm_schema *s = schema_of("old.csv", "k", "none");
    put_text("new.csv", "a,k\n1,9.0\n2,1e1\n3,09\n");
    gm_rows *d = gm_rows_open(two_files, 1, s, &(gm_data_choice){.need_label = true}, &e);
    CHECK(d != NULL && gm_rows_next(d, 3, false, x, y, &e) == 3 && y[0] == 0 && y[1] == 1 && y[2] == 0);
    gm_rows_close(d);
    gm_schema_free(s);
}

/* A table gives what the rows give, bit for bit, and scaling is gm_column_scale's. */
static void test_table(void) {
    char *files[] = {files_wine};
    gm_error e;
    gm_schema *s = schema_of(files_wine, "cultivar", "standard");
    gm_table *t = gm_table_load(files, 1, s, &(gm_data_choice){.need_label = true}, &e);
    gm_rows *d = gm_rows_open(files, 1, s, &(gm_data_choice){.need_label = true}, &e);
    float x[178 * 13], picked[178 * 13];
    int32_t y[178], picked_y[178];
    uint32_t numbers[178];
    CHECK(t != NULL && d != NULL && gm_table_rows(t) == 178 && gm_table_features(t) == 13 && gm_table_labelled(t));
    if (t == NULL || d == NULL) return;
    CHECK(gm_rows_next(d, 178, false, x, y, &e) == 178);
    for (uint32_t i = 0; i < 178; i++) numbers[i] = i * 5 % 178;
    CHECK(gm_table_pick(t, 178, numbers, picked, picked_y, &e) == 0);
    size_t wrong = 0;
    for (size_t i = 0; i < 178; i++) {
        wrong += memcmp(picked + i * 13, x + numbers[i] * 13, 13 * sizeof *x) != 0 || picked_y[i] != y[numbers[i]];
    }
    CHECK(wrong == 0);
    CHECK(x[0] == gm_column_scale(&s->columns[0], &s->scale, 14.23) && y[0] == 0 && y[177] == 2);
    gm_rows_close(d);
    gm_table_free(t);
    gm_schema_free(s);
}

static void test_table_one_hot(void) {
    gm_schema *s = small_schema();
    gm_error e;
    char *files[] = {(char[]){"old.csv"}};
    gm_table *t = gm_table_load(files, 1, s, &(gm_data_choice){0}, &e);
    const uint32_t numbers[3] = {1, 0, 1};
    float x[12];
    int32_t y[3] = {0};
    CHECK(t != NULL && gm_table_features(t) == 4);
    if (t != NULL) CHECK(gm_table_pick(t, 3, numbers, x, y, &e) == 0);
    const float expected[12] = {1, 0, 1, 1, 0, 1, 0, 0, 1, 0, 1, 1};
    CHECK(memcmp(x, expected, sizeof x) == 0 && y[0] == 1 && y[1] == 0 && y[2] == 1);
    gm_table_free(t);
    put_text("new.csv", "a,colour,b,k\n");
    t = gm_table_load(two_files, 1, s, &(gm_data_choice){0}, &e);
    CHECK(t == NULL);
    CHECK_TEXT(e.text, "new.csv: no rows behind the header");
    gm_table_free(t);
    gm_schema_free(s);
}

/* ---- pipes ---- */

static void test_standard_input(void) {
    gm_schema *s = small_schema();
    gm_error e;
    float x[8];
    int32_t y[2];
    static const char text[] = "a,colour,b,k\n0,red,5,x\n10,blue,5,y\n";
    put_on_input(text, sizeof text - 1, true);
    gm_rows *d = gm_rows_open(input, 1, s, &(gm_data_choice){.need_label = true}, &e);
    CHECK(d != NULL && gm_rows_next(d, 2, false, x, y, &e) == 2 && y[1] == 1 && x[4] == 1);
    gm_rows_close(d);
    put_on_input("", 0, true);
    CHECK_TEXT(open_message(input, 1, s, true), "standard input: empty file");
    put_on_input("P", 1, true); /* 'P' could begin a skippable frame */
    CHECK_TEXT(
        open_message(input, 1, s, true),
        "standard input: no columns 'a', 'colour', 'b' (the model knows them from old.csv); the file has one column "
        "only: is its separator another one?");
    gm_schema_free(s);
}

/* A live pipe: what is there is given, without waiting for a batch. */
static void test_eager(void) {
    gm_schema *s = small_schema();
    gm_error e;
    float x[40];
    int32_t y[10];
    static const char text[] = "a,colour,b,k\n0,red,5,x\n10,blue,5,y\n3,r";
    static const char rest[] = "ed,5,x\n";
    const int end = put_on_input(text, sizeof text - 1, false);
    gm_rows *d = gm_rows_open(input, 1, s, &(gm_data_choice){.need_label = true}, &e);
    CHECK(d != NULL);
    if (d == NULL) return;
    CHECK(gm_rows_next(d, 10, true, x, y, &e) == 2);
    CHECK(gm_write_all(end, rest, sizeof rest - 1) == 0);
    CHECK(gm_rows_next(d, 10, true, x, y, &e) == 1 && x[0] == 0.3f);
    CHECK(gm_write_all(end, "4,red,5,x\n", 10) == 0);
    CHECK(gm_write_all(end, "5,red,5,x\n6", 11) == 0);
    CHECK(gm_rows_next(d, 10, true, x, y, &e) == 2);
    close(end);
    CHECK(gm_rows_next(d, 10, true, x, y, &e) == -1);
    CHECK_TEXT(e.text, "standard input: line 7: 1 field, the header has 4");
    gm_rows_close(d);
    gm_schema_free(s);
}

/* A writer that gives away one byte at a time is not mistaken for something else. */
static void test_slow_first_bytes(void) {
    gm_error e;
    static const char text[] = "(a,k\n1,x\n2,y\n";
    put_text("old.csv", text);
    gm_schema *s = schema_of("old.csv", "k", "none");
    const int end = put_on_input(text, 1, false);
    const pid_t child = fork();
    if (child == 0) {
        for (size_t i = 1; i < sizeof text - 1; i++) {
            if (usleep(1000) != 0 || gm_write_all(end, text + i, 1) < 0) _exit(1);
        }
        _exit(0);
    }
    close(end);
    gm_rows *d = gm_rows_open(input, 1, s, &(gm_data_choice){.need_label = true}, &e);
    float x[2];
    int32_t y[2];
    CHECK(d != NULL && gm_rows_next(d, 2, false, x, y, &e) == 2 && x[1] == 2 && y[1] == 1);
    gm_rows_close(d);
    gm_schema_free(s);
    CHECK(waitpid(child, NULL, 0) == child);
}

/* A named pipe is opened once: its writer never finds it without a reader. */
static void test_named_pipe(void) {
    gm_schema *s = small_schema();
    char *files[] = {(char[]){"fifo"}};
    gm_error e;
    float x[8];
    int32_t y[2];
    files_note("fifo");
    CHECK(mkfifo("fifo", 0600) == 0);
    const pid_t child = fork();
    if (child == 0) {
        const int fd = open("fifo", O_WRONLY | O_CLOEXEC);
        static const char *const lines[] = {"a,colour,b,k\n", "0,red,5,x\n", "10,blue,5,y\n"};
        for (size_t i = 0; i < 3; i++) {
            if (gm_write_all(fd, lines[i], strlen(lines[i])) < 0 || usleep(2000) != 0) _exit(1);
        }
        _exit(0);
    }
    gm_rows *d = gm_rows_open(files, 1, s, &(gm_data_choice){.need_label = true}, &e);
    CHECK(d != NULL && gm_rows_next(d, 2, false, x, y, &e) == 2 && x[4] == 1);
    gm_rows_close(d);
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    gm_schema_free(s);
}

/* ---- streams ---- */

/* Writes records of 2, 0 and 3 rows of x [rows, columns] with numbers that count up; labels 0 1 0 1 0 if wanted. */
static void write_stream(int fd, size_t columns, bool labels, float bad) {
    static const size_t rows[3] = {2, 0, 3};
    gm_error e;
    gm_record *r = gm_record_new(&e);
    gm_writer *w = gm_writer_new(fd, "stream", GM_LEVEL_STORE, &e);
    float next = 0;
    int32_t row = 0;
    for (size_t i = 0; i < 3; i++) {
        gm_record_clear(r);
        r->rows = rows[i];
        float *x = gm_record_put_matrix(r, "x", rows[i], columns, &e);
        for (size_t k = 0; k < rows[i] * columns; k++) x[k] = next++;
        if (i == 2) x[columns] += bad;
        const gm_tensor *y = labels ? gm_record_put(r, "y", GM_I4, 1, &rows[i], &e) : NULL;
        for (size_t k = 0; labels && k < rows[i]; k++) ((int32_t *)y->data)[k] = row++ % 2;
        CHECK(gm_writer_put(w, r, &e) == 0);
    }
    CHECK(gm_writer_finish(w, &e) == 0);
    gm_writer_free(w);
    gm_record_free(r);
}

static void put_stream(const char *name, size_t columns, bool labels, float bad) {
    const int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    files_note(name);
    write_stream(fd, columns, labels, bad);
    close(fd);
}

static char *stream_files[] = {(char[]){"a.gms"}, (char[]){"b.gms"}};

static void test_stream(void) {
    gm_error e;
    float x[40];
    int32_t y[10];
    put_stream("a.gms", 4, true, 0);
    put_stream("b.gms", 4, true, 0);
    CHECK(gm_data_is_stream("a.gms") && !gm_data_is_stream(files_wine) && !gm_data_is_stream("nothing"));
    gm_rows *d = gm_rows_open(stream_files, 2, NULL, &(gm_data_choice){.max_tensor = GM_MAX_TENSOR_DEFAULT}, &e);
    CHECK(d != NULL && gm_rows_labelled(d) && gm_rows_features(d) == 4);
    if (d == NULL) return;
    CHECK(gm_rows_next(d, 3, false, x, y, &e) == 3 && x[11] == 11 && y[0] == 0 && y[1] == 1);
    CHECK(gm_rows_next(d, 10, true, x, y, &e) == 2 && x[0] == 12);
    CHECK(gm_rows_next(d, 10, false, x, y, &e) == 5 && x[0] == 0 && x[19] == 19);
    CHECK(gm_rows_next(d, 10, false, x, y, &e) == 0 && gm_rows_next(d, 10, false, x, y, &e) == 0);
    gm_rows_close(d);
    gm_table *t = gm_table_load(stream_files, 2, NULL,
                                &(gm_data_choice){.need_label = true, .max_tensor = GM_MAX_TENSOR_DEFAULT}, &e);
    const uint32_t number = 8;
    CHECK(t != NULL && gm_table_rows(t) == 10 && gm_table_features(t) == 4);
    if (t != NULL) CHECK(gm_table_pick(t, 1, &number, x, y, &e) == 0);
    CHECK(x[0] == 12 && x[3] == 15 && y[0] == 1);
    gm_table_free(t);
}

/* Rows of a record are lent where they lie, those of a CSV file are put into the room. */
static void test_lend(void) {
    gm_error e;
    float room[40];
    const float *x;
    int32_t y[10];
    put_stream("a.gms", 4, true, 0);
    const gm_data_choice choice = {.max_tensor = GM_MAX_TENSOR_DEFAULT};
    gm_rows *d = gm_rows_open(stream_files, 1, NULL, &choice, &e);
    CHECK(d != NULL);
    if (d == NULL) return;
    memset(room, 255, sizeof room);
    CHECK(gm_rows_lend(d, 10, room, &x, y, &e) == 2 && x != room && x[0] == 0 && x[7] == 7 && y[1] == 1);
    CHECK(gm_rows_lend(d, 2, room, &x, y, &e) == 2 && x != room && x[0] == 8 && x[7] == 15 && y[0] == 0);
    CHECK(gm_rows_lend(d, 2, room, &x, NULL, &e) == 1 && x != room && x[0] == 16 && x[3] == 19);
    CHECK(gm_rows_lend(d, 2, room, &x, y, &e) == 0);
    for (size_t i = 0; i < 40; i++) CHECK(room[i] != room[i]); /* untouched */
    gm_rows_close(d);
    put_text("two.csv", "a,b,k\n0,1,x\n10,2,y\n");
    gm_schema *s = schema_of("two.csv", "k", "none");
    char *csv[] = {(char[]){"two.csv"}};
    d = gm_rows_open(csv, 1, s, &choice, &e);
    CHECK(d != NULL && gm_rows_lend(d, 10, room, &x, y, &e) == 2 && x == room && x[2] == 10 && y[1] == 1);
    gm_rows_close(d);
    gm_schema_free(s);
}

static void test_stream_with_schema(void) {
    gm_schema *s = small_schema();
    put_stream("a.gms", 4, false, 0);
    CHECK_TEXT(open_message(stream_files, 1, s, false), "no error");
    CHECK(strstr(open_message(stream_files, 1, s, true), "a.gms: record 0: ") != NULL);
    put_stream("a.gms", 5, false, 0);
    CHECK_TEXT(open_message(stream_files, 1, s, false), "a.gms: record 0: tensor 'x': expected 4 columns, got 5");
    put_stream("a.gms", 4, true, NAN);
    CHECK(strstr(open_message(stream_files, 1, s, false), "a.gms: record 2: ") != NULL);
    put_stream("a.gms", 4, true, 0);
    gm_schema *other = schema_of(files_wine, "cultivar", "none");
    put_stream("b.gms", 5, true, 0);
    CHECK_TEXT(open_message(stream_files, 2, s, false), "b.gms: record 0: tensor 'x': expected 4 columns, got 5");
    put_text("b.gms", "a,b\n1,2\n");
    CHECK_TEXT(open_message(stream_files, 2, s, false),
               "a.gms is a stream, b.gms is CSV: files of one kind can be read together");
    CHECK_TEXT(scan_message("a.gms", NULL), "a.gms is a stream; columns and classes are read from CSV or IDX files");
    gm_schema_free(other);
    gm_schema_free(s);
}

static void test_stream_label_range(void) {
    put_text("old.csv", "a,b,k\n0,1,x\n10,2,y\n");
    gm_schema *s = schema_of("old.csv", "k", "none");
    gm_error e;
    gm_record *r = gm_record_new(&e);
    const int fd = open("a.gms", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    gm_writer *w = gm_writer_new(fd, "a.gms", GM_LEVEL_STORE, &e);
    const size_t rows = 2;
    r->rows = rows;
    float *x = gm_record_put_matrix(r, "x", rows, 2, &e);
    for (size_t i = 0; i < 4; i++) x[i] = 0;
    int32_t *y = gm_record_put(r, "y", GM_I4, 1, &rows, &e)->data;
    y[0] = 1;
    y[1] = 2;
    CHECK(gm_writer_put(w, r, &e) == 0);
    y[1] = -1;
    CHECK(gm_writer_put(w, r, &e) == 0 && gm_writer_finish(w, &e) == 0);
    gm_writer_free(w);
    gm_record_free(r);
    close(fd);
    CHECK_TEXT(open_message(stream_files, 1, s, true),
               "a.gms: record 0: tensor 'y', row 1: class 2 is not one of the model's 2 classes");
    CHECK_TEXT(open_message(stream_files, 1, NULL, true), "a.gms: record 1: tensor 'y', row 1: no class number: -1");
    gm_schema_free(s);
}

static void test_stream_from_pipe(void) {
    gm_error e;
    float x[40];
    int32_t y[10];
    int ends[2];
    CHECK(pipe(ends) == 0);
    write_stream(ends[1], 4, true, 0);
    close(ends[1]);
    CHECK(dup2(ends[0], STDIN_FILENO) == STDIN_FILENO);
    close(ends[0]);
    gm_rows *d =
        gm_rows_open(input, 1, NULL, &(gm_data_choice){.need_label = true, .max_tensor = GM_MAX_TENSOR_DEFAULT}, &e);
    CHECK(d != NULL && gm_rows_next(d, 10, false, x, y, &e) == 5 && x[19] == 19);
    gm_rows_close(d);
}

/* The first byte of a zstd frame is '(': it takes four to tell the kind, however slowly they come. */
static void test_slow_stream(void) {
    unsigned char bytes[4096];
    gm_error e;
    float x[40];
    put_stream("a.gms", 4, false, 0);
    const int fd = open("a.gms", O_RDONLY | O_CLOEXEC);
    const long n = gm_read_all(fd, bytes, sizeof bytes);
    close(fd);
    CHECK(n > 100 && n < (long)sizeof bytes);
    const int end = put_on_input(bytes, 1, false);
    const pid_t child = fork();
    if (child == 0) {
        for (size_t i = 1; i < 4; i++) {
            if (usleep(5000) != 0 || gm_write_all(end, bytes + i, 1) < 0) _exit(1);
        }
        _exit(gm_write_all(end, bytes + 4, (size_t)n - 4) < 0);
    }
    close(end);
    gm_rows *d = gm_rows_open(input, 1, NULL, &(gm_data_choice){.max_tensor = GM_MAX_TENSOR_DEFAULT}, &e);
    CHECK(d != NULL && gm_rows_next(d, 10, false, x, NULL, &e) == 5);
    gm_rows_close(d);
    CHECK(waitpid(child, NULL, 0) == child);
}

int main(void) {
    if (!files_enter()) return 1;
    RUN(test_csv);
    RUN(test_csv_several);
    RUN(test_csv_labels);
    RUN(test_csv_refusals);
    RUN(test_unknown);
    RUN(test_missing);
    RUN(test_no_header);
    RUN(test_folds);
    RUN(test_fold_seeds);
    RUN(test_fold_kinds);
    RUN(test_fold_needs);
    RUN(test_number_classes);
    RUN(test_table);
    RUN(test_table_one_hot);
    RUN(test_standard_input);
    RUN(test_eager);
    RUN(test_slow_first_bytes);
    RUN(test_named_pipe);
    RUN(test_stream);
    RUN(test_lend);
    RUN(test_stream_with_schema);
    RUN(test_stream_label_range);
    RUN(test_stream_from_pipe);
    RUN(test_slow_stream);
    files_leave();
    return check_done();
}
