/* lookalike.h: texts that are no numbers to us, and numbers, or the lack of one, to who wrote them. Private to
 * lib/data.
 */
#ifndef GM_DATA_LOOKALIKE_H
#define GM_DATA_LOOKALIKE_H

#include "gm/base.h"

typedef enum gm_likeness {
    GM_LIKE_WORD,   /* as far as can be told: codes, dates and clock times too */
    GM_LIKE_ABSENT, /* "n/a", "None", ".", "#DIV/0!", "inf", "1e999": no name where the others are numbers */
    GM_LIKE_COMMA,  /* "1,5", "1.234,5", "1,234" */
    GM_LIKE_HEX     /* "0x10" */
} gm_likeness;

/* Of a text that is no number; a NUL stands behind it. */
gm_likeness gm_likeness_of(const char *text);

#endif
