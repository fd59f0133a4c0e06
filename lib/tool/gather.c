/* gather.c: tensors of a record as a network's input. */
#include "gm/filter.h"
#include "gm/grad.h"

#include <string.h>

int gm_refuse_packs(const gm_net *net, const char *path, gm_error *e) {
    if (net->pack == 1) return 0;
    return gm_fail(e, "%s judges packs of %zu rows: it has no output for each row", path, net->pack);
}

int gm_gather_input(gm_record *r, const gm_net *net, char *const *names, size_t count, gm_input *input, gm_error *e) {
    /* one tensor for each part, or one that holds all parts side by side */
    if (count != net->part_count && count != 1)
        return gm_fail(e, "the model's input has %zu parts, %zu tensors are given", net->part_count, count);
    input->part_count = count;
    for (size_t i = 0; i < count; i++) {
        gm_input_part *p = &input->parts[i];
        *p = (gm_input_part){.name = names[i]};
        if (count == net->part_count && net->parts[i].kind == GM_PART_CLASSES) {
            const gm_tensor *t = gm_record_tensor(r, names[i]);
            if (!t || t->rank == 1) { /* class numbers; a matrix is one-hot already */
                p->columns = net->parts[i].columns;
                p->labels = gm_record_labels(r, names[i], e);
                if (!p->labels) return -1;
                continue;
            }
        }
        p->values = gm_record_finite(r, names[i], &p->columns, e);
        if (!p->values) return -1;
    }
    return gm_input_check(input, net, r->rows, e);
}
