/* calibration_test.c: a calibration in a model file: kept, stale, torn, killed, saved. Offsets are those of
 * gm-model(5). */
#include "check.h"

#include "gm/model.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, CALIBRATIONS = 136, CALIBRATION_BYTES = 56 };

static gm_error e;

static bool says(const char *part) {
    if (strstr(e.text, part)) return true;
    printf("# the message is: %s\n", e.text);
    return false;
}

static gm_model_spec make_spec(void) {
    static const char *const layers[] = {"dense:1"};
    gm_model_spec spec = {.name = "S", .init = "glorot"};
    spec.net = gm_net_parse("3", layers, 1, (gm_words){0}, &e);
    if (!spec.net || gm_optim_parse("sgd", &spec.optim, &e) != 0) exit(1);
    return spec;
}

static void create(const char *path, const gm_calibration *c) {
    gm_model_spec spec = make_spec();
    gm_state state = {.step = 4, .blocks = gm_new_zeroed(spec.net->block, sizeof(float), &e)};
    if (c) state.calibration = *c;
    unlink(path);
    CHECK(gm_model_create(path, &spec, &state, false, &e) == 0);
    free(state.blocks);
    gm_model_spec_free(&spec);
}

static gm_model *open_or_die(const char *path, bool lock) {
    gm_model *m = gm_model_open(path, &e);
    if (!m || (lock && gm_model_lock(m, &e) != 0)) {
        printf("# %s\n", e.text);
        exit(1);
    }
    return m;
}

static gm_calibration numbered(uint64_t step, uint64_t number) {
    double n = (double)number;
    return (gm_calibration){.kind = GM_PLATT, .slope = n, .offset = -2 * n, .step = step, .rows = number};
}

/* The number of a calibration that is whole, 0 for none. */
static uint64_t number_of(gm_calibration c) {
    if (c.kind == GM_UNCALIBRATED) return 0;
    CHECK(c.kind == GM_PLATT && c.slope == (double)c.rows && c.offset == -2 * (double)c.rows);
    return c.rows;
}

static void keep(gm_model *m, uint64_t number) {
    gm_calibration c = numbered(gm_model_step(m), number);
    CHECK(gm_model_calibrate(m, &c, &e) == 0);
}

static void train(gm_model *m) {
    memset(gm_model_begin(m), 0, gm_model_spec_of(m)->net->block * sizeof(float));
    gm_model_publish(m, 1, 0);
}

static void test_kept_for_its_step(void) {
    create("a.gm", NULL);
    gm_model *m = open_or_die("a.gm", true);
    gm_calibration c = gm_model_calibration(m, 4);
    CHECK(c.kind == GM_UNCALIBRATED && c.rows == 0);
    for (uint64_t i = 1; i <= 5; i++) {
        keep(m, i);
        CHECK(number_of(gm_model_calibration(m, 4)) == i);
    }
    CHECK(gm_model_settle(m, &e) == 0);
    gm_model_close(m);
    m = open_or_die("a.gm", true);
    gm_state state = {.blocks = gm_new(gm_model_spec_of(m)->net->block, sizeof(float), &e)};
    CHECK(gm_model_snapshot(m, true, &state, &e) == 0 && number_of(state.calibration) == 5);
    train(m); /* stale from here on, and nothing but its step and rows is told */
    CHECK(gm_model_snapshot(m, true, &state, &e) == 0);
    c = state.calibration;
    CHECK(c.kind == GM_UNCALIBRATED && c.step == 4 && c.rows == 5 && c.slope == 0 && c.offset == 0);
    CHECK(number_of(gm_model_calibration(m, 4)) == 5);
    gm_model_skip(m);
    keep(m, 9);
    CHECK(number_of(gm_model_calibration(m, 6)) == 9 && number_of(gm_model_calibration(m, 4)) == 0);
    free(state.blocks);
    gm_model_close(m);
}

static void test_refusals(void) {
    create("a.gm", NULL);
    gm_model *m = open_or_die("a.gm", false);
    gm_calibration c = numbered(4, 1);
    CHECK(gm_model_calibrate(m, &c, &e) == -1 && says("only its writer"));
    CHECK(gm_model_lock(m, &e) == 0);
    c.step = 3;
    CHECK(gm_model_calibrate(m, &c, &e) == -1 && says("of step 3, the model is at step 4"));
    c = numbered(4, 1);
    c.slope = (double)NAN;
    CHECK(gm_model_calibrate(m, &c, &e) == -1 && says("no calibration"));
    CHECK(gm_model_calibration(m, 4).rows == 0);
    gm_model_close(m);
}

static void poke(const char *path, size_t offset, unsigned char change) {
    unsigned char byte;
    int fd = open(path, O_RDWR);
    if (fd < 0 || pread(fd, &byte, 1, (off_t)offset) != 1) exit(1);
    byte ^= change;
    if (pwrite(fd, &byte, 1, (off_t)offset) != 1) exit(1);
    close(fd);
}

/* Any byte of the newer one changed: the older one counts. Both changed: none. */
static void test_torn(void) {
    create("a.gm", NULL);
    gm_model *m = open_or_die("a.gm", true);
    keep(m, 1);
    keep(m, 2);
    for (size_t i = 0; i < CALIBRATION_BYTES; i++) {
        size_t newer = PAGE + CALIBRATIONS + CALIBRATION_BYTES + i;
        poke("a.gm", newer, 0x41);
        CHECK(number_of(gm_model_calibration(m, 4)) == 1);
        poke("a.gm", newer - CALIBRATION_BYTES, 0x10);
        CHECK(gm_model_calibration(m, 4).rows == 0);
        poke("a.gm", newer - CALIBRATION_BYTES, 0x10);
        poke("a.gm", newer, 0x41);
        CHECK(number_of(gm_model_calibration(m, 4)) == 2);
    }
    gm_model_close(m);
}

/* Killed at any moment, the file has a whole calibration; and readers beside a writer never see half of one. */
static void test_kills(void) {
    create("a.gm", NULL);
    gm_model *reader = open_or_die("a.gm", false);
    uint64_t last = 0, seen = 0;
    for (int round = 0; round < 40; round++) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            gm_model *m = gm_model_open("a.gm", &e);
            if (!m || gm_model_lock(m, &e) != 0) _exit(1);
            for (uint64_t i = last + 1;; i++) {
                gm_calibration c = numbered(4, i);
                if (gm_model_calibrate(m, &c, &e) != 0) _exit(1);
            }
        }
        const uint64_t start = gm_nanoseconds();
        do {
            uint64_t number = number_of(gm_model_calibration(reader, 4));
            seen += number > last;
        } while (gm_nanoseconds() - start < 5000000 + (uint64_t)round * 10007);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        gm_model *m = open_or_die("a.gm", true); /* the lock died with the child */
        uint64_t number = number_of(gm_model_calibration(m, 4));
        CHECK(number >= last);
        last = number;
        gm_model_close(m);
    }
    CHECK(last > 40 && seen > 0);
    gm_model_close(reader);
}

static gm_record *save(const char *path) {
    gm_model *m = open_or_die(path, false);
    gm_state state = {.blocks = gm_new(gm_model_spec_of(m)->net->block, sizeof(float), &e)};
    gm_record *r = gm_record_new(&e);
    CHECK(gm_model_snapshot(m, false, &state, &e) == 0);
    CHECK(gm_checkpoint_fill(r, gm_model_spec_of(m), &state, false, false, &e) == 0);
    free(state.blocks);
    gm_model_close(m);
    return r;
}

static int restore(gm_record *r, gm_calibration *c) {
    gm_model_spec spec;
    gm_state state;
    if (gm_checkpoint_read(r, &spec, &state, &e) != 0) return -1;
    *c = state.calibration;
    free(state.blocks);
    gm_model_spec_free(&spec);
    return 0;
}

static bool same(const gm_calibration *a, const gm_calibration *b) {
    return a->kind == b->kind && a->slope == b->slope && a->offset == b->offset && a->step == b->step &&
           a->rows == b->rows;
}

static void test_checkpoint(void) {
    gm_calibration c = numbered(4, 3), back;
    c.slope = 1 / 3.0;
    create("b.gm", &c);
    gm_record *r = save("b.gm");
    CHECK(restore(r, &back) == 0 && same(&back, &c));
    gm_value *map = gm_map_find(r->info, "calibration");
    CHECK(map && gm_map_set(map, "step", gm_value_int(3)) == 0);
    CHECK(restore(r, &back) == -1 && says("calibration is of step 3, the checkpoint of step 4"));
    CHECK(gm_map_set(map, "step", gm_value_int(4)) == 0 && gm_map_set(map, "slope", gm_value_float(-1)) == 0);
    CHECK(restore(r, &back) == -1 && says("calibration is damaged"));
    CHECK(gm_map_set(map, "slope", gm_value_float(1)) == 0 && gm_map_set(map, "kind", gm_value_text("isotonic")) == 0);
    CHECK(restore(r, &back) == -1 && says("calibration is damaged"));
    gm_map_remove(r->info, "calibration");
    CHECK(restore(r, &back) == 0 && back.kind == GM_UNCALIBRATED);
    gm_record_free(r);

    c.step = 3; /* not the state's: not kept */
    create("b.gm", &c);
    r = save("b.gm");
    CHECK(!gm_map_get(r->info, "calibration"));
    gm_record_free(r);
}

int main(void) {
    char dir[] = "/tmp/gm-calibration-XXXXXX";
    if (!mkdtemp(dir) || chdir(dir) != 0) return 1;
    RUN(test_kept_for_its_step);
    RUN(test_refusals);
    RUN(test_torn);
    RUN(test_kills);
    RUN(test_checkpoint);
    unlink("a.gm");
    unlink("b.gm");
    rmdir(dir);
    return check_done();
}
