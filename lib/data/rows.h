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
/* The file at hand is CSV that is read from a cache, or written to one. */
bool gm_rows_has_caches(const gm_rows *d);
/* After the last row: all of them are kept in caches, and gm_rows_cells_at finds them, by their number in all files. */
bool gm_rows_whole(const gm_rows *d);
GM_MUST_USE int gm_rows_cells_at(const gm_rows *d, uint64_t number, float *cells, int32_t *y, gm_error *e);
/* With caches and a fold: the numbers of the rows that gm_rows_cells returned last. */
const uint64_t *gm_rows_numbers(const gm_rows *d);
/* For IDX: up to `wanted` pictures [wanted, columns], as gm_rows_next. */
GM_MUST_USE long gm_rows_bytes(gm_rows *d, size_t wanted, unsigned char *bytes, int32_t *y, gm_error *e);

#endif
