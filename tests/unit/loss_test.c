/* loss_test.c: losses as text, and whether they fit a network. */
#include "check.h"

#include "gm/loss.h"

static gm_loss loss;

static bool parses(const char *text) {
    gm_error e = {.text = ""};
    int status = gm_loss_parse(text, &loss, &e);
    if (status < 0) printf("# '%s': %s\n", text, e.text);
    return status == 0;
}

static void refused(const char *text, const char *message) {
    gm_error e = {.text = ""};
    CHECK(gm_loss_parse(text, &loss, &e) == -1);
    CHECK_TEXT(e.text, message);
    CHECK(e.usage);
}

#define REST "known bernoulli gaussian kl gp l1 l2"

static void test_gan(void) {
    CHECK(parses("bce(x,1) + bce(fake,0)"));
    CHECK(loss.term_count == 2 && loss.operand_count == 2);
    CHECK(loss.terms[0].kind == GM_BCE && loss.terms[0].weight == 1.0 && !loss.terms[0].named &&
          loss.terms[0].number == 1.0);
    CHECK(loss.terms[1].number == 0.0 && loss.terms[1].operand == 1);
    CHECK(loss.terms[0].column == 1 && loss.terms[1].column == 12);
    CHECK_TEXT(loss.operands[0].names[0], "x");
    CHECK_TEXT(loss.operands[1].names[0], "fake");
}

static void test_signs_and_weights(void) {
    CHECK(parses("-2*mean(x)+.5*mean( fake )-1e-4 * l2()\n"));
    CHECK(loss.term_count == 3);
    CHECK(loss.terms[0].weight == -2.0);
    CHECK(loss.terms[1].weight == 0.5);
    CHECK(loss.terms[2].weight == -1e-4 && loss.terms[2].kind == GM_L2 && loss.terms[2].column == 35);
    CHECK(parses("+mean(x)") && loss.terms[0].weight == 1.0);
    CHECK(parses("- mean(x)") && loss.terms[0].weight == -1.0);
    CHECK(parses("1.5E+2*mean(x)") && loss.terms[0].weight == 150.0);
    CHECK(parses("0*mean(x)") && loss.terms[0].weight == 0.0);
}

static void test_every_term(void) {
    static const char *const texts[] = {"bce(x,y)",      "ce(x,y)", "mse(x,y)", "mae(x,y)",   "hinge(x,y)",
                                        "sqhinge(x,y)",  "mean(x)", "prob(x)",  "known(x,1)", "bernoulli(x,y)",
                                        "gaussian(x,y)", "kl(x)",   "gp(x,x)",  "l1()",       "l2()"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        CHECK(parses(texts[i]));
        CHECK(loss.term_count == 1 && (size_t)loss.terms[0].kind == i);
        CHECK(strncmp(texts[i], gm_term_text(loss.terms[0].kind), strcspn(texts[i], "(")) == 0);
        CHECK(loss.terms[0].named == (strstr(texts[i], ",y") != NULL));
        CHECK(loss.operand_count == (strchr(texts[i], 'x') != NULL));
    }
}

static void test_targets(void) {
    CHECK(parses("hinge(x,-1)") && loss.terms[0].number == -1.0);
    CHECK(parses("mse(x,+.5)") && loss.terms[0].number == 0.5);
    CHECK(parses("mse(x, d/fake.2 )") && loss.terms[0].named);
    CHECK_TEXT(loss.terms[0].target, "d/fake.2");
    CHECK(parses("bce(x,0.9)") && loss.terms[0].number == 0.9);
}

static void test_two_tensors(void) {
    CHECK(parses("mean(fake) - mean(x) + 10*gp(x,fake)"));
    CHECK(loss.operand_count == 2 && loss.terms[2].operand == 1 && loss.terms[2].second == 0);
    CHECK(parses("gp([x,y],[fake,y])") && loss.operand_count == 2 && loss.terms[0].second == 1);
    CHECK(parses("gaussian(x,x)") && loss.terms[0].deviation == 1.0);
    CHECK(parses("gaussian(x,x, 0.1)") && loss.terms[0].deviation == 0.1);
    CHECK(parses("ce(fake,10)") && !loss.terms[0].named && loss.terms[0].number == 10.0);
}

static void test_operands_are_shared(void) {
    CHECK(parses("bce(x,1) + mse([ x ],0) + mean([z, y]) + prob([z,y]) + mean([y,z]) + mean([z,y,z])"));
    CHECK(loss.operand_count == 4);
    CHECK(loss.terms[1].operand == 0 && loss.terms[2].operand == 1 && loss.terms[3].operand == 1);
    CHECK(loss.terms[4].operand == 2 && loss.terms[5].operand == 3);
    CHECK(loss.operands[1].count == 2);
    CHECK_TEXT(loss.operands[1].names[1], "y");
}

static void test_unknown_terms(void) {
    refused("bce(x,1) + bse(fake,0)", "loss: column 12: unknown term 'bse' (did you mean bce?); terms are bce ce mse "
                                      "mae hinge sqhinge mean prob " REST);
    refused("2*frob(x)", "loss: column 3: unknown term 'frob' (did you mean prob?); terms are bce ce mse mae hinge "
                         "sqhinge mean prob " REST);
    refused("wasserstein(x)",
            "loss: column 1: unknown term 'wasserstein'; terms are bce ce mse mae hinge sqhinge mean prob " REST);
    refused("mse(\xc3\xa9,1)+qqq(x)",
            "loss: column 10: unknown term 'qqq'; terms are bce ce mse mae hinge sqhinge mean prob " REST);
}

static void test_missing_pieces(void) {
    refused("", "loss: column 1: expected a term, got the end; terms are bce ce mse mae hinge sqhinge mean prob " REST);
    refused("  ",
            "loss: column 3: expected a term, got the end; terms are bce ce mse mae hinge sqhinge mean prob " REST);
    refused("mean(x) +",
            "loss: column 10: expected a term, got the end; terms are bce ce mse mae hinge sqhinge mean prob " REST);
    refused("mean(x) + -2*mean(y)",
            "loss: column 11: expected a term, got '-2'; terms are bce ce mse mae hinge sqhinge mean prob " REST);
    refused("mean(x) mean(y)", "loss: column 9: expected + or - between terms, got 'mean'");
    refused("mean(x))", "loss: column 8: expected + or - between terms, got ')'");
    refused("mean", "loss: column 5: expected '(' behind mean, got the end");
    refused("mean(x", "loss: column 7: expected ')' at the end of mean, got the end");
    refused("bce(x 1)", "loss: column 7: expected ',' between bce's arguments, got '1'");
    refused("2 mean(x)", "loss: column 3: expected '*' behind the weight, got 'mean'");
    refused("mean([x,y)", "loss: column 10: expected ']' behind the joined tensors, got ')'");
}

static void test_arguments(void) {
    refused("bce(x)", "loss: column 6: bce takes two arguments, a tensor and a target");
    refused("bce()", "loss: column 5: bce takes two arguments, a tensor and a target");
    refused("bce(x,1,2)", "loss: column 8: bce takes two arguments, a tensor and a target");
    refused("mean(x,1)", "loss: column 7: mean takes one argument, a tensor");
    refused("mean()", "loss: column 6: mean takes one argument, a tensor");
    refused("gaussian(x,y,1,2)", "loss: column 15: gaussian takes a tensor, a target and perhaps a standard deviation");
    refused("gp(x)", "loss: column 5: gp takes two arguments, tensors between which it runs the model");
    refused("kl(x,1)", "loss: column 5: kl takes one argument, a tensor");
    refused("l2(x)", "loss: column 4: l2 takes no arguments");
    refused("mse(1,x)", "loss: column 5: expected the name of a tensor, got '1'");
    refused("mse(,x)", "loss: column 5: expected the name of a tensor, got ','");
    refused("mean([])", "loss: column 7: expected the name of a tensor, got ']'");
    refused("mean(a+b)", "loss: column 7: '+' in the name of a tensor");
    refused("mean(a\033[2J)", "loss: column 7: '?' in the name of a tensor");
}

static void test_numbers(void) {
    refused("1e*mean(x)", "loss: column 1: '1e' is not a number");
    refused("0x10*mean(x)", "loss: column 1: '0x10' is not a number");
    refused("1e400*mean(x)", "loss: column 1: '1e400' is not a number");
    refused("1e31*mean(x)", "loss: column 1: 1e31 is too large (at most 1e30)");
    refused("mse(x,1..2)", "loss: column 7: '1..2' is not a number");
    refused("mse(x,1x)", "loss: column 7: '1x' is not a number");
    refused("mse(x,-)", "loss: column 7: '-' is not a number");
    refused("mse(x,-inf)", "loss: column 7: '-inf' is not a number");
    refused("mse(x,NaN)", "loss: column 7: 'NaN' cannot be a target");
    refused("mse(x,-2e30)", "loss: column 7: -2e30 is too large (at most 1e30)");
    refused("ce(x,1.5)", "loss: column 6: ce's number is that of a class, 0, 1, ..., not 1.5");
    refused("ce(x,-1)", "loss: column 6: ce's number is that of a class, 0, 1, ..., not -1");
    refused("known(x,y)", "loss: column 9: known's target is a number, 0 to 1");
    refused("known(x,2)", "loss: column 9: known's target is a probability, 0 to 1, not 2");
    refused("bernoulli(x,2)", "loss: column 13: bernoulli's target is a probability, 0 to 1, not 2");
    refused("gaussian(x,y,0)", "loss: column 14: a standard deviation is a number above 0, not 0");
    refused("bce(x,2)", "loss: column 7: bce's target is a probability, 0 to 1, not 2");
    refused("bce(x,-0.1)", "loss: column 7: bce's target is a probability, 0 to 1, not -0.1");
    refused("hinge(x,0)", "loss: column 9: hinge's target is -1 or 1, not 0 (-1 is the class that bce calls 0)");
    refused("sqhinge(x,0.5)", "loss: column 11: sqhinge's target is -1 or 1, not 0.5");
}

/* text repeated n times, with `between` between */
static const char *repeat(const char *text, const char *between, size_t n) {
    static char out[4096];
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < n && used < sizeof out; i++)
        used += (size_t)snprintf(out + used, sizeof out - used, "%s%s", i ? between : "", text);
    CHECK(used < sizeof out);
    return out;
}

static void test_limits(void) {
    char text[300], name[GM_NAME_MAX + 1] = "";
    CHECK(parses(repeat("l2()", "+", GM_TERMS_MAX)));
    refused(repeat("l2()", "+", GM_TERMS_MAX + 1), "loss: column 161: more than 32 terms");
    CHECK(parses("mean(a)+mean(b)+mean(c)+mean(d)+mean(e)+mean(f)+mean(g)+mean(h)+mean(a)"));
    refused("mean(a)+mean(b)+mean(c)+mean(d)+mean(e)+mean(f)+mean(g)+mean(h)+mean(i)",
            "loss: column 70: more than 8 different tensors run through the model");
    CHECK(parses("mean([a,b,c,d,e,f,g,h])"));
    refused("mean([a,b,c,d,e,f,g,h,i])", "loss: column 23: more than 8 tensors are joined");
    memset(name, 'n', GM_NAME_MAX);
    snprintf(text, sizeof text, "mse(%s,%s)", name, name);
    CHECK(parses(text));
    CHECK_TEXT(loss.terms[0].target, name);
    snprintf(text, sizeof text, "mse(x,%sn)", name);
    refused(text, "loss: column 7: a name of 65 bytes (at most 64)");
}

/* ---- against networks ---- */

/* The message of gm_loss_check, or "". */
static const char *check_of(const char *input, const char *text, const char *last) {
    static gm_error e;
    const char *const layers[] = {"dense:4:relu", last};
    gm_net *net = gm_net_parse(input, layers, 2, (gm_words){0}, &e);
    e = (gm_error){.text = ""};
    if (!net || !parses(text)) return "no network or no loss";
    CHECK((gm_loss_check(&loss, net, &e) < 0) == (e.text[0] != '\0'));
    CHECK(e.usage == (e.text[0] != '\0'));
    gm_net_free(net);
    return e.text;
}

static const char *check(const char *text, const char *last) {
    return check_of("3", text, last);
}

/* A pack has no target of its own in a record. */
static void test_check_packs(void) {
    CHECK_TEXT(check_of("pac:2:3", "bce(x,1) + bce(fake,0) + gp(x,fake) + l2()", "dense:1"), "");
    CHECK_TEXT(check_of("pac:2:3", "ce(x,2) - mean(x)", "dense:3:softmax"), "");
    CHECK_TEXT(check_of("pac:1:3", "bce(x,y)", "dense:1"), "");
    CHECK_TEXT(check_of("pac:2:3", "mean(x) + bce(x,y)", "dense:1"),
               "loss: column 11: 'y' has a target for each row, but the model judges packs of 2 rows: bce takes a "
               "number here");
}

static void test_check(void) {
    CHECK_TEXT(check("ce(x,y)", "dense:3:softmax"), "");
    CHECK_TEXT(check("ce(x,y)", "dense:3:sigmoid"),
               "loss: column 1: ce needs a softmax output; the last layer is sigmoid");
    CHECK_TEXT(check("l2() + ce(x,y)", "dense:3"),
               "loss: column 8: ce needs a softmax output; the last layer is linear");
    CHECK_TEXT(check("bce(x,1) + prob(x)", "dense:1:sigmoid"), "");
    CHECK_TEXT(check("bce(x,1) + prob(x)", "dense:1"), "");
    CHECK_TEXT(check("bce(x,1)", "dense:1:tanh"),
               "loss: column 1: bce needs a sigmoid output, or a linear one as the logit; the last layer is tanh");
    CHECK_TEXT(check("2*prob(x)", "dense:2:softmax"),
               "loss: column 3: prob needs a sigmoid output, or a linear one as the logit; the last layer is softmax");
    CHECK_TEXT(check("hinge(x,1) + sqhinge(x,y)", "dense:1"), "");
    CHECK_TEXT(check("hinge(x,1)", "dense:1:tanh"), "");
    CHECK_TEXT(check("sqhinge(x,y)", "dense:2:softmax"), "loss: column 1: sqhinge needs an output that can be "
                                                         "negative, such as a linear one; the last layer is softmax");
    CHECK_TEXT(check("mse(x,y) + mae(x,1) + mean(x) + l1()", "dense:2:softmax"), "");
}

int main(void) {
    RUN(test_gan);
    RUN(test_signs_and_weights);
    RUN(test_every_term);
    RUN(test_targets);
    RUN(test_two_tensors);
    RUN(test_operands_are_shared);
    RUN(test_unknown_terms);
    RUN(test_missing_pieces);
    RUN(test_arguments);
    RUN(test_numbers);
    RUN(test_limits);
    RUN(test_check);
    RUN(test_check_packs);
    return check_done();
}
