/* gm-pipe: a pipeline of gm tools in one process. */
#include "gm/blas.h"
#include "gm/filter.h"
#include "gm/threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STAGES_MAX 64

extern const gm_tool gm_batch_tool, gm_forward_tool, gm_grad_tool, gm_log_tool, gm_noise_tool, gm_sample_tool,
    gm_show_tool, gm_step_tool;
extern const gm_tool gm_classify_tool, gm_compare_tool, gm_init_tool, gm_save_tool, gm_pipe_tool;

static const gm_tool *const tools[] = {
    &gm_batch_tool, &gm_forward_tool,  &gm_grad_tool,    &gm_log_tool,  &gm_noise_tool, &gm_sample_tool, &gm_show_tool,
    &gm_step_tool,  &gm_classify_tool, &gm_compare_tool, &gm_init_tool, &gm_save_tool,  &gm_pipe_tool};
#define TOOL_COUNT (sizeof tools / sizeof *tools)

typedef struct stage {
    size_t first, count;
} stage; /* words of a command */

typedef struct pipe_state {
    char *text;   /* all words, each with its NUL */
    char **words; /* with a NULL behind each stage's */
    size_t word_count, word_capacity;
    stage stages[STAGES_MAX];
    size_t stage_count;
    gm_call calls[STAGES_MAX];
    size_t opened;
} pipe_state;

static const gm_option options[] = {{NULL, 0, GM_OPTION_FLAG, 0, NULL, NULL, 0, 0}};

/* ---- words as a shell cuts them ---- */

static int word_add(pipe_state *s, char *word, gm_error *e) {
    if (gm_grow(&s->words, &s->word_capacity, s->word_count + 1, sizeof *s->words, e) != 0) return -1;
    s->words[s->word_count++] = word;
    return 0;
}

static int stage_end(pipe_state *s, gm_error *e) {
    stage *now = &s->stages[s->stage_count];
    now->count = s->word_count - now->first;
    if (now->count == 0) return gm_fail_usage(e, "the pipeline has an empty stage");
    if (++s->stage_count == STAGES_MAX) return gm_fail_usage(e, "more than %d stages", STAGES_MAX - 1);
    if (word_add(s, NULL, e) != 0) return -1;
    s->stages[s->stage_count].first = s->word_count;
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

static int split(pipe_state *s, const char *line, gm_error *e) {
    s->text = gm_new(2 * strlen(line) + 2, 1, e); /* a word is at most as long as its source, and a NUL */
    if (!s->text) return -1;
    char *out = s->text;
    for (const char *at = line;;) {
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

/* ---- stages ---- */

static const gm_tool *find_tool(const char *word, gm_error *e) {
    const char *names[TOOL_COUNT + 1] = {NULL};
    const char *slash = strrchr(word, '/'), *base = slash ? slash + 1 : word;
    for (size_t i = 0; i < TOOL_COUNT; i++) {
        names[i] = tools[i]->name;
        if (strcmp(tools[i]->name, base) == 0) return tools[i];
    }
    const char *meant = gm_did_you_mean(base, names);
    if (meant)
        gm_fail_usage(e, "unknown tool '%s' (did you mean %s?)", word, meant);
    else
        gm_fail_usage(e, "'%s' is no gm tool: run the line with shell pipes", word);
    return NULL;
}

/* That calls[i] can stand at its place. */
static int check_place(const pipe_state *s, size_t i, gm_error *e) {
    const gm_call *c = &s->calls[i];
    if (c->role == GM_ALONE)
        return gm_fail_usage(e, "%s works alone and cannot be a stage of a pipeline", c->tool->name);
    if (c->role == GM_SOURCE && i > 0)
        return gm_fail_usage(e, "%s makes its own records and can only be the first stage", c->tool->name);
    if (c->role == GM_SINK && i + 1 < s->stage_count)
        return gm_fail_usage(e, "%s hands nothing on and can only be the last stage", c->tool->name);
    return 0;
}

static int pipe_open(gm_call *call, gm_error *e) {
    pipe_state *s = call->state;
    if (call->argument_count != 1)
        return gm_fail_usage(e, "one word is expected, the whole pipeline in quotes: gm-pipe 'gm-batch ... | gm-log'");
    if (split(s, call->arguments[0], e) != 0) return -1;
    for (size_t i = 0; i < s->stage_count; i++) {
        char **words = s->words + s->stages[i].first;
        const gm_tool *tool = find_tool(words[0], e);
        bool done;
        if (!tool) return -1;
        if (tool->role == GM_ALONE)
            return gm_fail_usage(e, "%s works alone and cannot be a stage of a pipeline", tool->name);
        s->opened = i + 1;
        if (gm_call_open(tool, (int)s->stages[i].count, words, true, &s->calls[i], &done, e) != 0)
            return gm_fail_within(e, "%s: ", tool->name);
        if (done) return gm_fail_usage(e, "%s: --help and --version are not for a pipeline", tool->name);
        if (check_place(s, i, e) != 0) return -1;
    }
    return 0;
}

/* The stages read and write standard input and output themselves, and say what fails under their own names. */
static int pipe_process(gm_call *call, gm_record *r, gm_error *e) {
    (void)r;
    (void)e;
    pipe_state *s = call->state;
    gm_call *calls[STAGES_MAX];
    size_t threads = call->threads;
    for (size_t i = 0; i < s->stage_count; i++) {
        calls[i] = &s->calls[i];
        if (calls[i]->threads > threads) threads = calls[i]->threads;
    }
    if (threads > 1 && gm_threads_set(threads, e) != 0) return -1;
    call->status = gm_run_pipeline(calls, s->stage_count);
    return 0;
}

static void pipe_close(gm_call *call) {
    pipe_state *s = call->state;
    for (size_t i = 0; i < s->opened; i++) gm_call_close(&s->calls[i]);
    free(s->words);
    free(s->text);
}

const gm_tool gm_pipe_tool = {
    .name = "gm-pipe",
    .purpose = "Runs a pipeline of gm tools in one process: the same filters, the same bits, no copies between them.",
    .synopsis = "[-j N] 'gm-batch ... | gm-noise ... | ...'",
    .options = options,
    .state_size = sizeof(pipe_state),
    .role = GM_ALONE,
    .blas = gm_blas_text,
    .open = pipe_open,
    .process = pipe_process,
    .close = pipe_close,
};
