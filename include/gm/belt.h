/* belt.h: an assembly line: items that several threads work on, taken and given one after the other.
 *
 * A pipeline of three stages: serial in order, parallel, serial in order. Who is done gives what is due, be it its own
 * or not, and takes the next item: a thread waits for another one's item only when all slots are taken.
 */
#ifndef GM_BELT_H
#define GM_BELT_H

#include "gm/base.h"

/* Slots hold the items that are on the belt: twice as many as workers let an early one go on while a late one is waited
 * for. With one worker there is one slot. */
#define GM_BELT_SLOTS(workers) ((workers) == 1 ? (size_t)1 : 2 * (workers))

typedef struct gm_belt {
    size_t workers; /* as many as gm_threads, or one, which leaves them to the gm_parallel of `work` */
    void *context;
    /* The next item, into a slot that is free: by one thread at a time. 1; 0: there are no more; -1. */
    int (*take)(void *context, size_t slot, gm_error *e);
    /* By any thread, several at once; `worker` tells them apart. 0, -1. */
    int (*work)(void *context, size_t slot, size_t worker, gm_error *e);
    /* By one thread at a time, items in the order in which they were taken; then the slot is free. 0, -1. */
    int (*give)(void *context, size_t slot, gm_error *e);
    /* Told the error at once if the run fails while another thread is in `take`, which may wait for input as long as
     * nobody sends any: gm_belt_run returns only behind it. This need not return. May be NULL. */
    void (*abandon)(void *context, gm_error *e);
} gm_belt;

/* Runs until there are no more items: 0. -1 with the error of the first item that has one: those before it were given,
 * none behind it is. */
GM_MUST_USE int gm_belt_run(const gm_belt *belt, gm_error *e);

#endif
