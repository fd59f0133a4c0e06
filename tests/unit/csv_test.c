/* csv_test.c: the CSV reader and writer. */
#include "data_files.h"

#include <sys/resource.h>

/* All rows as "line: a|b|c;" one after the other, or the message. */
static gm_csv_form form;        /* of what is read */
static const char *rows_before; /* those before the message of the last reading */

static const char *read_fd(int fd) {
    static char out[4096];
    static gm_error e;
    size_t used = 0;
    out[0] = '\0';
    gm_csv *c = gm_csv_new(fd, "x.csv", form, &e);
    if (c == NULL) return e.text;
    if (gm_csv_check_names(c, &e) < 0) {
        gm_csv_free(c);
        return e.text;
    }
    for (;;) {
        const gm_field *fields;
        uint64_t line;
        const int got = gm_csv_next(c, &fields, &line, &e);
        if (got <= 0) {
            gm_csv_free(c);
            rows_before = out;
            return got < 0 ? e.text : out;
        }
        used += (size_t)snprintf(out + used, sizeof out - used, "%llu:", (unsigned long long)line);
        if (fields == NULL) used += (size_t)snprintf(out + used, sizeof out - used, "ragged");
        for (size_t i = 0; fields != NULL && i < gm_csv_columns(c); i++) {
            CHECK(fields[i].text[fields[i].length] == '\0');
            used += (size_t)snprintf(out + used, sizeof out - used, "%s%.*s", i > 0 ? "|" : "", (int)fields[i].length,
                                     fields[i].text);
        }
        used += (size_t)snprintf(out + used, sizeof out - used, ";");
    }
}

static const char *read_bytes(const char *text, size_t n) {
    put_bytes("x.csv", text, n);
    const int fd = open("x.csv", O_RDONLY | O_CLOEXEC);
    const char *result = read_fd(fd);
    close(fd);
    return result;
}

static const char *read_text(const char *text) {
    return read_bytes(text, strlen(text));
}

static void test_plain(void) {
    CHECK_TEXT(read_text("a,b\n1,2\n3,4\n"), "2:1|2;3:3|4;");
    CHECK_TEXT(read_text("a,b\n1,2\n3,4"), "2:1|2;3:3|4;");
    CHECK_TEXT(read_text("a,b\r\n1,2\r\n3,4\r\n"), "2:1|2;3:3|4;");
    CHECK_TEXT(read_text("a,b\r1,2\r3,4\r"), "2:1|2;3:3|4;");
    CHECK_TEXT(read_text("a\n1\n"), "2:1;");
    CHECK_TEXT(read_text("a,b\n,\n1,\n"), "2:|;3:1|;");
    CHECK_TEXT(read_text("a, b \n 1 ,\t2 2\n"), "2:1|2 2;");
}

static void test_quotes(void) {
    CHECK_TEXT(read_text("a,b\n\"x,y\",\"he said \"\"no\"\"\"\n"), "2:x,y|he said \"no\";");
    CHECK_TEXT(read_text("a,b\n\"two\nlines\",1\n3,4\n"), "2:two\nlines|1;4:3|4;");
    CHECK_TEXT(read_text("a,b\n\"two\r\nlines\",1\r\n3,4\r\n"), "2:two\r\nlines|1;4:3|4;");
    CHECK_TEXT(read_text("\"a\nb\",c\n1,2\n"), "3:1|2;");
    CHECK_TEXT(read_text("a\n\"\"\n"), "2:;");
    CHECK_TEXT(read_text("a,b\n\" x \",2\n"), "2: x |2;");
}

static void test_separators(void) {
    form.separator = ';';
    CHECK_TEXT(read_text("a;b\r\n1,5;\"x;\"\"y\n\"\r\n"), "2:1,5|x;\"y\n;");
    CHECK_TEXT(read_text("\xEF\xBB\xBF"
                         "a;b\n1;\n"),
               "2:1|;");
    CHECK_TEXT(read_text("a;b\n1;\"x\n"), "x.csv: line 2: a quote opened here is never closed");
    form.separator = '\t';
    CHECK_TEXT(read_text("a\tb\tc\n 1 \t\t\n\t x,y\t3\n"), "2:1||;3:|x,y|3;");
    form.separator = ' ';
    CHECK_TEXT(read_text("a b\n1 \"2 3\"\n\t4  \n"), "x.csv: line 3: 3 fields, the header has 2");
    form.separator = 0;
}

static void test_no_header(void) {
    form.no_header = true;
    CHECK_TEXT(read_text("1,2\n3,4\n"), "1:1|2;2:3|4;");
    CHECK_TEXT(read_text("\n\"x\ny\",2\n3,4"), "2:x\ny|2;4:3|4;");
    CHECK_TEXT(read_text("1,2\n3\n"), "x.csv: line 2: 1 field, the first row has 2");
    CHECK_TEXT(read_text("1,\n"), "1:1|;");
    CHECK_TEXT(read_text(""), "x.csv: empty file");
    form.no_header = false;
    CHECK_TEXT(read_text("5,5\n1,2\n"), "x.csv: line 1: columns 1 and 2 are both named '5'; has the file no header?");
}

static void test_blank_lines(void) {
    CHECK_TEXT(read_text("\n\na,b\n\n1,2\n\n  \n3,4\n\n"), "5:1|2;8:3|4;");
    CHECK_TEXT(read_text("\r\na,b\r\n\r\n1,2\r\n\r\n3,4\r\n"), "4:1|2;6:3|4;");
    CHECK_TEXT(read_text("a,b\r\r1,2\r"), "3:1|2;");
    /* In a table of one column they are rows, but for the last line of the file. */
    CHECK_TEXT(read_text("a\n1\n\n2\n"), "2:1;3:;4:2;");
    CHECK_TEXT(read_text("\na\n\n \t\n1\n\n\n2\n\n\n"), "3:;4:;5:1;6:;7:;8:2;9:;");
    CHECK_TEXT(read_text("\na\n\n \t\n\"1\"\n\n\n\"2\"\n\n\n"), "3:;4:;5:1;6:;7:;8:2;9:;");
    CHECK_TEXT(read_text("a\r\n1\r\n\r\n2\r\n\r\n"), "2:1;3:;4:2;");
    CHECK_TEXT(read_text("a\r\"1\"\r\r2"), "2:1;3:;4:2;");
    CHECK_TEXT(read_text("a\n\n"), "x.csv: no rows behind the header");
    CHECK_TEXT(read_text("a\n\n\n"), "2:;");
    form.tolerant = true;
    CHECK_TEXT(read_text("a,b\n\n1,2\n \n\n3,4\n\n"), "2:ragged;3:1|2;4:ragged;5:ragged;6:3|4;");
    CHECK_TEXT(read_text("a,b\n\n\"1\",2\n \n\n\"3\",4\n\n"), "2:ragged;3:1|2;4:ragged;5:ragged;6:3|4;");
    CHECK_TEXT(read_text("a\n\n1\n1,2\n\n"), "2:;3:1;4:ragged;");
    form.tolerant = false;
}

static void test_byte_order_mark(void) {
    CHECK_TEXT(read_text("\xEF\xBB\xBF"
                         "a,b\n1,2\n"),
               "2:1|2;");
    CHECK_TEXT(read_text("\xEF\xBB"), "x.csv: no rows behind the header");
    CHECK_TEXT(read_text("\xEF\xBB\xBF"), "x.csv: empty file");
}

static void test_header(void) {
    gm_error e;
    put_text("h.csv", "one,\"two, three\",four\n1,2,3\n");
    const int fd = open("h.csv", O_RDONLY | O_CLOEXEC);
    gm_csv *c = gm_csv_new(fd, "h.csv", (gm_csv_form){0}, &e);
    CHECK(c != NULL);
    if (c != NULL) {
        CHECK(gm_csv_columns(c) == 3);
        CHECK_TEXT(gm_csv_column(c, 1), "two, three");
        CHECK(gm_csv_find(c, "four") == 2 && gm_csv_find(c, "five") == -1 && gm_csv_find(c, "") == -1);
    }
    gm_csv_free(c);
    close(fd);
    CHECK_TEXT(read_text(""), "x.csv: empty file");
    CHECK_TEXT(read_text("\n \n"), "x.csv: empty file");
    CHECK_TEXT(read_text("a,b\n"), "x.csv: no rows behind the header");
    CHECK_TEXT(read_text("a,b"), "x.csv: no rows behind the header");
    CHECK_TEXT(read_text("a,b,a\n1,2,3\n"), "x.csv: line 1: columns 1 and 3 are both named 'a'");
    CHECK_TEXT(read_text(",b\n1,2\n"),
               "x.csv: line 1: column 1 has no name (if it only numbers the rows, leave it out)");
    CHECK_TEXT(read_text("\na,\"\"\n1,2\n"),
               "x.csv: line 2: column 2 has no name (if it only numbers the rows, leave it out)");
}

/* Only who needs a column minds that it has no name of its own. */
static void test_unnamed_columns(void) {
    gm_error e;
    put_text("h.csv", ",a,b,a,\n1,2,3,4,5\n");
    const int fd = open("h.csv", O_RDONLY | O_CLOEXEC);
    gm_csv *c = gm_csv_new(fd, "h.csv", (gm_csv_form){0}, &e);
    const gm_field *fields;
    uint64_t line;
    CHECK(c != NULL);
    if (c != NULL) {
        CHECK(gm_csv_columns(c) == 5 && gm_csv_find(c, "a") == 1 && gm_csv_find(c, "b") == 2);
        CHECK(gm_csv_find(c, "") == -1 && gm_csv_find(c, "0") == -1);
        CHECK_TEXT(gm_csv_column(c, 0), "");
        CHECK_TEXT(gm_csv_column(c, 3), "");
        CHECK(gm_csv_check_name(c, "b", &e) == 0 && gm_csv_check_name(c, "c", &e) == 0);
        CHECK(gm_csv_check_name(c, "a", &e) == -1);
        CHECK_TEXT(e.text, "h.csv: more than one column is named 'a'");
        CHECK(gm_csv_check_names(c, &e) == -1);
        CHECK_TEXT(e.text, "h.csv: line 1: column 1 has no name (if it only numbers the rows, leave it out)");
        CHECK(gm_csv_next(c, &fields, &line, &e) == 1 && strcmp(fields[4].text, "5") == 0);
    }
    gm_csv_free(c);
    close(fd);
}

static void test_field_counts(void) {
    CHECK_TEXT(read_text("a,b,c\n1,2,3\n4,5\n"), "x.csv: line 3: 2 fields, the header has 3");
    CHECK_TEXT(read_text("a,b,c\n1,2,3,4\n"), "x.csv: line 2: 4 fields, the header has 3");
    CHECK_TEXT(read_text("a,b\n1,2\n\"x\ny\",2\n7\n"), "x.csv: line 5: 1 field, the header has 2");
}

static void test_broken_quotes(void) {
    CHECK_TEXT(read_text("a,b\n1,2\n3,\"four\n5,6\n"), "x.csv: line 3: a quote opened here is never closed");
    CHECK_TEXT(read_text("a,b\n1,\"two\nlines\"\n3,\"four"), "x.csv: line 4: a quote opened here is never closed");
    CHECK_TEXT(read_text("a,b\n1,x\"y\n"), "x.csv: line 2: a quote inside a field that does not begin with one");
    CHECK_TEXT(read_text("a,b\n1,\"x\n\"y\n"),
               "x.csv: line 3: text behind the quote that closes a field (it opened in line 2)");
    CHECK_TEXT(read_text("\"a"), "x.csv: line 1: a quote opened here is never closed");
}

static void test_nul(void) {
    CHECK_TEXT(read_bytes("a,b\n1,\0\n", 8), "x.csv: line 2: a NUL byte; CSV is text, in ASCII or UTF-8");
    CHECK_TEXT(read_bytes("\0", 1), "x.csv: line 1: a NUL byte; CSV is text, in ASCII or UTF-8");
    CHECK_TEXT(read_bytes("a\n\"x\ny\0\"\n", 9), "x.csv: line 3: a NUL byte; CSV is text, in ASCII or UTF-8");
    CHECK_TEXT(read_bytes("\xFF\xFE\x61\0\n\0", 6), "x.csv: line 1: a NUL byte; CSV is text, in ASCII or UTF-8");
}

/* The good rows before a bad one are handed out first. */
static void test_order_of_trouble(void) {
    gm_error e;
    const gm_field *fields;
    uint64_t line;
    put_text("x.csv", "a,b\n1,2\n3,4\n5\n");
    const int fd = open("x.csv", O_RDONLY | O_CLOEXEC);
    gm_csv *c = gm_csv_new(fd, "x.csv", (gm_csv_form){0}, &e);
    CHECK(c != NULL);
    if (c != NULL) {
        CHECK(gm_csv_ready(c));
        CHECK(gm_csv_next(c, &fields, &line, &e) == 1 && line == 2);
        CHECK(gm_csv_next(c, &fields, &line, &e) == 1 && line == 3);
        CHECK(!gm_csv_ready(c));
        CHECK(gm_csv_next(c, &fields, &line, &e) == -1);
        CHECK(gm_csv_next(c, &fields, &line, &e) == -1);
    }
    gm_csv_free(c);
    close(fd);
}

static void test_long_fields(void) {
    const size_t n = ((size_t)1 << 20) + 100;
    char *text = malloc(n + 16);
    memset(text, 'x', n + 16);
    memcpy(text, "a,b\n1,", 6);
    memcpy(text + n, "\n", 2);
    CHECK_TEXT(read_text(text), "x.csv: line 2: a field above 1 MiB");
    /* Up to the bound it is taken, also over many blocks. */
    memcpy(text + n - 106, "\n", 2);
    put_text("x.csv", text);
    gm_error e;
    const gm_field *fields;
    uint64_t line;
    const int fd = open("x.csv", O_RDONLY | O_CLOEXEC);
    gm_csv *c = gm_csv_new(fd, "x.csv", (gm_csv_form){0}, &e);
    CHECK(c != NULL && gm_csv_next(c, &fields, &line, &e) == 1);
    if (c != NULL) CHECK(fields[0].length == 1 && fields[0].text[0] == '1' && fields[1].length == n - 112);
    gm_csv_free(c);
    close(fd);
    free(text);
}

/* A quote that would swallow a large file is reported early, and in bounded memory. */
static void test_swallowing_quote(void) {
    struct rusage before, after;
    FILE *f = fopen("x.csv", "w");
    fputs("a,b\n1,2\n3,\"4\n", f);
    for (int i = 0; i < 8 << 20; i++) fputs("1,2\n", f);
    fclose(f);
    const int fd = open("x.csv", O_RDONLY | O_CLOEXEC);
    getrusage(RUSAGE_SELF, &before);
    CHECK_TEXT(read_fd(fd), "x.csv: line 3: a quote opened here is never closed within 1 MiB");
    getrusage(RUSAGE_SELF, &after);
    CHECK(lseek(fd, 0, SEEK_CUR) < (off_t)4 << 20);
#ifndef __SANITIZE_ADDRESS__ /* which keeps freed memory for a while */
    CHECK(after.ru_maxrss - before.ru_maxrss < 8 << 10);
#endif
    close(fd);
}

static void test_too_many_columns(void) {
    const size_t n = 70000 * 7;
    char *text = malloc(n + 1);
    for (size_t i = 0; i < 70000; i++) snprintf(text + i * 7, 8, "c%05zu,", i);
    text[n - 1] = '\n';
    CHECK_TEXT(read_text(text), "x.csv: line 1: more than 65536 columns");
    free(text);
}

/* Whatever the pieces in which the bytes come, the rows are the same. */
static void test_pieces(void) {
    static const char text[] = "\xEF\xBB\xBF"
                               "a,b\r\n1,\"x\r\n\"\"y\"\"\"\r\n\r\n22,z\r\n";
    for (size_t cut = 0; cut < sizeof text; cut++) {
        int ends[2];
        CHECK(pipe(ends) == 0);
        const pid_t child = fork();
        if (child == 0) {
            if (gm_write_all(ends[1], text, cut) == 0 && usleep(500) == 0)
                _exit(gm_write_all(ends[1], text + cut, sizeof text - 1 - cut));
            _exit(1);
        }
        close(ends[1]);
        CHECK_TEXT(read_fd(ends[0]), "2:1|x\r\n\"y\";5:22|z;");
        close(ends[0]);
    }
}

/* Many rows over many blocks, which libcsv reads if they have quotes: every field where it belongs. */
static void many_blocks(bool quotes, const char *line_end) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnop";
    FILE *f = fopen("many.csv", "w");
    files_note("many.csv");
    fprintf(f, "number,word,rest%s", line_end);
    for (int i = 0; i < 50000; i++)
        fprintf(f, quotes ? "%d,\"w%d,\n\",%.*s%s" : "%d,  w%d ,%.*s%s", i, i * 7, i % 40, letters, line_end);
    fclose(f);
    gm_error e;
    const gm_field *fields;
    uint64_t line;
    char expected[32];
    const int fd = open("many.csv", O_RDONLY | O_CLOEXEC);
    gm_csv *c = gm_csv_new(fd, "many.csv", (gm_csv_form){0}, &e);
    bool good = c != NULL;
    int row = 0;
    for (; good && gm_csv_next(c, &fields, &line, &e) == 1; row++) {
        snprintf(expected, sizeof expected, "%d", row);
        good = strcmp(fields[0].text, expected) == 0 && line == 2 + (quotes ? 2 : 1) * (uint64_t)row;
        snprintf(expected, sizeof expected, quotes ? "w%d,\n" : "w%d", row * 7);
        good = good && strcmp(fields[1].text, expected) == 0 && fields[2].length == (size_t)(row % 40);
        good = good && memcmp(fields[2].text, letters, (size_t)(row % 40)) == 0 && fields[2].text[row % 40] == '\0';
    }
    CHECK(good && row == 50000);
    gm_csv_free(c);
    close(fd);
}

static void test_many_blocks(void) {
    many_blocks(true, "\n");
    many_blocks(true, "\r\n");
    many_blocks(false, "\n");
    many_blocks(false, "\r\n");
    many_blocks(false, "\r");
}

/* The same bytes cut in place, and by libcsv because a quote stands behind them. */
static void test_both_ways(void) {
    static const char bytes[] = ",,,,;\n\n\n\r\r  \t\taab1";
    static const char separators[] = {',', ';', ' ', '\t'};
    uint32_t random = 1;
    char text[64], cut[512], cut_rows[4096];
    size_t rows = 0;
    for (int round = 0; round < 40000; round++) {
        size_t n = 0;
        form.separator = separators[round % 4];
        form.no_header = round % 8 >= 4;
        for (const size_t wanted = (size_t)round % 48; n < wanted; n++) {
            random = random * 1664525 + 1013904223;
            text[n] = bytes[(random >> 16) % (sizeof bytes - 1)];
        }
        rows_before = "";
        snprintf(cut, sizeof cut, "%s", read_bytes(text, n));
        snprintf(cut_rows, sizeof cut_rows, "%s", rows_before);
        rows_before = "";
        /* A blank line at the end is no row, so none is put there. */
        size_t last = n;
        while (last > 0 && text[last - 1] != form.separator && (text[last - 1] == ' ' || text[last - 1] == '\t'))
            last--;
        if (last > 0 && text[last - 1] != '\n' && text[last - 1] != '\r') text[n++] = '\n';
        text[n++] = '"';
        const char *other = read_bytes(text, n);
        /* Where the bytes are refused, both say why; else only the quote is wrong. */
        const bool refused = strstr(cut, "x.csv: line") != NULL;
        const bool open_quote = strstr(other, "a quote opened here is never closed") != NULL;
        rows += !refused;
        CHECK(strcmp(cut_rows, rows_before) == 0 && (refused ? strcmp(cut, other) == 0 : open_quote));
    }
    CHECK(rows > 1000);
    form = (gm_csv_form){0};
}

static void test_unreadable(void) {
    gm_error e;
    const int fd = open(".", O_RDONLY | O_CLOEXEC);
    gm_csv *c = gm_csv_new(fd, "folder", (gm_csv_form){0}, &e);
    CHECK(c == NULL);
    CHECK_TEXT(e.text, "folder: Is a directory");
    gm_csv_free(c);
    close(fd);
}

static const char *put(const char *text, size_t n) {
    static char out[64];
    memset(out, 0, sizeof out);
    FILE *f = fmemopen(out, sizeof out, "w");
    gm_csv_put(f, text, n);
    fclose(f);
    return out;
}

static void test_put(void) {
    CHECK_TEXT(put("plain", 5), "plain");
    CHECK_TEXT(put("two words", 9), "two words");
    CHECK_TEXT(put("a,b", 3), "\"a,b\"");
    CHECK_TEXT(put("a\"b", 3), "\"a\"\"b\"");
    CHECK_TEXT(put("a\nb", 3), "\"a\nb\"");
    CHECK_TEXT(put(" a", 2), "\" a\"");
    CHECK_TEXT(put("a\t", 2), "\"a\t\"");
    CHECK_TEXT(put("\xEF\xBB\xBF.", 4), "\"\xEF\xBB\xBF.\"");
    CHECK_TEXT(put("", 0), "");
}

int main(void) {
    if (!files_enter()) return 1;
    RUN(test_plain);
    RUN(test_quotes);
    RUN(test_separators);
    RUN(test_no_header);
    RUN(test_blank_lines);
    RUN(test_byte_order_mark);
    RUN(test_header);
    RUN(test_unnamed_columns);
    RUN(test_field_counts);
    RUN(test_broken_quotes);
    RUN(test_nul);
    RUN(test_order_of_trouble);
    RUN(test_long_fields);
    RUN(test_swallowing_quote);
    RUN(test_too_many_columns);
    RUN(test_pieces);
    RUN(test_many_blocks);
    RUN(test_both_ways);
    RUN(test_unreadable);
    RUN(test_put);
    files_leave();
    return check_done();
}
