/* filter.h: a tool is a filter object: open (options), process (a record in, the same record out, changed), close.
 *
 * A shell pipe links filters as processes, gm-pipe links the same objects in one process. A tool that works alone
 * (gm-init) is the same object without streams. This is the only module, with cmd/, that prints.
 */
#ifndef GM_FILTER_H
#define GM_FILTER_H

#include "gm/model.h"
#include "gm/stream.h"

#include <pthread.h>
#include <stdio.h>

#define GM_VERSION "0.1.0"

typedef enum gm_option_kind {
    GM_OPTION_FLAG,   /* bool: set to true */
    GM_OPTION_TEXT,   /* const char * */
    GM_OPTION_SIZE,   /* size_t in [low, high] */
    GM_OPTION_U64,    /* uint64_t in [low, high] */
    GM_OPTION_NUMBER, /* double in [low, high] */
    GM_OPTION_LIST    /* gm_list: texts between commas; given again, they are added */
} gm_option_kind;

typedef struct gm_list {
    size_t count;
    char **items;
} gm_list;

typedef struct gm_option {
    const char *name; /* long name, or NULL at the end of a table */
    char letter;      /* short name or 0 */
    gm_option_kind kind;
    size_t offset;        /* of the variable in the filter's state */
    const char *argument; /* its name in --help; NULL for a flag */
    const char *help;
    double low, high; /* for numbers; both 0: any */
} gm_option;

typedef enum gm_role {
    GM_FILTER, /* reads records and writes them */
    GM_SOURCE, /* makes records and writes them */
    GM_SINK,   /* reads records */
    GM_ALONE   /* neither: its process works until there is no more to do; gm-pipe refuses it */
} gm_role;

typedef struct gm_call {
    const struct gm_tool *tool;
    void *state;        /* tool->state_size bytes, zeroed, then options */
    int argument_count; /* what is left behind the options */
    char **arguments;
    gm_role role;     /* the tool's; open may change it (gm-noise -n is a source) */
    uint64_t records; /* processed so far: the number of the record in process */
    bool fused;       /* runs inside gm-pipe */
    int status;       /* exit status of a call that succeeded (gm-pipe: that of its stages) */
    size_t max_tensor;
    gm_list drop;
    size_t threads;
    size_t workers; /* of `work`, below: one, or as many as open says, up to `threads`; one inside gm-pipe */
} gm_call;

/* An item of a tool whose items are worked on by several threads (belt.h). */
typedef struct gm_item {
    gm_record *record;   /* the slot's, empty in `take` */
    size_t slot, worker; /* below GM_BELT_SLOTS(workers), and below workers */
} gm_item;

/* The files that a tool opens once it is open (confine.c). */
typedef struct gm_access gm_access;

typedef struct gm_tool {
    const char *name;     /* "gm-noise" */
    const char *purpose;  /* one line */
    const char *synopsis; /* what stands behind the name in the usage line */
    const char *details;  /* further text of --help, or NULL */
    const gm_option *options;
    size_t state_size;
    gm_role role;
    bool reads_files;          /* streams too: --max-tensor is an option, as it is of filters and sinks */
    const char *(*blas)(void); /* gm_blas_text for a tool that links BLAS: --version names it; else NULL */
    bool parallel;             /* works on several threads: -j is an option */
    /* Reads the options, opens models. 0, -1. */
    int (*open)(gm_call *call, gm_error *e);
    /* Names the files that are opened from here on; all others are given up then. NULL: there are none. */
    void (*access)(const gm_call *call, gm_access *a);
    /* A filter changes the record; a source fills the empty one. 1: pass it on; 0: there is no more (sources, tools
     * alone); -1. */
    int (*process)(gm_call *call, gm_record *r, gm_error *e);
    /* Three in its place, of a source or a tool alone whose items can be worked on at once. One thread at a time, in
     * their order: `take` begins an item: 1, 0, -1; `give` ends it, before its record is passed on: 0, -1; may be NULL.
     * Several threads: `work`: 0, -1. */
    int (*take)(gm_call *call, const gm_item *item, gm_error *e);
    int (*work)(gm_call *call, const gm_item *item, gm_error *e);
    int (*give)(gm_call *call, const gm_item *item, gm_error *e);
    /* The stream ended well. 0, -1. May be NULL. */
    int (*finish)(gm_call *call, gm_error *e);
    /* The pipeline fails, as e says, here or in another stage, while it is opened or later. May change the text; ""
     * where it is another process's to speak. May be NULL. */
    void (*cut)(gm_call *call, gm_error *e);
    /* Releases everything, after success and failure alike; open may have failed half way. May be NULL. */
    void (*close)(gm_call *call);
} gm_tool;

/* main() of every tool: options, streams, messages. Returns the exit status: 0, 1 (data, I/O, numbers), 2 (usage). */
int gm_tool_main(const gm_tool *tool, int argc, char **argv);

/* Parses a command's words into a call (state allocated) and opens it. *done: --help or --version was answered. */
GM_MUST_USE int gm_call_open(const gm_tool *tool, int argc, char **argv, bool fused, gm_call *call, bool *done,
                             gm_error *e);
void gm_call_close(gm_call *call);

/* `path` will be read; a file of that name will be written, beside it its temporary one. A NULL path or "-" is none. */
void gm_access_read(gm_access *a, const char *path);
void gm_access_write(gm_access *a, const char *path);
/* What is opened from here on cannot be named: nothing is given up but privileges. */
void gm_access_everything(gm_access *a);
/* A tool's `access` where its arguments are files that are read. */
void gm_access_arguments(const gm_call *call, gm_access *a);
/* The same for what an opened call names; without a tool's `access`, nothing. */
void gm_access_call(gm_access *a, const gm_call *call);
/* Gives up all that the opened call does not need, for this thread and those that it makes: other files, the network,
 * other programs' privileges, signals to other processes; as far as the kernel can do that. */
GM_MUST_USE int gm_confine(const gm_call *call, gm_error *e);

/* Tells calls that are opened, or half so, that their pipeline fails: the tools' `cut`. */
void gm_calls_cut(gm_call *const *calls, size_t count, gm_error *e);

/* Opened calls as one pipeline, records handed on in memory. It reads standard input if the first is no source, and
 * writes standard output if the last is no sink. Open it before gm_confine: neighbours meet there (lane.h). */
typedef struct gm_flow {
    gm_call *const *calls;
    size_t count;
    gm_reader *reader; /* NULL: the first call makes its records */
    gm_writer *writer; /* NULL: the last call keeps them */
    size_t slots;
    gm_record **records; /* of each slot of the first call's items; else one */
    size_t at;           /* the call that works, or has failed */
} gm_flow;
GM_MUST_USE int gm_flow_open(gm_flow *f, gm_call *const *calls, size_t count, gm_error *e);
void gm_flow_close(gm_flow *f);
/* Messages name the tool. Returns the exit status. */
int gm_flow_run(gm_flow *f);

/* The text of a pipeline, cut into stages and words as a shell does. What would need a shell (variables, redirections,
 * patterns) is refused. */
#define GM_STAGES_MAX 63
typedef struct gm_line {
    char *text;   /* all words, each with its NUL */
    char **words; /* with a NULL behind each stage's */
    size_t stage_count;
    struct {
        size_t count;
        char **words;
    } stages[GM_STAGES_MAX];
} gm_line;
GM_MUST_USE int gm_line_split(const char *text, gm_line *line, gm_error *e);
void gm_line_free(gm_line *line);

/* One line on stderr: "gm-grad: text". */
void gm_say(const char *tool, const char *format, ...) GM_PRINTF(2, 3);
/* The same as a gm_note (data.h), the tool's name as its context. */
void gm_say_note(const void *tool, const char *line);

/* ---- a model as training reads it ---- */

/* A model that filters read. With a step k in the record: its parameters at exactly step k, or k + 1 behind its own
 * gm-step (which leaves info.stepped.NAME), read in place; so bits do not depend on how far other processes are.
 * Frozen, or without a step: a copy of the model as it stands. */
typedef struct gm_follow {
    gm_model *model;
    bool frozen;
    bool predicts; /* averaged parameters are wanted, where the model has them; to be set behind gm_follow_open */
    bool begun;    /* a record was read */
    gm_view view;
    gm_state copy; /* copy.blocks NULL: none was made */
    uint64_t copy_word;
    bool copied; /* what gm_follow_params gave last was the copy */
} gm_follow;
GM_MUST_USE int gm_follow_open(gm_follow *f, const char *path, bool frozen, gm_error *e);
void gm_follow_close(gm_follow *f);
/* Parameters for this record; *step is the step they stand at. Waits for a model that has not got there. */
GM_MUST_USE const float *gm_follow_params(gm_follow *f, const gm_record *r, uint64_t *step, gm_error *e);
/* After use: -1 if the writer overtook the reader meanwhile. */
GM_MUST_USE int gm_follow_check(gm_follow *f, const gm_record *r, gm_error *e);

/* ---- a model as it predicts and samples ---- */

/* The parameters that answer (their average, where the optimizer keeps one) of a model file as it stands, or of a
 * checkpoint. */
typedef struct gm_predictor {
    const gm_model_spec *spec;
    const float *params; /* spec->net->block floats */
    uint64_t step;
    gm_model *model;   /* private, as what follows: of a model file */
    gm_model_spec own; /* of a checkpoint */
    gm_state state;
} gm_predictor;
GM_MUST_USE int gm_predictor_load(gm_predictor *p, const char *path, gm_error *e);
void gm_predictor_free(gm_predictor *p);

/* ---- a model as its writer holds it ---- */

/* A writer that SIGINT, SIGTERM or SIGHUP may end: between two steps, and settled. Its step is made with `lock` held.
 */
typedef struct gm_writing {
    gm_model *model;
    const char *tool;
    pthread_mutex_t lock;
    bool begun;
} gm_writing;
GM_MUST_USE int gm_writing_begin(gm_writing *w, gm_model *model, const char *tool, gm_error *e);
/* From here on the signals are waited for, if there is a writer: by a thread, so behind gm_confine. */
GM_MUST_USE int gm_writing_watch(gm_error *e);
void gm_writing_end(gm_writing *w);

/* ---- shared by tools ---- */

/* Text that a thread makes and another one prints: what is written to f is kept until gm_text_put prints it, which also
 * fails if there was no memory to keep it. It must stay where it was opened. */
typedef struct gm_text {
    FILE *f;
    char *bytes; /* private, as what follows */
    size_t size, capacity;
} gm_text;
GM_MUST_USE int gm_text_open(gm_text *t, gm_error *e);
GM_MUST_USE int gm_text_put(gm_text *t, gm_error *e);
void gm_text_close(gm_text *t);

/* --dist: "normal" (or NULL) or "uniform". */
GM_MUST_USE int gm_distribution(const char *text, bool *uniform, gm_error *e);

/* Refuses a network that judges packs of rows, for what wants an output for each row. */
GM_MUST_USE int gm_refuse_packs(const gm_net *net, const char *path, gm_error *e);

/* --layers "FIRST-LAST" or "LAYER" of a network: its numbers of layers. */
GM_MUST_USE int gm_parse_layers(const char *text, const gm_net *net, size_t *first, size_t *count, gm_error *e);

/* "8x8". -1 if it is not that. */
GM_MUST_USE int gm_parse_shape(const char *text, size_t *height, size_t *width);

/* A text (U+FFFD for a byte that is no UTF-8), a number (null if it is not finite), any value as JSON. */
void gm_json_put_text(FILE *f, const char *text);
void gm_json_put_number(FILE *f, double value);
void gm_json_put(FILE *f, const gm_value *v);

/* Figures of predictions on standard output, as lines `name value` or as one JSON object. */
typedef struct gm_report {
    const gm_tally *tally;
    size_t classes;
    char *const *names; /* of the classes, or NULL: numbers */
    bool json, confusion;
} gm_report;
GM_MUST_USE int gm_report_put(const gm_report *r, gm_error *e);

/* "tensor 'x'" parts of an input from -i NAME,NAME: values, or class numbers for parts of kind CLASSES. */
struct gm_input;
GM_MUST_USE int gm_gather_input(gm_record *r, const gm_net *net, char *const *names, size_t count,
                                struct gm_input *input, gm_error *e);

#endif
