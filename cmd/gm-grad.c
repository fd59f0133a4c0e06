/* gm-grad: a loss and its gradients, or one link of the chain rule: d out becomes d parameters and d inputs. */
#include "gm/blas.h"
#include "gm/filter.h"
#include "gm/grad.h"
#include "gm/ops.h"
#include "gm/schema.h"
#include "gm/shard.h"
#include "gm/walks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct grad {
    const char *path, *expression, *upstream;
    gm_list inputs, input_gradients, class_weight;
    bool no_param_grad, frozen;
    uint64_t every;
    gm_follow model;
    gm_walk *walk;
    gm_loss loss;
    float **gradients;                      /* of each parameter, in the record */
    float *class_weights;                   /* of each class, or NULL */
    float *input_gradient[GM_OPERANDS_MAX]; /* [rows, columns] of each operand, where wanted */
    size_t input_gradient_capacity[GM_OPERANDS_MAX];
} grad;

static const gm_option options[] = {
    {"model", 'm', GM_OPTION_TEXT, offsetof(grad, path), "MODEL", "the model to run", 0, 0},
    {"loss", 0, GM_OPTION_TEXT, offsetof(grad, expression), "EXPR", "as in 'bce(x,1) + bce(fake,0)'; see gm-loss(7)", 0,
     0},
    {"input", 'i', GM_OPTION_LIST, offsetof(grad, inputs), "NAME,...",
     "with --upstream: the tensors the model's input was made of", 0, 0},
    {"upstream", 0, GM_OPTION_TEXT, offsetof(grad, upstream), "NAME",
     "take d/NAME, the gradient at this model's output NAME; a --loss is added", 0, 0},
    {"input-grad", 0, GM_OPTION_LIST, offsetof(grad, input_gradients), "NAME,...",
     "leave d/NAME, the gradient at the input NAME", 0, 0},
    {"no-param-grad", 0, GM_OPTION_FLAG, offsetof(grad, no_param_grad), NULL, "make no gradients of the parameters", 0,
     0},
    {"class-weight", 0, GM_OPTION_LIST, offsetof(grad, class_weight), "CLASS=W,...",
     "what a row counts by its class; 'balanced': each class as much as any other", 0, 0},
    {"every", 0, GM_OPTION_U64, offsetof(grad, every), "N", "work only on each N-th step", 1, 1e9},
    {"frozen", 0, GM_OPTION_FLAG, offsetof(grad, frozen), NULL, "take the model as it stands, without dropout", 0, 0},
    {NULL, 0, GM_OPTION_FLAG, 0, NULL, NULL, 0, 0}};

static int grad_options(const gm_call *call, const grad *s, gm_error *e) {
    if (!s->path) return gm_fail_usage(e, "-m MODEL is missing");
    if (call->argument_count) return gm_fail_usage(e, "unexpected word '%s'", call->arguments[0]);
    if (!s->expression && !s->upstream) return gm_fail_usage(e, "give --loss EXPR, --upstream NAME, or both");
    if (!s->upstream && s->inputs.count)
        return gm_fail_usage(e, "-i goes with --upstream: a loss names its inputs itself");
    if (s->no_param_grad && !s->input_gradients.count && s->upstream)
        return gm_fail_usage(e, "--no-param-grad without --input-grad leaves nothing to do");
    if (s->class_weight.count && !s->expression) return gm_fail_usage(e, "--class-weight goes with --loss");
    if (s->frozen && !s->no_param_grad)
        return gm_fail_usage(e, "--frozen goes with --no-param-grad: a frozen model is not trained");
    return 0;
}

/* The operand that --upstream's -i names make: the only one, so a loss beside it is of the same tensors. */
static int upstream_operand(grad *s, gm_error *e) {
    gm_operand operand = {.count = s->inputs.count ? s->inputs.count : 1};
    if (operand.count > GM_PARTS_MAX) return gm_fail_usage(e, "-i: more than %d names", GM_PARTS_MAX);
    for (size_t i = 0; i < operand.count; i++) {
        const char *name = s->inputs.count ? s->inputs.items[i] : "x";
        if (strlen(name) > GM_NAME_MAX) return gm_fail_usage(e, "-i: the name '%s' is too long", name);
        memcpy(operand.names[i], name, strlen(name) + 1);
    }
    if (s->loss.operand_count > 1 ||
        (s->loss.operand_count == 1 && memcmp(&s->loss.operands[0], &operand, sizeof operand) != 0))
        return gm_fail_usage(e,
                             "--loss beside --upstream: its terms are of what -i names, the input that '%s' was made "
                             "of",
                             s->upstream);
    s->loss.operands[0] = operand;
    s->loss.operand_count = 1;
    return 0;
}

/* The gradient of gp() with respect to its tensors is not computed. */
static int penalty_alone(const grad *s, gm_error *e) {
    for (size_t i = 0; i < s->loss.term_count; i++)
        if (s->loss.terms[i].kind == GM_GP && s->input_gradients.count)
            return gm_fail_usage(e, "--input-grad: gp gives no gradient of its tensors: leave it out of this loss");
    return 0;
}

static bool operand_has(const gm_operand *o, const char *name) {
    for (size_t i = 0; i < o->count; i++)
        if (strcmp(o->names[i], name) == 0) return true;
    return false;
}

static bool operand_wanted(const grad *s, size_t operand) {
    for (size_t i = 0; i < s->input_gradients.count; i++)
        if (operand_has(&s->loss.operands[operand], s->input_gradients.items[i])) return true;
    return false;
}

/* ---- class weights ---- */

/* Weight rows / (classes class_rows), so that all classes count alike and rows count 1 in the mean. */
static int balance(float *weights, size_t classes, const gm_schema *schema, gm_error *e) {
    if (!schema || schema->class_count != classes)
        return gm_fail_usage(e, "--class-weight balanced: the model does not know how many rows each class has");
    for (size_t i = 0; i < classes; i++) {
        double even = (double)gm_schema_labelled(schema) / (double)classes;
        weights[i] = schema->class_rows[i] > 0 ? (float)(even / (double)schema->class_rows[i]) : 0.0F;
    }
    return 0;
}

/* Weights that were not set yet are NaN. */
static int set_weight(float *weight, double value, int n, const char *class, gm_error *e) {
    if (!isnan(*weight)) return gm_fail_usage(e, "--class-weight: class '%.*s' is named twice", n, class);
    *weight = (float)value;
    return 0;
}

/* "CLASS=W": a class of the model's data, else a class number. */
static int weigh_class(float *weights, size_t classes, const gm_schema *schema, const char *text, gm_error *e) {
    const char *equals = strrchr(text, '=');
    double weight;
    size_t number;
    char name[32];
    if (!equals || !gm_parse_double(equals + 1, &weight) || !(weight >= 0 && weight <= 1e6))
        return gm_fail_usage(e, "--class-weight: '%s' is neither 'balanced' nor CLASS=WEIGHT", text);
    int n = (int)(equals - text);
    if (schema && schema->class_count == classes) {
        long class = gm_schema_class(schema, text, (size_t)n);
        if (class < 0) return gm_fail_usage(e, "--class-weight: the model has no class '%.*s'", n, text);
        return set_weight(&weights[class], weight, n, text, e);
    }
    snprintf(name, sizeof name, "%.*s", n, text);
    if (!gm_parse_size(name, 0, classes - 1, &number))
        return gm_fail_usage(e, "--class-weight: '%s' is no class number from 0 to %zu", name, classes - 1);
    return set_weight(&weights[number], weight, n, text, e);
}

static int fill_class_weights(grad *s, size_t classes, const gm_schema *schema, gm_error *e) {
    s->class_weights = gm_new(classes, sizeof(float), e);
    if (!s->class_weights) return -1;
    if (s->class_weight.count == 1 && strcmp(s->class_weight.items[0], "balanced") == 0)
        return balance(s->class_weights, classes, schema, e);
    for (size_t i = 0; i < classes; i++) s->class_weights[i] = NAN;
    for (size_t i = 0; i < s->class_weight.count; i++)
        if (weigh_class(s->class_weights, classes, schema, s->class_weight.items[i], e) != 0) return -1;
    for (size_t i = 0; i < classes; i++)
        if (isnan(s->class_weights[i])) s->class_weights[i] = 1.0F;
    return 0;
}

static int set_class_weights(grad *s, gm_error *e) {
    const gm_model_spec *spec = gm_model_spec_of(s->model.model);
    size_t weighted = 0;
    for (size_t i = 0; i < s->loss.term_count; i++)
        weighted += s->loss.terms[i].named && gm_loss_weighs_classes(s->loss.terms[i].kind);
    if (!weighted) return gm_fail_usage(e, "--class-weight: no term of the loss is of classes");
    gm_schema *schema = spec->schema ? gm_schema_parse(spec->schema, e) : NULL;
    if (spec->schema && !schema) return -1;
    int status = fill_class_weights(s, spec->net->outputs > 1 ? spec->net->outputs : 2, schema, e);
    gm_schema_free(schema);
    return status;
}

static int grad_open(gm_call *call, gm_error *e) {
    grad *s = call->state;
    if (grad_options(call, s, e) != 0) return -1;
    if (s->expression && gm_loss_parse(s->expression, &s->loss, e) != 0) return -1;
    if ((s->upstream && upstream_operand(s, e) != 0) || penalty_alone(s, e) != 0) return -1;
    for (size_t i = 0; i < s->input_gradients.count; i++) {
        bool found = false;
        for (size_t k = 0; k < i; k++)
            if (strcmp(s->input_gradients.items[i], s->input_gradients.items[k]) == 0)
                return gm_fail_usage(e, "--input-grad: '%s' is named twice", s->input_gradients.items[i]);
        for (size_t k = 0; k < s->loss.operand_count; k++)
            found |= operand_has(&s->loss.operands[k], s->input_gradients.items[i]);
        if (!found)
            return gm_fail_usage(e, "--input-grad: '%s' is no input of the model here", s->input_gradients.items[i]);
    }
    if (gm_follow_open(&s->model, s->path, s->frozen, e) != 0) return -1;
    const gm_net *net = gm_model_spec_of(s->model.model)->net;
    if (s->expression && gm_loss_check(&s->loss, net, e) != 0) return -1;
    if (s->upstream && gm_refuse_packs(net, s->path, e) != 0) return gm_fail_within(e, "--upstream: ");
    if (s->class_weight.count && set_class_weights(s, e) != 0) return -1;
    s->walk = gm_walk_borrow(s->model.model, e);
    if (s->walk && s->upstream && !s->expression) gm_walk_expect(s->walk);
    s->gradients = s->walk ? gm_new_zeroed(net->parameter_count, sizeof *s->gradients, e) : NULL;
    return s->gradients ? 0 : -1;
}

/* ---- what a record gives ---- */

static int gather_operands(grad *s, gm_record *r, gm_input *inputs, gm_error *e) {
    const gm_net *net = gm_model_spec_of(s->model.model)->net;
    for (size_t i = 0; i < s->loss.operand_count; i++) {
        char *names[GM_PARTS_MAX];
        for (size_t k = 0; k < s->loss.operands[i].count; k++) names[k] = s->loss.operands[i].names[k];
        if (gm_gather_input(r, net, names, s->loss.operands[i].count, &inputs[i], e) != 0) return -1;
        if (!operand_wanted(s, i)) continue;
        size_t floats;
        if (!gm_multiply(r->rows, net->columns, &floats)) return gm_fail(e, "too many rows");
        if (floats <= s->input_gradient_capacity[i]) continue;
        free(s->input_gradient[i]);
        s->input_gradient_capacity[i] = 0;
        s->input_gradient[i] = gm_new(floats, sizeof(float), e);
        if (!s->input_gradient[i]) return -1;
        s->input_gradient_capacity[i] = floats;
    }
    return 0;
}

/* In a part of a batch rows without a class count as in the whole of it, whose classes only `y` tells of. */
static int count_labels(const gm_record *r, const gm_place *place, const char *name, gm_target *target, gm_error *e) {
    if (!place->partial) return 0;
    if (strcmp(name, "y") == 0 && place->counted) {
        target->rows = place->rows;
        target->labelled = place->labelled;
        return 0;
    }
    for (size_t i = 0; i < r->rows; i++)
        if (target->labels[i] < 0)
            return gm_fail(e,
                           "tensor '%s': row %zu has no class, and info.part does not say how many rows of the whole "
                           "batch have one",
                           name, i);
    return 0;
}

static int gather_targets(const grad *s, gm_record *r, const gm_place *place, gm_target *targets, gm_error *e) {
    for (size_t i = 0; i < s->loss.term_count; i++) {
        const gm_term *t = &s->loss.terms[i];
        targets[i] = (gm_target){0};
        if (!t->named) continue;
        const gm_tensor *tensor = gm_record_tensor(r, t->target);
        bool whole = tensor && tensor->type != GM_F4 && tensor->type != GM_F8;
        if (whole && tensor->rank == 1)
            targets[i].labels = gm_record_labels(r, t->target, e);
        else
            targets[i].values = gm_record_finite(r, t->target, &targets[i].columns, e);
        if (!targets[i].labels && !targets[i].values) return -1;
        if (targets[i].labels && count_labels(r, place, t->target, &targets[i], e) != 0) return -1;
    }
    return 0;
}

/* "d/fake": of a tensor, in records. */
static int tensor_name(char out[GM_NAME_MAX + 1], const char *prefix, const char *name, gm_error *e) {
    int n = snprintf(out, GM_NAME_MAX + 1, "%s/%s", prefix, name);
    return n <= GM_NAME_MAX ? 0 : gm_fail(e, "the name '%s/%s' is longer than %d bytes", prefix, name, GM_NAME_MAX);
}

/* ---- what a record gets ---- */

/* Adds the columns of `name` in operand `i` to d/NAME, which is made of zeros if it is not there. */
static int leave_input_gradient(const grad *s, gm_record *r, const gm_input *inputs, const char *name, gm_error *e) {
    char full[GM_NAME_MAX + 1];
    if (tensor_name(full, "d", name, e) != 0) return -1;
    size_t width = gm_model_spec_of(s->model.model)->net->columns;
    for (size_t i = 0; i < s->loss.operand_count; i++) {
        size_t at = 0;
        for (size_t k = 0; k < inputs[i].part_count; at += inputs[i].parts[k].columns, k++) {
            if (strcmp(inputs[i].parts[k].name, name) != 0) continue;
            if (inputs[i].parts[k].labels)
                return gm_fail(e, "tensor '%s' holds class numbers, which have no gradient", name);
            size_t columns = inputs[i].parts[k].columns, there = columns;
            bool fresh = !gm_record_tensor(r, full);
            float *d =
                fresh ? gm_record_put_matrix(r, full, r->rows, columns, e) : gm_record_matrix(r, full, &there, e);
            if (!d) return -1;
            if (there != columns) return gm_fail(e, "tensor '%s': expected %zu columns, got %zu", full, columns, there);
            for (size_t row = 0; row < r->rows; row++)
                for (size_t c = 0; c < columns; c++) {
                    float g = s->input_gradient[i][row * width + at + c];
                    d[row * columns + c] = fresh ? g : d[row * columns + c] + g;
                }
        }
    }
    size_t columns;
    return gm_record_finite(r, full, &columns, e) ? 0 : -1;
}

/* grad/NAME/PARAM for every parameter, stat/NAME/PARAM for every statistic; the step they were computed at goes to
 * info.grads.NAME. */
static int put_gradients(grad *s, gm_record *r, gm_error *e) {
    const gm_model_spec *spec = gm_model_spec_of(s->model.model);
    char prefix[GM_NAME_MAX + 1], full[GM_NAME_MAX + 1];
    for (size_t i = 0; i < spec->net->parameter_count; i++) {
        const gm_parameter *p = &spec->net->parameters[i];
        if (tensor_name(prefix, p->statistic ? "stat" : "grad", spec->name, e) != 0) return -1;
        if (tensor_name(full, prefix, p->name, e) != 0) return -1;
        gm_tensor *t = gm_record_put(r, full, GM_F4, p->rank, p->shape, e);
        if (!t) return -1;
        s->gradients[i] = t->data;
    }
    return 0;
}

/* What is left beside the gradients: the step they were made at. */
static int sign_gradients(const grad *s, gm_record *r, uint64_t step, gm_error *e) {
    const gm_model_spec *spec = gm_model_spec_of(s->model.model);
    for (size_t i = 0; i < spec->net->parameter_count; i++) {
        const gm_parameter *p = &spec->net->parameters[i];
        size_t bad = gm_first_not_finite(p->count, s->gradients[i]);
        if (bad < p->count)
            return gm_fail(e, "step %llu: %s: %s '%s' is not finite at index %zu", (unsigned long long)step,
                           gm_model_path(s->model.model), p->statistic ? "statistic" : "gradient of", p->name, bad);
    }
    gm_value *info = gm_record_info(r, e);
    if (!info) return -1;
    gm_value *grads = gm_map_section(info, "grads");
    if (gm_map_set(grads, spec->name, gm_value_int((int64_t)step)) != 0 ||
        gm_map_set(info, "blas", gm_value_text(gm_blas_text())) != 0)
        return gm_fail(e, "out of memory");
    return 0;
}

/* The value of the loss: as loss/NAME of this model, and as loss/TENSOR beside each d/TENSOR, for the model upstream.
 */
static int leave_loss(const grad *s, gm_record *r, double value, bool trains, gm_error *e) {
    char full[GM_NAME_MAX + 1];
    if (trains) {
        if (tensor_name(full, "loss", gm_model_spec_of(s->model.model)->name, e) != 0 ||
            gm_record_set_scalar(r, full, value, e) != 0)
            return -1;
    }
    for (size_t i = 0; i < s->input_gradients.count; i++) {
        double before = 0;
        if (tensor_name(full, "loss", s->input_gradients.items[i], e) != 0) return -1;
        gm_record_scalar(r, full, &before);
        if (gm_record_set_scalar(r, full, before + value, e) != 0) return -1;
    }
    return 0;
}

/* Takes d/NAME and the loss it belongs to out of the record. */
static int take_upstream(const grad *s, gm_record *r, const float **cotangent, double *value, bool *valued,
                         gm_error *e) {
    char full[GM_NAME_MAX + 1];
    size_t columns, outputs = gm_model_spec_of(s->model.model)->net->outputs;
    if (tensor_name(full, "loss", s->upstream, e) != 0) return -1;
    *valued = gm_record_scalar(r, full, value);
    gm_record_remove_scalar(r, full);
    if (tensor_name(full, "d", s->upstream, e) != 0) return -1;
    *cotangent = gm_record_finite(r, full, &columns, e);
    if (!*cotangent) return -1;
    if (columns != outputs) return gm_fail(e, "tensor '%s': expected %zu columns, got %zu", full, outputs, columns);
    return 0;
}

/* A pack of rows must not be cut in two: its rows are judged side by side. */
static int check_packs(const grad *s, const gm_place *place, gm_error *e) {
    size_t pack = gm_model_spec_of(s->model.model)->net->pack;
    if (!place->partial || (place->first % pack == 0 && place->rows % pack == 0)) return 0;
    return gm_fail(e, "%s judges packs of %zu rows, and a part from row %zu of %zu on cuts one", s->path, pack,
                   place->first, place->rows);
}

/* A model past the record's step: a run that was killed behind this model's gm-step goes on, the update is done. Then
 * no gradients are made for it; what it leaves for the models upstream is made again, from the parameters as they were,
 * and so is the loss for the log, if they are still there. */
static bool is_trained(const grad *s, const gm_record *r) {
    if (s->no_param_grad) return false;
    return !r->has_step || gm_model_step(s->model.model) <= r->step;
}

static int grad_process(gm_call *call, gm_record *r, gm_error *e) {
    grad *s = call->state;
    if (s->every > 1 && r->has_step && (r->step + 1) % s->every != 0) {
        s->model.begun = true; /* its gm-step counts this record */
        return 1;
    }
    gm_input inputs[GM_OPERANDS_MAX];
    gm_target targets[GM_TERMS_MAX];
    gm_place place;
    bool trains = is_trained(s, r), needed = trains || s->no_param_grad || s->input_gradients.count;
    bool valued = false;
    double value = 0;
    gm_backward job = {.loss = s->expression ? &s->loss : NULL,
                       .rows = r->rows,
                       .inputs = inputs,
                       .targets = targets,
                       .class_weights = s->class_weights,
                       .input_gradients = s->input_gradient};
    if (gm_place_of(r, &place, e) != 0 || check_packs(s, &place, e) != 0) return -1;
    if (s->upstream && take_upstream(s, r, &job.cotangent, &value, &valued, e) != 0) return -1;
    valued |= s->expression != NULL;
    uint64_t step;
    const float *params = needed || s->expression ? gm_follow_params(&s->model, r, &step, e) : NULL;
    if (!params && needed) return -1;
    if (params) {
        if (gather_operands(s, r, inputs, e) != 0 || (s->expression && gather_targets(s, r, &place, targets, e) != 0))
            return -1;
        if (trains && put_gradients(s, r, e) != 0) return -1;
        job.mode = (gm_mode){.training = r->has_step && !s->frozen,
                             .drawing = true,
                             .seed = gm_model_spec_of(s->model.model)->seed,
                             .step = r->has_step ? r->step : call->records,
                             .first = place.first,
                             .whole = place.rows,
                             .version = step + 1};
        double own = 0;
        job.gradients = trains ? s->gradients : NULL;
        job.value = s->expression ? &own : NULL;
        if (gm_walk_backward(s->walk, params, &job, e) != 0 || gm_follow_check(&s->model, r, e) != 0) return -1;
        value += own;
        if (!isfinite(value))
            return gm_fail(e, "step %llu: %s: the loss is not finite", (unsigned long long)step,
                           gm_model_path(s->model.model));
        for (size_t i = 0; i < s->input_gradients.count; i++)
            if (leave_input_gradient(s, r, inputs, s->input_gradients.items[i], e) != 0) return -1;
        if (trains && sign_gradients(s, r, step, e) != 0) return -1;
    }
    bool names_loss = !s->no_param_grad || !s->input_gradients.count;
    if (valued && (params || s->upstream) && leave_loss(s, r, value, names_loss, e) != 0) return -1;
    char full[GM_NAME_MAX + 1];
    if (s->upstream && tensor_name(full, "d", s->upstream, e) == 0) gm_record_remove(r, full);
    return 1;
}

static void grad_close(gm_call *call) {
    grad *s = call->state;
    for (size_t i = 0; i < GM_OPERANDS_MAX; i++) free(s->input_gradient[i]);
    free(s->gradients);
    free(s->class_weights);
    gm_walk_return(s->model.model, s->walk);
    gm_follow_close(&s->model);
}

const gm_tool gm_grad_tool = {
    .name = "gm-grad",
    .purpose = "Computes a loss and its gradients, or carries the gradient at a model's output back through the model.",
    .synopsis = "-m MODEL --loss EXPR [--input-grad NAME,...] [--no-param-grad]\n"
                "       gm-grad -m MODEL -i NAME,... --upstream NAME [--loss EXPR] [--input-grad NAME,...]",
    .options = options,
    .state_size = sizeof(grad),
    .role = GM_FILTER,
    .blas = gm_blas_text,
    .parallel = true,
    .open = grad_open,
    .process = grad_process,
    .close = grad_close,
};
