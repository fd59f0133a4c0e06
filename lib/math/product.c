#include "product.h"

#if defined(__x86_64__)
const gm_tiles *const gm_tiles_kinds[] = {&gm_tiles_avx512, &gm_tiles_avx2, NULL};
#else
const gm_tiles *const gm_tiles_kinds[] = {NULL};
#endif

const gm_tiles *gm_tiles_here(void) {
    const gm_tiles *const *kind = gm_tiles_kinds;
    while (*kind && !(*kind)->able()) kind++;
    return *kind;
}

bool gm_product_suits(size_t m, size_t k) {
    return m <= 384 || k <= 2 * GM_PRODUCT_RUN;
}
