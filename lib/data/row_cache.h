/* row_cache.h: the encoded rows of CSV files, each file's in a cache beside it. Private to lib/data.
 *
 * The body of such a cache (cache.h) is the rows, each its cells <f4 [columns], as gm_encoder_row gives them, and its
 * class number <i4 if the file has labels; behind them what the columns held that the schema does not know, and how
 * many rows there are. All rows of the file are in it, of whatever fold. Its key is the schema.
 */
#ifndef GM_DATA_ROW_CACHE_H
#define GM_DATA_ROW_CACHE_H

#include "cache.h"
#include "encode.h"

typedef struct gm_row_cache gm_row_cache;

/* For a number of files that are encoded by `n`, which must outlive it. */
GM_MUST_USE gm_row_cache *gm_row_cache_new(gm_encoder *n, size_t file_count, gm_error *e);
void gm_row_cache_free(gm_row_cache *c);

/* To be called for each file, in their order; path must outlive c. Opens the file's cache if it is good and, where so
 * required, has labels; then its rows are read from it. */
gm_cache_state gm_row_cache_open(gm_row_cache *c, size_t file, const char *path, int data, bool need_label);
bool gm_row_cache_reads(const gm_row_cache *c);
bool gm_row_cache_labelled(const gm_row_cache *c);
/* The next row: 1; 0 at the end of the file; -1. y may be NULL. */
GM_MUST_USE int gm_row_cache_next(gm_row_cache *c, float *cells, int32_t *y, gm_error *e);

/* Without a cache the file's rows are given to a new one: from begin, before the file is read, to commit, and not at
 * all after an abandon. y: NULL for all rows or for none. begin and put: -1 with errno where nothing can be kept. */
GM_MUST_USE int gm_row_cache_begin(gm_row_cache *c, const char *path, int data);
bool gm_row_cache_writes(const gm_row_cache *c);
GM_MUST_USE int gm_row_cache_put(gm_row_cache *c, const float *cells, const int32_t *y);
/* 1 with the bytes that were written; 0 if the data changed meanwhile; -1 with errno. */
GM_MUST_USE int gm_row_cache_commit(gm_row_cache *c, uint64_t *bytes);
void gm_row_cache_abandon(gm_row_cache *c);

/* Once all files were read: whether all of their rows are kept. Then any can be had again, by its number in all of the
 * files; y may be NULL. By one thread at a time. */
bool gm_row_cache_whole(const gm_row_cache *c);
GM_MUST_USE int gm_row_cache_at(const gm_row_cache *c, uint64_t row, float *cells, int32_t *y, gm_error *e);

#endif
