/* error.h: how a library call says what went wrong.
 *
 * No function of the library prints or exits. A call that can fail takes a gm_error as its last
 * argument, returns -1 (or NULL) and leaves one line of text there, without a trailing newline and
 * without the tool's name. The caller owns the gm_error; it needs no initialisation and no release.
 */
#ifndef GM_ERROR_H
#define GM_ERROR_H

#include <stdbool.h>

#define GM_MUST_USE __attribute__((warn_unused_result))
#define GM_PRINTF(text, first) __attribute__((format(printf, text, first)))

typedef struct gm_error {
    bool usage; /* true: the user's command is wrong (exit status 2); false: data, I/O, numbers (1) */
    char text[512];
} gm_error;

/* Sets the text; returns -1, so that `return gm_fail(e, ...)` reads well. */
int gm_fail(gm_error *e, const char *format, ...) GM_PRINTF(2, 3);

/* As gm_fail, for a mistake in the command itself: an unknown option, a malformed value. */
int gm_fail_usage(gm_error *e, const char *format, ...) GM_PRINTF(2, 3);

/* As gm_fail, with ": " and strerror(errno) behind the text. */
int gm_fail_errno(gm_error *e, const char *format, ...) GM_PRINTF(2, 3);

/* Puts a prefix (say "record 12: ") before the text that is there already; returns -1. */
int gm_fail_within(gm_error *e, const char *format, ...) GM_PRINTF(2, 3);

/* What they return is seen at the call too, by compilers and analyzers that do not see into error.c. */
static inline int gm_failed(void) {
    return -1;
}
#define gm_fail(...) (gm_fail(__VA_ARGS__), gm_failed())
#define gm_fail_usage(...) (gm_fail_usage(__VA_ARGS__), gm_failed())
#define gm_fail_errno(...) (gm_fail_errno(__VA_ARGS__), gm_failed())
#define gm_fail_within(...) (gm_fail_within(__VA_ARGS__), gm_failed())

/* The text of errno value `number`, from a buffer that is this thread's own. */
const char *gm_errno_text(int number);

#endif
