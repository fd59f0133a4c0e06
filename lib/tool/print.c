/* print.c: text that one thread makes and another one prints. */
#include "gm/filter.h"

#include <stdlib.h>

int gm_text_open(gm_text *t, gm_error *e) {
    t->f = open_memstream(&t->bytes, &t->size);
    return t->f ? 0 : gm_fail_errno(e, "no memory for text");
}

int gm_text_put(gm_text *t, gm_error *e) {
    if (fflush(t->f) != 0) return gm_fail_errno(e, "no memory for text");
    if (fwrite(t->bytes, 1, t->size, stdout) != t->size) return gm_fail_errno(e, "standard output");
    return fseek(t->f, 0, SEEK_SET) == 0 ? 0 : gm_fail_errno(e, "no memory for text");
}

void gm_text_close(gm_text *t) {
    if (t->f) fclose(t->f);
    free(t->bytes);
    *t = (gm_text){0};
}
