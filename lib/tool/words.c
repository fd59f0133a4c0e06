/* words.c: words of options that several tools take. */
#include "gm/filter.h"

#include <string.h>

int gm_distribution(const char *text, bool *uniform, gm_error *e) {
    static const char *const names[] = {"normal", "uniform", NULL};
    *uniform = text && strcmp(text, "uniform") == 0;
    if (!text || *uniform || strcmp(text, "normal") == 0) return 0;
    const char *meant = gm_did_you_mean(text, names);
    if (meant) return gm_fail_usage(e, "--dist: unknown distribution '%s' (did you mean %s?)", text, meant);
    return gm_fail_usage(e, "--dist: unknown distribution '%s' (normal or uniform)", text);
}

int gm_parse_shape(const char *text, size_t *height, size_t *width) {
    char rows[24];
    size_t n = strcspn(text, "x");
    if (text[n] != 'x' || n >= sizeof rows) return -1;
    memcpy(rows, text, n);
    rows[n] = '\0';
    return gm_parse_size(rows, 1, 1 << 16, height) && gm_parse_size(text + n + 1, 1, 1 << 16, width) ? 0 : -1;
}
