/* threads.h: the same work on one thread or many. */
#ifndef GM_THREADS_H
#define GM_THREADS_H

#include "gm/base.h"

#define GM_THREADS_MAX 64 /* OpenBLAS has 128 buffers in all */

/* Starts (or stops) workers so that gm_parallel runs on n threads, the caller's included. Call from one thread only. */
GM_MUST_USE int gm_threads_set(size_t n, gm_error *e);
size_t gm_threads(void);

/* Calls piece(context, i) once for every i < pieces, in any order and on any thread; returns when all are done. */
void gm_parallel(size_t pieces, void (*piece)(void *context, size_t i), void *context);

#endif
