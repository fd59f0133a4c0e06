/* schema_cache.h: what a scan found in a data file, kept in a cache beside it (cache.h). Private to lib/data.
 *
 * The body is the schema as msgpack, as a model file has it. Its key is what was to be scanned for.
 */
#ifndef GM_DATA_SCHEMA_CACHE_H
#define GM_DATA_SCHEMA_CACHE_H

#include "cache.h"

#include "gm/data.h"

typedef struct gm_schema_cache {
    int data; /* the file, or -1: nothing is cached */
    gm_cache_key key;
    gm_cache_writer *writer;
} gm_schema_cache;

/* The schema that is kept; NULL where there is none, and then gm_schema_cache_close keeps what was found instead (found
 * NULL: nothing). */
GM_MUST_USE gm_schema *gm_schema_cache_open(gm_schema_cache *c, char *const *files, size_t file_count,
                                            const gm_scan_choice *choice);
void gm_schema_cache_close(gm_schema_cache *c, const gm_schema *found);

#endif
