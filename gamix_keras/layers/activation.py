"""The activations of the networks, with the same slope at 0 on every backend."""

from typing import Any

import keras
from keras import ops

Tensor = Any


@keras.saving.register_keras_serializable("gamix_keras")
class LeakyReLU(keras.layers.LeakyReLU):
    """`keras.layers.LeakyReLU`: x above 0, else its negative slope times x.

    A map is exactly 0 where grey meets a bias of 0. There the gradient is the negative slope, as in TensorFlow and
    PyTorch; Keras's own on JAX is 1.
    """

    def call(self, inputs: Tensor) -> Tensor:
        """Apply to any shape."""
        if keras.config.backend() != "jax":
            return super().call(inputs)
        return ops.where(inputs > 0, inputs, self.negative_slope * inputs)
