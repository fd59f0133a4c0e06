#include "checksum.h"

#include <xxhash.h>

static uint64_t by_library(const void *bytes, size_t n) {
    return XXH3_64bits(bytes, n);
}

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)

/* The library is compiled for every x86-64, which halves its speed. Its header holds it too, for the compiler's target.
 */
#pragma GCC push_options
#pragma GCC target("avx2")
#define XXH_INLINE_ALL
#include <xxhash.h>

static uint64_t by_avx2(const void *bytes, size_t n) {
    return XXH3_64bits(bytes, n);
}
#pragma GCC pop_options
#endif

uint64_t gm_checksum(const void *bytes, size_t n) {
#if defined(XXH_INLINE_ALL)
    if (__builtin_cpu_supports("avx2")) return by_avx2(bytes, n);
#endif
    return by_library(bytes, n);
}
