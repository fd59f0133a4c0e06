/* Feeds bytes to a reader as if they had come through standard input. With libFuzzer:
 *
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined -std=c17 -D_GNU_SOURCE -Iinclude tests/fuzz/stream_fuzz.c \
 *       lib/base/[a-z]*.c lib/math/tensor.c lib/wire/[a-z]*.c -lmsgpackc -lzstd -lxxhash -lm -o stream_fuzz
 *   ./stream_fuzz -max_len=8192 corpus/
 *
 * With -DGM_FUZZ_MAIN, and without -fsanitize=fuzzer, it is a program that tries the files given as arguments. */
#include "gm/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_TENSOR ((size_t)1 << 20)

/* What a reader promises of a record. */
static void check_record(const gm_record *record) {
    if (record->tensor_count > GM_TENSORS_MAX || record->scalar_count > GM_SCALARS_MAX) abort();
    if (record->rows > INT32_MAX || record->step > GM_STEP_MAX) abort();
    for (size_t i = 0; i < record->tensor_count; i++) {
        const gm_named_tensor *named = &record->tensors[i];
        const gm_tensor *t = &named->tensor;
        size_t count, bytes;
        if (!gm_shape_measure(t->type, t->rank, t->shape, &count, &bytes)) abort();
        if (t->count != count || t->bytes != bytes || named->capacity < bytes || bytes > MAX_TENSOR) abort();
        if (strlen(named->name) == 0 || strlen(named->name) > GM_NAME_MAX) abort();
        volatile unsigned char last = bytes > 0 ? ((const unsigned char *)t->data)[bytes - 1] : 0;
        (void)last;
    }
}

/* What was read can be written, unless it is nested as deep as it may be read but has grown by a re-encoding. */
static void write_back(gm_writer *writer, const gm_record *record) {
    gm_error e;
    if (gm_writer_put(writer, record, &e) != 0 && !strstr(e.text, "1 MiB")) abort();
}

static void try_bytes(int fd) {
    gm_error e;
    int null = memfd_create("written", MFD_CLOEXEC);
    gm_record *record = gm_record_new(&e);
    gm_reader *reader = gm_reader_new(fd, "input", MAX_TENSOR, &e);
    gm_writer *writer = gm_writer_new(null, "output", GM_LEVEL_STORE, &e);
    int got = -1;
    while (record && reader && writer && (got = gm_reader_next(reader, record, &e)) == 1) {
        check_record(record);
        write_back(writer, record);
    }
    if (got < 0 && e.text[0] == '\0') abort();
    gm_writer_free(writer);
    gm_reader_free(reader);
    gm_record_free(record);
    close(null);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n);
int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n) {
    gm_error e;
    int fd = memfd_create("input", MFD_CLOEXEC);
    if (fd < 0 || gm_write_all(fd, bytes, n) != 0 || lseek(fd, 0, SEEK_SET) != 0) abort();
    try_bytes(fd);
    close(fd);
    gm_value_free(gm_value_unpack(bytes, n, &e));
    return 0;
}

#ifdef GM_FUZZ_MAIN
static int try_file(const char *path) {
    FILE *file = fopen(path, "rb");
    unsigned char *bytes = NULL;
    size_t n = 0, capacity = 0;
    gm_error e;
    if (!file) {
        perror(path);
        return 1;
    }
    do {
        if (gm_grow(&bytes, &capacity, n + 65536, 1, &e) != 0) abort();
        n += fread(bytes + n, 1, capacity - n, file);
    } while (!feof(file) && !ferror(file));
    int failed = ferror(file);
    fclose(file);
    if (!failed) LLVMFuzzerTestOneInput(bytes, n);
    free(bytes);
    return failed != 0;
}

int main(int count, char **paths) {
    int failed = 0;
    for (int i = 1; i < count; i++) failed |= try_file(paths[i]);
    return failed;
}
#endif
