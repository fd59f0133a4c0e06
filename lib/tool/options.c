#include "options.h"

#include "gm/threads.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX 48
#define OPTION_HELP 1
#define OPTION_VERSION 2
#define OPTION_TABLE 256 /* getopt's value of table entry i is OPTION_TABLE + i */

/* The options that every tool of a kind has; offsets are into gm_call. */
static const gm_option writer_options[] = {
    {"drop", 0, GM_OPTION_LIST, offsetof(gm_call, drop), "NAME,...", "remove these tensors from each record", 0, 0},
    {NULL, 0, GM_OPTION_FLAG, 0, NULL, NULL, 0, 0}};
static const gm_option reader_options[] = {{"max-tensor", 0, GM_OPTION_SIZE, offsetof(gm_call, max_tensor), "BYTES",
                                            "refuse a tensor above this (default 1 GiB)", 1, 1e15},
                                           {NULL, 0, GM_OPTION_FLAG, 0, NULL, NULL, 0, 0}};
static const gm_option parallel_options[] = {{"threads", 'j', GM_OPTION_SIZE, offsetof(gm_call, threads), "N",
                                              "threads (default GM_THREADS or 1; the results are the same bits)", 1,
                                              GM_THREADS_MAX},
                                             {NULL, 0, GM_OPTION_FLAG, 0, NULL, NULL, 0, 0}};

typedef struct bound {
    const gm_option *option;
    bool common;
} bound;

static size_t add_common(bound bounds[OPTIONS_MAX], size_t n, const gm_option *o) {
    for (; o->name && n < OPTIONS_MAX; o++) bounds[n++] = (bound){o, true};
    return n;
}

/* All options of a tool: its own, then the common ones that apply. */
static size_t options_of(const gm_tool *tool, bound bounds[OPTIONS_MAX]) {
    size_t n = 0;
    bool writes = tool->role == GM_FILTER || tool->role == GM_SOURCE;
    bool reads = tool->role == GM_FILTER || tool->role == GM_SINK || tool->reads_files;
    for (const gm_option *o = tool->options; o && o->name && n < OPTIONS_MAX; o++) bounds[n++] = (bound){o, false};
    if (writes) n = add_common(bounds, n, writer_options);
    if (reads) n = add_common(bounds, n, reader_options);
    if (tool->parallel) n = add_common(bounds, n, parallel_options);
    return n;
}

static int list_add(gm_list *list, const char *text, const char *option, gm_error *e) {
    for (const char *at = text;;) {
        size_t n = strcspn(at, ",");
        if (n == 0) return gm_fail_usage(e, "--%s: empty name in '%s'", option, text);
        char **items = realloc(list->items, (list->count + 1) * sizeof *items);
        if (!items) return gm_fail(e, "out of memory");
        list->items = items;
        items[list->count] = gm_copy_text(at, n, e);
        if (!items[list->count]) return -1;
        list->count++;
        if (at[n] == '\0') return 0;
        at += n + 1;
    }
}

static void list_release(gm_list *list) {
    for (size_t i = 0; i < list->count; i++) free(list->items[i]);
    free(list->items);
    *list = (gm_list){0};
}

/* The range of a number in words, for a message. */
static const char *range_text(const gm_option *o, char out[96]) {
    const char *kind = o->kind == GM_OPTION_NUMBER ? "a number" : "a whole number";
    if (o->low == 0 && o->high == 0)
        snprintf(out, 96, "%s", kind);
    else if (o->high >= 1e15)
        snprintf(out, 96, "%s from %.10g", kind, o->low);
    else
        snprintf(out, 96, "%s from %.10g to %.10g", kind, o->low, o->high);
    return out;
}

static int option_set(const bound *b, gm_call *call, const char *text, gm_error *e) {
    const gm_option *o = b->option;
    char *base = b->common ? (char *)call : (char *)call->state;
    void *variable = base + o->offset;
    bool any = o->low == 0 && o->high == 0;
    bool good = true;
    switch (o->kind) {
    case GM_OPTION_FLAG:
        *(bool *)variable = true;
        break;
    case GM_OPTION_TEXT:
        good = true;
        *(const char **)variable = text;
        break;
    case GM_OPTION_LIST:
        return list_add(variable, text, o->name, e);
    case GM_OPTION_SIZE:
        good = gm_parse_size(text, any ? 0 : (size_t)o->low, any ? SIZE_MAX : (size_t)o->high, variable);
        break;
    case GM_OPTION_U64:
        good = gm_parse_u64(text, any ? 0 : (uint64_t)o->low, any ? UINT64_MAX : (uint64_t)o->high, variable);
        break;
    case GM_OPTION_NUMBER: {
        double value;
        good = gm_parse_double(text, &value) && (any || (value >= o->low && value <= o->high));
        if (good) *(double *)variable = value;
        break;
    }
    }
    char range[96];
    if (!good) return gm_fail_usage(e, "--%s: '%s' is not %s", o->name, text, range_text(o, range));
    return 0;
}

/* getopt said '?': an unknown or an ambiguous option. */
static int option_unknown(const bound *bounds, size_t count, const char *word, gm_error *e) {
    if (optopt > OPTION_VERSION && optopt < OPTION_TABLE)
        return gm_fail_usage(e, "unknown option '-%c' (--help lists them)", optopt);
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word + 2, "="), word + 2);
    const char *names[OPTIONS_MAX + 3];
    size_t n = 0, fits = 0;
    for (size_t i = 0; i < count; i++) {
        names[n++] = bounds[i].option->name;
        fits += strncmp(bounds[i].option->name, name, strlen(name)) == 0;
        if (strcmp(bounds[i].option->name, name) == 0) return gm_fail_usage(e, "option '--%s' takes no value", name);
    }
    names[n++] = "help";
    names[n++] = "version";
    names[n] = NULL;
    if (fits > 1) return gm_fail_usage(e, "option '--%s' is ambiguous (--help lists them)", name);
    const char *meant = gm_did_you_mean(name, names);
    if (meant) return gm_fail_usage(e, "unknown option '--%s' (did you mean --%s?)", name, meant);
    return gm_fail_usage(e, "unknown option '--%s' (--help lists them)", name);
}

/* Threads that no option asked for: in gm-pipe its own. */
static int default_threads(gm_call *call, gm_error *e) {
    const char *wanted = getenv("GM_THREADS");
    if (call->threads > 0) return 0;
    call->threads = 1;
    if (!call->tool->parallel || call->fused || !wanted || !*wanted) return 0;
    if (gm_parse_size(wanted, 1, GM_THREADS_MAX, &call->threads)) return 0;
    return gm_fail_usage(e, "GM_THREADS: expected a whole number from 1 to %d, got '%s'", GM_THREADS_MAX, wanted);
}

int gm_options_parse(gm_call *call, int argc, char **argv, gm_answer *answer, gm_error *e) {
    bound bounds[OPTIONS_MAX];
    size_t count = options_of(call->tool, bounds);
    struct option longs[OPTIONS_MAX + 3];
    char shorts[2 * OPTIONS_MAX + 8] = ":h";
    size_t at = 2;
    for (size_t i = 0; i < count; i++) {
        const gm_option *o = bounds[i].option;
        bool argument = o->kind != GM_OPTION_FLAG;
        longs[i] = (struct option){o->name, argument ? required_argument : no_argument, NULL, OPTION_TABLE + (int)i};
        if (!o->letter) continue;
        shorts[at++] = o->letter;
        if (argument) shorts[at++] = ':';
    }
    longs[count] = (struct option){"help", no_argument, NULL, OPTION_HELP};
    longs[count + 1] = (struct option){"version", no_argument, NULL, OPTION_VERSION};
    longs[count + 2] = (struct option){NULL, 0, NULL, 0};

    *answer = GM_ANSWER_RUN;
    opterr = 0;
    optind = 0; /* glibc: start anew, gm-pipe parses several commands */
    for (int c; (c = getopt_long(argc, argv, shorts, longs, NULL)) != -1;) {
        const char *word = argv[optind > 0 ? optind - 1 : 0];
        if (c == 'h' || c == OPTION_HELP || c == OPTION_VERSION) {
            *answer = c == OPTION_VERSION ? GM_ANSWER_VERSION : GM_ANSWER_HELP;
            return 0;
        }
        if (c == '?') return option_unknown(bounds, count, word, e);
        if (c == ':') return gm_fail_usage(e, "option '%s' needs a value", word);
        size_t i = 0;
        if (c >= OPTION_TABLE)
            i = (size_t)(c - OPTION_TABLE);
        else
            while (i < count && bounds[i].option->letter != c) i++;
        if (option_set(&bounds[i], call, optarg, e) != 0) return -1;
    }
    call->argument_count = argc - optind;
    call->arguments = argv + optind;
    return default_threads(call, e);
}

void gm_options_release(gm_call *call) {
    bound bounds[OPTIONS_MAX];
    size_t count = options_of(call->tool, bounds);
    for (size_t i = 0; i < count; i++)
        if (bounds[i].option->kind == GM_OPTION_LIST)
            list_release(
                (gm_list *)((bounds[i].common ? (char *)call : (char *)call->state) + bounds[i].option->offset));
}

static void help_line(char letter, const char *name, const char *argument, const char *help) {
    char left[64];
    int n = letter ? snprintf(left, sizeof left, "  -%c, --%s", letter, name)
                   : snprintf(left, sizeof left, "      --%s", name);
    if (argument) snprintf(left + n, sizeof left - (size_t)n, " %s", argument);
    if (strlen(left) < 30)
        printf("%-30s%s\n", left, help);
    else
        printf("%s\n%30s%s\n", left, "", help);
}

void gm_options_help(const gm_tool *tool) {
    bound bounds[OPTIONS_MAX];
    size_t count = options_of(tool, bounds);
    printf("usage: %s %s\n%s\n\n", tool->name, tool->synopsis, tool->purpose);
    for (size_t i = 0; i < count; i++) {
        const gm_option *o = bounds[i].option;
        help_line(o->letter, o->name, o->argument, o->help);
    }
    help_line('h', "help", NULL, "show this help");
    help_line(0, "version", NULL, tool->blas ? "show the version and the BLAS in use" : "show the version");
    if (tool->details) printf("\n%s\n", tool->details);
}
