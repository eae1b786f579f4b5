"""Batches of bytes in a reproducible order. Imports neither Keras nor TensorFlow.

Everything random is a function of (seed, epoch, index of the image): epoch e goes through the permutation that
sorts N pseudo-random 64-bit words of (seed, e), and mirrors image i if the lowest bit of a second word is set.
So a run that starts at epoch e, step s sees the very batches of a run that came there by itself.
"""

import functools
import os

import numpy as np

from gamix_keras.config import UserError
from gamix_keras.data.base import Source
from gamix_keras.data.cache import cached_loader

_ORDER, _FLIP = 0, 1


class BatchReader:
    """Batches of a source by epoch and step.

    Args:
        source: The images.
        batch_size: B, images of a batch.
        training: Shuffle, mirror, and drop the last batch of an epoch if it is not whole. Otherwise every
            image comes once, in the source's order, and the last batch may be smaller.
        seed: Of order and mirroring.
        flip: Mirror half of the training images, left to right.
        cache: See `cached_loader`.
        cache_folder: See `cached_loader`.
        part: (number, of how many): only these rows of each batch are read, of equal parts.

    Raises:
        UserError: If the source has fewer images than a training batch, or `cache` is unknown.
    """

    def __init__(
        self,
        source: Source,
        batch_size: int,
        *,
        training: bool,
        seed: int = 0,
        flip: bool = True,
        cache: str = "auto",
        cache_folder: str | os.PathLike | None = None,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        if batch_size < 1:
            raise UserError(f"batch_size: expected at least 1, got {batch_size}")
        if len(source) < (batch_size if training else 1):
            raise UserError(f"batch_size: expected at most the {len(source)} images of {source.name}, got {batch_size}")
        self.source, self.batch_size, self.training = source, batch_size, training
        self._part = part
        self._seed, self._flip = seed, flip and training
        self._backwards = np.arange(source.image_shape[1])[::-1]
        self._load = cached_loader(source, cache, cache_folder)
        # An epoch's numbers are made once; two epochs are in use if batches are read ahead.
        self._order = functools.lru_cache(2)(self._make_order)
        self._mirrored = functools.lru_cache(2)(self._make_mirrored)

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        whole, rest = divmod(len(self.source), self.batch_size)
        return whole + (rest > 0 and not self.training)

    def indices(self, epoch: int, step: int) -> np.ndarray:
        """Return the indices in the source of the images of one batch, (B,)."""
        return self._order(epoch)[step * self.batch_size : (step + 1) * self.batch_size]

    def batch(self, epoch: int, step: int) -> np.ndarray:
        """Return the images of one batch, (B, H, W, C), uint8, some of them mirrored."""
        number, count = self._part
        indices = np.array_split(self.indices(epoch, step), count)[number]
        images = self._load(indices)
        if self._flip:
            turned = self._mirrored(epoch)[indices]
            images[turned] = np.take(images[turned], self._backwards, axis=2)  # twice as fast as [:, :, ::-1]
        return images

    def _make_order(self, epoch: int) -> np.ndarray:
        if not self.training:
            return np.arange(len(self.source))
        return np.argsort(self._words(epoch, _ORDER), kind="stable")

    def _make_mirrored(self, epoch: int) -> np.ndarray:
        return (self._words(epoch, _FLIP) & 1).astype(bool)

    def _words(self, epoch: int, purpose: int) -> np.ndarray:
        """Return one raw 64-bit word per image: unlike Generator's methods, a stream NumPy promises to keep."""
        return np.random.PCG64(np.random.SeedSequence([self._seed, epoch, purpose])).random_raw(len(self.source))
