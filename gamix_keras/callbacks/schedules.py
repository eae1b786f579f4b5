"""Weights that change while a model trains: KL warm-up, delayed critics, growing capacity.

A `Schedule` is a formula, testable without a model; `WeightSchedule` assigns its value to the weight of a term.
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

SHAPES = ("linear", "cosine")
UNITS = ("steps", "epochs", "fraction")


@dataclass(frozen=True)
class Schedule:
    """A value as a function of time t, in whatever unit the user of the schedule counts.

        value(t) = before                                    t < delay
                 = start + (end - start) f(min(tau / ratio, 1))   delay <= t < delay + length
                 = end                                       after that

    with p = (t - delay) / length, tau = frac(cycles p), f(u) = u (linear) or (1 - cos(pi u)) / 2 (cosine).

    - KL warm-up (Bowman 2016): `Schedule(end=1.0, length=5000)`.
    - Cyclical (Fu 2019; their M = `cycles` and R = `ratio`): `Schedule(1.0, 20000, cycles=4, ratio=0.5)`.
    - A critic that starts late: `Schedule(end=100.0, length=2000, delay=5000)`.
    - Capacity (Burgess 2018): `Schedule(end=25.0, length=100000)` on `capacity`.

    Args:
        end: Value after the ramp.
        length: Duration of all cycles together, >= 0; 0 jumps to `end`.
        start: Value at the start of the ramp, and of each cycle.
        delay: Time before the ramp starts, >= 0.
        before: Value during the delay.
        shape: `linear` or `cosine`.
        cycles: Number of ramps within `length`, >= 1.
        ratio: Share of each cycle that rises, in (0, 1]; the rest of the cycle stays at `end`.

    Raises:
        ValueError: If a number is out of its range.
    """

    end: float
    length: float
    start: float = 0.0
    delay: float = 0.0
    before: float = 0.0
    shape: str = "linear"
    cycles: int = 1
    ratio: float = 1.0

    def __post_init__(self) -> None:
        finite = "a finite number"
        for name in ("end", "start", "before"):
            self._check(name, math.isfinite(getattr(self, name)), finite)
        for name in ("length", "delay"):
            self._check(name, 0 <= getattr(self, name) < math.inf, f"{finite} >= 0")
        self._check("shape", self.shape in SHAPES, f"one of {', '.join(SHAPES)}")
        self._check("cycles", self.cycles >= 1 and self.cycles == int(self.cycles), "a whole number >= 1")
        self._check("ratio", 0 < self.ratio <= 1, "a number in (0, 1]")

    def _check(self, name: str, right: bool, expected: str) -> None:
        if not right:
            raise ValueError(f"Schedule: {name}: expected {expected}, got {getattr(self, name)!r}.")

    @property
    def finish(self) -> float:
        """The time from which the value stays at `end`."""
        return self.delay + self.length

    def __call__(self, time: float) -> float:
        """Return the value at a time >= 0."""
        if time < self.delay:
            return self.before
        if time >= self.finish:
            return self.end
        within = (time - self.delay) / self.length * self.cycles % 1.0
        share = min(within / self.ratio, 1.0)
        if self.shape == "cosine":
            share = (1.0 - math.cos(math.pi * share)) / 2.0
        return self.start + (self.end - self.start) * share


class WeightSchedule(keras.callbacks.Callback):
    """Assigns a schedule's value to the weight of a term before each step, or before each epoch.

        WeightSchedule("kl", Schedule(end=1.0, length=5000))

    The value depends on the time alone, so a resumed run goes on where it was:

    | `unit` | time t | assigned before |
    | --- | --- | --- |
    | `steps` | steps that the model was trained for, over all its fits and resumptions | each step |
    | `epochs` | epoch from 0, counted from `initial_epoch` of `fit` | each epoch |
    | `fraction` | (epoch + share of the epoch) / `epochs` of `fit`, in [0, 1) | each step, or epoch of unknown length |

    A fit that is resumed with more `epochs` counts shares of all of them, so a `fraction` that was reached is undone:
    for a training that may be extended, count in steps or epochs.

    A validation pass sees the value of the last step. Between two different values nothing is done, so only ramps
    cost: on JAX a change within an epoch takes the trainer's state back into the variables (a few microseconds of
    Python per variable, nothing is copied). With `steps_per_execution` above 1 the value changes once per execution.
    If training ends before the schedule does, there is a warning. A step is a batch, also if the optimizer accumulates
    gradients over several.

    Args:
        term: Name of the term in `model.term_weights` (`kl`, `global`, `adversarial`, `capacity`, ...), or the variable
            itself: a scalar that is not trained.
        schedule: Value over time.
        unit: `steps`, `epochs` or `fraction`.

    Raises:
        ValueError: If the unit is another; at the start of `fit`, if the model has no such variable.
    """

    def __init__(self, term: str | keras.Variable, schedule: Schedule, unit: str = "steps") -> None:
        super().__init__()
        if unit not in UNITS:
            raise ValueError(f"WeightSchedule: unit: expected one of {', '.join(UNITS)}; got {unit!r}.")
        self.term = term
        self.schedule = schedule
        self.unit = unit

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Find the variable."""
        self._target = _scalar_of(self.model, self.term)
        self._steps = self.params.get("steps")
        self._warned = False

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Assign, and check against the end of training as soon as the length of an epoch is known."""
        self._epoch = epoch
        self._begun = self.model.steps_done if self.unit == "steps" else 0
        self._assigned = None
        self._assign(0)
        if not self._warned:
            self._warn()

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Assign, if the value changes from step to step."""
        if self.unit != "epochs":
            self._assign(batch)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Learn the number of steps of an epoch, if Keras did not know it."""
        if self._steps is None and self.unit == "steps":
            self._steps = self.model.steps_done - self._begun

    def _time(self, batch: int) -> float:
        if self.unit == "steps":
            return self._begun + batch
        if self.unit == "epochs":
            return self._epoch
        steps = self.params.get("steps")
        return (self._epoch + (batch / steps if steps else 0.0)) / self.params["epochs"]

    def _assign(self, batch: int) -> None:
        value = np.float32(self.schedule(self._time(batch)))
        if value == self._assigned:
            return
        # Within an epoch JAX's trainer holds the values; after a sync it takes them from the variables again.
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()
        self._target.assign(value)
        self._assigned = value

    def _warn(self) -> None:
        last = self._last_time()
        if last is None:
            return
        self._warned = True
        if self.schedule.finish > last:
            name = self.term if isinstance(self.term, str) else self.term.name
            warnings.warn(
                f"WeightSchedule: {name}: the schedule ends at {self.schedule.finish:g} {self.unit}, after training, "
                f"which ends at {last:g} with a value of about {self.schedule(last):.4g} instead of "
                f"{self.schedule.end:g}: shorten the schedule or train longer.",
                UserWarning,
                stacklevel=2,
            )

    def _last_time(self) -> float | None:
        if self.unit == "fraction":
            return 1.0
        if self.unit == "epochs":
            return self.params["epochs"]
        if not self._steps:
            return None
        return self._begun + (self.params["epochs"] - self._epoch) * self._steps


def _scalar_of(model: keras.Model, term: str | keras.Variable) -> keras.Variable:
    """Return the variable, checked: what is not part of the model's state would be frozen into the compiled step."""
    known = getattr(model, "term_weights", {})
    if isinstance(term, str):
        if term in known:
            return known[term]
        raise ValueError(f"WeightSchedule: term: expected one of {', '.join(known)}; got {term!r}.")
    states = {id(variable) for variable in model.non_trainable_variables}
    if isinstance(term, keras.Variable) and id(term) in states and tuple(term.shape) == ():
        return term
    got = getattr(term, "path", repr(term))
    raise ValueError(f"WeightSchedule: term: expected a scalar of the model that is not trained, got {got}.")
