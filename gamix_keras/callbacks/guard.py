"""Steps with numbers that are not finite: not made, noted, answered, and after too many of them the end."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from gamix_keras.training.guard import BadStep

ACTIONS = ("skip", "lower")
LOWERING = 0.5
# Looking waits for the device; a bad step itself is left out at once, within the compiled step.
_LOOK_EVERY = 10
_NAMED = 4
ADVICE = "try a lower training.learning_rate, training.clip_norm=1 or training.precision=float32"


class NumericGuard(keras.callbacks.Callback):
    """Makes no step in which an image, a loss, another term, a gradient or a step size is not finite.

    The step itself finds out, compiled on every backend, and leaves weights, optimizers, moving statistics and metrics
    as they were; random generators move on, and so does the data. This callback notes what happened, and where. Weights
    that overflow although all of these were finite end `fit` at once, named, before a checkpoint is written of them.
    float16 gradients that overflow are the loss scale's affair: it expects them. A step costs one more read of the
    gradients and weights.

    Args:
        action: `skip` goes on with the next batch; `lower` also halves the learning rate of every optimizer, once for
            all bad steps that are seen together (they are looked for every 10 steps).
        events: Bad steps of one `fit` after which it ends, >= 1.
        record: Function that is called with a row for each bad step: `epoch` and `step` (from 1), `origin`, and
            `images` if they are known.
        images: Function that gives the names of the images of a batch, by epoch and step from 0.
        begun: Steps that the first epoch of this fit has behind it already.

    Raises:
        ValueError: If an argument is out of its range.
        FloatingPointError: from `fit`, after so many bad steps or if a weight is not finite, with a diagnosis that
            names what broke first.
    """

    def __init__(
        self,
        action: str = "skip",
        events: int = 10,
        record: Callable[[dict[str, Any]], None] | None = None,
        images: Callable[[int, int], Sequence[str]] | None = None,
        begun: int = 0,
    ) -> None:
        super().__init__()
        if action not in ACTIONS:
            raise ValueError(f"NumericGuard: action: expected one of {', '.join(ACTIONS)}; got {action!r}.")
        if events < 1:
            raise ValueError(f"NumericGuard: events: expected a whole number >= 1, got {events!r}.")
        self.action = action
        self.events = events
        self.record = record
        self.images = images
        self.begun = begun
        self.found: list[dict[str, Any]] = []

    def set_model(self, model: keras.Model) -> None:
        """Have the step compiled with its guard."""
        super().set_model(model)
        model.guard_steps()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Keras has reset the count."""
        self.epoch, self.known = epoch, 0

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Look, every so often and at the end of an epoch, before validation resets the count."""
        steps = self.params.get("steps")
        if steps is None or batch + 1 == steps or (self.begun + batch + 1) % _LOOK_EVERY == 0:
            self.look()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Begin the next epoch at its first step."""
        self.begun = 0

    def look(self) -> None:
        """Note and answer the bad steps since the last look; for whoever writes a checkpoint, before that."""
        model = self.model  # on JAX this takes the trainer's state back into the variables
        new = model.step_guard.bad_steps(after=self.known)
        if not new:
            return
        self.known += len(new)
        rows = [self._row(step) for step in new]
        self.found += rows
        for row in rows:
            if self.record is not None:
                self.record(row)
        if len(self.found) >= self.events or any(step.is_lasting for step in new):
            raise FloatingPointError(self._diagnosis())
        answer = self._lower(model) if self.action == "lower" else ""
        warnings.warn(f"NumericGuard: {_told(rows[-1])}; {len(new)} left out{answer}", UserWarning, stacklevel=2)

    def _row(self, bad: BadStep) -> dict[str, Any]:
        step = self.begun + bad.number
        row = {"epoch": self.epoch + 1, "step": step + 1, "origin": bad.origin}
        return row if self.images is None else {**row, "images": list(self.images(self.epoch, step))}

    @staticmethod
    def _lower(model: keras.Model) -> str:
        return f", learning rate now {model.lower_rates(LOWERING):.3g}"

    def _diagnosis(self) -> str:
        first, last = self.found[0], self.found[-1]
        lost = [variable.path for variable in self.model.weights if not _is_finite(variable)]
        weights = f"; not finite already: {', '.join(lost[:_NAMED])}" if lost else ""
        return f"{len(self.found)} bad steps: {_told(first)}; the last: {_told(last)}{weights}; {ADVICE}"


def _told(row: Mapping[str, Any]) -> str:
    text = f"{row['origin']} not finite in epoch {row['epoch']}, step {row['step']}"
    names = row.get("images", [])
    more = ", ..." if len(names) > _NAMED else ""
    return text + (f" (images {', '.join(map(str, names[:_NAMED]))}{more})" if names else "")


def _is_finite(variable: keras.Variable) -> bool:
    return bool(ops.convert_to_numpy(ops.all(ops.isfinite(ops.cast(variable, "float32")))))
