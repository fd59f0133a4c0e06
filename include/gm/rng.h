/* rng.h: random numbers as a function of (seed, purpose, stream, step, index).
 *
 * Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3. SC 2011) with
 *   key     = (seed bits 0-31, seed bits 32-63)
 *   counter = (block bits 0-31, step bits 32-47 << 16 | block bits 32-47, step bits 0-31, purpose << 24 | stream)
 * A block is four 32-bit words; number `index` is word index % 4 of block index / 4. Nothing here keeps a state.
 */
#ifndef GM_RNG_H
#define GM_RNG_H

#include "gm/base.h"

typedef enum gm_purpose {
    GM_PURPOSE_INIT = 1,      /* stream: number of the layer; step 0: weights, 1: u of a spectral layer */
    GM_PURPOSE_SHUFFLE = 2,   /* stream 0; step: the epoch */
    GM_PURPOSE_NOISE = 3,     /* stream: gm_rng_stream(name of the tensor); step: of the record */
    GM_PURPOSE_DROPOUT = 4,   /* stream: number of the layer; step: of the record */
    GM_PURPOSE_FOLD = 5,      /* stream: number of the class, by first appearance; step: the block of its rows */
    GM_PURPOSE_RFF = 6,       /* stream: number of the layer; step 0: weights, 1: phases */
    GM_PURPOSE_GAUSSIAN = 7,  /* stream: number of the layer; step: of the record */
    GM_PURPOSE_PENALTY = 8,   /* stream: number of the gp term among gp terms; step: of the record */
    GM_PURPOSE_RESERVOIR = 9, /* stream: number of the column; step 0 */
    GM_PURPOSE_COMPARE = 10,  /* stream: of what is drawn in lib/math/sample.h; step: the epoch */
    GM_PURPOSE_GUMBEL = 11    /* stream: number of the layer; step: of the record */
} gm_purpose;

typedef struct gm_rng {
    uint64_t seed;
    gm_purpose purpose;
    uint32_t stream; /* 24 bits count */
    uint64_t step;   /* 48 bits count */
} gm_rng;

/* The stream number of a name: the low 24 bits of its 32-bit FNV-1a hash. */
uint32_t gm_rng_stream(const char *name);

/* Words first .. first + n - 1. Any cut of a range into calls gives the same words. */
void gm_rng_words(gm_rng rng, uint64_t first, size_t n, uint32_t *out);

/* Uniform in the open interval (0, 1): ((word >> 9) + 0.5) 2^-23. One word for each number. */
void gm_rng_uniform(gm_rng rng, uint64_t first, size_t n, float *out);

/* Standard normal by Box and Muller: numbers 2i and 2i+1 are r cos t and r sin t, with r = sqrt(-2 ln u), t = 2 pi v,
 * u and v the uniform numbers 2i and 2i+1. Elementary functions are those of ops.h, so bits do not depend on libm. */
void gm_rng_normal(gm_rng rng, uint64_t first, size_t n, float *out);

/* Noise as gm-noise and gm-sample make it: standard normal, or uniform in (-1, 1) as 2 u - 1. */
void gm_rng_noise(gm_rng rng, bool uniform, uint64_t first, size_t count, float *z);

/* permutation[i] for i < n: Fisher and Yates from the end with words of `rng`: for i = n-1 .. 1 swap p[i] with
 * p[word(i) * (i + 1) >> 32]. n below 2^32. */
void gm_rng_permutation(gm_rng rng, size_t n, uint32_t *permutation);

#endif
