/* lexicon.c: texts numbered in order of their first appearance. */
#include "lexicon.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { SLOTS_FIRST = 16 };

void gm_lexicon_free(gm_lexicon *w) {
    for (size_t i = 0; i < w->count; i++) free(w->items[i].text);
    free(w->items);
    free(w->slots);
    *w = (gm_lexicon){0};
}

/* The slot that holds the word, or the free one where it belongs. */
static size_t slot_of(const gm_lexicon *w, const char *text, size_t n, uint64_t hash) {
    size_t slot = (size_t)hash & (w->slot_count - 1);
    while (w->slots[slot] != 0) {
        const gm_word *word = &w->items[w->slots[slot] - 1];
        if (word->hash == hash && word->length == n && memcmp(word->text, text, n) == 0) break;
        slot = (slot + 1) & (w->slot_count - 1);
    }
    return slot;
}

long gm_lexicon_find(const gm_lexicon *w, const char *text, size_t n) {
    if (w->count == 0) return -1;
    return (long)w->slots[slot_of(w, text, n, XXH3_64bits(text, n))] - 1;
}

static int rehash(gm_lexicon *w, gm_error *e) {
    const size_t wanted = w->slot_count == 0 ? SLOTS_FIRST : w->slot_count * 2;
    uint32_t *slots = gm_new_zeroed(wanted, sizeof *slots, e);
    if (slots == NULL) return -1;
    free(w->slots);
    w->slots = slots;
    w->slot_count = wanted;
    for (size_t i = 0; i < w->count; i++) {
        const gm_word *word = &w->items[i];
        w->slots[slot_of(w, word->text, word->length, word->hash)] = (uint32_t)i + 1;
    }
    return 0;
}

long gm_lexicon_add(gm_lexicon *w, const char *text, size_t n, gm_error *e) {
    const uint64_t hash = XXH3_64bits(text, n);
    if (w->slot_count > 0) {
        const uint32_t slot = w->slots[slot_of(w, text, n, hash)];
        if (slot != 0) return (long)slot - 1;
    }
    /* At most half full, so that a search ends soon. */
    if (w->count * 2 >= w->slot_count && rehash(w, e) < 0) return -1;
    if (gm_grow(&w->items, &w->capacity, w->count + 1, sizeof *w->items, e) < 0) return -1;
    char *copy = gm_copy_text(text, n, e);
    if (copy == NULL) return -1;
    w->slots[slot_of(w, text, n, hash)] = (uint32_t)w->count + 1;
    w->items[w->count] = (gm_word){copy, n, hash};
    return (long)w->count++;
}

char **gm_lexicon_take(gm_lexicon *w, gm_error *e) {
    char **texts = gm_new(w->count, sizeof *texts, e);
    if (texts == NULL) return NULL;
    for (size_t i = 0; i < w->count; i++) texts[i] = w->items[i].text;
    w->count = 0;
    gm_lexicon_free(w);
    return texts;
}
