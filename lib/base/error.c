#include "gm/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Names and texts from outside end up in messages: what could move a terminal's cursor is shown as '?'. */
static void make_printable(char *text) {
    for (unsigned char *c = (unsigned char *)text; *c; c++)
        if (*c < ' ' || *c == 127) *c = '?';
}

static void GM_PRINTF(3, 0) set_text(gm_error *e, bool usage, const char *format, va_list arguments) {
    /* Into a buffer first: an argument may be e->text itself. */
    char text[sizeof e->text];
    vsnprintf(text, sizeof text, format, arguments);
    make_printable(text);
    e->usage = usage;
    memcpy(e->text, text, strlen(text) + 1);
}

int(gm_fail)(gm_error *e, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    set_text(e, false, format, arguments);
    va_end(arguments);
    return -1;
}

int(gm_fail_usage)(gm_error *e, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    set_text(e, true, format, arguments);
    va_end(arguments);
    return -1;
}

/* Puts `tail` behind the text, as much of it as fits. */
static void append(gm_error *e, const char *tail) {
    size_t used = strlen(e->text), room = sizeof e->text - 1 - used, n = strlen(tail);
    if (n > room) n = room;
    memcpy(e->text + used, tail, n);
    e->text[used + n] = '\0';
}

int(gm_fail_errno)(gm_error *e, const char *format, ...) {
    int number = errno;
    va_list arguments;
    va_start(arguments, format);
    set_text(e, false, format, arguments);
    va_end(arguments);
    append(e, ": ");
    append(e, gm_errno_text(number));
    errno = number;
    return -1;
}

int(gm_fail_within)(gm_error *e, const char *format, ...) {
    char text[sizeof e->text];
    memcpy(text, e->text, sizeof text);
    va_list arguments;
    va_start(arguments, format);
    set_text(e, e->usage, format, arguments);
    va_end(arguments);
    append(e, text);
    return -1;
}

const char *gm_errno_text(int number) {
    static _Thread_local char buffer[128];
    return strerror_r(number, buffer, sizeof buffer);
}
