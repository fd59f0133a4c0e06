/* net_fuzz.c: any lines as INPUT and LAYERs: what is made of them, its own texts, its parts, its first parameters.
 *
 * The first byte says which words are known.
 */
#include "fuzz.h"

#include "gm/net.h"

#include <math.h>

#define LINES_MAX 24

static void check_table(const gm_net *net) {
    size_t end = 0, numbers = 0;
    for (size_t i = 0; i < net->parameter_count; i++) {
        const gm_parameter *p = &net->parameters[i];
        REQUIRE(p->offset == end && p->offset % (GM_ALIGN / sizeof(float)) == 0 && p->count > 0);
        REQUIRE(gm_net_parameter(net, p->name) == (long)i && p->layer < net->layer_count);
        REQUIRE(p->count == p->shape[0] * (p->rank == 2 ? p->shape[1] : 1));
        end = p->offset + gm_align(p->count * sizeof(float)) / sizeof(float);
        numbers += p->statistic ? 0 : p->count;
    }
    REQUIRE(end == net->block && numbers == net->numbers);
}

/* The texts that a model file keeps make the same network. */
static void check_texts(const gm_net *net) {
    char input[512], texts[LINES_MAX][64];
    const char *layers[LINES_MAX];
    gm_error e = {.text = ""};
    gm_words words = {.spans = net->spans};
    for (size_t i = 0; i < net->part_count; i++) {
        if (net->parts[i].kind == GM_PART_FEATURES) words.features = net->parts[i].columns;
        if (net->parts[i].kind == GM_PART_CLASSES) words.classes = net->parts[i].columns;
    }
    REQUIRE(gm_net_input_text(net, input, sizeof input) == input);
    for (size_t i = 0; i < net->layer_count; i++)
        REQUIRE((layers[i] = gm_layer_text(&net->layers[i], texts[i], sizeof texts[i])) == texts[i]);
    gm_net *again = gm_net_parse(input, layers, net->layer_count, words, &e);
    REQUIRE(again != NULL && again->block == net->block && again->inputs == net->inputs &&
            again->outputs == net->outputs && again->pack == net->pack && again->part_count == net->part_count);
    for (size_t i = 0; i < net->layer_count; i++) {
        const gm_layer *a = &net->layers[i], *b = &again->layers[i];
        REQUIRE(a->kind == b->kind && a->units == b->units && a->activation == b->activation && a->rate == b->rate &&
                a->gamma == b->gamma && a->temperature == b->temperature && a->labels == b->labels &&
                a->spectral == b->spectral);
    }
    gm_net_free(again);
}

static void check_parts(const gm_net *net) {
    REQUIRE(gm_net_latent(net) < (long)net->layer_count);
    for (size_t first = 0; first <= net->layer_count; first++)
        for (size_t count = 0; count <= net->layer_count + 1 - first; count++) {
            gm_error e = {.text = ""};
            gm_net *part = gm_net_cut(net, first, count, &e);
            const bool there = count > 0 && first + count <= net->layer_count;
            REQUIRE((part == NULL) == (e.text[0] != '\0') && (part == NULL || there));
            REQUIRE(part != NULL || !there || strstr(e.text, "joins the class"));
            if (part != NULL) REQUIRE(part->layer_count == count && part->block == net->block);
            gm_net_free(part);
        }
}

static void check_init(const gm_net *net, const char *init) {
    gm_error e = {.text = ""};
    const bool good = gm_init_check(init, &e) == 0;
    REQUIRE(good == (e.text[0] == '\0'));
    if (net->block > 4096) return;
    float *block = calloc(net->block + 1, sizeof *block);
    REQUIRE(block != NULL && gm_net_init(net, good ? init : "he", 1, block, &e) == 0);
    for (size_t i = 0; i < net->block; i++) REQUIRE(isfinite(block[i]));
    free(block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static int32_t items[] = {GM_SPAN_NUMBER, 3, GM_SPAN_FLAG, 1};
    char *lines[LINES_MAX];
    gm_error e = {.text = ""};
    if (size == 0) return 0;
    gm_words words = {0};
    if (data[0] & 1) words.features = 6;
    if (data[0] & 2) words.classes = 3;
    if (data[0] & 4) words.gamma = 0.25;
    if (data[0] & 8) words.spans = (gm_spans){4, items};
    char *text = fuzz_text(data + 1, size - 1);
    const size_t count = fuzz_lines(text, lines, LINES_MAX);
    gm_net *net = count > 1 ? gm_net_parse(lines[1], (const char *const *)lines + 2, count - 2, words, &e) : NULL;
    REQUIRE(count < 2 || (net != NULL) == (e.text[0] == '\0'));
    if (net != NULL) {
        check_table(net);
        check_texts(net);
        check_parts(net);
        check_init(net, lines[0]);
    }
    gm_net_free(net);
    free(text);
    return 0;
}
