/* threads_test.c: every piece runs once, on any number of threads, nested or not, with sleeps between the jobs. */
#include "check.h"
#include "gm/threads.h"

#include <float.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum { PIECES = 1000 };
static atomic_int runs[PIECES];

static void run(void *context, size_t i) {
    atomic_int *counts = context;
    atomic_fetch_add(&counts[i], 1);
}

static bool each_ran(int times) {
    for (size_t i = 0; i < PIECES; i++)
        if (atomic_exchange(&runs[i], 0) != times) return false;
    return true;
}

static void rest(long nanoseconds) {
    struct timespec time = {.tv_nsec = nanoseconds};
    nanosleep(&time, NULL);
}

static void test_limits(void) {
    gm_error e = {0};
    CHECK(gm_threads() == 1);
    CHECK(gm_threads_set(0, &e) == -1 && e.usage);
    CHECK(gm_threads_set(GM_THREADS_MAX + 1, &e) == -1 && strstr(e.text, "65 threads"));
    CHECK(gm_threads() == 1);
}

static void test_every_piece_once(void) {
    gm_error e;
    const size_t counts[] = {1, 2, 3, 8, 2, 1};
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        CHECK(gm_threads_set(counts[k], &e) == 0);
        CHECK(gm_threads() == counts[k]);
        for (int job = 0; job < 50; job++) gm_parallel(PIECES, run, runs);
        CHECK(each_ran(50));
        gm_parallel(0, run, NULL);
        gm_parallel(1, run, runs);
        CHECK(runs[0] == 1);
        runs[0] = 0;
    }
}

/* Many short jobs after one another, and jobs that find the workers asleep. */
static void test_short_jobs(void) {
    gm_error e;
    CHECK(gm_threads_set(4, &e) == 0);
    for (int job = 0; job < 20000; job++) gm_parallel(2, run, runs);
    CHECK(runs[0] == 20000 && runs[1] == 20000);
    for (int job = 0; job < 50; job++) {
        rest(job % 5 * 100000);
        gm_parallel(3, run, runs);
    }
    CHECK(runs[0] == 20050 && runs[1] == 20050 && runs[2] == 50);
    runs[0] = runs[1] = runs[2] = 0;
}

typedef struct meeting {
    atomic_int present;
    pthread_t thread[2];
    bool flushed[2], signals_blocked[2];
} meeting;

/* Returns when both pieces are under way, which takes two threads. */
static void meet(void *context, size_t i) {
    meeting *m = context;
    volatile float small = FLT_MIN;
    volatile float quarter = small / 4;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    m->signals_blocked[i] = sigismember(&mask, SIGTERM) == 1;
    m->thread[i] = pthread_self();
    m->flushed[i] = quarter == 0;
    atomic_fetch_add(&m->present, 1);
    while (atomic_load(&m->present) < 2) sched_yield();
}

static void test_two_at_once(void) {
    gm_error e;
    CHECK(gm_threads_set(2, &e) == 0);
    meeting m = {0};
    gm_parallel(2, meet, &m);
    CHECK(!pthread_equal(m.thread[0], m.thread[1]));
    size_t worker = pthread_equal(m.thread[0], pthread_self()) ? 1 : 0;
    CHECK(m.flushed[worker] || getenv("GM_VALGRIND")); /* which keeps denormal numbers */
    CHECK(m.signals_blocked[worker]);
    CHECK(!m.signals_blocked[1 - worker]);
}

static void slow(void *context, size_t i) {
    rest(i == 0 ? 3000000 : 0);
    run(context, i);
}

/* The caller sleeps while a worker, or itself, is on the last piece. */
static void test_slow_pieces(void) {
    gm_error e;
    CHECK(gm_threads_set(3, &e) == 0);
    for (int job = 0; job < 20; job++) gm_parallel(4, slow, runs);
    CHECK(runs[0] == 20 && runs[1] == 20 && runs[2] == 20 && runs[3] == 20);
    for (size_t i = 0; i < 4; i++) runs[i] = 0;
}

static void nest(void *context, size_t i) {
    (void)i;
    gm_parallel(PIECES, run, context);
}

static void *call_from_thread(void *unused) {
    (void)unused;
    for (int job = 0; job < 200; job++) gm_parallel(PIECES, run, runs);
    return NULL;
}

static void test_nested_and_concurrent(void) {
    gm_error e;
    CHECK(gm_threads_set(3, &e) == 0);
    gm_parallel(10, nest, runs);
    CHECK(each_ran(10));
    pthread_t other;
    CHECK(pthread_create(&other, NULL, call_from_thread, NULL) == 0);
    (void)call_from_thread(NULL);
    pthread_join(other, NULL);
    CHECK(each_ran(400));
    CHECK(gm_threads_set(1, &e) == 0);
}

int main(void) {
    RUN(test_limits);
    RUN(test_every_piece_once);
    RUN(test_short_jobs);
    RUN(test_two_at_once);
    RUN(test_slow_pieces);
    RUN(test_nested_and_concurrent);
    return check_done();
}
