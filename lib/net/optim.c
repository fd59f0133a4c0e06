#include "gm/optim.h"

#include "gm/ops.h"

#include "../math/clones.h"

#include <float.h>
#include <math.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* ---- texts ---- */

enum { KEYS_MAX = 8, WORD_MAX = 64, ACCUMULATE_MAX = 1 << 20, AVERAGE_MAX = 1 << 30 };

static const char *const kind_texts[] = {"sgd", "momentum", "rmsprop", "adam", NULL};

/* The keys of each kind, in the order in which they are written. */
static const char *const kind_keys[][KEYS_MAX] = {
    [GM_SGD] = {"lr", "accumulate", "average", "ema", NULL},
    [GM_MOMENTUM] = {"lr", "momentum", "nesterov", "accumulate", "average", "ema", NULL},
    [GM_RMSPROP] = {"lr", "rho", "eps", "accumulate", "average", "ema", NULL},
    [GM_ADAM] = {"lr", "beta1", "beta2", "eps", "accumulate", "average", "ema", NULL},
};

static const gm_optim defaults[] = {
    [GM_SGD] = {.kind = GM_SGD, .lr = 0.01},
    [GM_MOMENTUM] = {.kind = GM_MOMENTUM, .lr = 0.01, .momentum = 0.9},
    [GM_RMSPROP] = {.kind = GM_RMSPROP, .lr = 1e-3, .rho = 0.9, .eps = 1e-7},
    [GM_ADAM] = {.kind = GM_ADAM, .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
};

static long find_word(const char *word, const char *const *words) {
    for (long i = 0; words[i]; i++)
        if (strcmp(words[i], word) == 0) return i;
    return -1;
}

/* "unknown WHAT 'word' (did you mean ...?)" */
static int unknown(const char *what, const char *word, const char *const *words, gm_error *e) {
    const char *meant = gm_did_you_mean(word, words);
    if (meant) return gm_fail_usage(e, "unknown %s '%s' (did you mean %s?)", what, word, meant);
    return gm_fail_usage(e, "unknown %s '%s'", what, word);
}

static double *real_of(gm_optim *o, const char *key) {
    return strcmp(key, "lr") == 0         ? &o->lr
           : strcmp(key, "momentum") == 0 ? &o->momentum
           : strcmp(key, "rho") == 0      ? &o->rho
           : strcmp(key, "beta1") == 0    ? &o->beta1
           : strcmp(key, "beta2") == 0    ? &o->beta2
           : strcmp(key, "ema") == 0      ? &o->ema
                                          : &o->eps;
}

static int set_real(gm_optim *o, const char *key, const char *text, gm_error *e) {
    double value;
    if (!gm_parse_double(text, &value)) return gm_fail_usage(e, "%s must be a number, not '%s'", key, text);
    if (strcmp(key, "lr") == 0) {
        if (!(value >= 0 && value <= (double)FLT_MAX)) return gm_fail_usage(e, "lr must be 0 to 3.4e38, not %s", text);
    } else if (strcmp(key, "eps") == 0) {
        /* Less would be a denormal number in some update, and those count as zero. */
        if (!(value >= 1e-29 && value <= 1e30)) return gm_fail_usage(e, "eps must be 1e-29 to 1e30, not %s", text);
    } else if (!(value >= 0 && value < 1)) {
        return gm_fail_usage(e, "%s must be at least 0 and below 1, not %s", key, text);
    }
    *real_of(o, key) = value;
    return 0;
}

static int set_key(gm_optim *o, const char *key, const char *text, gm_error *e) {
    uint64_t count;
    if (strcmp(key, "nesterov") == 0) {
        if (!gm_parse_u64(text, 0, 1, &count)) return gm_fail_usage(e, "nesterov must be 0 or 1, not '%s'", text);
        o->nesterov = count == 1;
        return 0;
    }
    if (strcmp(key, "accumulate") == 0) {
        if (!gm_parse_size(text, 0, ACCUMULATE_MAX, &o->accumulate))
            return gm_fail_usage(e, "accumulate must be 0 to %d, not '%s'", ACCUMULATE_MAX, text);
        return 0;
    }
    if (strcmp(key, "average") == 0) {
        if (!gm_parse_size(text, 0, AVERAGE_MAX, &o->average))
            return gm_fail_usage(e, "average must be the number of an update, 0 to %d, not '%s'", AVERAGE_MAX, text);
        return 0;
    }
    return set_real(o, key, text, e);
}

/* One "key=value" of n bytes; *seen has a bit for each key that was given. */
static int parse_pair(gm_optim *o, const char *text, size_t n, unsigned *seen, gm_error *e) {
    char pair[WORD_MAX];
    if (n >= sizeof pair) return gm_fail_usage(e, "'%.*s...' is too long", 40, text);
    memcpy(pair, text, n);
    pair[n] = '\0';
    char *value = strchr(pair, '=');
    if (!value) return gm_fail_usage(e, "'%s' is not of the form name=value", pair);
    *value++ = '\0';
    long key = find_word(pair, kind_keys[o->kind]);
    if (key < 0) return unknown("setting", pair, kind_keys[o->kind], e);
    if (*seen & 1u << key) return gm_fail_usage(e, "%s is given twice", pair);
    *seen |= 1u << key;
    return set_key(o, pair, value, e);
}

static int parse_pairs(gm_optim *o, const char *text, gm_error *e) {
    unsigned seen = 0;
    for (;;) {
        size_t n = strcspn(text, ",");
        if (parse_pair(o, text, n, &seen, e)) return -1;
        if (!text[n]) return 0;
        text += n + 1;
    }
}

int gm_optim_parse(const char *text, gm_optim *o, gm_error *e) {
    char kind[WORD_MAX];
    size_t n = strcspn(text, ":");
    snprintf(kind, sizeof kind, "%.*s", (int)(n < WORD_MAX ? n : WORD_MAX), text);
    long k = find_word(kind, kind_texts);
    if (k < 0) return unknown("optimizer", kind, kind_texts, e);
    gm_optim parsed = defaults[k];
    if (text[n] && parse_pairs(&parsed, text + n + 1, e)) return gm_fail_within(e, "optimizer '%s': ", text);
    if (parsed.average > 0 && parsed.ema > 0)
        return gm_fail_usage(e, "optimizer '%s': average and ema exclude each other", text);
    *o = parsed;
    return 0;
}

char *gm_optim_text(const gm_optim *o, char out[256]) {
    gm_optim copy = *o;
    char number[32];
    int used = snprintf(out, 256, "%s", kind_texts[o->kind]);
    for (size_t i = 0; kind_keys[o->kind][i]; i++) {
        const char *key = kind_keys[o->kind][i];
        bool accumulate = strcmp(key, "accumulate") == 0, average = strcmp(key, "average") == 0;
        size_t count = accumulate ? o->accumulate : o->average;
        if ((accumulate || average) && count == 0) continue;
        if (strcmp(key, "ema") == 0 && !(o->ema > 0)) continue;
        if (accumulate || average)
            snprintf(number, sizeof number, "%zu", count);
        else if (strcmp(key, "nesterov") == 0)
            snprintf(number, sizeof number, "%d", o->nesterov);
        else
            gm_format_f64(*real_of(&copy, key), number);
        used += snprintf(out + used, 256 - (size_t)used, "%c%s=%s", i ? ',' : ':', key, number);
    }
    return out;
}

static const char *const moment_letters[] = {[GM_SGD] = "", [GM_MOMENTUM] = "m", [GM_RMSPROP] = "v", [GM_ADAM] = "mv"};

size_t gm_optim_moments(const gm_optim *o) {
    return strlen(moment_letters[o->kind]);
}

bool gm_optim_averages(const gm_optim *o) {
    return o->average > 0 || o->ema > 0;
}

size_t gm_optim_blocks(const gm_optim *o) {
    return gm_optim_moments(o) + gm_optim_averages(o) + (o->accumulate > 0);
}

char gm_optim_block_letter(const gm_optim *o, size_t i) {
    size_t moments = gm_optim_moments(o);
    if (i < moments) return moment_letters[o->kind][i];
    return i == moments && gm_optim_averages(o) ? 'a' : 'g';
}

/* ---- updates: one loop for each kind, formulas in optim.h. Each returns 0 if all that it wrote is finite. ---- */

GM_CLONES static uint32_t update_sgd(size_t n, float lr, const float *restrict g, const float *restrict w,
                                     float *restrict new_w) {
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        new_w[i] = w[i] - lr * g[i];
        bad |= gm_not_finite(new_w[i]);
    }
    return bad;
}

GM_CLONES static uint32_t update_momentum(size_t n, float lr, float momentum, const float *restrict g,
                                          const float *restrict w, const float *restrict m, float *restrict new_w,
                                          float *restrict new_m) {
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        float mi = momentum * m[i] + g[i];
        new_m[i] = mi;
        new_w[i] = w[i] - lr * mi;
        bad |= gm_not_finite(mi) | gm_not_finite(new_w[i]);
    }
    return bad;
}

GM_CLONES static uint32_t update_nesterov(size_t n, float lr, float momentum, const float *restrict g,
                                          const float *restrict w, const float *restrict m, float *restrict new_w,
                                          float *restrict new_m) {
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        float mi = momentum * m[i] + g[i];
        new_m[i] = mi;
        new_w[i] = w[i] - lr * (g[i] + momentum * mi);
        bad |= gm_not_finite(mi) | gm_not_finite(new_w[i]);
    }
    return bad;
}

GM_CLONES static uint32_t update_rmsprop(size_t n, float lr, float rho, float rest, float eps, const float *restrict g,
                                         const float *restrict w, const float *restrict v, float *restrict new_w,
                                         float *restrict new_v) {
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        float vi = rho * v[i] + rest * (g[i] * g[i]);
        new_v[i] = vi;
        new_w[i] = w[i] - lr * g[i] / (sqrtf(vi) + eps);
        bad |= gm_not_finite(vi) | gm_not_finite(new_w[i]);
    }
    return bad;
}

/* What one update of adam has in common for all parameters, rounded once. */
typedef struct adam_step {
    float rate, eps, beta1, rest1, beta2, rest2;
} adam_step;

GM_CLONES static uint32_t update_adam(size_t n, adam_step s, const float *restrict g, const float *restrict w,
                                      const float *restrict m, const float *restrict v, float *restrict new_w,
                                      float *restrict new_m, float *restrict new_v) {
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        float mi = s.beta1 * m[i] + s.rest1 * g[i];
        float vi = s.beta2 * v[i] + s.rest2 * (g[i] * g[i]);
        new_m[i] = mi;
        new_v[i] = vi;
        new_w[i] = w[i] - s.rate * mi / (sqrtf(vi) + s.eps);
        bad |= gm_not_finite(mi) | gm_not_finite(vi) | gm_not_finite(new_w[i]);
    }
    return bad;
}

static adam_step adam_constants(const gm_optim *o, uint64_t t) {
    double correction = sqrt(1 - gm_power(o->beta2, t));
    return (adam_step){.rate = (float)(o->lr * correction / (1 - gm_power(o->beta1, t))),
                       .eps = (float)(o->eps * correction),
                       .beta1 = (float)o->beta1,
                       .rest1 = (float)(1 - o->beta1),
                       .beta2 = (float)o->beta2,
                       .rest2 = (float)(1 - o->beta2)};
}

/* What one update reads and writes. */
typedef struct arrays {
    const float *gradient, *params;
    const float *const *state;
    float *new_params;
    float *const *new_state;
} arrays;

/* n numbers from `at` on; new moments go to `moments`, from `to` on. */
static uint32_t update(const gm_optim *o, const adam_step *adam, const arrays *a, size_t at, size_t n,
                       float *const *moments, size_t to) {
    const float lr = (float)o->lr, *g = a->gradient + at, *w = a->params + at, *const *state = a->state;
    float *new_w = a->new_params + at;
    switch (o->kind) {
    case GM_SGD:
        return update_sgd(n, lr, g, w, new_w);
    case GM_MOMENTUM:
        return (o->nesterov ? update_nesterov : update_momentum)(n, lr, (float)o->momentum, g, w, state[0] + at, new_w,
                                                                 moments[0] + to);
    case GM_RMSPROP:
        return update_rmsprop(n, lr, (float)o->rho, (float)(1 - o->rho), (float)o->eps, g, w, state[0] + at, new_w,
                              moments[0] + to);
    default:
        return update_adam(n, *adam, g, w, state[0] + at, state[1] + at, new_w, moments[0] + to, moments[1] + to);
    }
}

/* ---- blocks beyond the caches ----
 *
 * There the time of an update is that of memory. New moments are not read before the next step: they are made in a
 * small buffer and stored past the caches, so that their lines are not read first. What is read is sent for some blocks
 * before, as the processor itself does not look beyond a page. */

enum { MOMENTS_MAX = 2, AWAY_BLOCK = 128, AWAY_AHEAD = 256 };

#if defined(__SSE2__)
static void store_away(const float *from, float *to) {
    for (size_t i = 0; i < AWAY_BLOCK; i += 4) _mm_stream_ps(to + i, _mm_load_ps(from + i));
}

/* Other processors see them behind here. */
static void finish_storing(void) {
    _mm_sfence();
}
#else
static void store_away(const float *from, float *to) {
    memcpy(to, from, AWAY_BLOCK * sizeof *to);
}

static void finish_storing(void) {
}
#endif

GM_INLINE void send_ahead(const float *x) {
    gm_send_for(x + AWAY_AHEAD, AWAY_BLOCK * sizeof *x);
}

/* The first floats of which a multiple of AWAY_BLOCK is updated so; the others are left. */
static size_t update_away(const gm_optim *o, const adam_step *adam, const arrays *a, size_t count, uint32_t *bad) {
    alignas(64) float made[MOMENTS_MAX][AWAY_BLOCK];
    const size_t moments = gm_optim_moments(o);
    size_t at = 0;
    for (size_t k = 0; k < moments; k++)
        if ((uintptr_t)a->new_state[k] % 16 != 0) return 0;
    for (; at + AWAY_BLOCK <= count; at += AWAY_BLOCK) {
        send_ahead(a->gradient + at), send_ahead(a->params + at), send_ahead(a->new_params + at);
        for (size_t k = 0; k < moments; k++) send_ahead(a->state[k] + at);
        *bad |= update(o, adam, a, at, AWAY_BLOCK, (float *const[]){made[0], made[1]}, 0);
        for (size_t k = 0; k < moments; k++) store_away(made[k], a->new_state[k] + at);
    }
    finish_storing();
    return at;
}

bool gm_optim_update(const gm_optim *o, uint64_t t, size_t count, bool away, const float *gradient, const float *params,
                     const float *const *state, float *new_params, float *const *new_state) {
    const adam_step adam = o->kind == GM_ADAM ? adam_constants(o, t) : (adam_step){0};
    const arrays a = {gradient, params, state, new_params, new_state};
    uint32_t bad = 0;
    size_t at = away ? update_away(o, &adam, &a, count, &bad) : 0;
    bad |= update(o, &adam, &a, at, count - at, new_state, at);
    return bad == 0;
}

GM_CLONES static void move_average(size_t n, float share, const float *restrict w, const float *restrict a,
                                   float *restrict new_a) {
    for (size_t i = 0; i < n; i++) new_a[i] = a[i] + (w[i] - a[i]) * share;
}

void gm_optim_average(const gm_optim *o, uint64_t t, size_t count, const float *params, const float *average,
                      float *new_average) {
    if (t <= o->average || t == 1) {
        memcpy(new_average, params, count * sizeof *params);
        return;
    }
    double warm = (1.0 + (double)t) / (10.0 + (double)t), decay = o->ema < warm ? o->ema : warm;
    double share = o->ema > 0 ? 1.0 - decay : 1.0 / (double)(t - o->average + 1);
    move_average(count, (float)share, params, average, new_average);
}
