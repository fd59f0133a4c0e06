/* json.c: values as JSON text. */
#include "gm/filter.h"

#include <inttypes.h>
#include <math.h>

/* Bytes of the character of UTF-8 at c, 0 if there is none (RFC 3629: the shortest form, no surrogates). */
static size_t character_bytes(const unsigned char *c) {
    if (c[0] < 0x80) return 1;
    size_t n = c[0] >= 0xC2 && c[0] < 0xE0 ? 2 : (c[0] & 0xF0) == 0xE0 ? 3 : c[0] >= 0xF0 && c[0] < 0xF5 ? 4 : 0;
    for (size_t i = 1; i < n; i++)
        if ((c[i] & 0xC0) != 0x80) return 0;
    bool long_form = (c[0] == 0xE0 && c[1] < 0xA0) || (c[0] == 0xF0 && c[1] < 0x90);
    bool no_character = (c[0] == 0xED && c[1] > 0x9F) || (c[0] == 0xF4 && c[1] > 0x8F);
    return long_form || no_character ? 0 : n;
}

void gm_json_put_text(FILE *f, const char *text) {
    putc('"', f);
    for (const unsigned char *c = (const unsigned char *)text; *c;) {
        size_t n = character_bytes(c);
        if (*c == '"' || *c == '\\')
            fprintf(f, "\\%c", *c);
        else if (*c < 0x20)
            fprintf(f, "\\u%04x", *c);
        else if (n == 0)
            fputs("\\ufffd", f);
        else
            fwrite(c, 1, n, f);
        c += n > 0 ? n : 1;
    }
    putc('"', f);
}

/* JSON has no inf and nan. */
void gm_json_put_number(FILE *f, double value) {
    char text[32];
    fputs(isfinite(value) ? gm_format_f64(value, text) : "null", f);
}

static void put_children(FILE *f, const gm_value *v) {
    bool map = v->kind == GM_MAP;
    putc(map ? '{' : '[', f);
    for (size_t i = 0; i < v->length; i++) {
        if (i) putc(',', f);
        if (map) {
            gm_json_put_text(f, v->keys[i]);
            putc(':', f);
        }
        gm_json_put(f, v->items[i]);
    }
    putc(map ? '}' : ']', f);
}

void gm_json_put(FILE *f, const gm_value *v) {
    switch (v->kind) {
    case GM_NIL:
        fputs("null", f);
        break;
    case GM_BOOL:
        fputs(v->boolean ? "true" : "false", f);
        break;
    case GM_INT:
        fprintf(f, "%" PRId64, v->integer);
        break;
    case GM_FLOAT:
        gm_json_put_number(f, v->number);
        break;
    case GM_TEXT:
        gm_json_put_text(f, v->text);
        break;
    case GM_BYTES:
        fprintf(f, "{\"bytes\":%zu}", v->length);
        break;
    case GM_ARRAY:
    case GM_MAP:
        put_children(f, v);
    }
}
