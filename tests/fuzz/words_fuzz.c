/* words_fuzz.c: any text as a value of an option: optimizer, schedule, scale, fold, separator, shape, distribution,
 * number.
 */
#include "fuzz.h"

#include "gm/data.h"
#include "gm/filter.h"
#include "gm/optim.h"
#include "gm/schedule.h"

#include <errno.h>
#include <math.h>

static void check_optimizer(const char *text) {
    enum { N = 5 };
    gm_error e = {.text = ""};
    gm_optim o, again;
    char canonical[256], twice[256];
    if (gm_optim_parse(text, &o, &e) != 0) {
        REQUIRE(e.usage && e.text[0] != '\0');
        return;
    }
    REQUIRE(gm_optim_parse(gm_optim_text(&o, canonical), &again, &e) == 0);
    REQUIRE(strcmp(canonical, gm_optim_text(&again, twice)) == 0);
    REQUIRE(o.lr == again.lr && o.eps == again.eps && o.beta2 == again.beta2 && o.average == again.average);
    const float gradient[N] = {1, -1, 0, 1e-30f, 1e30f}, params[N] = {0}, m[N] = {0}, v[N] = {0};
    float new_params[N], new_m[N], new_v[N];
    const float *const old[] = {m, v};
    float *const new[] = {new_m, new_v};
    const bool finite = gm_optim_update(&o, 1, N, false, gradient, params, old, new_params, new);
    for (size_t i = 0; i < N; i++) REQUIRE(!finite || isfinite(new_params[i]));
}

static void check_schedule(const char *text) {
    static const uint64_t steps[] = {0, 1, 2, 999, 1000000, UINT64_C(1) << 47};
    gm_error e = {.text = ""};
    gm_schedule s;
    if (gm_schedule_parse(text, &s, &e) != 0) {
        REQUIRE(e.usage && e.text[0] != '\0');
        return;
    }
    REQUIRE(s.count >= 1 && s.count <= GM_SCHEDULE_PARTS_MAX);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        const double factor = gm_schedule_factor(&s, steps[i], 1000);
        REQUIRE(isfinite(factor) && factor >= 0);
    }
}

static void check_data(const char *text) {
    gm_error e = {.text = ""};
    gm_scale scale;
    gm_fold fold;
    char separator;
    REQUIRE((gm_scale_parse(text, &scale, &e) == 0) == (e.text[0] == '\0'));
    e.text[0] = '\0';
    const bool folded = gm_fold_parse(text, &fold, &e) == 0;
    REQUIRE(folded == (e.text[0] == '\0') && (!folded || (fold.index >= 1 && fold.index <= fold.count)));
    e.text[0] = '\0';
    REQUIRE((gm_separator_parse(text, &separator, &e) == 0) == (e.text[0] == '\0'));
}

static void check_words(const char *text) {
    gm_error e = {.text = ""};
    bool uniform;
    size_t height, width;
    char name[GM_NAME_MAX + 1];
    REQUIRE((gm_distribution(text, &uniform, &e) == 0) == (e.text[0] == '\0'));
    if (gm_parse_shape(text, &height, &width) == 0) REQUIRE(height >= 1 && width >= 1);
    if (gm_model_name_from(text, name, &e) == 0) REQUIRE(gm_model_name_check(name, &e) == 0);
}

/* The C library reads the same number, and what is written of it is read as it again. */
static void check_number(const char *text) {
    double value;
    char out[32], *end;
    if (!gm_parse_double(text, &value)) return;
    const double wanted = strtod(text, &end);
    REQUIRE(*end == '\0' && memcmp(&value, &wanted, sizeof value) == 0);
    const double twice = strtod(gm_format_f64(value, out), NULL);
    REQUIRE(memcmp(&value, &twice, sizeof value) == 0);
    const float narrow = (float)value, again = strtof(gm_format_f32(narrow, out), NULL);
    REQUIRE(!isfinite(narrow) || memcmp(&narrow, &again, sizeof narrow) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = fuzz_text(data, size);
    check_optimizer(text);
    check_schedule(text);
    check_data(text);
    check_words(text);
    check_number(text);
    free(text);
    return 0;
}
