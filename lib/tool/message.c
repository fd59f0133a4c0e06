/* message.c: the tools' one way to speak: a line on stderr. */
#include "gm/filter.h"

#include <stdarg.h>
#include <stdio.h>

void gm_say(const char *tool, const char *format, ...) {
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    /* one call, so that lines of a pipeline's processes do not mix */
    fprintf(stderr, "%s: %s\n", tool, line);
}

void gm_say_note(const void *tool, const char *line) {
    gm_say(tool, "%s", line);
}
