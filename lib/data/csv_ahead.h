/* csv_ahead.h: what the row readers need of a CSV reader beyond gm/data.h. Private to lib/data.
 */
#ifndef GM_DATA_CSV_AHEAD_H
#define GM_DATA_CSV_AHEAD_H

#include "gm/data.h"

/* As gm_csv_ready, after reading all that can be read without waiting. */
bool gm_csv_ready_now(gm_csv *c);

/* Field i of the row that gm_csv_next gave last, also of one with another number of fields than the header; NULL if it
 * has none there. */
const gm_field *gm_csv_given(const gm_csv *c, size_t i);

/* Behind a message on columns that are not there: what may be wrong with the file as a whole, or nothing. */
const char *gm_csv_doubt(const gm_csv *c);

/* "wine.csv: no label column 'cultivat' (did you mean 'cultivar'?)"; -1. what: "column", "label column". */
int gm_csv_no_column(const gm_csv *c, const char *file, const char *what, const char *name, gm_error *e);

#endif
