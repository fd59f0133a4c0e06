/* term.c: the terms of a loss, on one chunk of rows: value beside derivative.
 *
 * o is an output, v its logit, t its target; the formulas are those of gm-loss(7).
 */
#include "term.h"

#include "../math/clones.h"
#include "gm/ops.h"

#include <math.h>
#include <string.h>

#define BLOCK ((size_t)1024) /* numbers that are worked on at a time */

bool gm_term_of_logits(gm_term_kind kind) {
    return kind == GM_BCE || kind == GM_BERNOULLI || kind == GM_CE || kind == GM_KNOWN || kind == GM_PROB;
}

static bool is_hinge(gm_term_kind kind) {
    return kind == GM_HINGE || kind == GM_SQHINGE;
}

/* ---- terms of one number at a time ----
 * Each writes n values and adds scale times n derivatives to d (if not NULL). n <= BLOCK. */

/* bce = -t log s(v) - (1 - t) log(1 - s(v)) = max(v, 0) - v t + log(1 + exp(-|v|)), d/dv = s(v) - t; p = s(v). */
GM_CLONES static void bce(size_t n, const float *v, const float *p, const float *t, float scale, float *value,
                          float *d) {
    for (size_t i = 0; i < n; i++) value[i] = -fabsf(v[i]);
    gm_softplus(n, value, value);
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) value[i] += (v[i] < 0.0f ? 0.0f : v[i]) - v[i] * t[i];
    if (!d) return;
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) d[i] += scale * (p[i] - t[i]);
}

/* prob = s(v), d/dv = s(v) (1 - s(v)). */
GM_CLONES static void prob(size_t n, const float *p, float scale, float *value, float *d) {
    for (size_t i = 0; i < n; i++) value[i] = p[i];
    if (!d) return;
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) d[i] += scale * (p[i] * (1.0f - p[i]));
}

/* mean = o, d/do = 1. */
GM_CLONES static void mean(size_t n, const float *o, float scale, float *value, float *d) {
    for (size_t i = 0; i < n; i++) value[i] = o[i];
    if (!d) return;
    for (size_t i = 0; i < n; i++) d[i] += scale;
}

/* mse = (o - t)^2, d/do = 2 (o - t). */
GM_CLONES static void mse(size_t n, const float *o, const float *t, float scale, float *value, float *d) {
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) value[i] = (o[i] - t[i]) * (o[i] - t[i]);
    if (!d) return;
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) d[i] += scale * (2.0f * (o[i] - t[i]));
}

/* mae = |o - t|, d/do = sign(o - t), 0 at 0. */
GM_CLONES static void mae(size_t n, const float *o, const float *t, float scale, float *value, float *d) {
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) value[i] = fabsf(o[i] - t[i]);
    if (!d) return;
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) d[i] += o[i] > t[i] ? scale : o[i] < t[i] ? -scale : 0.0f;
}

/* hinge = max(0, 1 - t o), d/do = -t where that is not 0. */
GM_CLONES static void hinge(size_t n, const float *o, const float *t, float scale, float *value, float *d) {
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) {
        float margin = 1.0f - t[i] * o[i];
        value[i] = margin < 0.0f ? 0.0f : margin;
    }
    if (!d) return;
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) d[i] -= value[i] > 0.0f ? scale * t[i] : 0.0f;
}

/* sqhinge = max(0, 1 - t o)^2, d/do = -2 t max(0, 1 - t o). */
GM_CLONES static void sqhinge(size_t n, const float *o, const float *t, float scale, float *value, float *d) {
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) {
        float margin = 1.0f - t[i] * o[i];
        value[i] = margin < 0.0f ? 0.0f : margin;
    }
    if (d) {
        GM_INDEPENDENT
        for (size_t i = 0; i < n; i++) d[i] -= scale * (2.0f * t[i] * value[i]);
    }
    GM_INDEPENDENT
    for (size_t i = 0; i < n; i++) value[i] *= value[i];
}

/* ---- targets ---- */

/* What the class number `label` asks of output `unit`: one-hot 0 or 1 (hinge: -1 or 1); of the only output: the number
 * itself (hinge: classes 0 and 1 are -1 and 1). */
static float label_target(gm_term_kind kind, size_t units, int32_t label, size_t unit) {
    bool hit = units == 1 ? label == 1 : (size_t)label == unit;
    if (is_hinge(kind)) return hit ? 1.0f : -1.0f;
    return units == 1 ? (float)label : hit ? 1.0f : 0.0f;
}

/* Targets of the n numbers from number `first` of a chunk on: those of the tensor, or written to `room`. */
static const float *targets(const gm_term *term, const gm_target *target, size_t units, size_t first, size_t n,
                            float *room) {
    if (term->named && target->values && target->columns == units) return target->values + first;
    if (!term->named) {
        for (size_t i = 0; i < n; i++) room[i] = (float)term->number;
        return room;
    }
    size_t row = first / units, unit = first % units;
    for (size_t i = 0; i < n; i++) {
        room[i] = target->values ? target->values[row] : label_target(term->kind, units, target->labels[row], unit);
        if (++unit == units) {
            unit = 0;
            row++;
        }
    }
    return room;
}

static int check_labels(const gm_term *term, const int32_t *labels, size_t rows, size_t outputs, gm_error *e) {
    bool any = outputs == 1 && (term->kind == GM_MSE || term->kind == GM_MAE);
    size_t classes = outputs > 1 || term->kind == GM_CE ? outputs : 2;
    if (any) return 0;
    if (term->kind == GM_NORMAL)
        return gm_fail(e, "tensor '%s': gaussian needs numbers, not class numbers", term->target);
    int32_t least = gm_loss_weighs_classes(term->kind) ? -1 : 0;
    for (size_t i = 0; i < rows; i++)
        if (labels[i] < least || (labels[i] >= 0 && (size_t)labels[i] >= classes))
            return gm_fail(e, "tensor '%s': row %zu: class %d is outside 0..%zu", term->target, i, (int)labels[i],
                           classes - 1);
    return 0;
}

static int check_columns(const gm_term *term, size_t columns, size_t outputs, gm_error *e) {
    if (columns == outputs || (term->kind == GM_NORMAL && outputs % 2 == 0 && columns == outputs / 2)) return 0;
    if (term->kind == GM_NORMAL)
        return gm_fail(e,
                       "tensor '%s': expected %zu columns, or half of them for outputs that are means and log "
                       "variances, got %zu",
                       term->target, outputs, columns);
    if (term->kind == GM_CE)
        return gm_fail(e, "tensor '%s': expected class numbers or %zu columns of probabilities, got %zu", term->target,
                       outputs, columns);
    if (columns == 1) return 0;
    return gm_fail(e, "tensor '%s': expected %s%zu column%s, got %zu", term->target, outputs > 1 ? "1 or " : "",
                   outputs, outputs > 1 ? "s" : "", columns);
}

/* A nan passes: it makes the loss a nan, which stops the run with its own message. */
static int check_range(const gm_term *term, const gm_target *target, size_t rows, gm_error *e) {
    char text[32];
    for (size_t i = 0; i < rows * target->columns; i++) {
        float t = target->values[i];
        size_t row = i / target->columns;
        if (gm_term_of_logits(term->kind) && (t < 0.0f || t > 1.0f))
            return gm_fail(e, "tensor '%s': row %zu: %s is no probability, which %s needs", term->target, row,
                           gm_format_f32(t, text), gm_term_text(term->kind));
        if (is_hinge(term->kind) && fabsf(t) != 1.0f && !isnan(t))
            return gm_fail(e, "tensor '%s': row %zu: %s is neither -1 nor 1, which %s needs", term->target, row,
                           gm_format_f32(t, text), gm_term_text(term->kind));
    }
    return 0;
}

int gm_target_check(const gm_term *term, const gm_target *target, size_t rows, size_t outputs, gm_error *e) {
    if (!term->named) return 0;
    if (!target->values && !target->labels) return gm_fail(e, "tensor '%s' is missing", term->target);
    if (!target->values) return check_labels(term, target->labels, rows, outputs, e);
    if (check_columns(term, target->columns, outputs, e) < 0) return -1;
    return check_range(term, target, rows, e);
}

/* ---- a chunk ---- */

/* True where rows may count differently: by their class, or not at all without one. */
static bool by_class(const gm_term *term, const gm_target *target) {
    return term->named && !target->values && gm_loss_weighs_classes(term->kind);
}

/* What a row counts. */
static double row_weight(const gm_term *term, const gm_target *target, const gm_end *end, size_t row) {
    if (!by_class(term, target)) return 1.0;
    if (target->labels[row] < 0) return 0.0;
    return end->class_weights ? (double)end->class_weights[target->labels[row]] : 1.0;
}

/* True if some row of the chunk counts less or more than another. */
static bool uneven(const gm_term *term, const gm_target *target, const gm_end *end) {
    if (!by_class(term, target)) return false;
    if (end->class_weights) return true;
    for (size_t i = 0; i < end->rows; i++)
        if (target->labels[i] < 0) return true;
    return false;
}

/* log sum_j exp(v_j) = max v - log max p, p = softmax(v), for the largest p is 1 / sum_j exp(v_j - max v). */
static double log_sum_exp(size_t units, const float *v, const float *p) {
    float largest_v = v[0], largest_p = p[0], logarithm;
    for (size_t j = 1; j < units; j++) {
        largest_v = v[j] > largest_v ? v[j] : largest_v;
        largest_p = p[j] > largest_p ? p[j] : largest_p;
    }
    gm_log(1, &largest_p, &logarithm);
    return (double)largest_v - (double)logarithm;
}

/* ce = -sum_k t_k log p_k, p = softmax(v): log p_k = v_k - L, L = log sum_j exp(v_j). d/dv_k = p_k sum_j t_j - t_k.
 * Class number y: t_y = 1, the others 0. */
static void add_ce(const gm_term *term, const gm_target *target, double share, const gm_end *end) {
    size_t units = end->units;
    for (size_t i = 0; i < end->rows; i++) {
        double weight = term->weight * row_weight(term, target, end, i);
        if (by_class(term, target) && target->labels[i] < 0) continue;
        float scale = (float)(weight * share);
        const float *v = end->logits + i * units, *p = end->output + i * units;
        float *d = end->derivative ? end->derivative + i * units : NULL;
        double log_sum = log_sum_exp(units, v, p), value = 0.0, sum = 0.0;
        if (target->values) {
            const float *t = target->values + i * units;
            for (size_t j = 0; j < units; j++) {
                sum += (double)t[j];
                value += (double)t[j] * (log_sum - (double)v[j]);
            }
            for (size_t j = 0; d && j < units; j++) d[j] += scale * (p[j] * (float)sum - t[j]);
        } else {
            size_t y = term->named ? (size_t)target->labels[i] : (size_t)term->number;
            value = log_sum - (double)v[y];
            for (size_t j = 0; d && j < units; j++) d[j] += scale * (p[j] - (j == y ? 1.0f : 0.0f));
        }
        end->values[i] += weight * value;
    }
}

/* known = bce of the probability that a row is of one of the classes, Z / (Z + 1) with Z the sum of exp(v_j): what is
 * of none of them is as a class of its own whose logit is 0 (Salimans et al. 2016, section 5). Its logit is log Z, and
 * d log Z / dv_j = p_j. */
static void add_known(const gm_term *term, double share, const gm_end *end) {
    size_t units = end->units;
    float target = (float)term->number;
    for (size_t i = 0; i < end->rows; i++) {
        const float *v = end->logits + i * units, *p = end->output + i * units;
        float *d = end->derivative ? end->derivative + i * units : NULL;
        float logit = (float)log_sum_exp(units, v, p), probability, value, slope = 0.0f;
        gm_sigmoid(1, &logit, &probability);
        bce(1, &logit, &probability, &target, 1.0f, &value, &slope);
        end->values[i] += term->weight * (double)value;
        float scale = (float)(term->weight * share) * slope;
        for (size_t j = 0; d && j < units; j++) d[j] += scale * p[j];
    }
}

static const double log_two_pi = 1.8378770664093453;

/* gaussian = -log N(t; o, deviation^2) = sum ((t - o)^2 / deviation^2 + log 2 pi) / 2 + log deviation; of outputs that
 * are means m and log variances s (times deviation^2) = sum ((t - m)^2 exp(-s) / deviation^2 + s + log 2 pi) / 2 + log
 * deviation. */
static void add_normal(const gm_term *term, const gm_target *target, double share, const gm_end *end) {
    size_t units = end->units, columns = term->named ? target->columns : units;
    bool fixed = columns == units;
    double precision = 1.0 / (term->deviation * term->deviation), constant = log(term->deviation) + 0.5 * log_two_pi;
    double scale = term->weight * share;
    for (size_t i = 0; i < end->rows; i++) {
        const float *o = end->output + i * units, *t = term->named ? target->values + i * columns : NULL;
        float *d = end->derivative ? end->derivative + i * units : NULL;
        double sum = 0.0;
        for (size_t j = 0; j < columns; j++) {
            float inverse = fixed ? 0.0f : -o[columns + j];
            if (!fixed) gm_exp(1, &inverse, &inverse);
            double s = fixed ? 0.0 : (double)o[columns + j], weight = fixed ? precision : precision * (double)inverse;
            double difference = (double)o[j] - (t ? (double)t[j] : term->number);
            sum += 0.5 * (difference * difference * weight + s) + constant;
            if (d) d[j] += (float)(scale * difference * weight);
            if (d && !fixed) d[columns + j] += (float)(scale * 0.5 * (1.0 - difference * difference * weight));
        }
        end->values[i] += term->weight * sum;
    }
}

/* Numbers first .. first + n - 1 of the chunk. */
static void compute_block(const gm_term *term, const gm_target *target, float scale, const gm_end *end, size_t first,
                          size_t n, float *value) {
    float room[BLOCK], sigmoids[BLOCK];
    const float *v = end->logits + first, *o = end->output + first, *p = o, *t = NULL;
    float *d = end->derivative ? end->derivative + first : NULL;
    if (term->kind != GM_MEAN && term->kind != GM_PROB) t = targets(term, target, end->units, first, n, room);
    if (gm_term_of_logits(term->kind) && !end->sigmoid) {
        gm_sigmoid(n, v, sigmoids);
        p = sigmoids;
    }
    switch (term->kind) {
    case GM_BCE:
    case GM_BERNOULLI:
        bce(n, v, p, t, scale, value, d);
        break;
    case GM_PROB:
        prob(n, p, scale, value, d);
        break;
    case GM_MEAN:
        mean(n, o, scale, value, d);
        break;
    case GM_MSE:
        mse(n, o, t, scale, value, d);
        break;
    case GM_MAE:
        mae(n, o, t, scale, value, d);
        break;
    case GM_HINGE:
        hinge(n, o, t, scale, value, d);
        break;
    case GM_SQHINGE:
        sqhinge(n, o, t, scale, value, d);
        break;
    case GM_CE:
    case GM_KNOWN:
    case GM_NORMAL:
    case GM_KL:
    case GM_GP:
    case GM_L1:
    case GM_L2:
        memset(value, 0, n * sizeof *value); /* not by numbers */
        break;
    }
}

/* Adds n values, numbers of the chunk from `first` on, to their rows. */
static void add_values(double weight, const gm_end *end, size_t first, size_t n, const float *value) {
    size_t units = end->units;
    for (size_t i = 0; i < n;) {
        size_t row = (first + i) / units, left = (row + 1) * units - (first + i), count = left < n - i ? left : n - i;
        end->values[row] += weight * (count == 1 ? (double)value[i] : gm_sum(count, value + i));
        i += count;
    }
}

/* Numbers `first` and on, `count` of them, each times `weight`. */
static void add_numbers(const gm_term *term, const gm_target *target, double weight, double share, const gm_end *end,
                        size_t first, size_t count) {
    float scale = (float)(weight * share), value[BLOCK];
    while (count > 0) {
        size_t n = count < BLOCK ? count : BLOCK;
        compute_block(term, target, scale, end, first, n, value);
        add_values(weight, end, first, n, value);
        first += n;
        count -= n;
    }
}

void gm_term_add(const gm_term *term, const gm_target *target, double share, const gm_end *end) {
    if (term->kind == GM_CE) {
        add_ce(term, target, share, end);
        return;
    }
    if (term->kind == GM_KNOWN) {
        add_known(term, share, end);
        return;
    }
    if (term->kind == GM_NORMAL) {
        add_normal(term, target, share, end);
        return;
    }
    /* one against the rest is a sum of as many problems as there are units, a likelihood that of all of them, all else
     * a mean over the units */
    bool summed = term->kind == GM_BERNOULLI || (is_hinge(term->kind) && term->named && !target->values);
    double weight = summed ? term->weight : term->weight / (double)end->units;
    if (!uneven(term, target, end)) {
        add_numbers(term, target, weight, share, end, 0, end->rows * end->units);
        return;
    }
    for (size_t i = 0; i < end->rows; i++)
        if (row_weight(term, target, end, i) > 0.0)
            add_numbers(term, target, weight * row_weight(term, target, end, i), share, end, i * end->units,
                        end->units);
}
