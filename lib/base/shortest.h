/* shortest.h: the common case of gm_format_f32, without the C library. Private to lib/base. */
#ifndef GM_BASE_SHORTEST_H
#define GM_BASE_SHORTEST_H

#include <stdbool.h>

/* What gm_format_f32 gives; false where rounding in double precision cannot tell (rare), and for numbers that are not
 * normal (0 is done). */
bool gm_shortest_f32(float value, char out[32]);

#endif
