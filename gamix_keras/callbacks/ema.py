"""Validation on averaged weights."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import keras


class EMAWeights(keras.callbacks.Callback):
    """Swaps the moving average of the weights in while Keras evaluates, so that `val_*` logs are the average's.

    The average belongs to the model (`ema_decay=0.999` of its constructor), which updates it within the compiled step
    and saves it with its weights: this callback costs two exchanges per evaluation and keeps nothing. Logs of training,
    checkpoints and training itself see the trained weights as ever. For anything else than validation use the context
    `with model.averaged():` around `sample`, `reconstruct`, `evaluate` or `export`.

    Raises:
        ValueError: At the start of `fit`, if the model keeps no average.
    """

    def __init__(self) -> None:
        super().__init__()
        self._swapped = ExitStack()

    def set_model(self, model: keras.Model) -> None:
        """Check that there is an average."""
        super().set_model(model)
        if getattr(model, "ema", None) is None:
            raise ValueError("EMAWeights: model: expected one made with ema_decay=0.999 or the like, got one without.")

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Undo what an interrupted evaluation left."""
        self._swapped.close()

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Swap in."""
        self._swapped.close()
        self._swapped.enter_context(self.model.averaged())

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Swap back."""
        self._swapped.close()
