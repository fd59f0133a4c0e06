#include "gm/net.h"

#include "gm/rng.h"

#include "layer.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum init_kind { GLOROT, HE, NORMAL } init_kind;
typedef struct init_rule {
    init_kind kind;
    float sigma;
} init_rule;

static int parse_init(const char *text, init_rule *rule, gm_error *e) {
    static const char *const words[] = {"glorot", "he", "normal", NULL};
    *rule = (init_rule){.kind = GLOROT};
    if (strcmp(text, "glorot") == 0) return 0;
    rule->kind = HE;
    if (strcmp(text, "he") == 0) return 0;
    rule->kind = NORMAL;
    double sigma;
    if (strncmp(text, "normal:", 7) == 0 && gm_parse_double(text + 7, &sigma) && sigma >= 0 &&
        sigma <= (double)FLT_MAX) {
        rule->sigma = (float)sigma;
        return 0;
    }
    if (strncmp(text, "normal", 6) == 0 && (text[6] == ':' || text[6] == '\0'))
        return gm_fail_usage(e, "initializer '%s': a standard deviation of at least 0 is needed, as in normal:0.02",
                             text);
    const char *meant = gm_did_you_mean(text, words);
    if (meant) return gm_fail_usage(e, "unknown initializer '%s' (did you mean %s?)", text, meant);
    return gm_fail_usage(e, "unknown initializer '%s' (glorot, he or normal:SIGMA)", text);
}

int gm_init_check(const char *init, gm_error *e) {
    init_rule rule;
    return parse_init(init, &rule, e);
}

static void init_weights(const gm_layer *layer, gm_rng rng, init_rule rule, size_t count, float *w) {
    if (rule.kind == GLOROT) {
        float limit = (float)sqrt(6.0 / (double)(layer->inputs + layer->units));
        gm_rng_uniform(rng, 0, count, w);
        for (size_t i = 0; i < count; i++) w[i] = (2.0f * w[i] - 1.0f) * limit; /* all but the product is exact */
        return;
    }
    float sigma = rule.kind == HE ? (float)sqrt(2.0 / (double)layer->inputs) : rule.sigma;
    gm_rng_normal(rng, 0, count, w);
    for (size_t i = 0; i < count; i++) w[i] *= sigma;
}

static void fill(float *x, size_t n, float value) {
    for (size_t i = 0; i < n; i++) x[i] = value;
}

/* u of a spectral layer, close to what it tends to. */
static int init_spectral(const gm_layer *layer, gm_rng rng, const float *weights, const gm_net *net, float *block,
                         gm_error *e) {
    float *u = block + net->parameters[layer->statistics].offset, *a = gm_new(layer->inputs, sizeof *a, e);
    if (!a) return -1;
    rng.step = 1;
    gm_rng_normal(rng, 0, layer->units, u);
    for (int i = 0; i < 20; i++) gm_spectral_iterate(layer, weights, u, a, u);
    free(a);
    return 0;
}

int gm_net_init(const gm_net *net, const char *init, uint64_t seed, float *block, gm_error *e) {
    init_rule rule;
    if (parse_init(init, &rule, e)) return -1;
    memset(block, 0, net->block * sizeof *block);
    for (size_t l = 0; l < net->layer_count; l++) {
        const gm_layer *layer = &net->layers[l];
        if (layer->kind == GM_BATCHNORM) {
            fill(block + net->parameters[layer->weights].offset, layer->units, 1.0f);
            fill(block + net->parameters[layer->statistics + 1].offset, layer->units, 1.0f);
        }
        if (layer->kind != GM_DENSE) continue;
        const gm_parameter *w = &net->parameters[layer->weights];
        gm_rng rng = {.seed = seed, .purpose = GM_PURPOSE_INIT, .stream = (uint32_t)l};
        init_weights(layer, rng, rule, w->count, block + w->offset);
        if (layer->spectral && init_spectral(layer, rng, block + w->offset, net, block, e)) return -1;
    }
    return 0;
}
