"""Sub-pixel up-sampling."""

from typing import Any

import keras
from keras import ops

Tensor = Any


@keras.saving.register_keras_serializable("gamix_keras")
class DepthToSpace(keras.layers.Layer):
    """Channels to pixels (Shi et al. 2016): (B, H, W, b * b * C) to (B, b H, b W, C), no weights.

    Output pixel (b h + i, b w + j) takes channels (b i + j) C to (b i + j + 1) C of input pixel (h, w).

    Args:
        block: b, side of the block of pixels that one input pixel becomes.

    Raises:
        ValueError: where the channels are not divisible by b * b.
    """

    def __init__(self, block: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.block = block

    def build(self, input_shape: tuple) -> None:
        """Checks the channels."""
        if input_shape[-1] % self.block**2:
            expected = f"channels divisible by {self.block**2}"
            raise ValueError(f"DepthToSpace: input: expected {expected}, got {input_shape[-1]}.")

    def call(self, inputs: Tensor) -> Tensor:
        """Rearranges; values stay as they are."""
        return ops.depth_to_space(inputs, self.block)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """b * b times the pixels of fewer channels."""
        batch, height, width, channels = input_shape
        return batch, self.block * height, self.block * width, channels // self.block**2

    def get_config(self) -> dict[str, Any]:
        """The side of the block."""
        return {**super().get_config(), "block": self.block}
