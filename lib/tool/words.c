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

int gm_parse_layers(const char *text, const gm_net *net, size_t *first, size_t *count, gm_error *e) {
    char begin[24];
    size_t n = strcspn(text, "-"), last;
    if (n < sizeof begin) {
        memcpy(begin, text, n);
        begin[n] = '\0';
        const char *end = text[n] ? text + n + 1 : begin;
        if (gm_parse_size(begin, 0, net->layer_count - 1, first) &&
            gm_parse_size(end, *first, net->layer_count - 1, &last)) {
            *count = last - *first + 1;
            return 0;
        }
    }
    return gm_fail_usage(e, "--layers: '%s' is no FIRST-LAST within 0-%zu, the model's layers", text,
                         net->layer_count - 1);
}

int gm_parse_shape(const char *text, size_t *height, size_t *width) {
    char rows[24];
    size_t n = strcspn(text, "x");
    if (text[n] != 'x' || n >= sizeof rows) return -1;
    memcpy(rows, text, n);
    rows[n] = '\0';
    return gm_parse_size(rows, 1, 1 << 16, height) && gm_parse_size(text + n + 1, 1, 1 << 16, width) ? 0 : -1;
}
