/* calibration.c: how a model's scores become probabilities, kept in its control page for the step at which it was
 * fitted. */
#include "layout.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define TRIES 3 /* copies, before there is none: two may have been written during one */

static uint64_t checksum_of(const gm_kept_calibration *k) {
    const size_t from = offsetof(gm_kept_calibration, serial);
    return XXH64((const unsigned char *)k + from, sizeof *k - from, 0);
}

static gm_calibration content_of(const gm_kept_calibration *k) {
    return (gm_calibration){(gm_calibration_kind)k->kind, k->slope, k->offset, k->step, k->rows};
}

static bool is_good(const gm_kept_calibration *k) {
    gm_calibration c = content_of(k);
    return k->checksum == checksum_of(k) && k->serial > 0 && k->rows > 0 && gm_calibration_good(&c);
}

/* The place of the good one that was kept last, or -1. */
static int latest(const gm_kept_calibration kept[2]) {
    bool good[2] = {is_good(&kept[0]), is_good(&kept[1])};
    if (good[0] && good[1]) return kept[1].serial > kept[0].serial;
    return good[0] ? 0 : good[1] ? 1 : -1;
}

gm_calibration gm_model_calibration(const gm_model *m, uint64_t step) {
    gm_kept_calibration kept[2]; /* a copy, because a writer may be at it */
    int at = -1;
    for (int i = 0; i < TRIES && at < 0; i++) {
        memcpy(kept, m->control->calibrations, sizeof kept);
        at = latest(kept);
        atomic_thread_fence(memory_order_seq_cst);
    }
    if (at < 0) return (gm_calibration){.kind = GM_UNCALIBRATED};
    if (kept[at].step == step) return content_of(&kept[at]);
    return (gm_calibration){.kind = GM_UNCALIBRATED, .step = kept[at].step, .rows = kept[at].rows};
}

void gm_calibration_keep(gm_control *control, const gm_calibration *c) {
    int at = latest(control->calibrations);
    gm_kept_calibration kept = {
        .serial = at < 0 ? 1 : control->calibrations[at].serial + 1,
        .step = c->step,
        .rows = c->rows,
        .slope = c->slope,
        .offset = c->offset,
        .kind = (uint32_t)c->kind,
    };
    kept.checksum = checksum_of(&kept);
    memcpy(&control->calibrations[at == 0], &kept, sizeof kept);
}

static bool is_sound(const gm_kept_calibration *k) {
    static const gm_kept_calibration none;
    return is_good(k) || memcmp(k, &none, sizeof none) == 0;
}

bool gm_calibrations_sound(const gm_control *control) {
    return is_sound(&control->calibrations[0]) && is_sound(&control->calibrations[1]);
}

void gm_calibrations_settle(gm_control *control) {
    for (int i = 0; i < 2; i++)
        if (!is_sound(&control->calibrations[i])) memset(&control->calibrations[i], 0, sizeof control->calibrations[i]);
}

int gm_model_calibrate(gm_model *m, const gm_calibration *c, gm_error *e) {
    if (!m->writer) return gm_fail(e, "%s: only its writer can calibrate it", m->path);
    if (!gm_calibration_good(c) || c->rows == 0) return gm_fail(e, "%s: this is no calibration", m->path);
    if (c->step != gm_model_step(m))
        return gm_fail(e, "%s: the calibration is of step %" PRIu64 ", the model is at step %" PRIu64, m->path, c->step,
                       gm_model_step(m));
    atomic_store(&m->control->clean, 0);
    gm_calibration_keep(m->control, c);
    return 0;
}

/* ---- as a map ---- */

gm_value *gm_calibration_value(const gm_calibration *c, gm_error *e) {
    gm_value *map = gm_value_map();
    if (map && gm_map_set(map, "kind", gm_value_text(gm_calibration_text(c->kind))) == 0 &&
        gm_map_set(map, "slope", gm_value_float(c->slope)) == 0 &&
        gm_map_set(map, "offset", gm_value_float(c->offset)) == 0 &&
        gm_map_set(map, "step", gm_value_int((int64_t)c->step)) == 0 &&
        gm_map_set(map, "rows", gm_value_int((int64_t)c->rows)) == 0)
        return map;
    gm_value_free(map);
    gm_fail(e, "out of memory");
    return NULL;
}

int gm_calibration_parse(const gm_value *v, gm_calibration *c, gm_error *e) {
    const char *kind = gm_map_text(v, "kind", "");
    int64_t step = gm_map_int(v, "step", -1), rows = gm_map_int(v, "rows", -1);
    *c = (gm_calibration){.slope = gm_map_float(v, "slope", 0), .offset = gm_map_float(v, "offset", 0)};
    for (gm_calibration_kind k = GM_PLATT; k <= GM_TEMPERATURE; k++)
        if (strcmp(kind, gm_calibration_text(k)) == 0) c->kind = k;
    if (!gm_calibration_good(c) || step < 0 || (uint64_t)step > GM_STEP_MAX || rows <= 0) {
        *c = (gm_calibration){.kind = GM_UNCALIBRATED};
        return gm_fail(e, "its calibration is damaged");
    }
    c->step = (uint64_t)step;
    c->rows = (uint64_t)rows;
    return 0;
}
