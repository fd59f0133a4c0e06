/* png.c: a grid of grey pictures as a PNG file, through libpng.
 */
#include "gm/data.h"

#include <errno.h>
#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#define SIDE_MAX ((size_t)1000000) /* pixels; libpng's own bound */
#define USUAL_WIDTH ((size_t)600)
#define BETWEEN ((unsigned char)128) /* grey of the lines and of empty places */

typedef struct grid {
    size_t n, height, width, columns, rows, zoom;
    const float *pixels;
    float low, high;
} grid;

/* libpng writes a chunk in four small pieces: they are gathered. */
typedef struct sink {
    int fd;
    size_t used;
    unsigned char buffer[1 << 16];
    gm_error *error;
    jmp_buf back;
} sink;

_Noreturn static void on_error(png_structp png, png_const_charp text) {
    sink *out = png_get_error_ptr(png);
    gm_fail(out->error, "cannot write PNG: %s", text);
    longjmp(out->back, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
    (void)png, (void)text;
}

static void flush_sink(png_structp png, sink *out) {
    if (gm_write_all(out->fd, out->buffer, out->used) < 0) png_error(png, gm_errno_text(errno));
    out->used = 0;
}

static void on_write(png_structp png, png_bytep bytes, size_t n) {
    sink *out = png_get_io_ptr(png);
    while (n > 0) {
        const size_t room = sizeof out->buffer - out->used;
        const size_t now = n < room ? n : room;
        memcpy(out->buffer + out->used, bytes, now);
        out->used += now;
        bytes += now;
        n -= now;
        if (out->used == sizeof out->buffer) flush_sink(png, out);
    }
}

/* The IEND chunk must not wait in the buffer; flush_sink after it sees to that. */
static void on_flush(png_structp png) {
    (void)png;
}

static unsigned char grey(const grid *g, float value) {
    const float part = (value - g->low) / (g->high - g->low);
    if (!(part > 0)) return 0; /* nan too */
    return part < 1 ? (unsigned char)lrintf(part * 255) : 255;
}

/* Row y of the pictures in row `row` of the grid, zoomed in x; y == height: the line below them. */
static void draw_row(const grid *g, size_t row, size_t y, unsigned char *out, size_t bytes) {
    memset(out, BETWEEN, bytes);
    if (y == g->height) return;
    for (size_t column = 0; column < g->columns; column++) {
        const size_t number = row * g->columns + column;
        if (number >= g->n) return;
        const float *from = g->pixels + (number * g->height + y) * g->width;
        unsigned char *to = out + column * (g->width + 1) * g->zoom;
        for (size_t x = 0; x < g->width; x++, to += g->zoom) memset(to, grey(g, from[x]), g->zoom);
    }
}

static size_t side(size_t count, size_t size, size_t zoom) {
    return (count * (size + 1) - 1) * zoom;
}

static void write_grid(png_structp png, png_infop info, const grid *g, unsigned char *line) {
    const size_t width = side(g->columns, g->width, g->zoom), height = side(g->rows, g->height, g->zoom);
    png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, 8, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (size_t row = 0; row < g->rows; row++) {
        const size_t lines = row + 1 < g->rows ? g->height + 1 : g->height;
        for (size_t y = 0; y < lines; y++) {
            draw_row(g, row, y, line, width);
            for (size_t i = 0; i < g->zoom; i++) png_write_row(png, line);
        }
    }
    png_write_end(png, NULL);
}

/* Everything that must be released was made by the caller, so a jump out of libpng loses nothing. */
static int write_guarded(png_structp png, png_infop info, const grid *g, unsigned char *line, sink *out) {
    if (setjmp(out->back) != 0) return -1;
    write_grid(png, info, g, line);
    flush_sink(png, out);
    return 0;
}

static int write_png(int fd, const grid *g, gm_error *e) {
    unsigned char *line = gm_new(side(g->columns, g->width, g->zoom), 1, e);
    sink *out = line != NULL ? gm_new(1, sizeof *out, e) : NULL;
    int done = -1;
    if (out != NULL) {
        out->fd = fd;
        out->used = 0;
        out->error = e;
        /* Creation reports nothing through on_error but a wrong version, which it returns NULL for as well. */
        png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, on_warning);
        png_infop info = png != NULL ? png_create_info_struct(png) : NULL;
        if (info == NULL) {
            gm_fail(e, "cannot write PNG: out of memory");
        } else {
            png_set_error_fn(png, out, on_error, on_warning);
            png_set_write_fn(png, out, on_write, on_flush);
            done = write_guarded(png, info, g, line, out);
        }
        png_destroy_write_struct(&png, &info);
    }
    free(out);
    free(line);
    return done;
}

/* Rows, columns and zoom that were left open; bounds. */
static int lay_out(grid *g, gm_error *e) {
    if (g->n == 0 || g->height == 0 || g->width == 0) return gm_fail(e, "cannot write PNG: no pictures");
    if (!(g->low < g->high)) return gm_fail(e, "cannot write PNG: black must be below white");
    if (g->columns == 0) g->columns = (size_t)ceil(sqrt((double)g->n));
    if (g->columns > g->n) g->columns = g->n;
    g->rows = (g->n + g->columns - 1) / g->columns;
    const bool fits = g->height < SIDE_MAX && g->width < SIDE_MAX && g->columns <= SIDE_MAX && g->rows <= SIDE_MAX &&
                      g->zoom <= SIDE_MAX && side(g->columns, g->width, 1) <= SIDE_MAX &&
                      side(g->rows, g->height, 1) <= SIDE_MAX;
    if (fits && g->zoom == 0) {
        const size_t width = side(g->columns, g->width, 1);
        g->zoom = (USUAL_WIDTH + width / 2) / width;
        if (g->zoom == 0) g->zoom = 1;
        while (g->zoom > 1 && side(g->rows, g->height, g->zoom) > SIDE_MAX) g->zoom--;
    }
    if (fits && side(g->columns, g->width, g->zoom) <= SIDE_MAX && side(g->rows, g->height, g->zoom) <= SIDE_MAX)
        return 0;
    return gm_fail(e,
                   "cannot write PNG: %zu pictures of %zux%zu in %zu columns make it wider or higher than %zu pixels",
                   g->n, g->height, g->width, g->columns, SIDE_MAX);
}

int gm_png_grid(int fd, size_t n, size_t height, size_t width, size_t columns, size_t zoom, const float *pixels,
                float low, float high, gm_error *e) {
    grid g = {n, height, width, columns, 0, zoom, pixels, low, high};
    return lay_out(&g, e) < 0 ? -1 : write_png(fd, &g, e);
}
