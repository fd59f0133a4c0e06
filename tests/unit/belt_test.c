/* belt_test.c: items are taken and given in their order by one thread at a time, worked on by several, and end at the
 * first error. */
#include "check.h"
#include "gm/belt.h"
#include "gm/threads.h"

#include <sched.h>
#include <stdatomic.h>
#include <time.h>

enum { ITEMS = 500, NONE = 1000 };

typedef struct line {
    size_t items;
    size_t bad_take, bad_work, worse_work, bad_give; /* numbers of items that fail there, or NONE */
    size_t awaited;                                  /* item 0 is in work until so many others are done */
    size_t in_slot[2 * GM_THREADS_MAX];
    size_t taken, given; /* changed by one thread at a time: that is what is tested, with the next two */
    atomic_int takers, givers;
    atomic_size_t worked;
    atomic_int workers[GM_THREADS_MAX]; /* in work with that number */
    bool wrong;
} line;

static int take(void *context, size_t slot, gm_error *e) {
    line *l = context;
    if (atomic_fetch_add(&l->takers, 1) != 0) l->wrong = true;
    if (l->taken % 7 == 0) sched_yield();
    int got = l->taken == l->bad_take ? gm_fail(e, "take %zu", l->taken) : l->taken < l->items;
    l->in_slot[slot] = l->taken;
    if (got > 0) l->taken++;
    atomic_fetch_sub(&l->takers, 1);
    return got;
}

static void count(void *context, size_t i) {
    (void)i;
    size_t *n = context;
    ++*n; /* on one thread */
}

/* Ten seconds are for ever. */
static void wait_for_others(line *l) {
    const struct timespec pause = {.tv_nsec = 1000000};
    for (int i = 0; i < 10000 && atomic_load(&l->worked) < l->awaited; i++) nanosleep(&pause, NULL);
    if (atomic_load(&l->worked) < l->awaited) l->wrong = true;
}

static int work(void *context, size_t slot, size_t worker, gm_error *e) {
    line *l = context;
    const size_t item = l->in_slot[slot];
    if (atomic_fetch_add(&l->workers[worker], 1) != 0) l->wrong = true;
    if (item == 0) wait_for_others(l);
    if (item % 5 == 0) sched_yield();
    size_t n = 0;
    if (gm_threads() > 1 && l->awaited) gm_parallel(100, count, &n);
    if (n != 0 && n != 100) l->wrong = true;
    atomic_fetch_add(&l->worked, 1);
    atomic_fetch_sub(&l->workers[worker], 1);
    return item == l->bad_work || item == l->worse_work ? gm_fail(e, "work %zu", item) : 0;
}

static int give(void *context, size_t slot, gm_error *e) {
    line *l = context;
    if (atomic_fetch_add(&l->givers, 1) != 0 || l->in_slot[slot] != l->given) l->wrong = true;
    int status = l->given == l->bad_give ? gm_fail(e, "give %zu", l->given) : 0;
    if (status == 0) l->given++;
    atomic_fetch_sub(&l->givers, 1);
    return status;
}

static line items(size_t n) {
    return (line){.items = n, .bad_take = NONE, .bad_work = NONE, .worse_work = NONE, .bad_give = NONE};
}

static int go(line *l, size_t workers, gm_error *e) {
    gm_belt belt = {.workers = workers, .context = l, .take = take, .work = work, .give = give};
    *e = (gm_error){.text = ""};
    int status = gm_belt_run(&belt, e);
    CHECK(!l->wrong);
    return status;
}

static void test_order(void) {
    static const size_t workers[] = {1, 2, 3, 8}, counts[] = {0, 1, 2, 5, ITEMS};
    gm_error e;
    for (size_t i = 0; i < 4; i++) {
        CHECK(gm_threads_set(workers[i], &e) == 0);
        for (size_t k = 0; k < 5; k++) {
            line l = items(counts[k]);
            CHECK(go(&l, workers[i], &e) == 0);
            CHECK(l.taken == counts[k] && l.worked == counts[k] && l.given == counts[k]);
        }
    }
}

/* The first of two workers is late: the other one does what there are slots for. */
static void test_nobody_waits(void) {
    gm_error e;
    CHECK(gm_threads_set(2, &e) == 0);
    line l = items(ITEMS);
    l.awaited = GM_BELT_SLOTS(2) - 1;
    CHECK(go(&l, 2, &e) == 0);
    CHECK(l.given == ITEMS);
}

/* Those before the item with the error are given, and no other one; the first error counts, also where a later item
 * failed before. */
static void test_errors(void) {
    gm_error e;
    for (size_t threads = 1; threads <= 3; threads++) {
        CHECK(gm_threads_set(threads, &e) == 0);
        line l = items(ITEMS);
        l.bad_take = 17;
        CHECK(go(&l, threads, &e) == -1 && l.given == 17);
        CHECK_TEXT(e.text, "take 17");
        l = items(ITEMS);
        l.bad_take = 0;
        CHECK(go(&l, threads, &e) == -1 && l.given == 0);
        CHECK_TEXT(e.text, "take 0");
        l = items(ITEMS);
        l.bad_work = 40;
        l.bad_take = 41;
        CHECK(go(&l, threads, &e) == -1 && l.given == 40);
        CHECK_TEXT(e.text, "work 40");
        l = items(ITEMS);
        l.bad_give = 123;
        l.bad_work = 124;
        CHECK(go(&l, threads, &e) == -1 && l.given == 123 && l.taken < ITEMS);
        CHECK_TEXT(e.text, "give 123");
    }
    CHECK(gm_threads_set(2, &e) == 0);
    line l = items(ITEMS);
    l.awaited = 2;
    l.bad_work = 0;
    l.worse_work = 1;
    CHECK(go(&l, 2, &e) == -1 && l.given == 0);
    CHECK_TEXT(e.text, "work 0");
    CHECK(gm_threads_set(1, &e) == 0);
}

/* ---- an error while another thread waits for input ---- */

typedef struct drought {
    atomic_int taken; /* the second item is being taken */
    atomic_bool told;
    int told_times;
    char text[512];
} drought;

static bool wait_for(const atomic_bool *told, const atomic_int *taken) {
    const struct timespec pause = {.tv_nsec = 1000000};
    for (int i = 0; i < 10000; i++) {
        if (told ? atomic_load(told) : atomic_load(taken) > 1) return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

static int dry_take(void *context, size_t slot, gm_error *e) {
    (void)slot, (void)e;
    drought *d = context;
    return atomic_fetch_add(&d->taken, 1) == 0 ? 1 : !wait_for(&d->told, NULL);
}

static int dry_work(void *context, size_t slot, size_t worker, gm_error *e) {
    (void)slot, (void)worker;
    drought *d = context;
    return gm_fail(e, wait_for(NULL, &d->taken) ? "first" : "nobody takes");
}

static int dry_give(void *context, size_t slot, gm_error *e) {
    (void)context, (void)slot;
    return gm_fail(e, "given");
}

static void dry_abandon(void *context, gm_error *e) {
    drought *d = context;
    d->told_times++;
    snprintf(d->text, sizeof d->text, "%s", e->text);
    atomic_store(&d->told, true);
}

static void test_abandon(void) {
    gm_error e;
    CHECK(gm_threads_set(2, &e) == 0);
    drought d = {.text = ""};
    gm_belt belt = {
        .workers = 2, .context = &d, .take = dry_take, .work = dry_work, .give = dry_give, .abandon = dry_abandon};
    CHECK(gm_belt_run(&belt, &e) == -1);
    CHECK_TEXT(e.text, "first");
    CHECK_TEXT(d.text, "first");
    CHECK(d.told_times == 1);
    CHECK(gm_threads_set(1, &e) == 0);
}

int main(void) {
    RUN(test_order);
    RUN(test_nobody_waits);
    RUN(test_errors);
    RUN(test_abandon);
    return check_done();
}
