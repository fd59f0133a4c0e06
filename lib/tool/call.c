/* call.c: one tool made ready from its words, and put away. */
#include "options.h"

#include <stdio.h>
#include <stdlib.h>

static int answer_version(const gm_tool *tool) {
    if (tool->blas)
        printf("%s %s (%s)\n", tool->name, GM_VERSION, tool->blas());
    else
        printf("%s %s\n", tool->name, GM_VERSION);
    return 0;
}

int gm_call_open(const gm_tool *tool, int argc, char **argv, bool fused, gm_call *call, bool *done, gm_error *e) {
    *call =
        (gm_call){.tool = tool, .role = tool->role, .fused = fused, .max_tensor = GM_MAX_TENSOR_DEFAULT, .workers = 1};
    *done = false;
    call->state = gm_new_zeroed(1, tool->state_size ? tool->state_size : 1, e);
    if (!call->state) return -1;
    gm_answer answer;
    if (gm_options_parse(call, argc, argv, &answer, e) != 0) return -1;
    if (answer != GM_ANSWER_RUN) {
        *done = true;
        if (answer == GM_ANSWER_HELP)
            gm_options_help(tool);
        else
            answer_version(tool);
        return 0;
    }
    return tool->open(call, e);
}

void gm_calls_cut(gm_call *const *calls, size_t count, gm_error *e) {
    for (size_t i = 0; i < count; i++)
        if (calls[i]->state && calls[i]->tool->cut) calls[i]->tool->cut(calls[i], e);
}

void gm_call_close(gm_call *call) {
    if (!call->state) return;
    if (call->tool->close) call->tool->close(call);
    gm_options_release(call);
    free(call->state);
    call->state = NULL;
}
