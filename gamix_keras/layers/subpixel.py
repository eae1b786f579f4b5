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
        ValueError: If the channels are not divisible by b * b.
    """

    def __init__(self, block: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.block = block

    def build(self, input_shape: tuple) -> None:
        """Check the channels."""
        if input_shape[-1] % self.block**2:
            expected = f"channels divisible by {self.block**2}"
            raise ValueError(f"DepthToSpace: input: expected {expected}, got {input_shape[-1]}.")

    def call(self, inputs: Tensor) -> Tensor:
        """Rearrange; values stay as they are."""
        return ops.depth_to_space(inputs, self.block, data_format="channels_last")

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return the shape with b * b times the pixels and fewer channels."""
        batch, height, width, channels = input_shape
        return batch, self.block * height, self.block * width, channels // self.block**2

    def get_config(self) -> dict[str, Any]:
        """Return the side of the block."""
        return {**super().get_config(), "block": self.block}


@keras.saving.register_keras_serializable("gamix_keras")
class PhaseAligned(keras.initializers.Initializer):
    """Glorot-uniform kernels whose output channels come in b * b equal blocks, for what `DepthToSpace` rearranges.

    Convolution and rearrangement together then start out as nearest-neighbour up-sampling, with no lattice
    (Aitken et al. 2017, "Checkerboard artifact free sub-pixel convolution").

    Args:
        block: b, as in `DepthToSpace`.
        seed: None, an integer or a `SeedGenerator`, as in Keras's initializers.

    Raises:
        ValueError: When called, if the last dimension is not divisible by b * b.
    """

    def __init__(self, block: int = 2, seed: Any = None) -> None:
        self.block = block
        self._draw = keras.initializers.GlorotUniform(seed)

    def __call__(self, shape: tuple, dtype: Any = None) -> Tensor:
        """Return a kernel of this shape, (..., b * b * C)."""
        phases = self.block**2
        if shape[-1] % phases:
            raise ValueError(f"PhaseAligned: shape: expected channels divisible by {phases}, got {shape[-1]}.")
        kernel = self._draw((*shape[:-1], shape[-1] // phases), dtype=dtype)
        return ops.concatenate([kernel] * phases, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Return the side of the block and the seed."""
        return {"block": self.block, "seed": self._draw.get_config()["seed"]}


@keras.saving.register_keras_serializable("gamix_keras")
class EqualPhases(keras.constraints.Constraint):
    """Kernels and biases whose b * b equal blocks of output channels answer alike to a flat input.

        w[k, i, p, c]  becomes  w[k, i, p, c] - mean_k w[., i, p, c] + mean_{k, p} w[., i, ., c]

    k: positions in the kernel; i: input channel; p: phase, the place in the block of pixels; c: output channel. What
    `DepthToSpace` makes of a flat map is flat then, whatever is learned: no lattice, while edges may still fall
    between the pixels of the map. The constrained tensors are a linear space, which their averages stay in.

    Args:
        block: b, as in `DepthToSpace`.
    """

    def __init__(self, block: int = 2) -> None:
        self.block = block

    def __call__(self, w: Tensor) -> Tensor:
        """Project a kernel (..., inputs, b * b * C) or a bias (b * b * C,)."""
        phases = self.block**2
        inputs = w.shape[-2] if len(w.shape) > 1 else 1
        blocks = ops.reshape(w, (-1, inputs, phases, w.shape[-1] // phases))
        flat = ops.mean(blocks, axis=0, keepdims=True)
        return ops.reshape(blocks - flat + ops.mean(flat, axis=2, keepdims=True), w.shape)

    def get_config(self) -> dict[str, Any]:
        """Return the side of the block."""
        return {"block": self.block}
