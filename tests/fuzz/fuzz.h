/* fuzz.h: what the fuzzers of lib/data share: a failing condition stops the run, and bytes become a file.
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

#ifdef GM_FUZZ_MAIN
/* Runs the files it is given: the findings of an earlier run, or a corpus. */
int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        FILE *f = fopen(argv[i], "rb");
        char *bytes = NULL;
        size_t n = 0;
        REQUIRE(f != NULL);
        FILE *copy = open_memstream(&bytes, &n);
        for (int c = getc(f); c != EOF; c = getc(f)) putc(c, copy);
        fclose(copy);
        fclose(f);
        LLVMFuzzerTestOneInput((const uint8_t *)bytes, n);
        free(bytes);
    }
    printf("%d files\n", argc - 1);
    return 0;
}
#endif

#endif
