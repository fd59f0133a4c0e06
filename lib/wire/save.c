/* save.c: one record as a file, whole or not at all. */
#include "gm/stream.h"

int gm_stream_save(const char *path, const gm_record *record, gm_error *e) {
    gm_output out;
    if (gm_output_open(&out, path, e) != 0) return -1;
    int level;
    gm_writer *w = gm_level_for(out.fd, &level, e) == 0 ? gm_writer_new(out.fd, path, level, e) : NULL;
    int status = w && gm_writer_put(w, record, e) == 0 && gm_writer_finish(w, e) == 0 ? 0 : -1;
    gm_writer_free(w);
    if (status == 0) return gm_output_commit(&out, e);
    gm_output_abandon(&out);
    return -1;
}
