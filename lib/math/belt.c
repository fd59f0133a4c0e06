/* belt.c: an assembly line on the threads of gm_parallel. Item k lies in slot k modulo the slots. */
#include "gm/belt.h"

#include "gm/threads.h"

#include <pthread.h>
#include <stdlib.h>

typedef enum stage { STAGE_BEGUN, STAGE_DONE, STAGE_FAILED } stage;

typedef struct entry {
    stage stage;
    gm_error e;
} entry;

typedef struct belt_run {
    const gm_belt *belt;
    size_t slots;
    entry *entries;         /* of the slots */
    pthread_mutex_t taking; /* held by the thread that takes; `mutex` guards what follows */
    pthread_mutex_t mutex;
    pthread_cond_t freed;
    uint64_t taken, given;
    bool in_take;
    bool giving; /* a thread gives, and will see what is done meanwhile */
    bool over;   /* nothing is left to take, or to give */
    int status;
    gm_error *e;
} belt_run;

static entry *entry_of(const belt_run *run, uint64_t number) {
    return &run->entries[number % run->slots];
}

/* Waits for a slot. False: nothing is to be taken any more. */
static bool wait_for_slot(belt_run *run) {
    pthread_mutex_lock(&run->mutex);
    while (!run->over && run->taken - run->given == run->slots) pthread_cond_wait(&run->freed, &run->mutex);
    run->in_take = !run->over;
    pthread_mutex_unlock(&run->mutex);
    return run->in_take;
}

/* The next item's slot: 1; 0: there is none, or an item that failed. */
static int take_item(belt_run *run, size_t *slot) {
    pthread_mutex_lock(&run->taking);
    int got = 0;
    if (wait_for_slot(run)) {
        *slot = (size_t)(run->taken % run->slots); /* only this thread changes `taken` now */
        entry *at = &run->entries[*slot];
        got = run->belt->take(run->belt->context, *slot, &at->e);
        pthread_mutex_lock(&run->mutex);
        run->in_take = false;
        if (got <= 0) run->over = true;
        if (got != 0) run->taken++;
        if (got != 0) at->stage = got > 0 ? STAGE_BEGUN : STAGE_FAILED;
        pthread_mutex_unlock(&run->mutex);
    }
    pthread_mutex_unlock(&run->taking);
    return got > 0;
}

/* Whether the next item is to be given. One that failed ends the run. */
static bool is_due(belt_run *run) {
    if (run->status != 0 || run->given == run->taken) return false;
    const entry *at = entry_of(run, run->given);
    if (at->stage != STAGE_FAILED) return at->stage == STAGE_DONE;
    *run->e = at->e;
    run->status = -1;
    run->over = true;
    pthread_cond_broadcast(&run->freed);
    if (run->in_take && run->belt->abandon) run->belt->abandon(run->belt->context, run->e);
    return false;
}

static void give_due(belt_run *run) {
    pthread_mutex_lock(&run->mutex);
    if (!run->giving) {
        run->giving = true;
        while (is_due(run)) {
            entry *at = entry_of(run, run->given);
            pthread_mutex_unlock(&run->mutex);
            int status = run->belt->give(run->belt->context, (size_t)(run->given % run->slots), &at->e);
            pthread_mutex_lock(&run->mutex);
            at->stage = status == 0 ? STAGE_BEGUN : STAGE_FAILED;
            if (status == 0) run->given++;
            pthread_cond_signal(&run->freed);
        }
        run->giving = false;
    }
    pthread_mutex_unlock(&run->mutex);
}

static void run_worker(void *context, size_t worker) {
    belt_run *run = context;
    size_t slot;
    while (take_item(run, &slot)) {
        entry *at = &run->entries[slot];
        int status = run->belt->work(run->belt->context, slot, worker, &at->e);
        pthread_mutex_lock(&run->mutex);
        at->stage = status == 0 ? STAGE_DONE : STAGE_FAILED;
        pthread_mutex_unlock(&run->mutex);
        give_due(run);
    }
    give_due(run); /* an item that could not be taken */
}

int gm_belt_run(const gm_belt *belt, gm_error *e) {
    belt_run run = {.belt = belt,
                    .slots = GM_BELT_SLOTS(belt->workers),
                    .taking = PTHREAD_MUTEX_INITIALIZER,
                    .mutex = PTHREAD_MUTEX_INITIALIZER,
                    .freed = PTHREAD_COND_INITIALIZER,
                    .e = e};
    run.entries = gm_new_zeroed(run.slots, sizeof *run.entries, e);
    if (!run.entries) return -1;
    gm_parallel(belt->workers, run_worker, &run);
    free(run.entries);
    return run.status;
}
