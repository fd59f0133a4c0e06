/* walks_test.c: who shares a walk, and that it outlives the model it was first borrowed with. */
#include "check.h"
#include "gm/walks.h"

#include <stdlib.h>
#include <unistd.h>

static gm_error e;

static void create(const char *path) {
    const char *const layers[] = {"dense:3:tanh"};
    gm_model_spec spec = {.name = "M", .init = "he", .seed = 7};
    size_t floats = 0;
    unlink(path);
    spec.net = gm_net_parse("2", layers, 1, (gm_words){0}, &e);
    if (!spec.net || gm_optim_parse("sgd", &spec.optim, &e) != 0 || !gm_model_floats(&spec, &floats)) exit(1);
    float *blocks = calloc(floats, sizeof *blocks);
    if (!blocks) exit(1);
    for (size_t i = 0; i < floats; i++) blocks[i] = 0.5f;
    CHECK(gm_model_create(path, &spec, &(gm_state){.blocks = blocks}, false, &e) == 0);
    free(blocks);
    gm_model_spec_free(&spec);
}

static gm_model *open_model(const char *path) {
    gm_model *m = gm_model_open(path, &e);
    if (!m) exit(1);
    return m;
}

static void check_forward(gm_walk *w, const gm_model *m) {
    const float x[] = {1, 1};
    float y[3] = {0};
    gm_input input = {.part_count = 1, .parts[0] = {.name = "x", .values = x, .columns = 2}};
    CHECK(gm_walk_forward(w, gm_model_view(m).params, &input, 1, (gm_mode){0}, y, &e) == 0);
    for (size_t i = 0; i < 3; i++) CHECK_NEAR(y[i], tanh(1.5), 1e-6);
}

static void test_sharing(void) {
    create("walks_test.a");
    create("walks_test.b");
    gm_model *first = open_model("walks_test.a"), *second = open_model("./walks_test.a"),
             *other = open_model("walks_test.b");
    gm_walk *w = gm_walk_borrow(first, &e), *apart = gm_walk_borrow(other, &e);
    CHECK(w && apart && w != apart);
    CHECK(gm_walk_borrow(second, &e) == w);
    gm_walk_return(first, w);
    gm_model_close(first);
    check_forward(w, second); /* with the network of the second one */
    gm_walk_return(second, w);
    gm_model_close(second);
    check_forward(apart, other);
    gm_walk_return(other, apart);
    gm_walk_return(other, NULL);
    gm_model_close(other);
    unlink("walks_test.a");
    unlink("walks_test.b");
}

int main(void) {
    RUN(test_sharing);
    return check_done();
}
