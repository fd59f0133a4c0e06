/* csv_split.c: lines of CSV without quotes, cut in place.
 *
 * libcsv looks at each byte through its state machine and copies it. Most files have no quotes, or few, and their
 * blocks without one are cut here, at several times the speed: first the fields' ends are found, 64 bytes at a time, as
 * simdjson does (G. Langdale, D. Lemire: Parsing gigabytes of JSON per second. VLDB Journal 28, 2019), then fields are
 * what lies between two of them. What comes out is the same: tests/unit/csv_test.c and tests/fuzz/csv_fuzz.c read both
 * ways and compare.
 */
#include "csv_split.h"

#include "../math/clones.h"

#include <stdlib.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

void gm_splitter_init(gm_splitter *s, char separator) {
    *s = (gm_splitter){.separator = separator};
    s->blanks[' '] = s->blanks['\t'] = true;
    s->blanks[(unsigned char)separator] = false;
}

void gm_splitter_free(gm_splitter *s) {
    free(s->marks);
    s->marks = NULL;
}

/* Blanks between the two go unseen, as libcsv does not report them. */
char *gm_split_end(const gm_splitter *s, char *p) {
    char *q = p;
    while (s->blanks[(unsigned char)*q]) q++;
    return *q == '\n' ? q + 1 : p;
}

/* Bit i: the byte i ends a field. */
GM_INLINE uint64_t ends_of_64(char separator, const char *bytes) {
    uint64_t ends = 0;
#if defined(__SSE2__)
    for (size_t i = 0; i < 4; i++) {
        const __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(bytes + 16 * i));
        const __m128i line =
            _mm_or_si128(_mm_cmpeq_epi8(b, _mm_set1_epi8('\n')), _mm_cmpeq_epi8(b, _mm_set1_epi8('\r')));
        const __m128i end = _mm_or_si128(line, _mm_cmpeq_epi8(b, _mm_set1_epi8(separator)));
        ends |= (uint64_t)(uint32_t)_mm_movemask_epi8(end) << (16 * i);
    }
#else
    for (int i = 0; i < 64; i++) ends |= (uint64_t)(bytes[i] == '\n' || bytes[i] == '\r' || bytes[i] == separator) << i;
#endif
    return ends;
}

GM_CLONES static void mark_ends(char separator, const char *bytes, size_t n, uint32_t *marks) {
    for (size_t at = 0; at < n; at += 64) {
        for (uint64_t ends = ends_of_64(separator, bytes + at); ends != 0; ends &= ends - 1)
            *marks++ = (uint32_t)(at + (size_t)__builtin_ctzll(ends));
    }
}

int gm_split_begin(gm_splitter *s, char *bytes, size_t n, gm_error *e) {
    s->bytes = bytes;
    s->mark = 0;
    if (gm_grow(&s->marks, &s->capacity, n + GM_SPLIT_ROOM, sizeof *s->marks, e) < 0) return -1;
    mark_ends(s->separator, bytes, n, s->marks);
    return 0;
}

char *gm_split_line(gm_splitter *s, char *line, gm_field *fields, size_t most, size_t *count) {
    const uint32_t *mark = s->marks + s->mark;
    size_t found = 0;
    char *start = line, end;
    do {
        char *stop = s->bytes + *mark++, *const next = stop + 1;
        end = *stop;
        while (s->blanks[(unsigned char)*start]) start++;
        while (stop > start && s->blanks[(unsigned char)stop[-1]]) stop--;
        if (found == 0 && stop == start && end != s->separator) {
            start = next;
            break;
        }
        if (found < most) fields[found] = (gm_field){start, (size_t)(stop - start)};
        *stop = '\0';
        found++;
        start = next;
    } while (end == s->separator);
    *count = found;
    if (end == '\r') {
        char *const next = gm_split_end(s, start);
        if (next != start) mark++;
        start = next;
    }
    s->mark = (size_t)(mark - s->marks);
    return start;
}
