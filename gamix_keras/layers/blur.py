"""Anti-aliased resampling of feature maps by a factor of 1/2, 1 or 2.

Dropping every second pixel folds frequencies above half the new rate into lower ones, and features change when
the image moves by one pixel. A binomial low-pass filter first removes them (Zhang 2019, "Making convolutional
networks shift-invariant again").
"""

from typing import Any

import keras
import numpy as np
from keras import ops

Tensor = Any
# Scale: taps as {offset: weight} of output pixel i around input pixel i * step; weights add to 1.
_TAPS = {
    0.5: [{-1: 0.125, 0: 0.375, 1: 0.375, 2: 0.125}],
    1: [{-1: 0.25, 0: 0.5, 1: 0.25}],
    2: [{-1: 0.25, 0: 0.75}, {0: 0.75, 1: 0.25}],
}


def blur_matrix(size: int, scale: float) -> np.ndarray:
    """Return the filter of one axis as a matrix (size * scale, size); rows add to 1, the border is repeated."""
    phases = _TAPS[scale]
    matrix = np.zeros((int(size * scale), size), "float32")
    for row in range(len(matrix)):
        centre = row * 2 if scale == 0.5 else row // len(phases)
        for offset, weight in phases[row % len(phases)].items():
            matrix[row, min(max(centre + offset, 0), size - 1)] += weight
    return matrix


@keras.saving.register_keras_serializable("gamix_keras")
class BlurResample2D(keras.layers.Layer):
    """Low-pass filter and change of resolution: (B, H, W, C) to (B, H * scale, W * scale, C), no weights.

    Written as two small matrix products, one per axis. On a CPU that is 2 to 40 times faster than a depthwise
    convolution (measured on the three backends, gradient included), and it costs a few per cent of a 3x3 convolution.

    Args:
        scale: 0.5 (taps 1 3 3 1), 1 (taps 1 2 1) or 2 (linear interpolation).

    Raises:
        ValueError: If the scale is another, or an odd height or width is to be halved.
    """

    def __init__(self, scale: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if scale not in _TAPS:
            raise ValueError(f"BlurResample2D: scale: expected 0.5, 1 or 2, got {scale!r}.")
        self.scale = scale

    def build(self, input_shape: tuple) -> None:
        """Create the two constant matrices."""
        height, width = input_shape[1:3]
        if self.scale == 0.5 and (height % 2 or width % 2):
            raise ValueError(f"BlurResample2D: input: expected even height and width, got {height}x{width}.")
        self._rows = blur_matrix(height, self.scale)
        self._columns = blur_matrix(width, self.scale)

    def call(self, inputs: Tensor) -> Tensor:
        """Filter the rows, then the columns."""
        _, height, width, channels = inputs.shape
        new_height, new_width = len(self._rows), len(self._columns)
        x = ops.reshape(inputs, (-1, height, width * channels))
        x = ops.matmul(ops.cast(self._rows, x.dtype), x)
        x = ops.reshape(x, (-1, width, channels))
        x = ops.matmul(ops.cast(self._columns, x.dtype), x)
        return ops.reshape(x, (-1, new_height, new_width, channels))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return the shape with height and width scaled."""
        batch, height, width, channels = input_shape
        return batch, int(height * self.scale), int(width * self.scale), channels

    def get_config(self) -> dict[str, Any]:
        """Return the scale."""
        return {**super().get_config(), "scale": self.scale}
