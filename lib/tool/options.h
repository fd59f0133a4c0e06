/* options.h: a tool's option table to getopt_long, to variables, and to --help. Private to lib/tool. */
#ifndef GM_TOOL_OPTIONS_H
#define GM_TOOL_OPTIONS_H

#include "gm/filter.h"

typedef enum gm_answer { GM_ANSWER_RUN, GM_ANSWER_HELP, GM_ANSWER_VERSION } gm_answer;

/* Parses a command's words into call->state and call's common options; what is left goes to call->arguments (pointers
 * into argv). Sets *answer where --help or --version was given. */
GM_MUST_USE int gm_options_parse(gm_call *call, int argc, char **argv, gm_answer *answer, gm_error *e);

/* Releases the lists that parsing made. */
void gm_options_release(gm_call *call);

/* --help's text on stdout. */
void gm_options_help(const gm_tool *tool);

#endif
