/* loss.h: losses as signed, weighted sums of terms over tensor names (gm-loss(7)).
 *
 *   loss  := [sign] term { sign term }          sign := + | -
 *   term  := [number *] name ( arguments )
 *   bce(t,target) ce(t,labels) known(t,NUMBER) mse(t,target) mae(t,target) hinge(t,target) sqhinge(t,target)
 *   bernoulli(t,target) gaussian(t,target[,DEVIATION]) kl(t) mean(t) prob(t) gp(t,t) l1() l2()
 *   t := NAME | [NAME,NAME,...]   (several tensors are joined, in that order)    target := NUMBER | NAME
 * Each term runs the model on t. A term is a mean over the rows, or packs of rows (on class numbers: over those that
 * have one); within a row it is the mean over the units, except that ce sums over the classes, hinge on class numbers
 * over the one-against-the-rest problems (Rifkin, Klautau 2004), and bernoulli, gaussian and kl over the units: nats.
 */
#ifndef GM_LOSS_H
#define GM_LOSS_H

#include "gm/net.h"

#define GM_TERMS_MAX 32
#define GM_OPERANDS_MAX 8 /* different t in one loss */

typedef enum gm_term_kind {
    GM_BCE,
    GM_CE,
    GM_MSE,
    GM_MAE,
    GM_HINGE,
    GM_SQHINGE,
    GM_MEAN,
    GM_PROB,
    GM_KNOWN,
    GM_BERNOULLI,
    GM_NORMAL, /* "gaussian" */
    GM_KL,
    GM_GP,
    GM_L1,
    GM_L2
} gm_term_kind;

/* A t: the tensors that are joined to the model's input. */
typedef struct gm_operand {
    size_t count;
    char names[GM_PARTS_MAX][GM_NAME_MAX + 1];
} gm_operand;

typedef struct gm_term {
    gm_term_kind kind;
    double weight;    /* with its sign */
    size_t operand;   /* index into gm_loss.operands; unused for l1 and l2 */
    size_t second;    /* gp: the other one */
    bool named;       /* the target is a tensor */
    double number;    /* else this number; of ce a class */
    double deviation; /* gaussian: standard deviation, 1 where none is given */
    char target[GM_NAME_MAX + 1];
    int column; /* where the term stands in the text, from 1 */
} gm_term;

typedef struct gm_loss {
    size_t term_count;
    gm_term terms[GM_TERMS_MAX];
    size_t operand_count; /* 0 where the loss has only l1() and l2() */
    gm_operand operands[GM_OPERANDS_MAX];
} gm_loss;

/* Errors are usage errors: "loss: column 12: unknown term 'bse'; terms are bce ce ...". */
GM_MUST_USE int gm_loss_parse(const char *text, gm_loss *loss, gm_error *e);

/* That each term fits the network: ce and known need softmax at its end; bce, bernoulli and prob sigmoid, or a linear
 * output which they take as the logit; kl a gaussian layer; gp one output, and layers that treat each row alone. On
 * packs of rows no target is a tensor. */
GM_MUST_USE int gm_loss_check(const gm_loss *loss, const gm_net *net, gm_error *e);

const char *gm_term_text(gm_term_kind kind);

/* True for terms that run the model on the tensors of `operand` as they are: all but l1, l2 and gp. */
bool gm_term_runs(gm_term_kind kind);

/* True for the terms that class weights apply to, where their target is class numbers: bce, ce, hinge, sqhinge. */
bool gm_loss_weighs_classes(gm_term_kind kind);

#endif
