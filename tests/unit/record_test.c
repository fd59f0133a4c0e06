#include "check.h"

#include "gm/record.h"

#include <stdlib.h>

static gm_error e;

static float *put(gm_record *r, const char *name, size_t rows, size_t columns) {
    float *numbers = gm_record_put_matrix(r, name, rows, columns, &e);
    CHECK(numbers);
    for (size_t i = 0; numbers && i < rows * columns; i++) numbers[i] = (float)i;
    return numbers;
}

static void test_put_and_find(void) {
    gm_record *r = gm_record_new(&e);
    if (!r) exit(1);
    CHECK(r->tensor_count == 0 && !r->info && !r->has_step);
    float *x = put(r, "x", 4, 3);
    gm_tensor *t = gm_record_tensor(r, "x");
    if (!t) exit(1);
    CHECK(t->data == x && t->rank == 2 && t->count == 12 && t->bytes == 48 && t->type == GM_F4);
    CHECK((uintptr_t)x % GM_ALIGN == 0 && !gm_record_tensor(r, "y"));
    put(r, "y", 4, 1);
    CHECK(gm_record_tensor(r, "x") == t && x[11] == 11);
    put(r, "x", 2, 2);
    CHECK(r->tensor_count == 2 && strcmp(r->tensors[0].name, "x") == 0 && t->count == 4);
    put(r, "x", 200, 200);
    CHECK(r->tensor_count == 2 && t->count == 40000);
    gm_tensor *scalar = gm_record_put(r, "s", GM_F8, 0, NULL, &e);
    CHECK(scalar && scalar->count == 1 && scalar->bytes == 8);
    gm_record_free(r);
    gm_record_free(NULL);
}

static void test_put_refusals(void) {
    gm_record *r = gm_record_new(&e);
    char name[GM_NAME_MAX + 2];
    memset(name, 'n', sizeof name);
    name[GM_NAME_MAX + 1] = '\0';
    CHECK(!gm_record_put_matrix(r, "", 1, 1, &e) && strstr(e.text, "empty name"));
    CHECK(!gm_record_put_matrix(r, name, 1, 1, &e) && strstr(e.text, "longer than 64"));
    CHECK(!gm_record_put_matrix(r, "a\nb", 1, 1, &e) && strstr(e.text, "control"));
    name[GM_NAME_MAX] = '\0';
    CHECK(gm_record_put_matrix(r, name, 1, 1, &e));
    CHECK(!gm_record_put_matrix(r, "x", SIZE_MAX / 2, 3, &e) && strstr(e.text, "'x'") && strstr(e.text, "overflow"));
    CHECK(r->tensor_count == 1);
    gm_record_free(r);
}

static void test_full(void) {
    gm_record *r = gm_record_new(&e);
    char name[32];
    for (int i = 0; i < GM_TENSORS_MAX; i++) {
        snprintf(name, sizeof name, "t%d", i);
        CHECK(gm_record_put_matrix(r, name, 1, 1, &e));
    }
    CHECK(!gm_record_put_matrix(r, "more", 1, 1, &e) && strstr(e.text, "at most 4096"));
    CHECK(gm_record_put_matrix(r, "t0", 2, 1, &e));
    gm_record_free(r);
}

/* After the first records nothing is allocated: the same memory comes back. */
static void test_memory_is_kept(void) {
    gm_record *r = gm_record_new(&e);
    void *first[2];
    for (int i = 0; i < 5; i++) {
        gm_record_clear(r);
        void *a = put(r, "a", 100, 10), *b = put(r, "b", 100, 1000);
        if (i == 0) {
            first[0] = a;
            first[1] = b;
        }
        CHECK(a == first[0] && b == first[1] && r->tensor_count == 2);
    }
    CHECK(r->spare_count == 0);
    gm_record_clear(r);
    CHECK(r->spare_count == 2 && r->tensor_count == 0);
    put(r, "small", 1, 1); /* must not sit in the memory of b */
    CHECK(r->tensors[0].capacity < 4 * 100000);
    for (int i = 0; i < 100; i++) {
        gm_record_clear(r);
        put(r, "a", (size_t)i * 1000 + 1, 10);
        put(r, "b", 1, 1);
    }
    gm_record_clear(r);
    CHECK(r->spare_count <= 3);
    gm_record_free(r);
}

static void test_remove_and_rename(void) {
    gm_record *r = gm_record_new(&e);
    put(r, "a", 1, 1);
    float *b = put(r, "b", 2, 1);
    float *c = put(r, "c", 3, 1);
    gm_record_remove(r, "a");
    gm_record_remove(r, "none");
    CHECK(r->tensor_count == 2 && gm_record_tensor(r, "b")->data == b && strcmp(r->tensors[0].name, "b") == 0);
    CHECK(gm_record_rename(r, "b", "z", &e) == 0 && gm_record_tensor(r, "z")->data == b && !gm_record_tensor(r, "b"));
    CHECK(gm_record_rename(r, "c", "z", &e) == 0 && r->tensor_count == 1 && gm_record_tensor(r, "z")->data == c);
    CHECK(gm_record_rename(r, "z", "z", &e) == 0 && r->tensor_count == 1);
    CHECK(gm_record_rename(r, "none", "q", &e) == -1);
    CHECK_TEXT(e.text, "no tensor 'none' in the record; there is z");
    CHECK(gm_record_rename(r, "z", "", &e) == -1 && gm_record_tensor(r, "z"));
    gm_record_remove(r, "z");
    CHECK(gm_record_rename(r, "z", "q", &e) == -1);
    CHECK_TEXT(e.text, "no tensor 'z' in the record; there are none");
    gm_record_free(r);
}

static void test_matrix(void) {
    gm_record *r = gm_record_new(&e);
    size_t columns = 0;
    r->rows = 2;
    float *x = put(r, "x", 2, 3);
    CHECK(gm_record_matrix(r, "x", &columns, &e) == x && columns == 3);
    gm_tensor *image = gm_record_put(r, "image", GM_U1, 3, (size_t[]){2, 2, 2}, &e);
    for (size_t i = 0; i < 8; i++) ((uint8_t *)image->data)[i] = (uint8_t)(i * 30);
    float *numbers = gm_record_matrix(r, "image", &columns, &e);
    CHECK(numbers && columns == 4 && numbers[7] == 210);
    image = gm_record_tensor(r, "image");
    CHECK(image->type == GM_F4 && image->rank == 3 && image->bytes == 32);
    gm_tensor *list = gm_record_put(r, "list", GM_F8, 1, (size_t[]){2}, &e);
    ((double *)list->data)[0] = 0.25;
    ((double *)list->data)[1] = -3;
    numbers = gm_record_matrix(r, "list", &columns, &e);
    CHECK(numbers && columns == 1 && numbers[0] == 0.25f && numbers[1] == -3);
    CHECK(!gm_record_matrix(r, "none", &columns, &e));
    CHECK_TEXT(e.text, "no tensor 'none' in the record; there are x, image, list");
    put(r, "w", 3, 3);
    CHECK(!gm_record_matrix(r, "w", &columns, &e));
    CHECK_TEXT(e.text, "tensor 'w': expected 2 rows, got 3");
    CHECK(gm_record_put(r, "s", GM_F4, 0, NULL, &e) && !gm_record_matrix(r, "s", &columns, &e));
    CHECK(strstr(e.text, "single number"));
    gm_record_free(r);
}

static void test_finite(void) {
    gm_record *r = gm_record_new(&e);
    size_t columns = 0;
    r->rows = 10;
    float *x = put(r, "x", 10, 7);
    CHECK(gm_record_finite(r, "x", &columns, &e) == x && columns == 7);
    for (size_t i = 0; i < 70; i++) {
        float old = x[i];
        x[i] = i % 2 ? NAN : -INFINITY;
        char wanted[64];
        snprintf(wanted, sizeof wanted, "tensor 'x': row %zu, column %zu is %s", i / 7, i % 7,
                 i % 2 ? "nan" : "infinite");
        CHECK(!gm_record_finite(r, "x", &columns, &e));
        CHECK_TEXT(e.text, wanted);
        x[i] = old;
    }
    CHECK(gm_record_put_matrix(r, "none", 10, 0, &e) && gm_record_finite(r, "none", &columns, &e) && columns == 0);
    gm_record_free(r);
}

static void test_labels(void) {
    gm_record *r = gm_record_new(&e);
    r->rows = 3;
    gm_tensor *y = gm_record_put(r, "y", GM_F8, 1, (size_t[]){3}, &e);
    double *numbers = y->data;
    numbers[0] = 0;
    numbers[1] = 9;
    numbers[2] = 2.5;
    CHECK(!gm_record_labels(r, "y", &e) && strstr(e.text, "row 2 is 2.5"));
    numbers[2] = 3e9;
    CHECK(!gm_record_labels(r, "y", &e) && strstr(e.text, "row 2"));
    numbers[2] = NAN;
    CHECK(!gm_record_labels(r, "y", &e));
    numbers[2] = -1;
    int32_t *labels = gm_record_labels(r, "y", &e);
    CHECK(labels && labels[0] == 0 && labels[1] == 9 && labels[2] == -1);
    CHECK(gm_record_tensor(r, "y")->type == GM_I4 && gm_record_labels(r, "y", &e) == labels);
    put(r, "column", 3, 1);
    CHECK(gm_record_labels(r, "column", &e));
    put(r, "x", 3, 2);
    CHECK(!gm_record_labels(r, "x", &e) && strstr(e.text, "one class number for each row, got 3×2"));
    put(r, "short", 2, 1);
    CHECK(!gm_record_labels(r, "short", &e) && strstr(e.text, "expected 3 rows, got 2"));
    CHECK(!gm_record_labels(r, "none", &e));
    gm_record_free(r);
}

static void test_scalars_and_info(void) {
    gm_record *r = gm_record_new(&e);
    double v = 0;
    CHECK(gm_record_set_scalar(r, "loss/D", 0.5, &e) == 0 && gm_record_set_scalar(r, "loss/G", 1, &e) == 0);
    CHECK(gm_record_scalar(r, "loss/D", &v) && v == 0.5 && !gm_record_scalar(r, "none", &v));
    CHECK(gm_record_set_scalar(r, "loss/D", 2, &e) == 0 && r->scalar_count == 2);
    CHECK(gm_record_scalar(r, "loss/D", &v) && v == 2);
    CHECK(gm_record_set_scalar(r, "", 2, &e) == -1 && strstr(e.text, "scalar"));
    gm_record_remove_scalar(r, "loss/D");
    gm_record_remove_scalar(r, "none");
    CHECK(r->scalar_count == 1 && gm_record_scalar(r, "loss/G", &v) && v == 1);
    gm_value *info = gm_record_info(r, &e);
    CHECK(info && info->kind == GM_MAP && gm_record_info(r, &e) == info);
    r->has_step = true;
    r->step = r->rows = 4;
    gm_record_clear(r);
    CHECK(!r->info && r->scalar_count == 0 && !r->has_step && r->rows == 0 && r->step == 0);
    gm_record_free(r);
}

int main(void) {
    RUN(test_put_and_find);
    RUN(test_put_refusals);
    RUN(test_full);
    RUN(test_memory_is_kept);
    RUN(test_remove_and_rename);
    RUN(test_matrix);
    RUN(test_finite);
    RUN(test_labels);
    RUN(test_scalars_and_info);
    return check_done();
}
