"""Keras's convolutions with gradients that hold in short types, and without the copies that Keras makes on PyTorch."""

from typing import Any

import keras
from keras import ops

from gamix_keras.layers.precision import add_bias, with_exact_sums

Tensor = Any
_CHANNELS_FIRST, _CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


class _Convolution:
    """What both convolutions share: the channels come last whatever `keras.json` says, and the bias is exact."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"data_format": "channels_last", **kwargs})

    def call(self, inputs: Tensor) -> Tensor:
        """Convolve (B, H, W, C) to (B, H', W', filters)."""
        outputs = with_exact_sums(self.convolution_op, inputs, self.kernel)
        if self.use_bias:
            bias = self.bias if self.data_format == "channels_last" else ops.reshape(self.bias, (1, -1, 1, 1))
            outputs = add_bias(outputs, bias)
        return outputs if self.activation is None else self.activation(outputs)


@keras.saving.register_keras_serializable("gamix_keras")
class Conv2D(_Convolution, keras.layers.Conv2D):
    """`keras.layers.Conv2D`: the same arguments, weights and numbers, channels last.

    In mixed precision bias and kernel get their gradients from sums in float32, see `layers.precision`. On PyTorch,
    Keras 3.15 copies a map with the channels last to channels first and back again before it convolves, and so does
    its gradient. PyTorch takes such a map as it is, through a view.
    """

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """Convolve (B, H, W, C) to (B, H', W', filters), without bias and activation."""
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


@keras.saving.register_keras_serializable("gamix_keras")
class Conv2DTranspose(_Convolution, keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose`: the same arguments, weights and numbers, channels last.

    In mixed precision bias and kernel get their gradients from sums in float32, see `layers.precision`. On PyTorch
    the copies of Keras stay: it is no faster without them.
    """

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """Convolve (B, H, W, C) to (B, H', W', filters), without bias and activation."""
        return ops.conv_transpose(
            inputs,
            kernel,
            strides=list(self.strides),
            padding=self.padding,
            output_padding=self.output_padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
