/* clones.h: marks for loops that the compiler vectorises, compiled once for each kind of x86-64.
 *
 * The C library picks a clone when the program is loaded (ifunc). Every clone gives the same bits: the loops are IEEE
 * arithmetic on one number at a time, and the build forbids contraction. There is one clone only where ifunc does not
 * work: under the sanitizers, whose runtimes are not ready yet when resolvers run, and with clang, which gives the
 * clones another name than callers look for (clang 14). Define GM_ONE_CLONE to have it so elsewhere.
 */
#ifndef GM_CLONES_H
#define GM_CLONES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) &&              \
    !defined(__SANITIZE_THREAD__) && !defined(GM_ONE_CLONE)
#define GM_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define GM_CLONES
#endif

/* Before a loop whose iterations are independent: arrays are apart or equal, which the compiler cannot know. */
#if defined(__clang__)
#define GM_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define GM_INDEPENDENT _Pragma("GCC ivdep")
#endif

/* Inlined into every clone, so that it is compiled for that clone's machine. */
#define GM_INLINE static inline __attribute__((always_inline))

/* A float's bits, and back. */
GM_INLINE uint32_t gm_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

GM_INLINE float gm_from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* 1 for what is infinite or no number, else 0: loops gather it by |. */
GM_INLINE uint32_t gm_not_finite(float x) {
    return (gm_bits(x) & 0x7f800000u) == 0x7f800000u;
}

/* Sends for `bytes` bytes of memory that are read soon. Callers that do no more than that are GM_INLINE, too: the
 * compiler takes a call of such a function to be without effect, and leaves it out. */
GM_INLINE void gm_send_for(const void *memory, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch((const char *)memory + i);
}

#endif
