"""A picture of what the model can do, every so many epochs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from gamix_keras import plots


class SampleGrid(keras.callbacks.Callback):
    """Writes `epoch-0040.png`: originals, their reconstructions from the mean, and samples of the prior.

    The images and the draws of the prior are the same every time, so that epochs can be compared. The model's
    own random state is not touched: a run with the callback trains exactly as one without. A model that keeps an
    average of its weights is drawn with that.

    Args:
        images: Held-out images (N, H, W, C) in [-1, 1].
        folder: Where the pictures go; None computes them and writes nothing.
        every: Epochs between two pictures; 0 writes one after the last epoch only.
        seed: Seed of the draws from the prior.
    """

    def __init__(self, images: np.ndarray, folder: str | Path | None, every: int = 1, seed: int = 0) -> None:
        super().__init__()
        self.images = images
        self.folder = None if folder is None else Path(folder)
        self.every = every
        self.seed = seed
        self.finished = self.written = 0

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Write a picture when it is time."""
        self.finished = epoch + 1
        if self.every and self.finished % self.every == 0:
            self._write()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Write the picture of the last epoch if it is missing."""
        if self.finished > self.written:
            self._write()

    def _write(self) -> None:
        with self.model.averaged():
            reconstruction = ops.convert_to_numpy(self.model.reconstruct(self.images))
            sample = ops.convert_to_numpy(self.model.sample(len(self.images), seed=self.seed))
        if self.folder is not None:
            rows = {"original": self.images, "reconstruction": reconstruction, "sample": sample}
            plots.save_rows(rows, self.folder / f"epoch-{self.finished:04d}.png")
        self.written = self.finished
