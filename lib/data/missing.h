/* missing.h: what stands where a number is missing. Private to lib/data.
 */
#ifndef GM_DATA_MISSING_H
#define GM_DATA_MISSING_H

#include "gm/schema.h"
#include "lexicon.h"

/* An empty field is always a missing number. */
typedef struct gm_missing {
    gm_lexicon marks;
    bool numbers; /* some marks read as numbers (-999), so a number has to be looked up too */
} gm_missing;

/* marks NULL: the usual ones. Zeroed memory; close it after success and failure alike. */
GM_MUST_USE int gm_missing_open(gm_missing *m, const gm_names *marks, gm_error *e);
void gm_missing_close(gm_missing *m);
bool gm_missing_is(const gm_missing *m, const char *text, size_t n);

#endif
