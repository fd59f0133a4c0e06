/* csv_split.h: lines of CSV without quotes, cut in place. Private to lib/data.
 */
#ifndef GM_DATA_CSV_SPLIT_H
#define GM_DATA_CSV_SPLIT_H

#include "gm/data.h"

typedef struct gm_splitter {
    char separator;
    bool ends[256];   /* bytes that end a field */
    bool blanks[256]; /* bytes that do not count at a field's ends */
} gm_splitter;
void gm_splitter_init(gm_splitter *s, char separator);

/* Behind a CR: where the next line begins, an LF that belongs to the CR left out. */
char *gm_split_end(const gm_splitter *s, char *p);

/* Cuts one line, as libcsv would that knows no quotes: blanks around a field are left out, and each field gets a NUL
 * behind it, in the place of a byte that is no longer needed. At most `most` fields are kept, *count counts all; 0: a
 * blank line. Some line end must stand at or behind `line`, the last of them an LF. Returns where the next line begins.
 */
char *gm_split_line(const gm_splitter *s, char *line, gm_field *fields, size_t most, size_t *count);

#endif
