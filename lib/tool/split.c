/* split.c: the text of a pipeline to the words of its stages. */
#include "gm/filter.h"

#include <stdlib.h>
#include <string.h>

/* Stages are kept as places of words while these may still move. */
typedef struct splitter {
    gm_line *line;
    size_t word_count, word_capacity;
    size_t firsts[GM_STAGES_MAX + 1];
} splitter;

static int word_add(splitter *s, char *word, gm_error *e) {
    if (gm_grow(&s->line->words, &s->word_capacity, s->word_count + 1, sizeof *s->line->words, e) != 0) return -1;
    s->line->words[s->word_count++] = word;
    return 0;
}

static int stage_end(splitter *s, gm_error *e) {
    gm_line *line = s->line;
    size_t count = s->word_count - s->firsts[line->stage_count];
    if (count == 0) return gm_fail_usage(e, "the pipeline has an empty stage");
    if (line->stage_count == GM_STAGES_MAX) return gm_fail_usage(e, "more than %d stages", GM_STAGES_MAX);
    if (word_add(s, NULL, e) != 0) return -1;
    line->stages[line->stage_count++].count = count;
    s->firsts[line->stage_count] = s->word_count;
    return 0;
}

/* Copies one word to *out, its quotes and backslashes resolved; returns what follows it. */
static const char *word_cut(const char *at, char **out, gm_error *e) {
    char quote = 0;
    for (; *at; at++) {
        if (quote == 0 && strchr(" \t\n|", *at)) break;
        if (quote != '\'' && strchr("$`", *at)) {
            gm_fail_usage(e, "'%c' is the shell's: let the shell expand it before gm-pipe sees it", *at);
            return NULL;
        }
        if (quote == 0 && strchr("<>&;()*?[]{}~#!", *at)) {
            gm_fail_usage(e, "'%c' needs a shell: quote it, or run the line with pipes", *at);
            return NULL;
        }
        if (*at == quote)
            quote = 0;
        else if (quote == 0 && (*at == '\'' || *at == '"'))
            quote = *at;
        else if (*at == '\\' && quote != '\'' && at[1] && (quote == 0 || strchr("$`\"\\\n", at[1]))) {
            at++;
            if (*at != '\n') *(*out)++ = *at;
        } else
            *(*out)++ = *at;
    }
    if (quote) {
        gm_fail_usage(e, "a quote (%c) is not closed", quote);
        return NULL;
    }
    *(*out)++ = '\0';
    return at;
}

static int split(splitter *s, const char *text, gm_error *e) {
    char *out = s->line->text;
    for (const char *at = text;;) {
        while (*at && (strchr(" \t\n", *at) || (at[0] == '\\' && at[1] == '\n'))) at++;
        if (*at == '\0') return stage_end(s, e);
        if (*at == '|') {
            if (at[1] == '|' || at[1] == '&') return gm_fail_usage(e, "'|%c' needs a shell", at[1]);
            if (stage_end(s, e) != 0) return -1;
            at++;
            continue;
        }
        char *word = out;
        at = word_cut(at, &out, e);
        if (!at || word_add(s, word, e) != 0) return -1;
    }
}

int gm_line_split(const char *text, gm_line *line, gm_error *e) {
    splitter s = {.line = line};
    *line = (gm_line){0};
    line->text = gm_new(2 * strlen(text) + 2, 1, e); /* a word is at most as long as its source, and a NUL */
    if (!line->text || split(&s, text, e) != 0) {
        gm_line_free(line);
        return -1;
    }
    for (size_t i = 0; i < line->stage_count; i++) line->stages[i].words = line->words + s.firsts[i];
    return 0;
}

void gm_line_free(gm_line *line) {
    free(line->words);
    free(line->text);
    *line = (gm_line){0};
}
