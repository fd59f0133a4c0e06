/* walks.c: the walks of the models that a process runs. */
#include "gm/walks.h"

#include <stdlib.h>

/* Who borrowed what. */
typedef struct loan {
    const gm_model *model;
    gm_walk *walk;
    struct loan *next;
} loan;

static loan *loans;

static const loan *loan_of_file(const gm_model *model) {
    const loan *l = loans;
    while (l && !gm_model_same(l->model, model)) l = l->next;
    return l;
}

static const loan *loan_of_walk(const gm_walk *w) {
    const loan *l = loans;
    while (l && l->walk != w) l = l->next;
    return l;
}

gm_walk *gm_walk_borrow(const gm_model *model, gm_error *e) {
    const gm_model_spec *spec = gm_model_spec_of(model);
    const loan *other = loan_of_file(model);
    loan *own = gm_new(1, sizeof *own, e);
    if (!own) return NULL;
    *own = (loan){.model = model, .walk = other ? other->walk : gm_walk_new(spec->net, spec->seed, e), .next = loans};
    if (!own->walk) {
        free(own);
        return NULL;
    }
    loans = own;
    return own->walk;
}

/* The walk goes on with the network of a model that is still open. */
void gm_walk_return(const gm_model *model, gm_walk *w) {
    for (loan **at = &loans; *at; at = &(*at)->next) {
        loan *own = *at;
        if (own->model != model || own->walk != w) continue;
        *at = own->next;
        free(own);
        break;
    }
    const loan *other = w ? loan_of_walk(w) : NULL;
    if (other)
        gm_walk_use_net(w, gm_model_spec_of(other->model)->net);
    else
        gm_walk_free(w);
}
