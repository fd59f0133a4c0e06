"""The reference article's GAN program (its section 4.1) as a peer of `make bench`.

Corrected just enough to run, and nothing more:
  - matplotlib's import was missing, and its last two lines that show a picture are left out;
  - Adam's `lr` is `learning_rate` now, and the optimizers are used: the discriminator was never compiled;
  - the generator ended in `input_shape[1]` units, which is out of range: it has the width of the data, and is made with
    the shape of the noise (z_dim), not of the data;
  - generator and discriminator were overwritten by the models that they made;
  - the last batch was short, but not its targets: it is left out.
As in the article, the generator is used but never trained: less work than a GAN's iteration. A turn is an epoch of
its first rows.
"""
import os
import sys

import peer

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
tf = peer.need("tensorflow")
import numpy as np  # noqa: E402
from tensorflow.keras.layers import Dense, Input  # noqa: E402
from tensorflow.keras.models import Model  # noqa: E402

tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[1]))
tf.config.threading.set_inter_op_parallelism_threads(1)


def generator(input_shape, width):
    z = Input(shape=input_shape)
    h1 = Dense(128, activation="relu")(z)
    h2 = Dense(256, activation="relu")(h1)
    output = Dense(width, activation="tanh")(h2)
    model = Model(z, output)
    return model


def discriminator(input_shape):
    x = Input(shape=input_shape)
    h1 = Dense(256, activation="relu")(x)
    h2 = Dense(128, activation="relu")(h1)
    output = Dense(1, activation="sigmoid")(h2)
    model = Model(x, output)
    return model


def train_generator(generator, discriminator, real_data, batch_size, epochs, z_dim):
    for epoch in range(epochs):
        for index in range(0, len(real_data) - batch_size + 1, batch_size):
            batch_x = real_data[index : index + batch_size]
            noise = np.random.normal(0, 1, (batch_size, z_dim))
            generated_images = generator.predict(noise)
            x_combined = np.concatenate((batch_x, generated_images))
            y_combined = np.zeros((2 * batch_size, 1))
            y_combined[:batch_size] = 1.0
            discriminator.trainable = True
            loss = discriminator.train_on_batch(x_combined, y_combined)
            discriminator.trainable = False
            if epoch % 100 == 0:
                print("Epoch: ", epoch, "Loss: ", loss)
    return generator


input_shape = (100,)
z_dim = 20
batch_size = 128
real_data = np.random.uniform(-1, 1, (10000, 100))
made = generator((z_dim,), input_shape[0])
judge = discriminator(input_shape)
judge.compile(tf.keras.optimizers.Adam(learning_rate=0.0002, beta_1=0.5), "binary_crossentropy")
batches = 10
sys.stdout = open(os.devnull, "w")  # the article prints; a terminal would cost more


def turn():
    start = peer.clock()
    train_generator(made, judge, real_data[: batches * batch_size], batch_size, 1, z_dim)
    return (peer.clock() - start) / batches * 1e3


turn()
peer.serve(turn)
