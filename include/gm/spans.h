/* spans.h: what stands in the columns of encoded rows: where data and networks meet. */
#ifndef GM_SPANS_H
#define GM_SPANS_H

#include "gm/base.h"

#define GM_SPAN_NUMBER 0  /* one column, a number */
#define GM_SPAN_FLAG (-1) /* one column, 1 or 0: whether a number is missing */

/* From left to right. An item is one of the above, or k > 0: k columns, one of k categories as one-hot. */
typedef struct gm_spans {
    size_t count;
    int32_t *items;
} gm_spans;

#endif
