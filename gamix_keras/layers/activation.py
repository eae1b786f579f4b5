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

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Apply to any shape."""
        backend = keras.config.backend()
        if backend == "jax":
            return ops.where(inputs > 0, inputs, self.negative_slope * inputs)
        if backend == "tensorflow" and training:
            return self._apart(inputs)
        return super().call(inputs)

    def _apart(self, inputs: Tensor) -> Tensor:
        """Apply to the map as a vector, which copies nothing.

        On a CPU, TensorFlow's remapper fuses this activation with the convolution before it although the gradient
        needs what is between the two. It then finds the graph broken, says so in a long line, and starts over without
        this pass. It leaves a vector alone.
        """
        vector = super().call(ops.reshape(inputs, (-1,)))
        return ops.reshape(vector, ops.shape(inputs))
