"""A moving average of weights, kept as state of the model."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("gamix_keras")
class MovingAverage(keras.layers.Layer):
    """Exponential moving average of a list of variables, bias-corrected (Polyak & Juditsky 1992; Kingma & Ba 2015, 3).

        a_n = [(1 - d) / (1 - d^n)] w_n + [1 - (1 - d) / (1 - d^n)] a_{n-1},   a_1 = w_1

    after n averaged steps: the weighted mean of w_1 ... w_n with weights proportional to d^(n - i), so early values
    do not linger as they do in the average without correction, and no ramp of the decay is needed. It is what Keras's
    `use_ema` is not: the average never overwrites the weights that are trained. Its state is saved with the model, so
    a resumed run averages on.

    Args:
        decay: d in [0, 1); it averages over about 1 / (1 - d) steps.
        start: Steps before averaging begins; until then the average is the weights themselves.

    Raises:
        ValueError: If a number is out of its range.
    """

    def __init__(self, decay: float = 0.999, start: int = 0, **kwargs: Any) -> None:
        super().__init__(dtype=kwargs.pop("dtype", "float32"), **kwargs)
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"MovingAverage: decay: expected a number in [0, 1), got {decay!r}.")
        if start < 0:
            raise ValueError(f"MovingAverage: start: expected a whole number >= 0, got {start!r}.")
        self.decay = decay
        self.start = start

    def build(self, shapes: Sequence[tuple]) -> None:
        """Create one average per variable, and the count of steps."""
        # A float counts exactly to 16.7 million; when it stops, d^n has been 0 for long.
        self.steps = self._state("steps", ())
        self.averages = [self._state(f"average_{i}", shape) for i, shape in enumerate(shapes)]

    def _state(self, name: str, shape: tuple) -> keras.Variable:
        # Replicas hold the same weights, so any one's average is everyone's.
        kind = {"trainable": False, "aggregation": "only_first_replica"}
        return self.add_weight(name=name, shape=shape, initializer="zeros", **kind)

    def update(self, variables: Sequence[keras.Variable], has_moved: Any = 1.0) -> None:
        """Take in the values after a training step.

        Args:
            variables: Variables that are averaged.
            has_moved: 1, or 0 if the step only accumulated gradients: then nothing changes.
        """
        steps = ops.convert_to_tensor(self.steps) + has_moved
        self.steps.assign(steps)
        gain = self._gain(ops.maximum(steps - self.start, 1.0)) * has_moved
        if keras.config.backend() == "torch":
            # The same numbers in place and all at once; `assign` would copy each of them once more.
            from gamix_keras.layers.torch_kernels import moved_towards

            moved_towards([average.value for average in self.averages], [each.value for each in variables], gain)
            return
        for average, variable in zip(self.averages, variables, strict=True):
            old = ops.convert_to_tensor(average)
            average.assign(old + gain * (ops.cast(variable, "float32") - old))

    def _gain(self, count: Any) -> Any:
        if self.decay == 0.0:
            return 1.0
        gain = (1.0 - self.decay) / -ops.expm1(count * math.log(self.decay))
        # Exactly 1 at first: nothing of the zeros before it remains.
        return ops.where(count > 1.0, gain, 1.0)

    def swap(self, variables: Sequence[keras.Variable]) -> None:
        """Exchange the averages and the variables; a second call exchanges them back, to the bit."""
        for average, variable in zip(self.averages, variables, strict=True):
            # Copies: on JAX two variables must not share a buffer that the next step donates.
            values = ops.copy(average), ops.copy(variable)
            variable.assign(values[0])
            average.assign(values[1])

    @contextmanager
    def swapped(self, variables: Sequence[keras.Variable]) -> Iterator[None]:
        """Hold the averages in the variables within the context; do nothing before the first training step."""
        ready = self._has_begun()
        if ready:
            self.swap(variables)
        try:
            yield
        finally:
            if ready:
                self.swap(variables)

    def adopt(self, variables: Sequence[keras.Variable]) -> None:
        """Assign the averages to the variables; do nothing before the first training step."""
        if self._has_begun():
            for average, variable in zip(self.averages, variables, strict=True):
                variable.assign(ops.copy(average))

    def settle(self, variables: Sequence[keras.Variable], resting: Sequence[keras.Variable]) -> None:
        """Assign their averages to those of the variables that will rest: from then on both stay the same, to the bit.

        Before the first training step it does nothing: the average begins with the weights themselves.

        Args:
            variables: Variables that are averaged.
            resting: Those of them that no later step moves.
        """
        ids = {id(variable) for variable in resting}
        for average, variable in zip(self.averages, variables, strict=True) if self._has_begun() else ():
            if id(variable) in ids:
                variable.assign(ops.copy(average))
                # A copy: on JAX two variables must not share a buffer that the next step donates.
                average.assign(ops.copy(ops.cast(variable, "float32")))

    def _has_begun(self) -> bool:
        return float(ops.convert_to_numpy(self.steps)) > 0

    def get_config(self) -> dict[str, Any]:
        """Return decay and start."""
        return {**super().get_config(), "decay": self.decay, "start": self.start}
