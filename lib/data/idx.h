/* idx.h: LeCun's IDX files of bytes: pictures and their labels. Private to lib/data.
 *
 * A file is two zero bytes, a type (0x08: unsigned bytes), the rank, the dimensions as big-endian 32-bit numbers, and
 * the numbers in C order (Y. LeCun, C. Cortes, C. Burges: The MNIST database of handwritten digits). Plain or gzipped.
 */
#ifndef GM_DATA_IDX_H
#define GM_DATA_IDX_H

#include "gm/base.h"

typedef struct gm_idx gm_idx;

/* Reads the files' heads. Files of rank 2 [rows, columns] or 3 [rows, height, width] are pictures, of rank 1 labels;
 * the labels are those of the pictures in the same order, and must agree with them in number. All pictures are of one
 * size. first_fd: the first file, open already, which is closed in any case. */
GM_MUST_USE gm_idx *gm_idx_open(char *const *files, size_t file_count, int first_fd, gm_error *e);
void gm_idx_free(gm_idx *d);
size_t gm_idx_columns(const gm_idx *d);                            /* bytes of a picture */
void gm_idx_shape(const gm_idx *d, size_t *height, size_t *width); /* 0 and 0 for files of rank 2 */
bool gm_idx_labelled(const gm_idx *d);
/* The file that holds the labels of what was read last (or first), for messages. */
const char *gm_idx_label_file(const gm_idx *d);
/* Up to `wanted` pictures [wanted, columns] and (unless NULL) labels. The number of them, less than wanted only at the
 * end of a file; 0 at the end of all; -1. `first` (may be NULL) is the number of the first one in its file, from 0. */
GM_MUST_USE long gm_idx_next(gm_idx *d, size_t wanted, unsigned char *pictures, unsigned char *labels, size_t *first,
                             gm_error *e);

#endif
