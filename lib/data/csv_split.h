/* csv_split.h: lines of CSV without quotes, cut in place. Private to lib/data.
 */
#ifndef GM_DATA_CSV_SPLIT_H
#define GM_DATA_CSV_SPLIT_H

#include "gm/data.h"

#define GM_SPLIT_ROOM ((size_t)64) /* bytes that must be readable behind what is marked */

typedef struct gm_splitter {
    char separator;
    bool blanks[256]; /* bytes that do not count at a field's ends */
    char *bytes;      /* that are being cut */
    uint32_t *marks;  /* where fields end in them, in order */
    size_t mark, capacity;
} gm_splitter;
void gm_splitter_init(gm_splitter *s, char separator);
void gm_splitter_free(gm_splitter *s);

/* Behind a CR: where the next line begins, an LF that belongs to the CR left out. */
char *gm_split_end(const gm_splitter *s, char *p);

/* Marks the fields' ends in n bytes, the last of which is an LF. Below 4 GiB. */
GM_MUST_USE int gm_split_begin(gm_splitter *s, char *bytes, size_t n, gm_error *e);

/* Cuts the next line of them, as libcsv would that knows no quotes: blanks around a field are left out, and each field
 * gets a NUL behind it, in the place of a byte that is no longer needed. At most `most` fields are kept, *count counts
 * all; 0: a blank line. `line` is where it begins; returns where the next line begins. */
char *gm_split_line(gm_splitter *s, char *line, gm_field *fields, size_t most, size_t *count);

#endif
