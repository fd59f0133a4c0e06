#include "check.h"

#include "gm/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <zstd.h>

static gm_error e;

/* ---- bytes under construction ---- */

static unsigned char made[1 << 22];
static size_t made_size;

static void add(const void *bytes, size_t n) {
    memcpy(made + made_size, bytes, n);
    made_size += n;
}
static void add_byte(unsigned b) {
    made[made_size++] = (unsigned char)b;
}
static void add_number(unsigned first, uint64_t v, size_t n) {
    add_byte(first);
    for (size_t i = n; i > 0; i--) add_byte((unsigned)(v >> (8 * (i - 1)) & 0xFF));
}
static void add_map(unsigned n) {
    add_byte(0x80 + n);
}
static void add_array(unsigned n) {
    add_byte(0x90 + n);
}
static void add_text(const char *text) {
    add_number(0xD9, strlen(text), 1);
    add(text, strlen(text));
}
static void add_uint(uint64_t v) {
    add_number(0xCF, v, 8);
}
static void add_bin(size_t n) {
    add_number(0xC6, n, 4);
    for (size_t i = 0; i < n; i++) add_byte((unsigned)i & 0x3F);
}
static void add_start(unsigned keys) {
    add_map(keys);
    add_text("gm");
    add_uint(1);
    add_text("rows");
    add_uint(2);
}
static void add_shape(size_t a, size_t b) {
    add_text("shape");
    add_array(2);
    add_uint(a);
    add_uint(b);
}
static void add_type(const char *type) {
    add_text("type");
    add_text(type);
}
static void add_data(size_t n) {
    add_text("data");
    add_bin(n);
}
static void add_plain_tensor(void) {
    add_map(4);
    add_text("nd");
    add_byte(0xC3);
    add_type("<f4");
    add_shape(2, 3);
    add_data(24);
}
static void add_plain_record(void) {
    add_start(3);
    add_text("tensors");
    add_map(1);
    add_text("x");
    add_plain_tensor();
}
static void add_end(uint64_t records) {
    add_map(3);
    add_text("gm");
    add_uint(1);
    add_text("end");
    add_byte(0xC3);
    add_text("records");
    add_uint(records);
}

/* Turns what was made from `start` on into a zstd frame. */
static void make_frame(size_t start, bool checksum, bool content_size, int window_log) {
    static unsigned char frame[1 << 22];
    ZSTD_CCtx *c = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, checksum);
    ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, content_size);
    if (window_log) ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, window_log);
    size_t n = ZSTD_compress2(c, frame, sizeof frame, made + start, made_size - start);
    CHECK(!ZSTD_isError(n));
    ZSTD_freeCCtx(c);
    made_size = start;
    add(frame, n);
}

/* ---- reading them ---- */

static int make_file(const void *bytes, size_t n) {
    int fd = memfd_create("stream", MFD_CLOEXEC);
    CHECK(fd >= 0 && gm_write_all(fd, bytes, n) == 0 && lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

/* Reads to the end; the count of records, or -1. The last record read stays in *last. */
static int read_all(int fd, size_t max_tensor, gm_record *last) {
    gm_record *record = gm_record_new(&e);
    gm_reader *reader = gm_reader_new(fd, "standard input", max_tensor, &e);
    int count = 0, got;
    while ((got = gm_reader_next(reader, record, &e)) == 1) {
        count++;
        if (last) {
            gm_record kept = *last;
            *last = *record;
            *record = kept;
        }
    }
    if (got == 0) {
        CHECK(gm_reader_next(reader, record, &e) == 0);
        CHECK(gm_reader_records(reader) == (uint64_t)count);
    } else {
        gm_error again;
        CHECK(gm_reader_next(reader, record, &again) == -1 && strcmp(again.text, e.text) == 0);
        CHECK(record->tensor_count == 0);
    }
    gm_reader_free(reader);
    gm_record_free(record);
    close(fd);
    return got == 0 ? count : -1;
}

static int read_made(gm_record *last) {
    int fd = make_file(made, made_size);
    made_size = 0;
    return read_all(fd, 1 << 20, last);
}

static void refused(const char *message) {
    e.text[0] = '\0';
    int got = read_made(NULL);
    if (got == -1 && strncmp(e.text, message, strlen(message)) == 0) return;
    printf("# %d '%s', not '%s'\n", got, e.text, message);
    check_failed = true;
}

/* ---- round trips ---- */

static bool same_tensor(const gm_named_tensor *a, const gm_named_tensor *b) {
    const gm_tensor *s = &a->tensor, *t = &b->tensor;
    return strcmp(a->name, b->name) == 0 && s->type == t->type && s->rank == t->rank && s->count == t->count &&
           s->bytes == t->bytes && memcmp(s->shape, t->shape, s->rank * sizeof *s->shape) == 0 &&
           memcmp(s->data, t->data, s->bytes) == 0;
}

static bool same_record(const gm_record *a, const gm_record *b) {
    bool same = a->has_step == b->has_step && a->step == b->step && a->rows == b->rows &&
                a->tensor_count == b->tensor_count && a->scalar_count == b->scalar_count &&
                gm_value_equal(a->info, b->info);
    for (size_t i = 0; same && i < a->tensor_count; i++) same = same_tensor(&a->tensors[i], &b->tensors[i]);
    for (size_t i = 0; same && i < a->scalar_count; i++)
        same = strcmp(a->scalars[i].name, b->scalars[i].name) == 0 && a->scalars[i].value == b->scalars[i].value;
    return same;
}

static uint32_t noise_state = 1;
static void *put_noise(gm_record *r, const char *name, gm_type type, unsigned rank, const size_t *shape) {
    gm_tensor *t = gm_record_put(r, name, type, rank, shape, &e);
    CHECK(t);
    for (size_t i = 0; t && i < t->bytes; i++) {
        noise_state = noise_state * 1664525 + 1013904223;
        ((unsigned char *)t->data)[i] = (unsigned char)(noise_state >> 24);
    }
    return t ? t->data : NULL;
}

/* Every type in every rank, and sizes about the borders of blocks. */
static gm_record *make_full_record(void) {
    gm_record *r = gm_record_new(&e);
    char name[32];
    static const size_t shape[GM_RANK_MAX] = {2, 3, 1, 2, 1, 2, 1, 3};
    static const size_t borders[] = {0, 1, 1023, 1024, 1025, 4095, 4096, 4097, 131071, 131072, 131073, 300000};
    for (gm_type type = GM_F4; type <= GM_I8; type++)
        for (unsigned rank = 0; rank <= GM_RANK_MAX; rank++) {
            snprintf(name, sizeof name, "t/%s/%u", gm_type_text(type), rank);
            put_noise(r, name, type, rank, shape);
        }
    for (size_t i = 0; i < sizeof borders / sizeof *borders; i++) {
        snprintf(name, sizeof name, "border %zu", borders[i]);
        put_noise(r, name, GM_U1, 1, &borders[i]);
    }
    void *zeros = put_noise(r, "zeros", GM_U1, 1, (size_t[]){300000});
    memset(zeros, 0, 300000);
    r->has_step = true;
    r->step = GM_STEP_MAX;
    r->rows = 128;
    CHECK(gm_record_set_scalar(r, "loss/D", 0.1, &e) == 0 && gm_record_set_scalar(r, "loss/G", -INFINITY, &e) == 0);
    CHECK(gm_map_set(gm_record_info(r, &e), "source", gm_value_text("digits.csv")) == 0);
    CHECK(gm_map_set(gm_record_info(r, &e), "steps", gm_value_int(20000)) == 0);
    return r;
}

static int write_records(int fd, int level, const gm_record *r, int count) {
    gm_writer *w = gm_writer_new(fd, "out", level, &e);
    int status = w ? 0 : -1;
    for (int i = 0; status == 0 && i < count; i++) status = gm_writer_put(w, r, &e);
    if (status == 0) status = gm_writer_finish(w, &e);
    gm_writer_free(w);
    return status;
}

static const int levels[] = {GM_LEVEL_STORE, -7, 1, 3, 19};

static void test_round_trips(void) {
    gm_record *r = make_full_record(), *back = gm_record_new(&e);
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        int fd = memfd_create("stream", 0);
        CHECK(write_records(fd, levels[i], r, 3) == 0);
        CHECK(lseek(fd, 0, SEEK_SET) == 0);
        CHECK(read_all(fd, GM_MAX_TENSOR_DEFAULT, back) == 3);
        CHECK(same_record(r, back));
    }
    gm_record_free(r);
    gm_record_free(back);
}

/* Stored content of exactly so many blocks; the record's own bytes shift the borders. */
static void test_block_borders(void) {
    gm_record *r = gm_record_new(&e), *back = gm_record_new(&e);
    for (size_t n = 2 * 131072 - 80; n < 2 * 131072 + 8; n++) {
        gm_record_clear(r);
        put_noise(r, "x", GM_U1, 1, &n);
        int fd = memfd_create("stream", 0);
        CHECK(write_records(fd, GM_LEVEL_STORE, r, 1) == 0);
        CHECK(lseek(fd, 0, SEEK_SET) == 0);
        CHECK(read_all(fd, GM_MAX_TENSOR_DEFAULT, back) == 1 && same_record(r, back));
    }
    gm_record_free(r);
    gm_record_free(back);
}

/* What libzstd says of our frames: content size, checksum, and the same content at any level. */
static void test_frames_are_zstd(void) {
    gm_record *r = make_full_record();
    static unsigned char bytes[1 << 21], plain[1 << 21];
    size_t first_total = 0;
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        int fd = memfd_create("stream", 0);
        CHECK(write_records(fd, levels[i], r, 1) == 0 && lseek(fd, 0, SEEK_SET) == 0);
        long n = gm_read_all(fd, bytes, sizeof bytes);
        close(fd);
        CHECK(n > 0);
        size_t frame = ZSTD_findFrameCompressedSize(bytes, (size_t)n);
        CHECK(!ZSTD_isError(frame) && frame < (size_t)n && (bytes[4] & 4));
        size_t total = ZSTD_decompress(plain, sizeof plain, bytes, frame);
        CHECK(!ZSTD_isError(total) && total == ZSTD_getFrameContentSize(bytes, frame) && plain[0] == 0x86);
        if (i == 0) first_total = total;
        CHECK(total == first_total);
        bytes[frame / 2] ^= 1;
        CHECK(ZSTD_isError(ZSTD_decompress(plain, sizeof plain, bytes, frame)));
    }
    gm_record_free(r);
}

/* The same memory for every record: nothing is allocated once the first has been read. */
static void test_steady_memory(void) {
    gm_record *r = make_full_record(), *back = gm_record_new(&e);
    int fd = memfd_create("stream", 0);
    CHECK(write_records(fd, GM_LEVEL_STORE, r, 6) == 0 && lseek(fd, 0, SEEK_SET) == 0);
    gm_reader *reader = gm_reader_new(fd, "f", GM_MAX_TENSOR_DEFAULT, &e);
    CHECK(gm_reader_next(reader, back, &e) == 1);
    CHECK(gm_reader_next(reader, back, &e) == 1);
    void *big = gm_record_tensor(back, "border 300000")->data;
    for (int i = 0; i < 4; i++) {
        CHECK(gm_reader_next(reader, back, &e) == 1 && back->spare_count == 0);
        void *now = gm_record_tensor(back, "border 300000")->data;
        CHECK(now == big || now == gm_record_tensor(back, "zeros")->data || same_record(r, back));
    }
    gm_reader_free(reader);
    close(fd);
    gm_record_free(r);
    gm_record_free(back);
}

/* ---- other ways a stream may come ---- */

static void test_raw_msgpack(void) {
    gm_record *last = gm_record_new(&e);
    add_plain_record();
    add_plain_record();
    add_end(2);
    CHECK(read_made(last) == 2 && last->tensor_count == 1 && last->rows == 2 && !last->has_step);
    gm_tensor *t = gm_record_tensor(last, "x");
    CHECK(t && t->type == GM_F4 && t->rank == 2 && t->shape[0] == 2 && t->shape[1] == 3 && t->bytes == 24);
    CHECK(t && ((unsigned char *)t->data)[23] == 23);
    gm_record_free(last);
}

static void test_fields_in_any_order(void) {
    static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (int i = 0; i < 6; i++) {
        gm_record *last = gm_record_new(&e);
        add_map(5);
        add_text("tensors");
        add_map(1);
        add_number(0xC4, 1, 1); /* names and keys as bin */
        add("x", 1);
        add_map(6);
        for (int k = 0; k < 3; k++) {
            if (orders[i][k] == 0) {
                add_number(0xC4, 4, 1);
                add("type", 4);
                add_number(0xC4, 3, 1);
                add("<f4", 3);
            }
            if (orders[i][k] == 1) add_shape(2, 3);
            if (orders[i][k] == 2) add_data(24);
        }
        add_text("kind");
        add_number(0xC4, 0, 1);
        add_text("nd");
        add_byte(0xC3);
        add_text("a key that nobody knows and that is longer than any name may be: it is read past");
        add_map(1);
        add_array(1);
        add_byte(0xD4);
        add_byte(1);
        add_byte(2);
        add_number(0xC7, 3, 1);
        add("?abc", 4);
        add_text("rows");
        add_byte(2);
        add_text("unknown");
        add_array(2);
        add_byte(0xC0);
        add_text("ignored");
        add_text("info");
        add_byte(0xC0);
        add_text("gm");
        add_byte(1);
        add_end(1);
        CHECK(read_made(last) == 1 && last->tensor_count == 1 && !last->info);
        gm_tensor *t = gm_record_tensor(last, "x");
        CHECK(t && t->count == 6 && ((unsigned char *)t->data)[23] == 23);
        gm_record_free(last);
    }
}

static void test_concatenation(void) {
    gm_record *last = gm_record_new(&e);
    add_plain_record();
    add_end(1);
    size_t start = made_size;
    add_plain_record();
    make_frame(start, true, true, 0);
    add("\x50\x2A\x4D\x18\x05\x00\x00\x00hello", 13);
    start = made_size;
    add_plain_record();
    make_frame(start, false, true, 0);
    start = made_size;
    add_end(2);
    make_frame(start, true, true, 0);
    CHECK(read_made(last) == 3 && last->tensor_count == 1);
    gm_record_free(last);
    add_end(0);
    CHECK(read_made(NULL) == 0);
    add_end(0);
    add_end(0);
    CHECK(read_made(NULL) == 0);
}

static void interrupt(int number) {
    (void)number;
}

/* Through a pipe whose writer is slow, with signals all the while. */
static void check_pipe(int level, size_t chunk, size_t bytes_of_tensor, int flags) {
    gm_record *r = gm_record_new(&e), *back = gm_record_new(&e);
    put_noise(r, "x", GM_U1, 1, &bytes_of_tensor);
    int ends[2], file = memfd_create("stream", 0);
    if (write_records(file, level, r, 2) != 0 || pipe(ends) != 0) exit(1);
    pid_t child = fork();
    if (child == 0) {
        static char buffer[1 << 16];
        ssize_t n;
        close(ends[0]);
        if (lseek(file, 0, SEEK_SET) != 0) _exit(1);
        usleep(10000); /* let the reader wait and be interrupted */
        while ((n = read(file, buffer, chunk)) > 0)
            if (gm_write_all(ends[1], buffer, (size_t)n) != 0) _exit(1);
        _exit(n != 0);
    }
    close(ends[1]);
    close(file);
    CHECK(fcntl(ends[0], F_SETFL, flags) == 0);
    CHECK(read_all(ends[0], GM_MAX_TENSOR_DEFAULT, back) == 2 && same_record(r, back));
    int status = 1;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    CHECK(status == 0);
    gm_record_free(r);
    gm_record_free(back);
}

static void test_slow_pipes(void) {
    struct sigaction action = {.sa_handler = interrupt}; /* and stays: one may be under way */
    struct itimerval often = {{0, 2000}, {0, 2000}}, never = {0};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &often, NULL) == 0);
    for (size_t i = 0; i < 3; i++) { /* not the slow levels */
        check_pipe(levels[i], 1, 3000, 0);
        check_pipe(levels[i], 1, 3000, O_NONBLOCK);
        check_pipe(levels[i], 777, 400000, 0);
        check_pipe(levels[i], 1 << 16, 5000000, O_NONBLOCK);
    }
    CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
}

/* Signals while a full pipe makes the writer wait. */
static void check_slow_reader(int flags) {
    struct sigaction action = {.sa_handler = interrupt}; /* and stays: one may be under way */
    struct itimerval often = {{0, 1000}, {0, 1000}}, never = {0};
    gm_record *r = gm_record_new(&e);
    put_noise(r, "x", GM_U1, 1, (size_t[]){3000000});
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        gm_record *back = gm_record_new(&e);
        close(ends[1]);
        usleep(20000);
        bool good = read_all(ends[0], GM_MAX_TENSOR_DEFAULT, back) == 3 && same_record(r, back);
        gm_record_free(back);
        gm_record_free(r);
        _exit(!good);
    }
    close(ends[0]);
    CHECK(fcntl(ends[1], F_SETFL, flags) == 0);
    CHECK(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &often, NULL) == 0);
    CHECK(write_records(ends[1], GM_LEVEL_STORE, r, 3) == 0);
    close(ends[1]);
    CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
    int status = 1;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    CHECK(status == 0);
    gm_record_free(r);
}

static void test_slow_reader(void) {
    check_slow_reader(0);
    check_slow_reader(O_NONBLOCK);
}

/* ---- refusals ---- */

static void test_no_stream(void) {
    add("p00,p01,p02\n1,2,3\n", 18);
    refused("standard input: not a gm stream (it begins with 'p00,p01')");
    add("x\n", 2);
    refused("standard input: not a gm stream (it begins with 'x')");
    add("\x1F\x8B\x08\x00", 4);
    refused("standard input: not a gm stream (it begins with byte 1f)");
    refused("standard input: empty: no records and no end record");
    add("\x50\x2A\x4D\x18\x00\x00\x00\x00", 8);
    refused("standard input: empty: no records and no end record");
    add_plain_record();
    add("zz", 2);
    refused("standard input: record 1: neither a frame nor a map (it begins with 'zz'");
    add_end(0);
    add_byte(0);
    refused("standard input: record 0: neither a frame nor a map (it begins with byte 00)");
    int fd = open("/", O_RDONLY);
    CHECK(read_all(fd, 1 << 20, NULL) == -1 && strstr(e.text, "cannot read: Is a directory"));
    CHECK(!gm_stream_magic((const unsigned char *)"p00,", 4) && !gm_stream_magic(NULL, 0));
    CHECK(gm_stream_magic((const unsigned char *)"\x84", 1) && gm_stream_magic((const unsigned char *)"\xDE", 1));
    CHECK(gm_stream_magic((const unsigned char *)"\x28\xB5\x2F\xFD", 4));
    CHECK(gm_stream_magic((const unsigned char *)"\x5F\x2A\x4D\x18", 4));
    CHECK(!gm_stream_magic((const unsigned char *)"\x28\xB5\x2F", 3));
}

static void test_bad_records(void) {
    add_map(1);
    add_text("a");
    add_uint(1);
    refused("standard input: record 0: the map has no format version 'gm'");
    add_map(1);
    add_text("gm");
    add_uint(2);
    refused("standard input: record 0: format version 2; this program reads version 1");
    add_map(1);
    add_text("gm");
    add_text("1");
    refused("standard input: record 0: the format version 'gm' is not a whole number");
    add_map(1);
    add_text("gm");
    add_uint(1);
    refused("standard input: record 0: the record has no 'rows'");
    add_plain_record();
    add_start(3);
    add_text("rows");
    refused("standard input: record 1: 'rows' twice");
    add_map(1);
    add_text("rows");
    add_uint(UINT64_C(1) << 31);
    refused("standard input: record 0: 'rows' is 2147483648, above the limit");
    add_map(1);
    add_text("rows");
    add_byte(0xFF);
    refused("standard input: record 0: 'rows' is not a whole number");
    add_start(3);
    add_text("step");
    add_uint(GM_STEP_MAX + 1);
    refused("standard input: record 0: 'step' is 281474976710657, above the limit");
    add_map(1);
    add_uint(5);
    refused("standard input: not a gm stream (it begins with byte 81)");
    add_map(2);
    add_text("gm");
    add_uint(1);
    add_uint(5);
    refused("standard input: record 0: a key is not text");
    add_start(3);
    add_text("u");
    add_byte(0xC1);
    refused("standard input: record 0: byte c1 begins nothing in msgpack");
    add_start(3);
    add_text("u");
    for (int i = 0; i < GM_DEPTH_MAX + 1; i++) add_array(1);
    refused("standard input: record 0: nested over 16 levels deep");
}

static void test_bad_info_and_scalars(void) {
    add_start(3);
    add_text("info");
    add_uint(5);
    refused("standard input: record 0: 'info' is not a map");
    add_start(3);
    add_text("info");
    for (int i = 0; i < GM_DEPTH_MAX + 1; i++) {
        add_map(1);
        add_text("k");
    }
    refused("standard input: record 0: info: nested over 16 levels deep");
    add_start(3);
    add_text("info");
    add_map(1);
    add_text("k");
    add_bin(1 << 20);
    refused("standard input: record 0: info: larger than what is accepted");
    add_start(3);
    add_text("info");
    add_map(1);
    add_text("k");
    add_number(0xDD, 200000, 4);
    for (int i = 0; i < 200000; i++) add_byte(0xC0);
    refused("standard input: record 0: info: larger than what is accepted");
    add_start(3);
    add_text("scalars");
    add_array(0);
    refused("standard input: record 0: 'scalars' is not a map");
    add_start(3);
    add_text("scalars");
    add_number(0xDF, GM_SCALARS_MAX + 1, 4);
    refused("standard input: record 0: 'scalars': 4097 entries, above the limit of 4096");
    add_start(3);
    add_text("scalars");
    add_map(1);
    add_text("s");
    add_text("1");
    refused("standard input: record 0: scalar 's': not a number");
    add_start(3);
    add_text("scalars");
    add_map(2);
    add_text("s");
    add_uint(1);
    add_text("s");
    add_uint(1);
    refused("standard input: record 0: scalar 's': twice");
    add_start(3);
    add_text("scalars");
    add_map(1);
    add_text("");
    refused("standard input: record 0: the name of a scalar is empty");
}

/* A record whose tensor 'x' has so many fields, which follow. */
static void add_tensor_start(unsigned fields) {
    add_start(3);
    add_text("tensors");
    add_map(1);
    add_text("x");
    add_map(fields);
}

static void test_bad_tensor_fields(void) {
    static const char *const types[] = {"<f2", ">f4", "f4", "", "<c8", NULL};
    for (size_t i = 0; types[i]; i++) {
        char message[128];
        add_tensor_start(3);
        add_type(types[i]);
        snprintf(message, sizeof message, "standard input: record 0: tensor 'x': type '%s' is not one of", types[i]);
        refused(message);
    }
    add_tensor_start(1);
    add_text("type");
    add_array(0);
    refused("standard input: record 0: tensor 'x': its type is not text");
    add_tensor_start(1);
    add_text("nd");
    add_byte(0xC2);
    refused("standard input: record 0: tensor 'x': its 'nd' is not true");
    add_tensor_start(1);
    add_text("kind");
    add_text("V");
    refused("standard input: record 0: tensor 'x': its 'kind' is not empty");
    add_tensor_start(1);
    add_text("data");
    add_text("abcd");
    refused("standard input: record 0: tensor 'x': its data is not bin");
    add_tensor_start(1);
    add_text("shape");
    add_uint(4);
    refused("standard input: record 0: tensor 'x': its shape is not an array");
    add_tensor_start(1);
    add_text("shape");
    add_array(1);
    add_byte(0xFF);
    refused("standard input: record 0: tensor 'x': an axis of its shape is not a whole number");
    add_tensor_start(2);
    add_type("<f4");
    add_type("<f4");
    refused("standard input: record 0: tensor 'x': 'type' twice");
    add_tensor_start(2);
    add_data(4);
    add_data(4);
    refused("standard input: record 0: tensor 'x': 'data' twice");
    add_tensor_start(2);
    add_type("<f4");
    add_data(4);
    refused("standard input: record 0: tensor 'x': it has no 'shape'");
    add_tensor_start(2);
    add_shape(1, 1);
    add_data(4);
    refused("standard input: record 0: tensor 'x': it has no 'type'");
    add_tensor_start(2);
    add_shape(1, 1);
    add_type("<f4");
    refused("standard input: record 0: tensor 'x': it has no 'data'");
    add_tensor_start(0);
    refused("standard input: record 0: tensor 'x': it has no 'type'");
}

static void test_bad_tensor_sizes(void) {
    add_tensor_start(3);
    add_text("shape");
    add_array(9);
    refused("standard input: record 0: tensor 'x': rank 9, above 8");
    add_tensor_start(3);
    add_shape(SIZE_MAX / 2, 3);
    add_type("<f4");
    refused("standard input: record 0: tensor 'x': the product of its shape overflows");
    add_tensor_start(3);
    add_type("<f4");
    add_shape(0, SIZE_MAX);
    refused("standard input: record 0: tensor 'x': the product of its shape overflows");
    add_tensor_start(3);
    add_type("<f4");
    add_shape(1, (1 << 18) + 1);
    refused("standard input: record 0: tensor 'x': 1048580 bytes, above the limit of 1048576");
    add_tensor_start(3);
    add_text("data");
    add_number(0xC6, (1 << 20) + 1, 4);
    refused("standard input: record 0: tensor 'x': 1048577 bytes, above the limit of 1048576");
    add_tensor_start(3);
    add_type("<f4");
    add_shape(2, 3);
    add_data(20);
    refused("standard input: record 0: tensor 'x': 20 bytes of data, but shape 2×3 of <f4 has 24");
    add_tensor_start(3);
    add_data(28);
    add_type("<f4");
    add_shape(2, 3);
    refused("standard input: record 0: tensor 'x': 28 bytes of data, but shape 2×3 of <f4 has 24");
}

static void test_bad_tensor_names(void) {
    char name[GM_NAME_MAX + 2];
    memset(name, 'n', sizeof name);
    name[GM_NAME_MAX + 1] = '\0';
    add_start(3);
    add_text("tensors");
    add_map(1);
    add_text(name);
    refused("standard input: record 0: the name of a tensor 'nnnn");
    add_start(3);
    add_text("tensors");
    add_map(1);
    add_text("");
    refused("standard input: record 0: the name of a tensor is empty");
    add_start(3);
    add_text("tensors");
    add_map(1);
    add_number(0xD9, 3, 1);
    add("a\0b", 3);
    refused("standard input: record 0: the name of a tensor 'a...' has a NUL in it");
    add_start(3);
    add_text("tensors");
    add_map(1);
    add_text("a\tb");
    add_plain_tensor();
    refused("standard input: record 0: tensor 'a?b': the name has control characters");
    add_start(3);
    add_text("tensors");
    add_map(1);
    add_uint(5);
    refused("standard input: record 0: the name of a tensor is not text");
    add_start(3);
    add_text("tensors");
    add_map(2);
    add_text("x");
    add_plain_tensor();
    add_text("x");
    refused("standard input: record 0: tensor 'x': twice in the record");
    add_start(3);
    add_text("tensors");
    add_number(0xDE, GM_TENSORS_MAX + 1, 2);
    refused("standard input: record 0: 'tensors': 4097 entries, above the limit of 4096");
    add_start(3);
    add_text("tensors");
    add_array(0);
    refused("standard input: record 0: 'tensors' is not a map");
    add_start(3);
    add_text("tensors");
    add_map(1);
    add_text("x");
    add_array(0);
    refused("standard input: record 0: tensor 'x': it is not a map");
}

static void test_bad_ends(void) {
    add_plain_record();
    add_end(2);
    refused("standard input: record 1: the end record counts 2 records, but there were 1");
    add_plain_record();
    add_end(1);
    add_plain_record();
    add_end(2);
    refused("standard input: record 2: the end record counts 2 records, but there were 1");
    for (int i = 0; i < 12; i++) add_plain_record();
    refused("standard input: stream cut off after record 11 (no end record)");
    add_plain_record();
    add_end(1);
    add_plain_record();
    refused("standard input: stream cut off after record 1 (no end record)");
    add_map(2);
    add_text("gm");
    add_uint(1);
    add_text("end");
    add_byte(0xC3);
    refused("standard input: record 0: an end record that has no 'records'");
    add_map(1);
    add_text("end");
    add_uint(1);
    refused("standard input: record 0: 'end' is neither true nor false");
    add_start(5);
    add_text("end");
    add_byte(0xC3);
    add_text("records");
    add_uint(0);
    add_text("tensors");
    add_map(1);
    add_text("x");
    add_plain_tensor();
    refused("standard input: record 0: an end record with tensors");
}

static void test_bad_frames(void) {
    add_plain_record();
    make_frame(0, true, false, 0);
    refused("standard input: record 0: the zstd frame does not declare its content's size");
    add_plain_record();
    add_byte(0);
    make_frame(0, true, true, 0);
    refused("standard input: record 0: 1 bytes behind the map");
    add_plain_record();
    made_size--;
    make_frame(0, true, true, 0);
    refused("standard input: record 0: tensor 'x': the frame's content ends before its map does");
    add_uint(5);
    make_frame(0, true, true, 0);
    refused("standard input: record 0: the frame's content is not a map");
    make_frame(0, true, true, 0);
    refused("standard input: record 0: the frame's content ends before its map does");
    add_plain_record();
    make_frame(0, true, true, 0);
    made[made_size - 1] ^= 1;
    refused("standard input: record 0: the zstd frame is damaged: its content does not have its checksum");
    add_plain_record();
    make_frame(0, false, true, 0);
    made[5] ^= 1; /* the content size */
    refused("standard input: record 0: ");
    add("\x28\xB5\x2F\xFD\x25\x01\x00\x00", 8);
    refused("standard input: record 0: the zstd frame needs a dictionary");
    add("\x28\xB5\x2F\xFD\x2C\x01\x00\x00", 8);
    refused("standard input: record 0: a zstd frame of an unknown kind");
    add("\x28\xB5\x2F\xFD\x84\x69\x00\x00\x01\x00", 10);
    refused("standard input: record 0: the zstd frame's window is above 8 MiB");
    add("\x28\xB5\x2F\xFD\xA4\x01\x00\x80\x00", 9);
    refused("standard input: record 0: the zstd frame's window is above 8 MiB");
    add("\x50\x2A\x4D\x18\x01\x00\x00\x01", 8);
    refused("standard input: record 0: skippable frames of more than 16 MiB in a row");
    add_plain_record();
    add("\x50\x2A\x4D\x18\x01\x00\x00\x00", 8);
    refused("standard input: stream cut off in record 1");
}

/* A stored frame by hand: header, blocks. */
static void add_stored(uint64_t content) {
    add("\x28\xB5\x2F\xFD\xC4\x38", 6);
    for (int i = 0; i < 8; i++) add_byte((unsigned)(content >> (8 * i)) & 0xFF);
}
static void add_block(unsigned kind, size_t size) {
    size_t header = size << 3 | kind;
    for (int i = 0; i < 3; i++) add_byte((unsigned)(header >> (8 * i)) & 0xFF);
}

static void test_bad_stored_frames(void) {
    add_stored(100);
    add_block(2, 10);
    refused("standard input: record 0: the zstd frame is damaged: a compressed block after");
    add_stored(1 << 20);
    add_block(1, (1 << 17) + 1);
    refused("standard input: record 0: the zstd frame is damaged: a block of more than 128 KiB");
    add_stored(10);
    add_block(1, 11);
    refused("standard input: record 0: the zstd frame is damaged: its content is longer than declared");
    add_stored(10);
    add_block(0, 0);
    refused("standard input: record 0: the zstd frame is damaged: an empty block");
    add_stored(10);
    add_block(1, 1);
    add_map(1);
    refused("standard input: record 0: the zstd frame is damaged: its content is shorter than declared");
    add_stored(1);
    add_block(1, 1);
    add_map(0);
    add("1234", 4);
    refused("standard input: record 0: the zstd frame is damaged: its content does not have its checksum");
    add_stored(1);
    add_block(0, 1);
    add_map(0);
    add_block(1, 1);
    refused("standard input: record 0: the zstd frame is damaged: its content is longer than declared");
}

/* Cut after any byte, a stream is never taken for a whole one, and every record that is told was whole. */
static void check_cuts(const unsigned char *bytes, size_t n) {
    for (size_t cut = 0; cut < n && !check_failed; cut++) {
        int fd = make_file(bytes, cut);
        CHECK(read_all(fd, 1 << 20, NULL) == -1);
        CHECK(strstr(e.text, cut ? "cut off" : "empty"));
    }
}

/* With any one bit wrong, what is told as a record is the record that was written. */
static void check_flips(const unsigned char *bytes, size_t n, const gm_record *wanted) {
    unsigned char damaged[4096];
    for (size_t bit = 0; bit < 8 * n; bit++) {
        memcpy(damaged, bytes, n);
        damaged[bit / 8] ^= (unsigned char)(1 << bit % 8);
        int fd = make_file(damaged, n);
        gm_record *record = gm_record_new(&e);
        gm_reader *reader = gm_reader_new(fd, "f", 1 << 20, &e);
        while (gm_reader_next(reader, record, &e) == 1) CHECK(same_record(wanted, record));
        gm_reader_free(reader);
        gm_record_free(record);
        close(fd);
    }
}

static void test_cuts_and_flips(void) {
    gm_record *r = gm_record_new(&e);
    put_noise(r, "x", GM_F4, 2, (size_t[]){4, 5});
    memset(put_noise(r, "zeros", GM_F4, 2, (size_t[]){4, 50}), 0, 800);
    CHECK(gm_map_set(gm_record_info(r, &e), "a", gm_value_text("b")) == 0);
    CHECK(gm_record_set_scalar(r, "s", 1, &e) == 0);
    static const int some[] = {GM_LEVEL_STORE, 3};
    for (size_t i = 0; i < 2; i++) {
        unsigned char bytes[4096];
        int fd = memfd_create("stream", 0);
        CHECK(write_records(fd, some[i], r, 1) == 0 && lseek(fd, 0, SEEK_SET) == 0);
        long n = gm_read_all(fd, bytes, sizeof bytes);
        close(fd);
        CHECK(n > 0 && n < 4096);
        check_cuts(bytes, (size_t)n);
        check_flips(bytes, (size_t)n, r);
    }
    gm_record_free(r);
    add_plain_record();
    add_end(1);
    unsigned char raw[512];
    size_t n = made_size;
    memcpy(raw, made, n);
    made_size = 0;
    check_cuts(raw, n);
}

/* ---- memory ---- */

/* What a few bytes claim is not allocated: with 48 MiB of address space left these fail for want of data. */
static void try_in_little_memory(const char *message) {
    int fd = make_file(made, made_size);
    made_size = 0;
    pid_t child = fork();
    if (child == 0) {
#ifndef __SANITIZE_ADDRESS__
        FILE *statm = fopen("/proc/self/statm", "r");
        unsigned long pages = 0;
        if (!statm || fscanf(statm, "%lu", &pages) != 1) _exit(2);
        fclose(statm);
        rlim_t bytes = pages * (rlim_t)sysconf(_SC_PAGESIZE) + ((rlim_t)48 << 20);
        if (setrlimit(RLIMIT_AS, &(struct rlimit){bytes, bytes}) != 0) _exit(3);
#endif
        gm_record *record = gm_record_new(&e);
        gm_reader *reader = gm_reader_new(fd, "f", SIZE_MAX, &e);
        bool good = reader && record && gm_reader_next(reader, record, &e) == -1 && strstr(e.text, message);
        if (!good) printf("# '%s', not '%s'\n", e.text, message);
        fflush(stdout);
        gm_reader_free(reader);
        gm_record_free(record);
        _exit(!good);
    }
    int status = 1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    close(fd);
}

static void test_memory_is_bounded(void) {
    add_tensor_start(3);
    add_type("|u1");
    add_shape(1, 0xFFFFFFFF);
    add_text("data");
    add_number(0xC6, 0xFFFFFFFF, 4);
    try_in_little_memory("cut off in record 0");
    add_tensor_start(3);
    add_text("data");
    add_number(0xC6, 0xFFFFFFFF, 4);
    add_bin(3 << 20);
    try_in_little_memory("cut off in record 0");
    size_t start = made_size;
    add_tensor_start(3);
    add_text("data");
    add_number(0xC6, 0xFFFFFFFF, 4);
    add_bin(1 << 20);
    make_frame(start, true, true, 0);
    try_in_little_memory("tensor 'x': the frame's content ends before its map does");
    add_stored(UINT64_C(0xFFFFFFF0)); /* the content size lies, too */
    add_block(0, 200);
    add_tensor_start(3);
    add_text("data");
    add_number(0xC6, 0xF0000000, 4);
    add_bin(1000);
    try_in_little_memory("record 0");
    add_start(3);
    add_text("u");
    add_number(0xDD, 0xFFFFFFFF, 4);
    try_in_little_memory("cut off in record 0");
    add_number(0xDF, 0xFFFFFFFF, 4);
    try_in_little_memory("cut off in record 0");
    add_start(3);
    add_text("info");
    add_map(1);
    add_text("k");
    add_number(0xDD, 0xFFFFFFFF, 4);
    try_in_little_memory("cut off in record 0");
    add_start(3);
    add_number(0xDB, 0xFFFFFFFF, 4);
    try_in_little_memory("cut off in record 0");
}

/* ---- writing ---- */

static void test_writer_errors(void) {
    gm_record *r = gm_record_new(&e);
    put_noise(r, "x", GM_U1, 1, (size_t[]){1000});
    int fd = open("/dev/full", O_WRONLY);
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        gm_writer *w = gm_writer_new(fd, "full", levels[i], &e);
        CHECK(gm_writer_put(w, r, &e) == -1 && !gm_writer_broken(w));
        CHECK_TEXT(e.text, "full: cannot write: No space left on device");
        CHECK(gm_writer_put(w, r, &e) == -1 && strstr(e.text, "failed before"));
        CHECK(gm_writer_finish(w, &e) == -1);
        gm_writer_free(w);
    }
    close(fd);
    int ends[2];
    CHECK(pipe(ends) == 0);
    gm_writer *w = gm_writer_new(ends[1], "pipe", GM_LEVEL_STORE, &e);
    CHECK(gm_writer_put(w, r, &e) == 0 && !gm_writer_broken(w));
    close(ends[0]);
    CHECK(gm_writer_put(w, r, &e) == -1 && gm_writer_broken(w));
    CHECK_TEXT(e.text, "pipe: cannot write: Broken pipe");
    gm_writer_free(w);
    close(ends[1]);
    gm_record_free(r);
}

static void test_writer_order(void) {
    gm_record *r = gm_record_new(&e);
    int fd = open("/dev/null", O_WRONLY);
    gm_writer *w = gm_writer_new(fd, "null", GM_LEVEL_STORE, &e);
    CHECK(gm_writer_put(w, r, &e) == 0 && gm_writer_finish(w, &e) == 0);
    CHECK(gm_writer_put(w, r, &e) == -1 && strstr(e.text, "end record already"));
    CHECK(gm_writer_finish(w, &e) == -1);
    gm_writer_free(w);
    w = gm_writer_new(fd, "null", 1, &e);
    static char long_text[(1 << 20) + 1];
    memset(long_text, 'a', 1 << 20);
    CHECK(gm_map_set(gm_record_info(r, &e), "k", gm_value_text(long_text)) == 0);
    CHECK(gm_writer_put(w, r, &e) == -1 && strstr(e.text, "null: record 0: info: above 1 MiB"));
    gm_record_clear(r);
    CHECK(gm_writer_put(w, r, &e) == 0);
    gm_writer_free(w);
    close(fd);
    gm_record_free(r);
}

static void test_levels(void) {
    int level = 99, ends[2], file = memfd_create("f", 0);
    CHECK(pipe(ends) == 0 && unsetenv("GM_LEVEL") == 0);
    CHECK(gm_level_for(file, &level, &e) == 0 && level == 3);
    CHECK(gm_level_for(ends[1], &level, &e) == 0 && level == GM_LEVEL_STORE);
    static const struct {
        const char *text;
        int level;
    } good[] = {{"store", GM_LEVEL_STORE}, {"-7", -7}, {"0", 0}, {"19", 19}, {"", 3}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(setenv("GM_LEVEL", good[i].text, 1) == 0 && gm_level_for(file, &level, &e) == 0 &&
              level == good[i].level);
    static const char *const bad[] = {"20", "-8", "fast", "3 ", "+3", "-", NULL};
    for (size_t i = 0; bad[i]; i++)
        CHECK(setenv("GM_LEVEL", bad[i], 1) == 0 && gm_level_for(file, &level, &e) == -1 && e.usage);
    CHECK(unsetenv("GM_LEVEL") == 0);
    close(file);
    close(ends[0]);
    close(ends[1]);
}

/* ---- outputs under a temporary name ---- */

static char directory[64];

static const char *path_of(const char *name) {
    static char paths[16][128];
    static int next;
    char *path = paths[next++ % 16];
    snprintf(path, 128, "%s/%s", directory, name);
    return path;
}

static bool has_content(const char *path, const char *wanted) {
    char got[100] = "";
    int fd = open(path, O_RDONLY);
    bool same = fd >= 0 && gm_read_all(fd, got, sizeof got - 1) >= 0 && strcmp(got, wanted) == 0;
    if (fd >= 0) close(fd);
    return same;
}

static void test_output(void) {
    gm_output o, other;
    struct stat status;
    const char *path = path_of("file"), *temporary = path_of("file.tmp");
    mode_t old = umask(027);
    CHECK(gm_output_open(&o, path, &e) == 0 && gm_write_all(o.fd, "one", 3) == 0);
    CHECK(access(path, F_OK) != 0 && access(temporary, F_OK) == 0);
    CHECK(gm_output_open(&other, path, &e) == -1 && strstr(e.text, "another process is writing"));
    CHECK(access(temporary, F_OK) == 0);
    CHECK(gm_output_commit(&o, &e) == 0 && has_content(path, "one") && access(temporary, F_OK) != 0);
    CHECK(stat(path, &status) == 0 && (status.st_mode & 0777) == 0640);
    umask(old);
    gm_output_abandon(&o);
    CHECK(gm_output_open(&o, path, &e) == 0 && gm_write_all(o.fd, "two", 3) == 0);
    gm_output_abandon(&o);
    CHECK(has_content(path, "one") && access(temporary, F_OK) != 0);
    int stale = open(temporary, O_CREAT | O_WRONLY, 0600); /* of a writer that was killed */
    CHECK(stale >= 0 && gm_write_all(stale, "stale and long", 14) == 0);
    close(stale);
    CHECK(symlink(path, path_of("link")) == 0 && gm_output_open(&o, path_of("link"), &e) == 0);
    CHECK(gm_write_all(o.fd, "three", 5) == 0 && gm_output_commit(&o, &e) == 0 && has_content(path, "three"));
    CHECK(lstat(path_of("link"), &status) == 0 && S_ISLNK(status.st_mode));
    CHECK(unlink(path_of("link")) == 0 && unlink(path) == 0);
}

static void test_special_outputs(void) {
    gm_output o;
    struct stat status;
    CHECK(gm_output_open(&o, "/dev/null", &e) == 0 && gm_write_all(o.fd, "x", 1) == 0 && gm_output_commit(&o, &e) == 0);
    CHECK(stat("/dev/null", &status) == 0 && S_ISCHR(status.st_mode));
    CHECK(gm_output_open(&o, directory, &e) == -1 && strstr(e.text, "is a directory"));
    CHECK(gm_output_open(&o, path_of("none/file"), &e) == -1 && strstr(e.text, "No such file"));
    gm_output none = {0};
    gm_output_abandon(&none);
    CHECK(fcntl(0, F_GETFD) >= 0 || errno == EBADF);
}

static void test_save(void) {
    gm_record *r = make_full_record(), *back = gm_record_new(&e);
    const char *path = path_of("saved.gms");
    CHECK(gm_stream_save(path, r, &e) == 0);
    CHECK(read_all(open(path, O_RDONLY), GM_MAX_TENSOR_DEFAULT, back) == 1 && same_record(r, back));
    CHECK(gm_stream_save(path_of("none/file"), r, &e) == -1);
    CHECK(setenv("GM_LEVEL", "x", 1) == 0 && gm_stream_save(path, r, &e) == -1 && unsetenv("GM_LEVEL") == 0);
    CHECK(access(path_of("saved.gms.tmp"), F_OK) != 0 && unlink(path) == 0);
    gm_record_free(r);
    gm_record_free(back);
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    snprintf(directory, sizeof directory, "/tmp/gm-stream-test-%ld", (long)getpid());
    if (mkdir(directory, 0700) != 0) {
        perror(directory);
        return 1;
    }
    RUN(test_round_trips);
    RUN(test_block_borders);
    RUN(test_frames_are_zstd);
    RUN(test_steady_memory);
    RUN(test_raw_msgpack);
    RUN(test_fields_in_any_order);
    RUN(test_concatenation);
    RUN(test_slow_pipes);
    RUN(test_slow_reader);
    RUN(test_no_stream);
    RUN(test_bad_records);
    RUN(test_bad_info_and_scalars);
    RUN(test_bad_tensor_fields);
    RUN(test_bad_tensor_sizes);
    RUN(test_bad_tensor_names);
    RUN(test_bad_ends);
    RUN(test_bad_frames);
    RUN(test_bad_stored_frames);
    RUN(test_cuts_and_flips);
    RUN(test_memory_is_bounded);
    RUN(test_writer_errors);
    RUN(test_writer_order);
    RUN(test_levels);
    RUN(test_output);
    RUN(test_special_outputs);
    RUN(test_save);
    rmdir(directory);
    return check_done();
}
