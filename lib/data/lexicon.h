/* lexicon.h: texts numbered in order of their first appearance. Private to lib/data.
 *
 * A gm_lexicon owns its texts and needs no initialisation but zeros.
 */
#ifndef GM_DATA_LEXICON_H
#define GM_DATA_LEXICON_H

#include "gm/base.h"

typedef struct gm_word {
    char *text;
    size_t length;
    uint64_t hash;
} gm_word;

typedef struct gm_lexicon {
    gm_word *items;
    size_t count, capacity;
    uint32_t *slots; /* open addressing: number of a word + 1, or 0; a power of two of them */
    size_t slot_count;
} gm_lexicon;

void gm_lexicon_free(gm_lexicon *w);
/* The word's number, or -1. */
long gm_lexicon_find(const gm_lexicon *w, const char *text, size_t n);
/* The word's number, after adding it if it was not there (then count has grown); -1 if memory ran out. At most 2^30
 * words. */
GM_MUST_USE long gm_lexicon_add(gm_lexicon *w, const char *text, size_t n, gm_error *e);
/* The texts as an array of `count` strings that the caller releases with each of its texts; w is empty then. NULL if
 * memory ran out, and w is as it was. */
GM_MUST_USE char **gm_lexicon_take(gm_lexicon *w, gm_error *e);

#endif
