/* net_test.c: specifications of networks, what is said about wrong ones, and initial parameters. */
#include "check.h"
#include "gm/net.h"
#include "gm/rng.h"

#include <stdlib.h>

static const gm_words none = {0}, digits = {.features = 64, .classes = 10};
static gm_error error;

#define PARSE(words, input, ...)                                                                                       \
    gm_net_parse(input, (const char *const[]){__VA_ARGS__},                                                            \
                 sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), words, &error)

/* The message about a network that is refused; all are the user's mistakes. */
#define REFUSED(wanted, words, ...)                                                                                    \
    do {                                                                                                               \
        error = (gm_error){0};                                                                                         \
        gm_net *refused = PARSE(words, __VA_ARGS__);                                                                   \
        CHECK(!refused && error.usage);                                                                                \
        CHECK_TEXT(error.text, wanted);                                                                                \
        gm_net_free(refused);                                                                                          \
    } while (0)

static void test_layers(void) {
    gm_net *net = PARSE(none, "20", "dense:128:leaky", "dropout:0.25", "dense:3");
    CHECK(net != NULL);
    if (!net) return;
    CHECK(net->inputs == 20 && net->outputs == 3 && net->layer_count == 3 && net->part_count == 1);
    CHECK(net->parts[0].kind == GM_PART_NUMBERS && net->parts[0].columns == 20);
    const gm_layer *l = net->layers;
    CHECK(l[0].kind == GM_DENSE && l[0].inputs == 20 && l[0].units == 128 && l[0].activation == GM_LEAKY);
    CHECK(l[1].kind == GM_DROPOUT && l[1].inputs == 128 && l[1].units == 128 && l[1].rate == 0.25);
    CHECK(l[2].kind == GM_DENSE && l[2].inputs == 128 && l[2].units == 3 && l[2].activation == GM_LINEAR);
    gm_net_free(net);
    gm_net_free(NULL);
}

static void test_parameters(void) {
    gm_net *net = PARSE(none, "20", "dense:7:relu", "dropout:0.5", "dense:3");
    CHECK(net != NULL);
    if (!net) return;
    CHECK(net->parameter_count == 4 && net->numbers == 20 * 7 + 7 + 7 * 3 + 3);
    const gm_parameter *p = net->parameters;
    CHECK_TEXT(p[0].name, "0.W");
    CHECK_TEXT(p[1].name, "0.b");
    CHECK_TEXT(p[2].name, "2.W"); /* layers are counted with dropout */
    CHECK_TEXT(p[3].name, "2.b");
    CHECK(p[0].rank == 2 && p[0].shape[0] == 20 && p[0].shape[1] == 7 && p[0].count == 140 && p[0].weight);
    CHECK(p[3].rank == 1 && p[3].shape[0] == 3 && p[3].count == 3 && !p[3].weight && p[3].layer == 2);
    CHECK(p[0].offset == 0 && p[1].offset == 144 && p[2].offset == 160 && p[3].offset == 192 && net->block == 208);
    CHECK(net->layers[2].weights == 2 && net->layers[2].biases == 3);
    CHECK(gm_net_parameter(net, "2.W") == 2 && gm_net_parameter(net, "1.W") == -1 && gm_net_parameter(net, "") == -1);
    gm_net_free(net);
}

static void test_words(void) {
    gm_net *net = PARSE(digits, "20+classes+features", "dense:features:tanh");
    CHECK(net != NULL);
    if (!net) return;
    CHECK(net->inputs == 94 && net->outputs == 64 && net->part_count == 3);
    CHECK(net->parts[1].kind == GM_PART_CLASSES && net->parts[1].columns == 10);
    CHECK(net->parts[2].kind == GM_PART_FEATURES && net->parts[2].columns == 64);
    gm_net_free(net);
    net = PARSE(digits, "features", "dense:classes:softmax");
    CHECK(net && net->outputs == 10 && net->layers[0].activation == GM_SOFTMAX);
    gm_net_free(net);
}

/* A network's texts make an equal network, without the words. */
static void test_texts(void) {
    gm_net *net = PARSE(digits, "20+classes+features", "dense:30:elu", "dropout:0.3", "dense:9", "dense:classes:gelu");
    CHECK(net != NULL);
    if (!net) return;
    char input[512], text[4][64], small[24];
    CHECK_TEXT(gm_net_input_text(net, input, sizeof input), "20+classes=10+features=64");
    const char *texts[4];
    for (size_t i = 0; i < 4; i++) {
        texts[i] = gm_layer_text(&net->layers[i], text[i], sizeof text[i]);
        CHECK(texts[i] != NULL);
    }
    CHECK_TEXT(text[0], "dense:30:elu");
    CHECK_TEXT(text[1], "dropout:0.3");
    CHECK_TEXT(text[2], "dense:9:linear");
    CHECK(gm_net_input_text(net, small, sizeof small) == NULL && gm_layer_text(&net->layers[0], small, 12) == NULL);
    CHECK(gm_layer_text(&net->layers[0], small, 13) == small && gm_layer_text(&net->layers[1], small, 11) == NULL);
    for (int known = 0; known < 2; known++) {
        gm_net *twin = gm_net_parse(input, texts, 4, known ? digits : none, &error);
        CHECK(twin != NULL);
        if (!twin) continue;
        CHECK(twin->part_count == 3 && memcmp(twin->parts, net->parts, 3 * sizeof *net->parts) == 0);
        CHECK(memcmp(twin->layers, net->layers, 4 * sizeof *net->layers) == 0);
        CHECK(twin->block == net->block && twin->numbers == net->numbers && twin->inputs == 94);
        gm_net_free(twin);
    }
    gm_net_free(net);
    static const char *const names[] = {"linear",  "relu", "leaky", "tanh",    "sigmoid",
                                        "softmax", "elu",  "gelu",  "softplus"};
    for (gm_activation a = GM_LINEAR; a <= GM_SOFTPLUS; a++) CHECK_TEXT(gm_activation_text(a), names[a]);
}

static void test_packs(void) {
    static const char *const layers[] = {"dense:5:relu", "dense:1"};
    char text[512], small[16];
    gm_net *net = PARSE(digits, "pac:8:features+classes", "dense:5:relu", "dense:1");
    CHECK(net != NULL);
    if (!net) return;
    CHECK(net->pack == 8 && net->columns == 74 && net->inputs == 592 && net->part_count == 2);
    CHECK(net->layers[0].inputs == 592 && net->parts[0].columns == 64 && net->parts[1].kind == GM_PART_CLASSES);
    CHECK_TEXT(gm_net_input_text(net, text, sizeof text), "pac:8:features=64+classes=10");
    CHECK(gm_net_input_text(net, small, 6) == NULL && gm_net_input_text(net, small, sizeof small) == NULL);
    gm_net *twin = gm_net_parse(text, layers, 2, none, &error);
    CHECK(twin && twin->pack == 8 && twin->inputs == 592 && twin->block == net->block);
    gm_net_free(twin);
    gm_net *cut = gm_net_cut(net, 0, 1, &error);
    CHECK(cut && cut->pack == 8 && cut->columns == 74 && cut->inputs == 592 && cut->outputs == 5);
    gm_net_free(cut);
    cut = gm_net_cut(net, 1, 1, &error);
    CHECK(cut && cut->pack == 1 && cut->columns == 5 && cut->inputs == 5);
    gm_net_free(cut);
    gm_net_free(net);
    net = PARSE(digits, "pac:1:features", "dense:1");
    CHECK(net && net->pack == 1 && net->columns == 64 && net->inputs == 64);
    CHECK_TEXT(net ? gm_net_input_text(net, text, sizeof text) : "", "features=64");
    gm_net_free(net);
}

static void test_wrong_packs(void) {
#define FORM "a pack has a number of rows and the columns of each, as in pac:8:features"
    REFUSED("input 'pac': " FORM, digits, "pac", "dense:1");
    REFUSED("input 'pac:8': " FORM, digits, "pac:8", "dense:1");
    REFUSED("input 'pac:features': " FORM, digits, "pac:features", "dense:1");
    REFUSED("input 'pac8:features': " FORM, digits, "pac8:features", "dense:1");
    REFUSED("input 'pack:8:features': " FORM, digits, "pack:8:features", "dense:1");
    REFUSED("input 'Pac:8:features': " FORM, digits, "Pac:8:features", "dense:1");
    REFUSED("input 'pac:0:64': rows of a pack must be 1 to 16777216, not '0'", none, "pac:0:64", "dense:1");
    REFUSED("input 'pac::64': rows of a pack must be 1 to 16777216, not ''", none, "pac::64", "dense:1");
    REFUSED("input 'pac:16777217:1': rows of a pack must be 1 to 16777216, not '16777217'", none, "pac:16777217:1",
            "dense:1");
    REFUSED("input 'pac:features:8': rows of a pack must be 1 to 16777216, not 'features'", digits, "pac:features:8",
            "dense:1");
    REFUSED("input 'pac:4:4194305': 16777220 columns, more than 16777216", none, "pac:4:4194305", "dense:1");
    REFUSED("input 'pac:8:': columns must be a number, 'features' or 'classes', not ''", none, "pac:8:", "dense:1");
    REFUSED("input 'pac:2:featurs': columns must be a number, 'features' or 'classes', not 'featurs' (did you mean "
            "features?)",
            digits, "pac:2:featurs", "dense:1");
    REFUSED("input 'features+pac:8:classes': pac:ROWS: stands before all parts, as in pac:8:features+classes", digits,
            "features+pac:8:classes", "dense:1");
    REFUSED("layer 'gaussian:2': a network that judges packs of rows has no latent variables", digits, "pac:2:features",
            "dense:4", "gaussian:2");
}

static void test_wrong_layers(void) {
    REFUSED("layer 'dense:256:rellu': unknown activation 'rellu' (did you mean relu?)", none, "20", "dense:3",
            "dense:256:rellu");
    REFUSED("layer 'dense:256:xyzzy': unknown activation 'xyzzy'", none, "20", "dense:256:xyzzy");
    REFUSED("layer 'dense:3:': unknown activation ''", none, "20", "dense:3:");
    REFUSED("layer 'dens:3': unknown layer 'dens' (did you mean dense?)", none, "20", "dens:3");
    REFUSED("layer '': unknown layer ''", none, "20", "");
    REFUSED("layer '128:relu': a layer begins with its kind (did you mean dense:128:relu?)", none, "20", "128:relu");
    REFUSED("layer 'dense': the number of units is missing, as in dense:64", none, "20", "dense");
    REFUSED("layer 'dense:tanh': the number of units stands before the activation, as in dense:64:tanh", none, "20",
            "dense:tanh");
    REFUSED("layer 'dense:0': units must be 1 to 16777216, not 0", none, "20", "dense:0");
    REFUSED("layer 'dense:16777217': units must be 1 to 16777216, not 16777217", none, "20", "dense:16777217");
    REFUSED("layer 'dense:3x': units must be a number, 'features' or 'classes', not '3x'", none, "20", "dense:3x");
    REFUSED(
        "layer 'dense:clases': units must be a number, 'features' or 'classes', not 'clases' (did you mean classes?)",
        digits, "20", "dense:clases");
    REFUSED("layer 'dense:features': 'features' is not known without data that have features", none, "20",
            "dense:features");
    REFUSED("layer 'dropout:1': the rate of dropout must be at least 0 and below 1, not '1'", none, "20", "dropout:1",
            "dense:1");
    REFUSED("layer 'dropout:nan': the rate of dropout must be at least 0 and below 1, not 'nan'", none, "20",
            "dropout:nan", "dense:1");
    REFUSED("layer 'dropout': dropout has one number, its rate, as in dropout:0.3", none, "20", "dropout", "dense:1");
    REFUSED("layer 'dropout:0.5': the last layer must be dense, gaussian or mixed", none, "20", "dense:1",
            "dropout:0.5");
    REFUSED("layer 'rff:9': rff has a number of units and a gamma, as in rff:1024:0.05", none, "20", "rff:9",
            "dense:1");
    REFUSED("layer 'rff:9:0': gamma must be a number above 0, 'scale' or as '2*scale', not '0'", none, "20", "rff:9:0",
            "dense:1");
    REFUSED("layer 'rff:9:scale': 'scale' is not known without data that vary", none, "20", "rff:9:scale", "dense:1");
    REFUSED("layer 'rff:9:scale': 'scale' is known of the data: only the first layer can use it", none, "20",
            "dense:3:relu", "rff:9:scale", "dense:1");
    REFUSED("layer 'rff:9:1': the last layer must be dense, gaussian or mixed", none, "20", "dense:1", "rff:9:1");
    REFUSED("layer 'dense:1:relu:2': behind the activation stands 'spectral' or nothing, not '2'", none, "20",
            "dense:1:relu:2");
    REFUSED("layer 'dense:1:relu:2:3': too many or too long parts; a layer is dense:UNITS[:ACTIVATION][:spectral], "
            "dropout:RATE, rff:UNITS:GAMMA, gaussian:UNITS, batchnorm or mixed:TEMPERATURE",
            none, "20", "dense:1:relu:2:3");
    REFUSED("layer 'gaussian:3': the layer before gives mean and log variance: it must have 6 units, not 5", none, "20",
            "dense:5", "gaussian:3");
    REFUSED("layer 'gaussian:3+classes': +classes needs one part of INPUT to be `classes`", none, "20", "dense:6",
            "gaussian:3+classes");
    REFUSED("layer 'gaussian:3+labels': behind the units stands '+classes', not '+labels'", none, "20", "dense:6",
            "gaussian:3+labels");
    REFUSED("layer 'gaussian:1': a network has one gaussian layer at most", none, "20", "dense:4", "gaussian:2",
            "gaussian:1");
    REFUSED("layer 'batchnorm:3': batchnorm stands alone", none, "20", "batchnorm:3", "dense:1");
    REFUSED("layer 'batchnorm': the last layer must be dense, gaussian or mixed", none, "20", "dense:1", "batchnorm");
    error = (gm_error){0};
    CHECK(!gm_net_parse("20", NULL, 0, none, &error) && error.usage);
    CHECK_TEXT(error.text, "0 layers: a network has 1 to 256");
    static const char *many[GM_LAYERS_MAX + 1];
    for (size_t i = 0; i <= GM_LAYERS_MAX; i++) many[i] = "dense:1";
    CHECK(!gm_net_parse("20", many, GM_LAYERS_MAX + 1, none, &error));
    gm_net *net = gm_net_parse("20", many, GM_LAYERS_MAX, none, &error);
    CHECK(net && gm_net_parameter(net, "255.b") == 511);
    gm_net_free(net);
}

static void test_wrong_inputs(void) {
    REFUSED(
        "input 'dense:128': this is a layer; the number of input columns stands before the layers, as in '64 dense:10'",
        none, "dense:128", "dense:1");
    REFUSED("input '0': columns must be 1 to 16777216, not 0", none, "0", "dense:1");
    REFUSED("input '': columns must be a number, 'features' or 'classes', not ''", none, "", "dense:1");
    REFUSED("input '20+': columns must be a number, 'features' or 'classes', not ''", none, "20+", "dense:1");
    REFUSED(
        "input 'featurs': columns must be a number, 'features' or 'classes', not 'featurs' (did you mean features?)",
        digits, "featurs", "dense:1");
    REFUSED("input '20+classes': 'classes' is not known without data that have classes", none, "20+classes", "dense:1");
    REFUSED("input 'classes=x': classes must be 1 to 16777216, not 'x'", none, "classes=x", "dense:1");
    REFUSED("input 'classes=9': the data have 10 classes, not 9", digits, "classes=9", "dense:1");
    REFUSED("input 'classes=9+classes=8': the data have 9 classes, not 8", none, "classes=9+classes=8", "dense:1");
    REFUSED("input 'class=9': unknown word 'class' (did you mean classes?)", none, "class=9", "dense:1");
    REFUSED("input '1+1+1+1+1+1+1+1+1': at most 8 parts, each a number or a word, are joined by '+'", none,
            "1+1+1+1+1+1+1+1+1", "dense:1");
    REFUSED("input '16777216+1': 16777217 columns, more than 16777216", none, "16777216+1", "dense:1");
    char huge[4000];
    memset(huge, '9', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    CHECK(!PARSE(none, huge, "dense:1") && !PARSE(none, "1", huge));
    gm_net *net = PARSE(none, "16777216", "dense:16777216", "dense:16777216");
    CHECK(net && net->numbers == 2 * (((size_t)1 << 48) + ((size_t)1 << 24)));
    gm_net_free(net);
}

/* Mean and variance of the weights of layer 0 of a [400, 300] network. */
static void moments(const char *init, double *mean, double *variance, float *most) {
    gm_net *net = PARSE(none, "400", "dense:300", "dropout:0.5", "dense:5");
    float *block = net ? gm_new(net->block, sizeof *block, &error) : NULL;
    CHECK(block != NULL);
    if (!block) {
        gm_net_free(net);
        return;
    }
    memset(block, 255, net->block * sizeof *block);
    CHECK(gm_net_init(net, init, 9, block, &error) == 0);
    *mean = *variance = 0, *most = 0;
    const gm_parameter *p = net->parameters;
    for (size_t i = 0; i < p[0].count; i++) {
        *mean += (double)block[i] / (double)p[0].count;
        *variance += (double)block[i] * (double)block[i] / (double)p[0].count;
        *most = fmaxf(*most, fabsf(block[i]));
    }
    bool zero = true;
    for (size_t i = 0; i < p[1].count; i++) zero = zero && block[p[1].offset + i] == 0;
    for (size_t i = p[2].offset + p[2].count; i < net->block; i++) zero = zero && block[i] == 0;
    CHECK(zero); /* biases, and what lies between tensors */
    /* The weights of layer 2 are the first numbers of stream 2. */
    float wanted[4];
    gm_rng rng = {.seed = 9, .purpose = GM_PURPOSE_INIT, .stream = 2};
    if (strcmp(init, "glorot") == 0) {
        gm_rng_uniform(rng, 0, 4, wanted);
        for (size_t i = 0; i < 4; i++)
            CHECK_NEAR(block[p[2].offset + i], (2 * (double)wanted[i] - 1) * sqrt(6.0 / 305), 1e-8);
    } else {
        gm_rng_normal(rng, 0, 4, wanted);
        double sigma = strcmp(init, "he") == 0 ? sqrt(2.0 / 300) : 0.02;
        for (size_t i = 0; i < 4; i++) CHECK_NEAR(block[p[2].offset + i], (double)wanted[i] * sigma, 5e-8);
    }
    free(block);
    gm_net_free(net);
}

static void test_init(void) {
    double mean = 0, variance = 0;
    float most = 0;
    moments("glorot", &mean, &variance, &most);
    double limit = sqrt(6.0 / 700);
    CHECK(fabs(mean) < 0.001 && (double)most <= limit + 1e-8 && (double)most > 0.999 * limit);
    CHECK_NEAR(variance, limit * limit / 3, 5e-5);
    moments("he", &mean, &variance, &most);
    CHECK(fabs(mean) < 0.001);
    CHECK_NEAR(variance, 2.0 / 400, 1e-4);
    moments("normal:0.02", &mean, &variance, &most);
    CHECK_NEAR(variance, 0.0004, 1e-5);
}

static void test_wrong_init(void) {
    const char *const good[] = {"glorot", "he", "normal:0.02", "normal:0", "normal:1e-3"};
    for (size_t i = 0; i < 5; i++) CHECK(gm_init_check(good[i], &error) == 0);
    const char *const bad[] = {
        "", "glorott", "he:2", "normal", "normal:", "normal:-1", "normal:nan", "normal:1x", "normal:1e39"};
    for (size_t i = 0; i < 9; i++) {
        error = (gm_error){0};
        CHECK(gm_init_check(bad[i], &error) == -1 && error.usage);
    }
    CHECK(gm_init_check("glorott", &error) == -1);
    CHECK_TEXT(error.text, "unknown initializer 'glorott' (did you mean glorot?)");
    CHECK(gm_init_check("normal:x", &error) == -1);
    CHECK_TEXT(error.text, "initializer 'normal:x': a standard deviation of at least 0 is needed, as in normal:0.02");
    float untouched = 42;
    gm_net *net = PARSE(none, "1", "dense:1");
    CHECK(net && gm_net_init(net, "h", 1, &untouched, &error) == -1 && untouched == 42);
    gm_net_free(net);
}

static void test_rff(void) {
    char text[64];
    gm_error e;
    gm_net *net = PARSE(((gm_words){.features = 4, .classes = 3, .gamma = 0.25}), "features", "rff:100:2*scale",
                        "rff:50:1.5", "dense:classes");
    CHECK(net->layers[0].kind == GM_RFF && net->layers[0].gamma == 0.5 && net->layers[1].gamma == 1.5);
    CHECK(net->parameter_count == 2 && net->numbers == 50 * 3 + 3); /* nothing of rff is a parameter */
    CHECK_TEXT(net->parameters[0].name, "2.W");
    CHECK_TEXT(gm_layer_text(&net->layers[0], text, sizeof text), "rff:100:0.5");
    float *block = calloc(net->block, sizeof *block);
    CHECK(block && gm_net_init(net, "glorot", 1, block, &e) == 0 && block[0] != 0.0f);
    free(block);
    gm_net_free(net);
}

int main(void) {
    RUN(test_layers);
    RUN(test_parameters);
    RUN(test_words);
    RUN(test_texts);
    RUN(test_packs);
    RUN(test_wrong_packs);
    RUN(test_wrong_layers);
    RUN(test_wrong_inputs);
    RUN(test_init);
    RUN(test_wrong_init);
    RUN(test_rff);
    return check_done();
}
