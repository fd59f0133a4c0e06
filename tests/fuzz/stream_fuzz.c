/* stream_fuzz.c: any bytes as a stream: read, written and read again; taken as a checkpoint; as one value.
 */
#include "fuzz.h"

#include "gm/model.h"
#include "gm/stream.h"

#include <math.h>

#define MAX_TENSOR ((size_t)1 << 20)

/* The records of the process: room for 4096 tensors is much to take and to guard for each input. */
static gm_record *copied, *filled;

/* As new: the tensors' own memory is given back, so that the next one's ends where its data do. */
static void empty_record(gm_record *r) {
    gm_record_clear(r);
    while (r->spare_count > 0) free(r->spares[--r->spare_count].data);
}

/* What a reader promises of a record. */
static void check_record(const gm_record *record) {
    REQUIRE(record->tensor_count <= GM_TENSORS_MAX && record->scalar_count <= GM_SCALARS_MAX);
    REQUIRE(record->rows <= INT32_MAX && record->step <= GM_STEP_MAX);
    for (size_t i = 0; i < record->tensor_count; i++) {
        const gm_named_tensor *named = &record->tensors[i];
        const gm_tensor *t = &named->tensor;
        size_t count, bytes;
        REQUIRE(gm_shape_measure(t->type, t->rank, t->shape, &count, &bytes));
        REQUIRE(t->count == count && t->bytes == bytes && named->capacity >= bytes && bytes <= MAX_TENSOR);
        REQUIRE(strlen(named->name) > 0 && strlen(named->name) <= GM_NAME_MAX);
        volatile unsigned char last = bytes > 0 ? ((const unsigned char *)t->data)[bytes - 1] : 0;
        (void)last;
    }
}

/* A checkpoint is finite, and can be written again. */
static void check_checkpoint(gm_record *record) {
    gm_error e = {.text = ""};
    gm_model_spec spec;
    gm_state state;
    if (gm_checkpoint_read(record, &spec, &state, &e) != 0) {
        REQUIRE(e.text[0] != '\0');
        return;
    }
    size_t floats;
    REQUIRE(gm_model_floats(&spec, &floats) && state.step <= GM_STEP_MAX);
    for (size_t i = 0; i < floats; i++) REQUIRE(isfinite(state.blocks[i]));
    REQUIRE(gm_checkpoint_fill(filled, &spec, &state, false, true, &e) == 0);
    empty_record(filled);
    free(state.blocks);
    gm_model_spec_free(&spec);
}

/* Reads all records and writes them; the number of those written, or -1 if one of them could not be. What was read can
 * be written, unless it is nested as deep as it may be read but has grown by a re-encoding. */
static long copy_records(int from, int to, bool checkpoints) {
    gm_error e = {.text = ""};
    gm_reader *reader = gm_reader_new(from, "input", MAX_TENSOR, &e);
    gm_writer *writer = gm_writer_new(to, "output", GM_LEVEL_STORE, &e);
    REQUIRE(reader != NULL && writer != NULL);
    long written = 0;
    int got, failed = 0;
    while (failed == 0 && (got = gm_reader_next(reader, copied, &e)) == 1) {
        check_record(copied);
        failed = gm_writer_put(writer, copied, &e);
        REQUIRE(failed == 0 || strstr(e.text, "1 MiB"));
        written++;
        if (checkpoints) check_checkpoint(copied);
    }
    REQUIRE(failed != 0 || got == 0 || e.text[0] != '\0');
    REQUIRE(failed != 0 || gm_writer_finish(writer, &e) == 0);
    gm_writer_free(writer);
    gm_reader_free(reader);
    empty_record(copied);
    return failed == 0 ? written : -1;
}

static bool same_content(int a, int b) {
    char left[4096], right[4096];
    REQUIRE(lseek(a, 0, SEEK_SET) == 0 && lseek(b, 0, SEEK_SET) == 0);
    for (;;) {
        const ssize_t n = read(a, left, sizeof left), m = read(b, right, sizeof right);
        REQUIRE(n >= 0 && m >= 0);
        if (n != m || memcmp(left, right, (size_t)n) != 0) return false;
        if (n == 0) return true;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    gm_error e = {.text = ""};
    if (copied == NULL) {
        copied = gm_record_new(&e);
        filled = gm_record_new(&e);
        REQUIRE(copied != NULL && filled != NULL);
    }
    const int given = fuzz_file(0, data, size), first = fuzz_file(1, "", 0), second = fuzz_file(2, "", 0);
    const long count = copy_records(given, first, true);
    if (count >= 0) {
        REQUIRE(lseek(first, 0, SEEK_SET) == 0);
        REQUIRE(copy_records(first, second, false) == count && same_content(first, second));
    }
    gm_value_free(gm_value_unpack(data, size, &e));
    return 0;
}
