"""Trackers of terms that not every model has, and of terms that are no mean over images."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

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

    def mean(self) -> Tensor:
        """Return the mean."""
        return super().result()

    def result(self) -> dict[str, Tensor]:
        """Return the mean by its name, or nothing."""
        return {} if self.is_silent else {self.name: self.mean()}


class PassStatistics(keras.metrics.Metric):
    """What a validation pass gathers for a term that is no mean over images; it logs nothing itself.

    A subclass adds variables that replicas may add up (the value is a ratio of them) and defines `update_state` and
    `value`. Nothing is gathered in training.

    Attributes:
        images: The number of images so far.
    """

    is_silent = True

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.images = self.add_variable((), "zeros", name="images")
        self.has_begun = False

    def value(self) -> Tensor:
        """Return the term of the pass so far."""
        raise NotImplementedError

    def result(self) -> dict[str, Tensor]:
        """Return nothing: there is nothing to log."""
        return {}

    def reset_state(self) -> None:
        """Forget the pass."""
        self.has_begun = False
        super().reset_state()

    def otherwise(self, mean: Tensor) -> Tensor:
        """Return the term of the pass, or the mean if nothing was gathered: in training."""
        if keras.config.backend() == "torch":  # runs eagerly: a look at a number on a GPU would wait for it
            return self.value() if self.has_begun else mean
        return ops.cond(ops.convert_to_tensor(self.images) > 0, self.value, lambda: mean)


class PassMean(keras.metrics.Mean):
    """A mean; with statistics attached it is, in validation, the term of the whole pass, whatever its batches."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self._attached: Callable[[], tuple[PassStatistics, Callable | None]] | None = None

    def attach(self, statistics: PassStatistics, objective: Callable[[], Tensor] | None = None) -> None:
        """Take the term of a pass from statistics.

        Args:
            statistics: What the pass gathers.
            objective: Returns the term from other terms of the pass; None for the statistics' own value.
        """
        self._attached = lambda: (statistics, objective)  # Keras would count an attribute's variables twice

    def result(self) -> Tensor:
        """Return the mean, or the term of the pass."""
        mean = super().result()
        if self._attached is None:
            return mean
        statistics, objective = self._attached()
        if objective is None:
            return statistics.otherwise(mean)
        return ops.where(ops.convert_to_tensor(statistics.images) > 0, objective(), mean)
