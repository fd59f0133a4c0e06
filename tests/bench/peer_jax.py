"""JAX: `peer_jax.py gan|wide|mlp|vae STEPS [IMAGES LABELS]`, on the processors it was given.

Its best form: the whole step in one jitted function, its state donated, rows shuffled once for each pass over them.
"""
import os
import sys
from functools import partial

import peer

os.environ.setdefault("JAX_PLATFORMS", "cpu")
jax = peer.need("jax")
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

work, steps = sys.argv[1], int(sys.argv[2])


def parameters(units, rng):
    return [
        (jnp.asarray(rng.normal(0, (2 / (i + o)) ** 0.5, (i, o)), jnp.float32), jnp.zeros(o))
        for i, o in zip(units, units[1:])
    ]


def apply(net, x):
    for w, b in net[:-1]:
        x = jax.nn.relu(x @ w + b)
    return x @ net[-1][0] + net[-1][1]


def bce(logits, target):
    return jnp.mean(jax.nn.softplus(logits) - target * logits)


def adam(net, m, v, gradient, step, lr, beta1, beta2=0.999, epsilon=1e-8):
    rate = lr * jnp.sqrt(1 - beta2**step) / (1 - beta1**step)
    m = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, m, gradient)
    v = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, v, gradient)
    return jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + epsilon), net, m, v), m, v


def fresh(units, rng):
    net = parameters(units, rng)
    return net, jax.tree.map(jnp.zeros_like, net), jax.tree.map(jnp.zeros_like, net)


def gan():
    g_units, d_units = peer.GANS[work]
    rng = np.random.default_rng(1)

    def step(state, x):
        (g, gm, gv), (d, dm, dv), key, t = state
        key, now = jax.random.split(key)
        z = jax.random.normal(now, (peer.BATCH, g_units[0]))
        t = t + 1
        fake, pull = jax.vjp(lambda g: jnp.tanh(apply(g, z)), g)
        targets = jnp.concatenate([jnp.ones((peer.BATCH, 1)), jnp.zeros((peer.BATCH, 1))])
        d_gradient = jax.grad(lambda d: 2 * bce(apply(d, jnp.concatenate([x, fake])), targets))(d)
        d, dm, dv = adam(d, dm, dv, d_gradient, t, 2e-4, 0.5)
        loss, to_fake = jax.value_and_grad(lambda fake: bce(apply(d, fake), 1.0))(fake)
        g, gm, gv = adam(g, gm, gv, pull(to_fake)[0], t, 2e-4, 0.5)
        return ((g, gm, gv), (d, dm, dv), key, t), loss

    state = (fresh(g_units, rng), fresh(d_units, rng), jax.random.key(3, impl="rbg"), jnp.float32(0))
    return step, state, peer.batches(peer.uniform_rows(g_units[-1]))


def mlp():
    x, y = peer.pictures(*sys.argv[3:5])

    def step(state, x, y):
        (net, m, v), t = state

        def loss_of(net):
            logits = jax.nn.log_softmax(apply(net, x))
            return -jnp.mean(jnp.take_along_axis(logits, y[:, None], axis=1))

        loss, gradient = jax.value_and_grad(loss_of)(net)
        return (adam(net, m, v, gradient, t + 1, 1e-3, 0.9), t + 1), loss

    return step, (fresh(peer.MLP, np.random.default_rng(1)), jnp.float32(0)), peer.batches(x, y.astype(np.int32))


def vae():
    x, y = peer.pictures(*sys.argv[3:5])
    rng = np.random.default_rng(1)
    nets = (
        parameters([784, peer.VAE_HIDDEN, 2 * peer.VAE_LATENT], rng),
        parameters([peer.VAE_LATENT, peer.VAE_HIDDEN, 784], rng),
    )

    def step(state, x):
        (nets, m, v), key, t = state
        key, now = jax.random.split(key)
        noise = jax.random.normal(now, (peer.BATCH, peer.VAE_LATENT))

        def loss_of(nets):
            encoder, decoder = nets
            mean, log_variance = jnp.split(apply(encoder, x), 2, axis=1)
            logits = apply(decoder, mean + noise * jnp.exp(0.5 * log_variance))
            likelihood = jnp.sum(jax.nn.softplus(logits) - x * logits)
            kl = -0.5 * jnp.sum(1 + log_variance - mean**2 - jnp.exp(log_variance))
            return (likelihood + kl) / len(x)

        loss, gradient = jax.value_and_grad(loss_of)(nets)
        return (adam(nets, m, v, gradient, t + 1, 1e-3, 0.9), key, t + 1), loss

    zeros = jax.tree.map(jnp.zeros_like, nets)
    state = ((nets, zeros, jax.tree.map(jnp.zeros_like, nets)), jax.random.key(3, impl="rbg"), jnp.float32(0))
    return step, state, peer.batches(x)


step, state, rows = {"gan": gan, "wide": gan, "mlp": mlp, "vae": vae}[work]()
jitted = partial(jax.jit, donate_argnums=(0,))(step)


def run(count):
    global state
    for _ in range(count):
        state, loss = jitted(state, *next(rows))
    assert np.isfinite(loss)


run(20)
peer.serve(peer.milliseconds(run, steps))
