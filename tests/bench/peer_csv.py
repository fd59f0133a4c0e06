"""CSV to a matrix of float32: `peer_csv.py pandas|polars FILE`, megabytes a second."""
import os
import sys

import peer

name, path = sys.argv[1:3]
library = peer.need(name)
np = peer.need("numpy")


def read():
    if name == "pandas":
        return library.read_csv(path, dtype=np.float32, engine="c").to_numpy()
    return library.read_csv(path).cast(library.Float32).to_numpy()


took = peer.seconds(read)
peer.serve(lambda: os.path.getsize(path) / 1e6 / took())
