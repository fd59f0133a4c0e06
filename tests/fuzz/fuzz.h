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

/* A descriptor of a file in memory that holds the bytes. */
static inline int fuzz_file(const void *bytes, size_t n) {
    const int fd = memfd_create("fuzz", MFD_CLOEXEC);
    REQUIRE(fd >= 0);
    for (size_t done = 0; done < n;) {
        const ssize_t now = write(fd, (const char *)bytes + done, n - done);
        REQUIRE(now > 0);
        done += (size_t)now;
    }
    REQUIRE(lseek(fd, 0, SEEK_SET) == 0);
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
