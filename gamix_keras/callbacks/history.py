"""Callbacks that pass on what an epoch produced: its row, and the model as a checkpoint."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from gamix_keras.interrupts import Stopped


class EpochHistory(keras.callbacks.Callback):
    """Passes one plain row per epoch to a function: `epoch` (from 1), `seconds`, `cpu_seconds`, then the logs.

    `seconds` are by the clock, validation and pictures included. `cpu_seconds` are processor seconds of all threads of
    this process in the same time, not of processes beside it: what a training cost, however busy the machine was.

    Args:
        record: Called with the row; a run directory appends it to its history.
    """

    def __init__(self, record: Callable[[dict[str, float]], None]) -> None:
        super().__init__()
        self.record = record
        self.started = self.cpu_started = 0.0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Start the clocks."""
        self.started, self.cpu_started = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Pass on the row, validation included."""
        taken = {"seconds": time.perf_counter() - self.started, "cpu_seconds": time.process_time() - self.cpu_started}
        values = {name: float(value) for name, value in (logs or {}).items()}
        self.record({"epoch": epoch + 1, **{name: round(value, 3) for name, value in taken.items()}, **values})


def _never() -> int:
    return 0


class EpochCheckpoint(keras.callbacks.Callback):
    """Passes the model to a function every `every` epochs and after the last one.

    Args:
        save: Called with the model and the number of finished epochs.
        every: Epochs between two calls.
        stopping: Returns the number of a signal once training is to end, see `stop_requests`.

    Raises:
        Stopped: At the end of an epoch, after saving, if `stopping` says so.
    """

    def __init__(
        self, save: Callable[[keras.Model, int], None], every: int = 1, stopping: Callable[[], int] = _never
    ) -> None:
        super().__init__()
        self.save = save
        self.every = every
        self.stopping = stopping
        self.finished = self.saved = 0

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Save if it is time."""
        self.finished = epoch + 1
        signal_number = self.stopping()
        if self.finished % self.every == 0 or signal_number:
            self._save()
        if signal_number:
            raise Stopped(signal_number)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Save if the last epoch was not saved yet."""
        if self.finished > self.saved:
            self._save()

    def _save(self) -> None:
        self.save(self.model, self.finished)
        self.saved = self.finished


class StepCheckpoint(keras.callbacks.Callback):
    """Passes the model to a function within an epoch, every `steps` steps or `minutes` minutes, or to end training.

    The end of an epoch is left to `EpochCheckpoint`: validation, and with it the epoch's row, comes first.

    Args:
        save: Called with the model, the number of finished epochs and the steps since.
        steps: Steps between two calls, counted from the epoch's first; None for none.
        minutes: Minutes between two calls; None for none.
        begun: Steps of the first epoch of this fit that are finished already.
        stopping: Returns the number of a signal once training is to end, see `stop_requests`.

    Raises:
        Stopped: After a step, and after saving, if `stopping` says so.
    """

    def __init__(
        self,
        save: Callable[[keras.Model, int, int], None],
        steps: int | None = None,
        minutes: float | None = None,
        begun: int = 0,
        stopping: Callable[[], int] = _never,
    ) -> None:
        super().__init__()
        self.save = save
        self.steps = steps
        self.minutes = minutes
        self.begun = begun
        self.stopping = stopping

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Start the clock."""
        self.saved = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Note the epoch."""
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Save if it is time."""
        if batch + 1 == self.params["steps"]:
            return
        step, signal_number = self.begun + batch + 1, self.stopping()
        if signal_number or self._is_time(step):
            self.save(self.model, self.epoch, step)
            self.saved = time.monotonic()
        if signal_number:
            raise Stopped(signal_number)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Start the next epoch at its first step."""
        self.begun = 0

    def _is_time(self, step: int) -> bool:
        by_steps = self.steps is not None and step % self.steps == 0
        return by_steps or (self.minutes is not None and time.monotonic() - self.saved >= 60 * self.minutes)


class ResumedMetrics(keras.callbacks.Callback):
    """Gives the first epoch of a fit the running means with which a checkpoint within that epoch was written.

    Args:
        variables: The variables of the model's metrics; their present values are restored once Keras has reset them.
    """

    def __init__(self, variables: Sequence[keras.Variable]) -> None:
        super().__init__()
        self.variables = variables
        self.values = [keras.ops.convert_to_numpy(variable).copy() for variable in variables]

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Restore, once."""
        for variable, value in zip(self.variables, self.values, strict=True):
            variable.assign(value)
        self.variables = self.values = ()
