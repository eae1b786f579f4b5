"""Callbacks that hand what an epoch left behind to whoever keeps it."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import keras


class EpochHistory(keras.callbacks.Callback):
    """Hands one plain row per epoch to a function: ``epoch`` (from 1), ``seconds``, then the logs.

    Args:
        record: Called with the row; a run directory appends it to its history.
    """

    def __init__(self, record: Callable[[dict[str, float]], None]) -> None:
        super().__init__()
        self.record = record
        self.started = 0.0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Start the clock."""
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Hand over the row, validation included."""
        seconds = round(time.perf_counter() - self.started, 3)
        values = {name: float(value) for name, value in (logs or {}).items()}
        self.record({"epoch": epoch + 1, "seconds": seconds, **values})


class EpochCheckpoint(keras.callbacks.Callback):
    """Hands the model to a function every so many epochs and after the last one.

    Args:
        save: Called with the model and the number of finished epochs.
        every: Epochs between two calls.
    """

    def __init__(self, save: Callable[[keras.Model, int], None], every: int = 1) -> None:
        super().__init__()
        self.save = save
        self.every = every
        self.finished = self.saved = 0

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Save when it is time."""
        self.finished = epoch + 1
        if self.finished % self.every == 0:
            self._save()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Save what the last regular call did not see."""
        if self.finished > self.saved:
            self._save()

    def _save(self) -> None:
        self.save(self.model, self.finished)
        self.saved = self.finished
