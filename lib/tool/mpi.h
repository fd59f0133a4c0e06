/* mpi.h: the MPI of a job, found and started. Private to lib/tool. */
#ifndef GM_TOOL_MPI_H
#define GM_TOOL_MPI_H

#include "../mpi/plugin.h"
#include "gm/shard.h"

/* Loads gm-mpi.so and starts MPI for this process, which must be the only one of its rank; `own` is its place in the
 * job as the environment says, and MPI must see the same. NULL with a message. */
const gm_mpi *gm_mpi_start(const gm_shard *own, gm_error *e);

#endif
