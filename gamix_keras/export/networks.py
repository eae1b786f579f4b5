"""The encoder and the decoder of a trained VAE as TensorFlow functions in float32, which every format exports.

The encoder returns mean and log-variance and does not sample, so the graphs have no random operation.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras import ops

from gamix_keras import gaussian

MIXED = ("mixed_bfloat16", "mixed_float16", "bfloat16", "float16")


class Networks(NamedTuple):
    """Encoder and decoder of a model.

    Attributes:
        encode: A function from images (B, H, W, C) in [-1, 1] to {"mean", "log_var"}, each (B, D).
        decode: A function from latents (B, D) to {"image"}, (B, H, W, C) in [-1, 1].
        latent_dim: The number of latents D.
        image_shape: The shape (H, W, C) of an image.
        variables: The variables that both functions read.
    """

    encode: Callable[[tf.Tensor], dict[str, tf.Tensor]]
    decode: Callable[[tf.Tensor], dict[str, tf.Tensor]]
    latent_dim: int
    image_shape: tuple[int, int, int]
    variables: list[tf.Variable]

    def functions(self) -> dict[str, tuple[Callable, tf.TensorSpec]]:
        """Return each half by its name, with the spec of its float32 input, whose batch size is open."""
        latents = tf.TensorSpec((None, self.latent_dim), tf.float32, name="z")
        images = tf.TensorSpec((None, *self.image_shape), tf.float32, name="image")
        return {"decoder": (self.decode, latents), "encoder": (self.encode, images)}


def inference_networks(model: keras.Model) -> Networks:
    """Return the halves of a VAE, as float32 copies if it computes in another precision.

    Raises:
        ValueError: If Keras runs on another backend than TensorFlow.
    """
    if keras.config.backend() != "tensorflow":
        raise ValueError(f"model: expected one on the TensorFlow backend, got {keras.config.backend()}; see export_run")
    encoder, decoder, image = float32_copy(model.encoder), float32_copy(model.decoder), model.likelihood.image

    def encode(images: tf.Tensor) -> dict[str, tf.Tensor]:
        mean, log_var = encoder(images, training=False)
        return {"mean": ops.cast(mean, "float32"), "log_var": gaussian.clip_log_var(log_var)}

    def decode(z: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"image": ops.cast(image(decoder(z, training=False)), "float32")}

    variables = [variable.value for variable in (*encoder.variables, *decoder.variables)]
    return Networks(encode, decode, model.latent_dim, tuple(model.image_shape), variables)


def float32_copy(network: keras.Model) -> keras.Model:
    """Return the network itself if all of it computes in float32, else a float32 copy with its weights.

    Other runtimes have no bfloat16 (ONNX), or round in places in which training does not.
    """
    config = keras.saving.serialize_keras_object(network)
    in_float32 = _in_float32(config)
    if in_float32 == config:
        return network
    copy = keras.saving.deserialize_keras_object(in_float32)
    copy.set_weights(network.get_weights())
    return copy


def _in_float32(value: Any) -> Any:
    """Replace every mixed or half-precision policy in a serialised object."""
    if isinstance(value, Mapping):
        return {key: _in_float32(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_in_float32(entry) for entry in value)
    return "float32" if isinstance(value, str) and value in MIXED else value
