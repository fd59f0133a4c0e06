/* print.c: text that one thread makes and another one prints. */
#include "gm/filter.h"

#include <stdlib.h>
#include <string.h>

/* Nothing kept makes an error of the FILE. */
static ssize_t keep(void *cookie, const char *bytes, size_t n) {
    gm_text *t = cookie;
    gm_error ignored;
    if (gm_grow(&t->bytes, &t->capacity, t->size + n, 1, &ignored) != 0) return 0;
    memcpy(t->bytes + t->size, bytes, n);
    t->size += n;
    return (ssize_t)n;
}

int gm_text_open(gm_text *t, gm_error *e) {
    t->f = fopencookie(t, "w", (cookie_io_functions_t){.write = keep});
    return t->f ? 0 : gm_fail(e, "no memory for text");
}

int gm_text_put(gm_text *t, gm_error *e) {
    if (fflush(t->f) != 0 || ferror(t->f)) return gm_fail(e, "no memory for text");
    if (t->size > 0 && fwrite(t->bytes, 1, t->size, stdout) != t->size) return gm_fail_errno(e, "standard output");
    t->size = 0;
    return 0;
}

void gm_text_close(gm_text *t) {
    if (t->f) fclose(t->f);
    free(t->bytes);
    *t = (gm_text){0};
}
