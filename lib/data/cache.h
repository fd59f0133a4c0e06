/* cache.h: what was made of a data file, kept in a binary file beside it. Private to lib/data.
 *
 * FILE.KEY.gmcache is a head and a body. KEY, 16 hexadecimal digits, tells apart what was made in different ways: of
 * one file there are at most GM_CACHES caches. A cache is good while FILE has the size, the times of change and the
 * first and last 64 KiB that it had, and while the body has its checksum, which is read when the cache is opened. So
 * it needs no sync: what a power failure tore, and what a disk changed, is made anew.
 *
 * A cache is written to a file without a name (O_TMPFILE) that gets one when it is whole: a process that is killed
 * leaves nothing. Where the file system has none, or the directory cannot be written, there is no cache. It can be
 * read by nobody who cannot read FILE, and is believed only if it is the user's own or that of FILE's owner, and
 * nobody else can write it. It can be deleted at any time.
 */
#ifndef GM_DATA_CACHE_H
#define GM_DATA_CACHE_H

#include "gm/schema.h"

#define GM_CACHES 4 /* of one data file; the oldest goes */

/* 128 bits of all that the body depends on beside the file. */
typedef struct gm_cache_key {
    uint64_t words[2];
} gm_cache_key;
gm_cache_key gm_cache_key_of(const void *bytes, size_t n);

/* An open cache: `bytes` of body, from GM_CACHE_BODY on. fd -1: none. */
#define GM_CACHE_BODY ((off_t)4096)
typedef struct gm_cache {
    int fd;
    uint64_t bytes;
} gm_cache;

typedef enum gm_cache_state {
    GM_CACHE_NONE,   /* there is none, or one of other data, or nothing can be said */
    GM_CACHE_GOOD,   /* it was opened */
    GM_CACHE_DAMAGED /* it is of these data, and not what was written */
} gm_cache_state;

/* Whether these files are to have caches: all of them are files, and large enough if that matters. */
bool gm_cache_wanted(gm_caching caching, char *const *files, size_t file_count);

/* The name of the cache; NULL with a message. */
GM_MUST_USE char *gm_cache_path(const char *path, const gm_cache_key *key, gm_error *e);
/* Finds the cache of the data file `path` that is open as `data`, and reads it once. */
gm_cache_state gm_cache_open(const char *path, int data, const gm_cache_key *key, gm_cache *c);

/* A cache that is being written. */
typedef struct gm_cache_writer gm_cache_writer;
/* Before the data are read. NULL with errno where there can be no cache. */
GM_MUST_USE gm_cache_writer *gm_cache_begin(const char *path, int data, const gm_cache_key *key);
/* 0; -1 with errno: abandon it. */
GM_MUST_USE int gm_cache_put(gm_cache_writer *w, const void *bytes, size_t n);
/* Gives the cache its name, unless the data changed meanwhile, and removes those that are of no use any more. The
 * writer is released; *c is open (fd -1 after -1 with errno, 0 where the data changed). */
GM_MUST_USE int gm_cache_commit(gm_cache_writer *w, gm_cache *c);
void gm_cache_abandon(gm_cache_writer *w);

/* Reads n bytes at `offset` of the body, within it. 0; -1 with errno (EIO where the file ends before). */
GM_MUST_USE int gm_cache_read(const gm_cache *c, uint64_t offset, void *bytes, size_t n);

#endif
