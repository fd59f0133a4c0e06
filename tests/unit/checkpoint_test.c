/* checkpoint_test.c: a model as a record and back, bit for bit; and what is refused on the way back. */
#include "check.h"

#include "gm/model.h"
#include "gm/stream.h"

#include <stdlib.h>
#include <unistd.h>

static gm_error e;

static bool says(const char *part) {
    if (strstr(e.text, part)) return true;
    printf("# the message is: %s\n", e.text);
    return false;
}

/* Never 0, all different, some denormal or negative. */
static void fill_block(const gm_net *net, float *block, float factor) {
    for (size_t i = 0; i < net->parameter_count; i++) {
        const gm_parameter *p = &net->parameters[i];
        for (size_t j = 0; j < p->count; j++) block[p->offset + j] = factor * (float)(j + 1) * (i % 2 ? -0.1F : 1e-39F);
    }
}

static void make(const char *optimizer, gm_model_spec *spec, gm_state *state) {
    static const char *const layers[] = {"dense:5:leaky", "dropout:0.25", "dense:classes:softmax"};
    *spec = (gm_model_spec){.name = "C", .init = "normal:0.02", .seed = UINT64_MAX};
    spec->net = gm_net_parse("features", layers, 3, (gm_words){.features = 7, .classes = 3}, &e);
    size_t floats = 0;
    if (!spec->net || gm_optim_parse(optimizer, &spec->optim, &e) != 0 || !gm_model_floats(spec, &floats)) {
        printf("# %s\n", e.text);
        exit(1);
    }
    spec->provenance = gm_value_map();
    if (gm_map_set(spec->provenance, "by", gm_value_text("test")) != 0) exit(1);
    *state = (gm_state){.step = 12, .updates = 3, .pending = 1, .blocks = gm_new_zeroed(floats, sizeof(float), &e)};
    for (size_t i = 0; i * spec->net->block < floats; i++) {
        fill_block(spec->net, state->blocks + i * spec->net->block, (float)(i + 1));
    }
}

static void release(gm_model_spec *spec, gm_state *state) {
    gm_model_spec_free(spec);
    free(state->blocks);
    state->blocks = NULL;
}

static gm_record *filled(const char *optimizer, bool parameters_only) {
    gm_model_spec spec;
    gm_state state;
    make(optimizer, &spec, &state);
    gm_record *r = gm_record_new(&e);
    CHECK(r && gm_checkpoint_fill(r, &spec, &state, parameters_only, true, &e) == 0);
    release(&spec, &state);
    return r;
}

static void round_trip(const char *optimizer) {
    gm_model_spec spec, back;
    gm_state state, again;
    size_t floats = 0;
    make(optimizer, &spec, &state);
    CHECK(gm_model_floats(&spec, &floats));
    gm_record *r = filled(optimizer, false);
    CHECK(r->has_step && r->step == 12 && r->rows == 0);
    CHECK(r->tensor_count == 4 * (1 + gm_optim_blocks(&spec.optim)));
    CHECK(gm_checkpoint_read(r, &back, &again, &e) == 0);
    CHECK(again.step == 12 && again.updates == 3 && again.pending == 1);
    CHECK(memcmp(again.blocks, state.blocks, floats * sizeof(float)) == 0);
    CHECK(back.seed == UINT64_MAX && back.net->parts[0].kind == GM_PART_FEATURES);
    CHECK_TEXT(back.init, "normal:0.02");
    gm_value *one = gm_model_spec_value(&spec, true, &e), *two = gm_model_spec_value(&back, true, &e);
    CHECK(gm_value_equal(one, two));
    gm_value_free(one);
    gm_value_free(two);
    gm_record_free(r);
    release(&spec, &state);
    release(&back, &again);
}

static void test_round_trip(void) {
    round_trip("sgd");
    round_trip("momentum");
    round_trip("rmsprop");
    round_trip("adam");
    round_trip("adam:accumulate=4");
}

static void test_names(void) {
    gm_record *r = filled("adam:accumulate=2", false);
    static const char *const names[] = {"0.W", "0.b", "2.W", "2.b", "0.W/m", "2.b/v", "0.W/g"};
    for (size_t i = 0; i < 7; i++) CHECK(gm_record_tensor(r, names[i]) != NULL);
    const gm_tensor *t = gm_record_tensor(r, "0.W/v");
    CHECK(t && t->rank == 2 && t->shape[0] == 7 && t->shape[1] == 5 && t->type == GM_F4);
    t = gm_record_tensor(r, "0.b");
    CHECK(t && t->rank == 1 && t->shape[0] == 5);
    const gm_value *model = gm_map_get(r->info, "model");
    CHECK_TEXT(gm_map_text(model, "seed", ""), "18446744073709551615");
    CHECK(gm_map_get(model, "provenance") != NULL);
    gm_record_free(r);
}

static void test_without_provenance(void) {
    gm_model_spec spec;
    gm_state state;
    make("sgd", &spec, &state);
    gm_record *r = gm_record_new(&e);
    CHECK(gm_checkpoint_fill(r, &spec, &state, false, false, &e) == 0);
    CHECK(gm_map_get(r->info, "model") && !gm_map_get(gm_map_get(r->info, "model"), "provenance"));
    gm_record_free(r);
    release(&spec, &state);
}

/* Without its state an optimizer begins anew. */
static void test_parameters_only(void) {
    gm_record *r = filled("adam", true);
    gm_model_spec spec;
    gm_state state;
    CHECK(r->tensor_count == 4 && !gm_map_get(r->info, "updates"));
    CHECK(gm_checkpoint_read(r, &spec, &state, &e) == 0);
    CHECK(state.step == 12 && state.updates == 0 && state.pending == 0);
    CHECK(state.blocks[0] == 1e-39F);
    for (size_t i = spec.net->block; i < 3 * spec.net->block; i++) CHECK(state.blocks[i] == 0);
    release(&spec, &state);
    CHECK(gm_map_set(r->info, "updates", gm_value_int(5)) == 0);
    CHECK(gm_checkpoint_read(r, &spec, &state, &e) == 0 && state.updates == 0);
    release(&spec, &state);
    gm_record_free(r);
}

static void test_through_a_stream(void) {
    gm_model_spec spec, back;
    gm_state state, again;
    size_t floats = 0;
    make("adam", &spec, &state);
    CHECK(gm_model_floats(&spec, &floats));
    gm_record *r = filled("adam", false);
    char path[] = "/tmp/gm-checkpoint-test-XXXXXX";
    int fd = mkstemp(path);
    unlink(path);
    gm_writer *w = gm_writer_new(fd, "checkpoint", 3, &e);
    CHECK(w && gm_writer_put(w, r, &e) == 0 && gm_writer_finish(w, &e) == 0);
    gm_writer_free(w);
    CHECK(lseek(fd, 0, SEEK_SET) == 0);
    gm_reader *reader = gm_reader_new(fd, "checkpoint", GM_MAX_TENSOR_DEFAULT, &e);
    CHECK(reader && gm_reader_next(reader, r, &e) == 1);
    CHECK(gm_checkpoint_read(r, &back, &again, &e) == 0);
    CHECK(again.step == 12 && again.updates == 3 && memcmp(again.blocks, state.blocks, floats * sizeof(float)) == 0);
    CHECK(gm_reader_next(reader, r, &e) == 0);
    gm_reader_free(reader);
    gm_record_free(r);
    close(fd);
    release(&spec, &state);
    release(&back, &again);
}

/* Other types are read as numbers, unknown tensors are passed over, and no step is step 0. */
static void test_lenient(void) {
    gm_record *r = filled("sgd", false);
    size_t shape[1] = {5};
    gm_tensor *t = gm_record_put(r, "0.b", GM_F8, 1, shape, &e);
    for (size_t i = 0; i < 5; i++) ((double *)t->data)[i] = (double)i + 0.5;
    CHECK(gm_record_put(r, "mine", GM_F4, 1, shape, &e) != NULL);
    r->has_step = false;
    gm_model_spec spec;
    gm_state state;
    CHECK(gm_checkpoint_read(r, &spec, &state, &e) == 0);
    const float *b = state.blocks + spec.net->parameters[gm_net_parameter(spec.net, "0.b")].offset;
    CHECK(state.step == 0 && b[0] == 0.5F && b[4] == 4.5F);
    release(&spec, &state);
    gm_record_free(r);
}

static void refuse(gm_record *r, const char *message) {
    gm_model_spec spec;
    gm_state state;
    CHECK(gm_checkpoint_read(r, &spec, &state, &e) == -1 && says(message) && !e.usage);
    CHECK(!spec.net && !state.blocks);
    gm_record_free(r);
}

static void test_refusals(void) {
    gm_record *r = gm_record_new(&e);
    refuse(r, "no checkpoint");
    r = filled("adam", false);
    gm_record_remove(r, "2.W");
    refuse(r, "tensor '2.W' is missing");
    r = filled("adam", false);
    gm_record_remove(r, "0.W/v"); /* some of the state is none */
    refuse(r, "tensor '0.W/v' is missing");
    r = filled("adam", false);
    CHECK(gm_record_put_matrix(r, "0.W", 5, 7, &e) != NULL);
    refuse(r, "tensor '0.W' has shape 5\xc3\x97"
              "7, the model's is 7\xc3\x97"
              "5");
    r = filled("adam", false);
    CHECK(gm_record_put_matrix(r, "0.b/m", 5, 1, &e) != NULL);
    refuse(r, "tensor '0.b/m' has shape");
    r = filled("adam", false);
    ((float *)gm_record_tensor(r, "2.b")->data)[1] = NAN;
    refuse(r, "tensor '2.b': number 1 is not finite");
    r = filled("adam", false);
    ((float *)gm_record_tensor(r, "0.W/v")->data)[34] = -INFINITY;
    refuse(r, "tensor '0.W/v': number 34 is not finite");
    r = filled("sgd", false);
    size_t shape[1] = {5};
    gm_tensor *t = gm_record_put(r, "0.b", GM_F8, 1, shape, &e);
    for (size_t i = 0; i < 5; i++) ((double *)t->data)[i] = 1e300; /* finite, but no float */
    refuse(r, "tensor '0.b': number 0 is not finite");
    r = filled("sgd", false);
    CHECK(gm_map_set(r->info, "updates", gm_value_int(-1)) == 0);
    refuse(r, "fewer than 0");
    r = filled("sgd", false);
    gm_map_remove(gm_map_find(r->info, "model"), "optimizer");
    refuse(r, "optimizer");
    r = filled("sgd", false);
    CHECK(gm_map_set(r->info, "model", gm_value_text("D")) == 0);
    refuse(r, "no map");
}

int main(void) {
    RUN(test_round_trip);
    RUN(test_names);
    RUN(test_without_provenance);
    RUN(test_parameters_only);
    RUN(test_through_a_stream);
    RUN(test_lenient);
    RUN(test_refusals);
    return check_done();
}
