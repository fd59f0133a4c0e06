/* base.h: checked sizes, memory, numbers from text, words that were meant, files, time.
 *
 * Memory returned by this module is released with free().
 */
#ifndef GM_BASE_H
#define GM_BASE_H

#include "gm/error.h"

#include <stddef.h>
#include <stdint.h>

#define GM_NAME_MAX 64 /* bytes in the name of a tensor, a scalar, a model or a column of a stream */
#define GM_ALIGN 64    /* bytes to which tensors are aligned, in memory and in model files */

/* *product = a * b; false (and *product untouched) if that overflows. */
GM_MUST_USE bool gm_multiply(size_t a, size_t b, size_t *product);

/* n rounded up to a multiple of GM_ALIGN; n must be at most SIZE_MAX - GM_ALIGN. */
size_t gm_align(size_t n);

/* count * size bytes, GM_ALIGN-aligned, uninitialised (never NULL for 0 bytes); NULL with a message. */
GM_MUST_USE void *gm_new(size_t count, size_t size, gm_error *e);

/* As gm_new, zeroed. */
GM_MUST_USE void *gm_new_zeroed(size_t count, size_t size, gm_error *e);

/* Grows *items (from malloc or NULL) so that it holds at least `wanted` items of `size` bytes; *capacity counts items.
 * New items are zeroed. 0, or -1 with a message and the old items as they were. */
GM_MUST_USE int gm_grow(void *items, size_t *capacity, size_t wanted, size_t size, gm_error *e);

/* A copy of n bytes of text with a NUL behind it; NULL with a message. */
GM_MUST_USE char *gm_copy_text(const char *text, size_t n, gm_error *e);

/* Numbers from text. The whole text must be the number, in the C locale's form whatever the
 * locale is; no leading or trailing blanks, no hexadecimal, no inf or nan, no overflow.
 * Return false and leave *value alone if it is not. */
GM_MUST_USE bool gm_parse_u64(const char *text, uint64_t low, uint64_t high, uint64_t *value);
GM_MUST_USE bool gm_parse_size(const char *text, size_t low, size_t high, size_t *value);
GM_MUST_USE bool gm_parse_double(const char *text, double *value);
/* As gm_parse_double for n bytes that need no NUL behind them. */
GM_MUST_USE bool gm_parse_double_n(const char *text, size_t n, double *value);
/* The same, several times as fast, where GM_NUMBER_ROOM bytes from `text` on can be read, whatever they are. */
#define GM_NUMBER_ROOM ((size_t)17)
GM_MUST_USE bool gm_parse_double_roomy(const char *text, size_t n, double *value);

/* The shortest decimal text that reads back as the same float / double (at most 32 bytes with NUL; for a power of two,
 * perhaps one digit more than the shortest). Returns out. */
char *gm_format_f32(float value, char out[32]);
char *gm_format_f64(double value, char out[32]);

/* The word of a NULL-terminated list that `word` was probably meant to be (Damerau-Levenshtein
 * distance at most 2 and less than half its length); NULL if there is none. */
const char *gm_did_you_mean(const char *word, const char *const *words);

/* open(2), through EINTR; always O_CLOEXEC. A new file has mode 0666 less umask. */
GM_MUST_USE int gm_open(const char *path, int flags);

/* Writes / reads n bytes whole, through EINTR and short counts. gm_read_all returns the bytes read, fewer than n
 * only at the end of the file, or -1 with errno; gm_write_all 0 or -1 with errno. */
GM_MUST_USE int gm_write_all(int fd, const void *bytes, size_t n);
GM_MUST_USE long gm_read_all(int fd, void *bytes, size_t n);

/* The directory of a path, "." where it names none; to be freed. NULL if memory ran out. */
GM_MUST_USE char *gm_directory_of(const char *path, gm_error *e);
/* Syncs the directory of a path, so that a name in it lasts; a file system that has no such thing does without. */
GM_MUST_USE int gm_sync_directory_of(const char *path, gm_error *e);

/* True for a pipe that nobody reads any more: a write would fail. gm_fail_broken_pipe does what that write would do:
 * SIGPIPE, and if that is ignored -1 and a message. So a tool that waits, for input or for a step, ends as soon as its
 * output has become useless, and so do the ones before it. */
bool gm_pipe_is_broken(int fd);
GM_MUST_USE int gm_fail_broken_pipe(gm_error *e);

/* Nanoseconds of a clock that only goes forward (CLOCK_MONOTONIC). */
uint64_t gm_nanoseconds(void);

#endif
