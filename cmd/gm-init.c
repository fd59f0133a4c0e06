/* gm-init: makes a model file from a specification, or from a checkpoint. */
#include "gm/data.h"
#include "gm/filter.h"
#include "gm/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct init {
    const char *output, *name, *optimizer, *initializer, *label, *scale, *from, *layers, *separator, *fold;
    uint64_t seed;
    gm_list data, categorical, numeric, missing;
    bool force, no_header, hold_out, unlabelled;
    gm_model_spec spec;
    gm_state state;
    gm_schema *schema;
    gm_spans spans; /* of its features */
} init;

static const gm_option options[] = {
    {"output", 'o', GM_OPTION_TEXT, offsetof(init, output), "MODEL", "the file to make", 0, 0},
    {"seed", 's', GM_OPTION_U64, offsetof(init, seed), "SEED",
     "seed of the initial parameters and of dropout (default 0)", 0, 0},
    {"name", 0, GM_OPTION_TEXT, offsetof(init, name), "NAME",
     "the model's name in records (default: from the file's name)", 0, 0},
    {"optimizer", 0, GM_OPTION_TEXT, offsetof(init, optimizer), "TEXT",
     "sgd, momentum, rmsprop or adam (default adam:lr=1e-3)", 0, 0},
    {"init", 0, GM_OPTION_TEXT, offsetof(init, initializer), "TEXT", "glorot (default), he or normal:SIGMA", 0, 0},
    {"data", 0, GM_OPTION_LIST, offsetof(init, data), "FILE,...", "data whose columns the model is to know", 0, 0},
    {"label", 0, GM_OPTION_TEXT, offsetof(init, label), "COLUMN", "the column of the data that holds the class", 0, 0},
    {"unlabelled", 0, GM_OPTION_FLAG, offsetof(init, unlabelled), NULL,
     "take rows whose label is empty, as rows without a class", 0, 0},
    {"scale", 0, GM_OPTION_TEXT, offsetof(init, scale), "TEXT",
     "none, standard, quantile or range:LOW,HIGH (default standard)", 0, 0},
    {"categorical", 0, GM_OPTION_LIST, offsetof(init, categorical), "COLUMN,...",
     "columns whose values are names, even if they look like numbers", 0, 0},
    {"numeric", 0, GM_OPTION_LIST, offsetof(init, numeric), "COLUMN,...",
     "columns whose values are numbers, whatever the first one is", 0, 0},
    {"missing", 0, GM_OPTION_LIST, offsetof(init, missing), "TEXT,...",
     "what stands for a missing number (default NA,N/A,NaN,nan,null,NULL,?,-)", 0, 0},
    {"separator", 0, GM_OPTION_TEXT, offsetof(init, separator), "MARK", "what stands between fields (default ,)", 0, 0},
    {"no-header", 0, GM_OPTION_FLAG, offsetof(init, no_header), NULL, "the first row is data, columns are c1, c2, ...",
     0, 0},
    {"fold", 0, GM_OPTION_TEXT, offsetof(init, fold), "I/K[:SEED]", "fold I of K of the rows...", 0, 0},
    {"hold-out", 0, GM_OPTION_FLAG, offsetof(init, hold_out), NULL,
     "... is held out: the model knows the other rows only", 0, 0},
    {"from", 0, GM_OPTION_TEXT, offsetof(init, from), "CHECKPOINT",
     "restore what gm-save or gm-step --checkpoint wrote", 0, 0},
    {"layers", 0, GM_OPTION_TEXT, offsetof(init, layers), "FIRST-LAST",
     "of the checkpoint, these layers only (the first is 0)", 0, 0},
    {"force", 0, GM_OPTION_FLAG, offsetof(init, force), NULL, "replace an existing file", 0, 0},
    {NULL, 0, GM_OPTION_FLAG, 0, NULL, NULL, 0, 0}};

/* What describes --data was given. */
static bool describes(const init *s) {
    return s->label || s->scale || s->separator || s->no_header || s->fold || s->hold_out || s->unlabelled ||
           s->categorical.count || s->numeric.count || s->missing.count;
}

static int init_open(gm_call *call, gm_error *e) {
    init *s = call->state;
    if (!s->output) return gm_fail_usage(e, "-o MODEL is missing");
    if (s->from) {
        if (call->argument_count || s->optimizer || s->initializer || s->data.count || describes(s) || s->seed)
            return gm_fail_usage(e, "--from restores a model: only -o, --name, --layers and --force go with it");
        return 0;
    }
    if (s->layers) return gm_fail_usage(e, "--layers goes with --from");
    if (call->argument_count < 2)
        return gm_fail_usage(e, "INPUT and at least one LAYER are needed, as in `20 dense:128:leaky dense:64:tanh`");
    if (describes(s) && !s->data.count)
        return gm_fail_usage(e, "--label, --scale and whatever else describes data go with --data");
    if (s->unlabelled && !s->label) return gm_fail_usage(e, "--unlabelled goes with --label COLUMN");
    if (s->hold_out != (s->fold != NULL))
        return gm_fail_usage(e, "--fold I/K and --hold-out go together: a model learns from the rows outside its fold");
    return 0;
}

/* "gm-init 0.1.0", and the words that were given. */
static gm_value *provenance(const gm_call *call) {
    gm_value *map = gm_value_map(), *words = gm_value_array();
    bool good = words && gm_map_set(map, "made by", gm_value_text("gm-init " GM_VERSION)) == 0;
    for (int i = 0; i < call->argument_count && good; i++)
        good = gm_array_push(words, gm_value_text(call->arguments[i])) == 0;
    if (good) {
        good = gm_map_set(map, "words", words) == 0;
        words = NULL;
    }
    if (good) return map;
    gm_value_free(words);
    gm_value_free(map);
    return NULL;
}

static gm_names names_of(const gm_list *list) {
    return (gm_names){list->count, list->items};
}

static bool asks_for_gamma(const gm_call *call) {
    for (int i = 1; i < call->argument_count; i++)
        if (strncmp(call->arguments[i], "rff:", 4) == 0 && strstr(call->arguments[i], "scale")) return true;
    return false;
}

/* 1 / (features variance), for which the data are read once more. */
static int find_gamma(const init *s, gm_fold fold, double *gamma, gm_error *e) {
    gm_data_choice choice = {.max_tensor = GM_MAX_TENSOR_DEFAULT, .fold = fold};
    double variance;
    for (size_t i = 0; i < s->data.count; i++)
        if (strcmp(s->data.items[i], "-") == 0)
            return gm_fail_usage(e, "gamma 'scale': the data are read twice, which standard input cannot be");
    if (gm_data_variance(s->data.items, s->data.count, s->schema, &choice, &variance, e) != 0) return -1;
    if (variance > 0) *gamma = 1 / ((double)s->schema->features * variance);
    return 0;
}

static int init_data(gm_call *call, init *s, gm_words *words, gm_error *e) {
    const gm_names missing = names_of(&s->missing);
    gm_scan_choice choice = {.label = s->label,
                             .unlabelled = s->unlabelled,
                             .form.no_header = s->no_header,
                             .categorical = names_of(&s->categorical),
                             .numeric = names_of(&s->numeric),
                             .marks = missing.count ? &missing : NULL};
    if (gm_scale_parse(s->scale ? s->scale : "standard", &choice.scale, e) != 0) return -1;
    if (s->separator && gm_separator_parse(s->separator, &choice.form.separator, e) != 0) return -1;
    if (s->fold && gm_fold_parse(s->fold, &choice.fold, e) != 0) return gm_fail_within(e, "--fold: ");
    choice.fold.rest = s->hold_out;
    s->schema = gm_schema_scan(s->data.items, s->data.count, &choice, e);
    if (!s->schema) return -1;
    if (gm_schema_spans(s->schema, &s->spans, e) != 0) return -1;
    *words = (gm_words){.features = s->schema->features, .classes = s->schema->class_count, .spans = s->spans};
    if (asks_for_gamma(call) && find_gamma(s, choice.fold, &words->gamma, e) != 0) return -1;
    s->spec.schema = gm_schema_value(s->schema, e);
    return s->spec.schema ? 0 : -1;
}

static int init_new(gm_call *call, gm_error *e) {
    init *s = call->state;
    gm_model_spec *spec = &s->spec;
    gm_words words = {0};
    /* what was typed is checked before any data is read */
    if (gm_optim_parse(s->optimizer ? s->optimizer : "adam", &spec->optim, e) != 0) return -1;
    const char *initializer = s->initializer ? s->initializer : "glorot";
    if (gm_init_check(initializer, e) != 0) return -1;
    if (strlen(initializer) >= sizeof spec->init) return gm_fail_usage(e, "--init: '%s' is too long", initializer);
    memcpy(spec->init, initializer, strlen(initializer) + 1);
    if (s->data.count && init_data(call, s, &words, e) != 0) return -1;
    spec->net = gm_net_parse(call->arguments[0], (const char *const *)(call->arguments + 1),
                             (size_t)call->argument_count - 1, words, e);
    if (!spec->net) {
        e->usage = true;
        return -1;
    }
    spec->seed = s->seed;
    spec->provenance = provenance(call);
    if (!spec->provenance) return gm_fail(e, "out of memory");
    size_t floats;
    if (!gm_model_floats(spec, &floats)) return gm_fail(e, "the model is too large");
    s->state.blocks = gm_new_zeroed(floats, sizeof(float), e);
    if (!s->state.blocks) return -1;
    return gm_net_init(spec->net, initializer, s->seed, s->state.blocks, e);
}

/* The optimizer's blocks too: those of the layers that stay. */
static int copy_blocks(const gm_net *part, const gm_net *whole, const init *s, const float *from, float **to,
                       gm_error *e) {
    size_t blocks = 1 + gm_optim_blocks(&s->spec.optim), floats;
    if (!gm_multiply(blocks, part->block, &floats)) return gm_fail(e, "the model is too large");
    *to = gm_new_zeroed(floats, sizeof(float), e);
    if (!*to) return -1;
    for (size_t b = 0; b < blocks; b++)
        for (size_t i = 0; i < part->parameter_count; i++)
            memcpy(*to + b * part->block + part->parameters[i].offset,
                   from + b * whole->block + whole->parameters[i].offset, part->parameters[i].count * sizeof(float));
    return 0;
}

/* The cut's layers as a network of their own, numbered from 0. */
static gm_net *renumber(const gm_net *cut, gm_error *e) {
    char input[512], *texts[GM_LAYERS_MAX] = {NULL};
    gm_words words = {0};
    gm_net *net = NULL;
    bool ok = gm_net_input_text(cut, input, sizeof input) != NULL;
    for (size_t i = 0; i < cut->part_count; i++) {
        if (cut->parts[i].kind == GM_PART_FEATURES) words.features = cut->parts[i].columns;
        if (cut->parts[i].kind == GM_PART_CLASSES) words.classes = cut->parts[i].columns;
    }
    for (size_t l = 0; ok && l < cut->layer_count; l++) {
        char text[64];
        texts[l] = gm_layer_text(&cut->layers[l], text, sizeof text) ? gm_copy_text(text, strlen(text), e) : NULL;
        ok = texts[l] != NULL;
    }
    words.spans = cut->spans;
    if (ok) net = gm_net_parse(input, (const char *const *)texts, cut->layer_count, words, e);
    for (size_t l = 0; l < cut->layer_count; l++) free(texts[l]);
    return net;
}

/* Random Fourier features are a function of the layer's number, so theirs must stay. */
static int check_movable(const gm_net *cut, size_t first, gm_error *e) {
    for (size_t l = 0; first > 0 && l < cut->layer_count; l++)
        if (cut->layers[l].kind == GM_RFF)
            return gm_fail_usage(e, "--layers: layer %zu is rff, whose numbers belong to its place", first + l);
    return 0;
}

/* Leaves --layers of what was restored. */
static int init_cut(init *s, gm_error *e) {
    size_t first, count;
    if (gm_parse_layers(s->layers, s->spec.net, &first, &count, e) != 0) return -1;
    gm_net *cut = gm_net_cut(s->spec.net, first, count, e);
    gm_net *net = cut && check_movable(cut, first, e) == 0 ? renumber(cut, e) : NULL;
    float *blocks = NULL;
    int status = net ? copy_blocks(net, cut, s, s->state.blocks, &blocks, e) : -1;
    gm_net_free(cut);
    if (status != 0) {
        gm_net_free(net);
        return -1;
    }
    gm_net_free(s->spec.net);
    free(s->state.blocks);
    s->spec.net = net;
    s->state.blocks = blocks;
    s->state.calibration = (gm_calibration){0}; /* of the whole model's scores */
    return 0;
}

static int name_model(const init *s, char name[GM_NAME_MAX + 1], gm_error *e) {
    if (!s->name) return s->from ? 0 : gm_model_name_from(s->output, name, e);
    if (gm_model_name_check(s->name, e) != 0) return -1;
    memcpy(name, s->name, strlen(s->name) + 1);
    return 0;
}

static void put_count(size_t n, const char *what) {
    if (n) printf("%zu %s column%s, ", n, what, n == 1 ? "" : "s");
}

static void put_classes(const gm_schema *schema) {
    enum { NAMED = 20 };
    char shown[GM_VISIBLE];
    if (!schema->class_count) return;
    printf("%zu classes (", schema->class_count);
    for (size_t i = 0; i < schema->class_count && i < NAMED; i++)
        printf("%s%s %zu", i ? ", " : "", gm_visible_text(schema->classes[i], shown), schema->class_rows[i]);
    fputs(schema->class_count > NAMED ? ", ...), " : "), ", stdout);
    if (schema->unlabelled) printf("%zu rows without a class, ", schema->rows - gm_schema_labelled(schema));
}

/* "wine.gm: 13 numeric columns, 3 classes (A 59, B 71, C 48), 611 parameters" */
static void report(const init *s) {
    printf("%s: ", s->output);
    if (s->schema) {
        size_t categorical = 0;
        for (size_t i = 0; i < s->schema->column_count; i++) categorical += s->schema->columns[i].categorical;
        put_count(s->schema->column_count - categorical, "numeric");
        put_count(categorical, "categorical");
        put_classes(s->schema);
    }
    printf("%zu parameters", s->spec.net->numbers);
    if (s->fold) printf("; fold %s is held out", s->fold);
    putchar('\n');
}

/* Columns without a value, and classes that only the fold has that was held out. */
static void warn(const char *tool, const gm_schema *schema) {
    char shown[GM_VISIBLE];
    for (size_t i = 0; schema && i < schema->column_count; i++) {
        const gm_column *c = &schema->columns[i];
        if (c->missing == schema->rows)
            gm_say(tool, "column '%s' is empty in every row%s: nothing can be learnt of it",
                   gm_visible_text(c->name, shown), schema->held_out.count ? " that is not held out" : "");
    }
    for (size_t i = 0; schema && i < schema->class_count; i++)
        if (!schema->class_rows[i])
            gm_say(tool, "class '%s' cannot be learnt: all of its rows are held out",
                   gm_visible_text(schema->classes[i], shown));
}

static int init_process(gm_call *call, gm_record *r, gm_error *e) {
    (void)r;
    init *s = call->state;
    if ((s->from ? gm_checkpoint_load(s->from, &s->spec, &s->state, e) : init_new(call, e)) != 0) return -1;
    if (s->layers && init_cut(s, e) != 0) return -1;
    if (name_model(s, s->spec.name, e) != 0) return -1;
    if (gm_model_create(s->output, &s->spec, &s->state, s->force, e) != 0) return -1;
    report(s);
    warn(call->tool->name, s->schema);
    return 0;
}

static void init_close(gm_call *call) {
    init *s = call->state;
    gm_model_spec_free(&s->spec);
    gm_schema_free(s->schema);
    free(s->spans.items);
    free(s->state.blocks);
}

static void init_access(const gm_call *call, gm_access *a) {
    const init *s = call->state;
    for (size_t i = 0; i < s->data.count; i++) gm_access_read(a, s->data.items[i]);
    gm_access_read(a, s->from);
    gm_access_write(a, s->output);
}

const gm_tool gm_init_tool = {
    .name = "gm-init",
    .purpose = "Makes a model file: a network's specification, its first parameters, its optimizer's state.",
    .synopsis = "-o MODEL [OPTION...] INPUT LAYER...\n       gm-init -o MODEL --from CHECKPOINT [--layers FIRST-LAST]",
    .details = "INPUT   a number of columns, `features` or `classes` of the --data, or parts: 20+classes;\n"
               "        pac:ROWS: before it: that many rows are judged at once, as in pac:8:features\n"
               "LAYER   dense:UNITS[:ACTIVATION] (linear relu leaky tanh sigmoid softmax elu gelu softplus)\n"
               "        (each may end in :spectral), dropout:RATE, batchnorm, rff:UNITS:GAMMA,\n"
               "        gaussian:UNITS[+classes], mixed:TEMPERATURE[:ACTIVATION]",
    .options = options,
    .state_size = sizeof(init),
    .role = GM_ALONE,
    .open = init_open,
    .access = init_access,
    .process = init_process,
    .close = init_close,
};
