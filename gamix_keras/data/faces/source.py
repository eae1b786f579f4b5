"""The embedded faces as a source: drawn when they are asked for, never stored."""

import functools
from collections.abc import Callable

import numpy as np

from gamix_keras.config import UserError
from gamix_keras.data.base import Options, Source
from gamix_keras.data.decoding import fit_images
from gamix_keras.data.faces.factors import sample_factors
from gamix_keras.data.faces.render import render
from gamix_keras.data.pixels import with_channels

COUNT = 8000
VALIDATION_START = 2**30
SMALLEST = 8


def face_splits(path: str, options: Options) -> dict[str, Callable[[], Source]]:
    """Return what opens the two splits of the embedded faces: disjoint ranges of one endless stream.

    Training has `count` faces (default 8,000) from index 0, validation a share `validation_fraction` of that
    number from index 2^30.

    Raises:
        UserError: For an image size below 8 pixels, or more than 2^30 faces.
    """
    if path:
        raise UserError(f"data source: expected faces, without a path, got faces:{path}")
    if min(options.image_shape[:2]) < SMALLEST:
        raise UserError(f"image_size: expected at least {SMALLEST} for drawn faces, got {options.image_size}")
    count = options.count or COUNT
    if count > VALIDATION_START:
        raise UserError(f"count: expected at most {VALIDATION_START} drawn faces, got {count}")
    held_out = max(1, round(count * options.validation_fraction))
    ranges = {"train": np.arange(count), "validation": VALIDATION_START + np.arange(held_out)}
    return {split: functools.partial(FacesSource, options, numbers) for split, numbers in ranges.items()}


class FacesSource(Source):
    """Drawn faces.

    Args:
        options: Shape and seed.
        numbers: Their numbers in the stream, rising.
    """

    def __init__(self, options: Options, numbers: np.ndarray) -> None:
        super().__init__("faces", [f"faces/{number}" for number in numbers], options.image_shape)
        self._options, self._numbers = options, numbers
        first, stop = int(numbers.min()), int(numbers.max()) + 1
        factors = sample_factors(stop - first, options.seed, first)
        self._factors = {name: values[numbers - first] for name, values in factors.items()}

    def subset(self, positions: np.ndarray) -> "FacesSource":
        """Return a source of the faces at `positions` only."""
        return FacesSource(self._options, self._numbers[positions])

    def load(self, indices: np.ndarray) -> np.ndarray:
        """Draw the faces of `indices`."""
        height, width, channels = self.image_shape
        images = render({name: values[indices] for name, values in self._factors.items()}, max(height, width))
        # The middle of a square picture, if the images are not square.
        return with_channels(fit_images(images, (height, width)), channels)
