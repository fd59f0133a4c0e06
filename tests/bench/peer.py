"""What peers of `make bench` have in common.

A peer prepares and warms up, says `ready`, and then answers each line of standard input (one turn) with one number. If
it cannot take part it says `absent` and why. Libraries that print go to standard error.
"""
import gzip
import importlib
import os
import sys
import time

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

# CLOCK=cpu: processor time instead of time, for a machine that others use too.
clock = time.process_time if os.environ.get("CLOCK") == "cpu" else time.perf_counter
BATCH = 128
# The works: layers of units; what a generator is fed with comes first.
GANS = {"gan": ([20, 128, 256, 100], [100, 256, 128, 1]), "wide": ([64, 256, 512, 784], [784, 512, 256, 1])}
GAN_ROWS = 10000
MLP = [784, 256, 128, 10]
VAE_HIDDEN, VAE_LATENT = 400, 20


def batches(*arrays):
    """Shuffled batches of rows of all arrays, without end."""
    import numpy as np

    rng = np.random.default_rng(2)
    while True:
        order = rng.permutation(len(arrays[0]))
        shuffled = [a[order] for a in arrays]
        for i in range(0, len(order) - BATCH + 1, BATCH):
            yield [a[i : i + BATCH] for a in shuffled]


def absent(why):
    print("absent", " ".join(str(why).split())[:100], file=answers, flush=True)
    sys.exit(0)


def need(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        absent(f"{name.split('.')[0]} is not installed")


def serve(turn, **others):
    """Calls turn() for each line, or the other that the line names, and hands its number on."""
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        print(f"{others.get(line.strip(), turn)():.9g}", file=answers, flush=True)


def milliseconds(step, count):
    """A turn: step(count) does `count` steps."""

    def turn():
        start = clock()
        step(count)
        return (clock() - start) / count * 1e3

    return turn


def seconds(work):
    def turn():
        start = clock()
        work()
        return clock() - start

    return turn


def idx(path):
    import numpy as np

    with gzip.open(path) if path.endswith(".gz") else open(path, "rb") as f:
        data = f.read()
    rank = data[3]
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(rank)]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def pictures(images, labels):
    """Grey values in 0..1 [rows, 784] and class numbers."""
    import numpy as np

    x = idx(images)
    return x.reshape(len(x), -1).astype(np.float32) / 255, idx(labels).astype(np.int64)


def uniform_rows(columns):
    import numpy as np

    return np.random.default_rng(1).uniform(-1, 1, (GAN_ROWS, columns)).astype(np.float32)
