"""PyTorch: `peer_torch.py gan|wide|mlp|vae eager|compile THREADS STEPS [IMAGES LABELS]`.

Its best form: one pass of the discriminator over real and fake rows together, gradients of those parameters only that
are stepped, the fused Adam, noise made where it is used, rows shuffled once for each pass over them.
"""
import sys

import peer

torch = peer.need("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

work, form, threads, steps = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
torch.set_num_threads(threads)
torch.manual_seed(1)
torch.set_flush_denormal(True)


def chain(units, last=None):
    layers = []
    for i in range(len(units) - 1):
        layers += [nn.Linear(units[i], units[i + 1]), nn.ReLU()]
    return nn.Sequential(*layers[:-1], *([last] if last else []))


def adam(parameters, lr, beta1):
    return torch.optim.Adam(parameters, lr=lr, betas=(beta1, 0.999), fused=True)


def maybe_compiled(function):
    return torch.compile(function) if form == "compile" else function


def batches(rows, *others):
    """For ever: batches of all tensors, shuffled alike."""
    while True:
        order = torch.randperm(len(rows))
        shuffled = [t[order] for t in (rows, *others)]
        for i in range(0, len(rows) - peer.BATCH + 1, peer.BATCH):
            yield [t[i : i + peer.BATCH] for t in shuffled]


def gan():
    g_units, d_units = peer.GANS[work]
    generator, discriminator = chain(g_units, nn.Tanh()), chain(d_units)
    g_parameters, d_parameters = list(generator.parameters()), list(discriminator.parameters())
    g_adam, d_adam = adam(g_parameters, 2e-4, 0.5), adam(d_parameters, 2e-4, 0.5)
    targets = torch.cat([torch.ones(peer.BATCH, 1), torch.zeros(peer.BATCH, 1)])
    ones = torch.ones(peer.BATCH, 1)
    rows = batches(torch.from_numpy(peer.uniform_rows(g_units[-1])))

    @maybe_compiled
    def d_loss(x, fake):
        return 2 * F.binary_cross_entropy_with_logits(discriminator(torch.cat([x, fake])), targets)

    @maybe_compiled
    def generate(z):
        return generator(z)

    @maybe_compiled
    def g_loss(fake):
        return F.binary_cross_entropy_with_logits(discriminator(fake), ones)

    def run(count):
        for _ in range(count):
            (x,) = next(rows)
            fake = generate(torch.randn(peer.BATCH, g_units[0]))
            d_adam.zero_grad()
            d_loss(x, fake.detach()).backward()
            d_adam.step()
            g_adam.zero_grad()
            loss = g_loss(fake)
            loss.backward(inputs=g_parameters)
            g_adam.step()
        assert torch.isfinite(loss)

    return run


def mlp():
    net = chain(peer.MLP)
    optimizer = adam(net.parameters(), 1e-3, 0.9)
    x, y = peer.pictures(*sys.argv[5:7])
    rows = batches(torch.from_numpy(x), torch.from_numpy(y))

    @maybe_compiled
    def loss_of(x, y):
        return F.cross_entropy(net(x), y)

    def run(count):
        for _ in range(count):
            optimizer.zero_grad()
            loss = loss_of(*next(rows))
            loss.backward()
            optimizer.step()
        assert torch.isfinite(loss)

    return run


def vae():
    encoder = chain([784, peer.VAE_HIDDEN, 2 * peer.VAE_LATENT])
    decoder = chain([peer.VAE_LATENT, peer.VAE_HIDDEN, 784])
    optimizer = adam([*encoder.parameters(), *decoder.parameters()], 1e-3, 0.9)
    x, y = peer.pictures(*sys.argv[5:7])
    rows = batches(torch.from_numpy(x))

    @maybe_compiled
    def loss_of(x, noise):
        mean, log_variance = encoder(x).chunk(2, dim=1)
        z = mean + noise * torch.exp(0.5 * log_variance)
        likelihood = F.binary_cross_entropy_with_logits(decoder(z), x, reduction="sum")
        kl = -0.5 * torch.sum(1 + log_variance - mean**2 - log_variance.exp())
        return (likelihood + kl) / len(x)

    def run(count):
        for _ in range(count):
            (x,) = next(rows)
            optimizer.zero_grad()
            loss = loss_of(x, torch.randn(peer.BATCH, peer.VAE_LATENT))
            loss.backward()
            optimizer.step()
        assert torch.isfinite(loss)

    return run


run = {"gan": gan, "wide": gan, "mlp": mlp, "vae": vae}[work]()
try:
    run(20)
except Exception as e:  # a compiler that does not work here
    peer.absent(f"{type(e).__name__}: {e}")
peer.serve(peer.milliseconds(run, steps))
