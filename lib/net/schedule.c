#include "gm/schedule.h"

#include "gm/ops.h"

#include <stdio.h>
#include <string.h>

enum { FIELDS_MAX = 3, FIELD_MAX = 48 };

static const char *const kind_texts[] = {"warmup", "cosine", "step", NULL};

/* The fields between colons of n bytes: their number, or -1. */
static int cut(const char *text, size_t n, char fields[FIELDS_MAX][FIELD_MAX]) {
    int count = 0;
    for (size_t at = 0; at <= n; count++) {
        size_t length = 0;
        while (at + length < n && text[at + length] != ':') length++;
        if (count == FIELDS_MAX || length >= FIELD_MAX) return -1;
        memcpy(fields[count], text + at, length);
        fields[count][length] = '\0';
        at += length + 1;
    }
    return count;
}

static int parse_part(const char *text, size_t n, gm_schedule_part *part, gm_error *e) {
    char fields[FIELDS_MAX][FIELD_MAX];
    int count = cut(text, n, fields), kind = 0;
    if (count < 0) return gm_fail_usage(e, "a schedule is warmup:N, cosine, cosine:N or step:N:FACTOR");
    while (kind_texts[kind] && strcmp(fields[0], kind_texts[kind]) != 0) kind++;
    if (!kind_texts[kind]) {
        const char *meant = gm_did_you_mean(fields[0], kind_texts);
        return gm_fail_usage(e, "unknown schedule '%s'%s%s%s", fields[0], meant ? " (did you mean " : "",
                             meant ? meant : "", meant ? "?)" : "; there are warmup, cosine and step");
    }
    *part = (gm_schedule_part){.kind = (gm_schedule_kind)kind, .factor = 1};
    if (part->kind == GM_COSINE && count == 1) return 0;
    int wanted = part->kind == GM_STEPWISE ? 3 : 2;
    if (count != wanted)
        return gm_fail_usage(e, "%s has %s, as in %s", fields[0],
                             wanted == 3 ? "a number of steps and a factor" : "a number of steps",
                             wanted == 3 ? "step:1000:0.5" : "cosine:20000");
    if (!gm_parse_u64(fields[1], 1, UINT64_C(1) << 48, &part->steps))
        return gm_fail_usage(e, "the number of steps must be at least 1, not '%s'", fields[1]);
    if (wanted == 3 && !(gm_parse_double(fields[2], &part->factor) && part->factor > 0 && part->factor <= 1e6))
        return gm_fail_usage(e, "the factor must be above 0 and at most 1e6, not '%s'", fields[2]);
    return 0;
}

int gm_schedule_parse(const char *text, gm_schedule *s, gm_error *e) {
    gm_schedule parsed = {0};
    for (const char *at = text;; at++) {
        size_t n = strcspn(at, ",");
        if (parsed.count == GM_SCHEDULE_PARTS_MAX)
            return gm_fail_usage(e, "schedule '%s': more than %d parts", text, GM_SCHEDULE_PARTS_MAX);
        if (parse_part(at, n, &parsed.parts[parsed.count++], e) != 0) return gm_fail_within(e, "schedule '%s': ", text);
        at += n;
        if (!*at) break;
    }
    *s = parsed;
    return 0;
}

/* cos^2(pi k / 2N), which keeps its digits near the end. */
static double cosine(uint64_t step, uint64_t steps) {
    if (step >= steps) return 0;
    float turns = (float)(0.25 * (double)step / (double)steps), sine, value;
    gm_sincos_turns(1, &turns, &sine, &value);
    return (double)value * (double)value;
}

static double part_factor(const gm_schedule_part *part, uint64_t step, uint64_t total) {
    switch (part->kind) {
    case GM_WARMUP:
        return step < part->steps ? (double)(step + 1) / (double)part->steps : 1;
    case GM_COSINE:
        return cosine(step, part->steps ? part->steps : total);
    case GM_STEPWISE:
        break;
    }
    return gm_power(part->factor, step / part->steps);
}

bool gm_schedule_needs_total(const gm_schedule *s) {
    for (size_t i = 0; i < s->count; i++)
        if (s->parts[i].steps == 0) return true;
    return false;
}

double gm_schedule_factor(const gm_schedule *s, uint64_t step, uint64_t total) {
    double factor = 1;
    for (size_t i = 0; i < s->count; i++) factor *= part_factor(&s->parts[i], step, total);
    return factor;
}
