/* gm-noise: adds a tensor of random numbers to each record, or is a source of them. */
#include "gm/filter.h"
#include "gm/rng.h"
#include "gm/shard.h"

typedef struct noise {
    const char *output, *distribution;
    size_t columns, batch;
    uint64_t seed, rows;
    bool uniform;
    uint64_t done; /* rows so far, of whole batches, where records have no step */
} noise;

static const gm_option options[] = {
    {"dim", 0, GM_OPTION_SIZE, offsetof(noise, columns), "K", "columns of noise", 1, 1 << 24},
    {"output", 'o', GM_OPTION_TEXT, offsetof(noise, output), "NAME", "the tensor's name (default z)", 0, 0},
    {"dist", 0, GM_OPTION_TEXT, offsetof(noise, distribution), "NAME", "normal (default) or uniform in (-1, 1)", 0, 0},
    {"seed", 's', GM_OPTION_U64, offsetof(noise, seed), "SEED", "seed (default 0)", 0, 0},
    {"rows", 'n', GM_OPTION_U64, offsetof(noise, rows), "ROWS", "be a source of this many rows", 1, 1e15},
    {"batch", 'b', GM_OPTION_SIZE, offsetof(noise, batch), "ROWS", "with -n: rows in a record (default 128)", 1,
     1 << 24},
    {NULL, 0, GM_OPTION_FLAG, 0, NULL, NULL, 0, 0}};

static int noise_open(gm_call *call, gm_error *e) {
    noise *s = call->state;
    if (!s->columns) return gm_fail_usage(e, "--dim K is missing");
    if (call->argument_count) return gm_fail_usage(e, "unexpected word '%s'", call->arguments[0]);
    if (s->batch && !s->rows) return gm_fail_usage(e, "-b goes with -n");
    if (!s->output) s->output = "z";
    if (!s->batch) s->batch = 128;
    if (gm_distribution(s->distribution, &s->uniform, e) != 0) return -1;
    if (s->rows) call->role = GM_SOURCE;
    return 0;
}

static int noise_process(gm_call *call, gm_record *r, gm_error *e) {
    noise *s = call->state;
    if (call->role == GM_SOURCE) {
        uint64_t left = s->rows - s->done;
        if (left == 0) return 0;
        r->rows = left < s->batch ? (size_t)left : s->batch;
    }
    gm_place place;
    if (gm_place_of(r, &place, e) != 0) return -1;
    float *z = gm_record_put_matrix(r, s->output, r->rows, s->columns, e);
    if (!z) return -1;
    gm_rng rng = {.seed = s->seed,
                  .purpose = GM_PURPOSE_NOISE,
                  .stream = gm_rng_stream(s->output),
                  .step = r->has_step ? r->step : 0};
    uint64_t row = place.first + (r->has_step ? 0 : s->done);
    gm_rng_noise(rng, s->uniform, row * s->columns, r->rows * s->columns, z);
    s->done += place.rows;
    return 1;
}

const gm_tool gm_noise_tool = {
    .name = "gm-noise",
    .purpose = "Adds a tensor of random numbers, a function of seed, name and step, to each record.",
    .synopsis = "--dim K [-o NAME] [--dist normal|uniform] [-s SEED] [-n ROWS [-b ROWS]]",
    .options = options,
    .state_size = sizeof(noise),
    .role = GM_FILTER,
    .open = noise_open,
    .process = noise_process,
};
