/* schedule.h: the learning rate as a function of the step.
 *
 *   warmup:N       (k + 1) / N up to step N, then 1                        Goyal et al. 2017, section 2.2
 *   cosine:N       (1 + cos(pi k / N)) / 2 up to step N, then 0            Loshchilov, Hutter 2017, eq. 5, no restarts
 *   cosine         the same, N being the total of the run's steps
 *   step:N:FACTOR  FACTOR to the power of k / N, rounded down
 * Several, with commas between, are multiplied: "warmup:500,cosine:20000".
 */
#ifndef GM_SCHEDULE_H
#define GM_SCHEDULE_H

#include "gm/base.h"

#define GM_SCHEDULE_PARTS_MAX 4

typedef enum gm_schedule_kind { GM_WARMUP, GM_COSINE, GM_STEPWISE } gm_schedule_kind;

typedef struct gm_schedule_part {
    gm_schedule_kind kind;
    uint64_t steps; /* N; 0: the run's total */
    double factor;
} gm_schedule_part;

typedef struct gm_schedule {
    size_t count; /* 0: the rate stays as it is */
    gm_schedule_part parts[GM_SCHEDULE_PARTS_MAX];
} gm_schedule;

/* Errors are usage errors. */
GM_MUST_USE int gm_schedule_parse(const char *text, gm_schedule *s, gm_error *e);

/* Whether gm_schedule_factor needs the total. */
bool gm_schedule_needs_total(const gm_schedule *s);

/* What the learning rate is multiplied with for step k (from 0) of `total`: the same bits everywhere. */
double gm_schedule_factor(const gm_schedule *s, uint64_t step, uint64_t total);

#endif
