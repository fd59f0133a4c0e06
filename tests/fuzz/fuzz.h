/* fuzz.h: what the fuzzers share. Each is a file NAME_fuzz.c with libFuzzer's entry point, and its corpus is
 * corpus/NAME/. `make fuzz` runs them under libFuzzer and sanitizers; elsewhere replay.c is their main().
 */
#ifndef GM_FUZZ_H
#define GM_FUZZ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                            \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The descriptor of a file in memory, which now holds these bytes and no others. There are FUZZ_FILES of them, used
 * again for each input: to make one takes longer than most inputs. */
enum { FUZZ_FILES = 4 };
static inline int fuzz_file(size_t which, const void *bytes, size_t n) {
    static int files[FUZZ_FILES] = {-1, -1, -1, -1};
    if (files[which] < 0) files[which] = memfd_create("fuzz", MFD_CLOEXEC);
    const int fd = files[which];
    REQUIRE(fd >= 0);
    for (size_t done = 0; done < n;) {
        const ssize_t now = pwrite(fd, (const char *)bytes + done, n - done, (off_t)done);
        REQUIRE(now > 0);
        done += (size_t)now;
    }
    REQUIRE(ftruncate(fd, (off_t)n) == 0 && lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

/* The bytes as a text, in memory that ends behind its NUL; to be freed. */
static inline char *fuzz_text(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    REQUIRE(text != NULL);
    if (size > 0) memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

/* Cuts a text into its lines, at most `most`; the rest is left out. */
static inline size_t fuzz_lines(char *text, char **lines, size_t most) {
    size_t count = 0;
    for (char *at = text; at != NULL && count < most;) {
        lines[count++] = at;
        at = strchr(at, '\n');
        if (at != NULL) *at++ = '\0';
    }
    return count;
}

#endif
