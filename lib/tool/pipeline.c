/* pipeline.c: opened calls linked in one process; a tool on its own is a pipeline of one. */
#include "gm/belt.h"
#include "gm/filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool makes_records(const gm_call *c) {
    return c->role == GM_SOURCE || c->role == GM_ALONE;
}

static bool hands_on(const gm_call *c) {
    return c->role == GM_FILTER || c->role == GM_SOURCE;
}

static int failed(const gm_flow *f, gm_error *e) {
    fflush(stdout);
    gm_calls_cut(f->calls, f->count, e);
    if (*e->text) gm_say(f->calls[f->at]->tool->name, "%s", e->text);
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

/* Items are taken where records are made. */
static bool takes_items(const gm_call *c) {
    return makes_records(c) && c->tool->take;
}

static int open_records(gm_flow *f, gm_error *e) {
    const size_t slots = takes_items(f->calls[0]) ? GM_BELT_SLOTS(f->calls[0]->workers) : 1;
    f->records = gm_new_zeroed(slots, sizeof *f->records, e);
    if (!f->records) return -1;
    for (; f->slots < slots; f->slots++) {
        f->records[f->slots] = gm_record_new(e);
        if (!f->records[f->slots]) return -1;
    }
    return 0;
}

int gm_flow_open(gm_flow *f, gm_call *const *calls, size_t count, gm_error *e) {
    *f = (gm_flow){.calls = calls, .count = count};
    if (open_records(f, e) == 0 && open_input(f, e) == 0 && open_output(f, e) == 0) return 0;
    gm_flow_close(f);
    return -1;
}

void gm_flow_close(gm_flow *f) {
    gm_writer_free(f->writer);
    gm_reader_free(f->reader);
    while (f->slots > 0) gm_record_free(f->records[--f->slots]);
    free(f->records);
    *f = (gm_flow){0};
}

/* calls[i] made or changed this record. */
static void flow_count(gm_call *c, gm_record *r) {
    c->records++;
    for (size_t k = 0; k < c->drop.count; k++) gm_record_remove(r, c->drop.items[k]);
}

/* One record through the calls from `first` on, and written: 1 passed on, 0 no more, -1. */
static int flow_process(gm_flow *f, gm_record *r, size_t first, gm_error *e) {
    for (size_t i = first; i < f->count; i++) {
        gm_call *c = f->calls[i];
        f->at = i;
        int got = c->tool->process(c, r, e);
        if (got < 0 && (c->role == GM_FILTER || c->role == GM_SINK))
            gm_fail_within(e, "record %llu: ", (unsigned long long)c->records);
        if (got <= 0) return got;
        flow_count(c, r);
    }
    if (f->writer && gm_writer_put(f->writer, r, e) != 0) return -1;
    f->at = 0;
    return 1;
}

/* ---- items ---- */

static int take_item(void *context, size_t slot, gm_error *e) {
    const gm_flow *f = context;
    const gm_item item = {.record = f->records[slot], .slot = slot};
    gm_record_clear(item.record);
    return f->calls[0]->tool->take(f->calls[0], &item, e);
}

static int work_item(void *context, size_t slot, size_t worker, gm_error *e) {
    const gm_flow *f = context;
    const gm_item item = {.record = f->records[slot], .slot = slot, .worker = worker};
    return f->calls[0]->tool->work(f->calls[0], &item, e);
}

static int give_item(void *context, size_t slot, gm_error *e) {
    gm_flow *f = context;
    const gm_item item = {.record = f->records[slot], .slot = slot};
    gm_call *c = f->calls[0];
    if (c->tool->give && c->tool->give(c, &item, e) != 0) return -1;
    flow_count(c, item.record);
    return flow_process(f, item.record, 1, e) < 0 ? -1 : 0;
}

/* A thread may wait for input; there is nothing that ends with the calls. */
static void abandon_items(void *context, gm_error *e) {
    _exit(failed(context, e));
}

static int flow_items(gm_flow *f, gm_error *e) {
    const gm_belt belt = {.workers = f->calls[0]->workers,
                          .context = f,
                          .take = take_item,
                          .work = work_item,
                          .give = give_item,
                          .abandon = abandon_items};
    return gm_belt_run(&belt, e);
}

/* Records until the end. */
static int flow_records(gm_flow *f, gm_error *e) {
    gm_record *r = f->records[0];
    if (takes_items(f->calls[0])) return flow_items(f, e);
    for (;;) {
        if (f->reader) {
            int got = gm_reader_next(f->reader, r, e);
            if (got <= 0) return got;
        } else {
            gm_record_clear(r);
        }
        int got = flow_process(f, r, 0, e);
        if (got <= 0) return got;
    }
}

/* The stream ended well: every call finishes, then the end record is written. */
static int flow_finish(gm_flow *f, gm_error *e) {
    for (size_t i = 0; i < f->count; i++) {
        f->at = i;
        if (f->calls[i]->tool->finish && f->calls[i]->tool->finish(f->calls[i], e) != 0) return -1;
    }
    if (f->writer && gm_writer_finish(f->writer, e) != 0) return -1;
    if (fflush(stdout) != 0) return gm_fail_errno(e, "standard output");
    return 0;
}

int gm_flow_run(gm_flow *f) {
    gm_error e = {0};
    if (gm_writing_watch(&e) != 0 || flow_records(f, &e) != 0 || flow_finish(f, &e) != 0) return failed(f, &e);
    return f->calls[f->count - 1]->status;
}
