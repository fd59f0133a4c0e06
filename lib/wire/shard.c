/* shard.c: parts of a batch, and places in it. */
#include "gm/shard.h"

#include <stdlib.h>
#include <string.h>

/* ---- which part ---- */

static int parse_pair(const char *text, gm_shard *shard, gm_error *e) {
    const char *slash = strchr(text, '/');
    char index[24];
    size_t n = slash ? (size_t)(slash - text) : 0;
    if (n == 0 || n >= sizeof index || !gm_parse_size(slash + 1, 1, GM_SHARDS_MAX, &shard->count))
        return gm_fail_usage(e, "'%.40s' is no part; I/K belongs here, as in 0/2, or auto", text);
    memcpy(index, text, n);
    index[n] = '\0';
    if (!gm_parse_size(index, 0, shard->count - 1, &shard->index))
        return gm_fail_usage(e, "part '%.40s': parts are numbered from 0 to %zu", text, shard->count - 1);
    return 0;
}

/* What starts processes, and where it says which one this is. A batch script of Slurm has a rank, but is no step of
 * srun's, which alone has a size of its own. */
static const struct {
    const char *rank, *size;
    bool either; /* one of them may be there without the other */
} launchers[] = {{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", false},
                 {"PMI_RANK", "PMI_SIZE", false},
                 {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", true}};

static int ask_launcher(gm_shard *shard, gm_error *e) {
    *shard = (gm_shard){.count = 1};
    for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++) {
        const char *rank = getenv(launchers[i].rank), *size = getenv(launchers[i].size);
        const bool both = rank && size;
        if (!both && (launchers[i].either || (!rank && !size))) continue;
        if (!both)
            return gm_fail(e, "auto: %s is set, %s is not", rank ? launchers[i].rank : launchers[i].size,
                           rank ? launchers[i].size : launchers[i].rank);
        if (!gm_parse_size(size, 1, GM_SHARDS_MAX, &shard->count) ||
            !gm_parse_size(rank, 0, shard->count - 1, &shard->index))
            return gm_fail(e, "auto: %s '%.40s' and %s '%.40s' are no rank and size", launchers[i].rank, rank,
                           launchers[i].size, size);
        return 0;
    }
    return 0;
}

int gm_shard_parse(const char *text, gm_shard *shard, gm_error *e) {
    return strcmp(text, "auto") == 0 ? ask_launcher(shard, e) : parse_pair(text, shard, e);
}

int gm_shard_cut(const gm_shard *shard, size_t rows, size_t *first, size_t *own, gm_error *e) {
    uint64_t count = shard->count, from = (uint64_t)rows * shard->index / count;
    if (rows < count) return gm_fail(e, "a batch of %zu rows has fewer rows than parts (%zu)", rows, shard->count);
    *first = (size_t)from;
    *own = (size_t)((uint64_t)rows * (shard->index + 1) / count - from);
    return 0;
}

/* ---- where rows stand ---- */

/* A whole number of info.part up to `most`; false if it is not there or none. */
static bool read_size(const gm_value *part, const char *key, size_t most, size_t *value) {
    const gm_value *v = gm_map_get(part, key);
    if (!v || v->kind != GM_INT || v->integer < 0 || (uint64_t)v->integer > most) return false;
    *value = (size_t)v->integer;
    return true;
}

int gm_place_of(const gm_record *r, gm_place *place, gm_error *e) {
    const gm_value *part = gm_map_get(r->info, "part");
    *place = (gm_place){.rows = r->rows};
    if (!part) return 0;
    if (!read_size(part, "first", GM_ROWS_MAX, &place->first) || !read_size(part, "rows", GM_ROWS_MAX, &place->rows))
        return gm_fail(e, "info.part: 'first' and 'rows' must be whole numbers from 0 to %zu", GM_ROWS_MAX);
    if (place->rows < r->rows || place->first > place->rows - r->rows)
        return gm_fail(e, "info.part: %zu rows from row %zu on do not fit in a batch of %zu", r->rows, place->first,
                       place->rows);
    place->partial = true;
    place->batch = gm_map_int(part, "batch", 0);
    place->counted = gm_map_get(part, "labelled") != NULL;
    if (place->counted && !read_size(part, "labelled", place->rows, &place->labelled))
        return gm_fail(e, "info.part: 'labelled' must be a whole number from 0 to %zu", place->rows);
    return 0;
}

int gm_place_set(gm_record *r, const gm_place *place, gm_error *e) {
    if (!place->partial) {
        gm_map_remove(r->info, "part");
        return 0;
    }
    gm_value *info = gm_record_info(r, e), *part = info ? gm_value_map() : NULL;
    if (!info) return -1;
    if (!part || gm_map_set(part, "first", gm_value_int((int64_t)place->first)) != 0 ||
        gm_map_set(part, "rows", gm_value_int((int64_t)place->rows)) != 0 ||
        (place->counted && gm_map_set(part, "labelled", gm_value_int((int64_t)place->labelled)) != 0) ||
        (place->batch && gm_map_set(part, "batch", gm_value_int(place->batch)) != 0)) {
        gm_value_free(part);
        return gm_fail(e, "out of memory");
    }
    return gm_map_set(info, "part", part) == 0 ? 0 : gm_fail(e, "out of memory");
}
