/* replay.c: main() of the fuzzers where there is no fuzzing engine: the inputs of a corpus as they are, and changed in
 * some ways, always the same ones. A process of its own runs them; one that dies is told, with the input kept in a
 * file.
 *
 *   GM_BUILD/tests/fuzz/NAME_fuzz            from the source tree's root
 *   GM_BUILD/tests/fuzz/NAME_fuzz FILE...    only these inputs, as they are
 */
#include "fuzz.h"

#include <dirent.h>
#include <sys/wait.h>

#define CHANGED 2000 /* inputs */
#define SECONDS 10   /* for one input, on a machine that is busy with other things */
#define INPUTS_MAX 512

typedef struct input {
    char *name;
    uint8_t *bytes;
    size_t size;
} input;

static input inputs[INPUTS_MAX];
static size_t input_count;

static void load(const char *path) {
    input *now = &inputs[input_count++];
    FILE *f = fopen(path, "rb");
    REQUIRE(f != NULL && input_count < INPUTS_MAX);
    FILE *copy = open_memstream((char **)&now->bytes, &now->size);
    REQUIRE(copy != NULL);
    for (int c = getc(f); c != EOF; c = getc(f)) putc(c, copy);
    REQUIRE(!ferror(f) && fclose(copy) == 0);
    fclose(f);
    now->name = strdup(path);
}

static void load_corpus(const char *name) {
    char path[512];
    struct dirent **entries;
    snprintf(path, sizeof path, "tests/fuzz/corpus/%s", name);
    const int count = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "tests/fuzz/corpus/%s/%s", name, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.') load(path);
        free(entries[i]);
    }
    if (count >= 0) free(entries);
}

/* ---- changes ---- */

static uint64_t state;

/* splitmix64, below n. */
static size_t draw(size_t n) {
    uint64_t z = state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return n == 0 ? 0 : (size_t)((z ^ z >> 31) % n);
}

/* Makes room for n bytes, or takes away those there. */
static void insert(input *in, const uint8_t *bytes, size_t n) {
    const size_t at = draw(in->size + 1);
    in->bytes = realloc(in->bytes, in->size + n + 1);
    REQUIRE(in->bytes != NULL);
    memmove(in->bytes + at + n, in->bytes + at, in->size - at);
    memcpy(in->bytes + at, bytes, n);
    in->size += n;
}

static void erase(input *in) {
    const size_t at = draw(in->size), n = draw(in->size - at) + 1;
    memmove(in->bytes + at, in->bytes + at + n, in->size - at - n);
    in->size -= n;
}

static void change(input *in) {
    static const uint8_t awkward[] = {0,   1,   0x7f, 0x80, 0xff, 0xdd, 0xdf, 0xc6, ' ', '\n', '\r',
                                      '"', ',', ':',  '-',  '.',  '0',  '9',  'e',  '|', '\\', '\''};
    static const uint8_t large[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    const input *other = &inputs[draw(input_count)];
    const size_t kind = draw(in->size == 0 ? 2 : 7);
    if (kind == 0) {
        const size_t from = draw(other->size + 1);
        insert(in, other->bytes + from, draw(other->size - from + 1));
    } else if (kind == 1) {
        insert(in, &awkward[draw(sizeof awkward)], 1);
    } else if (kind == 2) {
        in->bytes[draw(in->size)] ^= (uint8_t)(1u << draw(8));
    } else if (kind == 3) {
        in->bytes[draw(in->size)] = awkward[draw(sizeof awkward)];
    } else if (kind == 4) {
        erase(in);
    } else if (kind == 5) {
        in->size = draw(in->size);
    } else {
        const size_t at = draw(in->size), room = in->size - at;
        memcpy(in->bytes + at, large, room < sizeof large ? room : sizeof large);
    }
}

/* Input number `number`: those of the corpus, then changed ones. */
static input make_input(size_t number) {
    state = number;
    const input *from = number < input_count ? &inputs[number] : &inputs[draw(input_count)];
    input in = {.name = from->name, .bytes = malloc(from->size + 1), .size = from->size};
    REQUIRE(in.bytes != NULL);
    memcpy(in.bytes, from->bytes, from->size);
    for (size_t i = number < input_count ? 0 : 1 + draw(4); i > 0; i--) change(&in);
    return in;
}

/* ---- runs ---- */

static void run_inputs(size_t from, size_t to, volatile size_t *at) {
    for (*at = from; *at < to; ++*at) {
        input in = make_input(*at);
        /* memory that ends where the input does */
        uint8_t *bytes = malloc(in.size);
        REQUIRE(bytes != NULL || in.size == 0);
        if (in.size > 0) memcpy(bytes, in.bytes, in.size);
        alarm(SECONDS);
        LLVMFuzzerTestOneInput(bytes, in.size);
        free(bytes);
        free(in.bytes);
    }
    alarm(0);
}

static void tell(size_t number, int status) {
    input in = make_input(number);
    char path[] = "/tmp/gm-fuzz-XXXXXX";
    const int fd = mkstemp(path);
    const bool kept = fd >= 0 && write(fd, in.bytes, in.size) == (ssize_t)in.size;
    printf("# input %zu, %s%s: %s %d; kept as %s\n", number, number < input_count ? "" : "changed from ", in.name,
           WIFSIGNALED(status) ? "signal" : "exit status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
           kept ? path : "nothing");
    free(in.bytes);
}

static bool survives(size_t from, size_t to) {
    volatile size_t *at = mmap(NULL, sizeof *at, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = 0;
    REQUIRE(at != MAP_FAILED);
    fflush(NULL);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        run_inputs(from, to, at);
        exit(0);
    }
    REQUIRE(waitpid(child, &status, 0) == child);
    if (status != 0) tell(*at < to ? *at : to - 1, status);
    return status == 0;
}

int main(int argc, char **argv) {
    const char *slash = strrchr(argv[0], '/');
    char *name = strdup(slash != NULL ? slash + 1 : argv[0]);
    REQUIRE(name != NULL);
    char *end = strstr(name, "_fuzz");
    if (end != NULL) *end = '\0';
    for (int i = 1; i < argc; i++) load(argv[i]);
    if (argc == 1) load_corpus(name);
    const bool good = input_count > 0 && survives(0, input_count);
    printf("%s 1 - fuzz/%s: %zu inputs\n", good ? "ok" : "not ok", name, input_count);
    const bool better = !good || argc > 1 || survives(input_count, input_count + CHANGED);
    if (good && argc == 1) printf("%s 2 - fuzz/%s: %d changed inputs\n", better ? "ok" : "not ok", name, CHANGED);
    for (size_t i = 0; i < input_count; i++) {
        free(inputs[i].name);
        free(inputs[i].bytes);
    }
    free(name);
    return good && better ? 0 : 1;
}
