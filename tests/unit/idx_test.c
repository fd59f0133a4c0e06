/* idx_test.c: IDX files, plain and gzipped, whole and broken. */
#include "data_files.h"
#include "gm/stream.h"

/* A head of `rank` dimensions; the bytes it took. */
static size_t put_head(unsigned char *out, unsigned type, size_t rank, const uint32_t *shape) {
    const unsigned char magic[4] = {0, 0, (unsigned char)type, (unsigned char)rank};
    memcpy(out, magic, 4);
    for (size_t i = 0; i < rank; i++) {
        for (size_t byte = 0; byte < 4; byte++) out[4 + 4 * i + byte] = (unsigned char)(shape[i] >> (24 - 8 * byte));
    }
    return 4 + 4 * rank;
}

enum { ROWS = 30, HEIGHT = 2, WIDTH = 3, PIXELS = HEIGHT * WIDTH };

static unsigned char pixel(size_t row, size_t i) {
    return (unsigned char)(row * 37 + i * 101 + (i == 5 ? 0 : row * row));
}

static size_t make_pictures(unsigned char *out) {
    const uint32_t shape[3] = {ROWS, HEIGHT, WIDTH};
    size_t n = put_head(out, 0x08, 3, shape);
    for (size_t row = 0; row < ROWS; row++) {
        for (size_t i = 0; i < PIXELS; i++) out[n++] = pixel(row, i);
    }
    return n;
}

/* Labels 3, 7, 10. */
static size_t make_labels(unsigned char *out, uint32_t rows) {
    static const unsigned char labels[3] = {3, 7, 10};
    size_t n = put_head(out, 0x08, 1, &rows);
    for (uint32_t row = 0; row < rows; row++) out[n++] = labels[row % 3];
    return n;
}

static char *pictures_and_labels[] = {(char[]){"pictures"}, (char[]){"labels"}};

static void put_pair(void) {
    unsigned char bytes[1024];
    put_bytes("pictures", bytes, make_pictures(bytes));
    put_gzip("labels", bytes, make_labels(bytes, ROWS));
}

static gm_schema *scan_pair(const char *scale_text) {
    gm_error e = {.text = ""};
    gm_scale scale = {GM_SCALE_NONE, 0, 0};
    put_pair();
    CHECK(gm_scale_parse(scale_text, &scale, &e) == 0);
    gm_schema *s = gm_schema_scan(pictures_and_labels, 2, &(gm_scan_choice){.scale = scale}, &e);
    CHECK_TEXT(e.text, "");
    CHECK(s != NULL);
    return s;
}

static void test_scan(void) {
    gm_schema *s = scan_pair("standard");
    if (s == NULL) return;
    CHECK(s->rows == ROWS && s->column_count == PIXELS && s->features == PIXELS && s->height == HEIGHT &&
          s->width == WIDTH);
    CHECK_TEXT(s->columns[5].name, "p5");
    CHECK(s->columns[4].minimum == 0 && s->columns[4].maximum == 255 && s->columns[4].integer);
    double sum = 0, squares = 0;
    for (size_t row = 0; row < ROWS; row++) sum += pixel(row, 4);
    for (size_t row = 0; row < ROWS; row++) squares += pow(pixel(row, 4) - sum / ROWS, 2);
    CHECK_NEAR(s->columns[4].mean, sum / ROWS, 1e-9);
    CHECK_NEAR(s->columns[4].deviation, sqrt(squares / ROWS), 1e-9);
    CHECK_TEXT(s->label, "label");
    CHECK(s->class_count == 3 && s->class_rows[2] == ROWS / 3 && s->classes_are_numbers);
    CHECK_TEXT(s->classes[2], "10");
    gm_schema_free(s);
}

/* The largest picture data set that is usual stays a small page of the model file. */
static void test_schema_size(void) {
    static unsigned char bytes[16 + 20 * 784];
    const uint32_t shape[3] = {20, 28, 28};
    gm_error e = {.text = ""};
    size_t n = put_head(bytes, 0x08, 3, shape);
    for (size_t i = n; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * 7919 % 251);
    put_gzip("mnist", bytes, sizeof bytes);
    gm_schema *s = schema_of("mnist", NULL, "range:-1,1");
    gm_value *v = gm_schema_value(s, &e);
    unsigned char *packed = NULL;
    CHECK(v != NULL && gm_value_pack(v, &packed, &n, &e) == 0 && n < 40000);
    gm_schema *back = gm_schema_parse(v, &e);
    CHECK(back != NULL && back->height == 28 && back->width == 28 && back->label == NULL);
    if (back != NULL) CHECK(back->columns[783].mean == s->columns[783].mean && back->columns[783].maximum == 255);
    gm_schema_free(back);
    gm_schema_free(s);
    gm_value_free(v);
    free(packed);
}

/* Rows, table and gm_column_scale give the same bits. */
static void test_same_bits(void) {
    static const char *const scales[] = {"none", "standard", "range:-1,1"};
    for (size_t k = 0; k < 3; k++) {
        gm_schema *s = scan_pair(scales[k]);
        gm_error e;
        float x[ROWS * PIXELS], picked[ROWS * PIXELS];
        int32_t y[ROWS], picked_y[ROWS];
        uint32_t numbers[ROWS];
        gm_rows *d = gm_rows_open(pictures_and_labels, 2, s, &(gm_data_choice){.need_label = true}, &e);
        gm_table *t = gm_table_load(pictures_and_labels, 2, s, &(gm_data_choice){.need_label = true}, &e);
        CHECK(d != NULL && t != NULL);
        if (d == NULL || t == NULL) return;
        CHECK(gm_rows_labelled(d) && gm_rows_features(d) == PIXELS && gm_table_rows(t) == ROWS &&
              gm_table_features(t) == PIXELS);
        CHECK(gm_rows_next(d, 7, false, x, y, &e) == 7 &&
              gm_rows_next(d, 100, false, x + 7 * PIXELS, y + 7, &e) == ROWS - 7);
        CHECK(gm_rows_next(d, 100, false, picked, NULL, &e) == 0);
        for (uint32_t i = 0; i < ROWS; i++) numbers[i] = i * 7 % ROWS;
        CHECK(gm_table_pick(t, ROWS, numbers, picked, picked_y, &e) == 0);
        size_t wrong = 0;
        for (size_t row = 0; row < ROWS; row++) {
            CHECK(y[row] == (int32_t)(row % 3) && picked_y[row] == (int32_t)(numbers[row] % 3));
            for (size_t i = 0; i < PIXELS; i++) {
                const float expected = gm_column_scale(&s->columns[i], &s->scale, pixel(row, i));
                wrong += memcmp(&expected, &x[row * PIXELS + i], sizeof expected) != 0;
                wrong += memcmp(&x[numbers[row] * PIXELS + i], &picked[row * PIXELS + i], sizeof expected) != 0;
            }
        }
        CHECK(wrong == 0);
        gm_rows_close(d);
        gm_table_free(t);
        gm_schema_free(s);
    }
}

/* The message of a load of the pair with a schema, or of a scan without. */
static const char *load_message(const gm_schema *s) {
    static gm_error e;
    snprintf(e.text, sizeof e.text, "no error");
    if (s == NULL) {
        gm_schema *scanned = gm_schema_scan(pictures_and_labels, 2, &(gm_scan_choice){.scale.kind = GM_SCALE_NONE}, &e);
        CHECK(scanned == NULL);
        gm_schema_free(scanned);
    } else {
        gm_table *t = gm_table_load(pictures_and_labels, 2, s, &(gm_data_choice){.need_label = true}, &e);
        CHECK(t == NULL);
        gm_table_free(t);
    }
    return e.text;
}

static void test_cut(void) {
    unsigned char bytes[1024] = {0};
    gm_schema *s = scan_pair("none");
    const size_t n = make_pictures(bytes);
    put_bytes("pictures", bytes, n - 1);
    CHECK_TEXT(load_message(s), "pictures: cut off: 30 pictures of 2x3 declared, 29 there");
    put_bytes("pictures", bytes, 16 + 3 * PIXELS + 2);
    CHECK_TEXT(load_message(NULL), "pictures: cut off: 30 pictures of 2x3 declared, 3 there");
    put_bytes("pictures", bytes, 16);
    CHECK_TEXT(load_message(s), "pictures: cut off: 30 pictures of 2x3 declared, 0 there");
    put_bytes("pictures", bytes, 15);
    CHECK_TEXT(load_message(s), "pictures: cut off within its head");
    put_bytes("pictures", bytes, n + 1);
    CHECK_TEXT(load_message(s), "pictures: more bytes behind what it should hold: 30 pictures of 2x3 declared");
    put_gzip("pictures", bytes, n - PIXELS);
    CHECK_TEXT(load_message(s), "pictures: cut off: 30 pictures of 2x3 declared, 29 there");
    put_pair();
    put_bytes("labels", bytes, make_labels(bytes, ROWS) - 4);
    CHECK_TEXT(load_message(s), "labels: cut off: 30 labels declared, 26 there");
    gm_schema_free(s);
}

/* gzip's own end and sum. */
static void test_broken_gzip(void) {
    unsigned char bytes[1024], packed[1024];
    gm_schema *s = scan_pair("none");
    put_gzip("pictures", bytes, make_pictures(bytes));
    const int fd = open("pictures", O_RDONLY | O_CLOEXEC);
    const long n = gm_read_all(fd, packed, sizeof packed);
    close(fd);
    CHECK(n > 40);
    put_bytes("pictures", packed, (size_t)n - 6);
    CHECK_TEXT(load_message(s), "pictures: cut off: the gzip checksum at its end is missing");
    put_bytes("pictures", packed, (size_t)n / 2);
    CHECK(strncmp(load_message(s), "pictures: cut off: 30 pictures of 2x3 declared, ", 48) == 0);
    packed[n - 7] ^= 1;
    put_bytes("pictures", packed, (size_t)n);
    CHECK(strncmp(load_message(s), "pictures: broken gzip data: ", 28) == 0);
    packed[20] ^= 0xFF;
    put_bytes("pictures", packed, (size_t)n);
    CHECK(strncmp(load_message(s), "pictures: ", 10) == 0);
    put_gzip("pictures", "a,b\n1,2\n", 8);
    CHECK_TEXT(load_message(s), "pictures: gzip, but no IDX file inside; CSV is read uncompressed (zcat FILE | ...)");
    put_bytes("pictures", packed, 3);
    CHECK(strncmp(load_message(s), "pictures: ", 10) == 0);
    gm_schema_free(s);
}

static void test_heads(void) {
    unsigned char bytes[1024];
    const uint32_t shape[4] = {2, 1, 2, 3}, huge[3] = {UINT32_MAX, UINT32_MAX, UINT32_MAX}, empty[3] = {4, 0, 5},
                   none[3] = {0, 2, 2};
    const uint32_t many[3] = {UINT32_MAX, 2, 3};
    put_pair();
    put_bytes("pictures", bytes, put_head(bytes, 0x0D, 3, shape));
    CHECK_TEXT(load_message(NULL), "pictures: IDX of type 0x0d; only unsigned bytes (0x08) are read");
    put_bytes("pictures", bytes, put_head(bytes, 0x08, 4, shape));
    CHECK_TEXT(load_message(NULL),
               "pictures: IDX of rank 4; pictures have rank 3 (number, height, width), labels rank 1");
    put_bytes("pictures", bytes, put_head(bytes, 0x08, 3, huge));
    CHECK_TEXT(load_message(NULL), "pictures: a row of more than 65536 bytes");
    put_bytes("pictures", bytes, put_head(bytes, 0x08, 3, empty));
    CHECK_TEXT(load_message(NULL), "pictures: pictures without pixels");
    put_bytes("pictures", bytes, put_head(bytes, 0x08, 3, none));
    CHECK_TEXT(load_message(NULL), "pictures: no rows");
    /* What is declared is not allocated. */
    put_gzip("labels", bytes, put_head(bytes, 0x08, 1, many));
    put_bytes("pictures", bytes, put_head(bytes, 0x08, 3, many));
    CHECK_TEXT(load_message(NULL), "pictures: cut off: 4294967295 pictures of 2x3 declared, 0 there");
}

static void test_pairs(void) {
    unsigned char bytes[1024];
    gm_schema *s = scan_pair("none");
    put_bytes("labels", bytes, make_labels(bytes, 60));
    CHECK_TEXT(load_message(NULL), "pictures and labels: 30 pictures but 60 labels");
    put_bytes("pictures", bytes, make_labels(bytes, ROWS));
    CHECK_TEXT(load_message(NULL), "pictures: labels without pictures");
    const uint32_t shape[3] = {1, 3, 2};
    put_pair();
    put_bytes("labels", bytes, put_head(bytes, 0x08, 3, shape));
    CHECK_TEXT(load_message(NULL), "labels: 1 picture of 3x2 declared, but pictures: 30 pictures of 2x3 declared");
    put_pair();
    make_labels(bytes, ROWS);
    bytes[8 + 20] = 11;
    put_bytes("labels", bytes, 8 + ROWS);
    CHECK_TEXT(load_message(s), "labels: label 21: class '11' is not one of the model's 3 classes");
    put_text("labels", "a,b\n1,2\n");
    CHECK_TEXT(load_message(NULL), "pictures is IDX, labels is CSV: files of one kind can be read together");
    put_bytes("pictures", bytes, make_pictures(bytes));
    CHECK_TEXT(scan_message("pictures", "digit"), "pictures: no file of labels ('digit') is among the IDX files");
    gm_schema_free(s);
}

/* Pictures without labels, where labels are not needed; and where they are. */
static void test_unlabelled(void) {
    gm_schema *s = scan_pair("none");
    gm_error e;
    float x[PIXELS];
    gm_rows *d = gm_rows_open(pictures_and_labels, 1, s, &(gm_data_choice){0}, &e);
    CHECK(d != NULL && !gm_rows_labelled(d) && gm_rows_next(d, 1, true, x, NULL, &e) == 1 && x[1] == pixel(0, 1));
    gm_rows_close(d);
    d = gm_rows_open(pictures_and_labels, 1, s, &(gm_data_choice){.need_label = true}, &e);
    CHECK(d == NULL);
    CHECK_TEXT(e.text, "pictures: no file of labels is among the IDX files");
    gm_rows_close(d);
    gm_schema_free(s);
}

/* Files of pictures one after the other, each with its labels. */
static void test_several(void) {
    char *files[] = {pictures_and_labels[0], pictures_and_labels[0], pictures_and_labels[1], pictures_and_labels[1]};
    gm_schema *s = scan_pair("none");
    gm_error e;
    gm_table *t = gm_table_load(files, 4, s, &(gm_data_choice){.need_label = true}, &e);
    CHECK(t != NULL && gm_table_rows(t) == 2 * ROWS && gm_table_labelled(t));
    const uint32_t number = ROWS + 4;
    float x[PIXELS];
    int32_t y = -1;
    if (t != NULL) CHECK(gm_table_pick(t, 1, &number, x, &y, &e) == 0);
    CHECK(y == 1 && x[3] == pixel(4, 3));
    gm_table_free(t);
    t = gm_table_load(files, 3, s, &(gm_data_choice){.need_label = true}, &e);
    CHECK(t == NULL);
    CHECK_TEXT(e.text, "2 files of pictures but 1 of labels");
    gm_table_free(t);
    gm_schema_free(s);
}

/* Pictures that are not the model's. */
static void test_other_model(void) {
    unsigned char bytes[1024] = {0};
    gm_schema *s = scan_pair("none");
    const uint32_t turned[3] = {1, WIDTH, HEIGHT}, small[3] = {1, 2, 2};
    size_t n = put_head(bytes, 0x08, 3, turned);
    put_bytes("pictures", bytes, n + PIXELS);
    put_bytes("labels", bytes, make_labels(bytes, 1));
    CHECK_TEXT(load_message(s), "pictures: pictures of 3x2; the model's are 2x3");
    n = put_head(bytes, 0x08, 3, small);
    put_bytes("pictures", bytes, n + 4);
    CHECK_TEXT(load_message(s), "pictures: pictures of 4 pixels; the model (data: pictures) has 6 columns");
    gm_schema_free(s);
    put_text("n.csv", "a,b,p2,p3,p4,p5,k\n1,2,3,4,5,6,x\n1,2,3,4,5,6,y\n");
    s = schema_of("n.csv", "k", "none");
    put_pair();
    CHECK_TEXT(load_message(s),
               "pictures: the pixel 'p0' of pictures stands where the model (data: n.csv) has the column 'a'");
    gm_schema_free(s);
}

static void test_standard_input(void) {
    unsigned char bytes[1024];
    gm_schema *s = scan_pair("none");
    char *files[] = {(char[]){"-"}};
    gm_error e;
    float x[ROWS * PIXELS];
    put_on_input(bytes, make_pictures(bytes), true);
    gm_rows *d = gm_rows_open(files, 1, s, &(gm_data_choice){0}, &e);
    CHECK(d != NULL && gm_rows_next(d, ROWS, false, x, NULL, &e) == ROWS && x[PIXELS * 3] == pixel(3, 0));
    gm_rows_close(d);
    put_on_input(bytes, 40, true);
    d = gm_rows_open(files, 1, s, &(gm_data_choice){0}, &e);
    CHECK(d != NULL && gm_rows_next(d, ROWS, false, x, NULL, &e) == -1);
    CHECK_TEXT(e.text, "standard input: cut off: 30 pictures of 2x3 declared, 4 there");
    gm_rows_close(d);
    gm_schema_free(s);
}

/* Folds of pictures: all rows once, and classes alike; what is known of the rest is its own. */
static void test_folds(void) {
    gm_error e = {.text = ""};
    gm_schema *s = scan_pair("none");
    if (s == NULL) return;
    bool seen[ROWS] = {false};
    for (uint32_t i = 1; i <= 5; i++) {
        float x[ROWS * PIXELS];
        int32_t y[ROWS];
        const gm_fold fold = {i, 5, 4, false}, rest = {i, 5, 4, true};
        gm_rows *d = gm_rows_open(pictures_and_labels, 2, s, &(gm_data_choice){.fold = fold}, &e);
        size_t n = 0, classes[3] = {0};
        long got;
        while (d != NULL && (got = gm_rows_next(d, 4, false, x + n * PIXELS, y + n, &e)) > 0) n += (size_t)got;
        gm_rows_close(d);
        CHECK(n == ROWS / 5);
        for (size_t k = 0; k < n; k++) {
            size_t row = 0;
            while (row < ROWS && (x[k * PIXELS] != pixel(row, 0) || x[k * PIXELS + 5] != pixel(row, 5))) row++;
            CHECK(row < ROWS && !seen[row] && (size_t)y[k] == row % 3);
            if (row < ROWS) seen[row] = true;
            classes[y[k]]++;
        }
        CHECK(classes[0] == 2 && classes[1] == 2 && classes[2] == 2);
        gm_table *t = gm_table_load(pictures_and_labels, 2, s, &(gm_data_choice){.fold = rest}, &e);
        CHECK(t != NULL && gm_table_rows(t) == ROWS - n);
        gm_table_free(t);
        gm_schema *other = gm_schema_scan(pictures_and_labels, 2, &(gm_scan_choice){.fold = rest}, &e);
        CHECK(other != NULL && other->rows == ROWS - n && other->class_rows[1] == 8);
        gm_schema_free(other);
    }
    gm_schema_free(s);
}

int main(void) {
    if (!files_enter()) return 1;
    RUN(test_scan);
    RUN(test_schema_size);
    RUN(test_same_bits);
    RUN(test_cut);
    RUN(test_broken_gzip);
    RUN(test_heads);
    RUN(test_pairs);
    RUN(test_unlabelled);
    RUN(test_several);
    RUN(test_other_model);
    RUN(test_standard_input);
    RUN(test_folds);
    files_leave();
    return check_done();
}
