/* pipeline.c: opened calls linked in one process; a tool on its own is a pipeline of one. */
#include "gm/filter.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct line {
    gm_call *const *calls;
    size_t count;
    gm_reader *reader; /* NULL: the first call makes its records */
    gm_writer *writer; /* NULL: the last call keeps them */
    gm_record *record;
} line;

static bool makes_records(const gm_call *c) {
    return c->role == GM_SOURCE || c->role == GM_ALONE;
}

static bool hands_on(const gm_call *c) {
    return c->role == GM_FILTER || c->role == GM_SOURCE;
}

static int failed(const line *l, size_t at, gm_error *e) {
    fflush(stdout);
    gm_calls_cut(l->calls, l->count, e);
    if (*e->text) gm_say(l->calls[at]->tool->name, "%s", e->text);
    return e->usage ? 2 : 1;
}

static int line_open(line *l, gm_error *e) {
    const gm_call *first = l->calls[0], *last = l->calls[l->count - 1];
    l->record = gm_record_new(e);
    if (!l->record) return -1;
    if (!makes_records(first)) {
        if (isatty(STDIN_FILENO))
            return gm_fail_usage(e, "standard input is a terminal; a stream belongs there (--help)");
        l->reader = gm_reader_new(STDIN_FILENO, "standard input", first->max_tensor, e);
        if (!l->reader) return -1;
    }
    if (hands_on(last)) {
        int level;
        if (isatty(STDOUT_FILENO))
            return gm_fail_usage(e, "standard output is a terminal and a stream is binary: append `| gm-show`");
        if (gm_level_for(STDOUT_FILENO, &level, e) != 0) return -1;
        l->writer = gm_writer_new(STDOUT_FILENO, "standard output", level, e);
        if (!l->writer) return -1;
        if (l->reader) gm_reader_watch(l->reader, STDOUT_FILENO);
    }
    return 0;
}

/* One record through calls[i]: 1 passed on, 0 no more, -1. */
static int line_process(line *l, size_t i, gm_error *e) {
    gm_call *c = l->calls[i];
    int got = c->tool->process(c, l->record, e);
    if (got < 0) {
        if (c->role == GM_FILTER || c->role == GM_SINK)
            gm_fail_within(e, "record %llu: ", (unsigned long long)c->records);
        return -1;
    }
    c->records++;
    for (size_t k = 0; k < c->drop.count; k++) gm_record_remove(l->record, c->drop.items[k]);
    return got;
}

/* Records until the end. *at is the call that failed. */
static int line_run(line *l, size_t *at, gm_error *e) {
    for (;;) {
        *at = 0;
        if (l->reader) {
            int got = gm_reader_next(l->reader, l->record, e);
            if (got <= 0) return got;
        } else {
            gm_record_clear(l->record);
        }
        for (size_t i = 0; i < l->count; i++) {
            *at = i;
            int got = line_process(l, i, e);
            if (got < 0) return -1;
            if (got == 0) return 0;
        }
        if (l->writer && gm_writer_put(l->writer, l->record, e) != 0) return -1;
    }
}

/* The stream ended well: every call finishes, then the end record is written. */
static int line_finish(line *l, size_t *at, gm_error *e) {
    for (size_t i = 0; i < l->count; i++) {
        *at = i;
        if (l->calls[i]->tool->finish && l->calls[i]->tool->finish(l->calls[i], e) != 0) return -1;
    }
    *at = l->count - 1;
    if (l->writer && gm_writer_finish(l->writer, e) != 0) return -1;
    if (fflush(stdout) != 0) return gm_fail_errno(e, "standard output");
    return 0;
}

int gm_run_pipeline(gm_call *const *calls, size_t count) {
    gm_error e = {0};
    line l = {.calls = calls, .count = count};
    size_t at = 0;
    int status = 0;
    if (gm_writing_watch(&e) != 0 || line_open(&l, &e) != 0 || line_run(&l, &at, &e) != 0 ||
        line_finish(&l, &at, &e) != 0)
        status = failed(&l, at, &e);
    gm_writer_free(l.writer);
    gm_reader_free(l.reader);
    gm_record_free(l.record);
    if (status == 0) status = calls[count - 1]->status;
    return status;
}
