/* pipeline.c: opened calls linked in one process; a tool on its own is a pipeline of one. */
#include "gm/filter.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool makes_records(const gm_call *c) {
    return c->role == GM_SOURCE || c->role == GM_ALONE;
}

static bool hands_on(const gm_call *c) {
    return c->role == GM_FILTER || c->role == GM_SOURCE;
}

static int failed(const gm_flow *f, size_t at, gm_error *e) {
    fflush(stdout);
    gm_calls_cut(f->calls, f->count, e);
    if (*e->text) gm_say(f->calls[at]->tool->name, "%s", e->text);
    return e->usage ? 2 : 1;
}

static int open_input(gm_flow *f, gm_error *e) {
    if (makes_records(f->calls[0])) return 0;
    if (isatty(STDIN_FILENO)) return gm_fail_usage(e, "standard input is a terminal; a stream belongs there (--help)");
    f->reader = gm_reader_new(STDIN_FILENO, "standard input", f->calls[0]->max_tensor, e);
    return f->reader ? 0 : -1;
}

static int open_output(gm_flow *f, gm_error *e) {
    int level;
    if (!hands_on(f->calls[f->count - 1])) return 0;
    if (isatty(STDOUT_FILENO))
        return gm_fail_usage(e, "standard output is a terminal and a stream is binary: append `| gm-show`");
    if (gm_level_for(STDOUT_FILENO, &level, e) != 0) return -1;
    f->writer = gm_writer_new(STDOUT_FILENO, "standard output", level, e);
    if (!f->writer) return -1;
    if (f->reader) gm_reader_watch(f->reader, STDOUT_FILENO);
    return 0;
}

int gm_flow_open(gm_flow *f, gm_call *const *calls, size_t count, gm_error *e) {
    *f = (gm_flow){.calls = calls, .count = count};
    f->record = gm_record_new(e);
    if (f->record && open_input(f, e) == 0 && open_output(f, e) == 0) return 0;
    gm_flow_close(f);
    return -1;
}

void gm_flow_close(gm_flow *f) {
    gm_writer_free(f->writer);
    gm_reader_free(f->reader);
    gm_record_free(f->record);
    *f = (gm_flow){0};
}

/* One record through calls[i]: 1 passed on, 0 no more, -1. */
static int flow_process(gm_flow *f, size_t i, gm_error *e) {
    gm_call *c = f->calls[i];
    int got = c->tool->process(c, f->record, e);
    if (got < 0) {
        if (c->role == GM_FILTER || c->role == GM_SINK)
            gm_fail_within(e, "record %llu: ", (unsigned long long)c->records);
        return -1;
    }
    c->records++;
    for (size_t k = 0; k < c->drop.count; k++) gm_record_remove(f->record, c->drop.items[k]);
    return got;
}

/* Records until the end. *at is the call that failed. */
static int flow_records(gm_flow *f, size_t *at, gm_error *e) {
    for (;;) {
        *at = 0;
        if (f->reader) {
            int got = gm_reader_next(f->reader, f->record, e);
            if (got <= 0) return got;
        } else {
            gm_record_clear(f->record);
        }
        for (size_t i = 0; i < f->count; i++) {
            *at = i;
            int got = flow_process(f, i, e);
            if (got < 0) return -1;
            if (got == 0) return 0;
        }
        if (f->writer && gm_writer_put(f->writer, f->record, e) != 0) return -1;
    }
}

/* The stream ended well: every call finishes, then the end record is written. */
static int flow_finish(gm_flow *f, size_t *at, gm_error *e) {
    for (size_t i = 0; i < f->count; i++) {
        *at = i;
        if (f->calls[i]->tool->finish && f->calls[i]->tool->finish(f->calls[i], e) != 0) return -1;
    }
    *at = f->count - 1;
    if (f->writer && gm_writer_finish(f->writer, e) != 0) return -1;
    if (fflush(stdout) != 0) return gm_fail_errno(e, "standard output");
    return 0;
}

int gm_flow_run(gm_flow *f) {
    gm_error e = {0};
    size_t at = 0;
    if (gm_writing_watch(&e) != 0 || flow_records(f, &at, &e) != 0 || flow_finish(f, &at, &e) != 0)
        return failed(f, at, &e);
    return f->calls[f->count - 1]->status;
}
