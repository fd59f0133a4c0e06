/* main.c: compiled once for each tool, with GM_TOOL naming its filter object. */
#include "gm/filter.h"

extern const gm_tool GM_TOOL;

int main(int argc, char **argv) {
    return gm_tool_main(&GM_TOOL, argc, argv);
}
