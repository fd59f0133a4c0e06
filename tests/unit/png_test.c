/* png_test.c: grids of pictures, read back with libpng. */
#include "data_files.h"

#include <png.h>

/* Reads a grey PNG; pixels to be freed, or NULL. */
static unsigned char *read_png(const char *name, size_t *width, size_t *height) {
    png_image image = {.version = PNG_IMAGE_VERSION};
    if (png_image_begin_read_from_file(&image, name) == 0) return NULL;
    const bool grey = image.format == PNG_FORMAT_GRAY;
    unsigned char *pixels = grey ? malloc(PNG_IMAGE_SIZE(image)) : NULL;
    if (pixels != NULL && png_image_finish_read(&image, NULL, pixels, 0, NULL) == 0) {
        free(pixels);
        pixels = NULL;
    }
    png_image_free(&image);
    *width = image.width;
    *height = image.height;
    return pixels;
}

static int draw(const char *name, size_t n, size_t height, size_t width, size_t columns, size_t zoom,
                const float *pixels, gm_error *e) {
    const int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    files_note(name);
    e->text[0] = '\0';
    const int done = gm_png_grid(fd, n, height, width, columns, zoom, pixels, -1, 1, e);
    close(fd);
    return done;
}

static void test_grid(void) {
    /* Three pictures of 2x3 in two columns, doubled: 14 x 10, a line between, an empty place at the end. */
    const float pixels[18] = {-1, 0, 1, -5, 5, NAN, 1, 1, 1, -1, -1, -1, 0.5f, -0.5f, 0, 0, 1, -1};
    size_t width = 0, height = 0;
    gm_error e;
    CHECK(draw("g.png", 3, 2, 3, 2, 2, pixels, &e) == 0);
    CHECK_TEXT(e.text, "");
    unsigned char *got = read_png("g.png", &width, &height);
    CHECK(got != NULL && width == 14 && height == 10);
    if (got == NULL) return;
    static const unsigned char expected[5][7] = {
        {0, 128, 255, 128, 255, 255, 255},  {0, 255, 0, 128, 0, 0, 0},         {128, 128, 128, 128, 128, 128, 128},
        {191, 64, 128, 128, 128, 128, 128}, {128, 255, 0, 128, 128, 128, 128},
    };
    size_t wrong = 0;
    for (size_t y = 0; y < height; y++) {
        for (size_t x = 0; x < width; x++) wrong += got[y * width + x] != expected[y / 2][x / 2];
    }
    CHECK(wrong == 0);
    free(got);
}

static void test_layout(void) {
    static float pixels[100 * 64];
    size_t width = 0, height = 0;
    gm_error e;
    /* 10 x 10 pictures of 8x8: 89 wide, 7 times as large is nearest to 600. */
    CHECK(draw("g.png", 100, 8, 8, 0, 0, pixels, &e) == 0);
    free(read_png("g.png", &width, &height));
    CHECK(width == 623 && height == 623);
    CHECK(draw("g.png", 5, 8, 8, 0, 1, pixels, &e) == 0);
    free(read_png("g.png", &width, &height));
    CHECK(width == 26 && height == 17);
    CHECK(draw("g.png", 3, 8, 8, 10, 1, pixels, &e) == 0);
    free(read_png("g.png", &width, &height));
    CHECK(width == 26 && height == 8);
    CHECK(draw("g.png", 1, 1, 1, 1, 1, pixels, &e) == 0);
    free(read_png("g.png", &width, &height));
    CHECK(width == 1 && height == 1);
}

static void test_refusals(void) {
    const float pixel = 0;
    gm_error e;
    CHECK(draw("g.png", 0, 8, 8, 0, 0, &pixel, &e) == -1);
    CHECK(draw("g.png", 1, 0, 8, 0, 0, &pixel, &e) == -1);
    CHECK(draw("g.png", 1, 1, 1, 1, SIZE_MAX, &pixel, &e) == -1);
    CHECK(draw("g.png", SIZE_MAX, 1, 1, 1, 1, &pixel, &e) == -1);
    CHECK(draw("g.png", 1, SIZE_MAX, SIZE_MAX, 1, 1, &pixel, &e) == -1);
    CHECK(draw("g.png", 1, 1, 1, 1, 1000001, &pixel, &e) == -1);
    CHECK(strstr(e.text, "1000000 pixels") != NULL);
    CHECK(gm_png_grid(1, 1, 1, 1, 1, 1, &pixel, 1, 1, &e) == -1);
    CHECK_TEXT(e.text, "cannot write PNG: black must be below white");
}

/* Errors of write(2), in the middle and at the end, come back as messages and lose no memory. */
static void test_write_errors(void) {
    const size_t side = 700;
    float *pixels = malloc(side * side * sizeof *pixels);
    if (pixels == NULL) exit(1);
    for (size_t i = 0; i < side * side; i++) pixels[i] = (float)(i * 2654435761u % 1000) / 500 - 1;
    gm_error e;
    const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    CHECK(gm_png_grid(full, 1, side, side, 1, 1, pixels, -1, 1, &e) == -1);
    CHECK_TEXT(e.text, "cannot write PNG: No space left on device");
    CHECK(gm_png_grid(full, 1, 2, 2, 1, 1, pixels, -1, 1, &e) == -1);
    CHECK_TEXT(e.text, "cannot write PNG: No space left on device");
    close(full);
    const int readable = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK(gm_png_grid(readable, 1, side, side, 1, 1, pixels, -1, 1, &e) == -1);
    CHECK_TEXT(e.text, "cannot write PNG: Bad file descriptor");
    close(readable);
    free(pixels);
}

int main(void) {
    if (!files_enter()) return 1;
    RUN(test_grid);
    RUN(test_layout);
    RUN(test_refusals);
    RUN(test_write_errors);
    files_leave();
    return check_done();
}
