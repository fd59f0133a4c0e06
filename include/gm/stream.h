/* stream.h: records to and from file descriptors, in the format of gm-stream(5).
 *
 * A reader and a writer own their buffers, never the descriptor. What is refused, and why, is in gm-stream(5) under
 * REFUSALS; every message names the record (counted from 0) and, where there is one, the tensor.
 */
#ifndef GM_STREAM_H
#define GM_STREAM_H

#include "gm/record.h"

#define GM_MAX_TENSOR_DEFAULT ((size_t)1 << 30)

typedef struct gm_reader gm_reader;
typedef struct gm_writer gm_writer;

/* `name` is what messages call the source ("standard input", a file's name). A tensor above max_tensor bytes is
 * refused. */
GM_MUST_USE gm_reader *gm_reader_new(int fd, const char *name, size_t max_tensor, gm_error *e);
void gm_reader_free(gm_reader *r);

/* While the reader waits for input it watches `output` too, if that is a pipe (gm_pipe_is_broken). */
void gm_reader_watch(gm_reader *r, int output);

/* Reads the next record into `record` (cleared first). 1: a record is there; 0: the stream ended with its end
 * record; -1: it did not, or is broken. An end record that is followed by more records (cat a b) goes on. Its tensors
 * may lie in memory of the reader: they are there until the next call with the same reader, or its end. */
GM_MUST_USE int gm_reader_next(gm_reader *r, gm_record *record, gm_error *e);

/* Records read so far, over all streams that were concatenated. */
uint64_t gm_reader_records(const gm_reader *r);

/* True if these first bytes of a file can begin a stream (a zstd or skippable frame, a msgpack map). */
bool gm_stream_magic(const unsigned char *bytes, size_t n);

/* Compression: GM_LEVEL_STORE writes stored blocks, else a zstd level (-7 to 19). gm_level_for(fd) chooses: GM_LEVEL in
 * the environment if set ("store" or a level), else 3 for a regular file and stored blocks for all else. */
#define GM_LEVEL_STORE (-1000)
GM_MUST_USE int gm_level_for(int fd, int *level, gm_error *e);

GM_MUST_USE gm_writer *gm_writer_new(int fd, const char *name, int level, gm_error *e);
void gm_writer_free(gm_writer *w);
/* Writes one record whole. -1 with a message; errno EPIPE is told by gm_writer_broken. */
GM_MUST_USE int gm_writer_put(gm_writer *w, const gm_record *record, gm_error *e);
/* Writes the end record. Nothing may be put after it. */
GM_MUST_USE int gm_writer_finish(gm_writer *w, gm_error *e);
/* True once a write failed because nobody reads any more. */
bool gm_writer_broken(const gm_writer *w);

/* Writes `record` and an end record to a file, whole or not at all: under a temporary name, synced, renamed. */
GM_MUST_USE int gm_stream_save(const char *path, const gm_record *record, gm_error *e);

/* One value as msgpack bytes and back (a model's first page). gm_value_pack allocates *bytes (release with free).
 * gm_value_unpack refuses what is cut, nested over GM_DEPTH_MAX, or has bytes behind it. */
GM_MUST_USE int gm_value_pack(const gm_value *v, unsigned char **bytes, size_t *n, gm_error *e);
GM_MUST_USE gm_value *gm_value_unpack(const unsigned char *bytes, size_t n, gm_error *e);

/* The end of a file that is written under a temporary name: gm_output_open makes FILE's directory entry TEMP (FILE with
 * a suffix; mode 0666 less umask), gm_output_commit syncs it, renames it to FILE and syncs the directory,
 * gm_output_abandon removes it. */
#define GM_MODEL_MAGIC "gm-model" /* what a model file begins with: gm_output_open refuses to replace one */
typedef struct gm_output {
    int fd;
    char *path;
    char *temporary;
} gm_output;
GM_MUST_USE int gm_output_open(gm_output *o, const char *path, gm_error *e);
GM_MUST_USE int gm_output_commit(gm_output *o, gm_error *e);
void gm_output_abandon(gm_output *o);

#endif
