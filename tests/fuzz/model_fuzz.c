/* model_fuzz.c: any bytes as a model file: opened, read, and taken on by a writer as far as its header lets it.
 *
 * Where the first byte is even, the rest is the file. Where it is odd, the rest are the length of a specification (two
 * bytes), the specification, and what stands from the control page on: sizes and checksum are made to fit, so that what
 * lies behind them is reached. The second bit of the first byte puts this machine's boot id in its place.
 */
#include "fuzz.h"

#include "../../lib/model/layout.h"
#include "gm/schema.h"

#include <math.h>
#include <xxhash.h>

#define FILE_MAX ((size_t)1 << 20)

/* The sizes that the specification gives, or those of the smallest file. */
static gm_layout layout_of(const uint8_t *map, size_t map_bytes) {
    gm_error e;
    gm_model_spec spec;
    gm_layout layout = {.header_bytes = GM_PAGE, .slot_bytes = GM_PAGE, .file_bytes = 4 * GM_PAGE};
    gm_value *v = gm_value_unpack(map, map_bytes, &e);
    if (v != NULL && gm_model_spec_parse(v, &spec, &e) == 0) {
        gm_layout fits;
        if (gm_layout_of(&spec, map_bytes, &fits) && fits.file_bytes <= FILE_MAX) layout = fits;
        gm_model_spec_free(&spec);
    }
    gm_value_free(v);
    return layout;
}

static int whole_file(const uint8_t *data, size_t size, bool boot) {
    const size_t wanted = size < 2 ? 0 : (size_t)data[0] | (size_t)data[1] << 8, start = size < 2 ? size : 2;
    size_t map_bytes = wanted < size - start ? wanted : size - start;
    if (map_bytes > FILE_MAX / 2) map_bytes = 0;
    const uint8_t *map = data + start, *rest = map + map_bytes;
    const gm_layout layout = layout_of(map, map_bytes);
    unsigned char *bytes = calloc(1, layout.file_bytes);
    REQUIRE(bytes != NULL);
    gm_header h = {.format = GM_FORMAT,
                   .header_bytes = layout.header_bytes,
                   .map_bytes = map_bytes,
                   .map_hash = XXH64(map, map_bytes, 0),
                   .floats = layout.floats,
                   .slot_bytes = layout.slot_bytes,
                   .file_bytes = layout.file_bytes};
    memcpy(h.magic, GM_MODEL_MAGIC, sizeof h.magic);
    memcpy(bytes, &h, sizeof h);
    const size_t room = layout.header_bytes - sizeof h, left = size - start - map_bytes;
    memcpy(bytes + sizeof h, map, map_bytes < room ? map_bytes : room);
    const size_t behind = layout.file_bytes - layout.header_bytes;
    if (left > 0) memcpy(bytes + layout.header_bytes, rest, left < behind ? left : behind);
    if (boot) gm_boot_id((char *)bytes + layout.header_bytes + offsetof(gm_control, boot));
    const int fd = fuzz_file(0, bytes, layout.file_bytes);
    free(bytes);
    return fd;
}

/* A copy of all blocks. */
static float *copy_blocks(gm_model *m, gm_state *state) {
    gm_error e = {.text = ""};
    size_t floats;
    REQUIRE(gm_model_floats(gm_model_spec_of(m), &floats));
    *state = (gm_state){.blocks = calloc(floats + 1, sizeof(float))};
    REQUIRE(state->blocks != NULL && gm_model_snapshot(m, false, state, &e) == 0);
    REQUIRE(state->step == gm_model_step(m) && state->step <= GM_STEP_MAX);
    REQUIRE(state->calibration.kind == GM_UNCALIBRATED || isfinite(state->calibration.slope));
    return state->blocks;
}

static void check_reading(gm_model *m) {
    gm_error e = {.text = ""};
    gm_state state;
    gm_view view = gm_model_view(m), before;
    REQUIRE(gm_model_view_holds(m, &view) && strlen(gm_model_blas(m)) < 64);
    if (view.step > 0 && gm_model_view_at(m, view.step - 1, &before)) REQUIRE(before.step == view.step - 1);
    REQUIRE(!gm_model_view_at(m, view.step + 1, &before));
    REQUIRE(gm_model_predictor(m, &(gm_state){.blocks = copy_blocks(m, &state)}, &e) == 0);
    free(state.blocks);
    const gm_value *schema = gm_model_spec_of(m)->schema;
    if (schema != NULL) gm_schema_free(gm_schema_parse(schema, &e));
}

/* One step, settled, and read again. */
static void check_writing(const char *path, gm_model *m) {
    gm_error e = {.text = ""};
    const uint64_t step = gm_model_step(m);
    size_t floats;
    REQUIRE(gm_model_floats(gm_model_spec_of(m), &floats));
    if (step >= GM_STEP_MAX || gm_model_lock(m, &e) != 0) return;
    float *next = gm_model_begin(m);
    REQUIRE(next != NULL);
    for (size_t i = 0; i < floats; i++) next[i] = 1;
    gm_model_publish(m, 7, 0);
    REQUIRE(gm_model_step(m) == step + 1 && gm_model_settle(m, &e) == 0);
    gm_model *again = gm_model_open(path, &e);
    REQUIRE(again != NULL && gm_model_step(again) == step + 1);
    gm_state state;
    copy_blocks(again, &state);
    for (size_t i = 0; i < floats; i++) REQUIRE(state.blocks[i] == 1);
    REQUIRE(state.updates == 7);
    free(state.blocks);
    gm_model_close(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[32];
    gm_error e = {.text = ""};
    if (size == 0) return 0;
    const int fd = data[0] & 1 ? whole_file(data + 1, size - 1, data[0] & 2) : fuzz_file(0, data + 1, size - 1);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    gm_model *m = gm_model_open(path, &e);
    REQUIRE((m == NULL) == (e.text[0] != '\0'));
    if (m != NULL) {
        check_reading(m);
        check_writing(path, m);
    }
    gm_model_close(m);
    return 0;
}
