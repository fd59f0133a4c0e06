"""gm-sample and gm-save in a loop, while gm-step runs flat out on a model whose every weight is its step modulo CYCLE."""
import subprocess
import threading
import time

import msgpack
import numpy
import zstandard

from common import PLAIN, good, require

CYCLE = 500  # so that the weights of two steps differ by far more than rounding does
UNITS = 20000  # a slot is large enough that a copy of it and a step overlap often


def unpacked(data):
    stream = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True)
    return list(msgpack.Unpacker(stream, max_buffer_size=2**31 - 1))


def numbers(tensor):
    return numpy.frombuffer(tensor["data"], tensor["type"]).reshape(tensor["shape"])


def make_model(cwd):
    """x = step * (z + 1) in each of its columns; at step 0 all is 0."""
    good(f"gm-init -o W.gm --optimizer sgd:lr=1 1 dense:{UNITS}", cwd)
    record, _ = unpacked(good("gm-save --params W.gm", cwd))
    for tensor in record["tensors"].values():
        tensor["data"] = bytes(len(tensor["data"]))
    (cwd / "zero.gmt").write_bytes(msgpack.packb(record) + msgpack.packb({"gm": 1, "end": True, "records": 1}))
    good("gm-init --force -o W.gm --from zero.gmt", cwd)


def gradients(sink, stop):
    """A record for each step: -1 for every weight, and once in CYCLE steps what brings them all to 0 again."""
    def record(step, value):
        data = numpy.full(UNITS, value, "<f4").tobytes()
        tensors = {f"grad/W/0.{name}": {"nd": True, "type": "<f4", "shape": shape, "data": data}
                   for name, shape in (("W", [1, UNITS]), ("b", [UNITS]))}  # fmt: skip
        return msgpack.packb({"gm": 1, "step": step, "rows": 1, "tensors": tensors})

    head = len(msgpack.packb({"gm": 1, "step": 2**32})) - 9  # where the step stands, as 8 bytes
    up, down = record(2**32, -1), record(2**32, CYCLE - 1)
    step = 0
    while not stop.is_set():
        whole = down if (step + 1) % CYCLE == 0 else up
        sink.write(whole[: head + 1] + step.to_bytes(8, "big") + whole[head + 9 :])
        step += 1
    sink.write(msgpack.packb({"gm": 1, "end": True, "records": step}))
    sink.close()


def check_saved(data):
    record, _ = unpacked(data)
    for name, tensor in record["tensors"].items():
        values = numbers(tensor)
        require((values == record["step"] % CYCLE).all(), f"step {record['step']} has {name} of {values.min()} to {values.max()}")
    return record["step"]


def check_sampled(data):
    record, _ = unpacked(data)
    x, z = numbers(record["tensors"]["x"]), numbers(record["tensors"]["z"])
    step = x / (z + 1)
    require(numpy.allclose(step, round(float(step.mean())), rtol=1e-4), f"rows are of steps {step.min()} to {step.max()}")


def mixed(place, seconds):
    cwd = place.fresh("run")
    make_model(cwd)
    writer = subprocess.Popen(["gm-step", "-m", "W.gm"], cwd=cwd, env=PLAIN, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    stop = threading.Event()
    feeder = threading.Thread(target=gradients, args=(writer.stdin, stop))
    feeder.start()
    samples, last = 0, -1
    try:
        limit = time.monotonic() + seconds
        while time.monotonic() < limit or samples < 10:
            step = check_saved(good(["gm-save", "W.gm"], cwd))
            require(step >= last, f"the step fell from {last} to {step}")
            last = step
            check_sampled(good(f"gm-sample -m W.gm -n 5 -s {samples}", cwd))
            samples += 1
    finally:
        stop.set()
        feeder.join()
        status = writer.wait()
    require(status == 0, f"gm-step: status {status}")
    require(check_saved(good(["gm-save", "W.gm"], cwd)) > 10 * samples, "the steps were too slow to be seen between")
    return f"{samples} samples over {last} steps"
