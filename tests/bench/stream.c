/* stream.c: how fast records go from one process to another.
 *
 * usage: stream put MEGABYTES | stream take     records of one tensor, float32 noise (GM_LANES=0: as frames)
 *        stream write MEGABYTES | stream read   the same bytes without records: what the pipe alone can do
 *
 * `put` and `write` send records of 1 MiB; `take` and `read` print gigabytes per second, from the first byte that came
 * to the end.
 */
#include "gm/rng.h"
#include "gm/stream.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NUMBERS ((size_t)1 << 18)

static _Noreturn void die(const char *text) {
    fprintf(stderr, "stream: %s\n", text);
    exit(1);
}

static double now(void) {
    return 1e-9 * (double)gm_nanoseconds();
}

static void tell(double start, double bytes) {
    printf("%.4f\n", bytes / (now() - start) / 1e9);
}

static float *noise(void) {
    static float numbers[NUMBERS];
    for (size_t i = 0; i < NUMBERS; i++) numbers[i] = (float)rand() / (float)RAND_MAX - 0.5F;
    return numbers;
}

static void put(size_t count) {
    gm_error e = {0};
    int level;
    gm_record *record = gm_record_new(&e);
    if (!record || gm_level_for(1, &level, &e) != 0) die(e.text);
    gm_writer *writer = gm_writer_new(1, "standard output", level, &e);
    float *x = gm_record_put_matrix(record, "x", NUMBERS / 256, 256, &e);
    if (!writer || !x) die(e.text);
    memcpy(x, noise(), NUMBERS * sizeof *x);
    record->rows = NUMBERS / 256;
    for (size_t i = 0; i < count; i++)
        if (gm_writer_put(writer, record, &e) != 0) die(e.text);
    if (gm_writer_finish(writer, &e) != 0) die(e.text);
    gm_writer_free(writer);
    gm_record_free(record);
}

static void take(void) {
    gm_error e = {0};
    double start = 0, bytes = 0;
    int got;
    gm_record *record = gm_record_new(&e);
    gm_reader *reader = record ? gm_reader_new(0, "standard input", GM_MAX_TENSOR_DEFAULT, &e) : NULL;
    if (!reader) die(e.text);
    while ((got = gm_reader_next(reader, record, &e)) == 1) {
        if (start > 0) bytes += (double)record->tensors[0].tensor.bytes;
        if (start <= 0) start = now();
    }
    if (got < 0) die(e.text);
    tell(start, bytes);
    gm_reader_free(reader);
    gm_record_free(record);
}

static void write_plain(size_t count) {
    const float *numbers = noise();
    (void)fcntl(1, F_SETPIPE_SZ, 1 << 20);
    for (size_t i = 0; i < count; i++)
        if (gm_write_all(1, numbers, NUMBERS * sizeof *numbers) != 0) die("cannot write");
}

static void read_plain(void) {
    static char bytes[NUMBERS * sizeof(float)];
    double start = 0, sum = 0;
    long got;
    while ((got = gm_read_all(0, bytes, sizeof bytes)) > 0) {
        if (start > 0) sum += (double)got;
        if (start <= 0) start = now();
    }
    if (got < 0) die("cannot read");
    tell(start, sum);
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    size_t count = 0;
    if (argc == 3 && gm_parse_size(argv[2], 1, SIZE_MAX, &count) && strcmp(what, "put") == 0)
        put(count);
    else if (count > 0 && strcmp(what, "write") == 0)
        write_plain(count);
    else if (argc == 2 && strcmp(what, "take") == 0)
        take();
    else if (argc == 2 && strcmp(what, "read") == 0)
        read_plain();
    else
        die("put MEGABYTES | take, write MEGABYTES | read");
    return 0;
}
