"""Sub-pixel up-sampling."""

import math
from typing import Any

import keras
import numpy as np
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


@keras.saving.register_keras_serializable("gamix_keras")
class NoAlternation(keras.constraints.Constraint):
    """Kernels that answer to no stripe of period 2, whatever the phases of the `DepthToSpace` before them make.

        w  becomes  (I - a a' / K) w (I - b b' / L),   a = (1, -1, 1, ...) of length K, b of length L

    for each pair of channels of a kernel (K, L, inputs, outputs). The sum of each row and of each column with
    alternating signs is 0 then: the frequency response is 0 if either frequency is pi. Such a kernel is a mean over
    2 x 2 pixels, then a free kernel of (K - 1) x (L - 1): the zero-order hold that Sugawara et al. (2018,
    "Super-resolution using convolutional neural networks without any checkerboard artifacts") put after sub-pixel
    layers, at no cost.

    `EqualPhases` cannot do that. It makes the phases answer alike to a map that is flat, while a trained decoder paints
    what is flat of maps that are not, and leaves the rest of their differences on it. The constrained kernels are a
    linear space, which their averages stay in.
    """

    def __call__(self, w: Tensor) -> Tensor:
        """Project a kernel (K, L, inputs, outputs)."""
        height, width = w.shape[:2]
        projection = ops.convert_to_tensor(np.kron(_alternation_free(height), _alternation_free(width)), w.dtype)
        return ops.reshape(ops.matmul(projection, ops.reshape(w, (height * width, -1))), w.shape)


def _alternation_free(size: int) -> np.ndarray:
    """Return the matrix I - a a' / size, with a = (1, -1, 1, ...)."""
    signs = (-1.0) ** np.arange(size)
    return np.eye(size) - np.outer(signs, signs) / size


@keras.saving.register_keras_serializable("gamix_keras")
class NonAlternating(keras.initializers.Initializer):
    """Glorot-uniform kernels as `NoAlternation` leaves them, scaled to keep their variance.

    Args:
        seed: None, an integer or a `SeedGenerator`, as in Keras's initializers.
    """

    def __init__(self, seed: Any = None) -> None:
        self._draw = keras.initializers.GlorotUniform(seed)

    def __call__(self, shape: tuple, dtype: Any = None) -> Tensor:
        """Return a kernel of this shape, (K, L, inputs, outputs), K and L at least 2."""
        kept = math.prod(size - 1 for size in shape[:2]) / math.prod(shape[:2])
        return NoAlternation()(self._draw(shape, dtype=dtype)) / math.sqrt(kept)

    def get_config(self) -> dict[str, Any]:
        """Return the seed."""
        return {"seed": self._draw.get_config()["seed"]}
