"""Finding numbers that are not finite within the compiled step, and whether the step may stand."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from gamix_keras.training.phase import Phase, Terms

Tensor = Any
REMEMBERED = 16


class BadStep(NamedTuple):
    """A step that was undone.

    Attributes:
        number: Of the step, counted from 0 since the metrics were reset: since the start of the epoch.
        origin: What broke first: `images`, a term, `critic gradient`, `critic weights` and the like.
    """

    number: int
    origin: str


class Health:
    """What was looked at within one step, in the order of cause and effect, each with a flag: finite or not.

    It is filled while the step is traced. One that is not `wanted` stays empty and adds no operation.
    """

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted
        self.names: list[str] = []
        self.flags: list[Tensor] = []

    def look(self, name: str, values: Iterable[Tensor]) -> None:
        """Takes note of whether all of some arrays are finite."""
        if self.wanted:
            self.note([name], [are_finite(values)])

    def note(self, names: Iterable[str], flags: Iterable[Tensor]) -> None:
        """Takes note of flags."""
        self.names += names
        self.flags += flags

    def look_at_terms(self, phase: Phase, terms: Terms) -> None:
        """Takes note of each term of a phase; its loss, which is made of them, comes last."""
        self.note(*self.of_terms(phase, terms))

    def of_terms(self, phase: Phase, terms: Terms) -> tuple[list[str], list[Tensor]]:
        """Names and flags of a phase's terms, to be noted where the trace may leave them."""
        if not self.wanted:
            return [], []
        values = [value if isinstance(value, tuple) else (value,) for value in terms.values()]
        names = [f"{phase.name} loss" if name == "loss" else name for name in terms]
        return names, [are_finite(value) for value in values]

    def look_at_gradients(self, phase: Phase, gradients: Sequence[Tensor | None]) -> None:
        """Takes note of a phase's gradients, unless a loss scale expects them to overflow and sees to it itself."""
        if not isinstance(phase.optimizer, keras.optimizers.LossScaleOptimizer):
            self.look(f"{phase.name} gradient", [gradient for gradient in gradients if gradient is not None])


def are_finite(values: Iterable[Tensor]) -> Tensor:
    """Whether all entries of some arrays are finite: a scalar.

    A sum is not finite where one of its terms is not, and reads each array only once. It can overflow where no term
    has, beyond 1e38, which nothing recovers from either.
    """
    sums = [ops.sum(ops.cast(ops.convert_to_tensor(value), "float32")) for value in values]
    return ops.all(ops.isfinite(ops.stack(sums)))


class StepGuard(keras.metrics.Metric):
    """Counts the bad steps since it was reset, and remembers the last 16 of them; it logs nothing.

    A metric, because those are state of every trainer and saved with no model.
    """

    def __init__(self, name: str = "step_guard") -> None:
        super().__init__(name=name)
        self.names: tuple[str, ...] = ()
        self.seen, self.bad = (self.add_variable((), "zeros", name=name) for name in ("seen", "bad"))
        self.steps, self.origins = (
            self.add_variable((REMEMBERED,), "zeros", name=name) for name in ("steps", "origins")
        )

    def judge(self, health: Health) -> Tensor:
        """Takes in a step and returns whether all of it is finite."""
        self.names = tuple(health.names)
        flags = ops.stack(health.flags)
        self.update_state(flags)
        return ops.all(flags)

    def update_state(self, flags: Tensor) -> None:
        """Takes in the flags of a step: (n,) booleans."""
        is_bad = ops.logical_not(ops.all(flags))
        here = ops.arange(REMEMBERED) == ops.cast(self.bad, "int32") % REMEMBERED
        here = ops.logical_and(here, is_bad)
        origin = ops.cast(ops.argmin(ops.cast(flags, "int32")), "float32")
        for remembered, value in ((self.steps, ops.convert_to_tensor(self.seen)), (self.origins, origin)):
            remembered.assign(ops.where(here, value, ops.convert_to_tensor(remembered)))
        self.bad.assign(self.bad + ops.cast(is_bad, "float32"))
        self.seen.assign(self.seen + 1.0)

    def bad_steps(self, after: int = 0) -> list[BadStep]:
        """The bad steps but for the first `after`, as far as they are remembered."""
        count = int(self.bad)
        steps, origins = (ops.convert_to_numpy(variable.value) for variable in (self.steps, self.origins))
        slots = [number % REMEMBERED for number in range(max(after, count - REMEMBERED), count)]
        return [BadStep(int(steps[slot]), self.names[int(origins[slot])]) for slot in slots]

    def result(self) -> dict[str, Tensor]:
        """Nothing to log."""
        return {}
