/* flips_test.c: a stream, a checkpoint and a model file with one bit flipped, or cut anywhere. They are refused, within
 * 2 seconds and 200 MB, or give the very values they held. GM_FLIPS=all takes every bit, not a spread of them. */
#include "data_files.h"

#include "gm/model.h"
#include "gm/schema.h"
#include "gm/stream.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include <xxhash.h>

enum { SECONDS = 2, MEGABYTES = 200 };

static gm_error e;

/* ---- files in memory ---- */

static int memory_file(void) {
    int fd = memfd_create("flips", MFD_CLOEXEC);
    if (fd < 0) exit(1);
    return fd;
}

static const char *name_of(int fd, char out[32]) {
    snprintf(out, 32, "/proc/self/fd/%d", fd);
    return out;
}

static size_t size_of(int fd) {
    off_t n = lseek(fd, 0, SEEK_END);
    if (n < 0 || lseek(fd, 0, SEEK_SET) != 0) exit(1);
    return (size_t)n;
}

static void flip(int fd, size_t bit) {
    unsigned char byte;
    if (pread(fd, &byte, 1, (off_t)(bit / 8)) != 1) exit(1);
    byte ^= (unsigned char)(1U << bit % 8);
    if (pwrite(fd, &byte, 1, (off_t)(bit / 8)) != 1) exit(1);
}

/* ---- what is attacked: 1 if its values are the same, 0 if it is refused, -1 if it gives others ---- */

typedef int attempt(int fd, void *wanted);

typedef struct tally {
    size_t same, refused;
} tally;

/* One attempt; the alarm ends the program if it takes too long. */
static void try_one(int fd, attempt *read, void *wanted, const char *what, size_t at, tally *t) {
    e.text[0] = '\0';
    alarm(SECONDS);
    int got = read(fd, wanted);
    alarm(0);
    if (got < 0) printf("# %s %zu: other values\n", what, at);
    if (got == 0 && e.text[0] == '\0') printf("# %s %zu: refused without a message\n", what, at);
    CHECK(got == 1 || (got == 0 && e.text[0] != '\0'));
    t->same += got == 1;
    t->refused += got == 0;
}

static size_t stride(size_t most) {
    const char *wanted = getenv("GM_FLIPS");
    return wanted && strcmp(wanted, "all") == 0 ? 1 : most;
}

/* A prime stride meets all bits of a byte. */
static tally every_flip(int fd, attempt *read, void *wanted, size_t step) {
    tally t = {0, 0};
    size_t bits = 8 * size_of(fd);
    CHECK(read(fd, wanted) == 1);
    for (size_t bit = 0; bit < bits; bit += stride(step)) {
        flip(fd, bit);
        try_one(fd, read, wanted, "bit", bit, &t);
        flip(fd, bit);
    }
    CHECK(read(fd, wanted) == 1);
    return t;
}

/* Cut to every length, the longest first. */
static void every_cut(int fd, attempt *read, void *wanted, size_t step) {
    tally t = {0, 0};
    for (size_t n = size_of(fd); n > 0;) {
        n -= n < stride(step) ? n : stride(step);
        if (ftruncate(fd, (off_t)n) != 0) exit(1);
        try_one(fd, read, wanted, "cut to", n, &t);
    }
    CHECK(t.same == 0 && t.refused > 0);
}

/* ---- streams ---- */

static void make_record(gm_record *r, float first) {
    const size_t shape[] = {4, 6};
    gm_record_clear(r);
    r->rows = 4;
    r->has_step = true;
    r->step = 41;
    float *x = gm_record_put_matrix(r, "x", 4, 40, &e);
    gm_tensor *y = gm_record_put(r, "y", GM_I4, 2, shape, &e);
    for (size_t i = 0; i < 160; i++) x[i] = first + (float)(i * i % 101);
    for (size_t i = 0; i < 24; i++) ((int32_t *)y->data)[i] = (int32_t)i;
    CHECK(gm_record_set_scalar(r, "loss/D", 0.25, &e) == 0);
    CHECK(gm_map_set(gm_record_info(r, &e), "source", gm_value_text("digits.csv")) == 0);
}

static bool same_record(const gm_record *a, const gm_record *b) {
    bool same = a->has_step == b->has_step && a->step == b->step && a->rows == b->rows &&
                a->tensor_count == b->tensor_count && a->scalar_count == b->scalar_count &&
                gm_value_equal(a->info, b->info);
    for (size_t i = 0; same && i < a->tensor_count; i++) {
        const gm_tensor *s = &a->tensors[i].tensor, *t = &b->tensors[i].tensor;
        same = strcmp(a->tensors[i].name, b->tensors[i].name) == 0 && s->type == t->type && s->rank == t->rank &&
               memcmp(s->shape, t->shape, s->rank * sizeof *s->shape) == 0 && memcmp(s->data, t->data, s->bytes) == 0;
    }
    for (size_t i = 0; same && i < a->scalar_count; i++)
        same = strcmp(a->scalars[i].name, b->scalars[i].name) == 0 && a->scalars[i].value == b->scalars[i].value;
    return same;
}

/* Two records and an end record. */
static int read_stream(int fd, void *wanted) {
    gm_record *r = gm_record_new(&e), **records = wanted;
    if (lseek(fd, 0, SEEK_SET) != 0) exit(1);
    gm_reader *reader = gm_reader_new(fd, "stream", GM_MAX_TENSOR_DEFAULT, &e);
    int got = 0;
    size_t count = 0;
    bool same = true;
    while (reader && (got = gm_reader_next(reader, r, &e)) == 1) {
        same = same && count < 2 && same_record(r, records[count]);
        count++;
    }
    if (got == 0) same = same && count == 2;
    gm_reader_free(reader);
    gm_record_free(r);
    return !same ? -1 : got == 0;
}

static void attack_stream(int level) {
    gm_record *records[2] = {gm_record_new(&e), gm_record_new(&e)};
    int fd = memory_file();
    gm_writer *w = gm_writer_new(fd, "stream", level, &e);
    for (int i = 0; i < 2; i++) {
        make_record(records[i], (float)i);
        CHECK(gm_writer_put(w, records[i], &e) == 0);
    }
    CHECK(gm_writer_finish(w, &e) == 0);
    gm_writer_free(w);
    tally t = every_flip(fd, read_stream, records, 3);
    CHECK(t.refused > 100 && t.same * 20 < t.refused); /* what is not used in a frame's header is a bit or two */
    every_cut(fd, read_stream, records, 3);
    close(fd);
    for (int i = 0; i < 2; i++) gm_record_free(records[i]);
}

static void test_compressed_stream(void) {
    attack_stream(3);
}

static void test_stored_stream(void) {
    attack_stream(GM_LEVEL_STORE);
}

/* ---- models ---- */

typedef struct model_values {
    gm_value *spec;
    gm_state state;
    size_t floats;
} model_values;

static void release(model_values *v) {
    gm_value_free(v->spec);
    free(v->state.blocks);
    *v = (model_values){0};
}

static bool same_values(const model_values *a, const model_values *b) {
    const gm_calibration *c = &a->state.calibration, *d = &b->state.calibration;
    return gm_value_equal(a->spec, b->spec) && a->floats == b->floats && a->state.step == b->state.step &&
           a->state.updates == b->state.updates && a->state.pending == b->state.pending && c->kind == d->kind &&
           c->slope == d->slope && c->offset == d->offset && c->step == d->step && c->rows == d->rows &&
           memcmp(a->state.blocks, b->state.blocks, a->floats * sizeof(float)) == 0;
}

static int load_model(int fd, model_values *v) {
    char name[32];
    gm_model *m = gm_model_open(name_of(fd, name), &e);
    int failed = m ? 0 : -1;
    if (m) {
        v->spec = gm_model_spec_value(gm_model_spec_of(m), true, &e);
        if (!v->spec || !gm_model_floats(gm_model_spec_of(m), &v->floats)) exit(1);
        v->state.blocks = gm_new(v->floats, sizeof(float), &e);
        failed = gm_model_snapshot(m, false, &v->state, &e);
    }
    gm_model_close(m);
    return failed;
}

static int load_checkpoint(int fd, model_values *v) {
    char name[32];
    gm_model_spec spec;
    if (gm_checkpoint_load(name_of(fd, name), &spec, &v->state, &e) != 0) return -1;
    v->spec = gm_model_spec_value(&spec, true, &e);
    if (!v->spec || !gm_model_floats(&spec, &v->floats)) exit(1);
    gm_model_spec_free(&spec);
    return 0;
}

static int compare(int failed, model_values *got, void *wanted) {
    int result = failed ? 0 : same_values(got, wanted) ? 1 : -1;
    release(got);
    return result;
}

static int read_model(int fd, void *wanted) {
    model_values got = {0};
    int failed = load_model(fd, &got);
    return compare(failed, &got, wanted);
}

static int read_checkpoint(int fd, void *wanted) {
    model_values got = {0};
    int failed = load_checkpoint(fd, &got);
    return compare(failed, &got, wanted);
}

/* What lies between the parameters stays 0, as a checkpoint leaves it. */
static void train(gm_model *m, size_t floats) {
    const gm_net *net = gm_model_spec_of(m)->net;
    uint64_t next = gm_model_step(m) + 1;
    float *blocks = gm_model_begin(m);
    memset(blocks, 0, floats * sizeof(float));
    for (size_t block = 0; block < floats; block += net->block)
        for (size_t k = 0; k < net->parameter_count; k++)
            for (size_t i = 0; i < net->parameters[k].count; i++)
                blocks[block + net->parameters[k].offset + i] = (float)(next + i % 7);
    gm_model_publish(m, next, 0);
}

static gm_value *make_schema(void) {
    char *files[] = {(char[]){"flips.csv"}};
    put_text("flips.csv", "size,colour,kind\n1,red,a\n2.5,green,b\n-4,red,b\n3,blue,a\n");
    const gm_scan_choice choice = {.label = "kind", .scale = {GM_SCALE_STANDARD, 0, 0}};
    gm_schema *schema = gm_schema_scan(files, 1, &choice, &e);
    gm_value *value = schema ? gm_schema_value(schema, &e) : NULL;
    if (!value) exit(1);
    gm_schema_free(schema);
    return value;
}

/* A model of three steps, calibrated and settled, copied to a file in memory. */
static int make_model(model_values *v) {
    static const char *const layers[] = {"dense:5:tanh", "dropout:0.5", "dense:1"};
    const gm_calibration calibration = {GM_PLATT, 1.5, -0.25, 3, 100};
    gm_model_spec spec = {.name = "D", .init = "glorot", .seed = 7, .schema = make_schema()};
    spec.net = gm_net_parse("features", layers, 3, (gm_words){.features = 4, .classes = 2}, &e);
    if (!spec.net || gm_optim_parse("adam", &spec.optim, &e) != 0 || !gm_model_floats(&spec, &v->floats)) exit(1);
    v->state.blocks = gm_new_zeroed(v->floats, sizeof(float), &e);
    CHECK(gm_model_create("flips.gm", &spec, &v->state, true, &e) == 0);
    gm_model *m = gm_model_open("flips.gm", &e);
    if (!m || gm_model_lock(m, &e) != 0) exit(1);
    for (int i = 0; i < 3; i++) train(m, v->floats);
    gm_model_note_blas(m, "test");
    CHECK(gm_model_calibrate(m, &calibration, &e) == 0 && gm_model_settle(m, &e) == 0);
    gm_model_close(m);
    gm_model_spec_free(&spec);
    free(v->state.blocks);
    int fd = memory_file();
    static char bytes[1 << 16];
    FILE *f = fopen("flips.gm", "rb");
    size_t n = f ? fread(bytes, 1, sizeof bytes, f) : 0;
    if (n == 0 || n == sizeof bytes || gm_write_all(fd, bytes, n) != 0) exit(1);
    fclose(f);
    files_note("flips.gm");
    if (load_model(fd, v) != 0) exit(1);
    CHECK(v->state.step == 3 && v->state.calibration.kind == GM_PLATT);
    return fd;
}

static void test_model(void) {
    model_values wanted = {0};
    int fd = make_model(&wanted);
    tally t = every_flip(fd, read_model, &wanted, 11);
    CHECK(t.refused > 200 && t.same > 200); /* the slot that is not current and what fills a page up say nothing */
    every_cut(fd, read_model, &wanted, 101);
    close(fd);
    release(&wanted);
}

static void attack_checkpoint(const char *level) {
    model_values wanted = {0};
    gm_model_spec spec;
    gm_state state;
    int fd = make_model(&wanted), to = memory_file();
    char name[32];
    gm_model *m = gm_model_open(name_of(fd, name), &e);
    gm_record *r = gm_record_new(&e);
    CHECK(m && gm_checkpoint_fill(r, gm_model_spec_of(m), &wanted.state, false, true, &e) == 0);
    setenv("GM_LEVEL", level, 1);
    int chosen;
    CHECK(gm_level_for(to, &chosen, &e) == 0);
    gm_writer *w = gm_writer_new(to, "checkpoint", chosen, &e);
    CHECK(gm_writer_put(w, r, &e) == 0 && gm_writer_finish(w, &e) == 0);
    CHECK(gm_checkpoint_load(name_of(to, name), &spec, &state, &e) == 0);
    gm_model_spec_free(&spec);
    free(state.blocks);
    tally t = every_flip(to, read_checkpoint, &wanted, 5);
    CHECK(t.refused > 100 && t.same * 20 < t.refused);
    every_cut(to, read_checkpoint, &wanted, 3);
    gm_writer_free(w);
    gm_record_free(r);
    gm_model_close(m);
    close(fd);
    close(to);
    release(&wanted);
}

static void test_checkpoint(void) {
    attack_checkpoint("3");
    attack_checkpoint("store");
}

/* ---- a model that somebody made so ---- */

static uint64_t header_number(int fd, off_t at) {
    uint64_t n;
    if (pread(fd, &n, sizeof n, at) != (ssize_t)sizeof n) exit(1);
    return n;
}

static void seal_map(int fd, size_t n) {
    static unsigned char map[1 << 16];
    if (n > sizeof map || pread(fd, map, n, 64) != (ssize_t)n) exit(1);
    uint64_t hash = XXH64(map, n, 0);
    if (pwrite(fd, &hash, sizeof hash, 32) != (ssize_t)sizeof hash) exit(1);
}

/* Its checksum is right, so its specification may be anything: it is used, or refused. */
static int use_model(int fd, void *unused) {
    (void)unused;
    char name[32];
    gm_model *m = gm_model_open(name_of(fd, name), &e);
    if (!m) return 0;
    const gm_value *value = gm_model_spec_of(m)->schema;
    gm_schema *schema = value ? gm_schema_parse(value, &e) : NULL;
    gm_schema_free(schema);
    gm_model_close(m);
    return 1;
}

static void test_hostile_model(void) {
    model_values wanted = {0};
    int fd = make_model(&wanted);
    size_t n = (size_t)header_number(fd, 24);
    tally t = {0, 0};
    for (size_t bit = 0; bit < 8 * n; bit += stride(3)) {
        flip(fd, 8 * 64 + bit);
        seal_map(fd, n);
        try_one(fd, use_model, NULL, "bit of the map", bit, &t);
        flip(fd, 8 * 64 + bit);
    }
    CHECK(t.refused > 500 && t.same > 100);
    close(fd);
    release(&wanted);
}

int main(void) {
    if (!getenv("GM_SANITIZED")) {
        const struct rlimit limit = {(rlim_t)MEGABYTES << 20, (rlim_t)MEGABYTES << 20};
        if (setrlimit(RLIMIT_AS, &limit) != 0) return 1;
    }
    if (!files_enter()) return 1;
    RUN(test_compressed_stream);
    RUN(test_stored_stream);
    RUN(test_checkpoint);
    RUN(test_model);
    RUN(test_hostile_model);
    files_leave();
    return check_done();
}
