/* net.h: a network's specification: its layers and the table of its parameters.
 *
 * Parameters live in one block of floats that the caller owns (a slot of a model file, a buffer); the table says which
 * tensor is where. Gradients and each moment of an optimizer's state have the same layout. Numbers between tensors
 * (alignment) are zero and stay zero.
 */
#ifndef GM_NET_H
#define GM_NET_H

#include "gm/base.h"
#include "gm/spans.h"

#define GM_LAYERS_MAX 256
#define GM_PARTS_MAX 8
#define GM_UNITS_MAX ((size_t)1 << 24)

typedef enum gm_activation {
    GM_LINEAR,
    GM_RELU,  /* max(0, x) */
    GM_LEAKY, /* x for x > 0, else 0.2 x (Radford, Metz, Chintala 2016) */
    GM_TANH,
    GM_SIGMOID,
    GM_SOFTMAX, /* over the units of one row */
    GM_ELU,     /* x for x > 0, else exp(x) - 1 (Clevert, Unterthiner, Hochreiter 2016) */
    GM_GELU,    /* x Phi(x), with the exact erf (Hendrycks, Gimpel 2016) */
    GM_SOFTPLUS /* log(1 + exp(x)) */
} gm_activation;

/* Random Fourier features (Rahimi, Recht 2007, algorithm 1): y = sqrt(2 / units) cos(x W + b), W [inputs, units] normal
 * with variance 2 gamma, b uniform in [0, 2 pi), so that y(x) . y(x') approximates exp(-gamma |x - x'|^2). W and b are
 * no parameters: they are a function of the model's seed and are never trained. */
typedef enum gm_layer_kind {
    GM_DENSE,
    GM_DROPOUT,
    GM_RFF,
    /* A latent variable (Kingma, Welling 2014, section 3): x is [mean, log variance], y = mean + exp(log variance / 2)
     * e, e standard normal; where nothing is drawn y = mean. `gaussian:20+classes` puts the one-hot class of the
     * network's input behind it (Sohn, Lee, Yan 2015). */
    GM_GAUSSIAN,
    /* Batch normalization (Ioffe, Szegedy 2015, algorithm 1): y = gain (x - mean) / sqrt(variance + 1e-5) + shift; in
     * training with the batch's moments, each operand of a loss apart, else with the running ones. */
    GM_BATCHNORM,
    /* Rows of a table, the last layer of a generator: numbers through the activation, the columns of a category through
     * softmax((x + g) / temperature) with Gumbel noise g (Jang, Gu, Poole 2017; Maddison, Mnih, Teh 2017, for a flag
     * section B), so that the largest is the category k with probability softmax(x)_k; where nothing is drawn g = 0. */
    GM_MIXED
} gm_layer_kind;

typedef struct gm_layer {
    gm_layer_kind kind;
    size_t number;            /* its place in the network that was parsed: the stream of its random numbers */
    size_t inputs, units;     /* dropout, batchnorm, mixed: units == inputs; gaussian: units == latent + labels */
    gm_activation activation; /* dense; mixed: of numbers: linear, tanh or sigmoid */
    bool spectral;            /* dense: W is divided by its largest singular value (Miyato et al. 2018, algorithm 1) */
    double rate;        /* dropout: the probability that a number is set to 0; the others are divided by 1 - rate */
    double gamma;       /* rff */
    double temperature; /* mixed */
    size_t latent;      /* gaussian: inputs / 2 */
    size_t labels;      /* gaussian: columns of the class behind the latent ones, or 0 */
    size_t weights;     /* index into gm_net.parameters: dense W, batchnorm gain */
    size_t biases;      /* dense b, batchnorm shift */
    size_t statistics;  /* batchnorm: running mean, the running variance behind it; spectral: u */
} gm_layer;

typedef struct gm_parameter {
    char
        name[GM_NAME_MAX + 1]; /* "0.W", "0.b"; batchnorm "1.gain", "1.shift", "1.mean", "1.variance"; spectral "0.u" */
    size_t layer;
    unsigned rank; /* 2: [inputs, units]; 1: [units] */
    size_t shape[2];
    size_t count;
    size_t offset;  /* floats from the start of the block, a multiple of GM_ALIGN / 4 */
    bool weight;    /* l1() and l2() take weights, not biases */
    bool statistic; /* not trained: where others have a gradient it has its next value, which gm-step puts in place */
} gm_parameter;

typedef enum gm_part_kind { GM_PART_NUMBERS, GM_PART_FEATURES, GM_PART_CLASSES } gm_part_kind;

/* One part of the input: `20+classes` has two. A part of kind CLASSES takes class numbers, as one-hot. */
typedef struct gm_part {
    gm_part_kind kind;
    size_t columns;
} gm_part;

typedef struct gm_net {
    size_t part_count;
    gm_part parts[GM_PARTS_MAX];
    size_t columns; /* of a row of data: the sum of the parts' */
    size_t pack;    /* rows that are judged at once, side by side (PacGAN: Lin, Khetan, Fanti, Oh 2018, section 2) */
    size_t inputs;  /* pack * columns */
    size_t outputs; /* units of the last layer */
    size_t layer_count;
    gm_layer *layers;
    size_t parameter_count;
    gm_parameter *parameters;
    gm_spans spans; /* of the outputs, where the last layer is mixed; else none */
    size_t block;   /* floats in a block, alignment included */
    size_t numbers; /* parameters that are trained: the sum of their tensors' counts */
} gm_net;

/* What the words `features`, `classes` and `scale` (of rff) stand for; 0: the word cannot be used. */
typedef struct gm_words {
    size_t features, classes;
    double gamma;   /* 1 / (features variance), over all numbers of the encoded data */
    gm_spans spans; /* of the features; what a mixed layer needs. Borrowed for the call. */
} gm_words;

/* Parses INPUT ("64", "features", "20+classes", "pac:8:features") and LAYER texts ("dense:256:leaky",
 * "dense:256:leaky:spectral", "dropout:0.3", "rff:1024:0.05", "batchnorm", "gaussian:20", "gaussian:20+classes",
 * "mixed:0.2:tanh"; units may be a word). Messages quote the layer and propose the word that was meant. NULL with a
 * message. */
GM_MUST_USE gm_net *gm_net_parse(const char *input, const char *const *layers, size_t layer_count, gm_words words,
                                 gm_error *e);
void gm_net_free(gm_net *net);

/* Layers first .. first + count - 1 as a network of their own, whose parameters keep their names and their places in
 * the whole network's block: it runs on that block. Its input: that of the whole if first is 0; the latent columns and
 * the class behind a gaussian layer; else numbers. NULL with a message if there are no such layers. */
GM_MUST_USE gm_net *gm_net_cut(const gm_net *net, size_t first, size_t count, gm_error *e);

/* Bytes that training in one thread holds beside the model's file and the data: `fixed` for the program, the gradients
 * and what layers keep of their own, and `row` for each row of a batch on its way there and back, through a loss on one
 * input; a further input takes as much again. */
typedef struct gm_needs {
    double fixed, row;
} gm_needs;
gm_needs gm_net_needs(const gm_net *net);

/* The number of the gaussian layer, or -1. */
long gm_net_latent(const gm_net *net);

/* The texts that gm_net_parse turns into an equal network with words = {features, classes} of those parts and the same
 * spans: what model files keep. Part kinds are kept as "features=64", "classes=10". Returns out, or NULL if `size` is
 * too small (64 always is enough for a layer, 512 for an input). */
char *gm_net_input_text(const gm_net *net, char *out, size_t size);
char *gm_layer_text(const gm_layer *layer, char *out, size_t size);
const char *gm_activation_text(gm_activation a);

/* The index of a parameter by name, or -1. */
long gm_net_parameter(const gm_net *net, const char *name);

/* Initial parameters (biases, shifts and means 0, gains and variances 1). `init`: "glorot" (uniform in +-sqrt(6 /
 * (inputs + units)); Glorot, Bengio 2010, eq. 16), "he" (normal, variance 2 / inputs; He et al. 2015, eq. 10),
 * "normal:SIGMA". Weight i of layer l is number i of (seed, INIT, l, 0); the u of a spectral layer is normal, of (seed,
 * INIT, l, 1), and improved by 20 iterations. */
GM_MUST_USE int gm_net_init(const gm_net *net, const char *init, uint64_t seed, float *block, gm_error *e);
/* Only checks the text. */
GM_MUST_USE int gm_init_check(const char *init, gm_error *e);

#endif
