#!/usr/bin/python3
"""Replays recorded GAN steps in NumPy, in double precision, and compares the parameters with those that the tools reached.

usage: replay.py DIRECTORY

DIRECTORY/records holds the records behind gm-noise (x, z and the step), DIRECTORY/G.STEP and D.STEP what gm-save wrote of the
models at some steps, the first one included. At each of these steps the parameters are compared, and the replay goes on from
what was saved. Reads nothing but these streams. Prints the largest difference of each comparison, relative to the
tensor's largest number, and exits 1 if one is above 1e-4. The losses are those of pipelines/gan.mk.
"""
import io
import os
import sys

import msgpack
import numpy as np
import zstandard

TOLERANCE = 1e-4


def records(path):
    reader = zstandard.ZstdDecompressor().stream_reader(open(path, "rb"), read_across_frames=True)
    ended = False
    for record in msgpack.Unpacker(io.BufferedReader(reader), max_buffer_size=1 << 30):
        ended = "end" in record
        if ended:
            continue
        record["tensors"] = {
            name: np.frombuffer(t["data"], t["type"]).reshape(t["shape"]).astype(np.float64)
            for name, t in record["tensors"].items()
        }
        yield record
    if not ended:
        sys.exit(f"replay: {path}: no end record")


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


class Net:
    """A network of dense layers with Adam (Kingma, Ba 2015, algorithm 1)."""

    def __init__(self, path):
        (saved,) = records(path)
        spec, tensors = saved["info"]["model"], saved["tensors"]
        self.step, self.t = saved["step"], saved["info"]["updates"]
        self.activations = [layer.split(":")[2] for layer in spec["layers"]]
        self.p = {n: tensors[n] for n in tensors if n.count("/") == 0}
        self.m = {n: tensors[n + "/m"] for n in self.p}
        self.v = {n: tensors[n + "/v"] for n in self.p}
        self.hyper = {k: float(v) for k, v in (kv.split("=") for kv in spec["optimizer"].split(":")[1].split(","))}

    def forward(self, x):
        """Inputs of each layer, and the value before the last activation."""
        inputs = []
        for i, activation in enumerate(self.activations):
            inputs.append(x)
            v = x @ self.p[f"{i}.W"] + self.p[f"{i}.b"]
            x = {"leaky": lambda: np.where(v > 0, v, 0.2 * v), "relu": lambda: np.maximum(v, 0),
                 "tanh": lambda: np.tanh(v), "sigmoid": lambda: sigmoid(v), "linear": lambda: v}[activation]()
        return inputs, v, x

    def backward(self, inputs, dv):
        """From the gradient at the value before the last activation: of the parameters, and of the input."""
        grads = {}
        for i in reversed(range(len(inputs))):
            grads[f"{i}.W"], grads[f"{i}.b"] = inputs[i].T @ dv, dv.sum(0)
            dx = dv @ self.p[f"{i}.W"].T
            if i:
                h = inputs[i]
                dv = {"leaky": lambda: dx * np.where(h > 0, 1, 0.2), "relu": lambda: dx * (h > 0),
                      "tanh": lambda: dx * (1 - h * h)}[self.activations[i - 1]]()
        return grads, dx

    def update(self, grads):
        self.t += 1
        h = self.hyper
        for n, g in grads.items():
            self.m[n] = h["beta1"] * self.m[n] + (1 - h["beta1"]) * g
            self.v[n] = h["beta2"] * self.v[n] + (1 - h["beta2"]) * g * g
            mean = self.m[n] / (1 - h["beta1"] ** self.t)
            var = self.v[n] / (1 - h["beta2"] ** self.t)
            self.p[n] = self.p[n] - h["lr"] * mean / (np.sqrt(var) + h["eps"])


def gan_step(g, d, x, z):
    g_inputs, _, fake = g.forward(z)
    real_inputs, real, _ = d.forward(x)
    fake_inputs, score, _ = d.forward(fake)
    real_grads, _ = d.backward(real_inputs, (sigmoid(real) - 1) / len(x))
    fake_grads, _ = d.backward(fake_inputs, sigmoid(score) / len(x))
    d.update({n: real_grads[n] + fake_grads[n] for n in real_grads})
    fake_inputs, score, _ = d.forward(fake)
    _, d_fake = d.backward(fake_inputs, (sigmoid(score) - 1) / len(x))
    grads, _ = g.backward(g_inputs, d_fake * (1 - fake * fake))
    g.update(grads)


def compare(replayed, saved):
    """The largest difference of a parameter, relative to its tensor's largest number."""
    assert saved.step == replayed.step and saved.t == replayed.t
    return max(np.abs(p - saved.p[n]).max() / np.abs(p).max() for n, p in replayed.p.items())


def main():
    (directory,) = sys.argv[1:]
    g = d = None
    worst, compared, replayed = 0.0, 0, 0

    def saved(name, step):
        path = os.path.join(directory, f"{name}.{step}")
        return Net(path) if os.path.exists(path) else None

    def check(step):
        nonlocal g, d, worst, compared
        saved_g, saved_d = saved("G", step), saved("D", step)
        if g and saved_g:
            differences = compare(g, saved_g), compare(d, saved_d)
            print(f"step {step} relative difference G {differences[0]:.1e} D {differences[1]:.1e}")
            worst, compared = max(worst, *differences), compared + 1
        g, d = saved_g or g, saved_d or d

    for record in records(os.path.join(directory, "records")):
        check(record["step"])
        assert record["step"] == g.step, "a record is missing"
        gan_step(g, d, record["tensors"]["x"], record["tensors"]["z"])
        g.step, d.step, replayed = g.step + 1, d.step + 1, replayed + 1
    check(g.step)
    print(f"steps {replayed} comparisons {compared} worst {worst:.2e}")
    return not (compared and worst <= TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
