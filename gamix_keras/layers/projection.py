"""A fixed random projection of channels."""

from typing import Any

import keras
from keras import ops

Tensor = Any


@keras.saving.register_keras_serializable("gamix_keras")
class RandomProjection(keras.layers.Layer):
    """y = x W along the channels, W fixed: He normal, drawn once from a seed (Sauer et al. 2021, section 3.2).

    A 1x1 convolution without bias that is never trained, not even if `trainable` is set: W is saved with the model.

    Args:
        channels: Channels of the output.
        seed: Seed of W.
    """

    def __init__(self, channels: int, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels = channels
        self.seed = seed

    def build(self, input_shape: tuple) -> None:
        """Draw W, (channels of the input, channels)."""
        draw = keras.initializers.HeNormal(self.seed)
        self.matrix = self.add_weight(
            name="matrix", shape=(input_shape[-1], self.channels), initializer=draw, trainable=False
        )

    def call(self, maps: Tensor) -> Tensor:
        """Project maps (B, H, W, C) to (B, H, W, channels)."""
        return ops.matmul(maps, self.matrix)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return the shape with other channels."""
        return (*input_shape[:-1], self.channels)

    def get_config(self) -> dict[str, Any]:
        """Return channels and seed."""
        return {**super().get_config(), "channels": self.channels, "seed": self.seed}
