/* tiles.h: C = A B, ended (product.h), by tiles of C. The body of tiles_avx512.c and tiles_avx2.c, which say before it
 *
 *   TARGET          the attribute of functions that use the processor's vectors; TEMPLATE, of those inlined into them
 *   INTRINSIC(name) the compiler's function `name` for such a vector
 *   vector, mask    types; a mask marks the first numbers of a vector
 *   WIDTH           floats of a vector
 *   ROWS            rows of a tile at most, and EACH_HEIGHT(X) for X(1) ... X(ROWS)
 *   UNROLL_SUMS     stands before the loop over k
 *   PIECE           rows of A at most that meet one packed panel: a run of them stays in the second cache
 *   FEW             rows of A that do not pay for packing B
 *   PACKS_A         whether A is packed, too, where C is WIDE
 *   first_of        the mask of the first n numbers, of all for n >= WIDTH
 *   load_first, store_first, and transpose of WIDTH vectors
 *
 * and get product() and pack() from it.
 */
#include <stdint.h>

#define RUN GM_PRODUCT_RUN
#define PANEL (2 * WIDTH)      /* columns of a tile at most */
#define NEAR ((size_t)1 << 18) /* floats of B that a run passes over, where it need not be packed */
#define LINE ((size_t)16)      /* floats that a cache loads together */
#define WIDE ((size_t)64)      /* columns of C that pay for packing A */

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* How many pieces of at most `most` n has. */
static size_t pieces(size_t n, size_t most) {
    return (n + most - 1) / most;
}

static gm_operand from(gm_operand x, size_t i, size_t j) {
    x.at += i * x.row + j * x.column;
    return x;
}

TEMPLATE vector spread(float x) {
    return INTRINSIC(set1_ps)(x);
}

TEMPLATE vector load(const float *x) {
    return INTRINSIC(loadu_ps)(x);
}

TEMPLATE void store(float *x, vector v) {
    INTRINSIC(storeu_ps)(x, v);
}

/* ---- packing ---- */

/* to[k, width] = B[k, n], the columns beyond n are 0. */
TEMPLATE void copy_rows(const size_t vectors, size_t k, size_t n, const float *b, size_t ldb, float *to) {
    const mask rest = first_of(n - (vectors - 1) * WIDTH);
    for (size_t p = 0; p < k; p++, b += ldb, to += vectors * WIDTH) {
        if (vectors == 2) store(to, load(b));
        store(to + (vectors - 1) * WIDTH, load_first(b + (vectors - 1) * WIDTH, rest));
    }
}

/* to[p * apart + i] = x[i * ldx + p] for p < k <= WIDTH and i < WIDTH, 0 from the row n on. */
TEMPLATE void turn_block(size_t n, size_t k, const float *x, size_t ldx, float *to, size_t apart) {
    const mask some = first_of(k);
    vector r[WIDTH];
    GM_UNROLL for (size_t i = 0; i < WIDTH; i++) {
        r[i] = i >= n ? spread(0.0f) : k == WIDTH ? load(x + i * ldx) : load_first(x + i * ldx, some);
    }
    transpose(r);
    GM_UNROLL for (size_t i = 0; i < WIDTH; i++) {
        if (i < k) store(to + i * apart, r[i]);
    }
}

/* The same for any k. `sends` is for rows that come from far away, and of which the n behind are turned next: each is
 * read too shortly for the processor to see where it goes. */
TEMPLATE void turn_rows(const bool sends, size_t n, size_t k, const float *x, size_t ldx, float *to, size_t apart) {
    const uintptr_t behind = (uintptr_t)x + n * ldx * sizeof *x; /* outside of the matrix, after its last rows */
    size_t p = 0;
    for (; p + WIDTH <= k; p += WIDTH) {
        for (size_t i = 0; sends && p % LINE == 0 && i < n; i++)
            __builtin_prefetch((const void *)(behind + (i * ldx + p) * sizeof *x));
        turn_block(n, WIDTH, x + p, ldx, to + p * apart, apart);
    }
    if (p < k) turn_block(n, k - p, x + p, ldx, to + p * apart, apart);
}

/* The same of B's transpose, b[n, k]. */
TARGET static void pack_columns(size_t vectors, size_t k, size_t n, const float *b, size_t ldb, float *to) {
    for (size_t j = 0; j < n; j += WIDTH)
        turn_rows(false, smaller(n - j, WIDTH), k, b + j * ldb, ldb, to + j, vectors * WIDTH);
}

TARGET static void pack_panel(size_t k, size_t n, gm_operand b, float *to) {
    if (b.column != 1)
        pack_columns(pieces(n, WIDTH), k, n, b.at, b.column, to);
    else if (n > WIDTH)
        copy_rows(2, k, n, b.at, b.row, to);
    else
        copy_rows(1, k, n, b.at, b.row, to);
}

/* to[k, rows] = A[rows, k]. Stores overlap: up to WIDTH numbers behind are written. */
TARGET static void pack_strip(size_t rows, size_t k, gm_operand a, float *to) {
    const mask some = first_of(rows);
    if (a.row == 1)
        for (size_t p = 0; p < k; p++) store(to + p * rows, load_first(a.at + p * a.column, some));
    else if (rows == ROWS)
        turn_rows(true, ROWS, k, a.at, a.row, to, ROWS);
    else
        turn_rows(true, rows, k, a.at, a.row, to, rows);
}

/* ---- a tile ---- */

/* C[rows, n] = sums, ended. */
TEMPLATE void put_sums(const size_t rows, const size_t vectors, const bool whole, size_t n, vector sums[ROWS][2],
                       const gm_ending *ending, float *c, size_t ldc) {
    const mask rest = first_of(n - (vectors - 1) * WIDTH);
    const vector scale = spread(ending->beta), zero = spread(0.0f);
    GM_UNROLL for (size_t v = 0; v < vectors; v++) {
        const bool all = whole || v + 1 < vectors;
        const size_t at = v * WIDTH;
        if (ending->beta != 0.0f) {
            GM_UNROLL for (size_t i = 0; i < rows; i++) {
                const float *old = c + i * ldc + at;
                sums[i][v] = scale * (all ? load(old) : load_first(old, rest)) + sums[i][v];
            }
        }
        if (ending->biases) {
            const vector bias = all ? load(ending->biases + at) : load_first(ending->biases + at, rest);
            GM_UNROLL for (size_t i = 0; i < rows; i++) sums[i][v] = sums[i][v] + bias;
        }
        if (ending->rectified) { /* max(a, b) is a > b ? a : b: a nan stays */
            GM_UNROLL for (size_t i = 0; i < rows; i++) sums[i][v] = INTRINSIC(max_ps)(zero, sums[i][v]);
        }
        GM_UNROLL for (size_t i = 0; i < rows; i++) {
            if (all)
                store(c + i * ldc + at, sums[i][v]);
            else
                store_first(c + i * ldc + at, rest, sums[i][v]);
        }
    }
}

/* C[rows, n] = A B, ended, the rows of B ldb apart and of whole vectors. Inlined for each number of rows and vectors,
 * so that all sums are in registers. */
TEMPLATE void fixed_tile(const size_t rows, const size_t vectors, size_t n, size_t k, const float *a, const size_t row,
                         const size_t column, const float *b, const size_t ldb, const gm_ending *ending, float *c,
                         size_t ldc) {
    vector sums[ROWS][2];
    const float *at[(ROWS + 2) / 3]; /* of every third row: addresses are in registers, too */
    GM_UNROLL for (size_t i = 0; i < rows; i++) {
        GM_UNROLL for (size_t v = 0; v < vectors; v++) sums[i][v] = spread(0.0f);
    }
    GM_UNROLL for (size_t i = 0; i < rows; i += 3) at[i / 3] = a + i * row;
    GM_UNROLL for (size_t i = 0; i < rows; i++) {
        GM_UNROLL for (size_t v = 0; v < vectors; v++) __builtin_prefetch(c + i * ldc + v * WIDTH);
    }
    UNROLL_SUMS for (size_t p = 0; p < k; p++, b += ldb) {
        vector factors[2];
        GM_UNROLL for (size_t v = 0; v < vectors; v++) factors[v] = load(b + v * WIDTH);
        GM_UNROLL for (size_t i = 0; i < rows; i++) {
            vector x = spread(at[i / 3][i % 3 * row]);
            GM_UNROLL for (size_t v = 0; v < vectors; v++) sums[i][v] = INTRINSIC(fmadd_ps)(x, factors[v], sums[i][v]);
        }
        GM_UNROLL for (size_t i = 0; i < rows; i += 3) at[i / 3] += column;
    }
    if (n == vectors * WIDTH)
        put_sums(rows, vectors, true, n, sums, ending, c, ldc);
    else
        put_sums(rows, vectors, false, n, sums, ending, c, ldc);
}

/* A and B where they lie. */
TARGET static void tile(size_t rows, size_t n, size_t k, gm_operand a, const float *b, size_t ldb,
                        const gm_ending *ending, float *c, size_t ldc) {
#define HEIGHT(rows)                                                                                                   \
    case rows:                                                                                                         \
        if (n > WIDTH)                                                                                                 \
            fixed_tile(rows, 2, n, k, a.at, a.row, a.column, b, ldb, ending, c, ldc);                                  \
        else                                                                                                           \
            fixed_tile(rows, 1, n, k, a.at, a.row, a.column, b, ldb, ending, c, ldc);                                  \
        break;
    switch (rows) { EACH_HEIGHT(HEIGHT) }
#undef HEIGHT
}

/* Both packed: addresses are known but for one number each. */
TARGET static void packed_tile(size_t rows, size_t n, size_t k, const float *strip, const float *panel,
                               const gm_ending *ending, float *c, size_t ldc) {
#define HEIGHT(rows)                                                                                                   \
    case rows:                                                                                                         \
        if (n > WIDTH)                                                                                                 \
            fixed_tile(rows, 2, n, k, strip, 1, rows, panel, 2 * WIDTH, ending, c, ldc);                               \
        else                                                                                                           \
            fixed_tile(rows, 1, n, k, strip, 1, rows, panel, WIDTH, ending, c, ldc);                                   \
        break;
    switch (rows) { EACH_HEIGHT(HEIGHT) }
#undef HEIGHT
}

/* ---- products ---- */

/* Whether a panel of B, [k, n], is packed: not where few tiles meet it, which read it as fast where it lies, if its
 * rows are not so far apart that they are in each other's way in the caches. Tiles read whole vectors. */
static bool is_packed(size_t m, size_t n, size_t k, gm_operand b) {
    return b.column != 1 || m > FEW || k * b.row >= NEAR || n % WIDTH != 0;
}

/* Fetches rows first .. end - 1 of a panel of B that lies in rows: processors see no pattern in rows far apart. */
static void fetch_rows(const float *b, size_t ldb, size_t first, size_t end) {
    for (size_t p = first; p < end; p++)
        for (size_t j = 0; j < PANEL; j += LINE) __builtin_prefetch(b + p * ldb + j, 0, 2);
}

_Static_assert(!PACKS_A || PIECE * RUN + WIDTH <= GM_PRODUCT_ROOM,
               "a piece of A, and what pack_strip writes behind it");

/* One run of a piece of A, with all panels of B, which are packed already unless `packed` is NULL. Tiles are about
 * equally high. */
static void multiply_piece(size_t m, size_t n, size_t k, gm_operand a, gm_operand b, const float *packed,
                           const gm_ending *ending, float *c, size_t ldc, float *strips) {
    _Alignas(64) float room[RUN * PANEL];
    const size_t tiles = pieces(m, ROWS), least = m / tiles, higher = m % tiles;
    const bool packs_a = PACKS_A && strips && n >= WIDE;
    for (size_t i = 0, first = 0, rows; packs_a && i < tiles; i++, first += rows) {
        rows = least + (i < higher ? 1 : 0);
        pack_strip(rows, k, from(a, first, 0), strips + first * k);
    }
    for (size_t j = 0; j < n; j += PANEL) {
        const size_t columns = smaller(n - j, PANEL), width = WIDTH * pieces(columns, WIDTH);
        const gm_operand part = from(b, 0, j);
        const gm_ending here = {ending->beta, ending->biases ? ending->biases + j : NULL, ending->rectified};
        const bool packs_b = !packed && (packs_a || is_packed(m, columns, k, b)), in_place = !packed && !packs_b;
        const bool fetches = !packed && b.column == 1 && j + PANEL < n;
        const float *panel = packed ? packed + j * k : room;
        if (packs_b) pack_panel(k, columns, part, room);
        for (size_t i = 0, first = 0, rows; i < tiles; i++, first += rows) {
            float *to = c + first * ldc + j;
            if (fetches) fetch_rows(part.at + PANEL, b.row, k * i / tiles, k * (i + 1) / tiles);
            rows = least + (i < higher ? 1 : 0);
            if (packs_a)
                packed_tile(rows, columns, k, strips + first * k, panel, &here, to, ldc);
            else
                tile(rows, columns, k, from(a, first, 0), in_place ? part.at : panel, in_place ? b.row : width, &here,
                     to, ldc);
        }
    }
}

/* Numbers in a row of all panels of B. */
static size_t packed_width(size_t n) {
    return WIDTH * pieces(n, WIDTH);
}

static void product(size_t m, size_t n, size_t k, gm_operand a, gm_operand b, const float *packed, gm_ending ending,
                    float *c, size_t ldc, float *room) {
    const size_t runs = pieces(k, RUN), parts = pieces(m, PIECE);
    for (size_t r = 0, at = 0, stop; r < runs; r++, at = stop) {
        stop = k * (r + 1) / runs;
        const bool last = r + 1 == runs;
        const gm_ending end_of_run = {r == 0 ? ending.beta : 1.0f, last ? ending.biases : NULL,
                                      last && ending.rectified};
        for (size_t i = 0, first = 0, end; i < parts; i++, first = end) {
            end = m * (i + 1) / parts;
            multiply_piece(end - first, n, stop - at, from(a, first, at), from(b, at, 0),
                           packed ? packed + at * packed_width(n) : NULL, &end_of_run, c + first * ldc, ldc, room);
        }
    }
}

static void pack(size_t n, size_t k, gm_operand b, float *packed) {
    const size_t runs = pieces(k, RUN);
    for (size_t r = 0, at = 0, stop; r < runs; r++, at = stop) {
        stop = k * (r + 1) / runs;
        for (size_t j = 0; j < n; j += PANEL)
            pack_panel(stop - at, smaller(n - j, PANEL), from(b, at, j),
                       packed + at * packed_width(n) + j * (stop - at));
    }
}
