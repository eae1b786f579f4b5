"""Small models and checks that many tests share."""

import json
import socket

import keras
import numpy as np

from gamix_keras.losses import LaplaceNLL
from gamix_keras.models import GAMIXVAE, VAE
from gamix_keras.networks import ProjectedCritic
from gamix_keras.training import Batch, PhasedModel

SHAPE = (8, 8, 3)
LATENT = 4


def backend() -> str:
    """Name of the backend that runs."""
    return keras.config.backend()


def numpy(tensor) -> np.ndarray:
    """A tensor of any backend as an array."""
    return keras.ops.convert_to_numpy(tensor)


def number(tensor) -> float:
    """A scalar of any backend as a number."""
    return float(numpy(tensor))


def both_phases(model, x, training=True):
    """The terms of autoencoder and critic on images, within no fit, and what went from one phase to the other."""
    batch = Batch.of(x)
    terms, carry = model.autoencoder_losses(batch, training, {})
    return terms, model.critic_losses(batch, training, carry)[0], carry


def gradient(function, x) -> np.ndarray:
    """The gradient of a scalar function of one tensor."""
    return numpy(PhasedModel.input_gradient(lambda t: (function(t), ()), keras.ops.convert_to_tensor(x))[0])


def rounded_to_tf32(tensor):
    """What NVIDIA's matrix units keep of a float32: 10 bits of its fraction."""
    bits = keras.ops.convert_to_numpy(tensor).astype("float32").view("uint32")
    return keras.ops.convert_to_tensor(((bits + 0x1000) & 0xFFFFE000).astype("uint32").view("float32"))


def images(count=32, shape=SHAPE, seed=0) -> np.ndarray:
    """Smooth random images in [-1, 1] with a few degrees of freedom."""
    rng = np.random.default_rng(seed)
    height, width, channels = shape
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    phase, pitch = rng.uniform(0, 6, (count, 1, 1, channels)), rng.uniform(1, 4, (count, 1, 1, 1))
    return np.sin(pitch * (x + y)[None, :, :, None] + phase).astype("float32")


def initializer(seed) -> keras.initializers.Initializer:
    """Weights that are the same on every backend."""
    return keras.initializers.RandomNormal(stddev=0.2, seed=seed)


def encoder(shape=SHAPE, latent=LATENT, dtype=None) -> keras.Model:
    """A convolution and two dense heads."""
    inputs = keras.Input(shape, name="image")
    x = keras.layers.Conv2D(4, 3, 2, "same", activation="tanh", kernel_initializer=initializer(1), dtype=dtype)(inputs)
    x = keras.layers.Flatten(dtype=dtype)(x)
    heads = [
        keras.layers.Dense(latent, kernel_initializer=initializer(2 + i), dtype="float32", name=name)(x)
        for i, name in enumerate(("mean", "log_var"))
    ]
    return keras.Model(inputs, heads, name="encoder")


def decoder(shape=SHAPE, latent=LATENT, channels=None, dtype=None) -> keras.Model:
    """A dense layer and a convolution; `channels` may differ from the image's."""
    height, width, own = shape
    inputs = keras.Input((latent,), name="z")
    x = keras.layers.Dense(height * width * 2, activation="tanh", kernel_initializer=initializer(5), dtype=dtype)(
        inputs
    )
    x = keras.layers.Reshape((height, width, 2), dtype=dtype)(x)
    x = keras.layers.Conv2D(channels or own, 3, 1, "same", kernel_initializer=initializer(6), dtype="float32")(x)
    return keras.Model(inputs, x, name="decoder")


def critic(shape=SHAPE, dtype=None, constraint=None) -> keras.Model:
    """Two convolutions to patch logits."""
    inputs = keras.Input(shape, name="image")
    conv = keras.layers.Conv2D
    x = conv(4, 3, 2, "same", kernel_initializer=initializer(7), kernel_constraint=constraint, dtype=dtype)(inputs)
    x = keras.layers.LeakyReLU(0.2, dtype=dtype)(x)
    x = conv(1, 3, 1, "same", kernel_initializer=initializer(8), kernel_constraint=constraint, dtype="float32")(x)
    return keras.Model(inputs, x, name="critic")


def features(shape=SHAPE) -> keras.Model:
    """A frozen network of two maps, for a `ProjectedCritic`."""
    inputs = keras.Input(shape, name="image")
    maps = [inputs]
    for i, channels in enumerate((3, 5)):
        conv = keras.layers.Conv2D(channels, 3, 2, "same", activation="tanh", kernel_initializer=initializer(11 + i))
        maps.append(conv(maps[-1]))
    return keras.Model(inputs, maps[1:], name="features")


def projected(shape=SHAPE, dtype=None, **kwargs) -> ProjectedCritic:
    """A critic on that network."""
    return ProjectedCritic(shape, width=4, features=features(shape), dtype=dtype, **kwargs)


def vae(likelihood=None, dtype=None, **kwargs) -> VAE:
    """A tiny VAE, not compiled."""
    return VAE(encoder(dtype=dtype), decoder(dtype=dtype), likelihood or LaplaceNLL(0.5), **{"seed": 0, **kwargs})


def gamix(likelihood=None, with_critic=True, dtype=None, judge=None, **kwargs) -> GAMIXVAE:
    """A tiny GAMIX-VAE, not compiled; `judge` takes the place of its critic."""
    judge = (judge or critic(dtype=dtype)) if with_critic else None
    kwargs = {"adversarial_weight": 1.0, "seed": 0, **kwargs}
    return GAMIXVAE(encoder(dtype=dtype), decoder(dtype=dtype), likelihood or LaplaceNLL(0.5), judge, **kwargs)


def compiled(model, rate=1e-3, **kwargs):
    """The model with Adam on every phase."""
    model.compile(keras.optimizers.Adam(rate, beta_1=0.5), **kwargs)
    return model


def state(model) -> dict[str, np.ndarray]:
    """Every value that training moves: weights, generator states, optimizer slots."""
    variables = [*model.variables, *(model.optimizer.variables if model.compiled else [])]
    return {f"{i}:{v.shape}": numpy(v) for i, v in enumerate(variables)}


def difference(left: dict, right: dict) -> float:
    """Largest absolute difference of two states with the same entries."""
    if list(left) != list(right):
        raise AssertionError(f"states hold different variables: {set(left) ^ set(right)}")
    return max(float(np.max(np.abs(left[k].astype("float64") - right[k]))) if left[k].size else 0.0 for k in left)


def round_trip(thing):
    """The object rebuilt from its serialised configuration."""
    return keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(thing))


def places(count):
    """What the environment tells each of so many processes on this machine."""
    if backend() == "tensorflow":
        cluster = {"worker": [f"127.0.0.1:{free_port()}" for _ in range(count)]}
        configs = ({"cluster": cluster, "task": {"type": "worker", "index": number}} for number in range(count))
        return [{"TF_CONFIG": json.dumps(config), "WORLD_SIZE": str(count)} for config in configs]
    told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(count)}
    return [{**told, "RANK": str(number), "LOCAL_RANK": str(number)} for number in range(count)]


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
