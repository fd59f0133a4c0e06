#!/usr/bin/env python3
"""The VAE of `tests/figures vae` in PyTorch: vae_replica.py TRAIN-IMAGES.gz TEST-IMAGES.gz SEED

784-400-20, relu, Bernoulli likelihood on grey pixels, Adam (1e-3), batches of 128 (the last, short one dropped), 20 epochs,
Glorot's initial weights, biases 0. Pixels 0 to 255 become 0 to 1, as gm-init --scale range:0,1 makes them.
Prints the negative evidence lower bound of the test pictures in nats, the latent variables drawn once for each.
"""
import gzip
import sys

import torch
from torch import nn
from torch.nn import functional


def pictures(name):
    with gzip.open(name) as f:
        data = f.read()
    rows = int.from_bytes(data[4:8], "big")
    return torch.frombuffer(bytearray(data[16:]), dtype=torch.uint8).reshape(rows, -1).float()


torch.manual_seed(int(sys.argv[3]))
torch.set_num_threads(1)
train, test = pictures(sys.argv[1]) / 255, pictures(sys.argv[2]) / 255

layers = [nn.Linear(784, 400), nn.Linear(400, 40), nn.Linear(20, 400), nn.Linear(400, 784)]
for layer in layers:
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
optimizer = torch.optim.Adam([p for layer in layers for p in layer.parameters()], lr=1e-3)


def bound(x):
    mean, log_variance = layers[1](layers[0](x).relu()).chunk(2, 1)
    z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
    logits = layers[3](layers[2](z).relu())
    divergence = (mean**2 + log_variance.exp() - 1 - log_variance).sum() / 2
    return (functional.binary_cross_entropy_with_logits(logits, x, reduction="sum") + divergence) / len(x)


for epoch in range(20):
    order = torch.randperm(len(train))
    for i in range(0, len(train) - 127, 128):
        optimizer.zero_grad()
        bound(train[order[i : i + 128]]).backward()
        optimizer.step()
with torch.no_grad():
    print("%.3f" % bound(test))
