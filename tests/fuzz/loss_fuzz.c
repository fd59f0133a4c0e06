/* loss_fuzz.c: any text as a loss, fitted to networks of each kind. */
#include "fuzz.h"

#include "gm/loss.h"

#include <math.h>

static gm_net *make(const char *input, const char *const *layers, size_t count) {
    gm_error e = {.text = ""};
    gm_net *net = gm_net_parse(input, layers, count, (gm_words){0}, &e);
    REQUIRE(net != NULL);
    return net;
}

static void check_operand(const gm_operand *t) {
    REQUIRE(t->count >= 1 && t->count <= GM_PARTS_MAX);
    for (size_t i = 0; i < t->count; i++) REQUIRE(t->names[i][0] != '\0' && strlen(t->names[i]) <= GM_NAME_MAX);
}

static void check_term(const gm_loss *loss, const gm_term *t, size_t length) {
    REQUIRE(t->kind <= GM_L2 && isfinite(t->weight) && isfinite(t->number) && isfinite(t->deviation));
    REQUIRE(t->column >= 1 && (size_t)t->column <= length);
    REQUIRE(t->kind == GM_L1 || t->kind == GM_L2 || t->operand < loss->operand_count);
    REQUIRE(t->kind != GM_GP || t->second < loss->operand_count);
    REQUIRE(!t->named || (t->target[0] != '\0' && strlen(t->target) <= GM_NAME_MAX));
    REQUIRE(t->kind != GM_NORMAL || t->deviation > 0);
}

/* Fits or says why not. */
static void check_nets(const gm_loss *loss) {
    static const char *const sigmoid[] = {"dense:3:tanh", "dense:1:sigmoid"}, *const softmax[] = {"dense:4:softmax"},
                             *const latent[] = {"dense:4", "gaussian:2", "dense:3"},
                             *const mixing[] = {"dense:3", "batchnorm", "dense:1"};
    gm_net *nets[] = {make("3", sigmoid, 2), make("3", softmax, 1), make("3", latent, 3), make("3", mixing, 3),
                      make("pac:2:3", sigmoid, 2)};
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        gm_error e = {.text = ""};
        const int failed = gm_loss_check(loss, nets[i], &e);
        REQUIRE((failed == 0) == (e.text[0] == '\0'));
        gm_net_free(nets[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = fuzz_text(data, size);
    gm_error e = {.text = ""};
    gm_loss loss;
    if (gm_loss_parse(text, &loss, &e) == 0) {
        REQUIRE(loss.term_count >= 1 && loss.term_count <= GM_TERMS_MAX && loss.operand_count <= GM_OPERANDS_MAX);
        for (size_t i = 0; i < loss.operand_count; i++) check_operand(&loss.operands[i]);
        for (size_t i = 0; i < loss.term_count; i++) check_term(&loss, &loss.terms[i], strlen(text));
        check_nets(&loss);
    } else {
        int column = 0;
        REQUIRE(e.usage && sscanf(e.text, "loss: column %d: ", &column) == 1);
        REQUIRE(column >= 1 && (size_t)column <= strlen(text) + 1);
    }
    free(text);
    return 0;
}
