"""What a fit does once: look at its first batch on the host, log the step sizes."""

import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
from keras import ops


def looking(model: keras.Model, function: Callable) -> Callable:
    """Return a train function that hands the first batch of a fit to `model.look_at` before it trains on it.

    The batch is the very one that is trained on: nothing is read twice, and no iterator loses anything.
    """

    def train(*arguments: Any) -> Any:
        if model.must_look:
            model.must_look = False
            batch, arguments = model.peek(*arguments)
            try:
                if batch is not None:
                    model.look_at(batch)
            except ValueError:
                model.give_back(*arguments)
                raise
        return function(*arguments)

    train.looks = True
    return train


def point(callbacks: Iterable[keras.callbacks.Callback], trackers: Mapping[str, keras.metrics.Metric]) -> None:
    """Set the mode of callbacks with `mode="auto"` that monitor a term: Keras asks only the metrics of its own."""
    for callback in callbacks:
        tracker = trackers.get(str(getattr(callback, "monitor", "")).removeprefix("val_"))
        if tracker is not None and getattr(callback, "mode", None) == "auto":
            callback.mode = "max" if getattr(tracker, "_direction", "down") == "up" else "min"


class StepSizes(keras.callbacks.Callback):
    """Logs the step size of each epoch: `learning_rate` of the first phase, `critic_learning_rate` and the like."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the step sizes to the logs."""
        first, *others = self.model.phase_names
        names = {first: "learning_rate", **{name: f"{name}_learning_rate" for name in others}}
        rates = {name: self.model.phase_optimizer(phase).learning_rate for phase, name in names.items()}
        if logs is not None:
            logs.update({name: float(ops.convert_to_numpy(rate)) for name, rate in rates.items()})


def refuse_h5(path: str | Path) -> None:
    """Refuse Keras's old format before anything is written.

    Raises:
        ValueError: If the path ends in `.h5` or `.hdf5`.
    """
    if str(path).endswith((".h5", ".hdf5")):
        raise ValueError(f"save: expected a path that ends in .keras, got {path}; the old format holds no such model")


def drawn_seed() -> int:
    """Return a seed drawn from Python's generator, which `keras.utils.set_random_seed` governs."""
    return random.randint(1, 10**9)
