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
    int32_t y[3];
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
    float x[20];
    int32_t y[5];
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
    CHECK_TEXT(open_message(two_files, 1, s, true), "new.csv: line 2, column 'k': empty; a class belongs here");
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
    put_text("new.csv", "a,colour,b,k\n0,red,,x\n");
    CHECK_TEXT(open_message(two_files, 1, s, true), "new.csv: line 2, column 'b': empty; a number belongs here");
    put_text("new.csv", "a,colour,b,k\n0,green,5,x\n");
    CHECK_TEXT(open_message(two_files, 1, s, true),
               "new.csv: line 2, column 'colour': 'green' is not one of the model's 2 categories");
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
    gm_table_pick(t, 178, numbers, picked, picked_y);
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
    int32_t y[3];
    CHECK(t != NULL && gm_table_features(t) == 4);
    if (t != NULL) gm_table_pick(t, 3, numbers, x, y);
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
    CHECK_TEXT(open_message(input, 1, s, true), "standard input: no column 'a' (the model knows it from old.csv)");
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
    if (t != NULL) gm_table_pick(t, 1, &number, x, y);
    CHECK(x[0] == 12 && x[3] == 15 && y[0] == 1);
    gm_table_free(t);
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
    RUN(test_number_classes);
    RUN(test_table);
    RUN(test_table_one_hot);
    RUN(test_standard_input);
    RUN(test_eager);
    RUN(test_slow_first_bytes);
    RUN(test_named_pipe);
    RUN(test_stream);
    RUN(test_stream_with_schema);
    RUN(test_stream_label_range);
    RUN(test_stream_from_pipe);
    RUN(test_slow_stream);
    files_leave();
    return check_done();
}
