/* layout.c: sizes of a model file, its checksums, and the locks on its bytes. */
#include "layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

static size_t whole_pages(size_t n) {
    return (n + GM_PAGE - 1) / GM_PAGE * GM_PAGE;
}

bool gm_layout_of(const gm_model_spec *spec, size_t map_bytes, gm_layout *layout) {
    size_t floats, bytes;
    if (map_bytes > GM_SPEC_MAX || !gm_model_floats(spec, &floats) || !gm_multiply(floats, sizeof(float), &bytes))
        return false;
    if (bytes > (size_t)INT64_MAX / 4) return false; /* so that nothing below overflows an off_t */
    layout->floats = floats;
    layout->header_bytes = whole_pages(sizeof(gm_header) + map_bytes);
    layout->slot_bytes = whole_pages(sizeof(gm_slot) + bytes);
    layout->file_bytes = layout->header_bytes + GM_PAGE + 2 * layout->slot_bytes;
    return true;
}

uint64_t gm_slot_checksum(const gm_slot *slot, size_t floats) {
    const size_t from = offsetof(gm_slot, sealed);
    return XXH64((const unsigned char *)slot + from, sizeof *slot - from + floats * sizeof(float), 0);
}

void gm_boot_id(char boot[40]) {
    memset(boot, 0, 40);
    int fd = gm_open("/proc/sys/kernel/random/boot_id", O_RDONLY);
    if (fd < 0) return;
    char text[40] = "";
    long n = gm_read_all(fd, text, sizeof text - 1);
    close(fd);
    if (n > 0) memcpy(boot, text, strcspn(text, "\n"));
}

int gm_ofd_set(int fd, short type, int byte) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    int got;
    do got = fcntl(fd, F_OFD_SETLK, &lock);
    while (got != 0 && errno == EINTR);
    if (got != 0 && errno == EACCES) errno = EAGAIN; /* POSIX allows both for "somebody else holds it" */
    return got;
}

void gm_ofd_drop(int fd, int byte) {
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    /* Fails only where there was no lock to begin with. */
    (void)fcntl(fd, F_OFD_SETLK, &lock);
}

bool gm_ofd_held(int fd, int byte) {
    /* Asked for reading, so that a descriptor opened read-only may ask. */
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}
