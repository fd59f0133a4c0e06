/* gm-reduce: the gradients that several streams have for the parts of each batch become those of the whole batch. */
#include "gm/filter.h"
#include "gm/reduce.h"
#include "gm/shard.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct source {
    const char *name; /* for messages */
    int fd;
    gm_reader *reader;
    gm_record *record; /* of the first one it is the record that is handed on */
    gm_gradients gradients;
    gm_place place;
} source;

typedef struct reduce {
    gm_list models;
    bool allow_drift;
    source *sources;
    size_t source_count;
    float *sums;
    double *totals;
    size_t sums_capacity, totals_capacity;
} reduce;

static const gm_option options[] = {{"model", 'm', GM_OPTION_LIST, offsetof(reduce, models), "NAME,...",
                                     "only gradients and losses of the models of these names", 0, 0},
                                    {"allow-drift", 0, GM_OPTION_FLAG, offsetof(reduce, allow_drift), NULL,
                                     "add gradients of several BLAS, which have other bits", 0, 0},
                                    {NULL, 0, GM_OPTION_FLAG, 0, NULL, NULL, 0, 0}};

/* ---- streams ---- */

/* Opening a named pipe waits for its writer. */
static int source_open(source *s, const gm_call *call, char *path, gm_error *e) {
    bool standard = strcmp(path, "-") == 0;
    s->name = standard ? "standard input" : path;
    if (standard && isatty(STDIN_FILENO))
        return gm_fail_usage(e, "standard input is a terminal; a stream belongs there (--help)");
    s->fd = standard ? STDIN_FILENO : gm_open(path, O_RDONLY);
    if (s->fd < 0) return gm_fail_errno(e, "%s: cannot open", path);
    s->reader = gm_reader_new(s->fd, s->name, call->max_tensor, e);
    if (!s->reader) return -1;
    gm_reader_watch(s->reader, STDOUT_FILENO);
    return 0;
}

static int reduce_open(gm_call *call, gm_error *e) {
    reduce *s = call->state;
    if (call->argument_count == 0) return gm_fail_usage(e, "no STREAM to read (- is standard input)");
    for (int i = 0; i < call->argument_count; i++)
        for (int k = 0; k < i; k++)
            if (strcmp(call->arguments[i], call->arguments[k]) == 0)
                return gm_fail_usage(e, "'%s' is named twice", call->arguments[i]);
    s->sources = gm_new_zeroed((size_t)call->argument_count, sizeof *s->sources, e);
    if (!s->sources) return -1;
    for (int i = 0; i < call->argument_count; i++) {
        source *one = &s->sources[s->source_count++];
        one->fd = -1;
        if (source_open(one, call, call->arguments[i], e) != 0) return -1;
        if (i == 0) continue;
        one->record = gm_record_new(e);
        if (!one->record) return -1;
    }
    return 0;
}

static unsigned long long record_number(const source *one) {
    return (unsigned long long)gm_reader_records(one->reader) - 1;
}

/* The next record of every stream, in their order: 1; 0 where all end; -1. */
static int read_all(const reduce *s, gm_error *e) {
    const source *first = &s->sources[0];
    int begun = gm_reader_next(first->reader, first->record, e);
    for (size_t i = 1; begun >= 0 && i < s->source_count; i++) {
        const source *one = &s->sources[i];
        int got = gm_reader_next(one->reader, one->record, e);
        if (got < 0) return -1;
        if (got == begun) continue;
        const source *ended = got ? first : one, *other = got ? one : first;
        return gm_fail(e, "%s ended behind %llu records, and %s goes on", ended->name,
                       (unsigned long long)gm_reader_records(ended->reader), other->name);
    }
    return begun;
}

/* ---- that the parts are of one batch ---- */

static int compare_steps(const source *first, const source *one, gm_error *e) {
    const gm_record *a = first->record, *b = one->record;
    if (a->has_step == b->has_step && (!a->has_step || a->step == b->step)) return 0;
    if (a->has_step != b->has_step)
        return gm_fail(e, "the record has %s, that of %s has %s", b->has_step ? "a step" : "no step", first->name,
                       b->has_step ? "none" : "one");
    return gm_fail(e, "the record is of step %llu, that of %s of step %llu", (unsigned long long)b->step, first->name,
                   (unsigned long long)a->step);
}

/* Whole numbers of info that must agree, -1 where there is none. */
static int compare_number(const char *what, int64_t mine, int64_t other, const char *name, gm_error *e) {
    if (mine == other) return 0;
    return gm_fail(e, "info.%s is %lld, that of %s is %lld (-1: none)", what, (long long)mine, name, (long long)other);
}

static int compare_origins(const reduce *s, const source *first, const source *one, gm_error *e) {
    const gm_value *a = gm_map_get(first->record->info, "grads"), *b = gm_map_get(one->record->info, "grads");
    for (size_t i = 0; a && a->kind == GM_MAP && i < a->length; i++) {
        int64_t mine = gm_map_int(b, a->keys[i], -1), other = gm_map_int(a, a->keys[i], -1);
        if (mine != other)
            return gm_fail(e, "gradients of %s were computed at step %lld, those of %s at step %lld (-1: none)",
                           a->keys[i], (long long)mine, first->name, (long long)other);
    }
    const char *mine = gm_map_text(one->record->info, "blas", ""),
               *other = gm_map_text(first->record->info, "blas", "");
    if (s->allow_drift || strcmp(mine, other) == 0) return 0;
    return gm_fail(
        e,
        "the gradients are of %s, those of %s of %s, which gives other bits: --allow-drift adds them all the "
        "same",
        *mine ? mine : "no BLAS that is named", first->name, *other ? other : "none that is named");
}

static int compare(const reduce *s, const source *first, const source *one, gm_error *e) {
    if (compare_steps(first, one, e) != 0 || compare_origins(s, first, one, e) != 0 ||
        compare_number("total", gm_map_int(one->record->info, "total", -1),
                       gm_map_int(first->record->info, "total", -1), first->name, e) != 0)
        return -1;
    if (first->gradients.signature == one->gradients.signature) return 0;
    if (gm_gradients_compare(&first->gradients, &one->gradients, e) == 0) return 0;
    return gm_fail_within(e, "not as in %s: ", first->name);
}

/* Parts that say where they stand lie side by side, each once: *all is where their rows stand together. */
static int join_places(const reduce *s, gm_place *all, gm_error *e) {
    size_t rows = 0, end = 0;
    *all = s->sources[0].place;
    for (size_t i = 0; i < s->source_count; i++) {
        const source *one = &s->sources[i];
        const gm_place *p = &one->place;
        if (p->partial != all->partial || (p->partial && p->rows != s->sources[0].place.rows) || p->batch != all->batch)
            return gm_fail(e, "%s: record %llu: not a part of the same batch as in %s (info.part)", one->name,
                           record_number(one), s->sources[0].name);
        for (size_t k = 0; p->partial && k < i; k++) {
            const source *other = &s->sources[k];
            if (p->first < other->place.first + other->record->rows &&
                other->place.first < p->first + one->record->rows)
                return gm_fail(e, "%s: record %llu: rows of the batch that %s has, too: which --shard is it?",
                               one->name, record_number(one), other->name);
        }
        rows += one->record->rows;
        if (p->first < all->first) all->first = p->first;
        if (p->first + one->record->rows > end) end = p->first + one->record->rows;
    }
    if (rows > GM_ROWS_MAX) return gm_fail(e, "more than %zu rows in all", GM_ROWS_MAX);
    if (!all->partial) {
        all->rows = rows;
        return 0;
    }
    if (end - all->first != rows)
        return gm_fail(e, "record %llu: between the parts rows of the batch are missing: which --shard is it?",
                       record_number(&s->sources[0]));
    all->partial = rows < all->rows;
    return 0;
}

/* ---- the record that is handed on ---- */

static bool is_loss(const gm_scalar *scalar) {
    return strncmp(scalar->name, "loss/", strlen("loss/")) == 0;
}

/* Keeps the tensors that are gradients, and of the losses those beside them. */
static int keep_gradients(const reduce *s, source *one, gm_error *e) {
    gm_gradients *g = &one->gradients;
    size_t kept = g->tensor_count, losses = g->scalar_count;
    for (size_t i = one->record->scalar_count; i-- > 0;) {
        if (losses > 0 && g->scalars[losses - 1] == i)
            losses--;
        else if (is_loss(&one->record->scalars[i]))
            gm_record_remove_scalar(one->record, one->record->scalars[i].name);
    }
    for (size_t i = one->record->tensor_count; i-- > 0;) {
        if (kept > 0 && g->tensors[kept - 1] == i)
            kept--;
        else
            gm_record_remove(one->record, one->record->tensors[i].name);
    }
    return gm_gradients_find(g, one->record, s->models.items, s->models.count, e);
}

/* What else the first record says stays where the others say the same. */
static void keep_agreed(gm_record *r, const gm_record *other) {
    for (size_t i = r->scalar_count; i-- > 0;) {
        double value;
        if (is_loss(&r->scalars[i])) continue;
        if (!gm_record_scalar(other, r->scalars[i].name, &value) || value != r->scalars[i].value)
            gm_record_remove_scalar(r, r->scalars[i].name);
    }
    for (size_t i = r->info ? r->info->length : 0; i-- > 0;) {
        const char *key = r->info->keys[i];
        if (strcmp(key, "blas") == 0) continue;
        if (!gm_value_equal(r->info->items[i], gm_map_get(other->info, key))) gm_map_remove(r->info, key);
    }
}

static int add_part(reduce *s, source *one, gm_error *e) {
    source *first = &s->sources[0];
    if (gm_place_of(one->record, &one->place, e) != 0 ||
        gm_gradients_find(&one->gradients, one->record, s->models.items, s->models.count, e) != 0)
        return -1;
    if (one == first) {
        if (keep_gradients(s, one, e) != 0 ||
            gm_grow(&s->sums, &s->sums_capacity, one->gradients.numbers, sizeof *s->sums, e) != 0 ||
            gm_grow(&s->totals, &s->totals_capacity, one->gradients.totals, sizeof *s->totals, e) != 0)
            return -1;
        return gm_gradients_weigh(&one->gradients, s->sums, s->totals, e);
    }
    if (compare(s, first, one, e) != 0) return -1;
    return gm_gradients_add(&one->gradients, s->sums, s->totals, e);
}

static int reduce_process(gm_call *call, gm_record *r, gm_error *e) {
    reduce *s = call->state;
    gm_place all;
    s->sources[0].record = r;
    int got = read_all(s, e);
    if (got <= 0) return got;
    for (size_t i = 0; i < s->source_count; i++)
        if (add_part(s, &s->sources[i], e) != 0)
            return gm_fail_within(e, "%s: record %llu: ", s->sources[i].name, record_number(&s->sources[i]));
    if (join_places(s, &all, e) != 0) return -1;
    for (size_t i = 1; i < s->source_count; i++) keep_agreed(r, s->sources[i].record);
    if (gm_gradients_set(&s->sources[0].gradients, s->sums, s->totals, e) != 0)
        return gm_fail_within(e, "record %llu: ", record_number(&s->sources[0]));
    r->rows = (size_t)s->totals[0];
    if (!all.partial) gm_map_remove(r->info, "summed");
    return gm_place_set(r, &all, e) == 0 ? 1 : -1;
}

static void reduce_close(gm_call *call) {
    reduce *s = call->state;
    for (size_t i = 0; i < s->source_count; i++) {
        source *one = &s->sources[i];
        gm_gradients_free(&one->gradients);
        if (i > 0) gm_record_free(one->record);
        gm_reader_free(one->reader);
        if (one->fd > STDIN_FILENO) close(one->fd);
    }
    free(s->sources);
    free(s->sums);
    free(s->totals);
}

const gm_tool gm_reduce_tool = {
    .name = "gm-reduce",
    .purpose = "Adds the gradients that several streams have for the parts of each batch, weighted by their rows.",
    .synopsis = "[-m NAME,...] [--allow-drift] STREAM...",
    .options = options,
    .state_size = sizeof(reduce),
    .role = GM_SOURCE,
    .reads_files = true,
    .open = reduce_open,
    .process = reduce_process,
    .close = reduce_close,
};
