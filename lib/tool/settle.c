/* settle.c: a writer that is told to end (SIGINT, SIGTERM, SIGHUP) settles its models first.
 *
 * A killed writer leaves its model good for this machine's running kernel only (gm-model(5)); one that was interrupted
 * from a keyboard or by a shutdown has the time to sync it. The signals are blocked in all threads but one that waits
 * for them; it takes each writer's lock, so between two steps, settles the models and lets the signal do its work.
 */
#include "gm/filter.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define WRITERS_MAX 64

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static gm_writing *writers[WRITERS_MAX];
static pthread_once_t blocked = PTHREAD_ONCE_INIT, started = PTHREAD_ONCE_INIT;
static int block_status, start_status;
static bool any; /* there was a writer */

static sigset_t endings(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    return set;
}

static void *wait_for_the_end(void *unused) {
    (void)unused;
    sigset_t set = endings();
    int number = SIGTERM;
    gm_error e;
    if (sigwait(&set, &number) != 0) return NULL;
    pthread_mutex_lock(&list_lock);
    for (size_t i = 0; i < WRITERS_MAX; i++) {
        if (!writers[i]) continue;
        pthread_mutex_lock(&writers[i]->lock); /* for good: no further step begins */
        if (gm_model_settle(writers[i]->model, &e) != 0) gm_say(writers[i]->tool, "%s", e.text);
    }
    signal(number, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    raise(number);
    _exit(128 + number);
}

/* A signal that is ignored (nohup, a background job of a plain shell) stays ignored. */
static void block(void) {
    sigset_t set = endings();
    struct sigaction now;
    for (int number = 1; number < NSIG; number++)
        if (sigismember(&set, number) == 1 && sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN)
            sigdelset(&set, number);
    block_status = pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void start(void) {
    pthread_t thread;
    start_status = pthread_create(&thread, NULL, wait_for_the_end, NULL);
    if (start_status == 0) start_status = pthread_detach(thread);
}

int gm_writing_begin(gm_writing *w, gm_model *model, const char *tool, gm_error *e) {
    *w = (gm_writing){.model = model, .tool = tool};
    if (pthread_once(&blocked, block) != 0 || block_status != 0) return gm_fail(e, "cannot block signals");
    if (pthread_mutex_init(&w->lock, NULL) != 0) return gm_fail(e, "out of memory");
    pthread_mutex_lock(&list_lock);
    size_t i = 0;
    while (i < WRITERS_MAX && writers[i]) i++;
    if (i < WRITERS_MAX) writers[i] = w;
    any = true;
    pthread_mutex_unlock(&list_lock);
    w->begun = i < WRITERS_MAX;
    return w->begun ? 0 : gm_fail(e, "more than %d models are trained in one process", WRITERS_MAX);
}

int gm_writing_watch(gm_error *e) {
    if (!any) return 0;
    if (pthread_once(&started, start) != 0 || start_status != 0) return gm_fail(e, "cannot start a thread");
    return 0;
}

void gm_writing_end(gm_writing *w) {
    if (!w->begun) return;
    pthread_mutex_lock(&list_lock);
    for (size_t i = 0; i < WRITERS_MAX; i++)
        if (writers[i] == w) writers[i] = NULL;
    pthread_mutex_unlock(&list_lock);
    pthread_mutex_destroy(&w->lock);
    w->begun = false;
}
