/* schedule_test.c: texts, and factors against the papers' formulas. */
#include "check.h"
#include "gm/schedule.h"

static gm_schedule parsed(const char *text) {
    gm_schedule s = {0};
    gm_error e = {.text = ""};
    CHECK(gm_schedule_parse(text, &s, &e) == 0);
    CHECK_TEXT(e.text, "");
    return s;
}

static void test_factors(void) {
    gm_schedule none = {0}, warm = parsed("warmup:4"), cosine = parsed("cosine:1000"), step = parsed("step:10:0.5"),
                both = parsed("warmup:4,cosine:1000,step:10:0.5");
    CHECK(gm_schedule_factor(&none, 7, 100) == 1);
    CHECK(gm_schedule_factor(&warm, 0, 100) == 0.25 && gm_schedule_factor(&warm, 3, 100) == 1);
    CHECK(gm_schedule_factor(&warm, 1000, 100) == 1);
    for (uint64_t k = 0; k < 1000; k++)
        CHECK_NEAR(gm_schedule_factor(&cosine, k, 100), (1 + cos(M_PI * (double)k / 1000)) / 2, 2e-7);
    CHECK(gm_schedule_factor(&cosine, 0, 100) == 1 && gm_schedule_factor(&cosine, 999, 100) > 0);
    CHECK(gm_schedule_factor(&cosine, 1000, 100) == 0 && gm_schedule_factor(&cosine, UINT64_C(1) << 47, 100) == 0);
    CHECK(gm_schedule_factor(&step, 9, 100) == 1 && gm_schedule_factor(&step, 10, 100) == 0.5);
    CHECK(gm_schedule_factor(&step, 39, 100) == 0.125 && gm_schedule_factor(&step, UINT64_C(1) << 47, 100) == 0);
    gm_schedule all = parsed("cosine");
    CHECK(gm_schedule_needs_total(&all) && !gm_schedule_needs_total(&both));
    CHECK(gm_schedule_factor(&all, 250, 1000) == gm_schedule_factor(&cosine, 250, 7));
    CHECK_NEAR(gm_schedule_factor(&both, 12, 100), 0.5 * gm_schedule_factor(&cosine, 12, 100), 1e-12);
}

/* The slowest decay there is at the last step there is, and factors that would overflow beside one that is 0. */
static void test_far_steps(void) {
    const uint64_t last = UINT64_C(1) << 47;
    gm_schedule slow = parsed("step:1:0.99999999999999"), steep = parsed("step:1:1e6,step:1:1e6,step:1:1e6,cosine:5"),
                odd = parsed("step:2:0.9");
    CHECK_NEAR(gm_schedule_factor(&slow, last, 1), exp((double)last * log(0.99999999999999)), 1e-6);
    CHECK(gm_schedule_factor(&steep, last, 1) == 0);
    CHECK_NEAR(gm_schedule_factor(&odd, 27, 1), pow(0.9, 13), 1e-15);
}

static void refused(const char *text, const char *wanted) {
    gm_schedule s = {.count = 3};
    gm_error e = {.text = ""};
    CHECK(gm_schedule_parse(text, &s, &e) == -1 && e.usage && s.count == 3);
    CHECK_TEXT(e.text, wanted);
}

static void test_refused(void) {
    refused("cosin:9", "schedule 'cosin:9': unknown schedule 'cosin' (did you mean cosine?)");
    refused("", "schedule '': unknown schedule ''; there are warmup, cosine and step");
    refused("warmup", "schedule 'warmup': warmup has a number of steps, as in cosine:20000");
    refused("cosine:0", "schedule 'cosine:0': the number of steps must be at least 1, not '0'");
    refused("step:9", "schedule 'step:9': step has a number of steps and a factor, as in step:1000:0.5");
    refused("step:9:0", "schedule 'step:9:0': the factor must be above 0 and at most 1e6, not '0'");
    refused("step:9:nan", "schedule 'step:9:nan': the factor must be above 0 and at most 1e6, not 'nan'");
    refused("warmup:9,", "schedule 'warmup:9,': unknown schedule ''; there are warmup, cosine and step");
    refused("warmup:1:2:3", "schedule 'warmup:1:2:3': a schedule is warmup:N, cosine, cosine:N or step:N:FACTOR");
    refused("warmup:1,warmup:1,warmup:1,warmup:1,warmup:1",
            "schedule 'warmup:1,warmup:1,warmup:1,warmup:1,warmup:1': more than 4 parts");
}

int main(void) {
    RUN(test_factors);
    RUN(test_far_steps);
    RUN(test_refused);
    return check_done();
}
