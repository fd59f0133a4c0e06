/* model_test.c: model files: made, opened, refused, trained, copied, waited for, killed. Offsets are those of
 * gm-model(5). */
#include "check.h"

#include "gm/model.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAP_BYTES_AT = 24, FLOATS_AT = 40, FILE_BYTES_AT = 56, PAGE = 4096 };
enum { CONTROL_BEGUN = 8, CONTROL_CLEAN = 20, CONTROL_BOOT = 32, CONTROL_BLAS = 72, SLOT_FILLING = 16 };

static gm_error e;

/* ---- helpers ---- */

static bool says(const char *part) {
    if (strstr(e.text, part)) return true;
    printf("# the message is: %s\n", e.text);
    return false;
}

static gm_model_spec make_spec(const char *optimizer) {
    static const char *const layers[] = {"dense:5:tanh", "dropout:0.5", "dense:1:sigmoid"};
    gm_model_spec spec = {.name = "D", .init = "glorot", .seed = UINT64_MAX - 1};
    spec.net = gm_net_parse("3", layers, 3, (gm_words){0}, &e);
    if (!spec.net || gm_optim_parse(optimizer, &spec.optim, &e) != 0) {
        printf("# %s\n", e.text);
        exit(1);
    }
    return spec;
}

/* A network whose state is about `floats` numbers. */
static gm_model_spec make_large_spec(size_t floats) {
    char layer[64];
    snprintf(layer, sizeof layer, "dense:%zu", floats / 2);
    const char *const layers[] = {layer};
    gm_model_spec spec = {.name = "L", .init = "he"};
    spec.net = gm_net_parse("1", layers, 1, (gm_words){0}, &e);
    if (!spec.net || gm_optim_parse("sgd", &spec.optim, &e) != 0) {
        printf("# %s\n", e.text);
        exit(1);
    }
    return spec;
}

static size_t floats_of(const gm_model_spec *spec) {
    size_t floats = 0;
    if (!gm_model_floats(spec, &floats)) exit(1);
    return floats;
}

static void fill(float *blocks, size_t floats, uint64_t step) {
    if (!blocks) exit(1);
    for (size_t i = 0; i < floats; i++) blocks[i] = (float)step;
}

/* All numbers are those of that step. */
static bool filled(const float *blocks, size_t floats, uint64_t step) {
    for (size_t i = 0; i < floats; i++) {
        if (blocks[i] != (float)step) {
            printf("# number %zu is %g at step %" PRIu64 "\n", i, (double)blocks[i], step);
            return false;
        }
    }
    return true;
}

static int create(const char *path, const gm_model_spec *spec, uint64_t step, bool force) {
    size_t floats = floats_of(spec);
    float *blocks = malloc(floats * sizeof(float));
    fill(blocks, floats, step);
    gm_state state = {.step = step, .updates = step, .blocks = blocks};
    int failed = gm_model_create(path, spec, &state, force, &e);
    free(blocks);
    return failed;
}

static void create_new(const char *path, uint64_t step) {
    gm_model_spec spec = make_spec("adam");
    unlink(path);
    CHECK(create(path, &spec, step, false) == 0);
    gm_model_spec_free(&spec);
}

/* One training step: every number becomes the step. */
static void train(gm_model *m) {
    uint64_t next = gm_model_step(m) + 1;
    fill(gm_model_begin(m), floats_of(gm_model_spec_of(m)), next);
    gm_model_publish(m, next, 0);
}

static gm_model *open_or_die(const char *path, bool lock) {
    gm_model *m = gm_model_open(path, &e);
    if (!m || (lock && gm_model_lock(m, &e) != 0)) {
        printf("# %s\n", e.text);
        exit(1);
    }
    return m;
}

static unsigned char *slurp(const char *path, size_t *n) {
    struct stat st;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &st) != 0) exit(1);
    *n = (size_t)st.st_size;
    unsigned char *bytes = malloc(*n + 1);
    if (gm_read_all(fd, bytes, *n) != (long)*n) exit(1);
    close(fd);
    return bytes;
}

static void spill(const char *path, const void *bytes, size_t n) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd < 0 || gm_write_all(fd, bytes, n) != 0) exit(1);
    close(fd);
}

static void poke(const char *path, size_t offset, const void *bytes, size_t n) {
    int fd = open(path, O_WRONLY);
    if (fd < 0 || pwrite(fd, bytes, n, (off_t)offset) != (ssize_t)n) exit(1);
    close(fd);
}

static size_t files_here(void) {
    DIR *d = opendir(".");
    if (!d) exit(1);
    size_t n = 0;
    while (readdir(d)) n++;
    closedir(d);
    return n;
}

static double seconds(void) {
    return 1e-9 * (double)gm_nanoseconds();
}

static bool succeeded(pid_t child) {
    int status = 0;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* fork that does not print the parent's output twice. */
static pid_t fork_clean(void) {
    fflush(stdout);
    return fork();
}

static uint32_t next_random(void) {
    static uint32_t state = 1;
    state = state * 1664525U + 1013904223U;
    return state >> 8;
}

/* ---- names and specifications ---- */

static void test_names(void) {
    char name[GM_NAME_MAX + 1];
    CHECK(gm_model_name_from("out/D.gm", name, &e) == 0);
    CHECK_TEXT(name, "D");
    CHECK(gm_model_name_from("wine.best.gm", name, &e) == 0);
    CHECK_TEXT(name, "wine.best");
    CHECK(gm_model_name_from("/tmp/model", name, &e) == 0);
    CHECK_TEXT(name, "model");
    CHECK(gm_model_name_from("out/.gm", name, &e) == -1 && says("out/.gm: ") && says("empty") && e.usage);
    CHECK(gm_model_name_from("out/", name, &e) == -1 && says("empty"));
    CHECK(gm_model_name_from("my model.gm", name, &e) == -1 && says("letters, digits"));
    CHECK(gm_model_name_check("d/1", &e) == -1 && says("'d/1'"));
    char longest[80] = "";
    memset(longest, 'x', 48);
    CHECK(gm_model_name_check(longest, &e) == 0);
    memset(longest, 'x', 49);
    CHECK(gm_model_name_check(longest, &e) == -1 && says("49 bytes"));
    memset(longest, 'x', 79);
    CHECK(gm_model_name_from(longest, name, &e) == -1 && says("--name"));
}

static void test_spec_round_trip(void) {
    gm_model_spec spec = make_spec("adam:lr=2e-4,beta1=0.5,accumulate=4");
    spec.schema = gm_value_map();
    CHECK(gm_map_set(spec.schema, "label", gm_value_text("digit")) == 0);
    spec.provenance = gm_value_map();
    CHECK(gm_map_set(spec.provenance, "by", gm_value_text("me")) == 0);
    gm_value *v = gm_model_spec_value(&spec, true, &e);
    gm_model_spec back;
    if (!v || gm_model_spec_parse(v, &back, &e) != 0) exit(1);
    CHECK_TEXT(back.name, "D");
    CHECK_TEXT(back.init, "glorot");
    CHECK(back.seed == spec.seed);
    CHECK(back.net->layer_count == 3 && back.net->block == spec.net->block);
    CHECK(back.optim.beta1 == 0.5 && back.optim.accumulate == 4);
    CHECK(gm_value_equal(back.schema, spec.schema) && gm_value_equal(back.provenance, spec.provenance));
    gm_model_spec_free(&back);
    CHECK(!back.net && !back.schema);
    gm_value_free(v);
    v = gm_model_spec_value(&spec, false, &e);
    CHECK(v && !gm_map_get(v, "provenance") && gm_map_get(v, "schema"));
    gm_value_free(v);
    gm_model_spec_free(&spec);
}

/* Words in the input survive: a part stays features or classes. */
static void test_spec_words(void) {
    static const char *const layers[] = {"dense:features:tanh"};
    gm_model_spec spec = {.name = "G", .init = "glorot"};
    spec.net = gm_net_parse("20+classes", layers, 1, (gm_words){.features = 64, .classes = 10}, &e);
    CHECK(spec.net && gm_optim_parse("sgd", &spec.optim, &e) == 0);
    gm_value *v = gm_model_spec_value(&spec, true, &e);
    CHECK(gm_map_int(v, "classes", -1) == 10 && gm_map_int(v, "features", -1) == 0);
    gm_model_spec back;
    CHECK(gm_model_spec_parse(v, &back, &e) == 0);
    CHECK(back.net->part_count == 2 && back.net->parts[1].kind == GM_PART_CLASSES && back.net->inputs == 30);
    CHECK(back.net->outputs == 64);
    gm_model_spec_free(&back);
    gm_model_spec_free(&spec);
    gm_value_free(v);
}

static void refuse_spec(const char *key, gm_value *wrong, const char *message) {
    gm_model_spec spec = make_spec("sgd"), back;
    gm_value *v = gm_model_spec_value(&spec, true, &e);
    if (wrong)
        CHECK(gm_map_set(v, key, wrong) == 0);
    else
        gm_map_remove(v, key);
    CHECK(gm_model_spec_parse(v, &back, &e) == -1 && says(message) && !e.usage);
    CHECK(!back.net && !back.schema && !back.provenance);
    gm_value_free(v);
    gm_model_spec_free(&spec);
}

static void test_spec_refusals(void) {
    gm_model_spec back;
    CHECK(gm_model_spec_parse(NULL, &back, &e) == -1 && says("no map"));
    static const char *const keys[] = {"name", "input", "optimizer", "init", "seed"};
    for (size_t i = 0; i < 5; i++) {
        refuse_spec(keys[i], NULL, keys[i]);
        refuse_spec(keys[i], gm_value_int(3), keys[i]);
        refuse_spec(keys[i], gm_value_text_n("3\0004", 3), "is no text");
    }
    refuse_spec("name", gm_value_text("a/b"), "a/b");
    refuse_spec("optimizer", gm_value_text("adamm"), "adam");
    refuse_spec("init", gm_value_text("none"), "none");
    refuse_spec("seed", gm_value_text("-1"), "seed");
    refuse_spec("seed", gm_value_text("18446744073709551616"), "seed");
    refuse_spec("layers", NULL, "layers");
    refuse_spec("layers", gm_value_array(), "layers");
    refuse_spec("features", gm_value_int(-1), "out of range");
    refuse_spec("schema", gm_value_int(1), "'schema' is no map");
    refuse_spec("provenance", gm_value_text("x"), "'provenance' is no map");
    gm_value *layers = gm_value_array();
    CHECK(gm_array_push(layers, gm_value_int(1)) == 0);
    refuse_spec("layers", layers, "layer 0 is no text");
    layers = gm_value_array();
    CHECK(gm_array_push(layers, gm_value_text("dense")) == 0);
    refuse_spec("layers", layers, "dense");
}

/* ---- making ---- */

static void test_create_and_open(void) {
    create_new("a.gm", 7);
    gm_model *m = open_or_die("a.gm", false);
    const gm_model_spec *spec = gm_model_spec_of(m);
    CHECK_TEXT(spec->name, "D");
    CHECK(spec->seed == UINT64_MAX - 1);
    CHECK(gm_model_step(m) == 7);
    CHECK_TEXT(gm_model_path(m), "a.gm");
    CHECK_TEXT(gm_model_blas(m), "");
    gm_view view = gm_model_view(m);
    CHECK(view.step == 7 && view.updates == 7 && view.pending == 0);
    CHECK((uintptr_t)view.params % GM_ALIGN == 0);
    CHECK(filled(view.params, floats_of(spec), 7));
    CHECK(gm_model_view_holds(m, &view));
    struct stat st;
    CHECK(stat("a.gm", &st) == 0 && st.st_size % PAGE == 0 && st.st_blocks * 512 >= st.st_size);
    CHECK(gm_model_begin(m) == NULL); /* no writer */
    CHECK(gm_model_settle(m, &e) == -1 && says("only its writer"));
    gm_model_close(m);
    gm_model_close(NULL);
}

static void test_create_existing(void) {
    create_new("a.gm", 1);
    size_t files = files_here();
    gm_model_spec spec = make_spec("sgd");
    CHECK(create("a.gm", &spec, 2, false) == -1 && says("a.gm: exists; --force replaces it"));
    gm_model *old = open_or_die("a.gm", false);
    CHECK(gm_model_step(old) == 1);
    CHECK(create("a.gm", &spec, 2, true) == 0);
    CHECK(files_here() == files);
    CHECK(gm_model_step(old) == 1); /* a reader keeps the old one */
    CHECK(gm_model_lock(old, &e) == -1 && says("a.gm: was replaced"));
    gm_model *new = open_or_die("a.gm", true);
    CHECK(gm_model_step(new) == 2);
    char message[64];
    snprintf(message, sizeof message, "a.gm: is being trained (pid %ld)", (long)getpid());
    CHECK(create("a.gm", &spec, 3, true) == -1 && says(message));
    gm_model_close(new);
    CHECK(create("a.gm", &spec, 3, true) == 0);
    gm_model_close(old);
    CHECK(files_here() == files);
    gm_model_spec_free(&spec);
}

static void test_create_refusals(void) {
    gm_model_spec spec = make_spec("sgd");
    size_t files = files_here();
    CHECK(create("nowhere/a.gm", &spec, 0, false) == -1 && says("nowhere/a.gm: ") && says("No such file"));
    CHECK(create(".", &spec, 0, false) == -1 && says("exists"));
    CHECK(create(".", &spec, 0, true) == -1 && says("no regular file"));
    CHECK(create("/dev/null", &spec, 0, true) == -1 && says("no regular file"));
    CHECK(create("b.gm", &spec, GM_STEP_MAX + 1, false) == -1 && says("largest"));
    CHECK(files_here() == files);
    gm_model_spec_free(&spec);
}

/* A disk without room, played by a limit on the size of files. */
static void test_create_full(void) {
    gm_model_spec spec = make_spec("sgd");
    size_t files = files_here();
    pid_t child = fork_clean();
    if (child == 0) {
        struct rlimit limit = {8192, 8192};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        bool good = create("full.gm", &spec, 0, false) == -1 && strstr(e.text, "full.gm: cannot allocate 16.4 kB: ");
        if (!good) fprintf(stderr, "# %s\n", e.text);
        _exit(!good);
    }
    CHECK(succeeded(child));
    CHECK(files_here() == files);
    gm_model_spec_free(&spec);
}

/* ---- refusing ---- */

static void refuse_bytes(const void *bytes, size_t n, const char *message) {
    spill("bad.gm", bytes, n);
    CHECK(gm_model_open("bad.gm", &e) == NULL);
    CHECK(says("bad.gm: ") && says(message));
}

static void refuse_poked(size_t offset, uint64_t value, const char *message) {
    size_t n;
    unsigned char *bytes = slurp("a.gm", &n);
    memcpy(bytes + offset, &value, sizeof value);
    refuse_bytes(bytes, n, message);
    free(bytes);
}

static void test_open_refusals(void) {
    create_new("a.gm", 0);
    CHECK(!gm_model_open("none.gm", &e) && says("none.gm: cannot open: No such file"));
    CHECK(!gm_model_open(".", &e) && says("no regular file"));
    CHECK(mkfifo("pipe.gm", 0666) == 0);
    CHECK(!gm_model_open("pipe.gm", &e) && says("no regular file"));
    unlink("pipe.gm");
    refuse_bytes("", 0, "is empty");
    refuse_bytes("alcohol,ash\n1,2\n", 16, "not a gm model");
    refuse_bytes("\x28\xb5\x2f\xfd....", 8, "is a stream, not a model; gm-init --from makes a model of it");
    refuse_bytes("gm-model", 8, "cut off after 8 bytes");
    size_t n;
    unsigned char *bytes = slurp("a.gm", &n);
    refuse_bytes(bytes, n - 1, "cut off");
    refuse_bytes(bytes, 64, "cut off after 64 bytes");
    bytes[n] = 0;
    refuse_bytes(bytes, n + 1, "sizes are not those of its network");
    bytes[64 + 10] ^= 1;
    refuse_bytes(bytes, n, "checksum of its specification");
    free(bytes);
    refuse_poked(8, 2, "format 2, these tools know format 1");
    refuse_poked(16, 4095, "sizes in its header");
    refuse_poked(16, UINT64_MAX / PAGE * PAGE, "sizes in its header");
    refuse_poked(16, 2 * PAGE, "sizes are not those");
    refuse_poked(MAP_BYTES_AT, UINT64_MAX, "sizes in its header");
    refuse_poked(MAP_BYTES_AT, 20, "checksum of its specification");
    refuse_poked(FLOATS_AT, 16, "sizes are not those");
    refuse_poked(FLOATS_AT, UINT64_MAX, "sizes are not those");
    refuse_poked(48, UINT64_MAX, "sizes are not those");
    refuse_poked(FILE_BYTES_AT, PAGE, "sizes are not those");
    refuse_poked(FILE_BYTES_AT, UINT64_MAX, "cut off");
    refuse_poked(PAGE, UINT64_MAX, "control page");                     /* a step over the largest */
    refuse_poked(PAGE, 1, "control page");                              /* a slot that was never filled */
    refuse_poked(PAGE + CONTROL_BLAS + 56, UINT64_MAX, "control page"); /* a text without an end */
    refuse_poked((size_t)2 * PAGE + SLOT_FILLING, 5, "control page");
}

/* ---- steps ---- */

static void test_publish(void) {
    create_new("a.gm", 0);
    gm_model *writer = open_or_die("a.gm", true), *reader = open_or_die("a.gm", false);
    size_t floats = floats_of(gm_model_spec_of(writer));
    CHECK(gm_model_lock(writer, &e) == 0); /* again: it has it */
    gm_model_publish(writer, 9, 9);        /* without begin: nothing */
    CHECK(gm_model_step(reader) == 0);
    gm_view view = gm_model_view(reader);
    float *slot = gm_model_begin(writer);
    CHECK(slot && slot != gm_model_view(writer).params && (uintptr_t)slot % GM_ALIGN == 0);
    fill(slot, floats, 1);
    CHECK(gm_model_step(reader) == 0 && filled(gm_model_view(reader).params, floats, 0));
    gm_model_publish(writer, 1, 3);
    gm_view now = gm_model_view(reader);
    CHECK(now.step == 1 && now.updates == 1 && now.pending == 3 && filled(now.params, floats, 1));
    CHECK(now.params != view.params && now.word != view.word);
    for (uint64_t step = 2; step < 6; step++) {
        train(writer);
        now = gm_model_view(reader);
        CHECK(now.step == step && now.updates == step && now.pending == 0 && filled(now.params, floats, step));
    }
    gm_model_close(writer);
    gm_model_close(reader);
    reader = open_or_die("a.gm", false);
    CHECK(gm_model_step(reader) == 5 && filled(gm_model_view(reader).params, floats, 5));
    gm_model_close(reader);
}

static void test_view_holds(void) {
    create_new("a.gm", 0);
    gm_model *writer = open_or_die("a.gm", true), *reader = open_or_die("a.gm", false);
    gm_view view = gm_model_view(reader);
    CHECK(gm_model_begin(writer) != NULL);
    CHECK(gm_model_view_holds(reader, &view));
    gm_model_publish(writer, 1, 0);
    CHECK(gm_model_view_holds(reader, &view));
    for (int i = 0; i < 5; i++) gm_model_skip(writer); /* skips fill nothing */
    CHECK(gm_model_step(reader) == 6 && gm_model_view_holds(reader, &view));
    gm_view later = gm_model_view(reader);
    CHECK(gm_model_begin(writer) != NULL); /* the view's slot */
    CHECK(!gm_model_view_holds(reader, &view));
    CHECK(gm_model_view_holds(reader, &later));
    gm_model_publish(writer, 2, 0);
    CHECK(!gm_model_view_holds(reader, &view) && gm_model_view_holds(reader, &later));
    gm_model_close(writer);
    /* A writer that ended half way is followed by one that fills the same slot again. */
    writer = open_or_die("a.gm", true);
    view = gm_model_view(reader);
    CHECK(gm_model_begin(writer) != NULL);
    CHECK(!gm_model_view_holds(reader, &later));
    gm_model_close(writer);
    writer = open_or_die("a.gm", true);
    CHECK(gm_model_begin(writer) != NULL);
    CHECK(gm_model_view_holds(reader, &view));
    gm_model_close(writer);
    gm_model_close(reader);
}

static void test_skip(void) {
    create_new("a.gm", 0);
    gm_model *writer = open_or_die("a.gm", true);
    size_t floats = floats_of(gm_model_spec_of(writer));
    train(writer);
    gm_view view = gm_model_view(writer);
    gm_model_skip(writer);
    gm_view now = gm_model_view(writer);
    CHECK(now.step == 2 && now.updates == 1 && now.params == view.params && now.word == view.word);
    CHECK(filled(now.params, floats, 1));
    fill(gm_model_begin(writer), floats, 3);
    gm_model_publish(writer, 2, 0);
    now = gm_model_view(writer);
    CHECK(now.step == 3 && now.updates == 2 && filled(now.params, floats, 3));
    gm_model *reader = open_or_die("a.gm", false);
    gm_model_skip(reader); /* not a writer: nothing */
    CHECK(gm_model_step(writer) == 3);
    gm_model_close(reader);
    gm_model_close(writer);
}

static void test_view_at(void) {
    create_new("a.gm", 10);
    gm_model *writer = open_or_die("a.gm", true), *reader = open_or_die("a.gm", false);
    size_t floats = floats_of(gm_model_spec_of(writer));
    gm_view view;
    CHECK(gm_model_view_at(reader, 10, &view) && filled(view.params, floats, 10));
    CHECK(!gm_model_view_at(reader, 9, &view) && !gm_model_view_at(reader, 11, &view));
    train(writer);
    CHECK(gm_model_view_at(reader, 10, &view) && view.step == 10 && view.updates == 10);
    CHECK(filled(view.params, floats, 10) && gm_model_view_holds(reader, &view));
    CHECK(gm_model_view_at(reader, 11, &view) && filled(view.params, floats, 11));
    CHECK(!gm_model_view_at(reader, 9, &view));
    gm_model_skip(writer);
    CHECK(gm_model_view_at(reader, 12, &view) && filled(view.params, floats, 11));
    CHECK(gm_model_view_at(reader, 11, &view) && filled(view.params, floats, 11));
    CHECK(gm_model_view_at(reader, 10, &view) && filled(view.params, floats, 10));
    CHECK(gm_model_begin(writer) != NULL);
    CHECK(!gm_model_view_holds(reader, &view));
    CHECK(!gm_model_view_at(reader, 10, &view)); /* is being overwritten */
    CHECK(gm_model_view_at(reader, 11, &view) && filled(view.params, floats, 11));
    gm_model_close(writer);
    CHECK(!gm_model_view_at(reader, 10, &view)); /* and was left torn */
    gm_model_close(reader);
}

static void test_note_blas(void) {
    create_new("a.gm", 0);
    gm_model *writer = open_or_die("a.gm", true), *reader = open_or_die("a.gm", false);
    gm_model_note_blas(reader, "A");
    CHECK_TEXT(gm_model_blas(reader), ""); /* a reader notes nothing */
    CHECK(!gm_model_drifts(reader, "A"));  /* from nothing */
    gm_model_note_blas(writer, "OpenBLAS 0.3.21 SkylakeX");
    CHECK_TEXT(gm_model_blas(reader), "OpenBLAS 0.3.21 SkylakeX");
    CHECK(!gm_model_drifts(reader, "OpenBLAS 0.3.21 SkylakeX"));
    CHECK(gm_model_drifts(reader, "OpenBLAS 0.3.21 Skylake") && gm_model_drifts(reader, "A"));
    char text[101] = "";
    memset(text, 'x', 100);
    gm_model_note_blas(writer, text);
    CHECK(strlen(gm_model_blas(reader)) == 63);
    CHECK(!gm_model_drifts(writer, text)); /* as far as it was noted */
    gm_model_note_blas(writer, "B");
    CHECK_TEXT(gm_model_blas(reader), "B");
    gm_model_close(writer);
    gm_model_close(reader);
}

/* ---- lock ---- */

static void test_lock(void) {
    create_new("a.gm", 0);
    gm_model *one = open_or_die("a.gm", true), *two = open_or_die("a.gm", false);
    char message[80];
    snprintf(message, sizeof message, "a.gm: held by another process (pid %ld)", (long)getpid());
    CHECK(gm_model_lock(two, &e) == -1 && says(message) && !e.usage); /* also within one process */
    CHECK(gm_model_writer_pid(one) == (uint32_t)getpid() && gm_model_writer_pid(two) == (uint32_t)getpid());
    pid_t child = fork_clean();
    if (child == 0) {
        gm_model *m = gm_model_open("a.gm", &e);
        _exit(!(m && gm_model_lock(m, &e) == -1 && strcmp(e.text, message) == 0));
    }
    CHECK(succeeded(child));
    gm_model *three = open_or_die("a.gm", false);
    gm_model_close(three); /* drops no lock of another opening, as plain fcntl locks would */
    CHECK(gm_model_lock(two, &e) == -1);
    gm_view view = gm_model_view(two);
    gm_model_close(one);
    CHECK(gm_model_lock(two, &e) == 0);
    CHECK(gm_model_view_holds(two, &view) && view.params == gm_model_view(two).params); /* mapped where it was */
    train(two);
    gm_model_close(two);
    one = open_or_die("a.gm", false);
    unlink("a.gm");
    CHECK(gm_model_lock(one, &e) == -1 && says("a.gm: ") && says("No such file"));
    gm_model_close(one);
}

/* A lock dies with its process. */
static void test_lock_dies(void) {
    create_new("a.gm", 0);
    int ready[2];
    CHECK(pipe(ready) == 0);
    pid_t child = fork_clean();
    if (child == 0) {
        gm_model *m = gm_model_open("a.gm", &e);
        if (!m || gm_model_lock(m, &e) != 0 || write(ready[1], "x", 1) != 1) _exit(1);
        for (;;) pause();
    }
    char byte;
    CHECK(read(ready[0], &byte, 1) == 1);
    gm_model *m = open_or_die("a.gm", false);
    char message[32];
    snprintf(message, sizeof message, "(pid %ld)", (long)child);
    CHECK(gm_model_lock(m, &e) == -1 && says(message));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    CHECK(gm_model_lock(m, &e) == 0);
    gm_model_close(m);
    close(ready[0]);
    close(ready[1]);
}

/* A copy with holes is filled before it is trained. */
static void test_lock_fills_holes(void) {
    create_new("a.gm", 3);
    size_t n;
    struct stat st;
    unsigned char *bytes = slurp("a.gm", &n);
    spill("sparse.gm", bytes, 0);
    CHECK(truncate("sparse.gm", (off_t)n) == 0);
    for (size_t i = 0; i < n; i += PAGE) {
        bool zero = true;
        for (size_t j = i; j < i + PAGE; j++) zero = zero && bytes[j] == 0;
        if (!zero) poke("sparse.gm", i, bytes + i, PAGE);
    }
    free(bytes);
    CHECK(stat("sparse.gm", &st) == 0 && st.st_blocks * 512 < st.st_size);
    gm_model *m = open_or_die("sparse.gm", true);
    CHECK(stat("sparse.gm", &st) == 0 && st.st_blocks * 512 >= st.st_size);
    CHECK(filled(gm_model_view(m).params, floats_of(gm_model_spec_of(m)), 3));
    train(m);
    gm_model_close(m);
}

/* ---- copies ---- */

static void test_snapshot(void) {
    create_new("a.gm", 4);
    gm_model *m = open_or_die("a.gm", false);
    size_t floats = floats_of(gm_model_spec_of(m)), block = gm_model_spec_of(m)->net->block;
    gm_state state = {.blocks = malloc(floats * sizeof(float))};
    fill(state.blocks, floats, 99);
    CHECK(gm_model_snapshot(m, true, &state, &e) == 0);
    CHECK(state.step == 4 && state.updates == 4 && filled(state.blocks, block, 4));
    CHECK(filled(state.blocks + block, floats - block, 99));
    CHECK(gm_model_snapshot(m, false, &state, &e) == 0 && filled(state.blocks, floats, 4));
    gm_model_close(m);
    m = open_or_die("a.gm", true); /* the writer copies too */
    train(m);
    CHECK(gm_model_begin(m) != NULL);
    CHECK(gm_model_snapshot(m, false, &state, &e) == 0 && state.step == 5 && filled(state.blocks, floats, 5));
    gm_model_close(m);
    free(state.blocks);
}

/* Steps as fast as they can be made, until killed. `whole`: all numbers; else only the first and the last, so that
 * the writer is far faster than any copy and readers need the lock. */
static pid_t fork_writer(const char *path, bool whole) {
    pid_t child = fork_clean();
    if (child != 0) return child;
    gm_model *m = gm_model_open(path, &e);
    if (!m || gm_model_lock(m, &e) != 0) _exit(1);
    size_t floats = floats_of(gm_model_spec_of(m));
    for (;;) {
        uint64_t next = gm_model_step(m) + 1;
        float *slot = gm_model_begin(m);
        if (whole) fill(slot, floats, next % 1000003);
        slot[0] = slot[floats - 1] = (float)(next % 1000003);
        gm_model_publish(m, next, 0);
    }
}

static void copies_under_fire(const char *path, bool whole, uint64_t steps, int least) {
    gm_model *m = open_or_die(path, false);
    size_t floats = floats_of(gm_model_spec_of(m));
    gm_state state = {.blocks = malloc(floats * sizeof(float))};
    pid_t child = fork_writer(path, whole);
    CHECK(gm_model_wait(m, 1, -1, &e) == 0);
    int copies = 0;
    double start = seconds();
    uint64_t last = 0;
    while ((last < steps || copies < least) && seconds() - start < 20) {
        CHECK(gm_model_snapshot(m, false, &state, &e) == 0);
        uint64_t k = state.step % 1000003;
        CHECK(state.step >= last && state.updates == state.step);
        if (whole)
            CHECK(filled(state.blocks, floats, k));
        else
            CHECK(state.blocks[0] == (float)k && state.blocks[floats - 1] == (float)k);
        last = state.step;
        copies++;
        if (check_failed) break;
    }
    printf("# %d copies over %" PRIu64 " steps\n", copies, last);
    CHECK(copies >= least && last >= steps);
    kill(child, SIGKILL);
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    free(state.blocks);
    gm_model_close(m);
}

static void copies_of(size_t size, bool whole, uint64_t steps, int least) {
    gm_model_spec spec = make_large_spec(size);
    if (getenv("GM_VALGRIND")) steps /= 10, least /= 10; /* in as many seconds */
    unlink("large.gm");
    CHECK(create("large.gm", &spec, 0, false) == 0);
    gm_model_spec_free(&spec);
    copies_under_fire("large.gm", whole, steps, least);
    unlink("large.gm");
}

static void test_snapshot_under_writer(void) {
    copies_of(1 << 13, true, 50000, 1000);
}

static void test_snapshot_slower_than_writer(void) {
    copies_of(1 << 19, false, 20000, 500);
}

/* A reader that stops for good with its lock does not stop the writer for good. */
static void test_stopped_reader(void) {
    create_new("a.gm", 0);
    gm_model *writer = open_or_die("a.gm", true);
    int fd = open("a.gm", O_RDONLY);
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 2, .l_len = 1}; /* slot 1 */
    CHECK(fcntl(fd, F_OFD_SETLK, &lock) == 0);
    double start = seconds();
    train(writer);
    double first = seconds() - start;
    CHECK(first > 0.3 && first < 5);
    start = seconds();
    train(writer);
    train(writer);
    CHECK(seconds() - start < 0.3); /* it is not waited for again */
    CHECK(gm_model_step(writer) == 3);
    close(fd);
    gm_model_close(writer);
}

/* ---- waiting ---- */

static void test_wait(void) {
    create_new("a.gm", 5);
    gm_model *m = open_or_die("a.gm", false);
    CHECK(gm_model_wait(m, 0, -1, &e) == 0 && gm_model_wait(m, 5, -1, &e) == 0);
    pid_t child = fork_clean();
    if (child == 0) {
        gm_model *w = gm_model_open("a.gm", &e);
        if (!w || gm_model_lock(w, &e) != 0) _exit(1);
        usleep(150000);
        train(w);
        gm_model_skip(w);
        _exit(0);
    }
    CHECK(gm_model_wait(m, 7, -1, &e) == 0 && gm_model_step(m) == 7);
    CHECK(succeeded(child));
    gm_model_close(m);
}

/* Two processes in lockstep: each makes its step when the other one has made its own. */
static void test_lockstep(void) {
    enum { ROUNDS = 2000 };
    create_new("a.gm", 0);
    create_new("b.gm", 0);
    pid_t child = fork_clean();
    gm_model *mine = open_or_die(child ? "a.gm" : "b.gm", true), *other = open_or_die(child ? "b.gm" : "a.gm", false);
    size_t floats = floats_of(gm_model_spec_of(mine));
    double start = seconds();
    bool good = true;
    for (uint64_t k = 0; k < ROUNDS && good; k++) {
        good = gm_model_wait(other, child ? k : k + 1, -1, &e) == 0;
        gm_view view = gm_model_view(other);
        good = good && filled(view.params, floats, view.step) && gm_model_view_holds(other, &view);
        train(mine);
    }
    gm_model_close(mine);
    gm_model_close(other);
    if (!child) _exit(!good);
    CHECK(good);
    CHECK(succeeded(child));
    printf("# %.1f us for a step of both\n", (seconds() - start) / ROUNDS * 1e6);
}

static void test_wait_without_writer(void) {
    create_new("G.gm", 40);
    gm_model *m = open_or_die("G.gm", false);
    setenv("GM_WAIT_SECONDS", "1", 1);
    double start = seconds();
    CHECK(gm_model_wait(m, 41, -1, &e) == -1);
    CHECK(seconds() - start > 0.9 && seconds() - start < 3);
    CHECK_TEXT(e.text, "G.gm: is at step 40, and no gm-step that could bring it to step 41 runs "
                       "(is `gm-step -m G.gm` in the pipeline?)");
    CHECK(!e.usage);
    setenv("GM_WAIT_SECONDS", "0", 1);
    CHECK(gm_model_wait(m, 41, -1, &e) == -1);
    setenv("GM_WAIT_SECONDS", "soon", 1);
    CHECK(gm_model_wait(m, 41, -1, &e) == -1 && says("GM_WAIT_SECONDS is 'soon'") && e.usage);
    CHECK(gm_model_wait(m, 40, -1, &e) == 0);
    setenv("GM_WAIT_SECONDS", "0", 1);
    gm_model_spec spec = make_spec("sgd");
    CHECK(create("G.gm", &spec, 0, true) == 0);
    CHECK(gm_model_wait(m, 41, -1, &e) == -1 && says("was replaced"));
    gm_model_spec_free(&spec);
    gm_model_close(m);
    m = open_or_die("G.gm", true);
    CHECK(gm_model_wait(m, 1, -1, &e) == -1 && says("its writer itself waits"));
    gm_model_close(m);
    unsetenv("GM_WAIT_SECONDS");
}

/* As long as somebody holds the writer's lock, the limit does not run. */
static void test_wait_for_slow_writer(void) {
    create_new("a.gm", 0);
    gm_model *m = open_or_die("a.gm", false), *w = open_or_die("a.gm", true);
    pid_t child = fork_clean();
    if (child == 0) {
        setenv("GM_WAIT_SECONDS", "0", 1);
        gm_model *r = gm_model_open("a.gm", &e);
        _exit(!(r && gm_model_wait(r, 1, -1, &e) == 0));
    }
    usleep(400000);
    train(w);
    CHECK(succeeded(child));
    gm_model_close(w);
    gm_model_close(m);
}

/* ---- kills and crashes ---- */

static void test_kills(void) {
    create_new("a.gm", 0);
    uint64_t last = 0;
    for (int i = 0; i < 100 && !check_failed; i++) {
        pid_t child = fork_writer("a.gm", true);
        usleep(next_random() % 4000);
        kill(child, SIGKILL);
        int status;
        CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
        gm_model *m = open_or_die("a.gm", false);
        gm_view view = gm_model_view(m);
        CHECK(view.step >= last && view.updates == view.step);
        CHECK(filled(view.params, floats_of(gm_model_spec_of(m)), view.step % 1000003));
        CHECK(gm_model_view_holds(m, &view));
        last = view.step;
        gm_model_close(m);
    }
    printf("# %" PRIu64 " steps in 100 lives\n", last);
    CHECK(last > 100);
}

static void forget_boot(const char *path) {
    char boot[40] = "00000000-1111-2222-3333-444444444444";
    poke(path, PAGE + CONTROL_BOOT, boot, sizeof boot);
}

static bool opens(const char *path) {
    gm_model *m = gm_model_open(path, &e);
    gm_model_close(m);
    return m != NULL;
}

static void test_crash(void) {
    const char *const message = "a.gm: was being trained when the machine went down and may be torn; restore it: "
                                "gm-init --force -o a.gm --from CHECKPOINT";
    create_new("a.gm", 0);
    forget_boot("a.gm");
    CHECK(opens("a.gm")); /* new: settled */
    gm_model *m = open_or_die("a.gm", true);
    train(m);
    gm_model_close(m);
    CHECK(opens("a.gm")); /* locking noted this boot, so this was a kill */
    forget_boot("a.gm");
    CHECK(!opens("a.gm"));
    CHECK_TEXT(e.text, message);
    create_new("a.gm", 0);
    m = open_or_die("a.gm", true);
    train(m);
    CHECK(gm_model_settle(m, &e) == 0);
    gm_model_close(m);
    forget_boot("a.gm");
    CHECK(opens("a.gm"));
    m = open_or_die("a.gm", true);
    gm_model_skip(m);
    gm_model_close(m);
    forget_boot("a.gm");
    CHECK(!opens("a.gm") && says(message)); /* nothing says that this step was on the disk */
    create_new("a.gm", 0);
    poke("a.gm", (size_t)2 * PAGE + 64, "\x7f", 1); /* the flag says clean, but a number is not what it was */
    forget_boot("a.gm");
    CHECK(!opens("a.gm") && says(message));
}

static void test_settle(void) {
    create_new("a.gm", 0);
    gm_model *m = open_or_die("a.gm", true);
    size_t n;
    unsigned char *bytes = slurp("a.gm", &n);
    CHECK(bytes[PAGE + CONTROL_CLEAN] == 1); /* nothing changed yet */
    free(bytes);
    for (int i = 0; i < 3; i++) {
        train(m);
        bytes = slurp("a.gm", &n);
        CHECK(bytes[PAGE + CONTROL_CLEAN] == 0);
        free(bytes);
        CHECK(gm_model_settle(m, &e) == 0);
        CHECK(gm_model_settle(m, &e) == 0);
        bytes = slurp("a.gm", &n);
        CHECK(bytes[PAGE + CONTROL_CLEAN] == 1);
        free(bytes);
        forget_boot("a.gm");
        CHECK(opens("a.gm"));
    }
    CHECK(gm_model_begin(m) != NULL); /* a step that never ends does not harm the settled one but for the flag */
    gm_model_close(m);
    forget_boot("a.gm");
    CHECK(opens("a.gm"));
}

int main(void) {
    char directory[] = "/tmp/gm-model-test-XXXXXX";
    if (!mkdtemp(directory) || chdir(directory) != 0) {
        perror(directory);
        return 1;
    }
    unsetenv("GM_WAIT_SECONDS");
    RUN(test_names);
    RUN(test_spec_round_trip);
    RUN(test_spec_words);
    RUN(test_spec_refusals);
    RUN(test_create_and_open);
    RUN(test_create_existing);
    RUN(test_create_refusals);
    RUN(test_create_full);
    RUN(test_open_refusals);
    RUN(test_publish);
    RUN(test_view_holds);
    RUN(test_skip);
    RUN(test_view_at);
    RUN(test_note_blas);
    RUN(test_lock);
    RUN(test_lock_dies);
    RUN(test_lock_fills_holes);
    RUN(test_snapshot);
    RUN(test_snapshot_under_writer);
    RUN(test_snapshot_slower_than_writer);
    RUN(test_stopped_reader);
    RUN(test_wait);
    RUN(test_lockstep);
    RUN(test_wait_without_writer);
    RUN(test_wait_for_slow_writer);
    RUN(test_kills);
    RUN(test_crash);
    RUN(test_settle);
    DIR *d = opendir(".");
    for (struct dirent *entry; (entry = readdir(d));) {
        if (entry->d_name[0] != '.') unlink(entry->d_name);
    }
    closedir(d);
    if (chdir("/") != 0 || rmdir(directory) != 0) perror(directory);
    return check_done();
}
