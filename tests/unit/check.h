/* check.h: the C tests' harness. A test program prints TAP and exits 1 if a test failed.
 *
 *   static void test_words(void) { CHECK(1 + 1 == 2); CHECK_NEAR(0.1 + 0.2, 0.3, 1e-12); }
 *   int main(void) { RUN(test_words); return check_done(); }
 */
#ifndef GM_CHECK_H
#define GM_CHECK_H

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int check_tests, check_failed_tests;
static bool check_failed;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("# %s:%d: %s\n", __FILE__, __LINE__, #condition);                                                   \
            check_failed = true;                                                                                       \
        }                                                                                                              \
    } while (0)

/* |got - wanted| <= tolerance; false for nan. */
#define CHECK_NEAR(got, wanted, tolerance)                                                                             \
    do {                                                                                                               \
        double check_got = (double)(got), check_wanted = (double)(wanted);                                             \
        if (!(fabs(check_got - check_wanted) <= (tolerance))) {                                                        \
            printf("# %s:%d: %s is %.9g, not %.9g\n", __FILE__, __LINE__, #got, check_got, check_wanted);              \
            check_failed = true;                                                                                       \
        }                                                                                                              \
    } while (0)

#define CHECK_TEXT(got, wanted)                                                                                        \
    do {                                                                                                               \
        const char *check_got = (got), *check_wanted = (wanted);                                                       \
        if (strcmp(check_got, check_wanted) != 0) {                                                                    \
            printf("# %s:%d: %s is '%s', not '%s'\n", __FILE__, __LINE__, #got, check_got, check_wanted);              \
            check_failed = true;                                                                                       \
        }                                                                                                              \
    } while (0)

#define RUN(test)                                                                                                      \
    do {                                                                                                               \
        check_failed = false;                                                                                          \
        test();                                                                                                        \
        check_tests++;                                                                                                 \
        check_failed_tests += check_failed;                                                                            \
        printf("%s %d - %s: %s\n", check_failed ? "not ok" : "ok", check_tests, __FILE__, #test);                      \
        fflush(stdout);                                                                                                \
    } while (0)

static inline int check_done(void) {
    printf("1..%d\n", check_tests);
    return check_failed_tests != 0;
}

#endif
