/* gm-pipe: a pipeline of gm tools in one process. */
#include "gm/blas.h"
#include "gm/filter.h"
#include "gm/threads.h"

#include <stdio.h>
#include <string.h>

extern const gm_tool gm_allreduce_tool, gm_batch_tool, gm_forward_tool, gm_grad_tool, gm_log_tool, gm_noise_tool,
    gm_reduce_tool, gm_sample_tool, gm_show_tool, gm_step_tool;
extern const gm_tool gm_classify_tool, gm_compare_tool, gm_init_tool, gm_save_tool, gm_pipe_tool;

static const gm_tool *const tools[] = {&gm_allreduce_tool, &gm_batch_tool, &gm_forward_tool,  &gm_grad_tool,
                                       &gm_log_tool,       &gm_noise_tool, &gm_reduce_tool,   &gm_sample_tool,
                                       &gm_show_tool,      &gm_step_tool,  &gm_classify_tool, &gm_compare_tool,
                                       &gm_init_tool,      &gm_save_tool,  &gm_pipe_tool};
#define TOOL_COUNT (sizeof tools / sizeof *tools)

typedef struct pipe_state {
    gm_line line;
    const gm_tool *tools[GM_STAGES_MAX];
    gm_call calls[GM_STAGES_MAX], *places[GM_STAGES_MAX];
    gm_flow flow;
} pipe_state;

static const gm_option options[] = {{NULL, 0, GM_OPTION_FLAG, 0, NULL, NULL, 0, 0}};

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
    if (c->role == GM_SINK && i + 1 < s->line.stage_count)
        return gm_fail_usage(e, "%s hands nothing on and can only be the last stage", c->tool->name);
    return 0;
}

static int find_tools(pipe_state *s, gm_error *e) {
    for (size_t i = 0; i < s->line.stage_count; i++) {
        const gm_tool *tool = s->tools[i] = find_tool(s->line.stages[i].words[0], e);
        if (!tool) return -1;
        if (tool->role == GM_ALONE)
            return gm_fail_usage(e, "%s works alone and cannot be a stage of a pipeline", tool->name);
    }
    return 0;
}

static int open_stage(pipe_state *s, size_t i, gm_error *e) {
    const gm_tool *tool = s->tools[i];
    bool done;
    if (gm_call_open(tool, (int)s->line.stages[i].count, s->line.stages[i].words, true, &s->calls[i], &done, e) != 0)
        return gm_fail_within(e, "%s: ", tool->name);
    if (done) return gm_fail_usage(e, "%s: --help and --version are not for a pipeline", tool->name);
    return check_place(s, i, e);
}

/* First those that must hear of it if another one cannot be opened. */
static int pipe_open(gm_call *call, gm_error *e) {
    pipe_state *s = call->state;
    if (call->argument_count != 1)
        return gm_fail_usage(e, "one word is expected, the whole pipeline in quotes: gm-pipe 'gm-batch ... | gm-log'");
    for (size_t i = 0; i < GM_STAGES_MAX; i++) s->places[i] = &s->calls[i];
    if (gm_line_split(call->arguments[0], &s->line, e) != 0 || find_tools(s, e) != 0) return -1;
    for (int hearing = 1; hearing >= 0; hearing--)
        for (size_t i = 0; i < s->line.stage_count; i++)
            if ((s->tools[i]->cut != NULL) == hearing && open_stage(s, i, e) != 0) return -1;
    return gm_flow_open(&s->flow, s->places, s->line.stage_count, e);
}

static void pipe_cut(gm_call *call, gm_error *e) {
    const pipe_state *s = call->state;
    gm_calls_cut(s->places, s->line.stage_count, e);
}

/* The stages say what fails under their own names. */
static int pipe_process(gm_call *call, gm_record *r, gm_error *e) {
    (void)r;
    pipe_state *s = call->state;
    size_t threads = call->threads;
    for (size_t i = 0; i < s->line.stage_count; i++)
        if (s->calls[i].threads > threads) threads = s->calls[i].threads;
    if (threads > 1 && gm_threads_set(threads, e) != 0) return -1;
    call->status = gm_flow_run(&s->flow);
    return 0;
}

static void pipe_close(gm_call *call) {
    pipe_state *s = call->state;
    gm_flow_close(&s->flow);
    for (size_t i = 0; i < s->line.stage_count; i++) gm_call_close(&s->calls[i]);
    gm_line_free(&s->line);
}

static void pipe_access(const gm_call *call, gm_access *a) {
    const pipe_state *s = call->state;
    for (size_t i = 0; i < s->line.stage_count; i++) gm_access_call(a, &s->calls[i]);
}

const gm_tool gm_pipe_tool = {
    .name = "gm-pipe",
    .purpose = "Runs a pipeline of gm tools in one process: the same filters, the same bits, no copies between them.",
    .synopsis = "[-j N] 'gm-batch ... | gm-noise ... | ...'",
    .options = options,
    .state_size = sizeof(pipe_state),
    .role = GM_ALONE,
    .blas = gm_blas_text,
    .parallel = true,
    .open = pipe_open,
    .access = pipe_access,
    .process = pipe_process,
    .cut = pipe_cut,
    .close = pipe_close,
};
