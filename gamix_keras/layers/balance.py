"""A number that is computed every few steps, and averaged."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

Tensor = Any
KEPT = 0.8


@keras.saving.register_keras_serializable("gamix_keras")
class RunningBalance(keras.layers.Layer):
    """A scalar r that costs too much to compute at each step: r_0 first, then 0.8 r + 0.2 r_t at every k-th step.

    Args:
        every: k >= 1, steps from one computation to the next.

    Raises:
        ValueError: If `every` is not a positive integer.
    """

    def __init__(self, every: int = 10, **kwargs: Any) -> None:
        super().__init__(dtype=kwargs.pop("dtype", "float32"), **kwargs)
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"RunningBalance: every: expected a positive integer, got {every!r}.")
        self.every = every

    def build(self, input_shape: Any = None) -> None:
        """Create the average, and the count of steps."""
        self.average = self.add_weight(name="average", shape=(), initializer="zeros", trainable=False)
        self.steps = self.add_weight(name="steps", shape=(), initializer="zeros", trainable=False)

    def update(self, compute: Callable[[], Tensor], is_active: Tensor | bool = True) -> Tensor:
        """Return the average after one more step.

        Args:
            compute: Returns the number; it must not change a variable.
            is_active: Whether the step counts at all.
        """
        average, steps = ops.convert_to_tensor(self.average), ops.convert_to_tensor(self.steps)

        def moved() -> Tensor:
            number = compute()
            return ops.where(steps == 0.0, number, KEPT * average + (1.0 - KEPT) * number)

        is_due = ops.logical_and(is_active, ops.equal(steps % self.every, 0.0))
        new = ops.cond(is_due, moved, lambda: average)
        self.average.assign(new)
        self.steps.assign(steps + ops.cast(is_active, "float32"))
        return ops.stop_gradient(new)

    def get_config(self) -> dict[str, Any]:
        """Return the number of steps."""
        return {**super().get_config(), "every": self.every}
