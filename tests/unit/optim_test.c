/* optim_test.c: texts, and updates against the papers' formulas in double over several steps. */
#include "check.h"
#include "gm/optim.h"

#include <stdalign.h>
#include <stdlib.h>

static gm_error error;

static gm_optim parsed(const char *text) {
    gm_optim o = {0};
    error.text[0] = '\0';
    CHECK(gm_optim_parse(text, &o, &error) == 0);
    CHECK_TEXT(error.text, "");
    return o;
}

static void test_parse(void) {
    gm_optim o = parsed("adam");
    CHECK(o.kind == GM_ADAM && o.lr == 1e-3 && o.beta1 == 0.9 && o.beta2 == 0.999 && o.eps == 1e-8 && !o.accumulate);
    o = parsed("adam:lr=2e-4,beta1=0.5,accumulate=4");
    CHECK(o.lr == 2e-4 && o.beta1 == 0.5 && o.beta2 == 0.999 && o.accumulate == 4);
    o = parsed("sgd");
    CHECK(o.kind == GM_SGD && o.lr == 0.01);
    o = parsed("momentum:nesterov=1,lr=0");
    CHECK(o.kind == GM_MOMENTUM && o.lr == 0 && o.momentum == 0.9 && o.nesterov);
    o = parsed("rmsprop:eps=1e-5");
    CHECK(o.kind == GM_RMSPROP && o.lr == 1e-3 && o.rho == 0.9 && o.eps == 1e-5);
}

static void test_text(void) {
    char out[256], again[256];
    static const char *const texts[][2] = {
        {"sgd", "sgd:lr=0.01"},
        {"sgd:accumulate=2", "sgd:lr=0.01,accumulate=2"},
        {"adam:average=100", "adam:lr=0.001,beta1=0.9,beta2=0.999,eps=1e-08,average=100"},
        {"sgd:ema=0.999,accumulate=2", "sgd:lr=0.01,accumulate=2,ema=0.999"},
        {"adam:ema=0", "adam:lr=0.001,beta1=0.9,beta2=0.999,eps=1e-08"},
        {"momentum:nesterov=1", "momentum:lr=0.01,momentum=0.9,nesterov=1"},
        {"rmsprop:rho=0", "rmsprop:lr=0.001,rho=0,eps=1e-07"},
        {"adam:beta2=0.99", "adam:lr=0.001,beta1=0.9,beta2=0.99,eps=1e-08"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        gm_optim o = parsed(texts[i][0]);
        CHECK_TEXT(gm_optim_text(&o, out), texts[i][1]);
        gm_optim twin = parsed(out);
        CHECK_TEXT(gm_optim_text(&twin, again), out);
        CHECK(twin.lr == o.lr && twin.eps == o.eps && twin.beta2 == o.beta2 && twin.accumulate == o.accumulate &&
              twin.ema == o.ema);
    }
    gm_optim o = parsed("adam:lr=1.2345678901234567e-300,beta1=0.12345678901234567,beta2=0.98765432109876543,"
                        "eps=1.2345678901234567e-20,accumulate=1048576");
    CHECK(strlen(gm_optim_text(&o, out)) < 256 && parsed(out).beta2 == o.beta2);
}

static void check_refused(const char *text, const char *wanted) {
    gm_optim o = {.lr = 42};
    error = (gm_error){0};
    CHECK(gm_optim_parse(text, &o, &error) == -1 && error.usage && o.lr == 42);
    CHECK_TEXT(error.text, wanted);
}

static void test_refused(void) {
    check_refused("adm:lr=1", "unknown optimizer 'adm' (did you mean adam?)");
    check_refused("", "unknown optimizer ''");
    check_refused("adam:beta=0.5", "optimizer 'adam:beta=0.5': unknown setting 'beta' (did you mean beta1?)");
    check_refused("sgd:momentum=0.5", "optimizer 'sgd:momentum=0.5': unknown setting 'momentum'");
    check_refused("sgd:", "optimizer 'sgd:': '' is not of the form name=value");
    check_refused("sgd:lr=1,", "optimizer 'sgd:lr=1,': '' is not of the form name=value");
    check_refused("sgd:lr", "optimizer 'sgd:lr': 'lr' is not of the form name=value");
    check_refused("sgd:lr=", "optimizer 'sgd:lr=': lr must be a number, not ''");
    check_refused("sgd:lr=1,lr=2", "optimizer 'sgd:lr=1,lr=2': lr is given twice");
    check_refused("sgd:lr=-1", "optimizer 'sgd:lr=-1': lr must be 0 to 3.4e38, not -1");
    check_refused("sgd:lr=nan", "optimizer 'sgd:lr=nan': lr must be a number, not 'nan'");
    check_refused("adam:beta1=1", "optimizer 'adam:beta1=1': beta1 must be at least 0 and below 1, not 1");
    check_refused("adam:beta2=-0.1", "optimizer 'adam:beta2=-0.1': beta2 must be at least 0 and below 1, not -0.1");
    check_refused("rmsprop:eps=0", "optimizer 'rmsprop:eps=0': eps must be 1e-29 to 1e30, not 0");
    check_refused("momentum:nesterov=2", "optimizer 'momentum:nesterov=2': nesterov must be 0 or 1, not '2'");
    check_refused("adam:ema=1", "optimizer 'adam:ema=1': ema must be at least 0 and below 1, not 1");
    check_refused("adam:ema=0.9,average=5", "optimizer 'adam:ema=0.9,average=5': average and ema exclude each other");
    check_refused("sgd:accumulate=-1", "optimizer 'sgd:accumulate=-1': accumulate must be 0 to 1048576, not '-1'");
    char huge[1000] = "sgd:";
    memset(huge + 4, 'x', sizeof huge - 5);
    gm_optim o;
    CHECK(gm_optim_parse(huge, &o, &error) == -1 && gm_optim_parse(huge + 4, &o, &error) == -1);
}

static void test_blocks(void) {
    static const char *const texts[] = {"sgd", "momentum", "rmsprop", "adam"}, *const letters[] = {"", "m", "v", "mv"};
    for (size_t i = 0; i < 4; i++) {
        gm_optim o = parsed(texts[i]);
        size_t n = strlen(letters[i]);
        CHECK(gm_optim_blocks(&o) == n);
        o.accumulate = 1;
        CHECK(gm_optim_blocks(&o) == n + 1);
        for (size_t k = 0; k < n; k++) CHECK(gm_optim_block_letter(&o, k) == letters[i][k]);
        CHECK(gm_optim_block_letter(&o, n) == 'g');
        o.average = 1;
        CHECK(gm_optim_blocks(&o) == n + 2 && gm_optim_moments(&o) == n);
        CHECK(gm_optim_block_letter(&o, n) == 'a' && gm_optim_block_letter(&o, n + 1) == 'g');
        o.average = 0;
        o.ema = 0.5;
        CHECK(gm_optim_blocks(&o) == n + 2 && gm_optim_block_letter(&o, n) == 'a');
    }
}

enum { COUNT = 67, STEPS = 20 };

/* One number's update in double, the formulas of optim.h word for word. */
static void naive(const gm_optim *o, double t, double g, double *w, double *m, double *v) {
    switch (o->kind) {
    case GM_SGD:
        *w -= o->lr * g;
        break;
    case GM_MOMENTUM:
        *m = o->momentum * *m + g;
        *w -= o->lr * (o->nesterov ? g + o->momentum * *m : *m);
        break;
    case GM_RMSPROP:
        *v = o->rho * *v + (1 - o->rho) * g * g;
        *w -= o->lr * g / (sqrt(*v) + o->eps);
        break;
    case GM_ADAM:
        /* Algorithm 1 itself, with the bias corrections on m and v. */
        *m = o->beta1 * *m + (1 - o->beta1) * g;
        *v = o->beta2 * *v + (1 - o->beta2) * g * g;
        *w -= o->lr * (*m / (1 - pow(o->beta1, t))) / (sqrt(*v / (1 - pow(o->beta2, t))) + o->eps);
        break;
    }
}

static void check_updates(const char *text, uint64_t first) {
    gm_optim o = parsed(text);
    float w[2][COUNT], a[2][COUNT] = {{0}}, b[2][COUNT] = {{0}}, g[COUNT];
    double exact_w[COUNT], m[COUNT] = {0}, v[COUNT] = {0}, error_w = 0, moved = 0;
    for (size_t i = 0; i < COUNT; i++) exact_w[i] = (double)(w[0][i] = (float)i / 16 - 2);
    uint32_t random = 1;
    for (uint64_t step = 0; step < STEPS; step++) {
        size_t from = step % 2, to = 1 - from;
        for (size_t i = 0; i < COUNT; i++) {
            random = random * 1664525u + 1013904223u;
            g[i] = i == 0 ? 0 : ldexpf((float)(random >> 8) * 0x1p-23f - 0.9f, (int)(i % 9) - 6);
            naive(&o, (double)(first + step), (double)g[i], &exact_w[i], &m[i], &v[i]);
        }
        const float *state[] = {a[from], b[from]};
        float *new_state[] = {a[to], b[to]};
        gm_optim_update(&o, first + step, COUNT, false, g, w[from], state, w[to], new_state);
        for (size_t i = 0; i < COUNT; i++) {
            error_w = fmax(error_w, fabs((double)w[to][i] - exact_w[i]));
            moved = fmax(moved, fabs((double)w[to][i] - (double)w[from][i]));
        }
    }
    CHECK(error_w < 5e-6);
    CHECK(o.lr == 0 ? moved == 0 : moved > 1e-4);
    size_t last = STEPS % 2;
    for (size_t i = 0; i < COUNT; i++) {
        double first_state = o.kind == GM_RMSPROP ? v[i] : o.kind == GM_SGD ? 0 : m[i];
        CHECK_NEAR(a[last][i], first_state, 1e-6 + 1e-6 * fabs(first_state));
        CHECK_NEAR(b[last][i], o.kind == GM_ADAM ? v[i] : 0, 1e-6);
    }
}

static void test_updates(void) {
    static const char *const texts[] = {"sgd",
                                        "sgd:lr=0.3",
                                        "sgd:lr=0",
                                        "momentum",
                                        "momentum:nesterov=1,momentum=0.5",
                                        "momentum:momentum=0",
                                        "rmsprop",
                                        "rmsprop:lr=0.01,rho=0.5,eps=1e-3",
                                        "adam",
                                        "adam:lr=2e-4,beta1=0.5",
                                        "adam:beta1=0,beta2=0",
                                        "adam:lr=0.01,beta1=0.99,beta2=0.9999,eps=0.1"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        check_updates(texts[i], 1);
        check_updates(texts[i], 1000000007);
    }
}

/* A block cut in two gives the bits of the whole, and a gradient of zeros moves nothing. */
static void test_cut(void) {
    gm_optim o = parsed("adam");
    float w[COUNT], m[COUNT], v[COUNT], g[COUNT], whole[3][COUNT], parts[3][COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        w[i] = (float)i * 0.37f - 9, m[i] = (float)(i % 7) * 0.01f, v[i] = (float)(i % 5) * 0.003f;
        g[i] = (float)(i % 11) * 0.1f - 0.5f;
    }
    const float *state[] = {m, v};
    gm_optim_update(&o, 3, COUNT, false, g, w, state, whole[0], (float *[]){whole[1], whole[2]});
    for (size_t cut = 0; cut <= COUNT; cut++) {
        memset(parts, 255, sizeof parts);
        gm_optim_update(&o, 3, cut, false, g, w, state, parts[0], (float *[]){parts[1], parts[2]});
        gm_optim_update(&o, 3, COUNT - cut, false, g + cut, w + cut, (const float *[]){m + cut, v + cut},
                        parts[0] + cut, (float *[]){parts[1] + cut, parts[2] + cut});
        CHECK(memcmp(whole, parts, sizeof whole) == 0);
    }
    memset(m, 0, sizeof m), memset(v, 0, sizeof v), memset(g, 0, sizeof g);
    gm_optim_update(&o, 1, COUNT, false, g, w, state, whole[0], (float *[]){whole[1], whole[2]});
    CHECK(memcmp(whole[0], w, sizeof w) == 0);
}

/* Beyond the caches: the same bits for any count and place, nothing written behind the end, and bad numbers told. */
static void test_away(void) {
    enum { MOST = 1000, ROOM = MOST + 16 };
    static const char *const texts[] = {"sgd", "momentum", "momentum:nesterov=1", "rmsprop", "adam"};
    static const size_t counts[] = {0, 1, 127, 128, 129, 256, 640, MOST - 1, MOST};
    static float g[ROOM], w[ROOM], m[ROOM], v[ROOM], near[3][ROOM];
    alignas(64) static float away[3][ROOM];
    for (size_t i = 0; i < ROOM; i++) {
        w[i] = (float)i * 0.37f - 9, m[i] = (float)(i % 7) * 0.01f, v[i] = (float)(i % 5) * 0.003f;
        g[i] = (float)(i % 11) * 0.1f - 0.5f;
    }
    for (size_t k = 0; k < 5 * 9 * 6; k++) {
        gm_optim o = parsed(texts[k % 5]);
        const size_t count = counts[k / 5 % 9], at = k / 45; /* 0 and 4 lie as vectors of four floats do */
        const float *state[] = {m + at, o.kind == GM_RMSPROP ? NULL : v + at};
        memset(near, 255, sizeof near), memset(away, 255, sizeof away);
        CHECK(gm_optim_update(&o, 3, count, false, g + at, w + at, state, near[0] + at,
                              (float *[]){near[1] + at, near[2] + at}));
        CHECK(gm_optim_update(&o, 3, count, true, g + at, w + at, state, away[0] + at,
                              (float *[]){away[1] + at, away[2] + at}));
        CHECK(memcmp(near, away, sizeof near) == 0);
    }
    for (size_t i = 0; i < MOST; i++) {
        gm_optim o = parsed("adam");
        const float *state[] = {m, v}, kept = g[i];
        g[i] = INFINITY;
        CHECK(!gm_optim_update(&o, 3, MOST, true, g, w, state, away[0], (float *[]){away[1], away[2]}));
        g[i] = kept;
    }
}

/* A number that is not finite is told, wherever it comes about, and at any place of the array. */
static void test_not_finite(void) {
    static const char *const texts[] = {"sgd", "momentum", "momentum:nesterov=1", "rmsprop", "adam"};
    static float g[COUNT], w[COUNT], m[COUNT], v[COUNT], new_w[COUNT], new_m[COUNT], new_v[COUNT];
    const float *state[] = {m, v};
    for (size_t i = 0; i < 5; i++) {
        gm_optim o = parsed(texts[i]);
        CHECK(gm_optim_update(&o, 1, COUNT, false, g, w, state, new_w, (float *[]){new_m, new_v}));
        for (size_t k = 0; k < COUNT; k++) {
            g[k] = k % 2 ? NAN : INFINITY;
            CHECK(!gm_optim_update(&o, 1, COUNT, false, g, w, state, new_w, (float *[]){new_m, new_v}));
            g[k] = 0;
        }
        g[5] = 2e38f; /* finite, but not its square, or not the step */
        o.lr = 1e30;
        CHECK(!gm_optim_update(&o, 1, COUNT, false, g, w, state, new_w, (float *[]){new_m, new_v}));
        g[5] = 0;
    }
}

/* The mean of the parameters from update 3 on, and the parameters themselves before. */
static void test_average(void) {
    gm_optim o = parsed("sgd:average=3");
    float a[2] = {0, 0}, b[2];
    double sum = 0;
    for (uint64_t t = 1; t <= 50; t++) {
        float w[2] = {(float)t, 1 / (float)t};
        gm_optim_average(&o, t, 2, w, a, b);
        memcpy(a, b, sizeof a);
        if (t < 3) CHECK(a[0] == w[0] && a[1] == w[1]);
        if (t < 3) continue;
        sum += (double)w[1];
        CHECK_NEAR(a[0], (double)(t + 3) / 2, 1e-5);
        CHECK_NEAR(a[1], sum / (double)(t - 2), 1e-6);
    }
}

/* The moving average by its definition, in double: the first parameters, then decays that grow up to ema. */
static void test_ema(void) {
    gm_optim o = parsed("sgd:ema=0.9");
    float a = 7, b;
    double exact = 0;
    for (uint64_t t = 1; t <= 200; t++) {
        float w = (float)(t % 13);
        double decay = fmin(0.9, (1 + (double)t) / (10 + (double)t));
        exact = t == 1 ? (double)w : decay * exact + (1 - decay) * (double)w;
        gm_optim_average(&o, t, 1, &w, &a, &b);
        a = b;
        CHECK_NEAR(a, exact, 1e-5);
    }
}

int main(void) {
    RUN(test_parse);
    RUN(test_text);
    RUN(test_refused);
    RUN(test_blocks);
    RUN(test_updates);
    RUN(test_cut);
    RUN(test_away);
    RUN(test_not_finite);
    RUN(test_average);
    RUN(test_ema);
    return check_done();
}
