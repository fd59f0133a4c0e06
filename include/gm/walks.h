/* walks.h: the walks of the models that a process runs.
 *
 * Stages of a gm-pipe that run the same model share one walk: its buffers stay in the cache, and what a forward stage
 * computed is there for the backward stage behind it (gm_walk_expect). From one thread only.
 */
#ifndef GM_WALKS_H
#define GM_WALKS_H

#include "gm/grad.h"
#include "gm/model.h"

/* A walk of the model's whole network. Each gm_walk_borrow is followed by one gm_walk_return with the same model,
 * before that is closed; NULL is allowed. */
GM_MUST_USE gm_walk *gm_walk_borrow(const gm_model *model, gm_error *e);
void gm_walk_return(const gm_model *model, gm_walk *w);

#endif
