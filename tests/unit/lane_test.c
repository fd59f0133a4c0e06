/* lane_test.c: records that go by shared memory, and all that must send them through the pipe instead. */
#include "check.h"

#include "gm/stream.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

#define TICKET 32
#define LARGE ((size_t)20000) /* floats */

static gm_error e;

/* ---- a pipe and its ends ---- */

typedef struct lane {
    int ends[2];
    gm_writer *w;
    gm_reader *r;
    gm_record *in, *out;
    unsigned put, taken;
} lane;

static void open_writer(lane *l) {
    l->w = gm_writer_new(l->ends[1], "out", GM_LEVEL_STORE, &e);
    if (!l->w) exit(1);
}

static void open_reader(lane *l) {
    l->r = gm_reader_new(l->ends[0], "in", GM_MAX_TENSOR_DEFAULT, &e);
    if (!l->r) exit(1);
}

static lane pipe_only(void) {
    lane l = {.in = gm_record_new(&e), .out = gm_record_new(&e)};
    if (!l.in || !l.out || pipe(l.ends) != 0) exit(1);
    return l;
}

static void close_all(lane *l) {
    gm_writer_free(l->w);
    gm_reader_free(l->r);
    gm_record_free(l->in);
    gm_record_free(l->out);
    close(l->ends[0]);
    if (l->ends[1] >= 0) close(l->ends[1]);
}

/* How many bytes wait in the pipe. */
static int waiting(const lane *l) {
    int n = -1;
    CHECK(ioctl(l->ends[0], FIONREAD, &n) == 0);
    return n;
}

/* A record of `count` floats that tell its number; with class numbers and some of a size that is packed inline. */
static void put(lane *l, size_t count) {
    gm_record_clear(l->out);
    l->out->rows = count;
    float *x = gm_record_put_matrix(l->out, "x", count, 1, &e);
    gm_tensor *y = gm_record_put(l->out, "y", GM_I4, 1, (size_t[]){count}, &e);
    gm_tensor *few = gm_record_put(l->out, "few", GM_F4, 1, (size_t[]){3}, &e);
    if (!x || !y || !few) exit(1);
    for (size_t i = 0; i < count; i++) {
        x[i] = (float)(i % 1000) + (float)l->put;
        ((int32_t *)y->data)[i] = (int32_t)(i % 7);
    }
    for (size_t i = 0; i < 3; i++) ((float *)few->data)[i] = (float)i;
    CHECK(gm_record_set_scalar(l->out, "number", l->put, &e) == 0);
    CHECK(gm_writer_put(l->w, l->out, &e) == 0);
    l->put++;
}

static bool is_lent(const gm_record *r, const char *name) {
    for (size_t i = 0; i < r->tensor_count; i++)
        if (strcmp(r->tensors[i].name, name) == 0) return r->tensors[i].lent;
    return false;
}

/* The next record: that it is the next one, whole, and by which way it came. */
static void take(lane *l, size_t count, bool lent) {
    size_t columns = 0;
    double number = -1;
    CHECK(gm_reader_next(l->r, l->in, &e) == 1);
    CHECK(gm_record_scalar(l->in, "number", &number) && number == l->taken);
    const float *x = gm_record_finite(l->in, "x", &columns, &e);
    const int32_t *y = gm_record_labels(l->in, "y", &e);
    CHECK(x && y && l->in->rows == count && columns == 1 && l->in->tensor_count == 3);
    CHECK((uintptr_t)x % GM_ALIGN == 0);
    size_t same = 0;
    while (x && y && same < count && x[same] == (float)(same % 1000) + (float)l->taken &&
           y[same] == (int32_t)(same % 7))
        same++;
    CHECK(same == count);
    CHECK(is_lent(l->in, "x") == lent && !is_lent(l->in, "y") && !is_lent(l->in, "few"));
    l->taken++;
}

/* A large record that goes through the pipe: the first one, one with which memory is offered and taken over, one for
 * which there is none. */
static void introduce(lane *l, size_t count) {
    put(l, count);
    CHECK(waiting(l) > TICKET);
    take(l, count, false);
}

static lane both_ends(void) {
    lane l = pipe_only();
    open_writer(&l);
    open_reader(&l);
    for (int i = 0; i < 2; i++) introduce(&l, LARGE);
    return l;
}

static void finish(lane *l) {
    CHECK(gm_writer_finish(l->w, &e) == 0);
    close(l->ends[1]);
    l->ends[1] = -1;
    CHECK(gm_reader_next(l->r, l->in, &e) == 0);
    close_all(l);
}

/* True if a lane's memory is mapped here. */
static bool has_memory(void) {
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[4096];
    bool found = false;
    while (maps && fgets(line, sizeof line, maps)) found = found || strstr(line, "memfd:gm-lane");
    CHECK(maps && fclose(maps) == 0);
    return found;
}

/* ---- the lane ---- */

static void test_ticket(void) {
    for (int reader_first = 0; reader_first < 2; reader_first++) {
        lane l = pipe_only();
        if (reader_first) open_reader(&l);
        open_writer(&l);
        if (!reader_first) open_reader(&l);
        introduce(&l, LARGE);
        CHECK(!has_memory()); /* it could be the only one */
        introduce(&l, LARGE);
        CHECK(has_memory());
        for (int i = 0; i < 5; i++) {
            put(&l, LARGE);
            CHECK(waiting(&l) == TICKET);
            take(&l, LARGE, true);
        }
        put(&l, 10);
        CHECK(waiting(&l) > TICKET);
        take(&l, 10, false);
        finish(&l);
    }
}

/* What the reader's record is put to: its tensors are replaced, converted, renamed, removed. */
static void test_lent_tensors(void) {
    lane l = both_ends();
    for (int i = 0; i < 3; i++) {
        put(&l, LARGE);
        take(&l, LARGE, true);
        float *x = gm_record_put_matrix(l.in, "x", LARGE / 2, 1, &e);
        CHECK(x && !is_lent(l.in, "x")); /* though there was room */
        if (x) memset(x, 0, LARGE / 2 * sizeof *x);
        put(&l, LARGE);
        take(&l, LARGE, true);
        CHECK(gm_record_rename(l.in, "x", "z", &e) == 0 && is_lent(l.in, "z"));
        CHECK(gm_record_labels(l.in, "z", &e) && !is_lent(l.in, "z"));
        put(&l, LARGE);
        take(&l, LARGE, true);
        gm_record_remove(l.in, "x");
        CHECK(!gm_record_tensor(l.in, "x") && l.in->tensor_count == 2);
    }
    finish(&l);
}

static void test_full_slots(void) {
    lane l = both_ends();
    put(&l, LARGE);
    put(&l, LARGE);
    CHECK(waiting(&l) == 2 * TICKET);
    put(&l, LARGE); /* no slot is free: after a while, through the pipe */
    CHECK(waiting(&l) > 3 * TICKET + (int)(LARGE * sizeof(float)));
    put(&l, LARGE); /* and now at once */
    take(&l, LARGE, true);
    take(&l, LARGE, true);
    put(&l, LARGE); /* the first slot was given back */
    take(&l, LARGE, false);
    take(&l, LARGE, false);
    take(&l, LARGE, true);
    finish(&l);
}

/* The writer does not wait for long, and only once, where the reader does not come. */
static void test_waiting(void) {
    lane l = both_ends();
    for (int i = 0; i < 2; i++) put(&l, 2000);
    const uint64_t before = gm_nanoseconds();
    for (int i = 0; i < 20; i++) put(&l, 2000);
    double took = 1e-9 * (double)(gm_nanoseconds() - before);
    CHECK(took > 0.009 && took < 0.19); /* 20 times would be 0.2 s */
    for (int i = 0; i < 22; i++) take(&l, 2000, i < 2);
    finish(&l);
}

/* A reader that is slow but goes on: what it finds in the pipe at first is read, and then all is handed over. */
static void test_slow_reader(void) {
    enum { COUNT = 300, ROOM = 1 << 18 };
    lane l = both_ends();
    int lent = 0, status = -1;
    size_t columns;
    CHECK(fcntl(l.ends[1], F_SETPIPE_SZ, ROOM) > 0);
    for (int i = 0; i < 8; i++) put(&l, 2000);
    CHECK(waiting(&l) > 6 * 2000 * (int)sizeof(float));
    const pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < COUNT; i++) put(&l, 2000);
        _exit(0);
    }
    for (int i = 0; i < 8 + COUNT; i++) {
        usleep(1000);
        CHECK(gm_reader_next(l.r, l.in, &e) == 1 && gm_record_finite(l.in, "x", &columns, &e));
        lent += is_lent(l.in, "x");
    }
    CHECK(lent > COUNT / 3); /* the pipe alone would have most of them */
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    close_all(&l);
}

static void test_sizes(void) {
    lane l = both_ends();
    for (size_t count = LARGE / 10; count <= LARGE; count *= 3) {
        put(&l, count);
        CHECK(waiting(&l) == TICKET);
        take(&l, count, true);
    }
    introduce(&l, 2 * LARGE);
    put(&l, 2 * LARGE);
    CHECK(waiting(&l) == TICKET);
    take(&l, 2 * LARGE, true);
    finish(&l);
}

/* Tickets for the old memory come before and behind the record with which the new one is taken over. */
static void test_growth(void) {
    for (int used = 0; used < 2; used++) {
        lane l = both_ends();
        for (int i = 0; i < used; i++) {
            put(&l, LARGE);
            take(&l, LARGE, true);
        }
        put(&l, 2 * LARGE); /* offers */
        put(&l, LARGE);
        take(&l, 2 * LARGE, false);
        put(&l, 2 * LARGE);
        take(&l, LARGE, true);
        take(&l, 2 * LARGE, true);
        for (int i = 0; i < 3; i++) {
            put(&l, 2 * LARGE);
            take(&l, 2 * LARGE, true);
            put(&l, LARGE);
            take(&l, LARGE, true);
        }
        finish(&l);
    }
    lane l = both_ends(); /* memory that is never used: all others are larger */
    introduce(&l, 2 * LARGE);
    put(&l, 2 * LARGE);
    CHECK(waiting(&l) == TICKET);
    take(&l, 2 * LARGE, true);
    finish(&l);
}

/* More than a slot may have. A second process, for no pipe holds it. */
static void test_too_large(void) {
    lane l = both_ends();
    pid_t child = fork();
    if (child == 0) {
        put(&l, 250 * LARGE);
        _exit(check_failed);
    }
    take(&l, 250 * LARGE, false);
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    close_all(&l);
}

/* ---- through the pipe ---- */

static void test_foreign_reader(void) {
    lane l = pipe_only();
    open_writer(&l);
    put(&l, LARGE);
    CHECK(waiting(&l) > (int)(LARGE * sizeof(float)));
    open_reader(&l);
    take(&l, LARGE, false);
    for (int i = 0; i < 2; i++) introduce(&l, LARGE); /* it is there now */
    put(&l, LARGE);
    CHECK(waiting(&l) == TICKET);
    take(&l, LARGE, true);
    finish(&l);
}

static void test_forbidden(void) {
    CHECK(setenv("GM_LANES", "0", 1) == 0);
    lane l = both_ends();
    introduce(&l, LARGE);
    finish(&l);
    CHECK(setenv("GM_LANES", "no", 1) == 0);
    CHECK(!gm_writer_new(1, "out", GM_LEVEL_STORE, &e) && e.usage);
    CHECK_TEXT(e.text, "GM_LANES: expected 0 or 1, got 'no'");
    CHECK(!gm_reader_new(0, "in", 1, &e) && e.usage);
    CHECK(setenv("GM_LANES", "", 1) == 0);
    l = both_ends();
    put(&l, LARGE);
    take(&l, LARGE, true);
    finish(&l);
    CHECK(unsetenv("GM_LANES") == 0);
}

/* One end cannot have the memory, or its descriptor: all goes through the pipe. */
static void test_no_memory(void) {
    const __rlimit_resource_t kinds[] = {RLIMIT_FSIZE, RLIMIT_NOFILE};
    const int sides = getenv("GM_VALGRIND") ? 1 : 2; /* which does not limit what comes by a socket */
    for (int side = 0; side < sides; side++) {
        struct rlimit before, small;
        CHECK(getrlimit(kinds[side], &before) == 0);
        lane l = pipe_only();
        open_writer(&l);
        open_reader(&l);
        introduce(&l, LARGE);
        small = before;
        small.rlim_cur = side == 0 ? 4096 : (rlim_t)l.ends[1] + 1;
        if (side == 1) put(&l, LARGE);
        CHECK(setrlimit(kinds[side], &small) == 0);
        if (side == 0) put(&l, LARGE);
        take(&l, LARGE, false);
        CHECK(setrlimit(kinds[side], &before) == 0);
        for (int i = 0; i < 3; i++) introduce(&l, LARGE);
        gm_reader_free(l.r); /* with the next one all is tried again */
        open_reader(&l);
        introduce(&l, LARGE);
        put(&l, LARGE);
        CHECK(waiting(&l) == TICKET);
        take(&l, LARGE, true);
        close_all(&l);
    }
}

/* Descriptors are scarce: none is taken for a lane. */
static void test_no_descriptors(void) {
    struct rlimit before, small;
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    small = before;
    lane l = pipe_only();
    small.rlim_cur = (rlim_t)l.ends[1] + 3;
    CHECK(setrlimit(RLIMIT_NOFILE, &small) == 0);
    open_writer(&l);
    open_reader(&l);
    int free_one = dup(0);
    CHECK(free_one == l.ends[1] + 1);
    close(free_one);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    for (int i = 0; i < 3; i++) introduce(&l, LARGE);
    finish(&l);
}

static void test_compressed(void) {
    lane l = pipe_only();
    l.w = gm_writer_new(l.ends[1], "out", 1, &e);
    open_reader(&l);
    put(&l, LARGE);
    take(&l, LARGE, false);
    finish(&l);
}

/* ---- ends that come and go ---- */

static void test_next_reader(void) {
    lane l = both_ends();
    gm_reader_free(l.r); /* it has answered, which nobody heard yet */
    open_reader(&l);
    introduce(&l, LARGE);
    put(&l, LARGE);
    take(&l, LARGE, true);
    gm_reader_free(l.r);
    open_reader(&l);
    introduce(&l, LARGE);
    put(&l, LARGE);
    CHECK(waiting(&l) == TICKET);
    take(&l, LARGE, true);
    gm_reader_free(l.r);
    l.r = NULL;
    put(&l, LARGE); /* nobody is there */
    CHECK(waiting(&l) > TICKET);
    open_reader(&l);
    take(&l, LARGE, false);
    introduce(&l, LARGE);
    /* What was for a reader that ended is no record for the next one. */
    put(&l, LARGE);
    CHECK(waiting(&l) == TICKET);
    gm_reader_free(l.r);
    open_reader(&l);
    CHECK(gm_reader_next(l.r, l.in, &e) == -1);
    CHECK_TEXT(e.text, "in: record 0: it lies in shared memory that was handed to another reader");
    close_all(&l);
}

/* A reader that has what it wanted, and lives on, is in nobody's way. */
static void test_idle_reader(void) {
    lane l = pipe_only();
    open_reader(&l);
    gm_reader *idle = l.r;
    open_reader(&l);
    open_writer(&l);
    for (int i = 0; i < 4; i++) introduce(&l, LARGE);
    gm_reader_free(idle);
    finish(&l);
}

static void test_next_writer(void) {
    lane l = both_ends();
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 2; j++) put(&l, LARGE / 4);
        CHECK(gm_writer_finish(l.w, &e) == 0);
        gm_writer_free(l.w);
        open_writer(&l);
    }
    for (int i = 0; i < 6; i++) take(&l, LARGE / 4, i < 2);
    /* a writer that has ended before it used what it was answered */
    CHECK(gm_writer_finish(l.w, &e) == 0);
    gm_writer_free(l.w);
    open_writer(&l);
    for (int i = 0; i < 2; i++) introduce(&l, LARGE);
    put(&l, LARGE);
    take(&l, LARGE, true);
    finish(&l);
}

/* A writer that is killed: what it handed over whole is a record, and then the stream is cut. */
static void test_killed_writer(void) {
    lane l = both_ends();
    pid_t child = fork();
    if (child == 0) {
        put(&l, LARGE);
        _exit(check_failed);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    gm_writer_free(l.w);
    l.w = NULL;
    close(l.ends[1]);
    l.ends[1] = -1;
    take(&l, LARGE, true);
    CHECK(gm_reader_next(l.r, l.in, &e) == -1);
    CHECK_TEXT(e.text, "in: stream cut off after record 2 (no end record)");
    close_all(&l);
}

/* ---- writers that lie ---- */

typedef enum memory_kind { SEALED, FLIPPED, UNSEALED, A_FILE, NOTHING } memory_kind;

typedef struct forged {
    size_t bytes;            /* of the memory */
    uint64_t slot_bytes;     /* as the letter says */
    uint32_t slot;           /* as the ticket says */
    uint64_t used;           /* of its bytes, too */
    uint64_t total, count;   /* as the slot says */
    uint64_t offset, length; /* of its piece */
    memory_kind what;
    const char *said; /* NULL: it is not taken over, and the ticket is for somebody else */
} forged;

/* A socket that calls the reader, 'r', or the writer, 'w'. */
static int call_end(const lane *l, char end) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat st;
    CHECK(fstat(l->ends[0], &st) == 0);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    int n = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "gm-lane-2/%llx/%llx/%c",
                     (unsigned long long)st.st_dev, (unsigned long long)st.st_ino, end);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
    CHECK(connect(fd, (struct sockaddr *)&address, size) == 0);
    return fd;
}

/* Who answers without having been asked is left: its answer might come late, and count for another offer. */
static void test_unasked(void) {
    char byte;
    lane l = pipe_only();
    open_writer(&l);
    const int caller = call_end(&l, 'w');
    put(&l, LARGE);
    CHECK(recv(caller, &byte, 1, MSG_DONTWAIT) < 0); /* it was answered, and is listened to */
    CHECK(send(caller, "", 1, MSG_NOSIGNAL) == 1);
    put(&l, LARGE);
    CHECK(recv(caller, &byte, 1, MSG_DONTWAIT) == 0);
    close(caller);
    open_reader(&l); /* which is another one, and gets all that it can */
    for (int i = 0; i < 2; i++) take(&l, LARGE, false);
    introduce(&l, LARGE);
    put(&l, LARGE);
    CHECK(waiting(&l) == TICKET);
    take(&l, LARGE, true);
    finish(&l);
}

static void send_memory(int to, int fd, uint64_t slot_bytes, bool without) {
    uint64_t letter[2] = {7, slot_bytes};
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    struct iovec content = {.iov_base = letter, .iov_len = sizeof letter};
    struct msghdr message = {.msg_iov = &content, .msg_iovlen = 1};
    if (!without) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        control.head =
            (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
    }
    CHECK(sendmsg(to, &message, 0) == (ssize_t)sizeof letter);
}

static void test_forged(void) {
    enum { SLOT = 65536, ALL = 4096 + 2 * SLOT };
    static const forged all[] = {
        {ALL, SLOT, 0, SLOT, 3, 1, 64, 3, SEALED, "byte c1 begins nothing in msgpack"},
        {ALL, SLOT, 2, SLOT, 3, 1, 64, 3, SEALED, "a ticket for slot 2 of 2"},
        {ALL, SLOT, 0, SLOT, 3, 1, 65, 3, SEALED, "its shared memory is damaged"},
        {ALL, SLOT, 0, SLOT, 3, 1, SLOT, 3, SEALED, "its shared memory is damaged"},
        {ALL, SLOT, 0, SLOT, 3, 1, 64, SLOT, SEALED, "its shared memory is damaged"},
        {ALL, SLOT, 0, SLOT, 3, 1, 64, UINT64_MAX, SEALED, "its shared memory is damaged"},
        {ALL, SLOT, 0, SLOT, 3, 1, UINT64_MAX - 63, 64, SEALED, "its shared memory is damaged"},
        {ALL, SLOT, 0, SLOT, 3, 1, 64, 0, SEALED, "its shared memory is damaged"},
        {ALL, SLOT, 0, SLOT, 3, SLOT / 16, 64, 3, SEALED, "its shared memory is damaged"},
        {ALL, SLOT, 0, SLOT, SLOT + 1, 1, 64, 3, SEALED, "its shared memory is damaged"},
        {ALL, SLOT, 0, SLOT, 3, 0, 64, 3, SEALED, "its content is shorter than declared"},
        {ALL, SLOT, 0, SLOT, 3, 1, 64, 3, FLIPPED, "its shared memory does not have its checksum"},
        {ALL, SLOT, 0, SLOT + 1, 3, 1, 64, 3, SEALED, "a ticket for 65537 of 65536 bytes"},
        {ALL, SLOT, 0, UINT64_MAX, 3, 1, 64, 3, SEALED, "of 65536 bytes"},
        {ALL, SLOT, 0, SLOT, 3, 1, 64, 3, UNSEALED, NULL},
        {ALL - 1, SLOT, 0, SLOT, 3, 1, 64, 3, SEALED, NULL},
        {ALL, SLOT / 2, 0, SLOT, 3, 1, 64, 3, SEALED, NULL},
        {ALL, SLOT + 1, 0, SLOT, 3, 1, 64, 3, SEALED, NULL},
        {ALL, UINT64_MAX / 2 - 63, 0, SLOT, 3, 1, 64, 3, SEALED, NULL},
        {ALL, SLOT, 0, SLOT, 3, 1, 64, 3, NOTHING, NULL},
        {ALL, SLOT, 0, SLOT, 3, 1, 64, 3, A_FILE, NULL},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const forged *f = &all[i];
        lane l = pipe_only();
        open_reader(&l);
        FILE *file = tmpfile();
        int memory = f->what == A_FILE ? fileno(file) : memfd_create("forged", MFD_ALLOW_SEALING);
        int socket = call_end(&l, 'r');
        CHECK(ftruncate(memory, (off_t)f->bytes) == 0);
        uint64_t head[4] = {f->total, f->count, f->offset, f->length};
        CHECK(pwrite(memory, head, sizeof head, 4096) == (ssize_t)sizeof head);
        CHECK(pwrite(memory, "\xC1\xC1\xC1", 3, 4096 + 64) == 3); /* never used in msgpack */
        static char slot[SLOT];
        CHECK(pread(memory, slot, SLOT, 4096) == SLOT);
        const uint64_t checksum = XXH3_64bits(slot, SLOT);
        if (f->what == FLIPPED) CHECK(pwrite(memory, "\x01", 1, 4096 + SLOT - 1) == 1);
        CHECK(f->what > FLIPPED || fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
        send_memory(socket, memory, f->slot_bytes, f->what == NOTHING);
        CHECK(setenv("GM_LANES", "0", 1) == 0);
        open_writer(&l);
        CHECK(unsetenv("GM_LANES") == 0);
        introduce(&l, LARGE);
        char answer;
        CHECK((recv(socket, &answer, 1, MSG_DONTWAIT) == 1) == (f->said != NULL));
        struct {
            char magic[4];
            uint32_t slot;
            uint64_t lane, used, checksum;
        } ticket = {{'g', 'm', 'l', 'n'}, f->slot, 7, f->used, checksum};
        CHECK(write(l.ends[1], &ticket, sizeof ticket) == TICKET);
        CHECK(gm_reader_next(l.r, l.in, &e) == -1);
        const char *said = f->said ? f->said : "shared memory that was handed to another reader";
        if (!strstr(e.text, said)) CHECK_TEXT(e.text, said);
        if (f->what != A_FILE) close(memory);
        fclose(file);
        close(socket);
        close_all(&l);
    }
}

/* A ticket in a file is no frame. */
static void test_file(void) {
    int fd = memfd_create("file", 0);
    gm_record *r = gm_record_new(&e);
    CHECK(write(fd, "gmln0123456789abcdefghijklmnopqrst", TICKET) == TICKET && lseek(fd, 0, SEEK_SET) == 0);
    gm_reader *reader = gm_reader_new(fd, "f", 1 << 20, &e);
    CHECK(gm_reader_next(reader, r, &e) == -1);
    CHECK_TEXT(e.text, "f: not a gm stream (it begins with 'gmln012')");
    gm_reader_free(reader);
    gm_record_free(r);
    close(fd);
}

int main(void) {
    RUN(test_ticket);
    RUN(test_lent_tensors);
    RUN(test_full_slots);
    RUN(test_waiting);
    RUN(test_slow_reader);
    RUN(test_sizes);
    RUN(test_growth);
    RUN(test_too_large);
    RUN(test_foreign_reader);
    RUN(test_forbidden);
    RUN(test_no_memory);
    RUN(test_no_descriptors);
    RUN(test_compressed);
    RUN(test_next_reader);
    RUN(test_idle_reader);
    RUN(test_next_writer);
    RUN(test_killed_writer);
    RUN(test_unasked);
    RUN(test_forged);
    RUN(test_file);
    return check_done();
}
