"""Finding numbers that are not finite within the compiled step, before anything is moved.

A step first computes the gradients of all phases. Only if those, the terms and the images are finite does it go on to
move weights, slots, averages and metrics. So what was there before needs no copy, and the guard costs one sum over each
array that it looks at.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from gamix_keras.distributed import replicas
from gamix_keras.training.batch import Batch
from gamix_keras.training.phase import Phase, Terms

Tensor = Any
REMEMBERED = 16
WEIGHTS = " weights"


class BadStep(NamedTuple):
    """A step with a number that is not finite.

    Attributes:
        number: Number of the step, from 0 at the last reset of the metrics: at the start of the epoch.
        origin: Name of what broke first: `images`, a term, `critic gradient`, `critic weights` and the like.
    """

    number: int
    origin: str

    @property
    def is_lasting(self) -> bool:
        """Whether the weights broke, from gradients that were finite: then the step had been made already."""
        return self.origin.endswith(WEIGHTS)


class Update(NamedTuple):
    """What a phase's pass forward and back came to, before anything is moved.

    Attributes:
        phase: The phase.
        terms: Its terms.
        gradients: Gradients of the (scaled) loss by the phase's variables.
    """

    phase: Phase
    terms: Terms
    gradients: Sequence[Tensor | None]


class Health:
    """What was looked at within one step, in the order of cause and effect, each with a number that is finite if it is.

    It is filled while the step is traced.

    Args:
        total: Quicker substitute of `total_of`, if a backend has one.
    """

    def __init__(self, total: Callable[[Iterable[Tensor]], Tensor] | None = None) -> None:
        self.total = total or total_of
        self.names: list[str] = []
        self.totals: list[Tensor] = []

    @classmethod
    def of(cls, batch: Batch, updates: Iterable[Update], total: Callable | None = None) -> "Health":
        """Look at a batch and at what each phase made of it."""
        health = cls(total)
        health.look("images", [batch.images])
        if batch.targets is not batch.images:
            health.look("targets", [batch.targets])
        for update in updates:
            health.look_at(update)
        return health

    def look(self, name: str, values: Iterable[Tensor]) -> None:
        """Note whether all of some arrays are finite."""
        self.names.append(name)
        self.totals.append(self.total(values))

    def look_at(self, update: Update) -> None:
        """Note what a phase came to: each term, the loss that is made of them, the gradients."""
        phase, terms, gradients = update
        for name, value in terms.items():
            title = f"{phase.name} loss" if name == "loss" else name
            self.look(title, value if isinstance(value, tuple) else (value,))
        # A loss scale expects gradients to overflow, and sees to it itself.
        if not isinstance(phase.optimizer, keras.optimizers.LossScaleOptimizer):
            self.look(f"{phase.name} gradient", [gradient for gradient in gradients if gradient is not None])
            self.look(f"{phase.name} learning rate", [phase.optimizer.learning_rate])

    def look_at_weights(self, updates: Iterable[Update], totals: Iterable[Tensor]) -> None:
        """Note, last of all, the totals of each phase's weights after the step."""
        self.names += [update.phase.name + WEIGHTS for update in updates]
        self.totals += totals

    def flags(self) -> Tensor:
        """Return whether each thing that was looked at is finite, on every replica: (n,)."""
        flags = ops.isfinite(ops.stack(self.totals))
        return replicas.mean(ops.cast(flags, "float32")) == 1.0 if replicas.count() > 1 else flags


def total_of(values: Iterable[Tensor]) -> Tensor:
    """Return the sum of all entries of some arrays: a scalar that is finite if all of them are.

    It reads each array only once. It can overflow beyond 1e38 although no entry has; nothing recovers from that either.
    """
    return sum(ops.sum(ops.cast(ops.convert_to_tensor(value), "float32")) for value in values)


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

    def take(self, health: Health) -> None:
        """Count a step."""
        self.names = tuple(health.names)
        self.update_state(health.flags())

    def take_good(self) -> None:
        """Count a step that is known to be finite throughout."""
        self.seen.assign(self.seen + 1.0)

    def update_state(self, flags: Tensor) -> None:
        """Count a step by its flags, (n,) booleans."""
        is_bad = ops.logical_not(ops.all(flags))
        here = ops.arange(REMEMBERED) == ops.cast(self.bad, "int32") % REMEMBERED
        here = ops.logical_and(here, is_bad)
        origin = ops.cast(ops.argmin(ops.cast(flags, "int32")), "float32")
        for remembered, value in ((self.steps, ops.convert_to_tensor(self.seen)), (self.origins, origin)):
            remembered.assign(ops.where(here, value, ops.convert_to_tensor(remembered)))
        self.bad.assign(self.bad + ops.cast(is_bad, "float32"))
        self.seen.assign(self.seen + 1.0)

    def bad_steps(self, after: int = 0) -> list[BadStep]:
        """Return the bad steps but for the first `after`, as far as they are remembered."""
        count = int(self.bad)
        steps, origins = (ops.convert_to_numpy(variable.value) for variable in (self.steps, self.origins))
        slots = [number % REMEMBERED for number in range(max(after, count - REMEMBERED), count)]
        return [BadStep(int(steps[slot]), self.names[int(origins[slot])]) for slot in slots]

    def result(self) -> dict[str, Tensor]:
        """Return nothing: there is nothing to log."""
        return {}
