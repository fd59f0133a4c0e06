/* neighbours.c: measures of nearest neighbours.
 *
 * Squared distances |a|^2 + |b|^2 - 2 a.b come from matrix products of floats, a block at a time. Each is off by at
 * most a slack that the rounding of such a product can reach; whatever the slack leaves open is computed again in
 * double.
 */
#include "clones.h"
#include "sample.h"

#include "gm/blas.h"
#include "gm/threads.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS ((size_t)64)   /* of a block of products, which one piece of work makes */
#define WIDTH ((size_t)256) /* and its columns */
#define SPARE ((size_t)8)   /* candidates beyond the k-th, so that it is seldom in doubt */
#define LANES 8             /* of sums in double */
#define KEPT_MOST (GM_NEIGHBOURS_MOST + SPARE)

/* What is looked for among the rows of b, for each row of a. */
typedef struct search {
    const gm_points *a, *b;
    bool same;                       /* a and b are one set: a row is not its own neighbour */
    size_t k;                        /* at least 1 */
    const double *a_norms, *b_norms; /* |row|^2 */
    double longest;                  /* the largest of b_norms */
    const double *radii;             /* of the balls around rows of b, squared; NULL: none are asked for */
    double *nearest, *kth;           /* [a->rows], squared */
    size_t *inside;                  /* [a->rows]: balls that hold the row, with radii */
} search;

typedef struct candidate {
    double distance;
    size_t row;
} candidate;

/* |x - y|^2, in lanes: of tables with many equal rows it is most of the work. */
GM_CLONES static double squared_distance(size_t n, const float *x, const float *y) {
    double lanes[LANES] = {0}, sum = 0;
    const size_t whole = n / LANES * LANES;
    for (size_t i = 0; i < whole; i += LANES)
        for (size_t j = 0; j < LANES; j++) {
            const double difference = (double)x[i + j] - (double)y[i + j];
            lanes[j] += difference * difference;
        }
    for (size_t i = whole; i < n; i++) {
        const double difference = (double)x[i] - (double)y[i];
        lanes[i - whole] += difference * difference;
    }
    for (size_t j = 0; j < LANES; j++) sum += lanes[j];
    return sum;
}

static double exact(const search *s, size_t i, size_t k) {
    const size_t d = s->a->columns;
    return squared_distance(d, s->a->x + i * d, s->b->x + k * d);
}

/* A sum of d products of floats is off by at most d 2^-24 |a| |b|, twice as much in the distance; norms by far less. */
static double slack_of(const search *s, size_t i, double b_norm) {
    return 1.2e-7 * (double)(s->a->columns + 4) * (sqrt(s->a_norms[i] * b_norm) + 1e-30);
}

/* The least distances, sorted; `count` of at most `most`. */
static void keep(candidate *list, size_t *count, size_t most, candidate c) {
    if (*count == most && c.distance >= list[most - 1].distance) return;
    size_t at = *count < most ? (*count)++ : most - 1;
    for (; at > 0 && list[at - 1].distance > c.distance; at--) list[at] = list[at - 1];
    list[at] = c;
}

static void count_ball(const search *s, size_t i, size_t k, double distance) {
    const double slack = slack_of(s, i, s->b_norms[k]), radius = s->radii[k];
    bool in = distance + slack <= radius;
    if (!in && distance - slack <= radius) in = exact(s, i, k) <= radius;
    s->inside[i] += in;
}

static void all_exact(const search *s, size_t i, candidate *list, size_t *count) {
    *count = 0;
    for (size_t k = 0; k < s->b->rows; k++)
        if (!s->same || k != i) keep(list, count, s->k, (candidate){exact(s, i, k), k});
}

/* From candidates by product to the exact nearest and k-th nearest. */
static void settle(const search *s, size_t i, candidate *list, size_t count, size_t most) {
    candidate best[KEPT_MOST] = {0};
    size_t found = 0;
    /* what is not among them is at least so far, and 0 is the least there is */
    const double edge = fmax(list[count - 1].distance - 2 * slack_of(s, i, s->longest), 0);
    for (size_t c = 0; c < count; c++) keep(best, &found, s->k, (candidate){exact(s, i, list[c].row), list[c].row});
    if (count == most && best[found - 1].distance > edge) all_exact(s, i, best, &found);
    s->nearest[i] = best[0].distance;
    s->kth[i] = best[found - 1].distance;
}

static void search_piece(void *context, size_t piece) {
    const search *s = context;
    const size_t d = s->a->columns, first = piece * ROWS, most = s->k + SPARE;
    const size_t rows = s->a->rows - first < ROWS ? s->a->rows - first : ROWS;
    float products[ROWS * WIDTH];
    candidate lists[ROWS][KEPT_MOST] = {0};
    size_t counts[ROWS] = {0};
    for (size_t r = 0; r < rows && s->radii; r++) s->inside[first + r] = 0;
    for (size_t k = 0; k < s->b->rows; k += WIDTH) {
        const size_t width = s->b->rows - k < WIDTH ? s->b->rows - k : WIDTH;
        gm_matmul_nt(rows, width, d, s->a->x + first * d, d, s->b->x + k * d, d, 0, products, WIDTH);
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < width; c++) {
                const size_t i = first + r;
                if (s->same && i == k + c) continue;
                const double distance = s->a_norms[i] + s->b_norms[k + c] - 2 * (double)products[r * WIDTH + c];
                keep(lists[r], &counts[r], most, (candidate){distance, k + c});
                if (s->radii) count_ball(s, i, k + c, distance);
            }
    }
    for (size_t r = 0; r < rows; r++) settle(s, first + r, lists[r], counts[r], most);
}

/* What is known of one set, and of its rows among the others. */
typedef struct side {
    gm_points points;
    double *norms, longest;
    double *own_nearest, *own_kth, *nearest, *kth; /* squared */
    size_t *inside;
} side;

static void side_free(side *s) {
    free(s->norms);
    free(s->own_nearest);
    free(s->own_kth);
    free(s->nearest);
    free(s->kth);
    free(s->inside);
}

static int side_make(side *s, const gm_points *points, gm_error *e) {
    double **rooms[] = {&s->norms, &s->own_nearest, &s->own_kth, &s->nearest, &s->kth};
    *s = (side){.points = *points};
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        *rooms[i] = gm_new(points->rows, sizeof **rooms[i], e);
        if (!*rooms[i]) return -1;
    }
    s->inside = gm_new_zeroed(points->rows, sizeof *s->inside, e);
    if (!s->inside) return -1;
    for (size_t i = 0; i < points->rows; i++) {
        double sum = 0;
        for (size_t j = 0; j < points->columns; j++) {
            const double x = (double)points->x[i * points->columns + j];
            sum += x * x;
        }
        s->norms[i] = sum;
        s->longest = fmax(s->longest, sum);
    }
    return 0;
}

static void run(search *s) {
    gm_parallel((s->a->rows + ROWS - 1) / ROWS, search_piece, s);
}

static void search_own(side *s, size_t k) {
    run(&(search){.a = &s->points,
                  .b = &s->points,
                  .same = true,
                  .k = k,
                  .a_norms = s->norms,
                  .b_norms = s->norms,
                  .longest = s->longest,
                  .nearest = s->own_nearest,
                  .kth = s->own_kth});
}

/* Rows of s among those of `other`, whose balls are known if `balls`. */
static void search_other(side *s, const side *other, bool balls) {
    run(&(search){.a = &s->points,
                  .b = &other->points,
                  .k = 1,
                  .a_norms = s->norms,
                  .b_norms = other->norms,
                  .longest = other->longest,
                  .radii = balls ? other->own_kth : NULL,
                  .nearest = s->nearest,
                  .kth = s->kth,
                  .inside = s->inside});
}

/* ---- figures ---- */

static int by_size(const void *a, const void *b) {
    const double p = *(const double *)a, q = *(const double *)b;
    return (p > q) - (p < q);
}

/* The median and least of square roots; `squares` is sorted. */
static void middle_and_least(size_t n, double *squares, double *median, double *least) {
    qsort(squares, n, sizeof *squares, by_size);
    *median = (sqrt(squares[(n - 1) / 2]) + sqrt(squares[n / 2])) / 2;
    *least = sqrt(squares[0]);
}

/* Rows that are equal to their nearest within what floats round: a part in 10^6 of their length. */
static size_t count_equal(size_t n, const double *nearest, const double *norms) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) count += nearest[i] <= 1e-12 * norms[i];
    return count;
}

/* Telling sets apart by the nearest other row: hits, ties half. */
static double hits(const side *s) {
    double sum = 0;
    for (size_t i = 0; i < s->points.rows; i++)
        sum += s->own_nearest[i] < s->nearest[i] ? 1 : s->own_nearest[i] == s->nearest[i] ? 0.5 : 0;
    return sum;
}

static void find_balls(const side *real, const side *fake, size_t k, gm_neighbour_figures *f) {
    const double m = (double)real->points.rows, n = (double)fake->points.rows;
    double held = 0, balls = 0, covered = 0, recalled = 0;
    for (size_t i = 0; i < fake->points.rows; i++) {
        held += fake->inside[i] > 0;
        balls += (double)fake->inside[i];
    }
    for (size_t i = 0; i < real->points.rows; i++) {
        recalled += real->inside[i] > 0;
        covered += real->nearest[i] <= real->own_kth[i];
    }
    f->precision = held / n;
    f->density = balls / n / (double)k;
    f->recall = recalled / m;
    f->coverage = covered / m;
}

/* The accuracy, where one set is larger than the other: of as many rows of it. */
static int drawn_accuracy(const gm_points *real, const gm_points *fake, uint64_t seed, double *accuracy, gm_error *e) {
    const bool more_real = real->rows > fake->rows;
    const gm_points *larger = more_real ? real : fake, *smaller = more_real ? fake : real;
    gm_points part = {.rows = smaller->rows, .columns = larger->columns};
    float *x = gm_draw_rows(larger, part.rows, more_real ? GM_DRAW_REAL : GM_DRAW_FAKE, seed, e);
    side a = {0}, b = {0};
    part.x = x;
    int status = x && side_make(&a, &part, e) == 0 && side_make(&b, smaller, e) == 0 ? 0 : -1;
    if (status == 0) {
        search_own(&a, 1);
        search_own(&b, 1);
        search_other(&a, &b, false);
        search_other(&b, &a, false);
        *accuracy = (hits(&a) + hits(&b)) / (2 * (double)part.rows);
    }
    side_free(&a);
    side_free(&b);
    free(x);
    return status;
}

static int measure(side *real, side *fake, size_t k, uint64_t seed, gm_neighbour_figures *f, gm_error *e) {
    search_own(real, k ? k : 1);
    search_own(fake, k ? k : 1);
    search_other(real, fake, k > 0);
    search_other(fake, real, k > 0);
    if (k > 0) find_balls(real, fake, k, f);
    f->accuracy = (hits(real) + hits(fake)) / (double)(real->points.rows + fake->points.rows);
    if (real->points.rows != fake->points.rows &&
        drawn_accuracy(&real->points, &fake->points, seed, &f->accuracy, e) != 0)
        return -1;
    f->copied_rows = count_equal(fake->points.rows, fake->nearest, fake->norms);
    f->duplicate_rows = count_equal(real->points.rows, real->own_nearest, real->norms);
    middle_and_least(fake->points.rows, fake->nearest, &f->nearest_median, &f->nearest_least);
    middle_and_least(real->points.rows, real->own_nearest, &f->real_median, &f->real_least);
    return 0;
}

int gm_neighbours(const gm_points *real, const gm_points *fake, size_t k, uint64_t seed, gm_neighbour_figures *f,
                  gm_error *e) {
    side a = {0}, b = {0};
    *f = (gm_neighbour_figures){.precision = NAN, .recall = NAN, .density = NAN, .coverage = NAN};
    if (k > GM_NEIGHBOURS_MOST) return gm_fail(e, "at most %d neighbours", GM_NEIGHBOURS_MOST);
    if (gm_points_check(real, fake, k + 1 > GM_NEAREST_ROWS ? k + 1 : GM_NEAREST_ROWS, e) != 0 ||
        gm_points_check_lengths(real, fake, e) != 0)
        return -1;
    if (gm_blas_ready(e) != 0) return -1;
    int status = side_make(&a, real, e) == 0 && side_make(&b, fake, e) == 0 ? measure(&a, &b, k, seed, f, e) : -1;
    side_free(&a);
    side_free(&b);
    return status;
}
