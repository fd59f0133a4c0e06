/* text.c: texts in messages. */
#include "text.h"

#include <string.h>

enum { SHOWN = 40 };

void gm_hide_controls(char *text, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const unsigned char byte = (unsigned char)text[i];
        if (byte < 0x20 || byte == 0x7F) text[i] = '?';
        /* C2 80 to C2 9F are control characters too, and some terminals obey them. */
        if (i > 0 && (unsigned char)text[i - 1] == 0xC2 && byte >= 0x80 && byte < 0xA0) text[i - 1] = text[i] = '?';
    }
}

char *gm_visible(const char *text, size_t n, char out[GM_VISIBLE]) {
    size_t shown = n;
    if (n > SHOWN) {
        shown = SHOWN - 3;
        /* Not in the middle of a UTF-8 character. */
        while (shown > 0 && ((unsigned char)text[shown] & 0xC0) == 0x80) shown--;
    }
    memcpy(out, text, shown);
    gm_hide_controls(out, shown);
    if (shown < n) {
        memcpy(out + shown, "...", 3);
        shown += 3;
    }
    out[shown] = '\0';
    return out;
}

char *gm_visible_text(const char *text, char out[GM_VISIBLE]) {
    return gm_visible(text, strlen(text), out);
}

const char *gm_base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}
