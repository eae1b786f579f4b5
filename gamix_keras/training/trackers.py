"""Trackers of terms that not every model has."""

from typing import Any

import keras

Tensor = Any


class OptionalMean(keras.metrics.Mean):
    """A mean that is logged only if it is ever fed: whether a network adds losses shows when its step is traced.

    Attributes:
        is_silent: Whether it has nothing to log.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.is_silent = True

    def update_state(self, values: Tensor, sample_weight: Tensor | None = None) -> None:
        """Take in a value."""
        self.is_silent = False
        super().update_state(values, sample_weight=sample_weight)

    def result(self) -> dict[str, Tensor]:
        """Return the mean by its name, or nothing."""
        return {} if self.is_silent else {self.name: super().result()}
