#include "gm/rng.h"

#include "clones.h"
#include "gm/ops.h"

#include <math.h>

/* The plain C form of the 32-bit product: the compiler vectorises that one. */
#define R123_USE_MULHILO32_ASM 0
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wconversion"
#include <Random123/philox.h>
#pragma GCC diagnostic pop

enum { PIECE = 512 }; /* words that are made at a time on the way to something else; even */

uint32_t gm_rng_stream(const char *name) {
    uint32_t hash = 2166136261u;
    for (; *name; name++) hash = (hash ^ (unsigned char)*name) * 16777619u;
    return hash & 0xffffffu;
}

/* Block `block` of rng, as the head of rng.h lays out key and counter. */
GM_INLINE philox4x32_ctr_t make_block(gm_rng rng, uint64_t block) {
    philox4x32_key_t key = {{(uint32_t)rng.seed, (uint32_t)(rng.seed >> 32)}};
    philox4x32_ctr_t counter = {{(uint32_t)block, (uint32_t)(rng.step >> 32) << 16 | (uint32_t)(block >> 32 & 0xffffu),
                                 (uint32_t)rng.step, (uint32_t)rng.purpose << 24 | (rng.stream & 0xffffffu)}};
    return philox4x32_R(10, counter, key);
}

GM_CLONES static void make_blocks(gm_rng rng, uint64_t first, size_t count, uint32_t *out) {
    GM_INDEPENDENT
    for (size_t i = 0; i < count; i++) {
        philox4x32_ctr_t words = make_block(rng, first + i);
        out[4 * i] = words.v[0];
        out[4 * i + 1] = words.v[1];
        out[4 * i + 2] = words.v[2];
        out[4 * i + 3] = words.v[3];
    }
}

void gm_rng_words(gm_rng rng, uint64_t first, size_t n, uint32_t *out) {
    if (n > 0 && first % 4) {
        size_t skipped = (size_t)(first % 4), taken = n < 4 - skipped ? n : 4 - skipped;
        philox4x32_ctr_t words = make_block(rng, first / 4);
        memcpy(out, words.v + skipped, taken * sizeof *out);
        out += taken, first += taken, n -= taken;
    }
    make_blocks(rng, first / 4, n / 4, out);
    if (n % 4) {
        philox4x32_ctr_t words = make_block(rng, first / 4 + n / 4);
        memcpy(out + (n - n % 4), words.v, n % 4 * sizeof *out);
    }
}

/* ((word >> 9) + 1/2) 2^-23: every step is exact. */
GM_INLINE float uniform(uint32_t word) {
    return ((float)(int32_t)(word >> 9) + 0.5f) * 0x1p-23f;
}

GM_CLONES static void make_uniform(size_t n, const uint32_t *restrict words, float *restrict out) {
    for (size_t i = 0; i < n; i++) out[i] = uniform(words[i]);
}

void gm_rng_uniform(gm_rng rng, uint64_t first, size_t n, float *out) {
    uint32_t words[PIECE];
    while (n > 0) {
        size_t taken = n < PIECE ? n : PIECE;
        gm_rng_words(rng, first, taken, words);
        make_uniform(taken, words, out);
        out += taken, first += taken, n -= taken;
    }
}

GM_CLONES static void split_pairs(size_t pairs, const uint32_t *restrict words, float *restrict u, float *restrict v) {
    for (size_t i = 0; i < pairs; i++) {
        u[i] = uniform(words[2 * i]);
        v[i] = uniform(words[2 * i + 1]);
    }
}

GM_CLONES static void join_pairs(size_t pairs, const float *restrict log_u, const float *restrict sine,
                                 const float *restrict cosine, float *restrict out) {
    for (size_t i = 0; i < pairs; i++) {
        float r = sqrtf(-2.0f * log_u[i]);
        out[2 * i] = r * cosine[i];
        out[2 * i + 1] = r * sine[i];
    }
}

/* PIECE / 2 pairs or less, from number `first`, which is even. Box, Muller 1958. */
static void make_normal(gm_rng rng, uint64_t first, size_t pairs, float *out) {
    uint32_t words[PIECE];
    float u[PIECE / 2], v[PIECE / 2], sine[PIECE / 2], cosine[PIECE / 2];
    gm_rng_words(rng, first, 2 * pairs, words);
    split_pairs(pairs, words, u, v);
    gm_log(pairs, u, u);
    gm_sincos_turns(pairs, v, sine, cosine);
    join_pairs(pairs, u, sine, cosine, out);
}

void gm_rng_normal(gm_rng rng, uint64_t first, size_t n, float *out) {
    float pair[2];
    if (n > 0 && first % 2) {
        make_normal(rng, first - 1, 1, pair);
        *out++ = pair[1], first++, n--;
    }
    while (n > 1) {
        size_t pairs = n / 2 < PIECE / 2 ? n / 2 : PIECE / 2;
        make_normal(rng, first, pairs, out);
        out += 2 * pairs, first += 2 * pairs, n -= 2 * pairs;
    }
    if (n > 0) {
        make_normal(rng, first, 1, pair);
        *out = pair[0];
    }
}

void gm_rng_permutation(gm_rng rng, size_t n, uint32_t *permutation) {
    for (size_t i = 0; i < n; i++) permutation[i] = (uint32_t)i;
    uint32_t words[PIECE];
    size_t end = n; /* word(i) for i in [end - taken, end) is in words[i - (end - taken)] */
    while (end > 1) {
        size_t taken = end - 1 < PIECE ? end - 1 : PIECE;
        gm_rng_words(rng, end - taken, taken, words);
        for (size_t i = end; i-- > end - taken;) {
            size_t j = (size_t)((uint64_t)words[i - (end - taken)] * (i + 1) >> 32);
            uint32_t kept = permutation[i];
            permutation[i] = permutation[j];
            permutation[j] = kept;
        }
        end -= taken;
    }
}

void gm_rng_noise(gm_rng rng, bool uniform, uint64_t first, size_t count, float *z) {
    if (!uniform) {
        gm_rng_normal(rng, first, count, z);
        return;
    }
    gm_rng_uniform(rng, first, count, z);
    for (size_t i = 0; i < count; i++) z[i] = 2 * z[i] - 1;
}
