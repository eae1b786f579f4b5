"""A picture of what the model can do, every so many epochs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from gamix_keras import plots
from gamix_keras.data import Source, to_unit_range
from gamix_keras.samplers import FullGaussianSampler, collect_posteriors

FITTED_PIXELS, FEWEST, MOST = 2**21, 64, 512  # 512 images of 64 x 64 pixels, fewer of larger ones
BATCH = 32


class SampleGrid(keras.callbacks.Callback):
    """Writes `epoch-0040.png`: originals, reconstructions from the mean, and draws, a row each.

    With a `source` there are draws of a Gaussian with the moments of q(z), estimated at that moment from up to 512 of
    its images; below them, to compare, draws of the prior N(0, I), which q(z) need not resemble. The rows have labels.

    The images and the noise of the draws are the same every time, so that epochs can be compared. The model's
    own random state is not touched: a run with the callback trains exactly as one without. A model that keeps an
    average of its weights is drawn with that.

    Args:
        images: Held-out images (N, H, W, C) in [-1, 1].
        folder: Where the pictures go; None computes them and writes nothing.
        every: Epochs between two pictures; 0 writes one after the last epoch only.
        seed: Seed of the draws.
        source: Images of the same kind, whose posteriors the Gaussian is fitted to; None leaves its row out.
        last: The last epoch of a training that calls `fit` more than once: the end of an earlier `fit` writes no
            picture of its own. None takes the end of each `fit`.
    """

    def __init__(
        self,
        images: np.ndarray,
        folder: str | Path | None,
        every: int = 1,
        seed: int = 0,
        source: Source | None = None,
        last: int | None = None,
    ) -> None:
        super().__init__()
        self.images = images
        self.folder = None if folder is None else Path(folder)
        self.every, self.seed = every, seed
        self.source, self.last = source, last
        self.finished = self.written = 0
        self._drawn: np.ndarray | None = None

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Write a picture when it is time."""
        self.finished = epoch + 1
        if self.every and self.finished % self.every == 0:
            self._write()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Write the picture of the last epoch if it is missing."""
        is_last = self.last is None or self.finished >= self.last or self.model.stop_training
        if is_last and self.finished > self.written:
            self._write()

    def _write(self) -> None:
        count = len(self.images)
        with self.model.averaged():
            rows = {
                "original": self.images,
                "reconstruction": self.model.reconstruct(self.images),
                **self._fitted(count),
                "draws of N(0, I)": self.model.sample(count, seed=self.seed),
            }
        if self.folder is not None:
            rows = {name: ops.convert_to_numpy(row) for name, row in rows.items()}
            plots.save_rows(rows, self.folder / f"epoch-{self.finished:04d}.png")
        self.written = self.finished

    def _fitted(self, count: int) -> dict[str, Any]:
        """Return the row of a Gaussian of q(z) as it is now."""
        if self.source is None:
            return {}
        images = self._images()
        parts = (to_unit_range(images[start : start + BATCH]) for start in range(0, len(images), BATCH))
        try:
            sampler = FullGaussianSampler(self.model.latent_dim).fit(collect_posteriors(self.model, parts))
        except ValueError:  # posteriors that are not finite are no reason to end a training, which has its own guard
            return {}
        return {"draws of a Gaussian of q(z)": self.model.decode(sampler.sample(count, self.seed))}

    def _images(self) -> np.ndarray:
        if self._drawn is None:
            height, width, _ = self.source.image_shape
            self._drawn = self.source.draw(int(np.clip(FITTED_PIXELS // (height * width), FEWEST, MOST)), self.seed)
        return self._drawn
