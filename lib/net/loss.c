/* loss.c: reading a loss's text, and whether it fits a network. */
#include "gm/loss.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- the terms ---- */

#define TERM_KINDS (GM_L2 + 1)

/* What stands between the parentheses. */
typedef enum form { NOTHING, TENSOR, TARGET, DEVIATION, TENSORS } form;

static const struct {
    const char *text;
    form takes;
} term_table[TERM_KINDS] = {
    [GM_BCE] = {"bce", TARGET},
    [GM_CE] = {"ce", TARGET},
    [GM_MSE] = {"mse", TARGET},
    [GM_MAE] = {"mae", TARGET},
    [GM_HINGE] = {"hinge", TARGET},
    [GM_SQHINGE] = {"sqhinge", TARGET},
    [GM_MEAN] = {"mean", TENSOR},
    [GM_PROB] = {"prob", TENSOR},
    [GM_KNOWN] = {"known", TARGET},
    [GM_KL] = {"kl", TENSOR},
    [GM_BERNOULLI] = {"bernoulli", TARGET},
    [GM_NORMAL] = {"gaussian", DEVIATION},
    [GM_GP] = {"gp", TENSORS},
    [GM_L1] = {"l1", NOTHING},
    [GM_L2] = {"l2", NOTHING},
};

static const char *const form_texts[] = {[NOTHING] = "takes no arguments",
                                         [TENSOR] = "takes one argument, a tensor",
                                         [TARGET] = "takes two arguments, a tensor and a target",
                                         [DEVIATION] = "takes a tensor, a target and perhaps a standard deviation",
                                         [TENSORS] = "takes two arguments, tensors between which it runs the model"};

static const char all_terms[] = "terms are bce ce mse mae hinge sqhinge mean prob known bernoulli gaussian kl gp l1 l2";

#define LIMIT 1e30 /* of weights and targets: products with them stay finite floats */

const char *gm_term_text(gm_term_kind kind) {
    return term_table[kind].text;
}

bool gm_term_runs(gm_term_kind kind) {
    return kind != GM_L1 && kind != GM_L2 && kind != GM_GP;
}

/* ---- scanning ---- */

typedef struct scanner {
    const char *text;
    size_t at;
    gm_error *e;
} scanner;

/* A run of bytes that are no blanks and no punctuation; may be empty. */
typedef struct token {
    size_t at, length;
    const char *text;
} token;

/* The column of a byte, counted in characters of UTF-8. */
static int column(const char *text, size_t at) {
    int n = 1;
    for (size_t i = 0; i < at; i++) n += ((unsigned char)text[i] & 0xC0) != 0x80;
    return n;
}

GM_PRINTF(3, 4) static int refuse(const scanner *s, size_t at, const char *format, ...) {
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (char *c = text; *c; c++) /* nothing that a terminal would obey */
        if ((unsigned char)*c < 0x20 || *c == 0x7F) *c = '?';
    return gm_fail_usage(s->e, "loss: column %d: %s", column(s->text, at), text);
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static char look(scanner *s) {
    while (is_blank(s->text[s->at])) s->at++;
    return s->text[s->at];
}

static bool take(scanner *s, char c) {
    if (look(s) != c) return false;
    s->at++;
    return true;
}

static token take_token(scanner *s) {
    look(s);
    token t = {.at = s->at, .text = s->text + s->at};
    t.length = strcspn(t.text, " \t\r\n()[],*");
    s->at += t.length;
    return t;
}

/* What stands at the scanner, for "got ...": a word, a character, or the end. */
static const char *here(scanner *s, char out[48]) {
    char c = look(s);
    scanner ahead = *s;
    token t = take_token(&ahead);
    if (c == '\0')
        snprintf(out, 48, "the end");
    else
        snprintf(out, 48, "'%.*s%s'", t.length ? (int)(t.length < 30 ? t.length : 30) : 1, s->text + s->at,
                 t.length > 30 ? "..." : "");
    return out;
}

static int expect(scanner *s, char c, const char *why) {
    char got[48];
    if (take(s, c)) return 0;
    return refuse(s, s->at, "expected '%c' %s, got %s", c, why, here(s, got));
}

static bool begins_number(char c) {
    return (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '+';
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static int read_number(scanner *s, token t, double *number) {
    int shown = t.length < 40 ? (int)t.length : 40;
    if (!gm_parse_double_n(t.text, t.length, number)) return refuse(s, t.at, "'%.*s' is not a number", shown, t.text);
    if (fabs(*number) > LIMIT) return refuse(s, t.at, "%.*s is too large (at most 1e30)", shown, t.text);
    return 0;
}

/* ---- arguments ---- */

/* Names begin with a letter, so that they are no numbers; what can stand in them is what tensors are called here:
 * "d/fake", "0.W". */
static int read_name(scanner *s, char name[GM_NAME_MAX + 1]) {
    char got[48];
    token t = take_token(s);
    if (t.length == 0 || begins_number(t.text[0])) {
        s->at = t.at;
        return refuse(s, t.at, "expected the name of a tensor, got %s", here(s, got));
    }
    for (size_t i = 0; i < t.length; i++) {
        char c = t.text[i];
        if (is_letter(c) || (i > 0 && c != '+' && begins_number(c)) || (i > 0 && (c == '/' || c == ':'))) continue;
        return refuse(s, t.at + i, "'%c' in the name of a tensor", c);
    }
    if (t.length > GM_NAME_MAX) return refuse(s, t.at, "a name of %zu bytes (at most %d)", t.length, GM_NAME_MAX);
    memcpy(name, t.text, t.length);
    name[t.length] = '\0';
    return 0;
}

/* NAME or [NAME,NAME,...] */
static int read_operand(scanner *s, gm_operand *operand) {
    memset(operand, 0, sizeof *operand);
    if (!take(s, '[')) {
        operand->count = 1;
        return read_name(s, operand->names[0]);
    }
    do {
        look(s);
        if (operand->count == GM_PARTS_MAX) return refuse(s, s->at, "more than %d tensors are joined", GM_PARTS_MAX);
        if (read_name(s, operand->names[operand->count]) < 0) return -1;
        operand->count++;
    } while (take(s, ','));
    return expect(s, ']', "behind the joined tensors");
}

static bool same_operand(const gm_operand *a, const gm_operand *b) {
    if (a->count != b->count) return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->names[i], b->names[i]) != 0) return false;
    return true;
}

static int add_operand(scanner *s, gm_loss *loss, size_t *index) {
    gm_operand operand;
    look(s);
    size_t at = s->at;
    if (read_operand(s, &operand) < 0) return -1;
    for (*index = 0; *index < loss->operand_count; ++*index)
        if (same_operand(&loss->operands[*index], &operand)) return 0;
    if (loss->operand_count == GM_OPERANDS_MAX)
        return refuse(s, at, "more than %d different tensors run through the model", GM_OPERANDS_MAX);
    loss->operands[loss->operand_count++] = operand;
    return 0;
}

static int check_number(const scanner *s, const gm_term *term, token t) {
    int shown = (int)t.length;
    if (term->kind == GM_CE &&
        (term->number < 0.0 || term->number >= GM_UNITS_MAX || floor(term->number) != term->number))
        return refuse(s, t.at, "ce's number is that of a class, 0, 1, ..., not %.*s", shown, t.text);
    bool probability = term->kind == GM_BCE || term->kind == GM_BERNOULLI || term->kind == GM_KNOWN;
    if (probability && (term->number < 0.0 || term->number > 1.0))
        return refuse(s, t.at, "%s's target is a probability, 0 to 1, not %.*s", gm_term_text(term->kind), shown,
                      t.text);
    if ((term->kind == GM_HINGE || term->kind == GM_SQHINGE) && fabs(term->number) != 1.0)
        return refuse(s, t.at, "%s's target is -1 or 1, not %.*s%s", gm_term_text(term->kind), shown, t.text,
                      term->number == 0.0 ? " (-1 is the class that bce calls 0)" : "");
    return 0;
}

/* A tensor that is called like a number that is none would be a trap. */
static bool is_odd_number(const char *name) {
    static const char *const odd[] = {"inf", "nan", "infinity"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        if (strcasecmp(name, odd[i]) == 0) return true;
    return false;
}

static int read_target(scanner *s, gm_term *term) {
    look(s);
    token t = {.at = s->at};
    if (begins_number(s->text[s->at])) {
        t = take_token(s);
        if (read_number(s, t, &term->number) < 0) return -1;
        return check_number(s, term, t);
    }
    if (term->kind == GM_KNOWN) return refuse(s, t.at, "known's target is a number, 0 to 1");
    term->named = true;
    if (read_name(s, term->target) < 0) return -1;
    if (is_odd_number(term->target)) return refuse(s, t.at, "'%s' cannot be a target", term->target);
    return 0;
}

/* ---- terms ---- */

static int find_kind(const scanner *s, token t, gm_term_kind *kind) {
    const char *words[TERM_KINDS + 1] = {NULL};
    char word[32];
    for (int i = 0; i < TERM_KINDS; i++) {
        words[i] = term_table[i].text;
        if (strlen(words[i]) == t.length && memcmp(words[i], t.text, t.length) == 0) {
            *kind = (gm_term_kind)i;
            return 0;
        }
    }
    snprintf(word, sizeof word, "%.*s", (int)(t.length < sizeof word ? t.length : sizeof word - 1), t.text);
    const char *meant = gm_did_you_mean(word, words);
    return refuse(s, t.at, "unknown term '%s'%s%s%s; %s", word, meant ? " (did you mean " : "", meant ? meant : "",
                  meant ? "?)" : "", all_terms);
}

/* gaussian's third argument, a number above 0. */
static int read_deviation(scanner *s, gm_term *term) {
    term->deviation = 1.0;
    if (!take(s, ',')) return 0;
    look(s);
    token t = take_token(s);
    if (read_number(s, t, &term->deviation) < 0) return -1;
    if (term->deviation >= 1e-9) return 0;
    return refuse(s, t.at, "a standard deviation is a number above 0, not %.*s", (int)t.length, t.text);
}

/* What stands behind the first tensor. */
static int read_rest(scanner *s, gm_loss *loss, gm_term *term, form takes) {
    char why[64];
    const char *name = gm_term_text(term->kind);
    if (takes == TENSOR) return 0;
    if (look(s) == ')') return refuse(s, s->at, "%s %s", name, form_texts[takes]);
    snprintf(why, sizeof why, "between %s's arguments", name);
    if (expect(s, ',', why) < 0) return -1;
    if (takes == TENSORS) return add_operand(s, loss, &term->second);
    if (read_target(s, term) < 0) return -1;
    return takes == DEVIATION ? read_deviation(s, term) : 0;
}

static int read_arguments(scanner *s, gm_loss *loss, gm_term *term) {
    const char *name = gm_term_text(term->kind);
    form takes = term_table[term->kind].takes;
    char why[64];
    snprintf(why, sizeof why, "behind %s", name);
    if (expect(s, '(', why) < 0) return -1;
    if (takes != NOTHING) {
        if (look(s) == ')') return refuse(s, s->at, "%s %s", name, form_texts[takes]);
        if (add_operand(s, loss, &term->operand) < 0 || read_rest(s, loss, term, takes) < 0) return -1;
    }
    char next = look(s);
    if (next == ',' || (takes == NOTHING && next != ')' && next != '\0'))
        return refuse(s, s->at, "%s %s", name, form_texts[takes]);
    snprintf(why, sizeof why, "at the end of %s", name);
    return expect(s, ')', why);
}

/* [number *] name ( arguments ), behind the sign */
static int read_term(scanner *s, gm_loss *loss, double sign) {
    char got[48], c = look(s);
    if (loss->term_count == GM_TERMS_MAX) return refuse(s, s->at, "more than %d terms", GM_TERMS_MAX);
    gm_term *term = &loss->terms[loss->term_count];
    *term = (gm_term){.weight = sign};
    if ((c >= '0' && c <= '9') || c == '.') {
        double weight;
        if (read_number(s, take_token(s), &weight) < 0 || expect(s, '*', "behind the weight") < 0) return -1;
        term->weight *= weight;
        c = look(s);
    }
    if (!is_letter(c)) return refuse(s, s->at, "expected a term, got %s; %s", here(s, got), all_terms);
    term->column = column(s->text, s->at);
    if (find_kind(s, take_token(s), &term->kind) < 0 || read_arguments(s, loss, term) < 0) return -1;
    loss->term_count++;
    return 0;
}

int gm_loss_parse(const char *text, gm_loss *loss, gm_error *e) {
    scanner s = {.text = text, .e = e};
    char got[48];
    memset(loss, 0, sizeof *loss);
    do {
        char c = look(&s);
        bool sign = c == '+' || c == '-';
        if (!sign && loss->term_count > 0)
            return refuse(&s, s.at, "expected + or - between terms, got %s", here(&s, got));
        s.at += sign;
        if (read_term(&s, loss, c == '-' ? -1.0 : 1.0) < 0) return -1;
    } while (look(&s) != '\0');
    return 0;
}

/* ---- the network's end ---- */

static gm_activation last_activation(const gm_layer *end) {
    return end->kind == GM_DENSE ? end->activation : GM_LINEAR;
}

/* What the term needs of the last layer, or NULL if it has it. */
static const char *lacking(gm_term_kind kind, const gm_layer *end) {
    gm_activation last = last_activation(end);
    switch (kind) {
    case GM_CE:
    case GM_KNOWN:
        return last == GM_SOFTMAX ? NULL : "a softmax output";
    case GM_BCE:
    case GM_BERNOULLI:
    case GM_PROB:
        return end->kind != GM_MIXED && (last == GM_SIGMOID || last == GM_LINEAR)
                   ? NULL
                   : "a sigmoid output, or a linear one as the logit";
    case GM_HINGE:
    case GM_SQHINGE:
        return last == GM_SOFTMAX ? "an output that can be negative, such as a linear one" : NULL;
    default:
        return NULL;
    }
}

/* The layer that gp cannot go through, or layer_count. */
static size_t unbending(const gm_net *net) {
    for (size_t l = 0; l < net->layer_count; l++) {
        const gm_layer *layer = &net->layers[l];
        bool bends = layer->kind == GM_DROPOUT || (layer->kind == GM_DENSE && layer->activation != GM_SOFTMAX);
        if (!bends) return l;
    }
    return net->layer_count;
}

static int check_penalty(const gm_term *t, const gm_net *net, gm_error *e) {
    size_t l = unbending(net);
    char text[64];
    if (net->outputs != 1)
        return gm_fail_usage(e, "loss: column %d: gp needs a network with one output, not %zu", t->column,
                             net->outputs);
    if (l == net->layer_count) return 0;
    const char *layer = gm_layer_text(&net->layers[l], text, sizeof text);
    return gm_fail_usage(e,
                         "loss: column %d: gp has no second derivative through layer %zu, %s: it takes dense layers, "
                         "softmax excepted, and dropout",
                         t->column, l, layer ? layer : "?");
}

int gm_loss_check(const gm_loss *loss, const gm_net *net, gm_error *e) {
    const gm_layer *end = &net->layers[net->layer_count - 1];
    for (size_t i = 0; i < loss->term_count; i++) {
        const gm_term *t = &loss->terms[i];
        const char *need = lacking(t->kind, end), *name = gm_term_text(t->kind);
        if (t->named && net->pack > 1)
            return gm_fail_usage(e,
                                 "loss: column %d: '%s' has a target for each row, but the model judges packs of %zu "
                                 "rows: %s takes a number here",
                                 t->column, t->target, net->pack, name);
        if (need)
            return gm_fail_usage(e, "loss: column %d: %s needs %s; the last layer is %s", t->column, name, need,
                                 end->kind == GM_MIXED ? "mixed" : gm_activation_text(last_activation(end)));
        if (t->kind == GM_CE && !t->named && t->number >= (double)net->outputs)
            return gm_fail_usage(e, "loss: column %d: ce: class %.0f is outside 0..%zu", t->column, t->number,
                                 net->outputs - 1);
        if (t->kind == GM_KL && gm_net_latent(net) < 0)
            return gm_fail_usage(e, "loss: column %d: kl needs a gaussian layer, and the model has none", t->column);
        if (t->kind == GM_GP && check_penalty(t, net, e) < 0) return -1;
    }
    return 0;
}

bool gm_loss_weighs_classes(gm_term_kind kind) {
    return kind == GM_BCE || kind == GM_CE || kind == GM_HINGE || kind == GM_SQHINGE;
}
