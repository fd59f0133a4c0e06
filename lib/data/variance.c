/* variance.c: how far encoded data spread. */
#include "gm/data.h"

#include <stdlib.h>

#define ROWS ((size_t)256)

/* Sums over numbers less the first one, which keeps their digits. */
static int sum_rows(gm_rows *d, size_t features, double *variance, gm_error *e) {
    float *x = gm_new(ROWS * features, sizeof *x, e);
    double count = 0, sum = 0, squares = 0, shift = 0;
    long rows = x ? 1 : -1;
    while (rows > 0) {
        rows = gm_rows_next(d, ROWS, false, x, NULL, e);
        if (rows > 0 && count == 0) shift = (double)x[0];
        for (size_t i = 0; rows > 0 && i < (size_t)rows * features; i++) {
            double value = (double)x[i] - shift;
            sum += value;
            squares += value * value;
        }
        if (rows > 0) count += (double)rows * (double)features;
    }
    free(x);
    if (rows < 0) return -1;
    *variance = count > 0 ? (squares - sum * sum / count) / count : 0;
    return 0;
}

int gm_data_variance(char *const *files, size_t file_count, const gm_schema *schema, const gm_data_choice *choice,
                     double *variance, gm_error *e) {
    gm_rows *d = gm_rows_open(files, file_count, schema, choice, e);
    if (!d) return -1;
    int status = sum_rows(d, gm_rows_features(d), variance, e);
    gm_rows_close(d);
    return status;
}
