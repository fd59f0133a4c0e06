/* lookalike.c: texts that are no numbers to us, and numbers, or the lack of one, to who wrote them. */
#include "lookalike.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char digits[] = "0123456789";

static const char *behind_sign(const char *text) {
    return text + (*text == '-' || *text == '+');
}

/* Digits in groups, at least one comma between them: the last mark is the decimal one or as those before it, and groups
 * between two marks are thousands. "1,2,3" is a list, "10.0.0.1" an address. */
static bool has_comma(const char *text) {
    const char *p = behind_sign(text);
    char first = 0, last = 0;
    size_t marks = 0, group = strspn(p, digits), between = 3;
    bool comma = false, alike = true;
    for (p += group; *p == ',' || *p == '.'; p += group) {
        if (marks > 0) {
            if (group != 3) between = group;
            alike = alike && last == first;
        }
        last = *p++;
        if (marks++ == 0) first = last;
        comma = comma || last == ',';
        group = strspn(p, digits);
        if (group == 0) return false;
    }
    if (*p == 'e' || *p == 'E') {
        p = behind_sign(p + 1);
        p += strspn(p, digits);
    }
    if (*p != '\0' || !comma) return false;
    return marks == 1 || (between == 3 && alike && (last != first || (group == 3 && first == ',')));
}

static bool is_hex(const char *text) {
    const char *p = behind_sign(text);
    return p[0] == '0' && (p[1] == 'x' || p[1] == 'X') && p[2] != '\0' &&
           p[2 + strspn(p + 2, "0123456789abcdefABCDEF")] == '\0';
}

/* A number to the C library, if not to us: too large or small, or no finite one. */
static bool is_out_of_range(const char *text) {
    char *end;
    if (isspace((unsigned char)text[0])) return false;
    (void)strtod(text, &end);
    return end != text && *end == '\0';
}

gm_likeness gm_likeness_of(const char *text) {
    static const char *const absent[] = {"na",   "n/a", "n.a.", "n.a",  "#n/a",    "#na",     "<na>",  "nan",  "none",
                                         "null", "nil", "nul",  "?",    "-",       "--",      "---",   ".",    "..",
                                         "...",  "*",   "_",    "-nan", "#div/0!", "#value!", "#ref!", "#num!"};
    if (is_hex(text)) return GM_LIKE_HEX;
    if (has_comma(text)) return GM_LIKE_COMMA;
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++)
        if (strcasecmp(text, absent[i]) == 0) return GM_LIKE_ABSENT;
    return is_out_of_range(text) ? GM_LIKE_ABSENT : GM_LIKE_WORD;
}
