/* options_fuzz.c: any lines as the words of a tool's command.
 *
 * The first byte says which tool's.
 */
#include "fuzz.h"

#include "../../lib/tool/options.h"

#define WORDS_MAX 32

extern const gm_tool gm_batch_tool, gm_classify_tool, gm_compare_tool, gm_forward_tool, gm_grad_tool, gm_init_tool,
    gm_log_tool, gm_noise_tool, gm_pipe_tool, gm_sample_tool, gm_save_tool, gm_show_tool, gm_step_tool;
static const gm_tool *const tools[] = {
    &gm_batch_tool, &gm_classify_tool, &gm_compare_tool, &gm_forward_tool, &gm_grad_tool, &gm_init_tool, &gm_log_tool,
    &gm_noise_tool, &gm_pipe_tool,     &gm_sample_tool,  &gm_save_tool,    &gm_show_tool, &gm_step_tool};

/* A number that was given is one that the option takes. */
static void check_option(const gm_option *o, const char *state) {
    const void *at = state + o->offset;
    if (o->kind == GM_OPTION_LIST) {
        const gm_list *list = at;
        for (size_t i = 0; i < list->count; i++) REQUIRE(list->items[i][0] != '\0');
    }
    if (o->low == 0 && o->high == 0) return;
    const double value = o->kind == GM_OPTION_NUMBER ? *(const double *)at
                         : o->kind == GM_OPTION_SIZE ? (double)*(const size_t *)at
                         : o->kind == GM_OPTION_U64  ? (double)*(const uint64_t *)at
                                                     : 0;
    REQUIRE(value == 0 || (value >= o->low && value <= o->high));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *words[WORDS_MAX + 1];
    gm_error e = {.text = ""};
    gm_answer answer;
    if (size == 0) return 0;
    const gm_tool *tool = tools[data[0] % (sizeof tools / sizeof *tools)];
    char *text = fuzz_text(data + 1, size - 1);
    const int count = (int)fuzz_lines(text, words, WORDS_MAX);
    words[count] = NULL;
    gm_call call = {.tool = tool, .role = tool->role, .state = calloc(1, tool->state_size + 1)};
    REQUIRE(call.state != NULL);
    if (gm_options_parse(&call, count, words, &answer, &e) != 0) {
        REQUIRE(e.usage && e.text[0] != '\0');
    } else if (answer == GM_ANSWER_RUN) {
        REQUIRE(call.argument_count >= 0 && call.argument_count < count && call.arguments[call.argument_count] == NULL);
        for (const gm_option *o = tool->options; o != NULL && o->name != NULL; o++) check_option(o, call.state);
    }
    gm_options_release(&call);
    free(call.state);
    free(text);
    return 0;
}
