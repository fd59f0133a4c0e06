/* fold.c: stratified folds, dealt out while rows are read.
 *
 * Row j of a class (j from 0, in the order of the files) is number j % K of the class's block j / K. A block's K rows
 * go to the K folds in an order that is a random permutation: of the seed, of the class's number in order of first
 * appearance, and of the block's number. So each fold has of each class as many rows as any other fold or one less,
 * rows that stand beside each other do not stay together, and nothing has to be known of the rows to come.
 */
#include "fold.h"
#include "text.h"

#include "gm/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FOLDS_MAX = 1000 };

int gm_fold_parse(const char *text, gm_fold *fold, gm_error *e) {
    const char *slash = strchr(text, '/');
    const char *colon = slash != NULL ? strchr(slash, ':') : NULL;
    char part[24], shown[GM_VISIBLE];
    uint64_t index, count, seed = 0;
    const size_t before = slash != NULL ? (size_t)(slash - text) : 0;
    const size_t behind = slash == NULL ? 0 : colon != NULL ? (size_t)(colon - slash - 1) : strlen(slash + 1);
    gm_visible_text(text, shown);
    if (before == 0 || before >= sizeof part || behind == 0 || behind >= sizeof part)
        return gm_fail_usage(e, "'%s' is no fold; I/K or I/K:SEED belongs here, as in 1/5", shown);
    memcpy(part, slash + 1, behind);
    part[behind] = '\0';
    if (!gm_parse_u64(part, 2, FOLDS_MAX, &count))
        return gm_fail_usage(e, "fold '%s': the number of folds is 2 to %d", shown, FOLDS_MAX);
    memcpy(part, text, before);
    part[before] = '\0';
    if (!gm_parse_u64(part, 1, count, &index))
        return gm_fail_usage(e, "fold '%s': folds are numbered from 1 to %llu", shown, (unsigned long long)count);
    if (colon != NULL && !gm_parse_u64(colon + 1, 0, UINT64_MAX, &seed))
        return gm_fail_usage(e, "fold '%s': the seed is a whole number from 0 to 2^64 - 1", shown);
    *fold = (gm_fold){.index = (uint32_t)index, .count = (uint32_t)count, .seed = seed};
    return 0;
}

char *gm_fold_text(const gm_fold *fold, char out[48]) {
    const int used = snprintf(out, 48, "%u/%u", (unsigned)fold->index, (unsigned)fold->count);
    if (fold->seed != 0) snprintf(out + used, 48 - (size_t)used, ":%llu", (unsigned long long)fold->seed);
    return out;
}

void gm_folds_close(gm_folds *f) {
    gm_lexicon_free(&f->strata);
    free(f->rows);
    free(f->order);
    *f = (gm_folds){0};
}

int gm_folds_wants(gm_folds *f, const void *class, size_t n, gm_error *e) {
    const size_t folds = f->fold.count;
    if (folds == 0) return 1;
    if (n > GM_CATEGORY_TEXT_MAX) return gm_fail(e, "a class of more than %zu bytes", GM_CATEGORY_TEXT_MAX);
    const long stratum = gm_lexicon_add(&f->strata, class, n, e);
    if (stratum < 0) return -1;
    if (f->strata.count > GM_CATEGORIES_MAX) return gm_fail(e, "more than %zu classes", GM_CATEGORIES_MAX);
    if (gm_grow(&f->rows, &f->row_capacity, f->strata.count, sizeof *f->rows, e) < 0) return -1;
    if (gm_grow(&f->order, &f->order_capacity, f->strata.count * folds, sizeof *f->order, e) < 0) return -1;
    uint32_t *order = f->order + (size_t)stratum * folds;
    const uint64_t row = f->rows[stratum]++;
    if (row % folds == 0) {
        const gm_rng rng = {f->fold.seed, GM_PURPOSE_FOLD, (uint32_t)stratum, row / folds};
        gm_rng_permutation(rng, folds, order);
    }
    const bool inside = order[row % folds] == f->fold.index - 1;
    return inside != f->fold.rest;
}

int gm_folds_wants_text(gm_folds *f, const char *class, size_t n, gm_error *e) {
    char number[32];
    double value;
    if (f->fold.count == 0 || !gm_parse_double_n(class, n, &value)) return gm_folds_wants(f, class, n, e);
    gm_format_f64(value + 0.0, number); /* -0 is 0 */
    return gm_folds_wants(f, number, strlen(number), e);
}
