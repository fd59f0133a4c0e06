/* json.c: values as JSON text. */
#include "gm/filter.h"

#include <inttypes.h>
#include <math.h>

void gm_json_put_text(FILE *f, const char *text) {
    putc('"', f);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            fprintf(f, "\\%c", *c);
        else if (*c < 0x20)
            fprintf(f, "\\u%04x", *c);
        else
            putc(*c, f);
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
