"""The learned scale of a likelihood."""

from typing import Any

import keras
from keras import ops

Tensor = Any


@keras.saving.register_keras_serializable("gamix_keras")
class LearnedLogScale(keras.layers.Layer):
    """One trainable scalar, the logarithm of a scale shared by all pixels (Dai & Wipf 2019, their learnable gamma).

    Args:
        initial: the scale at the start, > 0. 1 is the width of half the range of images in [-1, 1].

    Raises:
        ValueError: where `initial` is not a positive number.
    """

    def __init__(self, initial: float = 1.0, **kwargs: Any) -> None:
        super().__init__(dtype=kwargs.pop("dtype", "float32"), **kwargs)
        if not initial > 0:
            raise ValueError(f"LearnedLogScale: initial: expected a positive number, got {initial!r}.")
        self.initial = initial

    def build(self, input_shape: Any = None) -> None:
        """Creates the scalar."""
        start = keras.initializers.Constant(float(ops.log(self.initial)))
        self.log_scale = self.add_weight(name="log_scale", shape=(), initializer=start)

    def call(self, inputs: Tensor) -> Tensor:
        """The log-scale, a scalar; `inputs` is what it is the scale of."""
        return ops.convert_to_tensor(self.log_scale)

    def get_config(self) -> dict[str, Any]:
        """The initial scale."""
        return {**super().get_config(), "initial": self.initial}
