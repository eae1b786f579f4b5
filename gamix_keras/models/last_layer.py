"""A decoder cut before its last layer with a kernel: for gradients by that kernel at the price of one layer."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

Tensor = Any


class LastLayer:
    """The end of a decoder: its last layer with a kernel, and what follows it (an activation, a rearrangement).

    It shares the decoder's layers and owns none: a plain object, so that Keras neither saves nor counts them twice.

    Args:
        decoder: A functional or sequential model.

    Raises:
        ValueError: If there is no such layer, or the output can be reached around it.
    """

    def __init__(self, decoder: keras.Model) -> None:
        layers = [layer for layer in decoder.layers if isinstance(getattr(layer, "kernel", None), keras.Variable)]
        try:
            self.layer = layers[-1]
            self._end = keras.Model(self.layer.input, decoder.outputs[0])
            self._whole = keras.Model(decoder.inputs, [self.layer.input, decoder.outputs[0]])
        except (IndexError, AttributeError, ValueError):
            expected = "decoder: expected a functional model whose output comes from one last layer with a kernel"
            raise ValueError(f"{expected} (for adaptive_weight), got {decoder.name}.") from None

    def decode(self, z: Tensor, training: bool) -> tuple[Tensor, Tensor]:
        """Return what the last layer takes, and the decoder's output, in one pass."""
        return self._whole(z, training=training)

    def kernel_gradient(self, input_gradient: Callable, features: Tensor, cotangent: Tensor) -> Tensor:
        """Return d term / d kernel, given d term / d output: one more pass, forward and back, of the last layer alone.

        Args:
            input_gradient: See `PhasedModel`.
            features: What `decode` returned first.
            cotangent: Gradient d term / d output, of the output's shape.
        """
        features, cotangent = ops.stop_gradient(features), ops.stop_gradient(cotangent)
        kernel = ops.stop_gradient(self.layer.kernel.value)
        return input_gradient(lambda k: (ops.sum(self._output(k, features) * cotangent), ()), kernel)[0]

    def _output(self, kernel: Tensor, features: Tensor) -> Tensor:
        """Return the decoder's output as a function of the kernel."""
        own = [kernel if v is self.layer.kernel else v.value for v in self._end.trainable_variables]
        rest = [v.value for v in self._end.non_trainable_variables]
        return self._end.stateless_call(own, rest, features, training=False)[0]
