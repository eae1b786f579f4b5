"""Keras's dense layers with a bias whose gradient is summed in float32, see `layers.precision`."""

from typing import Any

import keras
from keras import ops

from gamix_keras.layers.precision import add_bias

Tensor = Any


@keras.saving.register_keras_serializable("gamix_keras")
class Dense(keras.layers.Dense):
    """`keras.layers.Dense`: the same arguments, weights and numbers."""

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Multiply (..., D) by the kernel: (..., units)."""
        outputs = ops.matmul(inputs, self.kernel)
        if self.bias is not None:
            outputs = add_bias(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)


@keras.saving.register_keras_serializable("gamix_keras")
class EinsumDense(keras.layers.EinsumDense):
    """`keras.layers.EinsumDense`: the same arguments, weights and numbers."""

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Multiply by the kernel as the equation says."""
        outputs = ops.einsum(self.equation, inputs, self.kernel)
        if self.bias is not None:
            outputs = add_bias(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)
