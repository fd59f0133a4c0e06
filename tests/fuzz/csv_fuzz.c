/* csv_fuzz.c: any bytes as a CSV file: read, written again and read again; described, encoded and decoded.
 *
 * The first two bytes say which of these, in what form, and what is asked of the columns.
 */
#include "fuzz.h"

#include "gm/data.h"

#include <math.h>

/* Reads all rows; with `copy` they are written there. The number of fields, or -1 if the file was refused. */
static long read_all(int fd, gm_csv_form form, FILE *copy) {
    gm_error e = {.text = ""};
    gm_csv *c = gm_csv_new(fd, "fuzz", form, &e);
    if (c == NULL) {
        REQUIRE(e.text[0] != '\0');
        return -1;
    }
    const size_t columns = gm_csv_columns(c);
    REQUIRE(columns > 0);
    if (copy != NULL && gm_csv_check_names(c, &e) < 0) {
        gm_csv_free(c);
        return -1;
    }
    for (size_t i = 0; copy != NULL && i < columns; i++) {
        REQUIRE(gm_csv_find(c, gm_csv_column(c, i)) == (long)i);
        gm_csv_put(copy, gm_csv_column(c, i), strlen(gm_csv_column(c, i)));
        putc(i + 1 < columns ? ',' : '\n', copy);
    }
    const gm_field *fields;
    uint64_t line, before = 0;
    long count = 0;
    int got;
    while ((got = gm_csv_next(c, &fields, &line, &e)) > 0) {
        REQUIRE(line > before);
        before = line;
        for (size_t i = 0; i < columns; i++, count++) {
            REQUIRE(strlen(fields[i].text) == fields[i].length);
            if (copy == NULL) continue;
            if (columns == 1 && fields[i].length == 0) fputs("\"\"", copy);
            gm_csv_put(copy, fields[i].text, fields[i].length);
            putc(i + 1 < columns ? ',' : '\n', copy);
        }
    }
    gm_csv_free(c);
    REQUIRE(got == 0 || e.text[0] != '\0');
    return got == 0 ? count : -1;
}

/* What was written is read as the same number of fields, and writing that again changes nothing. */
static void check_copy(const uint8_t *data, size_t size) {
    char *first = NULL, *second = NULL;
    size_t first_size = 0, second_size = 0;
    const int fd = fuzz_file(0, data, size);
    FILE *f = open_memstream(&first, &first_size);
    const long count = read_all(fd, (gm_csv_form){0}, f);
    fclose(f);
    if (count >= 0) {
        const int again = fuzz_file(1, first, first_size);
        f = open_memstream(&second, &second_size);
        REQUIRE(read_all(again, (gm_csv_form){0}, f) == count);
        fclose(f);
        REQUIRE(first_size == second_size && memcmp(first, second, first_size) == 0);
        free(second);
    }
    free(first);
}

/* All rows, with their lines, as text, and what the reading ended with. */
static char *read_text(const uint8_t *data, size_t size, gm_csv_form form, gm_error *e) {
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    REQUIRE(f != NULL);
    const int fd = fuzz_file(0, data, size);
    gm_csv *c = gm_csv_new(fd, "fuzz", form, e);
    const gm_field *fields;
    uint64_t line;
    while (c != NULL && gm_csv_next(c, &fields, &line, e) > 0) {
        fprintf(f, "%llu", (unsigned long long)line);
        for (size_t i = 0; i < gm_csv_columns(c); i++) fprintf(f, "|%zu:%s", fields[i].length, fields[i].text);
        putc('\n', f);
    }
    gm_csv_free(c);
    fclose(f);
    return text;
}

/* Bytes without quotes are cut in place; with one behind them libcsv reads the same rows and finds the same faults. */
static void check_ways(const uint8_t *data, size_t size, gm_csv_form form) {
    gm_error cut_error = {.text = ""}, error = {.text = ""};
    if (memchr(data, '"', size) != NULL || memchr(data, 0, size) != NULL || size > 60000) return;
    uint8_t *longer = malloc(size + 2);
    REQUIRE(longer != NULL);
    if (size > 0) memcpy(longer, data, size);
    size_t last = size;
    while (last > 0 && data[last - 1] != (uint8_t)form.separator && (data[last - 1] == ' ' || data[last - 1] == '\t'))
        last--;
    /* A blank line at the end is no row, so none is put there. */
    const bool begun = last > 0 && data[last - 1] != '\n' && data[last - 1] != '\r';
    size_t more = 0;
    if (begun) longer[size + more++] = '\n';
    longer[size + more++] = '"';
    char *cut = read_text(data, size, form, &cut_error), *other = read_text(longer, size + more, form, &error);
    REQUIRE(strcmp(cut, other) == 0);
    const bool refused = strstr(cut_error.text, ": line ") != NULL;
    REQUIRE(refused ? strcmp(cut_error.text, error.text) == 0 : strstr(error.text, "is never closed") != NULL);
    free(cut);
    free(other);
    free(longer);
}

/* A file that a schema was made of can be encoded by it, and what is decoded can be encoded again. */
static void check_rows(char *const *files, const gm_schema *s) {
    gm_error e = {.text = ""};
    if (s->features > 4096) return;
    gm_rows *d = gm_rows_open(files, 1, s, &(gm_data_choice){.need_label = s->label != NULL, .fold = s->held_out}, &e);
    REQUIRE(d != NULL);
    float *x = malloc(8 * s->features * sizeof *x);
    int32_t y[8];
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    gm_decode_header(f, s, true);
    long got, rows = 0;
    while ((got = gm_rows_next(d, 8, false, x, s->label != NULL ? y : NULL, &e)) > 0) {
        gm_decode_rows(f, s, (size_t)got, x, s->label != NULL ? y : NULL);
        rows += got;
    }
    fclose(f);
    gm_rows_close(d);
    free(x);
    REQUIRE(got < 0 ? strstr(e.text, "too large") != NULL : rows == (long)s->rows);
    if (got == 0) {
        const int fd = fuzz_file(1, text, size);
        REQUIRE(read_all(fd, s->form, NULL) == (long)(s->rows * (s->column_count + (s->label != NULL ? 1 : 0))));
    }
    free(text);
}

/* The schema that a model file would hold. */
static gm_schema *keep(gm_schema *s) {
    gm_error e = {.text = ""};
    gm_value *v = gm_schema_value(s, &e);
    gm_schema *back = gm_schema_parse(v, &e);
    REQUIRE(v != NULL && back != NULL && gm_schema_encodes_alike(s, back));
    gm_value_free(v);
    gm_schema_free(s);
    return back;
}

static void check_schema(const uint8_t *data, size_t size, const gm_scan_choice *choice, bool kept) {
    char path[32];
    char *files[] = {path};
    gm_error e = {.text = ""};
    const int fd = fuzz_file(0, data, size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    gm_schema *s = gm_schema_scan(files, 1, choice, &e);
    REQUIRE(s != NULL || e.text[0] != '\0');
    if (s != NULL && kept) s = keep(s);
    if (s != NULL) check_rows(files, s);
    gm_schema_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char separators[] = {',', ';', '\t', ' '};
    static const gm_scale scales[] = {
        {GM_SCALE_STANDARD, 0, 0}, {GM_SCALE_RANGE, -1, 1}, {GM_SCALE_QUANTILE, 0, 0}, {GM_SCALE_NONE, 0, 0}};
    char *names[] = {NULL, (char[]){"k"}, (char[]){"1"}, (char[]){"-1"}};
    if (size < 2) return 0;
    const unsigned way = data[0], asked = data[1];
    const gm_csv_form form = {.separator = separators[way & 3], .no_header = way >> 2 & 1};
    const gm_names none = {0}, mark = {1, names + 2}, column = {asked >> 2 & 3 ? 1 : 0, names + (asked >> 2 & 3)};
    const gm_scan_choice choice = {.label = names[asked & 3],
                                   .categorical = way >> 5 & 1 ? none : column,
                                   .numeric = way >> 5 & 1 ? column : none,
                                   .marks = asked >> 4 & 1 ? &mark : NULL,
                                   .scale = scales[asked >> 5 & 3],
                                   .fold = asked >> 7 & 1 ? (gm_fold){1, 2, 0, true} : (gm_fold){0},
                                   .form = form};
    if ((way >> 3 & 3) == 0) {
        check_copy(data + 2, size - 2);
    } else if ((way >> 3 & 3) == 1) {
        check_ways(data + 2, size - 2, form);
    } else {
        check_schema(data + 2, size - 2, &choice, (way >> 6 & 1) == 0);
    }
    return 0;
}
