"""The convolution of Keras, without the copies that Keras makes on PyTorch."""

from typing import Any

import keras
from keras import ops

Tensor = Any
_CHANNELS_FIRST, _CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


@keras.saving.register_keras_serializable("gamix_keras")
class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D`: the same arguments, weights and numbers.

    On PyTorch, Keras 3.15 copies a map with the channels last to channels first and back again before it convolves,
    and so does its gradient. PyTorch takes such a map as it is, through a view. Transposed convolutions stay
    Keras's: they are no faster without the copy.
    """

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """(B, H, W, C) to (B, H', W', filters), bias and activation still to come."""
        if keras.config.backend() != "torch" or self.data_format != "channels_last":
            return super().convolution_op(inputs, kernel)
        outputs = ops.conv(
            ops.transpose(inputs, _CHANNELS_FIRST),
            kernel,
            strides=list(self.strides),
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format="channels_first",
        )
        return ops.transpose(outputs, _CHANNELS_LAST)
