/* threads.c: a pool of workers that take pieces of one job at a time.
 *
 * The job's ticket holds its number and how many of its pieces nobody has taken yet. A thread takes a piece by lowering
 * the ticket with a compare-and-swap, so a worker that comes late finds either the job it read or nothing to take; the
 * job's other fields change only while no piece is left to take and none is running.
 *
 * Waiting threads spin for as long as two jobs of a training step usually are apart, and then sleep.
 * Each sleep follows Dekker's rule with sequentially consistent atomics: the sleeper says that it sleeps before it
 * looks once more, the waker changes the state before it looks for sleepers.
 */
#include "gm/threads.h"

#include "gm/ops.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#if defined(__x86_64__)
#define RELAX() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define RELAX() __asm__ volatile("yield")
#else
#define RELAX() ((void)0)
#endif

/* Some 20 us lie between the jobs of a step, and threads that were held up are waited for as long; to sleep and to be
 * woken costs about that much, too. */
#define SPIN_NANOSECONDS 50000

typedef void piece_function(void *context, size_t i);

static struct {
    size_t workers;
    pthread_t thread[GM_THREADS_MAX];
    uint64_t spin; /* nanoseconds; 0 where there are more threads than processors */
    atomic_flag busy;
    uint32_t job;
    _Atomic uint64_t ticket; /* job << 32 | pieces that are not taken */
    _Atomic(piece_function *) piece;
    _Atomic(void *) context;
    _Atomic size_t end; /* pieces go up: with k left to take, the next one is number end - k */
    _Atomic uint32_t unfinished;
    atomic_uint sleepers;
    atomic_bool caller_sleeps, stop;
    sem_t reported; /* a worker that was started says whether it is ready */
    atomic_bool unready;
    pthread_mutex_t mutex;
    pthread_cond_t work, finished;
} pool = {.busy = ATOMIC_FLAG_INIT,
          .mutex = PTHREAD_MUTEX_INITIALIZER,
          .work = PTHREAD_COND_INITIALIZER,
          .finished = PTHREAD_COND_INITIALIZER};

static bool something_to_take(void) {
    return (uint32_t)atomic_load(&pool.ticket) > 0;
}

static void finish_piece(void) {
    if (atomic_fetch_sub(&pool.unfinished, 1) > 1 || !atomic_load(&pool.caller_sleeps)) return;
    pthread_mutex_lock(&pool.mutex);
    pthread_cond_signal(&pool.finished);
    pthread_mutex_unlock(&pool.mutex);
}

/* Runs pieces of the job at hand until none is left to take. */
static void take_pieces(void) {
    uint64_t ticket = atomic_load(&pool.ticket);
    while ((uint32_t)ticket > 0) {
        piece_function *piece = atomic_load_explicit(&pool.piece, memory_order_relaxed);
        void *context = atomic_load_explicit(&pool.context, memory_order_relaxed);
        size_t end = atomic_load_explicit(&pool.end, memory_order_relaxed);
        if (!atomic_compare_exchange_weak(&pool.ticket, &ticket, ticket - 1)) continue;
        piece(context, end - (uint32_t)ticket);
        finish_piece();
        ticket = atomic_load(&pool.ticket);
    }
}

static uint64_t spin_end(void) {
    return pool.spin ? gm_nanoseconds() + pool.spin : 0;
}

static void wait_for_work(void) {
    for (const uint64_t end = spin_end(); gm_nanoseconds() < end;) {
        if (something_to_take() || atomic_load(&pool.stop)) return;
        RELAX();
    }
    pthread_mutex_lock(&pool.mutex);
    atomic_fetch_add(&pool.sleepers, 1);
    while (!something_to_take() && !atomic_load(&pool.stop)) pthread_cond_wait(&pool.work, &pool.mutex);
    atomic_fetch_sub(&pool.sleepers, 1);
    pthread_mutex_unlock(&pool.mutex);
}

static void wake_workers(void) {
    if (!atomic_load(&pool.sleepers)) return;
    pthread_mutex_lock(&pool.mutex);
    pthread_cond_broadcast(&pool.work);
    pthread_mutex_unlock(&pool.mutex);
}

static void wait_for_pieces(void) {
    for (const uint64_t end = spin_end(); gm_nanoseconds() < end;) {
        if (!atomic_load(&pool.unfinished)) return;
        RELAX();
    }
    pthread_mutex_lock(&pool.mutex);
    atomic_store(&pool.caller_sleeps, true);
    while (atomic_load(&pool.unfinished)) pthread_cond_wait(&pool.finished, &pool.mutex);
    atomic_store(&pool.caller_sleeps, false);
    pthread_mutex_unlock(&pool.mutex);
}

/* Only where something else links BLAS (blas.h). */
int gm_blas_ready(gm_error *e) __attribute__((weak));

/* A worker without memory to compute with reports so, and is none. */
static void *work(void *unused) {
    (void)unused;
    gm_error ignored;
    bool ready = !gm_blas_ready || gm_blas_ready(&ignored) == 0;
    atomic_store(&pool.unready, !ready);
    sem_post(&pool.reported);
    if (!ready) return NULL;
    gm_flush_denormals();
    while (!atomic_load(&pool.stop)) {
        take_pieces();
        wait_for_work();
    }
    return NULL;
}

static void stop_workers(void) {
    atomic_store(&pool.stop, true);
    wake_workers();
    while (pool.workers > 0) pthread_join(pool.thread[--pool.workers], NULL);
    atomic_store(&pool.stop, false);
}

static uint64_t spin_for(size_t threads) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set)) return 0;
    return (size_t)CPU_COUNT(&set) < threads ? 0 : SPIN_NANOSECONDS;
}

/* Workers leave signals to the threads that were there before them, but for one, which comes to the thread that writes
 * to a pipe that nobody reads. */
static int start_workers(size_t n) {
    sigset_t all, kept;
    sigfillset(&all);
    sigdelset(&all, SIGPIPE);
    pthread_sigmask(SIG_SETMASK, &all, &kept);
    int failure = sem_init(&pool.reported, 0, 0) == 0 ? 0 : errno;
    while (pool.workers < n && !failure) {
        failure = pthread_create(&pool.thread[pool.workers], NULL, work, NULL);
        if (failure) break;
        pool.workers++;
        while (sem_wait(&pool.reported) != 0) continue;
        if (atomic_load(&pool.unready)) failure = ENOMEM;
    }
    pthread_sigmask(SIG_SETMASK, &kept, NULL);
    return failure;
}

int gm_threads_set(size_t n, gm_error *e) {
    if (n < 1 || n > GM_THREADS_MAX) return gm_fail_usage(e, "%zu threads: 1 to %d can be used", n, GM_THREADS_MAX);
    if (n == gm_threads()) return 0;
    stop_workers();
    pool.spin = spin_for(n);
    int failure = start_workers(n - 1);
    if (!failure) return 0;
    stop_workers();
    return gm_fail(e, "%zu threads: %s", n, gm_errno_text(failure));
}

size_t gm_threads(void) {
    return pool.workers + 1;
}

/* Pieces base .. base + count - 1. */
static void run_job(size_t base, uint32_t count, piece_function *piece, void *context) {
    atomic_store_explicit(&pool.piece, piece, memory_order_relaxed);
    atomic_store_explicit(&pool.context, context, memory_order_relaxed);
    atomic_store_explicit(&pool.end, base + count, memory_order_relaxed);
    atomic_store(&pool.unfinished, count);
    atomic_store(&pool.ticket, (uint64_t)++pool.job << 32 | count);
    wake_workers();
    take_pieces();
    wait_for_pieces();
}

void gm_parallel(size_t pieces, void (*piece)(void *context, size_t i), void *context) {
    /* A piece that itself calls gm_parallel, and a second thread that does, find the pool busy: they run inline. */
    if (pool.workers == 0 || pieces < 2 || atomic_flag_test_and_set_explicit(&pool.busy, memory_order_acquire)) {
        for (size_t i = 0; i < pieces; i++) piece(context, i);
        return;
    }
    for (size_t base = 0; base < pieces;) {
        uint32_t count = pieces - base < UINT32_MAX ? (uint32_t)(pieces - base) : UINT32_MAX;
        run_job(base, count, piece, context);
        base += count;
    }
    atomic_flag_clear_explicit(&pool.busy, memory_order_release);
}
