/* data_files.h: small files for the tests of lib/data, in a directory of their own that is entered and removed.
 */
#ifndef GM_DATA_FILES_H
#define GM_DATA_FILES_H

#include "check.h"
#include "gm/data.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

static char files_home[PATH_MAX], files_directory[PATH_MAX], files_digits[PATH_MAX], files_wine[PATH_MAX],
    files_iris[PATH_MAX];

static inline bool files_enter(void) {
    const char *base = getenv("TMPDIR");
    snprintf(files_directory, sizeof files_directory, "%s/gm-data-XXXXXX",
             base != NULL && base[0] != '\0' ? base : "/tmp");
    bool good = getcwd(files_home, sizeof files_home) != NULL;
    good = good && realpath("examples/data/digits.csv", files_digits) != NULL;
    good = good && realpath("examples/data/wine.csv", files_wine) != NULL;
    good = good && realpath("examples/data/iris.csv", files_iris) != NULL;
    good = good && mkdtemp(files_directory) != NULL && chdir(files_directory) == 0;
    if (!good) printf("not ok - run this from the top of the sources, with room for files in TMPDIR\n");
    return good;
}

/* The names that tests gave their files, so that they can be removed. */
static const char *files_made[64];
static size_t files_made_count;

static inline void files_leave(void) {
    for (size_t i = 0; i < files_made_count; i++) unlink(files_made[i]);
    if (chdir(files_home) == 0) rmdir(files_directory);
}

static inline void files_note(const char *name) {
    for (size_t i = 0; i < files_made_count; i++) {
        if (strcmp(files_made[i], name) == 0) return;
    }
    if (files_made_count < sizeof files_made / sizeof files_made[0]) files_made[files_made_count++] = name;
}

/* Writes a file of n bytes; `name` is a literal. A new one each time: some file systems send a file that was cut to
 * nothing to the disk when it is closed. */
static inline void put_bytes(const char *name, const void *bytes, size_t n) {
    unlink(name);
    const int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    files_note(name);
    CHECK(fd >= 0 && gm_write_all(fd, bytes, n) == 0);
    close(fd);
}

static inline void put_text(const char *name, const char *text) {
    put_bytes(name, text, strlen(text));
}

static inline void put_gzip(const char *name, const void *bytes, size_t n) {
    gzFile f = gzopen(name, "wb");
    files_note(name);
    CHECK(f != NULL && gzwrite(f, bytes, (unsigned)n) == (int)n);
    CHECK(f != NULL && gzclose(f) == Z_OK);
}

/* Standard input becomes a pipe that holds the bytes; the end to write more to, or -1 after `close_it`. */
static inline int put_on_input(const void *bytes, size_t n, bool close_it) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    CHECK(gm_write_all(ends[1], bytes, n) == 0);
    CHECK(dup2(ends[0], STDIN_FILENO) == STDIN_FILENO);
    close(ends[0]);
    if (!close_it) return ends[1];
    close(ends[1]);
    return -1;
}

/* The schema of one file, or NULL with a failed check. */
static inline gm_schema *schema_of(const char *file, const char *label, const char *scale_text) {
    char *files[] = {(char *)(uintptr_t)file};
    gm_error e = {.text = ""};
    gm_scale scale = {GM_SCALE_NONE, 0, 0};
    CHECK(gm_scale_parse(scale_text, &scale, &e) == 0);
    gm_schema *s = gm_schema_scan(files, 1, &(gm_scan_choice){.label = label, .scale = scale}, &e);
    if (s == NULL) printf("# %s\n", e.text);
    CHECK(s != NULL);
    return s;
}

/* The message with which a scan fails. */
static inline const char *scan_message(const char *file, const char *label) {
    static gm_error e;
    char *files[] = {(char *)(uintptr_t)file};
    snprintf(e.text, sizeof e.text, "no error");
    gm_schema *s = gm_schema_scan(files, 1, &(gm_scan_choice){.label = label, .scale.kind = GM_SCALE_NONE}, &e);
    CHECK(s == NULL);
    gm_schema_free(s);
    return e.text;
}

#endif
