/* rows.h: what a table needs of gm_rows beyond gm/data.h: rows before they are expanded. Private to lib/data.
 */
#ifndef GM_DATA_ROWS_H
#define GM_DATA_ROWS_H

#include "encode.h"
#include "source.h"

gm_data_kind gm_rows_kind(const gm_rows *d);
/* For CSV: whether cells differ from features. */
bool gm_rows_expands(const gm_rows *d);
/* After the last row: what was counted; the caller owns it. May be NULL. */
gm_oddity *gm_rows_take_oddities(gm_rows *d);
/* For IDX: how bytes become features; the caller owns the copy's affine then, and closes it. */
void gm_rows_take_pixels(gm_rows *d, gm_pixels *pixels);
/* For CSV: up to `wanted` rows of cells [wanted, columns], as gm_rows_next. */
GM_MUST_USE long gm_rows_cells(gm_rows *d, size_t wanted, bool eager, float *cells, int32_t *y, gm_error *e);
/* For IDX: up to `wanted` pictures [wanted, columns], as gm_rows_next. */
GM_MUST_USE long gm_rows_bytes(gm_rows *d, size_t wanted, unsigned char *bytes, int32_t *y, gm_error *e);

#endif
