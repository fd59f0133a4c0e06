/* verdict.c: from outputs to classes. */
#include "gm/verdict.h"

#include <string.h>

gm_verdict gm_verdict_of(const gm_net *net, size_t known) {
    gm_activation last = net->layers[net->layer_count - 1].activation;
    gm_verdict v = {.outputs = net->outputs, .classes = known ? known : net->outputs};
    if (last == GM_SOFTMAX && v.outputs == v.classes)
        v.meaning = GM_MEANS_PROBABILITIES;
    else if (v.outputs == 1 && known == 2)
        v.meaning = last == GM_SIGMOID ? GM_MEANS_BINARY : GM_MEANS_BINARY_SCORE;
    else if (v.outputs > 1 && v.outputs == known)
        v.meaning = GM_MEANS_SCORES;
    else
        v.meaning = GM_MEANS_OUTPUT, v.classes = v.outputs;
    return v;
}

bool gm_verdict_scores(const gm_verdict *v) {
    return v->meaning == GM_MEANS_SCORES || v->meaning == GM_MEANS_BINARY_SCORE;
}

int gm_verdict_calibrate(gm_verdict *v, const gm_calibration *c, gm_error *e) {
    gm_calibration_kind wanted = v->meaning == GM_MEANS_SCORES         ? GM_TEMPERATURE
                                 : v->meaning == GM_MEANS_BINARY_SCORE ? GM_PLATT
                                                                       : GM_UNCALIBRATED;
    if (c->kind != GM_UNCALIBRATED && c->kind != wanted)
        return gm_fail(e, "a calibration by %s does not fit these outputs", gm_calibration_text(c->kind));
    v->calibration = *c;
    return 0;
}

bool gm_verdict_probable(const gm_verdict *v) {
    return v->meaning == GM_MEANS_PROBABILITIES || v->meaning == GM_MEANS_BINARY ||
           v->calibration.kind != GM_UNCALIBRATED;
}

static size_t largest(const float *score, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (score[i] > score[best]) best = i;
    return best;
}

size_t gm_verdict_row(const gm_verdict *v, const float *output, float *score) {
    if (v->calibration.kind != GM_UNCALIBRATED) {
        gm_calibration_apply(&v->calibration, v->outputs, output, score);
    } else if (v->meaning == GM_MEANS_BINARY || v->meaning == GM_MEANS_BINARY_SCORE) {
        score[1] = output[0];
        score[0] = v->meaning == GM_MEANS_BINARY ? 1 - output[0] : 0 - output[0];
    } else {
        memcpy(score, output, v->outputs * sizeof *score);
    }
    return largest(score, v->classes);
}
