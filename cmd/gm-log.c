/* gm-log: the end of a training pipeline: scalars to CSV, progress to a terminal. */
#include "gm/filter.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define COLUMNS_MAX 64
#define LINE_MAX_BYTES 8192 /* of a log: a header of names, a row of numbers */

/* --watch: every so many records, and so many times in a row below this share, before it is said */
#define WATCH_EVERY 16
#define WATCH_TIMES 10
#define WATCH_SHARE 0.1

typedef struct logger {
    const char *output, *watch;
    char *watched; /* the generated tensor of --watch */
    const char *beside;
    int narrow;        /* times in a row that its spread was too small */
    bool warned, told; /* of a mode collapse; of a scalar that is not finite */
    uint64_t every;
    bool quiet;
    FILE *csv;
    char **columns; /* of the CSV, behind `step` */
    size_t column_count;
    bool began, terminal, headed, regular; /* headed: the file has its header; regular: it can be read back */
    uint64_t first, next, total;           /* step of the first record, step behind the last one, steps in all or 0 */
    struct timespec start, shown;
    char last[256]; /* scalars of the last record, as text */
} logger;

static const gm_option options[] = {
    {"output", 'o', GM_OPTION_TEXT, offsetof(logger, output), "FILE",
     "write step and scalars as CSV; a file that is there is gone on with", 0, 0},
    {"every", 0, GM_OPTION_U64, offsetof(logger, every), "N", "write each N-th record's row only", 1, 1e9},
    {"watch", 0, GM_OPTION_TEXT, offsetof(logger, watch), "FAKE=REAL",
     "warn when tensor FAKE spreads far less than tensor REAL: mode collapse", 0, 0},
    {"quiet", 'q', GM_OPTION_FLAG, offsetof(logger, quiet), NULL, "no progress and no summary", 0, 0},
    {NULL, 0, GM_OPTION_FLAG, 0, NULL, NULL, 0, 0}};

static int log_open(gm_call *call, gm_error *e) {
    logger *s = call->state;
    if (call->argument_count) return gm_fail_usage(e, "unexpected word '%s'", call->arguments[0]);
    if (s->watch) {
        const char *equals = strchr(s->watch, '=');
        if (!equals || equals == s->watch || !equals[1])
            return gm_fail_usage(e, "--watch: '%s' is not FAKE=REAL, two names of tensors", s->watch);
        s->watched = gm_copy_text(s->watch, (size_t)(equals - s->watch), e);
        if (!s->watched) return -1;
        s->beside = equals + 1;
    }
    s->terminal = isatty(STDERR_FILENO) && !s->quiet;
    clock_gettime(CLOCK_MONOTONIC, &s->start);
    return 0;
}

static double seconds_since(const struct timespec *then) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - then->tv_sec) + 1e-9 * (double)(now.tv_nsec - then->tv_nsec);
}

/* ---- CSV ---- */

static int column_add(logger *s, const char *name, size_t n, gm_error *e) {
    if (s->column_count == COLUMNS_MAX) return gm_fail(e, "%s: more than %d scalars", s->output, COLUMNS_MAX);
    char **columns = realloc(s->columns, (s->column_count + 1) * sizeof *columns);
    if (!columns) return gm_fail(e, "out of memory");
    s->columns = columns;
    columns[s->column_count] = gm_copy_text(name, n, e);
    return columns[s->column_count] ? (s->column_count++, 0) : -1;
}

static int columns_from_header(logger *s, char *header, gm_error *e) {
    header[strcspn(header, "\r\n")] = '\0';
    if (strncmp(header, "step", 4) != 0 || (header[4] != ',' && header[4] != '\0'))
        return gm_fail(e, "%s: exists and is no log of gm-log (its first column is not 'step')", s->output);
    s->headed = true;
    for (char *at = header + 4; *at == ',';) {
        size_t n = strcspn(++at, ",");
        if (column_add(s, at, n, e) != 0) return -1;
        at += n;
    }
    return 0;
}

/* A header that a killed run had begun to write: no log is lost if it is written anew. */
static bool is_torn_header(const char *line) {
    size_t n = strlen(line);
    if (strchr(line, '\n') || n + 1 == LINE_MAX_BYTES) return false;
    return strncmp(line, "step,", n < 5 ? n : 5) == 0;
}

/* A log that an earlier run left: keeps its rows before step `from`, cuts the rest (a half-written row too), and goes
 * on behind them. */
static int csv_resume(logger *s, uint64_t from, gm_error *e) {
    char *line = gm_new(LINE_MAX_BYTES, 1, e);
    long keep = 0;
    int status = line ? 0 : -1;
    if (status == 0 && fgets(line, LINE_MAX_BYTES, s->csv) && !is_torn_header(line)) {
        status = columns_from_header(s, line, e);
        keep = ftell(s->csv);
        while (status == 0 && fgets(line, LINE_MAX_BYTES, s->csv) && strchr(line, '\n')) {
            uint64_t step;
            line[strcspn(line, ",\n")] = '\0';
            if (!gm_parse_u64(line, 0, GM_STEP_MAX, &step))
                status = gm_fail(e, "%s: exists and has a row whose step is '%.40s'", s->output, line);
            if (status != 0 || step >= from) break;
            keep = ftell(s->csv);
        }
    }
    free(line);
    if (status != 0) return -1;
    if (ferror(s->csv)) return gm_fail_errno(e, "%s: cannot read", s->output);
    if (keep < 0 || fflush(s->csv) != 0 || ftruncate(fileno(s->csv), keep) != 0 || fseek(s->csv, keep, SEEK_SET) != 0)
        return gm_fail_errno(e, "%s", s->output);
    return 0;
}

/* A scalar's column: its name, with _ for what CSV would need quotes for. */
static const char *column_name(const char *name, char out[GM_NAME_MAX + 1]) {
    snprintf(out, GM_NAME_MAX + 1, "%s", name);
    for (char *c = out; (c = strpbrk(c, ",\"\n\r"));) *c = '_';
    return out;
}

static int csv_open(logger *s, uint64_t step, gm_error *e) {
    struct stat status;
    int fd = gm_open(s->output, O_RDWR | O_CREAT);
    if (fd < 0 || fstat(fd, &status) != 0) {
        gm_fail_errno(e, "%s", s->output);
        if (fd >= 0) close(fd);
        return -1;
    }
    s->regular = S_ISREG(status.st_mode);
    s->csv = fdopen(fd, s->regular ? "r+" : "w");
    if (!s->csv) {
        close(fd);
        return gm_fail(e, "out of memory");
    }
    return s->regular ? csv_resume(s, step, e) : 0;
}

static int csv_begin(logger *s, const gm_record *r, uint64_t step, gm_error *e) {
    char name[GM_NAME_MAX + 1];
    if (csv_open(s, step, e) != 0) return -1;
    if (s->headed) return 0;
    s->headed = true;
    fputs("step", s->csv);
    for (size_t i = 0; i < r->scalar_count; i++) {
        column_name(r->scalars[i].name, name);
        if (column_add(s, name, strlen(name), e) != 0) return -1;
        fprintf(s->csv, ",%s", name);
    }
    fputc('\n', s->csv);
    return 0;
}

/* A scalar that came later than the header gets a column, empty in the rows before: the file is written anew. */
static int csv_widen(logger *s, const char *name, gm_error *e) {
    gm_output out;
    char *line = NULL;
    size_t capacity = 0;
    if (column_add(s, name, strlen(name), e) != 0 || gm_output_open(&out, s->output, e) != 0) return -1;
    FILE *wide = fdopen(dup(out.fd), "w");
    rewind(s->csv);
    for (size_t row = 0; wide && getline(&line, &capacity, s->csv) > 0; row++) {
        line[strcspn(line, "\n")] = '\0';
        fprintf(wide, "%s,%s\n", line, row == 0 ? name : "");
    }
    free(line);
    bool whole = wide && feof(s->csv);
    if (wide && fclose(wide) != 0) whole = false;
    if (!whole) {
        gm_fail_errno(e, "%s", s->output);
        gm_output_abandon(&out);
        return -1;
    }
    if (gm_output_commit(&out, e) != 0) return -1;
    fclose(s->csv);
    int fd = gm_open(s->output, O_RDWR);
    s->csv = fd < 0 ? NULL : fdopen(fd, "r+");
    if (s->csv && fseek(s->csv, 0, SEEK_END) == 0) return 0;
    gm_fail_errno(e, "%s", s->output);
    if (!s->csv && fd >= 0) close(fd);
    return -1;
}

static int csv_columns(logger *s, const gm_record *r, gm_error *e) {
    char name[GM_NAME_MAX + 1];
    for (size_t i = 0; i < r->scalar_count; i++) {
        size_t c = 0;
        column_name(r->scalars[i].name, name);
        while (c < s->column_count && strcmp(s->columns[c], name) != 0) c++;
        if (c < s->column_count) continue;
        if (!s->regular)
            return gm_fail(e, "%s: '%s' has no column, and no regular file can be given one", s->output, name);
        if (csv_widen(s, name, e) != 0) return -1;
    }
    return 0;
}

/* The scalar of a column, if the record has it. */
static bool column_value(const gm_record *r, const char *column, double *value) {
    char name[GM_NAME_MAX + 1];
    for (size_t i = 0; i < r->scalar_count; i++) {
        if (strcmp(column_name(r->scalars[i].name, name), column) != 0) continue;
        *value = r->scalars[i].value;
        return true;
    }
    return false;
}

/* One row; flushed, because a run may be killed at any moment. */
static int csv_row(logger *s, const gm_record *r, uint64_t step, gm_error *e) {
    char number[32];
    if (csv_columns(s, r, e) != 0) return -1;
    fprintf(s->csv, "%" PRIu64, step);
    for (size_t i = 0; i < s->column_count; i++) {
        double value;
        bool there = column_value(r, s->columns[i], &value);
        fprintf(s->csv, ",%s", there ? gm_format_f32((float)value, number) : "");
    }
    fputc('\n', s->csv);
    if (fflush(s->csv) != 0) return gm_fail_errno(e, "%s", s->output);
    return 0;
}

/* ---- progress ---- */

static void remember(logger *s, const gm_record *r) {
    size_t n = 0;
    s->last[0] = '\0';
    for (size_t i = 0; i < r->scalar_count && n < sizeof s->last - 1; i++)
        n += (size_t)snprintf(s->last + n, sizeof s->last - n, "  %s %.3g", r->scalars[i].name, r->scalars[i].value);
}

/* " step 12480/20000  62%  loss/D 1.21  loss/G 0.93  395 it/s  0:19 left" */
static void show(logger *s) {
    double elapsed = seconds_since(&s->start), rate = elapsed > 0 ? (double)(s->next - s->first) / elapsed : 0;
    char total[64] = "", left[64] = "";
    if (s->total) {
        snprintf(total, sizeof total, "/%" PRIu64 "  %.0f%%", s->total, 100.0 * (double)s->next / (double)s->total);
        double rest = rate > 0 ? (double)(s->total - s->next) / rate : 0;
        if (s->next < s->total && rest < 360000)
            snprintf(left, sizeof left, "  %d:%02d left", (int)rest / 60, (int)rest % 60);
    }
    fprintf(stderr, "\r step %" PRIu64 "%s%s  %.0f it/s%s\033[K", s->next, total, s->last, rate, left);
}

/* ---- mode collapse ---- */

/* The mean over the columns of their standard deviation over the rows. */
static double spread(size_t rows, size_t columns, const float *x) {
    double total = 0;
    for (size_t c = 0; c < columns; c++) {
        double sum = 0, squares = 0;
        for (size_t i = 0; i < rows; i++) sum += (double)x[i * columns + c];
        double mean = sum / (double)rows;
        for (size_t i = 0; i < rows; i++) {
            double difference = (double)x[i * columns + c] - mean;
            squares += difference * difference;
        }
        total += sqrt(squares / (double)rows);
    }
    return total / (double)columns;
}

/* Says once that the generated rows have become all alike. */
static int watch(logger *s, const gm_call *call, gm_record *r, uint64_t step, gm_error *e) {
    size_t fakes, reals;
    if (!s->watch || s->warned || call->records % WATCH_EVERY != 0 || r->rows < 2) return 0;
    const float *fake = gm_record_finite(r, s->watched, &fakes, e);
    const float *real = fake ? gm_record_finite(r, s->beside, &reals, e) : NULL;
    if (!real) return -1;
    bool narrow = spread(r->rows, fakes, fake) < WATCH_SHARE * spread(r->rows, reals, real);
    s->narrow = narrow ? s->narrow + 1 : 0;
    if (s->narrow < WATCH_TIMES) return 0;
    s->warned = true;
    gm_say(call->tool->name,
           "%sstep %" PRIu64
           ": '%s' has spread less than a tenth as far as '%s' for %d records: its rows are all alike "
           "(mode collapse)",
           s->terminal ? "\r\033[K" : "", step, s->watched, s->beside, WATCH_EVERY * WATCH_TIMES);
    return 0;
}

/* ---- divergence ---- */

/* Says once that a scalar is not finite: gm-grad stops at such a loss, other filters may not. */
static void watch_scalars(logger *s, const gm_call *call, const gm_record *r, uint64_t step) {
    for (size_t i = 0; i < r->scalar_count && !s->told; i++) {
        if (isfinite(r->scalars[i].value)) continue;
        s->told = true;
        gm_say(call->tool->name, "%sstep %" PRIu64 ": '%s' is not finite: the training has diverged",
               s->terminal ? "\r\033[K" : "", step, r->scalars[i].name);
    }
}

static int log_process(gm_call *call, gm_record *r, gm_error *e) {
    logger *s = call->state;
    uint64_t step = r->has_step ? r->step : call->records;
    if (!s->began) {
        s->began = true;
        s->first = step;
        s->total = (uint64_t)gm_map_int(r->info, "total", 0);
        if (s->output && csv_begin(s, r, step, e) != 0) return -1;
    }
    s->next = step + 1;
    watch_scalars(s, call, r, step);
    if (watch(s, call, r, step, e) != 0) return -1;
    if (s->csv && (s->every <= 1 || s->next % s->every == 0) && csv_row(s, r, step, e) != 0) return -1;
    if (s->quiet) return 1;
    remember(s, r);
    if (s->terminal && seconds_since(&s->shown) >= 0.25) {
        clock_gettime(CLOCK_MONOTONIC, &s->shown);
        show(s);
    }
    return 1;
}

static int log_finish(gm_call *call, gm_error *e) {
    logger *s = call->state;
    /* a run that is finished already: what a killed one left half-written goes */
    if (!s->began && s->output && access(s->output, W_OK) == 0 && csv_open(s, GM_STEP_MAX + 1, e) != 0) return -1;
    if (s->csv) {
        int status = fclose(s->csv);
        s->csv = NULL;
        if (status != 0) return gm_fail_errno(e, "%s", s->output);
    }
    if (s->quiet) return 0;
    if (s->terminal) fputs("\r\033[K", stderr);
    if (!s->began) {
        fputs(" nothing to do: the stream held no record\n", stderr);
        return 0;
    }
    double elapsed = seconds_since(&s->start);
    fprintf(stderr, " step %" PRIu64 "%s  %.0f it/s  %.1f s\n", s->next, s->last,
            (double)(s->next - s->first) / elapsed, elapsed);
    return 0;
}

static void log_close(gm_call *call) {
    logger *s = call->state;
    if (s->csv) fclose(s->csv);
    free(s->watched);
    for (size_t i = 0; i < s->column_count; i++) free(s->columns[i]);
    free(s->columns);
}

static void log_access(const gm_call *call, gm_access *a) {
    const logger *s = call->state;
    gm_access_write(a, s->output);
}

const gm_tool gm_log_tool = {
    .name = "gm-log",
    .purpose = "Ends a training pipeline: writes each record's scalars as CSV and shows progress.",
    .synopsis = "[-o FILE] [--every N] [--watch FAKE=REAL] [--quiet]",
    .options = options,
    .state_size = sizeof(logger),
    .role = GM_SINK,
    .open = log_open,
    .access = log_access,
    .process = log_process,
    .finish = log_finish,
    .close = log_close,
};
