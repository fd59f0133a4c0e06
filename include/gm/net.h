/* net.h: a network's specification: its layers and the table of its parameters.
 *
 * Parameters live in one block of floats that the caller owns (a slot of a model file, a buffer); the table says which
 * tensor is where. Gradients and each moment of an optimizer's state have the same layout. Numbers between tensors
 * (alignment) are zero and stay zero.
 */
#ifndef GM_NET_H
#define GM_NET_H

#include "gm/base.h"

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
typedef enum gm_layer_kind { GM_DENSE, GM_DROPOUT, GM_RFF } gm_layer_kind;

typedef struct gm_layer {
    gm_layer_kind kind;
    size_t inputs, units;     /* dropout: units == inputs */
    gm_activation activation; /* dense */
    double rate;            /* dropout: the probability that a number is set to 0; the others are divided by 1 - rate */
    double gamma;           /* rff */
    size_t weights, biases; /* dense: indices into gm_net.parameters */
} gm_layer;

typedef struct gm_parameter {
    char name[GM_NAME_MAX + 1]; /* "0.W", "0.b" */
    size_t layer;
    unsigned rank; /* 2: [inputs, units]; 1: [units] */
    size_t shape[2];
    size_t count;
    size_t offset; /* floats from the start of the block, a multiple of GM_ALIGN / 4 */
    bool weight;   /* l1() and l2() take weights, not biases */
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
    size_t inputs;  /* sum of the parts' columns */
    size_t outputs; /* units of the last layer */
    size_t layer_count;
    gm_layer *layers;
    size_t parameter_count;
    gm_parameter *parameters;
    size_t block;   /* floats in a block, alignment included */
    size_t numbers; /* parameters that count: the sum of the tensors' counts */
} gm_net;

/* What the words `features`, `classes` and `scale` (of rff) stand for; 0: the word cannot be used. */
typedef struct gm_words {
    size_t features, classes;
    double gamma; /* 1 / (features variance), over all numbers of the encoded data */
} gm_words;

/* Parses INPUT ("64", "features", "20+classes") and LAYER texts ("dense:256:leaky", "dropout:0.3", "rff:1024:0.05";
 * units may be a word). Messages quote the layer and propose the word that was meant. NULL with a message. */
GM_MUST_USE gm_net *gm_net_parse(const char *input, const char *const *layers, size_t layer_count, gm_words words,
                                 gm_error *e);
void gm_net_free(gm_net *net);

/* The texts that gm_net_parse turns into an equal network with words = {features, classes} of those parts: what model
 * files keep. Part kinds are kept as "features=64", "classes=10". Returns out, or NULL if `size` is too small (64
 * always is enough for a layer, 512 for an input). */
char *gm_net_input_text(const gm_net *net, char *out, size_t size);
char *gm_layer_text(const gm_layer *layer, char *out, size_t size);
const char *gm_activation_text(gm_activation a);

/* The index of a parameter by name, or -1. */
long gm_net_parameter(const gm_net *net, const char *name);

/* Initial parameters (biases 0). `init`: "glorot" (uniform in +-sqrt(6 / (inputs + units)); Glorot, Bengio 2010, eq.
 * 16), "he" (normal, variance 2 / inputs; He et al. 2015, eq. 10), "normal:SIGMA". Weight i of layer l is number i of
 * (seed, INIT, l, 0). */
GM_MUST_USE int gm_net_init(const gm_net *net, const char *init, uint64_t seed, float *block, gm_error *e);
/* Only checks the text. */
GM_MUST_USE int gm_init_check(const char *init, gm_error *e);

#endif
