"""The scale of a likelihood: learned, or averaged over batches."""

from typing import Any

import keras
from keras import ops

Tensor = Any


@keras.saving.register_keras_serializable("gamix_keras")
class LearnedLogScale(keras.layers.Layer):
    """One trainable scalar, the logarithm of a scale shared by all pixels (Dai & Wipf 2019, their learnable gamma).

    Args:
        initial: The scale at the start, > 0. 1 is the width of half the range of images in [-1, 1].

    Raises:
        ValueError: If `initial` is not a positive number.
    """

    def __init__(self, initial: float = 1.0, **kwargs: Any) -> None:
        super().__init__(dtype=kwargs.pop("dtype", "float32"), **kwargs)
        if not initial > 0:
            raise ValueError(f"LearnedLogScale: initial: expected a positive number, got {initial!r}.")
        self.initial = initial

    def build(self, input_shape: Any = None) -> None:
        """Create the scalar."""
        start = keras.initializers.Constant(float(ops.log(self.initial)))
        self.log_scale = self.add_weight(name="log_scale", shape=(), initializer=start)

    def call(self, inputs: Tensor) -> Tensor:
        """Return the log-scale, a scalar; `inputs` is what it is the scale of."""
        return ops.convert_to_tensor(self.log_scale)

    def get_config(self) -> dict[str, Any]:
        """Return the initial scale."""
        return {**super().get_config(), "initial": self.initial}


@keras.saving.register_keras_serializable("gamix_keras")
class AverageDistance(keras.layers.Layer):
    """The bias-corrected running mean of a batch's mean distance, from which the optimal scale of a likelihood follows.

    The optimum of a batch is fitted to that batch, so with it a loss in validation would depend on the batches that
    the images come in, and be no bound. Training takes the batch's own (Rybkin 2021), evaluation this average.

    Args:
        momentum: In [0, 1): 0.99 averages over about 100 batches.

    Raises:
        ValueError: If `momentum` is out of its range.
    """

    def __init__(self, momentum: float = 0.99, **kwargs: Any) -> None:
        super().__init__(dtype=kwargs.pop("dtype", "float32"), **kwargs)
        if not 0.0 <= momentum < 1.0:
            raise ValueError(f"AverageDistance: momentum: expected a number in [0, 1), got {momentum!r}.")
        self.momentum = momentum

    def build(self, input_shape: Any = None) -> None:
        """Create the mean, and the weight of the batches that are in it."""
        self.average = self.add_weight(name="average", shape=(), initializer="zeros", trainable=False)
        self.weight = self.add_weight(name="weight", shape=(), initializer="zeros", trainable=False)

    def call(self, distance: Tensor, training: bool = False) -> Tensor:
        """Return the batch's own distance in training, else the average, or the batch's before any training step."""
        distance = ops.convert_to_tensor(distance, dtype="float32")
        if not training:
            return self.mean(before=distance)
        average, weight = ops.convert_to_tensor(self.average), ops.convert_to_tensor(self.weight)
        new_weight = self.momentum * weight + (1.0 - self.momentum)
        share = (1.0 - self.momentum) / new_weight
        self.average.assign(average + share * (ops.stop_gradient(distance) - average))
        self.weight.assign(new_weight)
        return distance

    def mean(self, before: Any) -> Tensor:
        """Return the average, or `before` if there was no training step yet."""
        return ops.where(ops.convert_to_tensor(self.weight) > 0.0, ops.convert_to_tensor(self.average), before)

    def load_own_variables(self, store: Any) -> None:
        """Restore the average, if the file has one: files of older versions have none."""
        if store.keys():
            super().load_own_variables(store)

    def get_config(self) -> dict[str, Any]:
        """Return the momentum."""
        return {**super().get_config(), "momentum": self.momentum}
