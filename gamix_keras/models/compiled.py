"""A trained VAE's two halves, compiled for those who want results and no gradients."""

from typing import Any

import keras
import numpy as np

from gamix_keras.gaussian import clip_log_var
from gamix_keras.samplers import Posteriors


class CompiledVAE:
    """Encoder and decoder of a VAE as compiled functions, NumPy in and out.

    `model.encode` and `model.decode` run layer by layer, so that they can be differentiated and stand in another
    graph; these are faster for many images, and for images that come one by one. The weights are the model's own, as
    they are at each call. What is compiled is compiled at the first call, on JAX once for each batch size.

    Args:
        model: A VAE.

    Attributes:
        model: The same.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model, self.latent_dim, self.image_shape = model, model.latent_dim, tuple(model.image_shape)
        latents, images = keras.Input((self.latent_dim,)), keras.Input(self.image_shape)
        output, (mean, log_var) = model.decoder(latents, training=False), model.encoder(images, training=False)
        self._encoder = _compiled(images, [_float32(mean), clip_log_var(log_var)])
        self._decoder = _compiled(latents, _float32(model.likelihood.image(output)))
        self._parameters = _compiled(latents, _float32(output))

    def encode(self, images: np.ndarray) -> Posteriors:
        """Return mean and log-variance of q(z|x), each (B, D), of images (B, H, W, C) in [-1, 1]."""
        return Posteriors(*self._encoder.predict_on_batch(_array(images)))

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """Return images (B, H, W, C) in [-1, 1] of latents (B, D)."""
        return self._decoder.predict_on_batch(_array(latents))

    def decode_parameters(self, latents: np.ndarray) -> np.ndarray:
        """Return the decoder's whole output, from which `decode` makes the image: (B, H, W, C) or (B, H, W, 2 C)."""
        return self._parameters.predict_on_batch(_array(latents))

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Return images decoded from the posterior means of images (B, H, W, C)."""
        return self.decode(self.encode(images).mean)


def _compiled(inputs: keras.KerasTensor, outputs: Any) -> keras.Model:
    model = keras.Model(inputs, outputs)
    # XLA compiles anew for each batch size: on JAX nothing else compiles, on TensorFlow its own kernels need no wait.
    model.compile(jit_compile=keras.config.backend() == "jax")
    return model


def _float32(tensor: keras.KerasTensor) -> keras.KerasTensor:
    return keras.ops.cast(tensor, "float32")


def _array(values: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(values).astype("float32", copy=False)
