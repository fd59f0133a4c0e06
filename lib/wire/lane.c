#include "lane.h"

#include "checksum.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SLOTS 2 /* one that is read, one that waits; the first free one is taken: its memory is in the cache */
#define SLOT_MIN ((size_t)64 << 10)
#define SLOT_MAX ((size_t)16 << 20) /* larger records go through the pipe: neighbours shall not hold them twice */
#define SLOT_WAIT 10                /* milliseconds without progress; then the pipe's buffer is there */
#define BACKLOG 8
#define NAME "gm-lane-2"    /* with the version of what follows */
#define NOEXEC_SEAL 0x0008U /* MFD_NOEXEC_SEAL, which older headers do not have */

/* ---- what the ends share ---- */

/* At the beginning of the memory, followed by the slots. */
typedef struct board {
    _Atomic uint32_t given_back; /* slots so far; a futex */
    _Atomic uint32_t waiting;    /* the writer sleeps on it */
    _Atomic uint32_t taken[SLOTS];
} board;
#define BOARD ((size_t)4096)

/* At the beginning of a slot: where content lies, in its order. Each piece is aligned. */
typedef struct place {
    uint64_t offset, length; /* from the slot's beginning */
} place;
typedef struct slot {
    uint64_t total, count;
    place places[];
} slot;

/* What comes with the descriptor of the memory. */
typedef struct letter {
    uint64_t lane; /* a random number */
    uint64_t slot_bytes;
} letter;

typedef struct ticket {
    char magic[4];
    uint32_t slot;
    uint64_t lane;
    uint64_t used, checksum; /* bytes of the slot, from its beginning, and what they are */
} ticket;
_Static_assert(sizeof(ticket) == GM_LANE_TICKET, "a ticket has no padding");
static const char magic[4] = {'g', 'm', 'l', 'n'};

/* Memory as one end sees it. */
typedef struct memory {
    unsigned char *base; /* NULL: there is none */
    size_t slot_bytes;
    uint64_t lane;
} memory;

static size_t memory_bytes(size_t slot_bytes) {
    return BOARD + SLOTS * slot_bytes;
}

static board *board_of(const memory *m) {
    return (board *)(void *)m->base;
}

static slot *slot_at(const memory *m, size_t index) {
    return (slot *)(void *)(m->base + BOARD + index * m->slot_bytes);
}

static bool map(memory *m, int fd, const letter *l) {
    void *base = mmap(NULL, memory_bytes((size_t)l->slot_bytes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) return false;
    *m = (memory){.base = base, .slot_bytes = (size_t)l->slot_bytes, .lane = l->lane};
    return true;
}

static void unmap(memory *m) {
    if (m->base) munmap(m->base, memory_bytes(m->slot_bytes));
    *m = (memory){0};
}

static void close_if_open(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

/* ---- how the ends meet ---- */

typedef struct meeting {
    int listening, connection; /* -1: none */
} meeting;

/* The name of an end of a pipe, 'r' or 'w': both processes see the same device and inode. */
static socklen_t name_end(struct sockaddr_un *address, const struct stat *pipe, char end) {
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n = snprintf(address->sun_path + 1, sizeof address->sun_path - 1, NAME "/%llx/%llx/%c",
                     (unsigned long long)pipe->st_dev, (unsigned long long)pipe->st_ino, end);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

/* Half of the descriptors that a process may have are for other things. */
static int keep_some(int fd) {
    struct rlimit limit;
    if (fd < 0 || (getrlimit(RLIMIT_NOFILE, &limit) == 0 && (rlim_t)fd < limit.rlim_cur / 2)) return fd;
    close(fd);
    return -1;
}

static int open_socket(void) {
    return keep_some(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

/* True if the process at the other end is this user's. */
static bool is_ours(int fd) {
    struct ucred peer;
    socklen_t n = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 && peer.uid == geteuid();
}

int gm_lane_allowed(bool *allowed, gm_error *e) {
    const char *wanted = getenv("GM_LANES");
    bool set = wanted && *wanted;
    *allowed = !set || strcmp(wanted, "1") == 0;
    if (*allowed || strcmp(wanted, "0") == 0) return 0;
    return gm_fail_usage(e, "GM_LANES: expected 0 or 1, got '%s'", wanted);
}

static void part(meeting *m) {
    close_if_open(&m->connection);
    close_if_open(&m->listening);
}

static bool meet(meeting *m, int fd, char own, char other) {
    struct stat pipe;
    struct sockaddr_un address;
    *m = (meeting){.listening = -1, .connection = -1};
    if (fstat(fd, &pipe) != 0 || !S_ISFIFO(pipe.st_mode)) return false;
    m->listening = open_socket();
    socklen_t n = name_end(&address, &pipe, own);
    if (m->listening < 0 || bind(m->listening, (struct sockaddr *)&address, n) != 0 ||
        listen(m->listening, BACKLOG) != 0) {
        part(m);
        return false;
    }
    m->connection = open_socket();
    n = name_end(&address, &pipe, other);
    if (m->connection >= 0 && (connect(m->connection, (struct sockaddr *)&address, n) != 0 || !is_ours(m->connection)))
        close_if_open(&m->connection);
    return true;
}

/* Goes to the next one that called; false if there is none, and all is as it was. */
static bool answer(meeting *m) {
    int caller;
    while ((caller = keep_some(accept4(m->listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK))) >= 0) {
        if (is_ours(caller)) {
            close_if_open(&m->connection);
            m->connection = caller;
            return true;
        }
        close(caller);
    }
    return false;
}

/* ---- the writer's end ---- */

/* How far the reader has gone: slots that it gave back, bytes that it left in the pipe. */
typedef struct progress {
    uint32_t given_back;
    int unread;
} progress;

struct gm_lane_out {
    int pipe;
    meeting with;
    memory m, offered; /* what the reader has mapped; what it may be mapping */
    bool begun;        /* a large record went through the pipe: it is not the only one, if another one comes */
    bool hopeless;     /* there is no memory to offer, or no way to */
    bool waited;       /* in vain, when the reader had come so far: */
    progress waited_at;
};

gm_lane_out *gm_lane_out_new(int fd) {
    gm_lane_out *o = malloc(sizeof *o);
    if (!o) return NULL;
    *o = (gm_lane_out){.pipe = fd};
    if (meet(&o->with, fd, 'w', 'r')) return o;
    free(o);
    return NULL;
}

void gm_lane_out_free(gm_lane_out *o) {
    if (!o) return;
    part(&o->with);
    unmap(&o->m);
    unmap(&o->offered);
    free(o);
}

/* Hears whether the reader took over what it was offered, and whether it is still there. */
static bool hear(gm_lane_out *o) {
    char byte;
    ssize_t got;
    while ((got = recv(o->with.connection, &byte, 1, MSG_DONTWAIT)) > 0) {
        if (!o->offered.base) return false; /* who was not asked is no reader */
        unmap(&o->m);
        o->m = o->offered;
        o->offered = (memory){0};
        o->waited = false;
    }
    return got < 0 && (errno == EAGAIN || errno == EINTR);
}

/* A connection that is not in order is left, so that no late answer is taken for that to another offer. */
static bool has_reader(gm_lane_out *o) {
    while (o->with.connection < 0 || !hear(o)) {
        close_if_open(&o->with.connection);
        unmap(&o->m);
        unmap(&o->offered);
        if (!answer(&o->with)) return false;
        o->hopeless = false;
    }
    return true;
}

static bool allocate(int fd, size_t bytes) {
    int status;
    while ((status = fallocate(fd, 0, 0, (off_t)bytes)) != 0 && errno == EINTR) continue;
    return status == 0;
}

/* Sealed, so that neither end can make the other one read where nothing is; its pages exist from the beginning. */
static int make_memory(size_t bytes) {
    struct rlimit limit; /* SIGXFSZ comes before any error */
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < bytes)) return -1;
    int fd = memfd_create(NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING | NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) fd = memfd_create(NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING); /* before Linux 6.3 */
    if (fd < 0) return -1;
    if (allocate(fd, bytes) && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) return fd;
    close(fd);
    return -1;
}

typedef union control {
    struct cmsghdr head;
    char bytes[CMSG_SPACE(sizeof(int))];
} control;

static bool send_letter(int to, letter *l, int fd) {
    control c = {.bytes = {0}};
    struct iovec content = {.iov_base = l, .iov_len = sizeof *l};
    struct msghdr message = {
        .msg_iov = &content, .msg_iovlen = 1, .msg_control = c.bytes, .msg_controllen = sizeof c.bytes};
    c.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&c.head), &fd, sizeof fd);
    return sendmsg(to, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof *l;
}

/* Offers slots of at least `bytes` bytes. */
static void offer(gm_lane_out *o, size_t bytes) {
    letter l = {.slot_bytes = SLOT_MIN};
    if (o->hopeless || o->offered.base) return;
    while (l.slot_bytes < bytes) l.slot_bytes *= 2;
    int fd = -1;
    if (getrandom(&l.lane, sizeof l.lane, GRND_NONBLOCK) == (ssize_t)sizeof l.lane)
        fd = make_memory(memory_bytes((size_t)l.slot_bytes));
    o->hopeless = fd < 0 || !map(&o->offered, fd, &l) || !send_letter(o->with.connection, &l, fd);
    if (o->hopeless) unmap(&o->offered);
    close_if_open(&fd);
}

static int find_free(board *b) {
    for (int i = 0; i < SLOTS; i++)
        if (!atomic_load_explicit(&b->taken[i], memory_order_acquire)) return i;
    return -1;
}

/* Sleeps until a slot is given back, or for as long as that may take. */
static void sleep_on(board *b) {
    const struct timespec wait = {.tv_nsec = SLOT_WAIT * 1000000L};
    uint32_t seen = atomic_load(&b->given_back);
    atomic_store(&b->waiting, 1);
    if (find_free(b) < 0) (void)syscall(SYS_futex, &b->given_back, FUTEX_WAIT, seen, &wait, NULL, 0);
}

static progress progress_of(const gm_lane_out *o) {
    progress p = {.given_back = atomic_load(&board_of(&o->m)->given_back)};
    if (ioctl(o->pipe, FIONREAD, &p.unread) != 0) p.unread = 0;
    return p;
}

static bool is_beyond(progress now, progress before) {
    return now.given_back != before.given_back || now.unread < before.unread;
}

/* A free slot, or -1 if none becomes free soon. A reader that is behind gets no further record through the pipe as long
 * as it goes on: what waits in the pipe keeps it from the slots. One that stands still is not waited for again before
 * it has gone on: it may want a burst, for which the pipe has room. */
static int wait_for_slot(gm_lane_out *o) {
    board *b = board_of(&o->m);
    int found = find_free(b);
    if (found >= 0) return found;
    progress before, now = progress_of(o);
    if (o->waited && !is_beyond(now, o->waited_at)) return -1;
    do {
        before = now;
        sleep_on(b);
        found = find_free(b);
        now = progress_of(o);
    } while (found < 0 && is_beyond(now, before));
    o->waited = found < 0;
    o->waited_at = now;
    return found;
}

/* Bytes of a slot that the record takes; false if that is more than slots have. */
static bool measure(const gm_packed *p, size_t *bytes) {
    *bytes = gm_align(sizeof(slot) + p->count * sizeof(place));
    for (size_t i = 0; i < p->count; i++) {
        if (*bytes > SLOT_MAX || p->pieces[i].length > SLOT_MAX) return false;
        *bytes += gm_align(p->pieces[i].length);
    }
    return *bytes <= SLOT_MAX;
}

static void fill(slot *s, const gm_packed *p, ticket *t) {
    size_t offset = gm_align(sizeof *s + p->count * sizeof *s->places);
    s->total = p->total;
    s->count = p->count;
    for (size_t i = 0; i < p->count; i++) {
        size_t n = p->pieces[i].length;
        s->places[i] = (place){.offset = offset, .length = n};
        memcpy((unsigned char *)s + offset, gm_piece_bytes(p, &p->pieces[i]), n);
        offset += gm_align(n);
    }
    t->used = offset;
    t->checksum = gm_checksum(s, offset);
}

bool gm_lane_put(gm_lane_out *o, const gm_packed *p, unsigned char bytes[GM_LANE_TICKET]) {
    size_t needed;
    if (p->total < GM_LANE_MIN || !measure(p, &needed) || !has_reader(o)) return false;
    if (!o->m.base || o->m.slot_bytes < needed) {
        if (o->begun) offer(o, needed);
        o->begun = true;
        return false;
    }
    int found = wait_for_slot(o);
    if (found < 0) return false;
    ticket t = {.slot = (uint32_t)found, .lane = o->m.lane};
    memcpy(t.magic, magic, sizeof magic);
    fill(slot_at(&o->m, (size_t)found), p, &t);
    atomic_store_explicit(&board_of(&o->m)->taken[found], 1, memory_order_release);
    memcpy(bytes, &t, sizeof t);
    return true;
}

/* ---- the reader's end ---- */

struct gm_lane_in {
    meeting with;
    memory m, next; /* what tickets are for; what they will be for */
    /* The slot that is held. */
    slot *held; /* NULL: none */
    size_t index;
    uint64_t at, count; /* of its places */
};

gm_lane_in *gm_lane_in_new(int fd) {
    gm_lane_in *i = malloc(sizeof *i);
    if (!i) return NULL;
    *i = (gm_lane_in){0};
    if (meet(&i->with, fd, 'r', 'w')) return i;
    free(i);
    return NULL;
}

void gm_lane_in_free(gm_lane_in *i) {
    if (!i) return;
    gm_lane_give_back(i);
    part(&i->with);
    unmap(&i->m);
    unmap(&i->next);
    free(i);
}

void gm_lane_give_back(gm_lane_in *i) {
    if (!i->held) return;
    board *b = board_of(&i->m);
    i->held = NULL;
    atomic_store(&b->taken[i->index], 0);
    atomic_fetch_add(&b->given_back, 1);
    if (atomic_exchange(&b->waiting, 0)) (void)syscall(SYS_futex, &b->given_back, FUTEX_WAKE, 1, NULL, NULL, 0);
}

bool gm_lane_is_ticket(const unsigned char *bytes, size_t n) {
    return n >= sizeof magic && memcmp(bytes, magic, sizeof magic) == 0;
}

/* One letter with its descriptor, or -1: there is none yet, or the connection is closed, as one is at its end, and one
 * whose descriptor could not be had, which tells the writer. */
static int receive_letter(meeting *from, letter *l) {
    control c = {.bytes = {0}};
    int fd = -1;
    struct iovec content = {.iov_base = l, .iov_len = sizeof *l};
    struct msghdr message = {
        .msg_iov = &content, .msg_iovlen = 1, .msg_control = c.bytes, .msg_controllen = CMSG_LEN(sizeof fd)};
    ssize_t got = recvmsg(from->connection, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    const struct cmsghdr *head = got >= 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (head && head->cmsg_type == SCM_RIGHTS && head->cmsg_len == CMSG_LEN(sizeof fd))
        memcpy(&fd, CMSG_DATA(head), sizeof fd);
    if (got != (ssize_t)sizeof *l) close_if_open(&fd);
    if (got >= 0 && fd < 0) close_if_open(&from->connection);
    return fd;
}

static bool adopt(gm_lane_in *i, int fd, const letter *l) {
    struct stat st;
    if (l->slot_bytes < SLOT_MIN || l->slot_bytes > SLOT_MAX || l->slot_bytes % GM_ALIGN != 0) return false;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) != 0 ||
        (uint64_t)st.st_size < memory_bytes((size_t)l->slot_bytes))
        return false;
    return map(&i->next, fd, l);
}

/* The next letter of the writer, or of one that came after it; -1 if there is none. */
static int next_letter(gm_lane_in *i, letter *l) {
    int fd = -1;
    while ((i->with.connection < 0 || (fd = receive_letter(&i->with, l)) < 0) && answer(&i->with)) continue;
    return fd;
}

/* Whether there are no tickets for the old memory any more: none waits, and the writer, which has sent another letter
 * or is gone, makes no new ones. */
static bool is_over(const gm_lane_in *i) {
    char byte;
    if (i->with.connection >= 0 && recv(i->with.connection, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0) return false;
    for (size_t k = 0; i->m.base && k < SLOTS; k++)
        if (atomic_load_explicit(&board_of(&i->m)->taken[k], memory_order_acquire)) return false;
    return true;
}

static void go_on(gm_lane_in *i) {
    unmap(&i->m);
    i->m = i->next;
    i->next = (memory){0};
}

/* Writers follow each other in a pipe, and so do the lanes of a writer whose records grow: tickets for the old memory
 * may come after the letter, but none after the first for the new one. */
void gm_lane_look(gm_lane_in *i) {
    letter l;
    if (i->next.base && !is_over(i)) return;
    if (i->next.base) go_on(i);
    int fd = next_letter(i, &l);
    if (fd >= 0 && (!adopt(i, fd, &l) || send(i->with.connection, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 1)) {
        unmap(&i->next);
        close_if_open(&i->with.connection); /* which tells the writer */
    }
    close_if_open(&fd);
}

static int find_lane(gm_lane_in *i, uint64_t lane, gm_error *e) {
    if (i->m.base && i->m.lane == lane) return 0;
    if (!i->next.base || i->next.lane != lane)
        return gm_fail(e, "it lies in shared memory that was handed to another reader");
    go_on(i);
    return 0;
}

int gm_lane_open(gm_lane_in *i, const unsigned char *bytes, uint64_t *total, gm_error *e) {
    ticket t;
    memcpy(&t, bytes, sizeof t);
    if (find_lane(i, t.lane, e) != 0) return -1;
    if (t.slot >= SLOTS) return gm_fail(e, "a ticket for slot %u of %d", t.slot, SLOTS);
    i->held = slot_at(&i->m, t.slot);
    i->index = t.slot;
    i->at = 0;
    if (t.used > i->m.slot_bytes) return gm_fail(e, "a ticket for %" PRIu64 " of %zu bytes", t.used, i->m.slot_bytes);
    if (gm_checksum(i->held, (size_t)t.used) != t.checksum)
        return gm_fail(e, "its shared memory does not have its checksum");
    /* The other end can write there at any time: what is checked is read once. */
    const volatile slot *head = i->held;
    i->count = head->count;
    *total = head->total;
    if (i->count <= (i->m.slot_bytes - sizeof(slot)) / sizeof(place) && *total <= i->m.slot_bytes) return 0;
    return gm_fail(e, "its shared memory is damaged");
}

int gm_lane_piece(gm_lane_in *i, unsigned char **bytes, size_t *n, gm_error *e) {
    if (i->at == i->count) return gm_fail(e, "its content is shorter than declared");
    const volatile place *next = &i->held->places[i->at];
    const place p = {.offset = next->offset, .length = next->length};
    if (p.offset % GM_ALIGN != 0 || p.length == 0 || p.offset > i->m.slot_bytes ||
        p.length > i->m.slot_bytes - p.offset)
        return gm_fail(e, "its shared memory is damaged");
    i->at++;
    *bytes = (unsigned char *)i->held + p.offset;
    *n = (size_t)p.length;
    return 0;
}
