/* Frames: RFC 8878 ("Zstandard Compression and the application/zstd Media Type"), sections 3.1.1 and 3.1.2.
 *
 * A stored frame is made by hand: its blocks are raw, so tensors go from their memory to the pipe and back with no copy
 * between. It is known by a content size in 8 bytes where fewer would do, with a window of 128 KiB; libzstd writes no
 * such header. */
#include "gm/stream.h"
#include "lane.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include <xxhash.h>
#include <zstd.h>
#include <zstd_errors.h>

#define BLOCK ((size_t)128 << 10)        /* Block_Maximum_Size */
#define ZSTD_INPUT (BLOCK + 4096)        /* a whole compressed block and its header */
#define PIPE_SIZE (512 << 10)            /* a pipe of 1 MiB leaves the processor's cache: a tenth slower */
#define SMALL_READ ((size_t)32 << 10)    /* what is read at once when content is used where it lies */
#define INPUT_SIZE (SMALL_READ + 4096)   /* and what was there already, at most a frame's header */
#define READ_AHEAD ((size_t)4096)        /* what may come along behind data that is read straight to its place */
#define SKIPPABLE_MAX ((size_t)16 << 20) /* bytes of skippable frames in a row */
#define WINDOW_LOG_MAX 23                /* 8 MiB */
#define DECODED_SIZE ((size_t)4096)
#define SHOWN 7 /* bytes of a foreign input that the message shows */

#define STORED_DESCRIPTOR 0xC4 /* content size in 8 bytes, not single-segment, checksum, no dictionary */
#define STORED_WINDOW 0x38     /* 2^(10 + 7) bytes */

struct gm_zstd {
    ZSTD_DCtx *context;
    XXH64_state_t *hash;
    unsigned char decoded[DECODED_SIZE];
};

/* ---- input ---- */

/* After EINTR, or EAGAIN on a descriptor that someone else made non-blocking: true if it is worth another try. */
static bool may_retry(int fd, short events) {
    if (errno == EINTR) return true;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return false;
    struct pollfd poll_on = {.fd = fd, .events = events};
    return poll(&poll_on, 1, -1) >= 0 || errno == EINTR;
}

static int fail_cut(gm_source *s, gm_error *e) {
    s->cut = true;
    return gm_fail(e, "cut off");
}

/* Returns when there is input, or -1 when nobody reads the output that is watched. */
static int wait_for_input(const gm_source *s, gm_error *e) {
    struct pollfd both[2] = {{.fd = s->fd, .events = POLLIN}, {.fd = s->watched}};
    if (s->watched < 0) return 0;
    while (poll(both, 2, -1) < 0)
        if (errno != EINTR) return gm_fail_errno(e, "cannot read");
    return both[1].revents & POLLERR ? gm_fail_broken_pipe(e) : 0;
}

/* Reads into `count` buffers; 0 at the end of the input. */
static ssize_t read_some(gm_source *s, const struct iovec *buffers, int count, gm_error *e) {
    for (;;) {
        if (wait_for_input(s, e) != 0) return -1;
        ssize_t got = readv(s->fd, buffers, count);
        if (got >= 0) return got;
        if (!may_retry(s->fd, POLLIN)) return gm_fail_errno(e, "cannot read");
    }
}

/* Reads on until `wanted` bytes (a few) lie at s->position, or the input ends. 0, or -1 if reading failed. */
static int gather(gm_source *s, size_t wanted, gm_error *e) {
    if (s->length - s->position >= wanted) return 0;
    memmove(s->input, s->input + s->position, s->length - s->position);
    s->length -= s->position;
    s->position = 0;
    while (s->length < wanted) {
        struct iovec buffer = {.iov_base = s->input + s->length, .iov_len = SMALL_READ};
        ssize_t got = read_some(s, &buffer, 1, e);
        if (got < 0) return -1;
        if (got == 0) break;
        s->length += (size_t)got;
    }
    return 0;
}

/* As gather, and the end of the input is a failure. */
static int require(gm_source *s, size_t wanted, gm_error *e) {
    if (gather(s, wanted, e) != 0) return -1;
    return s->length - s->position < wanted ? fail_cut(s, e) : 0;
}

static uint64_t little_endian(const unsigned char *bytes, size_t n) {
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) v |= (uint64_t)bytes[i] << (8 * i);
    return v;
}

/* ---- opening and closing ---- */

/* Larger pipes let stages run ahead of each other; refused (EPERM) beyond the user's share, which does no harm. */
static void enlarge_pipe(int fd) {
    int size = fcntl(fd, F_GETPIPE_SZ);
    if (size >= 0 && size < PIPE_SIZE) (void)fcntl(fd, F_SETPIPE_SZ, PIPE_SIZE);
}

int gm_source_open(gm_source *s, int fd, gm_error *e) {
    bool lanes;
    *s = (gm_source){.fd = fd, .watched = -1, .framing = GM_FRAME_RAW};
    if (gm_lane_allowed(&lanes, e) != 0) return -1;
    s->zstd = calloc(1, sizeof *s->zstd);
    s->input = malloc(INPUT_SIZE);
    if (s->zstd) s->zstd->hash = XXH64_createState();
    if (!s->input || !s->zstd || !s->zstd->hash) {
        gm_source_close(s);
        return gm_fail(e, "out of memory");
    }
    enlarge_pipe(fd);
    if (lanes) s->lane = gm_lane_in_new(fd);
    return 0;
}

/* What only compressed frames need, which pipes seldom see. */
static int prepare_zstd(gm_source *s, gm_error *e) {
    if (s->zstd->context) return 0;
    unsigned char *larger = realloc(s->input, ZSTD_INPUT);
    if (!larger) return gm_fail(e, "out of memory");
    s->input = larger;
    s->zstd->context = ZSTD_createDCtx();
    if (!s->zstd->context) return gm_fail(e, "out of memory");
    size_t status = ZSTD_DCtx_setParameter(s->zstd->context, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
    return ZSTD_isError(status) ? gm_fail(e, "zstd: %s", ZSTD_getErrorName(status)) : 0;
}

void gm_source_close(gm_source *s) {
    if (s->zstd) {
        ZSTD_freeDCtx(s->zstd->context);
        XXH64_freeState(s->zstd->hash);
    }
    gm_lane_in_free(s->lane);
    free(s->zstd);
    free(s->input);
    *s = (gm_source){.fd = -1};
}

void gm_source_memory(gm_source *s, const void *bytes, size_t n) {
    *s = (gm_source){.fd = -1, .framing = GM_FRAME_MEMORY, .at = bytes, .left = n};
    s->limit = s->at + n;
}

/* ---- the beginning of a frame ---- */

/* The head of a msgpack map with the head of a key, which is text, behind it; or of an empty map. */
#define MAP_HEAD ((size_t)6)
static bool is_map(const unsigned char *bytes, size_t n) {
    size_t key = bytes[0] == 0xDE ? 3 : bytes[0] == 0xDF ? 5 : 1;
    if ((bytes[0] & 0xF0) != 0x80 && key == 1) return false;
    if (n <= key || bytes[0] == 0x80) return true;
    return (bytes[key] & 0xE0) == 0xA0 || (bytes[key] >= 0xC4 && bytes[key] <= 0xC6) ||
           (bytes[key] >= 0xD9 && bytes[key] <= 0xDB);
}

static bool is_zstd(const unsigned char *bytes) {
    return little_endian(bytes, 4) == ZSTD_MAGICNUMBER;
}

static bool is_skippable(const unsigned char *bytes) {
    return (little_endian(bytes, 4) & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START;
}

bool gm_stream_magic(const unsigned char *bytes, size_t n) {
    return n > 0 && (is_map(bytes, n) || (n >= 4 && (is_zstd(bytes) || is_skippable(bytes))));
}

/* Says how the input begins; the reader knows what to make of it. */
static int fail_foreign(gm_source *s, gm_error *e) {
    const unsigned char *bytes = s->input + s->position;
    size_t n = s->length - s->position, printable = 0;
    char shown[SHOWN + 1] = "";
    s->foreign = true;
    while (printable < n && printable < SHOWN && bytes[printable] >= ' ' && bytes[printable] < 127) printable++;
    memcpy(shown, bytes, printable);
    if (printable > 0) return gm_fail(e, "it begins with '%s'", shown);
    return gm_fail(e, "it begins with byte %02x", bytes[0]);
}

static int skip_input(gm_source *s, size_t n, gm_error *e) {
    while (n > 0) {
        if (require(s, 1, e) != 0) return -1;
        size_t part = s->length - s->position;
        if (part > n) part = n;
        s->position += part;
        n -= part;
    }
    return 0;
}

/* The frame's header by hand: the stable API of libzstd tells the content size but neither window nor checksum. */
static int begin_frame(gm_source *s, gm_error *e) {
    static const size_t size_bytes[] = {0, 2, 4, 8}, dictionary_bytes[] = {0, 1, 2, 4};
    if (require(s, 5, e) != 0) return -1;
    unsigned descriptor = s->input[s->position + 4];
    bool single = descriptor >> 5 & 1;
    size_t sized = size_bytes[descriptor >> 6], window_bytes = single ? 0 : 1;
    if (single && sized == 0) sized = 1;
    size_t header = 5 + window_bytes + dictionary_bytes[descriptor & 3] + sized;
    if (descriptor & 8) return gm_fail(e, "a zstd frame of an unknown kind");
    if (descriptor & 3) return gm_fail(e, "the zstd frame needs a dictionary");
    if (sized == 0) return gm_fail(e, "the zstd frame does not declare its content's size");
    if (require(s, header, e) != 0) return -1;
    const unsigned char *at = s->input + s->position;
    unsigned window = single ? 0 : at[5];
    s->left = little_endian(at + header - sized, sized) + (sized == 2 ? 256 : 0);
    if (window >> 3 > WINDOW_LOG_MAX - 10 || (window >> 3 == WINDOW_LOG_MAX - 10 && (window & 7)) ||
        (single && s->left > UINT64_C(1) << WINDOW_LOG_MAX))
        return gm_fail(e, "the zstd frame's window is above 8 MiB");
    s->has_checksum = descriptor >> 2 & 1;
    if (descriptor == STORED_DESCRIPTOR && window == STORED_WINDOW && s->left <= UINT32_MAX) {
        if (s->lane && s->left >= GM_LANE_MIN) gm_lane_look(s->lane);
        s->framing = GM_FRAME_STORED;
        s->position += header;
        s->unannounced = s->left;
        XXH64_reset(s->zstd->hash, 0);
        return 1;
    }
    if (prepare_zstd(s, e) != 0) return -1;
    s->framing = GM_FRAME_ZSTD;
    ZSTD_DCtx_reset(s->zstd->context, ZSTD_reset_session_only);
    return 1;
}

/* A record in shared memory. */
static int begin_lane(gm_source *s, gm_error *e) {
    if (require(s, GM_LANE_TICKET, e) != 0) return -1;
    if (gm_lane_open(s->lane, s->input + s->position, &s->left, e) != 0) return -1;
    s->position += GM_LANE_TICKET;
    s->framing = GM_FRAME_LANE;
    return 1;
}

int gm_source_begin(gm_source *s, gm_error *e) {
    size_t skipped = 0;
    if (s->lane) gm_lane_give_back(s->lane);
    s->at = s->limit = s->zstd->decoded;
    s->cut = s->foreign = s->last_block = s->frame_done = false;
    s->block_left = 0;
    for (;;) {
        if (gather(s, 1, e) != 0) return -1;
        if (s->length == s->position) return 0;
        if (gather(s, MAP_HEAD, e) != 0) return -1;
        const unsigned char *at = s->input + s->position;
        size_t n = s->length - s->position;
        if (is_map(at, n)) {
            s->framing = GM_FRAME_RAW;
            s->left = UINT64_MAX;
            return 1;
        }
        if (n < 4 && memcmp(at, "\x28\xB5\x2F\xFD", n) == 0) return fail_cut(s, e);
        if (n >= 4 && is_zstd(at)) return begin_frame(s, e);
        if (s->lane && gm_lane_is_ticket(at, n)) return begin_lane(s, e);
        if (n < 4 || !is_skippable(at)) return fail_foreign(s, e);
        if (require(s, 8, e) != 0) return -1;
        size_t size = (size_t)little_endian(s->input + s->position + 4, 4);
        skipped += size + 8;
        if (skipped > SKIPPABLE_MAX) return gm_fail(e, "skippable frames of more than 16 MiB in a row");
        if (skip_input(s, size + 8, e) != 0) return -1;
    }
}

/* ---- content: more of it, into s->at or straight to its place ---- */

static int fail_block(gm_error *e, const char *what) {
    return gm_fail(e, "the zstd frame is damaged: %s", what);
}

/* Reads the header of the next block of a stored frame that has content. */
static int next_stored_block(gm_source *s, gm_error *e) {
    while (s->block_left == 0) {
        if (s->last_block) return fail_block(e, "its content is shorter than declared");
        if (require(s, 3, e) != 0) return -1;
        uint64_t header = little_endian(s->input + s->position, 3);
        size_t size = (size_t)(header >> 3);
        if (header >> 1 & 3) return fail_block(e, "a compressed block after the header of a stored frame");
        if (size > BLOCK) return fail_block(e, "a block of more than 128 KiB");
        if (size > s->unannounced) return fail_block(e, "its content is longer than declared");
        if (size == 0 && !(header & 1)) return fail_block(e, "an empty block before the last");
        s->position += 3;
        s->last_block = header & 1;
        s->block_left = size;
        s->unannounced -= size;
    }
    return 0;
}

/* Hands the next n bytes of input over as content. */
static void use_input(gm_source *s, size_t n) {
    s->at = s->input + s->position;
    s->limit = s->at + n;
    s->position += n;
    if (s->framing != GM_FRAME_STORED) return;
    XXH64_update(s->zstd->hash, s->at, n);
    s->block_left -= n;
}

/* Decompresses into `out` until something came, or nothing more does. */
static int decompress_some(gm_source *s, ZSTD_outBuffer *out, gm_error *e) {
    size_t before = out->pos;
    while (out->pos == before && !s->frame_done) {
        if (s->position == s->length) {
            struct iovec buffer = {.iov_base = s->input, .iov_len = ZSTD_INPUT};
            ssize_t got = read_some(s, &buffer, 1, e);
            if (got < 0) return -1;
            if (got == 0) return fail_cut(s, e);
            s->position = 0;
            s->length = (size_t)got;
        }
        ZSTD_inBuffer in = {.src = s->input, .size = s->length, .pos = s->position};
        size_t status = ZSTD_decompressStream(s->zstd->context, out, &in);
        if (ZSTD_isError(status)) {
            if (ZSTD_getErrorCode(status) == ZSTD_error_checksum_wrong)
                return fail_block(e, "its content does not have its checksum");
            return fail_block(e, ZSTD_getErrorName(status));
        }
        if (in.pos == s->position && out->pos == before && status != 0) return fail_block(e, "no progress");
        s->position = in.pos;
        s->frame_done = status == 0;
    }
    return 0;
}

/* Puts the next piece of a record in shared memory at s->at. */
static int next_piece(gm_source *s, unsigned char **piece, gm_error *e) {
    size_t n;
    if (gm_lane_piece(s->lane, piece, &n, e) != 0) return -1;
    s->at = *piece;
    s->limit = s->at + n;
    return 0;
}

/* Puts some content at s->at, where there is none. */
static int refill(gm_source *s, gm_error *e) {
    if (s->framing == GM_FRAME_MEMORY) return fail_cut(s, e);
    if (s->framing == GM_FRAME_ZSTD) {
        ZSTD_outBuffer out = {.dst = s->zstd->decoded, .size = DECODED_SIZE};
        if (decompress_some(s, &out, e) != 0) return -1;
        if (out.pos == 0) return fail_block(e, "its content is shorter than declared");
        s->at = s->zstd->decoded;
        s->limit = s->at + out.pos;
        return 0;
    }
    if (s->framing == GM_FRAME_LANE) {
        unsigned char *piece;
        return next_piece(s, &piece, e);
    }
    if (s->framing == GM_FRAME_STORED && next_stored_block(s, e) != 0) return -1;
    if (require(s, 1, e) != 0) return -1;
    size_t n = s->length - s->position;
    if (s->framing == GM_FRAME_STORED && n > s->block_left) n = s->block_left;
    use_input(s, n);
    return 0;
}

/* Reads up to n bytes of raw or stored content to their place, the input buffer being empty; *got of them came. */
static int read_straight(gm_source *s, unsigned char *bytes, size_t n, size_t *got, gm_error *e) {
    struct iovec buffers[] = {{.iov_base = bytes, .iov_len = n}, {.iov_base = s->input, .iov_len = READ_AHEAD}};
    ssize_t came = read_some(s, buffers, 2, e);
    if (came < 0) return -1;
    if (came == 0) return fail_cut(s, e);
    *got = (size_t)came < n ? (size_t)came : n;
    s->position = 0;
    s->length = (size_t)came - *got;
    if (s->framing != GM_FRAME_STORED) return 0;
    XXH64_update(s->zstd->hash, bytes, *got);
    s->block_left -= *got;
    return 0;
}

/* Content to its place, without a copy on the way if there is enough of it; *got bytes (at least 1). */
static int read_part(gm_source *s, unsigned char *bytes, size_t n, size_t *got, gm_error *e) {
    if (s->at == s->limit && s->framing == GM_FRAME_STORED && next_stored_block(s, e) != 0) return -1;
    if (s->at == s->limit && s->framing == GM_FRAME_ZSTD && n >= DECODED_SIZE) {
        ZSTD_outBuffer out = {.dst = bytes, .size = n};
        if (decompress_some(s, &out, e) != 0) return -1;
        *got = out.pos;
        return out.pos > 0 ? 0 : fail_block(e, "its content is shorter than declared");
    }
    size_t straight = s->framing == GM_FRAME_STORED && n > s->block_left ? s->block_left : n;
    bool in_place = s->framing == GM_FRAME_RAW || s->framing == GM_FRAME_STORED;
    if (s->at == s->limit && in_place && s->position == s->length && straight >= READ_AHEAD)
        return read_straight(s, bytes, straight, got, e);
    if (s->at == s->limit && refill(s, e) != 0) return -1;
    *got = (size_t)(s->limit - s->at);
    if (*got > n) *got = n;
    memcpy(bytes, s->at, *got);
    s->at += *got;
    return 0;
}

static int fail_short(gm_error *e) {
    return gm_fail(e, "the frame's content ends before its map does");
}

int gm_source_read_slowly(gm_source *s, void *bytes, size_t n, gm_error *e) {
    unsigned char *to = bytes;
    if (s->framing == GM_FRAME_MEMORY && n > s->left) return fail_cut(s, e);
    if (n > s->left) return fail_short(e);
    s->left -= n;
    while (n > 0) {
        size_t got;
        if (read_part(s, to, n, &got, e) != 0) return -1;
        to += got;
        n -= got;
    }
    return 0;
}

int gm_source_borrow(gm_source *s, uint64_t n, void **bytes, gm_error *e) {
    unsigned char *piece;
    *bytes = NULL;
    if (s->framing != GM_FRAME_LANE || s->at != s->limit || n == 0 || n > s->left) return 0;
    if (next_piece(s, &piece, e) != 0) return -1;
    if ((uint64_t)(s->limit - s->at) != n) return 0;
    s->at = s->limit;
    s->left -= n;
    *bytes = piece;
    return 0;
}

int gm_source_skip(gm_source *s, uint64_t n, gm_error *e) {
    if (s->framing == GM_FRAME_MEMORY && n > s->left) return fail_cut(s, e);
    if (n > s->left) return fail_short(e);
    s->left -= n;
    while (n > 0) {
        if (s->at == s->limit && refill(s, e) != 0) return -1;
        size_t part = (size_t)(s->limit - s->at);
        if (part > n) part = (size_t)n;
        s->at += part;
        n -= part;
    }
    return 0;
}

/* ---- the end of a frame ---- */

static int end_stored(gm_source *s, gm_error *e) {
    while (!s->last_block) {
        if (require(s, 3, e) != 0) return -1;
        if (little_endian(s->input + s->position, 3) != 1) return fail_block(e, "its content is longer than declared");
        s->position += 3;
        s->last_block = true;
    }
    if (require(s, 4, e) != 0) return -1;
    uint64_t declared = little_endian(s->input + s->position, 4);
    s->position += 4;
    if (declared != (XXH64_digest(s->zstd->hash) & UINT32_MAX))
        return fail_block(e, "its content does not have its checksum");
    return 0;
}

int gm_source_end(gm_source *s, gm_error *e) {
    switch (s->framing) {
    case GM_FRAME_RAW:
        s->position -= (size_t)(s->limit - s->at); /* content was used where it lies: the rest is the next map's */
        return 0;
    case GM_FRAME_STORED:
    case GM_FRAME_ZSTD:
    case GM_FRAME_MEMORY:
    case GM_FRAME_LANE:
        break;
    }
    if (s->left > 0) return gm_fail(e, "%llu bytes behind the map", (unsigned long long)s->left);
    if (s->framing == GM_FRAME_STORED) return end_stored(s, e);
    if (s->framing == GM_FRAME_MEMORY || s->framing == GM_FRAME_LANE) return 0;
    unsigned char more;
    ZSTD_outBuffer out = {.dst = &more, .size = 1};
    if (decompress_some(s, &out, e) != 0) return -1;
    return out.pos > 0 ? fail_block(e, "its content is longer than declared") : 0;
}

/* ---- writing ---- */

struct gm_sink {
    int fd, level;
    gm_lane_out *lane;     /* NULL: there is none beside this descriptor */
    ZSTD_CCtx *context;    /* of levels other than GM_LEVEL_STORE */
    unsigned char *output; /* compressed bytes */
    size_t output_size;
    XXH64_state_t *hash;
    struct iovec *parts; /* what one stored frame is put together from */
    size_t part_count, part_capacity;
    unsigned char (*heads)[3]; /* block headers */
    size_t head_capacity;
};

gm_sink *gm_sink_new(int fd, int level, gm_error *e) {
    bool lanes;
    if (gm_lane_allowed(&lanes, e) != 0) return NULL;
    gm_sink *s = calloc(1, sizeof *s);
    if (!s) {
        gm_fail(e, "out of memory");
        return NULL;
    }
    *s = (gm_sink){.fd = fd, .level = level, .output_size = ZSTD_CStreamOutSize()};
    s->hash = XXH64_createState();
    if (level != GM_LEVEL_STORE) {
        s->context = ZSTD_createCCtx();
        s->output = malloc(s->output_size);
    }
    if (!s->hash || (level != GM_LEVEL_STORE && (!s->context || !s->output))) {
        gm_sink_free(s);
        gm_fail(e, "out of memory");
        return NULL;
    }
    enlarge_pipe(fd);
    if (lanes && level == GM_LEVEL_STORE) s->lane = gm_lane_out_new(fd);
    return s;
}

void gm_sink_free(gm_sink *s) {
    if (!s) return;
    gm_lane_out_free(s->lane);
    ZSTD_freeCCtx(s->context);
    XXH64_freeState(s->hash);
    free(s->output);
    free(s->parts);
    free(s->heads);
    free(s);
}

static int fail_write(bool *broken, gm_error *e) {
    *broken = errno == EPIPE;
    return gm_fail_errno(e, "cannot write");
}

/* writev, whole. */
static int write_parts(int fd, struct iovec *parts, size_t count, bool *broken, gm_error *e) {
    while (count > 0) {
        ssize_t wrote = writev(fd, parts, count < IOV_MAX ? (int)count : IOV_MAX);
        if (wrote < 0 && may_retry(fd, POLLOUT)) continue;
        if (wrote < 0) return fail_write(broken, e);
        size_t n = (size_t)wrote;
        while (count > 0 && n >= parts->iov_len) {
            n -= parts->iov_len;
            parts++;
            count--;
        }
        if (count == 0) break;
        parts->iov_base = (char *)parts->iov_base + n;
        parts->iov_len -= n;
    }
    return 0;
}

/* ---- stored frames ---- */

static void add_part(gm_sink *s, const void *bytes, size_t n) {
    /* iovec has no const; writev only reads. */
    union {
        const void *in;
        void *out;
    } plain = {.in = bytes};
    s->parts[s->part_count++] = (struct iovec){.iov_base = plain.out, .iov_len = n};
}

static void put_little_endian(unsigned char *bytes, uint64_t v, size_t n) {
    for (size_t i = 0; i < n; i++) bytes[i] = (unsigned char)(v >> (8 * i));
}

/* Cuts the pieces into raw blocks; the parts alternate between block headers and content. Each block
 * but the last is written as soon as it is hashed: the reader works on it meanwhile. */
static int add_blocks(gm_sink *s, const gm_packed *p, bool *broken, gm_error *e) {
    size_t blocks = 0, block_left = 0, total_left = p->total;
    for (size_t i = 0; i < p->count; i++) {
        const unsigned char *bytes = gm_piece_bytes(p, &p->pieces[i]);
        size_t n = p->pieces[i].length;
        while (n > 0) {
            if (block_left == 0) {
                if (blocks > 0) {
                    if (write_parts(s->fd, s->parts, s->part_count, broken, e) != 0) return -1;
                    s->part_count = 0;
                }
                block_left = total_left < BLOCK ? total_left : BLOCK;
                put_little_endian(s->heads[blocks], (uint64_t)block_left << 3 | (block_left == total_left), 3);
                add_part(s, s->heads[blocks++], 3);
            }
            size_t part = n < block_left ? n : block_left;
            XXH64_update(s->hash, bytes, part);
            add_part(s, bytes, part);
            bytes += part;
            n -= part;
            block_left -= part;
            total_left -= part;
        }
    }
    return 0;
}

static int put_stored(gm_sink *s, const gm_packed *p, bool *broken, gm_error *e) {
    unsigned char header[14], checksum[4];
    size_t blocks = p->total / BLOCK + 1;
    if (gm_grow(&s->heads, &s->head_capacity, blocks, sizeof *s->heads, e) != 0) return -1;
    if (gm_grow(&s->parts, &s->part_capacity, p->count + 2 * blocks + 2, sizeof *s->parts, e) != 0) return -1;
    s->part_count = 0;
    put_little_endian(header, ZSTD_MAGICNUMBER, 4);
    header[4] = STORED_DESCRIPTOR;
    header[5] = STORED_WINDOW;
    put_little_endian(header + 6, p->total, 8);
    add_part(s, header, sizeof header);
    XXH64_reset(s->hash, 0);
    if (add_blocks(s, p, broken, e) != 0) return -1;
    put_little_endian(checksum, XXH64_digest(s->hash), sizeof checksum);
    add_part(s, checksum, sizeof checksum);
    return write_parts(s->fd, s->parts, s->part_count, broken, e);
}

/* ---- compressed frames ---- */

static int begin_compressed(gm_sink *s, size_t total, gm_error *e) {
    ZSTD_CCtx_reset(s->context, ZSTD_reset_session_and_parameters);
    size_t level = ZSTD_CCtx_setParameter(s->context, ZSTD_c_compressionLevel, s->level);
    size_t checksum = ZSTD_CCtx_setParameter(s->context, ZSTD_c_checksumFlag, 1);
    size_t pledged = ZSTD_CCtx_setPledgedSrcSize(s->context, total);
    /* The highest levels may choose a window above what readers take; a fixed one would slow the low levels down. */
    size_t window = s->level >= 17 ? ZSTD_CCtx_setParameter(s->context, ZSTD_c_windowLog, WINDOW_LOG_MAX) : 0;
    if (ZSTD_isError(level) || ZSTD_isError(checksum) || ZSTD_isError(pledged) || ZSTD_isError(window))
        return gm_fail(e, "zstd does not take level %d", s->level);
    return 0;
}

/* Compresses one piece, or with ZSTD_e_end the end of the frame. */
static int compress_piece(gm_sink *s, const void *bytes, size_t n, ZSTD_EndDirective end, bool *broken, gm_error *e) {
    ZSTD_inBuffer in = {.src = bytes, .size = n};
    for (;;) {
        ZSTD_outBuffer out = {.dst = s->output, .size = s->output_size};
        size_t status = ZSTD_compressStream2(s->context, &out, &in, end);
        if (ZSTD_isError(status)) return gm_fail(e, "zstd: %s", ZSTD_getErrorName(status));
        struct iovec part = {.iov_base = s->output, .iov_len = out.pos};
        if (out.pos > 0 && write_parts(s->fd, &part, 1, broken, e) != 0) return -1;
        if (end == ZSTD_e_end ? status == 0 : in.pos == in.size) return 0;
    }
}

static int put_compressed(gm_sink *s, const gm_packed *p, bool *broken, gm_error *e) {
    if (begin_compressed(s, p->total, e) != 0) return -1;
    for (size_t i = 0; i < p->count; i++) {
        ZSTD_EndDirective end = i + 1 == p->count ? ZSTD_e_end : ZSTD_e_continue;
        if (compress_piece(s, gm_piece_bytes(p, &p->pieces[i]), p->pieces[i].length, end, broken, e) != 0) return -1;
    }
    return 0;
}

int gm_sink_put(gm_sink *s, const gm_packed *p, bool *broken, gm_error *e) {
    unsigned char ticket[GM_LANE_TICKET];
    if (s->lane && gm_lane_put(s->lane, p, ticket)) {
        struct iovec part = {.iov_base = ticket, .iov_len = sizeof ticket};
        return write_parts(s->fd, &part, 1, broken, e);
    }
    return s->level == GM_LEVEL_STORE ? put_stored(s, p, broken, e) : put_compressed(s, p, broken, e);
}
