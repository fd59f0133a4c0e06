/* source.h: opening a data file and telling its kind by its first bytes. Private to lib/data.
 */
#ifndef GM_DATA_SOURCE_H
#define GM_DATA_SOURCE_H

#include "gm/base.h"

typedef enum gm_data_kind { GM_DATA_CSV, GM_DATA_IDX, GM_DATA_STREAM } gm_data_kind;

/* "CSV", "IDX", "a stream". */
const char *gm_data_kind_text(gm_data_kind kind);

/* What messages call a path: "standard input" for "-". */
const char *gm_data_name(const char *path);

/* A descriptor of the caller's own ("-": standard input), nothing read from it yet. Waits for the first bytes of a
 * pipe. -1. */
GM_MUST_USE int gm_data_open(const char *path, gm_data_kind *kind, gm_error *e);

/* That all files are there and of one kind, as far as can be told without waiting; pipes are looked at when it is their
 * turn. */
GM_MUST_USE int gm_data_check(char *const *files, size_t file_count, gm_error *e);

#endif
