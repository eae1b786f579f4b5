"""The second stage of a two-stage VAE as a sampler."""

from typing import Any

import keras
from keras import ops

from gamix_keras.samplers.base import Sampler, Tensor


@keras.saving.register_keras_serializable("gamix_keras")
class SecondStageSampler(Sampler):
    """z = decoder(u) + g_z eps, u ~ N(0, I), with both kinds of noise scaled by the temperature (Dai & Wipf 2019).

    A second VAE, trained on latents of the first, models q(z). The sampler needs only its decoder and its learned scale
    g_z. It shares both rather than copying them, so further training of the second stage changes the sampler.

    Args:
        decoder: A model from u (B, U) to latents (B, D).
        log_scale: The value of log g_z, a number or the `keras.Variable` that holds it.

    Raises:
        ValueError: If the decoder does not map (B, U) to (B, D), or the scale is not a scalar.
    """

    def __init__(self, decoder: keras.Model, log_scale: float | keras.Variable, **kwargs: Any) -> None:
        shapes = decoder.input_shape, decoder.output_shape
        if any(isinstance(shape, list) or len(shape) != 2 for shape in shapes):
            got = f"{shapes[0]} to {shapes[1]}"
            raise ValueError(f"SecondStageSampler: decoder: expected a model from (B, U) to (B, D), got {got}.")
        super().__init__(decoder.output_shape[-1], **kwargs)
        self.decoder = decoder
        self.log_scale = log_scale if isinstance(log_scale, keras.Variable) else self._own(log_scale)
        if tuple(self.log_scale.shape) != ():
            raise ValueError(f"SecondStageSampler: log_scale: expected a scalar, got shape {self.log_scale.shape}.")
        self.build((None, self.noise_dim))

    def _own(self, log_scale: float) -> keras.Variable:
        start = keras.initializers.Constant(float(log_scale))
        return self.add_weight(name="log_scale", shape=(), initializer=start, trainable=False)

    @property
    def scaled_dim(self) -> int:
        """U + D, with u first, then eps."""
        return self.decoder.input_shape[-1] + self.latent_dim

    def transform(self, eps: Tensor, choice: Tensor) -> Tensor:
        """Return decoder(u) + g_z eps."""
        size = self.decoder.input_shape[-1]
        located = ops.cast(self.decoder(eps[:, :size], training=False), "float32")
        return located + ops.exp(ops.cast(self.log_scale, "float32")) * eps[:, size:]

    def get_config(self) -> dict[str, Any]:
        """Return the configuration: the decoder, serialised, and the value of the scale."""
        # By way of NumPy, because PyTorch warns if a trainable variable is converted to a number.
        log_scale = float(ops.convert_to_numpy(self.log_scale))
        decoder = keras.saving.serialize_keras_object(self.decoder)
        return {**super().get_config(), "decoder": decoder, "log_scale": log_scale}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "SecondStageSampler":
        """Rebuild the decoder and the sampler."""
        return cls(**{**config, "decoder": keras.saving.deserialize_keras_object(config["decoder"])})
