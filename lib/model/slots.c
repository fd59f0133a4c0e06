/* slots.c: the two slots. A seqlock without a lock for the reader in the common case.
 *
 * Writer:  begun = n + 1;  fence;  fill slot (n + 1) & 1;  release word;  ...
 * Reader:  acquire word;  read slot;  fence;  begun must be at most n + 1, because filling n + 2 goes to the same slot.
 * (Boehm: Can seqlocks get along with programming language memory models? MSPC 2012.)
 *
 * A reader that is overtaken three times takes a shared lock on the slot. The writer holds that slot's lock exclusively
 * while it fills it, so a lock that is granted before the writer comes back to the slot holds the writer up for one
 * copy and not longer.
 */
#include "layout.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FREE_TRIES 3
#define LOCKED_TRIES 1000
#define PATIENCE 3000 /* naps of 0.2 ms that a writer waits for a reader: it may have been stopped */

static void nap(void) {
    const struct timespec time = {0, 200000};
    nanosleep(&time, NULL);
}

uint64_t gm_model_step(const gm_model *m) {
    return atomic_load_explicit(&m->control->word, memory_order_acquire) >> 1;
}

static gm_view view_of(gm_slot *slot, uint64_t step) {
    return (gm_view){
        .step = step,
        .updates = atomic_load_explicit(&slot->updates, memory_order_relaxed),
        .pending = atomic_load_explicit(&slot->pending, memory_order_relaxed),
        .params = gm_slot_blocks(slot),
        .word = atomic_load_explicit(&slot->filling, memory_order_relaxed),
    };
}

/* The current slot and the step since when it is. Its header changes only after the other slot was published, so an
 * unchanged word says that the header is whole. */
static gm_view current_view(const gm_model *m, uint64_t *since) {
    for (;;) {
        uint64_t word = atomic_load_explicit(&m->control->word, memory_order_acquire);
        gm_slot *slot = m->slots[word & 1];
        gm_view view = view_of(slot, word >> 1);
        *since = atomic_load_explicit(&slot->since, memory_order_relaxed);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&m->control->word, memory_order_relaxed) == word) return view;
    }
}

gm_view gm_model_view(const gm_model *m) {
    uint64_t since;
    return current_view(m, &since);
}

bool gm_model_view_at(const gm_model *m, uint64_t step, gm_view *view) {
    uint64_t since;
    gm_view now = current_view(m, &since);
    if (step > now.step) return false;
    *view = now;
    view->step = step;
    if (step >= since) return true;
    /* Before that the other slot was current, if it still holds the filling before this one. */
    gm_slot *other = m->slots[~now.word & 1];
    *view = view_of(other, step);
    since = atomic_load_explicit(&other->since, memory_order_relaxed);
    return view->word + 1 == now.word && step >= since && gm_model_view_holds(m, view);
}

bool gm_model_view_holds(const gm_model *m, const gm_view *view) {
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&m->control->begun, memory_order_relaxed) - view->word <= 1;
}

const float *gm_model_predicting(const gm_model *m, const gm_view *view) {
    const gm_optim *o = &m->spec.optim;
    bool averaged = gm_optim_averages(o) && view->updates > 0;
    return view->params + (averaged ? (1 + gm_optim_moments(o)) * m->spec.net->block : 0);
}

/* Which floats of a slot are copied. */
typedef enum what_blocks { ALL_BLOCKS, PARAMETERS, PREDICTING } what_blocks;

static bool copy_view(const gm_model *m, const gm_view *view, what_blocks what, gm_state *state) {
    size_t floats = what == ALL_BLOCKS ? m->layout.floats : m->spec.net->block;
    memcpy(state->blocks, what == PREDICTING ? gm_model_predicting(m, view) : view->params, floats * sizeof(float));
    if (!gm_model_view_holds(m, view)) return false;
    state->step = view->step;
    state->updates = view->updates;
    state->pending = view->pending;
    memcpy(state->blas, m->control->blas, sizeof state->blas);
    state->calibration = gm_model_calibration(m, view->step);
    return true;
}

/* The lock is asked for without waiting: if it is held, this very slot is being filled and another one is current by
 * now. */
static bool copy_locked(const gm_model *m, what_blocks what, gm_state *state) {
    gm_view view = gm_model_view(m);
    int byte = GM_LOCK_SLOT + (int)(view.word & 1);
    bool locked = gm_ofd_set(m->fd, F_RDLCK, byte) == 0;
    bool whole = locked && gm_model_view_holds(m, &view) && copy_view(m, &view, what, state);
    if (locked) gm_ofd_drop(m->fd, byte);
    return whole;
}

static int copy_whole(gm_model *m, what_blocks what, gm_state *state, gm_error *e) {
    for (int i = 0; i < FREE_TRIES; i++) {
        gm_view view = gm_model_view(m);
        if (copy_view(m, &view, what, state)) return 0;
    }
    for (int i = 0; i < LOCKED_TRIES; i++) {
        if (copy_locked(m, what, state)) return 0;
        nap(); /* a writer that lost its patience finds the lock free, and respects it again */
    }
    return gm_fail(e, "%s: changes faster than it can be copied", m->path);
}

int gm_model_snapshot(gm_model *m, bool parameters_only, gm_state *state, gm_error *e) {
    return copy_whole(m, parameters_only ? PARAMETERS : ALL_BLOCKS, state, e);
}

int gm_model_predictor(gm_model *m, gm_state *state, gm_error *e) {
    return copy_whole(m, PREDICTING, state, e);
}

/* Keeps readers that lock away from a slot while it is filled. A lock that cannot be had in time is done without:
 * readers find out that they were overtaken and try again. */
static void reserve(gm_model *m, int slot) {
    for (int i = 0; gm_ofd_set(m->fd, F_WRLCK, GM_LOCK_SLOT + slot) != 0; i++) {
        if (errno != EAGAIN || m->hurried[slot] || i == PATIENCE) {
            m->hurried[slot] = true;
            return;
        }
        nap();
    }
    m->hurried[slot] = false;
}

float *gm_model_begin(gm_model *m) {
    if (!m->writer) return NULL;
    gm_control *control = m->control;
    uint64_t word = atomic_load_explicit(&control->word, memory_order_relaxed);
    uint64_t filling = atomic_load_explicit(&m->slots[word & 1]->filling, memory_order_relaxed) + 1;
    gm_slot *slot = m->slots[filling & 1];
    if (!m->filling) reserve(m, (int)(filling & 1));
    m->filling = true;
    atomic_store_explicit(&control->clean, 0, memory_order_relaxed);
    atomic_store_explicit(&control->begun, filling, memory_order_relaxed);
    /* Whoever sees a number of the new filling sees `begun` too. */
    atomic_thread_fence(memory_order_seq_cst);
    atomic_store_explicit(&slot->sealed, GM_UNSEALED, memory_order_relaxed);
    atomic_store_explicit(&slot->filling, filling, memory_order_relaxed);
    return gm_slot_blocks(slot);
}

/* The one store that moves the model on, and the call of those who wait for it. */
static void publish_word(gm_model *m, uint64_t word) {
    gm_control *control = m->control;
    atomic_store_explicit(&control->word, word, memory_order_release);
    atomic_fetch_add_explicit(&control->wake, 1, memory_order_release);
    /* Readers map the file read-only and cannot leave word that they sleep, so they are called each time. Not
     * FUTEX_PRIVATE_FLAG: they are other processes. */
    syscall(SYS_futex, &control->wake, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void gm_model_publish(gm_model *m, uint64_t updates, uint64_t pending) {
    if (!m->filling) return;
    uint64_t word = atomic_load_explicit(&m->control->word, memory_order_relaxed);
    uint64_t next = ((word >> 1) + 1) << 1 | (~word & 1);
    gm_slot *slot = m->slots[next & 1];
    atomic_store_explicit(&slot->since, next >> 1, memory_order_relaxed);
    atomic_store_explicit(&slot->updates, updates, memory_order_relaxed);
    atomic_store_explicit(&slot->pending, pending, memory_order_relaxed);
    publish_word(m, next);
    m->filling = false;
    gm_ofd_drop(m->fd, GM_LOCK_SLOT + (int)(next & 1));
}

void gm_model_skip(gm_model *m) {
    if (!m->writer) return;
    atomic_store_explicit(&m->control->clean, 0, memory_order_relaxed);
    publish_word(m, atomic_load_explicit(&m->control->word, memory_order_relaxed) + 2);
}
