/* csv_ahead.h: what the row readers need of a CSV reader beyond gm/data.h. Private to lib/data.
 */
#ifndef GM_DATA_CSV_AHEAD_H
#define GM_DATA_CSV_AHEAD_H

#include "gm/data.h"

/* As gm_csv_ready, after reading all that can be read without waiting. */
bool gm_csv_ready_now(gm_csv *c);

#endif
