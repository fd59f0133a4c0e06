/* cache.c: what was made of a data file, kept in a binary file beside it.
 */
#include "cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#define MAGIC "gm-cache"
#define VERSION 1 /* also of what bodies hold: another one where the same data are encoded in another way */
#define SUFFIX ".gmcache"
#define KEY_DIGITS 16
#define EDGE ((size_t)64 << 10)
#define PIECE ((size_t)256 << 10) /* read and written at a time */

/* A data file as it is seen from outside. ctime is set by every change, and cannot be set back. */
typedef struct look {
    uint64_t size;
    int64_t mtime, mtime_nsec, ctime, ctime_nsec;
    uint64_t edges; /* XXH3 of the first and the last bytes */
} look;

typedef struct cache_head {
    char magic[8];
    uint64_t version;
    gm_cache_key key;
    look data;
    uint64_t bytes, hash; /* of the body: XXH3 */
    uint64_t head_hash;   /* of all before it */
} cache_head;

struct gm_cache_writer {
    int fd, data;
    char *path; /* of the data */
    gm_cache_key key;
    look before;
    uint64_t bytes;
    XXH3_state_t *hash;
    unsigned char *piece;
    size_t used;
};

gm_cache_key gm_cache_key_of(const void *bytes, size_t n) {
    const XXH128_hash_t hash = XXH3_128bits(bytes, n);
    return (gm_cache_key){{hash.high64, hash.low64}};
}

bool gm_cache_wanted(gm_caching caching, char *const *files, size_t file_count) {
    uint64_t bytes = 0;
    for (size_t i = 0; caching != GM_CACHING_OFF && i < file_count; i++) {
        struct stat status;
        if (strcmp(files[i], "-") == 0 || stat(files[i], &status) < 0 || !S_ISREG(status.st_mode)) return false;
        bytes += (uint64_t)status.st_size;
    }
    return caching == GM_CACHING_ON || (caching == GM_CACHING_LARGE && bytes >= GM_CACHING_FROM);
}

/* n bytes whole: 0; -1 with errno. */
static int read_at(int fd, void *bytes, size_t n, off_t offset) {
    char *p = bytes;
    while (n > 0) {
        const ssize_t got = pread(fd, p, n, offset);
        if (got < 0 && errno == EINTR) continue;
        if (got == 0) errno = EIO;
        if (got <= 0) return -1;
        p += got;
        n -= (size_t)got;
        offset += got;
    }
    return 0;
}

int gm_cache_read(const gm_cache *c, uint64_t offset, void *bytes, size_t n) {
    return read_at(c->fd, bytes, n, GM_CACHE_BODY + (off_t)offset);
}

/* ---- the data file ---- */

static int look_at(int data, unsigned char *piece, look *l) {
    struct stat status;
    if (fstat(data, &status) < 0) return -1;
    if (!S_ISREG(status.st_mode)) {
        errno = EINVAL;
        return -1;
    }
    *l = (look){.size = (uint64_t)status.st_size,
                .mtime = status.st_mtim.tv_sec,
                .mtime_nsec = status.st_mtim.tv_nsec,
                .ctime = status.st_ctim.tv_sec,
                .ctime_nsec = status.st_ctim.tv_nsec};
    const size_t first = l->size < EDGE ? (size_t)l->size : EDGE,
                 last = l->size - first < EDGE ? l->size - first : EDGE;
    if (read_at(data, piece, first, 0) < 0 || read_at(data, piece + first, last, status.st_size - (off_t)last) < 0)
        return -1;
    l->edges = XXH3_64bits(piece, first + last);
    return 0;
}

/* Waits until the clock that files are stamped with has gone on since the data changed: then a change to come has
 * another time. */
static int wait_a_tick(const look *l) {
    const struct timespec moment = {.tv_nsec = 1000000};
    for (int i = 0; i < 50; i++) {
        struct timespec now;
        if (clock_gettime(CLOCK_REALTIME_COARSE, &now) < 0) return -1;
        if (now.tv_sec > l->ctime || (now.tv_sec == l->ctime && now.tv_nsec > l->ctime_nsec)) return 0;
        nanosleep(&moment, NULL);
    }
    errno = EAGAIN;
    return -1;
}

/* ---- reading ---- */

char *gm_cache_path(const char *path, const gm_cache_key *key, gm_error *e) {
    const size_t n = strlen(path) + 1 + KEY_DIGITS + sizeof SUFFIX;
    char *name = gm_new(n, 1, e);
    if (name != NULL) snprintf(name, n, "%s.%016llx" SUFFIX, path, (unsigned long long)key->words[0]);
    return name;
}

/* A file of that name that may be believed; -1. */
static int open_own(int directory, const char *name, int data, struct stat *status) {
    struct stat of_data;
    const int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return -1;
    if (fstat(fd, status) == 0 && fstat(data, &of_data) == 0 && S_ISREG(status->st_mode) &&
        (status->st_uid == geteuid() || status->st_uid == of_data.st_uid) && (status->st_mode & 0022) == 0)
        return fd;
    close(fd);
    return -1;
}

static uint64_t hash_of_head(const cache_head *h) {
    return XXH3_64bits(h, offsetof(cache_head, head_hash));
}

static bool read_head(int fd, cache_head *h) {
    return read_at(fd, h, sizeof *h, 0) == 0 && memcmp(h->magic, MAGIC, sizeof h->magic) == 0 &&
           h->head_hash == hash_of_head(h);
}

static bool has_its_body(int fd, const cache_head *h, off_t size, unsigned char *piece) {
    XXH3_state_t *hash = XXH3_createState();
    bool good = hash != NULL && size >= GM_CACHE_BODY && h->bytes == (uint64_t)(size - GM_CACHE_BODY);
    if (good) XXH3_64bits_reset(hash);
    for (uint64_t at = 0; good && at < h->bytes; at += PIECE) {
        const size_t n = h->bytes - at < PIECE ? (size_t)(h->bytes - at) : PIECE;
        good = read_at(fd, piece, n, GM_CACHE_BODY + (off_t)at) == 0;
        if (good) XXH3_64bits_update(hash, piece, n);
    }
    good = good && XXH3_64bits_digest(hash) == h->hash;
    XXH3_freeState(hash);
    return good;
}

static gm_cache_state open_good(const char *name, int data, const gm_cache_key *key, unsigned char *piece,
                                gm_cache *c) {
    struct stat status;
    cache_head head;
    look now;
    const int fd = open_own(AT_FDCWD, name, data, &status);
    gm_cache_state state = GM_CACHE_NONE;
    if (fd < 0) return state;
    if (!read_head(fd, &head)) {
        state = GM_CACHE_DAMAGED;
    } else if (head.version == VERSION && memcmp(&head.key, key, sizeof *key) == 0 && look_at(data, piece, &now) == 0 &&
               memcmp(&head.data, &now, sizeof now) == 0) {
        state = has_its_body(fd, &head, status.st_size, piece) ? GM_CACHE_GOOD : GM_CACHE_DAMAGED;
    }
    if (state == GM_CACHE_GOOD)
        *c = (gm_cache){fd, head.bytes};
    else
        close(fd);
    return state;
}

gm_cache_state gm_cache_open(const char *path, int data, const gm_cache_key *key, gm_cache *c) {
    gm_error ignored;
    char *name = gm_cache_path(path, key, &ignored);
    unsigned char *piece = gm_new(PIECE, 1, &ignored);
    *c = (gm_cache){.fd = -1};
    const gm_cache_state state = name != NULL && piece != NULL ? open_good(name, data, key, piece, c) : GM_CACHE_NONE;
    free(piece);
    free(name);
    return state;
}

/* ---- writing ---- */

void gm_cache_abandon(gm_cache_writer *w) {
    if (w == NULL) return;
    if (w->fd >= 0) close(w->fd);
    if (w->data >= 0) close(w->data);
    XXH3_freeState(w->hash);
    free(w->piece);
    free(w->path);
    free(w);
}

/* Read by those who can read the data, and no others. */
static int restrict_mode(int fd, int data) {
    struct stat ours, of_data;
    if (fstat(fd, &ours) < 0 || fstat(data, &of_data) < 0) return -1;
    const mode_t group = ours.st_gid == of_data.st_gid ? 0040 : 0;
    return fchmod(fd, ours.st_mode & (0600 | (of_data.st_mode & (group | 0004))));
}

static int open_nameless(const char *path) {
    gm_error ignored;
    char *directory = gm_directory_of(path, &ignored);
    const int fd = directory != NULL ? gm_open(directory, O_TMPFILE | O_RDWR) : -1;
    const int number = errno;
    free(directory);
    errno = number;
    return fd;
}

/* Room for the data twice: a number of one digit takes two bytes there and four here. */
static int check_room(int fd, const look *data) {
    struct statvfs system;
    if (fstatvfs(fd, &system) < 0) return -1;
    if (data->size / system.f_frsize < system.f_bavail / 2) return 0;
    errno = ENOSPC;
    return -1;
}

gm_cache_writer *gm_cache_begin(const char *path, int data, const gm_cache_key *key) {
    gm_error ignored;
    gm_cache_writer *w = gm_new_zeroed(1, sizeof *w, &ignored);
    if (w == NULL) return NULL;
    w->key = *key;
    w->fd = open_nameless(path);
    w->data = fcntl(data, F_DUPFD_CLOEXEC, 3);
    w->path = gm_copy_text(path, strlen(path), &ignored);
    w->hash = XXH3_createState();
    w->piece = gm_new(PIECE, 1, &ignored);
    if (w->fd >= 0 && w->data >= 0 && w->path != NULL && w->hash != NULL && w->piece != NULL &&
        look_at(data, w->piece, &w->before) == 0 && check_room(w->fd, &w->before) == 0 &&
        wait_a_tick(&w->before) == 0 && restrict_mode(w->fd, data) == 0 &&
        lseek(w->fd, GM_CACHE_BODY, SEEK_SET) == GM_CACHE_BODY) {
        XXH3_64bits_reset(w->hash);
        return w;
    }
    const int number = errno;
    gm_cache_abandon(w);
    errno = number;
    return NULL;
}

static int flush(gm_cache_writer *w) {
    XXH3_64bits_update(w->hash, w->piece, w->used);
    const int done = gm_write_all(w->fd, w->piece, w->used);
    w->used = 0;
    return done;
}

int gm_cache_put(gm_cache_writer *w, const void *bytes, size_t n) {
    const unsigned char *p = bytes;
    w->bytes += n;
    while (n > 0) {
        const size_t part = n < PIECE - w->used ? n : PIECE - w->used;
        memcpy(w->piece + w->used, p, part);
        w->used += part;
        p += part;
        n -= part;
        if (w->used == PIECE && flush(w) < 0) return -1;
    }
    return 0;
}

/* Of the caches of this file: one of data that are no more, or the oldest of too many. */
typedef struct sweep {
    const gm_cache_writer *w;
    int directory;
    size_t kept;
    struct timespec oldest_time;
    char oldest[NAME_MAX + 1];
} sweep;

static bool is_cache_name(const char *name, const char *base) {
    const size_t n = strlen(base), length = strlen(name);
    return length == n + 1 + KEY_DIGITS + strlen(SUFFIX) && length <= NAME_MAX && memcmp(name, base, n) == 0 &&
           name[n] == '.' && strspn(name + n + 1, "0123456789abcdef") == KEY_DIGITS &&
           strcmp(name + n + 1 + KEY_DIGITS, SUFFIX) == 0;
}

static void sweep_one(sweep *s, const char *name) {
    struct stat status;
    cache_head head;
    const int fd = open_own(s->directory, name, s->w->data, &status);
    if (fd < 0) return;
    const bool ours = read_head(fd, &head);
    close(fd);
    if (!ours) return;
    if (head.version != VERSION || memcmp(&head.data, &s->w->before, sizeof head.data) != 0) {
        unlinkat(s->directory, name, 0);
        return;
    }
    const struct timespec time = status.st_mtim, oldest = s->oldest_time;
    if (s->kept++ > 0 &&
        (time.tv_sec > oldest.tv_sec || (time.tv_sec == oldest.tv_sec && time.tv_nsec >= oldest.tv_nsec)))
        return;
    s->oldest_time = time;
    snprintf(s->oldest, sizeof s->oldest, "%s", name);
}

static void remove_useless(const gm_cache_writer *w) {
    gm_error ignored;
    char *directory = gm_directory_of(w->path, &ignored);
    const char *slash = strrchr(w->path, '/'), *base = slash != NULL ? slash + 1 : w->path;
    DIR *d = directory != NULL ? opendir(directory) : NULL;
    free(directory);
    if (d == NULL) return;
    sweep s = {.w = w, .directory = dirfd(d)};
    for (const struct dirent *entry; (entry = readdir(d)) != NULL;)
        if (is_cache_name(entry->d_name, base)) sweep_one(&s, entry->d_name);
    if (s.kept > GM_CACHES) unlinkat(s.directory, s.oldest, 0);
    closedir(d);
}

/* In the place of an older one. Of several that are written at once the last one stays. */
static int give_name(const gm_cache_writer *w) {
    gm_error ignored;
    char from[64], *name = gm_cache_path(w->path, &w->key, &ignored);
    int done = -1;
    snprintf(from, sizeof from, "/proc/self/fd/%d", w->fd);
    for (int i = 0; name != NULL && i < 3 && done < 0; i++) {
        done = linkat(AT_FDCWD, from, AT_FDCWD, name, AT_SYMLINK_FOLLOW);
        if (done < 0 && (errno != EEXIST || unlink(name) < 0)) break;
    }
    const int number = errno;
    free(name);
    errno = number;
    return done;
}

int gm_cache_commit(gm_cache_writer *w, gm_cache *c) {
    cache_head head = {.magic = MAGIC, .version = VERSION, .key = w->key, .data = w->before, .bytes = w->bytes};
    look now;
    *c = (gm_cache){.fd = -1};
    int done = flush(w);
    if (done == 0) done = look_at(w->data, w->piece, &now);
    const bool changed = done == 0 && memcmp(&now, &w->before, sizeof now) != 0;
    head.hash = XXH3_64bits_digest(w->hash);
    head.head_hash = hash_of_head(&head);
    if (done == 0 && !changed && pwrite(w->fd, &head, sizeof head, 0) != (ssize_t)sizeof head) done = -1;
    if (done == 0 && !changed) done = give_name(w);
    if (done == 0 && !changed) {
        remove_useless(w);
        *c = (gm_cache){w->fd, w->bytes};
        w->fd = -1;
    }
    const int number = errno;
    gm_cache_abandon(w);
    errno = number;
    return done;
}
