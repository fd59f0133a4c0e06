/* lane.h: a lane of shared memory beside a pipe, for two neighbours that are both gm tools; not a public header.
 *
 * What goes through a pipe is copied twice, and hashed twice one number after the other. A lane copies it once, and
 * hashes it in vectors:
 *
 *   1. The two meet by sockets that are named after the pipe (unix(7), "abstract"): each listens, then calls the other,
 *      so that whoever comes last finds who came first. Only who reads and writes records itself does: cat, tee or a
 *      filter in another language never will.
 *   2. The writer with a second large record makes sealed memory of a few slots (memfd_create(2)) and sends its
 *      descriptor. (For one record it would not pay.)
 *   3. The reader that meets a large record in the pipe looks for such memory, maps it and answers.
 *   4. From then on the writer copies the content of large records into free slots. Through the pipe goes, in such a
 *      record's place, a ticket with the checksum.
 *   5. The reader checks it, and reads the content where it lies; tensors stay there. It gives the slot back when it
 *      goes on to what follows.
 *
 * So order, waiting, the end of the stream and a broken pipe are still the pipe's. Both ends are processes of one user
 * (SO_PEERCRED), and those that are opened before gm_confine call each other: a confined process can only be called.
 * Whatever cannot be done sends the record through the pipe: no lane is ever an error of a writer.
 */
#ifndef GM_LANE_H
#define GM_LANE_H

#include "wire.h"

#define GM_LANE_MIN ((size_t)8 << 10) /* bytes of content from which a lane is faster than the pipe */
#define GM_LANE_TICKET ((size_t)32)

/* GM_LANES in the environment: 1, which is the default, or 0. */
GM_MUST_USE int gm_lane_allowed(bool *allowed, gm_error *e);

/* ---- the writer's end ---- */

typedef struct gm_lane_out gm_lane_out;

/* NULL if nothing can be done, or the descriptor is no pipe. */
gm_lane_out *gm_lane_out_new(int fd);
void gm_lane_out_free(gm_lane_out *o);

/* True if the record lies in a slot now: the ticket is to be written to the pipe next, and nothing else of the record.
 * Waits a little while for a slot; false if the record has to go through the pipe. */
GM_MUST_USE bool gm_lane_put(gm_lane_out *o, const gm_packed *p, unsigned char ticket[GM_LANE_TICKET]);

/* ---- the reader's end ---- */

typedef struct gm_lane_in gm_lane_in;

/* As gm_lane_out_new. */
gm_lane_in *gm_lane_in_new(int fd);
void gm_lane_in_free(gm_lane_in *i);

/* Takes over the memory that the writer may have sent. For when a large record comes through the pipe. */
void gm_lane_look(gm_lane_in *i);

bool gm_lane_is_ticket(const unsigned char *bytes, size_t n);

/* Goes to the content that a ticket stands for, of *total bytes. */
GM_MUST_USE int gm_lane_open(gm_lane_in *i, const unsigned char *ticket, uint64_t *total, gm_error *e);

/* The next piece of that content, aligned to GM_ALIGN: `n` bytes, the caller's until gm_lane_give_back. */
GM_MUST_USE int gm_lane_piece(gm_lane_in *i, unsigned char **bytes, size_t *n, gm_error *e);

/* Gives the slot back, if one is held. */
void gm_lane_give_back(gm_lane_in *i);

#endif
