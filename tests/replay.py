#!/usr/bin/env python3
"""Replays recorded GAN steps in NumPy, in double precision, and compares the parameters with those that the tools reached.

usage: replay.py RECORDS G0 D0 G1 D1

RECORDS holds the records behind gm-noise (x, z and the step); G0, D0 are gm-save's streams of the models before the first of
them, G1, D1 after the last. Reads nothing but these streams. Prints the largest relative difference of each tensor (against the
tensor's largest number) and exits 1 if one is above 1e-4. The losses are those of pipelines/gan.mk.
"""
import io
import sys

import msgpack
import numpy as np
import zstandard

TOLERANCE = 1e-4


def records(path):
    reader = zstandard.ZstdDecompressor().stream_reader(open(path, "rb"), read_across_frames=True)
    for record in msgpack.Unpacker(io.BufferedReader(reader), max_buffer_size=1 << 30):
        if "end" in record:
            return
        record["tensors"] = {
            name: np.frombuffer(t["data"], t["type"]).reshape(t["shape"]).astype(np.float64)
            for name, t in record["tensors"].items()
        }
        yield record
    sys.exit(f"replay: {path}: no end record")


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


class Net:
    """A network of dense layers with Adam (Kingma, Ba 2015, algorithm 1)."""

    def __init__(self, path):
        (saved,) = records(path)
        spec, tensors = saved["info"]["model"], saved["tensors"]
        self.step = saved["step"]
        self.activations = [layer.split(":")[2] for layer in spec["layers"]]
        self.p = {n: tensors[n] for n in tensors if n.count("/") == 0}
        self.m = {n: np.zeros_like(p) for n, p in self.p.items()}
        self.v = {n: np.zeros_like(p) for n, p in self.p.items()}
        self.hyper = {k: float(v) for k, v in (kv.split("=") for kv in spec["optimizer"].split(":")[1].split(","))}
        self.t = 0

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


def main():
    path, g0, d0, g1, d1 = sys.argv[1:]
    g, d = Net(g0), Net(d0)
    steps = 0
    for record in records(path):
        assert record["step"] == g.step + steps, "a record is missing"
        x, z = record["tensors"]["x"], record["tensors"]["z"]
        rows = len(x)
        g_inputs, _, fake = g.forward(z)
        real_inputs, real, _ = d.forward(x)
        fake_inputs, score, _ = d.forward(fake)
        real_grads, _ = d.backward(real_inputs, (sigmoid(real) - 1) / rows)
        fake_grads, _ = d.backward(fake_inputs, sigmoid(score) / rows)
        d.update({n: real_grads[n] + fake_grads[n] for n in real_grads})
        fake_inputs, score, _ = d.forward(fake)
        _, d_fake = d.backward(fake_inputs, (sigmoid(score) - 1) / rows)
        grads, _ = g.backward(g_inputs, d_fake * (1 - fake * fake))
        g.update(grads)
        steps += 1
    worst = 0.0
    for name, net, after in (("G", g, Net(g1)), ("D", d, Net(d1))):
        assert after.step == net.step + steps, "the saved models are not of the last record's step"
        for n, p in net.p.items():
            difference = np.abs(p - after.p[n]).max() / np.abs(p).max()
            moved = np.abs(p - Net(g0 if name == "G" else d0).p[n]).max()
            print(f"{name} {n} relative difference {difference:.2e} (moved by {moved:.2e})")
            worst = max(worst, difference)
    print(f"steps {steps} worst {worst:.2e}")
    return worst > TOLERANCE or steps == 0


if __name__ == "__main__":
    sys.exit(main())
