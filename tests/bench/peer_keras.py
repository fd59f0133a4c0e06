"""Keras on TensorFlow: `peer_keras.py gan|wide|mlp|vae THREADS STEPS [IMAGES LABELS]`.

Its best form: the whole step as one graph (train_step), compiled by XLA, called by train_on_batch.
"""
import os
import sys

import peer

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
tf = peer.need("tensorflow")
keras = peer.need("keras")
import numpy as np  # noqa: E402

work, threads, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
tf.config.threading.set_intra_op_parallelism_threads(threads)
tf.config.threading.set_inter_op_parallelism_threads(1)
keras.utils.set_random_seed(1)


def chain(units, last=None):
    layers = [keras.layers.Dense(u, activation="relu") for u in units[1:-1]]
    return keras.Sequential([keras.Input((units[0],)), *layers, keras.layers.Dense(units[-1], activation=last)])


def bce(logits, targets):
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(logits=logits, labels=targets))


class Gan(keras.Model):
    def __init__(self, g_units, d_units):
        super().__init__()
        self.generator, self.discriminator, self.noise = chain(g_units, "tanh"), chain(d_units), g_units[0]
        self.g_adam, self.d_adam = (keras.optimizers.Adam(2e-4, beta_1=0.5) for _ in range(2))
        self.g_adam.build(self.generator.trainable_variables)
        self.d_adam.build(self.discriminator.trainable_variables)

    def train_step(self, data):
        x = keras.utils.unpack_x_y_sample_weight(data)[0]
        targets = tf.concat([tf.ones((peer.BATCH, 1)), tf.zeros((peer.BATCH, 1))], 0)
        z = tf.random.normal((peer.BATCH, self.noise))
        with tf.GradientTape() as of_g:
            fake = self.generator(z)
            with tf.GradientTape(watch_accessed_variables=False) as of_d:
                of_d.watch([v.value for v in self.discriminator.trainable_variables])
                d_loss = 2 * bce(self.discriminator(tf.concat([x, tf.stop_gradient(fake)], 0)), targets)
            d_variables = self.discriminator.trainable_variables
            with of_g.stop_recording():
                self.d_adam.apply_gradients(zip(of_d.gradient(d_loss, d_variables), d_variables))
            g_loss = bce(self.discriminator(fake), tf.ones((peer.BATCH, 1)))
        g_variables = self.generator.trainable_variables
        self.g_adam.apply_gradients(zip(of_g.gradient(g_loss, g_variables), g_variables))
        return {"d_loss": d_loss, "g_loss": g_loss}


class Vae(keras.Model):
    def __init__(self):
        super().__init__()
        self.encoder = chain([784, peer.VAE_HIDDEN, 2 * peer.VAE_LATENT])
        self.decoder = chain([peer.VAE_LATENT, peer.VAE_HIDDEN, 784])

    def train_step(self, data):
        x = keras.utils.unpack_x_y_sample_weight(data)[0]
        with tf.GradientTape() as tape:
            mean, log_variance = tf.split(self.encoder(x), 2, axis=1)
            z = mean + tf.random.normal((peer.BATCH, peer.VAE_LATENT)) * tf.exp(0.5 * log_variance)
            likelihood = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(logits=self.decoder(z), labels=x))
            kl = -0.5 * tf.reduce_sum(1 + log_variance - mean**2 - tf.exp(log_variance))
            loss = (likelihood + kl) / peer.BATCH
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        return {"loss": loss}


if work in peer.GANS:
    model = Gan(*peer.GANS[work])
    model.compile(jit_compile=True)
    rows = peer.batches(peer.uniform_rows(peer.GANS[work][0][-1]))
elif work == "mlp":
    model = chain(peer.MLP)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, jit_compile=True)
    rows = peer.batches(*peer.pictures(*sys.argv[4:6]))
else:
    model = Vae()
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=True)
    rows = peer.batches(peer.pictures(*sys.argv[4:6])[0])


def run(count):
    for _ in range(count):
        losses = model.train_on_batch(*next(rows))
    assert np.all(np.isfinite(losses))


run(20)
peer.serve(peer.milliseconds(run, steps))
