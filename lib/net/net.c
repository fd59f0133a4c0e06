#include "gm/net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const activation_texts[] = {"linear",  "relu", "leaky", "tanh",     "sigmoid",
                                               "softmax", "elu",  "gelu",  "softplus", NULL};
/* gm_layer_kind */
static const char *const kind_texts[] = {"dense", "dropout", "rff", "gaussian", "batchnorm", "mixed", NULL};
static const char *const word_texts[] = {"features", "classes", NULL};

enum { FIELD_MAX = 80, FIELDS_MAX = 4, LAYER_PARAMETERS_MAX = 4 }; /* bytes of one part between colons, and parts */

/* ---- texts ---- */

/* Puts " (did you mean WORD?)" into out, or nothing. */
static const char *proposal(const char *word, const char *const *words, char out[FIELD_MAX]) {
    const char *meant = gm_did_you_mean(word, words);
    out[0] = '\0';
    if (meant) snprintf(out, FIELD_MAX, " (did you mean %s?)", meant);
    return out;
}

static long find_word(const char *word, const char *const *words) {
    for (long i = 0; words[i]; i++)
        if (strcmp(words[i], word) == 0) return i;
    return -1;
}

static bool is_number(const char *text) {
    size_t number;
    return gm_parse_size(text, 0, SIZE_MAX, &number);
}

/* Cuts text at `mark` into fields[count]. The number of fields, or -1 if there are more than `most` or one is too long.
 */
static int cut(const char *text, char mark, int most, char fields[][FIELD_MAX]) {
    for (int count = 0; count < most; count++) {
        size_t n = (size_t)(strchrnul(text, mark) - text);
        if (n >= FIELD_MAX) return -1;
        memcpy(fields[count], text, n);
        fields[count][n] = '\0';
        if (!text[n]) return count + 1;
        text += n + 1;
    }
    return -1;
}

/* What a word stands for, or a number of columns or units. */
static int parse_size(const char *text, gm_words words, const char *what, size_t *size, gm_error *e) {
    if (gm_parse_size(text, 1, GM_UNITS_MAX, size)) return 0;
    long word = find_word(text, word_texts);
    size_t meaning = word < 0 ? 0 : word == 0 ? words.features : words.classes;
    if (meaning > GM_UNITS_MAX) return gm_fail_usage(e, "%s are %zu, more than %zu", text, meaning, GM_UNITS_MAX);
    if (meaning > 0) return *size = meaning, 0;
    if (word >= 0) return gm_fail_usage(e, "'%s' is not known without data that have %s", text, text);
    if (is_number(text)) return gm_fail_usage(e, "%s must be 1 to %zu, not %s", what, GM_UNITS_MAX, text);
    char hint[FIELD_MAX];
    return gm_fail_usage(e, "%s must be a number, 'features' or 'classes', not '%s'%s", what, text,
                         proposal(text, word_texts, hint));
}

/* ---- the input ---- */

/* "20", "features", "classes", or as model files keep it "features=64", which the parts behind it must agree with. */
static int parse_part(char *text, gm_words *words, gm_part *part, gm_error *e) {
    char *given = strchr(text, '=');
    if (given) *given++ = '\0';
    long word = find_word(text, word_texts);
    part->kind = word < 0 ? GM_PART_NUMBERS : word == 0 ? GM_PART_FEATURES : GM_PART_CLASSES;
    if (!given) return parse_size(text, *words, "columns", &part->columns, e);
    char hint[FIELD_MAX];
    if (word < 0) return gm_fail_usage(e, "unknown word '%s'%s", text, proposal(text, word_texts, hint));
    if (!gm_parse_size(given, 1, GM_UNITS_MAX, &part->columns))
        return gm_fail_usage(e, "%s must be 1 to %zu, not '%s'", text, GM_UNITS_MAX, given);
    size_t *known = word == 0 ? &words->features : &words->classes;
    if (*known && *known != part->columns) return gm_fail_usage(e, "the data have %zu %s, not %s", *known, text, given);
    *known = part->columns;
    return 0;
}

/* "pac:ROWS:" before the parts. Returns where these begin. */
static const char *parse_pack(gm_net *net, const char *input, gm_error *e) {
    static const char *const kinds[] = {"pac", NULL};
    char word[FIELD_MAX], rows[FIELD_MAX] = "";
    const char *number = strchrnul(input, ':'), *parts = NULL;
    snprintf(word, sizeof word, "%.*s", (int)(number - input), input);
    if (*number) parts = strchr(number + 1, ':');
    if (parts) snprintf(rows, sizeof rows, "%.*s", (int)(parts - number - 1), number + 1);
    net->pack = 1;
    if (strncmp(input, "pac", 3) != 0 && !gm_did_you_mean(word, kinds)) return input;
    if (strcmp(word, "pac") != 0 || !parts)
        return gm_fail_usage(e, "a pack has a number of rows and the columns of each, as in pac:8:features"), NULL;
    if (!gm_parse_size(rows, 1, GM_UNITS_MAX, &net->pack))
        return gm_fail_usage(e, "rows of a pack must be 1 to %zu, not '%s'", GM_UNITS_MAX, rows), NULL;
    return parts + 1;
}

static int parse_parts(gm_net *net, const char *input, gm_words words, gm_error *e) {
    char fields[GM_PARTS_MAX][FIELD_MAX];
    char head[FIELD_MAX];
    if (strstr(input, "+pac:"))
        return gm_fail_usage(e, "pac:ROWS: stands before all parts, as in pac:8:features+classes");
    input = parse_pack(net, input, e);
    if (!input) return -1;
    snprintf(head, sizeof head, "%.*s", (int)strcspn(input, ":"), input);
    if (strchr(input, ':') || find_word(head, kind_texts) >= 0)
        return gm_fail_usage(
            e, "this is a layer; the number of input columns stands before the layers, as in '64 dense:10'");
    int count = cut(input, '+', GM_PARTS_MAX, fields);
    if (count < 0)
        return gm_fail_usage(e, "at most %d parts, each a number or a word, are joined by '+'", GM_PARTS_MAX);
    net->part_count = (size_t)count;
    for (size_t i = 0; i < net->part_count; i++) {
        if (parse_part(fields[i], &words, &net->parts[i], e)) return -1;
        net->columns += net->parts[i].columns;
    }
    net->inputs = net->pack * net->columns; /* far from overflow */
    if (net->inputs > GM_UNITS_MAX) return gm_fail_usage(e, "%zu columns, more than %zu", net->inputs, GM_UNITS_MAX);
    return 0;
}

/* ---- layers ---- */

static int parse_dense(char fields[][FIELD_MAX], int count, gm_words words, gm_layer *layer, gm_error *e) {
    layer->kind = GM_DENSE;
    layer->activation = GM_LINEAR;
    if (count < 2) return gm_fail_usage(e, "the number of units is missing, as in dense:64");
    if (count == 2 && find_word(fields[1], activation_texts) >= 0)
        return gm_fail_usage(e, "the number of units stands before the activation, as in dense:64:%s", fields[1]);
    if (parse_size(fields[1], words, "units", &layer->units, e)) return -1;
    if (strcmp(fields[count - 1], "spectral") == 0) {
        layer->spectral = true;
        count--;
    }
    if (count == 2) return 0;
    if (count > 3)
        return gm_fail_usage(e, "behind the activation stands 'spectral' or nothing, not '%s'", fields[count - 1]);
    long activation = find_word(fields[2], activation_texts);
    char hint[FIELD_MAX];
    if (activation < 0)
        return gm_fail_usage(e, "unknown activation '%s'%s", fields[2], proposal(fields[2], activation_texts, hint));
    layer->activation = (gm_activation)activation;
    return 0;
}

static int parse_dropout(char fields[][FIELD_MAX], int count, gm_layer *layer, gm_error *e) {
    layer->kind = GM_DROPOUT;
    layer->units = layer->inputs;
    if (count != 2) return gm_fail_usage(e, "dropout has one number, its rate, as in dropout:0.3");
    if (!gm_parse_double(fields[1], &layer->rate) || !(layer->rate >= 0 && layer->rate < 1))
        return gm_fail_usage(e, "the rate of dropout must be at least 0 and below 1, not '%s'", fields[1]);
    return 0;
}

/* A number, or `scale` or NUMBER*scale, which is known of the data, which the first layer reads. */
static int parse_gamma(char *text, gm_words words, bool first, double *gamma, gm_error *e) {
    char *star = strchr(text, '*'), *unit = star ? star + 1 : text;
    bool of_scale = strcmp(unit, "scale") == 0;
    double number = 1;
    if (star) *star = '\0';
    bool good = star ? of_scale && gm_parse_double(text, &number) : of_scale || gm_parse_double(text, &number);
    if (star) *star = '*';
    if (!good || !(number > 0 && number <= 1e12))
        return gm_fail_usage(e, "gamma must be a number above 0, 'scale' or as '2*scale', not '%s'", text);
    if (of_scale && !first) return gm_fail_usage(e, "'scale' is known of the data: only the first layer can use it");
    if (of_scale && !(words.gamma > 0)) return gm_fail_usage(e, "'scale' is not known without data that vary");
    *gamma = of_scale ? number * words.gamma : number;
    return 0;
}

/* "rff:UNITS:GAMMA" */
static int parse_rff(char fields[][FIELD_MAX], int count, gm_words words, bool first, gm_layer *layer, gm_error *e) {
    layer->kind = GM_RFF;
    if (count != 3) return gm_fail_usage(e, "rff has a number of units and a gamma, as in rff:1024:0.05");
    if (parse_size(fields[1], words, "units", &layer->units, e)) return -1;
    return parse_gamma(fields[2], words, first, &layer->gamma, e);
}

/* Columns of the input's one-hot class; *at is where they begin. 0: it has none, or more than one. */
static size_t class_columns(const gm_net *net, size_t *at) {
    size_t columns = 0, from = 0;
    for (size_t i = 0; i < net->part_count; from += net->parts[i++].columns) {
        if (net->parts[i].kind != GM_PART_CLASSES) continue;
        if (columns) return 0;
        columns = net->parts[i].columns;
        *at = from;
    }
    return columns;
}

/* "gaussian:UNITS" or "gaussian:UNITS+classes" */
static int parse_gaussian(char fields[][FIELD_MAX], int count, const gm_net *net, gm_words words, gm_layer *layer,
                          gm_error *e) {
    layer->kind = GM_GAUSSIAN;
    if (net->pack > 1) return gm_fail_usage(e, "a network that judges packs of rows has no latent variables");
    if (count != 2) return gm_fail_usage(e, "gaussian has a number of units, as in gaussian:20");
    char *plus = strchr(fields[1], '+');
    size_t at;
    if (plus) {
        *plus++ = '\0';
        if (strcmp(plus, "classes") != 0)
            return gm_fail_usage(e, "behind the units stands '+classes', not '+%s'", plus);
        layer->labels = class_columns(net, &at);
        if (!layer->labels) return gm_fail_usage(e, "+classes needs one part of INPUT to be `classes`");
    }
    if (parse_size(fields[1], words, "units", &layer->latent, e)) return -1;
    if (layer->inputs != 2 * layer->latent)
        return gm_fail_usage(e, "the layer before gives mean and log variance: it must have %zu units, not %zu",
                             2 * layer->latent, layer->inputs);
    layer->units = layer->latent + layer->labels;
    return 0;
}

static int parse_batchnorm(int count, gm_layer *layer, gm_error *e) {
    layer->kind = GM_BATCHNORM;
    layer->units = layer->inputs;
    return count == 1 ? 0 : gm_fail_usage(e, "batchnorm stands alone");
}

/* Columns that the spans stand for; 0 if there are none, or they are none. */
static size_t span_columns(const gm_spans *spans) {
    size_t columns = 0;
    for (size_t i = 0; i < spans->count; i++) {
        int32_t span = spans->items[i];
        if (span < GM_SPAN_FLAG || span > (int32_t)GM_UNITS_MAX || columns > GM_UNITS_MAX) return 0;
        columns += span > 0 ? (size_t)span : 1;
    }
    return columns;
}

/* "mixed:TEMPERATURE[:ACTIVATION]" */
static int parse_mixed(char fields[][FIELD_MAX], int count, gm_words words, gm_layer *layer, gm_error *e) {
    static const char *const texts[] = {"linear", "tanh", "sigmoid", NULL};
    static const gm_activation activations[] = {GM_LINEAR, GM_TANH, GM_SIGMOID};
    size_t columns = span_columns(&words.spans);
    layer->kind = GM_MIXED;
    layer->units = layer->inputs;
    if (count < 2 || count > 3)
        return gm_fail_usage(e, "mixed has a temperature and perhaps an activation, as in mixed:0.2:tanh");
    if (!gm_parse_double(fields[1], &layer->temperature) || !(layer->temperature >= 1e-3 && layer->temperature <= 1e3))
        return gm_fail_usage(e, "the temperature must be 0.001 to 1000, not '%s'", fields[1]);
    long activation = count == 3 ? find_word(fields[2], texts) : 0;
    char hint[FIELD_MAX];
    if (activation < 0)
        return gm_fail_usage(e, "numbers go through linear, tanh or sigmoid, not '%s'%s", fields[2],
                             proposal(fields[2], texts, hint));
    layer->activation = activations[activation];
    if (columns == 0) return gm_fail_usage(e, "mixed needs data whose columns it makes");
    if (layer->inputs != columns)
        return gm_fail_usage(e, "the layer before must have the %zu units that the data have features, not %zu",
                             columns, layer->inputs);
    return 0;
}

/* layer->inputs is set already. */
static int parse_layer(const char *text, const gm_net *net, gm_words words, bool first, gm_layer *layer, gm_error *e) {
    char fields[FIELDS_MAX][FIELD_MAX];
    int count = cut(text, ':', FIELDS_MAX, fields);
    if (count < 0)
        return gm_fail_usage(e, "too many or too long parts; a layer is dense:UNITS[:ACTIVATION][:spectral], "
                                "dropout:RATE, rff:UNITS:GAMMA, gaussian:UNITS, batchnorm or mixed:TEMPERATURE");
    switch (find_word(fields[0], kind_texts)) {
    case GM_DENSE:
        return parse_dense(fields, count, words, layer, e);
    case GM_DROPOUT:
        return parse_dropout(fields, count, layer, e);
    case GM_RFF:
        return parse_rff(fields, count, words, first, layer, e);
    case GM_GAUSSIAN:
        return parse_gaussian(fields, count, net, words, layer, e);
    case GM_BATCHNORM:
        return parse_batchnorm(count, layer, e);
    case GM_MIXED:
        return parse_mixed(fields, count, words, layer, e);
    default:
        break;
    }
    if (is_number(fields[0]) || find_word(fields[0], word_texts) >= 0)
        return gm_fail_usage(e, "a layer begins with its kind (did you mean dense:%s?)", text);
    char hint[FIELD_MAX];
    return gm_fail_usage(e, "unknown layer '%s'%s", fields[0], proposal(fields[0], kind_texts, hint));
}

static int copy_spans(gm_net *net, const gm_spans *spans, gm_error *e) {
    net->spans.items = gm_new(spans->count, sizeof *spans->items, e);
    if (!net->spans.items) return -1;
    net->spans.count = spans->count;
    memcpy(net->spans.items, spans->items, spans->count * sizeof *spans->items);
    return 0;
}

static int parse_layers(gm_net *net, const char *const *texts, gm_words words, gm_error *e) {
    size_t inputs = net->inputs, gaussians = 0;
    for (size_t l = 0; l < net->layer_count; l++) {
        gm_layer *layer = &net->layers[l];
        layer->inputs = inputs;
        layer->number = l;
        if (parse_layer(texts[l], net, words, l == 0, layer, e)) return gm_fail_within(e, "layer '%s': ", texts[l]);
        if (layer->kind == GM_GAUSSIAN && gaussians++)
            return gm_fail_usage(e, "layer '%s': a network has one gaussian layer at most", texts[l]);
        if (layer->kind == GM_MIXED && l + 1 < net->layer_count)
            return gm_fail_usage(e, "layer '%s': mixed makes rows of data: it must be the last layer", texts[l]);
        inputs = layer->units;
    }
    gm_layer_kind last = net->layers[net->layer_count - 1].kind;
    if (last != GM_DENSE && last != GM_GAUSSIAN && last != GM_MIXED)
        return gm_fail_usage(e, "layer '%s': the last layer must be dense, gaussian or mixed",
                             texts[net->layer_count - 1]);
    net->outputs = inputs;
    return last == GM_MIXED ? copy_spans(net, &words.spans, e) : 0;
}

/* ---- the table of parameters ---- */

/* Appends one tensor: [rows, columns], or [columns] with rows 0. Counts stay far from overflow: at most 2^48 numbers in
 * each of 256 layers. */
static size_t add_parameter(gm_net *net, size_t layer, const char *name, size_t rows, size_t columns, bool statistic) {
    gm_parameter *p = &net->parameters[net->parameter_count];
    snprintf(p->name, sizeof p->name, "%zu.%s", layer, name);
    p->layer = layer;
    p->rank = rows ? 2 : 1;
    p->shape[0] = rows ? rows : columns;
    p->shape[1] = rows ? columns : 0;
    p->count = (rows ? rows : 1) * columns;
    p->offset = net->block;
    p->weight = rows > 0;
    p->statistic = statistic;
    net->block += gm_align(p->count * sizeof(float)) / sizeof(float);
    if (!statistic) net->numbers += p->count;
    return net->parameter_count++;
}

static void add_parameters(gm_net *net) {
    for (size_t l = 0; l < net->layer_count; l++) {
        gm_layer *layer = &net->layers[l];
        size_t units = layer->units;
        if (layer->kind == GM_DENSE) {
            layer->weights = add_parameter(net, l, "W", layer->inputs, units, false);
            layer->biases = add_parameter(net, l, "b", 0, units, false);
            if (layer->spectral) layer->statistics = add_parameter(net, l, "u", 0, units, true);
        } else if (layer->kind == GM_BATCHNORM) {
            layer->weights = add_parameter(net, l, "gain", 0, units, false);
            layer->biases = add_parameter(net, l, "shift", 0, units, false);
            layer->statistics = add_parameter(net, l, "mean", 0, units, true);
            add_parameter(net, l, "variance", 0, units, true);
        }
    }
}

static int fill_net(gm_net *net, const char *input, const char *const *layers, gm_words words, gm_error *e) {
    if (parse_parts(net, input, words, e)) return gm_fail_within(e, "input '%s': ", input);
    if (net->layer_count < 1 || net->layer_count > GM_LAYERS_MAX)
        return gm_fail_usage(e, "%zu layers: a network has 1 to %d", net->layer_count, GM_LAYERS_MAX);
    net->layers = gm_new_zeroed(net->layer_count, sizeof *net->layers, e);
    net->parameters = gm_new_zeroed(LAYER_PARAMETERS_MAX * net->layer_count, sizeof *net->parameters, e);
    if (!net->layers || !net->parameters || parse_layers(net, layers, words, e)) return -1;
    add_parameters(net);
    return 0;
}

gm_net *gm_net_parse(const char *input, const char *const *layers, size_t layer_count, gm_words words, gm_error *e) {
    gm_net *net = gm_new_zeroed(1, sizeof *net, e);
    if (!net) return NULL;
    net->layer_count = layer_count;
    if (!fill_net(net, input, layers, words, e)) return net;
    gm_net_free(net);
    return NULL;
}

void gm_net_free(gm_net *net) {
    if (!net) return;
    free(net->layers);
    free(net->parameters);
    free(net->spans.items);
    free(net);
}

/* ---- a part of a network ---- */

/* The input of layers from `first` on. */
static void cut_input(const gm_net *net, size_t first, gm_net *part) {
    const gm_layer *before = first ? &net->layers[first - 1] : NULL;
    part->inputs = net->layers[first].inputs;
    part->pack = before ? 1 : net->pack;
    part->columns = part->inputs / part->pack;
    if (!before) {
        part->part_count = net->part_count;
        memcpy(part->parts, net->parts, sizeof part->parts);
        return;
    }
    bool labelled = before->kind == GM_GAUSSIAN && before->labels;
    part->parts[0] = (gm_part){.kind = GM_PART_NUMBERS, .columns = labelled ? before->latent : part->inputs};
    part->parts[1] = (gm_part){.kind = GM_PART_CLASSES, .columns = labelled ? before->labels : 0};
    part->part_count = labelled ? 2 : 1;
}

gm_net *gm_net_cut(const gm_net *net, size_t first, size_t count, gm_error *e) {
    if (count < 1 || first >= net->layer_count || count > net->layer_count - first) {
        gm_fail_usage(e, "layers %zu to %zu: the network has layers 0 to %zu", first, first + count - 1,
                      net->layer_count - 1);
        return NULL;
    }
    for (size_t l = first; first && l < first + count; l++)
        if (net->layers[l].kind == GM_GAUSSIAN && net->layers[l].labels) {
            gm_fail_usage(e,
                          "layers %zu to %zu: layer %zu joins the class of the network's input, which these do not "
                          "read",
                          first, first + count - 1, l);
            return NULL;
        }
    gm_net *part = gm_new_zeroed(1, sizeof *part, e);
    if (!part) return NULL;
    cut_input(net, first, part);
    part->layer_count = count;
    part->outputs = net->layers[first + count - 1].units;
    part->block = net->block;
    part->layers = gm_new(count, sizeof *part->layers, e);
    part->parameters = gm_new(net->parameter_count + 1, sizeof *part->parameters, e);
    bool ok = part->layers && part->parameters;
    if (ok && net->layers[first + count - 1].kind == GM_MIXED) ok = copy_spans(part, &net->spans, e) == 0;
    if (!ok) {
        gm_net_free(part);
        return NULL;
    }
    memcpy(part->layers, net->layers + first, count * sizeof *part->layers);
    size_t skipped = 0;
    for (size_t i = 0; i < net->parameter_count; i++) {
        const gm_parameter *p = &net->parameters[i];
        skipped += p->layer < first;
        if (p->layer < first || p->layer >= first + count) continue;
        part->parameters[part->parameter_count] = *p;
        part->parameters[part->parameter_count++].layer -= first;
        if (!p->statistic) part->numbers += p->count;
    }
    for (size_t l = 0; l < count; l++) {
        gm_layer *layer = &part->layers[l];
        if (layer->kind != GM_DENSE && layer->kind != GM_BATCHNORM) continue;
        layer->weights -= skipped;
        layer->biases -= skipped;
        if (layer->spectral || layer->kind == GM_BATCHNORM) layer->statistics -= skipped;
    }
    return part;
}

/* A program with its libraries and the room in which BLAS packs matrices. */
#define PROGRAM_BYTES 24e6

gm_needs gm_net_needs(const gm_net *net) {
    double own = 0, row = 2 * (double)net->inputs; /* as it came, and joined */
    for (size_t l = 0; l < net->layer_count; l++) {
        const gm_layer *layer = &net->layers[l];
        const double units = (double)layer->units;
        if (layer->kind == GM_RFF || layer->spectral)
            own += (double)layer->inputs * units + (double)layer->inputs + units;
        row += 3 * units; /* what it gives, the derivative, and what some keep */
    }
    return (gm_needs){.fixed = PROGRAM_BYTES + sizeof(float) * ((double)net->block + own), .row = sizeof(float) * row};
}

long gm_net_latent(const gm_net *net) {
    for (size_t l = 0; l < net->layer_count; l++)
        if (net->layers[l].kind == GM_GAUSSIAN) return (long)l;
    return -1;
}

/* ---- back to text ---- */

/* out if `length`, what snprintf returned, fits; else NULL. */
static char *fitting(char *out, int length, size_t size) {
    return length >= 0 && (size_t)length < size ? out : NULL;
}

char *gm_net_input_text(const gm_net *net, char *out, size_t size) {
    size_t used = 0;
    if (net->pack > 1) {
        int n = snprintf(out, size, "pac:%zu:", net->pack);
        if (!fitting(out, n, size)) return NULL;
        used = (size_t)n;
    }
    for (size_t i = 0; i < net->part_count; i++) {
        const gm_part *part = &net->parts[i];
        const char *word = part->kind == GM_PART_FEATURES  ? "features="
                           : part->kind == GM_PART_CLASSES ? "classes="
                                                           : "";
        int n = snprintf(out + used, size - used, "%s%s%zu", i ? "+" : "", word, part->columns);
        if (!fitting(out, n, size - used)) return NULL;
        used += (size_t)n;
    }
    return out;
}

char *gm_layer_text(const gm_layer *layer, char *out, size_t size) {
    char number[32];
    switch (layer->kind) {
    case GM_DENSE:
        return fitting(out,
                       snprintf(out, size, "dense:%zu:%s%s", layer->units, gm_activation_text(layer->activation),
                                layer->spectral ? ":spectral" : ""),
                       size);
    case GM_DROPOUT:
        return fitting(out, snprintf(out, size, "dropout:%s", gm_format_f64(layer->rate, number)), size);
    case GM_RFF:
        return fitting(out, snprintf(out, size, "rff:%zu:%s", layer->units, gm_format_f64(layer->gamma, number)), size);
    case GM_GAUSSIAN:
        return fitting(out, snprintf(out, size, "gaussian:%zu%s", layer->latent, layer->labels ? "+classes" : ""),
                       size);
    case GM_BATCHNORM:
        return fitting(out, snprintf(out, size, "batchnorm"), size);
    case GM_MIXED:
        return fitting(out,
                       snprintf(out, size, "mixed:%s:%s", gm_format_f64(layer->temperature, number),
                                gm_activation_text(layer->activation)),
                       size);
    }
    return NULL;
}

const char *gm_activation_text(gm_activation a) {
    return activation_texts[a];
}

long gm_net_parameter(const gm_net *net, const char *name) {
    for (size_t i = 0; i < net->parameter_count; i++)
        if (strcmp(net->parameters[i].name, name) == 0) return (long)i;
    return -1;
}
