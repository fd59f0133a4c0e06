/* idx_fuzz.c: any bytes as IDX files, plain or gzipped: described, read as rows and as a table.
 *
 * The first byte says where the file of pictures ends and that of labels begins (0: there
 * are no labels).
 */
#include "fuzz.h"

#include "gm/data.h"

/* A file with these bytes. What is not gzipped begins as IDX does, with two zeros and a type: all else is read as CSV.
 */
static int idx_file(size_t which, const uint8_t *bytes, size_t n) {
    const int fd = fuzz_file(which, bytes, n);
    const bool gzip = n >= 2 && bytes[0] == 0x1F && bytes[1] == 0x8B;
    if (n >= 3 && !gzip) REQUIRE(pwrite(fd, (uint8_t[]){0, 0, (uint8_t)(8 + (bytes[2] + 6) % 7)}, 3, 0) == 3);
    return fd;
}

/* Rows and table agree in their number, their bits and their labels. */
static void check_table(char *const *files, size_t count, const gm_schema *s) {
    gm_error e = {.text = ""};
    if (s->features > 4096 || s->rows > 4096) return;
    gm_table *t = gm_table_load(files, count, s, &(gm_data_choice){.need_label = s->label != NULL}, &e);
    gm_rows *d = gm_rows_open(files, count, s, &(gm_data_choice){.need_label = s->label != NULL}, &e);
    REQUIRE(t != NULL && d != NULL && gm_table_rows(t) == s->rows && gm_table_labelled(t) == (s->label != NULL));
    float *x = malloc(2 * s->features * sizeof *x), *picked = x + s->features;
    int32_t y = 0, picked_y = 0;
    for (uint32_t row = 0; row < s->rows; row++) {
        REQUIRE(gm_rows_next(d, 1, row % 2 == 0, x, &y, &e) == 1);
        REQUIRE(gm_table_pick(t, 1, &row, picked, &picked_y, &e) == 0);
        REQUIRE(memcmp(x, picked, s->features * sizeof *x) == 0 && y == picked_y);
    }
    REQUIRE(gm_rows_next(d, 1, false, x, &y, &e) == 0);
    gm_rows_close(d);
    gm_table_free(t);
    free(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char paths[2][32];
    char *files[] = {paths[0], paths[1]};
    gm_error e = {.text = ""};
    if (size < 1) return 0;
    const size_t count = data[0] == 0 ? 1 : 2;
    const size_t first = count == 1 || data[0] > size - 1 ? size - 1 : data[0];
    const int pictures = idx_file(0, data + 1, first), labels = idx_file(1, data + 1 + first, size - 1 - first);
    snprintf(paths[0], sizeof paths[0], "/proc/self/fd/%d", pictures);
    snprintf(paths[1], sizeof paths[1], "/proc/self/fd/%d", labels);
    gm_schema *s = gm_schema_scan(
        files, count, &(gm_scan_choice){.label = count == 1 ? NULL : "digit", .scale.kind = GM_SCALE_STANDARD}, &e);
    REQUIRE(s != NULL || e.text[0] != '\0');
    if (s != NULL && s->height > 0) {
        gm_value *v = gm_schema_value(s, &e);
        gm_schema *back = gm_schema_parse(v, &e);
        REQUIRE(v != NULL && back != NULL);
        check_table(files, count, back);
        gm_schema_free(back);
        gm_value_free(v);
    }
    gm_schema_free(s);
    return 0;
}
