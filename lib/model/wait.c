/* wait.c: a reader that waits for the writer's next step. */
#include "layout.h"

#include <inttypes.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SPIN_NANOSECONDS 20000                /* a sleep and a wake cost about that much */
#define SLEEP_NANOSECONDS 100000000           /* then look whether the writer is still there */
#define WAIT_SECONDS 5                        /* for a writer that is yet to come */
#define GONE_NANOSECONDS UINT64_C(1000000000) /* for one that was there: in a pipeline it does not come again */

static int patience(uint64_t *nanoseconds, gm_error *e) {
    const char *text = getenv("GM_WAIT_SECONDS");
    uint64_t seconds = WAIT_SECONDS;
    if (text && !gm_parse_u64(text, 0, UINT64_C(1000000000), &seconds)) {
        return gm_fail_usage(e, "GM_WAIT_SECONDS is '%s', not a number of seconds", text);
    }
    *nanoseconds = seconds * UINT64_C(1000000000);
    return 0;
}

/* True if this process may run on one processor only: the writer, its neighbour, then cannot come nearer while it
 * spins. */
static bool is_alone(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1;
}

/* In a pipeline the step often is a few microseconds away. */
static bool spin(const gm_model *m, uint64_t step) {
    if (is_alone()) return false;
    uint64_t end = gm_nanoseconds() + SPIN_NANOSECONDS;
    do {
        if (gm_model_step(m) >= step) return true;
    } while (gm_nanoseconds() < end);
    return false;
}

/* Sleeps until the next publication or a tenth of a second. */
static bool sleep_until(const gm_model *m, uint64_t step) {
    uint32_t wake = atomic_load_explicit(&m->control->wake, memory_order_acquire);
    if (gm_model_step(m) >= step) return true;
    const struct timespec time = {0, SLEEP_NANOSECONDS};
    syscall(SYS_futex, &m->control->wake, FUTEX_WAIT, wake, &time, NULL, 0);
    return gm_model_step(m) >= step;
}

static int nobody_comes(const gm_model *m, uint64_t step, gm_error *e) {
    struct stat st;
    if (stat(m->path, &st) == 0 && (st.st_dev != m->device || st.st_ino != m->inode)) {
        return gm_fail(e, "%s: was replaced while step %" PRIu64 " of it was waited for", m->path, step);
    }
    return gm_fail(e,
                   "%s: is at step %" PRIu64 ", and no gm-step that could bring it to step %" PRIu64
                   " runs (is `gm-step -m %s` in the pipeline?)",
                   m->path, gm_model_step(m), step, m->path);
}

int gm_model_wait(gm_model *m, uint64_t step, int output, gm_error *e) {
    if (gm_model_step(m) >= step) return 0;
    uint64_t limit = 0;
    if (patience(&limit, e) != 0) return -1;
    if (m->writer) {
        return gm_fail(e, "%s: is at step %" PRIu64 ", and its writer itself waits for step %" PRIu64, m->path,
                       gm_model_step(m), step);
    }
    if (spin(m, step)) return 0;
    uint64_t seen = gm_nanoseconds(); /* when a writer was last known to be there */
    while (!sleep_until(m, step)) {
        if (output >= 0 && gm_pipe_is_broken(output)) return gm_fail_broken_pipe(e);
        if (gm_model_step(m) != m->opened_at) m->had_writer = true;
        if (gm_ofd_held(m->fd, GM_LOCK_WRITER)) {
            m->had_writer = true;
            seen = gm_nanoseconds();
        } else if (gm_nanoseconds() - seen >= (m->had_writer && limit > GONE_NANOSECONDS ? GONE_NANOSECONDS : limit)) {
            break;
        }
    }
    /* The last writer may have published between the sleep and its end. */
    return gm_model_step(m) >= step ? 0 : nobody_comes(m, step, e);
}
