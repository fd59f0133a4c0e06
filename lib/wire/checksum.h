/* checksum.h: of memory that two processes share; not a public header. */
#ifndef GM_CHECKSUM_H
#define GM_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* XXH3 in 64 bits, seed 0, by the vectors that the processor has. */
uint64_t gm_checksum(const void *bytes, size_t n);

#endif
