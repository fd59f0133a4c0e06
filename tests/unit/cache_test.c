/* cache_test.c: rows from caches and tables that do not hold all of theirs; caches with one bit flipped, and such as
 * somebody made so, with the right checksums. tests/cache.bats has what users see of caches. */
#include "data_files.h"

#include <dirent.h>
#include <xxhash.h>

enum { ROWS = 400, FEATURES = 5, HEAD = 4096 };

static gm_error e;
static char *files[] = {(char[]){"one.csv"}, (char[]){"two.csv"}};
static char lines[1024];

static void note(const void *context, const char *line) {
    (void)context;
    snprintf(lines, sizeof lines, "%s", line);
}

static gm_data_choice choose(gm_caching caching) {
    return (gm_data_choice){.caching = caching, .note = note, .held_bytes = 1000};
}

/* A number, one that is missing at times, and two categories that are known and one that is not: five features; a
 * label. */
static gm_schema *make_files(void) {
    char text[2][ROWS * 24] = {"n,m,colour,k\n", "k,colour,n,m\n"};
    static const char *const colours[] = {"red", "blue", "green"};
    for (int i = 0; i < ROWS; i++) {
        char m[16] = "", *to = text[i >= ROWS / 2] + strlen(text[i >= ROWS / 2]);
        if (i % 5 != 0) snprintf(m, sizeof m, "%d.5", i);
        const char *colour = colours[i * i % 3], *class = i % 7 > 3 ? "yes" : "no";
        if (i < ROWS / 2)
            snprintf(to, 64, "%d,%s,%s,%s\n", i, m, colour, class);
        else
            snprintf(to, 64, "%s,%s,%d,%s\n", class, i % 3 ? colour : "green", i, m);
    }
    put_text("two.csv", text[1]);
    put_text("one.csv", text[0]);
    put_text("all.csv", "n,m,colour,k\n1,,red,no\n2,3,blue,yes\n9,1,blue,no\n400,100,red,no\n");
    return schema_of("all.csv", "k", "standard");
}

typedef struct encoded {
    float x[ROWS * FEATURES];
    int32_t y[ROWS];
    size_t rows;
} encoded;

static bool read_rows(const gm_schema *s, const gm_data_choice *choice, encoded *out) {
    long got = 0;
    out->rows = 0;
    gm_rows *d = gm_rows_open(files, 2, s, choice, &e);
    if (d == NULL) return false;
    while (out->rows < ROWS &&
           (got = gm_rows_next(d, 7, false, out->x + out->rows * FEATURES, out->y + out->rows, &e)) > 0)
        out->rows += (size_t)got;
    gm_rows_close(d);
    return got >= 0;
}

/* The same by a table, of which one row after the other is picked, from the last to the first. */
static bool read_table(const gm_schema *s, const gm_data_choice *choice, encoded *out) {
    gm_table *t = gm_table_load(files, 2, s, choice, &e);
    bool good = t != NULL && gm_table_rows(t) <= ROWS;
    out->rows = good ? gm_table_rows(t) : 0;
    int32_t class = 0;
    for (uint32_t i = (uint32_t)out->rows; good && i-- > 0;)
        good = gm_table_pick(t, 1, &i, out->x + i * FEATURES, out->y + i, &e) == 0 &&
               gm_table_pick(t, 1, &i, NULL, &class, &e) == 0 && class == out->y[i];
    gm_table_free(t);
    return good;
}

static bool same(const encoded *a, const encoded *b) {
    return a->rows == b->rows && memcmp(a->x, b->x, a->rows * FEATURES * sizeof *a->x) == 0 &&
           memcmp(a->y, b->y, a->rows * sizeof *a->y) == 0;
}

/* The cache of a file; "" if there is none. */
static const char *cache_of(const char *file) {
    static char name[2][300];
    char *found = name[strcmp(file, "one.csv") == 0];
    DIR *d = opendir(".");
    found[0] = '\0';
    for (const struct dirent *entry; d != NULL && (entry = readdir(d)) != NULL;)
        if (strncmp(entry->d_name, file, strlen(file)) == 0 && strstr(entry->d_name, ".gmcache") != NULL)
            snprintf(found, 300, "%s", entry->d_name);
    if (d != NULL) closedir(d);
    return found;
}

static void remove_caches(void) {
    unlink(cache_of("one.csv"));
    unlink(cache_of("two.csv"));
}

static void test_rows_and_tables(void) {
    static encoded plain, kept;
    gm_schema *s = make_files();
    CHECK(s != NULL && s->features == FEATURES);
    if (s == NULL || s->features != FEATURES) return;
    for (uint32_t fold = 0; fold <= 3; fold++) {
        gm_data_choice off = choose(GM_CACHING_OFF), on = choose(GM_CACHING_ON);
        if (fold > 0) off.fold = on.fold = (gm_fold){.index = fold, .count = 3, .rest = fold == 2};
        CHECK(read_rows(s, &off, &plain) && plain.rows > 0 && (fold > 0 || plain.rows == ROWS));
        for (int i = 0; i < 3; i++) {
            CHECK(read_table(s, &on, &kept) && same(&plain, &kept));
            CHECK(read_rows(s, &on, &kept) && same(&plain, &kept));
            if (i == 1) unlink(cache_of("two.csv"));
        }
        CHECK(cache_of("one.csv")[0] != '\0' && cache_of("two.csv")[0] != '\0');
        remove_caches();
    }
    gm_schema_free(s);
}

/* ---- caches that are not what was written ---- */

static unsigned char good[1 << 16], bad[1 << 16];
static size_t good_bytes;

/* Makes the cache of one.csv, in `good`, and finds its name; *plain are the rows without. */
static gm_schema *keep_cache(encoded *plain, char name[300]) {
    gm_schema *s = make_files();
    const gm_data_choice off = choose(GM_CACHING_OFF), on = choose(GM_CACHING_ON);
    static encoded first;
    remove_caches();
    if (s == NULL || !read_rows(s, &off, plain) || !read_rows(s, &on, &first)) exit(1);
    snprintf(name, 300, "%s", cache_of("one.csv"));
    FILE *f = fopen(name, "rb");
    good_bytes = f != NULL ? fread(good, 1, sizeof good, f) : 0;
    if (f != NULL) fclose(f);
    if (good_bytes <= HEAD || good_bytes >= sizeof good) exit(1);
    return s;
}

static void write_cache(const char *name, size_t n) {
    const int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || gm_write_all(fd, bad, n) != 0) exit(1);
    close(fd);
}

static void test_flips(void) {
    static encoded plain, got;
    char name[300];
    gm_schema *s = keep_cache(&plain, name);
    const gm_data_choice on = choose(GM_CACHING_ON);
    size_t damaged = 0, tried = 0;
    for (size_t bit = 0; bit < 8 * good_bytes; bit += bit < 8 * 104 ? 1 : 997) {
        if (bit >= 8 * 104 && bit < (size_t)8 * HEAD) continue; /* nothing is there */
        memcpy(bad, good, good_bytes);
        bad[bit / 8] ^= (unsigned char)(1U << bit % 8);
        write_cache(name, good_bytes);
        lines[0] = '\0';
        CHECK(read_rows(s, &on, &got) && same(&plain, &got));
        tried++;
        damaged += lines[0] != '\0';
    }
    CHECK(damaged == tried);
    remove_caches();
    gm_schema_free(s);
}

static void seal(size_t n) {
    const uint64_t bytes = n - HEAD, hash = XXH3_64bits(bad + HEAD, n - HEAD);
    memcpy(bad + 80, &bytes, sizeof bytes);
    memcpy(bad + 88, &hash, sizeof hash);
    const uint64_t head = XXH3_64bits(bad, 96);
    memcpy(bad + 96, &head, sizeof head);
}

/* With checksums that are right anything may stand in a body: it is used, refused or made anew. */
static void test_hostile(void) {
    static encoded plain, got;
    char name[300];
    gm_schema *s = keep_cache(&plain, name);
    const gm_data_choice on = choose(GM_CACHING_ON);
    size_t used = 0, others = 0;
    for (size_t bit = (size_t)8 * HEAD; bit < 8 * good_bytes; bit += bit < 8 * (good_bytes - 32) ? 211 : 1) {
        memcpy(bad, good, good_bytes);
        bad[bit / 8] ^= (unsigned char)(1U << bit % 8);
        seal(good_bytes);
        write_cache(name, good_bytes);
        lines[0] = e.text[0] = '\0';
        const bool read = read_rows(s, &on, &got);
        CHECK(read || e.text[0] != '\0');
        used += read && lines[0] == '\0';
        others += !read || lines[0] != '\0';
        (void)read_table(s, &on, &got);
    }
    CHECK(used > 50 && others > 20);
    for (size_t n = HEAD; n < good_bytes; n += 13) {
        memcpy(bad, good, good_bytes);
        seal(n);
        write_cache(name, n);
        CHECK(read_rows(s, &on, &got) && same(&plain, &got));
    }
    remove_caches();
    gm_schema_free(s);
}

int main(void) {
    if (!files_enter()) return 1;
    RUN(test_rows_and_tables);
    RUN(test_flips);
    RUN(test_hostile);
    files_leave();
    return check_done();
}
