/* pipeline_fuzz.c: any text as gm-pipe's pipeline. Its words are quoted and cut again; where the C library can cut the
 * line as a shell does, it finds the same words.
 */
#include "fuzz.h"

#include "gm/filter.h"

#include <wordexp.h>

static void quote(FILE *f, const char *word) {
    putc('\'', f);
    for (; *word != '\0'; word++) {
        if (*word == '\'')
            fputs("'\\''", f);
        else
            putc(*word, f);
    }
    putc('\'', f);
}

static void check_quoted(const gm_line *line) {
    gm_error e = {.text = ""};
    gm_line again;
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    REQUIRE(f != NULL);
    for (size_t i = 0; i < line->stage_count; i++) {
        if (i > 0) putc('|', f);
        for (size_t k = 0; k < line->stages[i].count; k++) {
            quote(f, line->stages[i].words[k]);
            putc(' ', f);
        }
    }
    fclose(f);
    /* within single quotes nothing is the shell's */
    REQUIRE(gm_line_split(text, &again, &e) == 0 && again.stage_count == line->stage_count);
    for (size_t i = 0; i < line->stage_count; i++) {
        REQUIRE(again.stages[i].count == line->stages[i].count);
        for (size_t k = 0; k <= line->stages[i].count; k++) {
            const char *a = line->stages[i].words[k], *b = again.stages[i].words[k];
            REQUIRE(a == NULL || b == NULL ? a == b : strcmp(a, b) == 0);
        }
    }
    gm_line_free(&again);
    free(text);
}

static void check_shell(const gm_line *line, const char *text) {
    wordexp_t words;
    /* which takes ""x for two words, and stumbles over newlines (glibc 2.36) */
    if (strstr(text, "\"\"") != NULL || strstr(text, "''") != NULL || strchr(text, '\n') != NULL) return;
    if (line->stage_count != 1 || wordexp(text, &words, WRDE_NOCMD) != 0) return;
    REQUIRE(words.we_wordc == line->stages[0].count);
    for (size_t i = 0; i < words.we_wordc; i++) REQUIRE(strcmp(words.we_wordv[i], line->stages[0].words[i]) == 0);
    wordfree(&words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = fuzz_text(data, size);
    gm_error e = {.text = ""};
    gm_line line;
    if (gm_line_split(text, &line, &e) == 0) {
        REQUIRE(line.stage_count >= 1 && line.stage_count <= GM_STAGES_MAX);
        check_quoted(&line);
        check_shell(&line, text);
        gm_line_free(&line);
    } else {
        REQUIRE(e.usage && e.text[0] != '\0');
    }
    free(text);
    return 0;
}
