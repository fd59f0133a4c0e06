/* optim.h: optimizers. One step reads parameters, state and gradient and writes new parameters and state elsewhere.
 *
 * Texts: "sgd:lr=0.01", "momentum:lr=0.01,momentum=0.9,nesterov=0", "rmsprop:lr=1e-3,rho=0.9,eps=1e-7",
 * "adam:lr=1e-3,beta1=0.9,beta2=0.999,eps=1e-8"; every hyper-parameter has a default. `accumulate=1` on any of them
 * reserves room for accumulated gradients; `average=N` keeps the mean of the parameters after the updates from number N
 * on (Polyak, Juditsky 1992), `ema=DECAY` their exponential moving average; predictions and samples then use it.
 */
#ifndef GM_OPTIM_H
#define GM_OPTIM_H

#include "gm/net.h"

typedef enum gm_optim_kind { GM_SGD, GM_MOMENTUM, GM_RMSPROP, GM_ADAM } gm_optim_kind;

typedef struct gm_optim {
    gm_optim_kind kind;
    double lr, momentum, rho, beta1, beta2, eps;
    bool nesterov;
    size_t accumulate; /* gradients that are averaged into one update; 0: no room is kept for that */
    size_t average;    /* the update from which on parameters are averaged; 0: none are */
    double ema;        /* decay of their exponential moving average, below 1; 0: none is kept. Not with average */
} gm_optim;

/* Usage errors propose the word that was meant. */
GM_MUST_USE int gm_optim_parse(const char *text, gm_optim *o, gm_error *e);
/* The canonical text, with every hyper-parameter that the kind has. Returns out. */
char *gm_optim_text(const gm_optim *o, char out[256]);

/* Blocks of state beside the parameters: the moments (sgd none, momentum m, rmsprop v, adam m and v), then a if
 * parameters are averaged, then g with accumulate > 0. */
size_t gm_optim_blocks(const gm_optim *o);
size_t gm_optim_moments(const gm_optim *o);
/* True with average > 0 or ema > 0. */
bool gm_optim_averages(const gm_optim *o);
/* The letter of block i. */
char gm_optim_block_letter(const gm_optim *o, size_t i);

/* Update number t (from 1) of `count` floats.
 *   sgd       w' = w - lr g
 *   momentum  m' = momentum m + g;  w' = w - lr m'   (nesterov: w - lr (g + momentum m'))    Sutskever et al. 2013
 *   rmsprop   v' = rho v + (1 - rho) g^2;  w' = w - lr g / (sqrt(v') + eps)                   Hinton 2012, lecture 6e
 *   adam      m' = beta1 m + (1 - beta1) g;  v' = beta2 v + (1 - beta2) g^2;
 *             w' = w - lr sqrt(1 - beta2^t) / (1 - beta1^t) m' / (sqrt(v') + eps sqrt(1 - beta2^t))   Kingma, Ba 2015,
 * algorithm 1
 * state[i] and new_state[i] are the moments in order. Arrays do not alias. `away` is a hint that gives the same bits:
 * all that is updated in one step does not fit into the caches. False if a new number is not finite. */
bool gm_optim_update(const gm_optim *o, uint64_t t, size_t count, bool away, const float *gradient, const float *params,
                     const float *const *state, float *new_params, float *const *new_state);

/* Behind update number t, with average: new_average = average + (params - average) / (t - o->average + 1), or params up
 * to the update from which on they are averaged. With ema: new_average = average + (params - average) (1 - d),
 * d = min(o->ema, (1 + t) / (10 + t)), so that it forgets the first parameters sooner; at t = 1 params. */
void gm_optim_average(const gm_optim *o, uint64_t t, size_t count, const float *params, const float *average,
                      float *new_average);

#endif
