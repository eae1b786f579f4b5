"""What a source of images is. Imports neither Keras nor TensorFlow."""

import functools
import importlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from gamix_keras.config import UserError, sides

_log = logging.getLogger(__name__)


@functools.cache
def warn_once(text: str) -> None:
    """Log a line the first time only: training opens a source twice, once for each side of its split."""
    _log.warning(text)


def warn_if_black(name: str, brightest: int) -> None:
    """Warn if no pixel of a source is brighter than 1 of 255, as in files of labels or of masks."""
    if brightest <= 1:
        warn_once(f"{name}: its images are black: no pixel is brighter than {brightest} of 255")


def import_reader(module: str, package: str, source: str) -> ModuleType:
    """Import the library that reads a kind of file.

    Raises:
        UserError: If it is not installed, with the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(f"data source {source}: needs pip install {package!r} ({error})") from None


def split_key(path: str) -> tuple[Path, str]:
    """Split `PATH#KEY`; a file whose name holds the sign goes before that reading."""
    whole = Path(path).expanduser()
    name, sign, key = path.rpartition("#")
    return (Path(name).expanduser(), key) if sign and not whole.exists() else (whole, "")


@dataclass(frozen=True)
class Options:
    """How a source is read; the arguments of `open_source` that every kind of source understands."""

    image_size: int | tuple[int, int]
    channels: int = 3
    seed: int = 0
    count: int | None = None
    validation_fraction: float = 0.1
    max_broken: float = 0.05

    def __post_init__(self) -> None:
        if min(sides(self.image_size)) < 1:
            raise UserError(f"image_size: expected at least 1, got {self.image_size}")
        if self.channels not in (1, 3):
            raise UserError(f"channels: expected 1 (grey) or 3 (colour), got {self.channels}")
        if self.count is not None and self.count < 1:
            raise UserError(f"count: expected at least 1, or none, got {self.count}")
        if not 0 < self.validation_fraction < 1:
            raise UserError(f"validation_fraction: expected above 0 and below 1, got {self.validation_fraction}")
        if not 0 <= self.max_broken <= 1:
            raise UserError(f"max_broken: expected 0 to 1, got {self.max_broken}")

    def most_broken(self, count: int) -> float:
        """Return how many of `count` images may be broken: the share `max_broken`, and one anyway unless that is 0.

        A split for validation is small, and one broken file in it is no reason to stop.
        """
        return max(1.0, self.max_broken * count + 1e-9) if self.max_broken else 0.0

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of every image."""
        return (*sides(self.image_size), self.channels)


class Source(ABC):
    """Images that can be read in any order, each as bytes (H, W, C).

    The same index gives the same bytes in every process. Nothing is read before `load` asks for it, unless the class
    says so.

    Attributes:
        name: What the user called it.
        keys: One name per image (a file name, an index) for reports; hashes of them split the source.
        image_shape: (H, W, C).
        skipped: Names of the images that could not be read, with the reason.
        failure: The error that ended `load`, kept because tf.data hands on only its text.
        resident: Whether `load` merely copies, so that a cache gains nothing.
    """

    resident = False

    def __init__(self, name: str, keys: Sequence[str], image_shape: tuple[int, int, int]) -> None:
        self.name = name
        self.keys = keys
        self.image_shape = image_shape
        self.skipped: dict[str, str] = {}
        self.failure: UserError | None = None

    def __len__(self) -> int:
        return len(self.keys)

    @abstractmethod
    def load(self, indices: np.ndarray) -> np.ndarray:
        """Return the images (n, H, W, C), uint8, of n indices in [0, len(self))."""

    def draw(self, count: int, seed: int) -> np.ndarray:
        """Return at most `count` images (n, H, W, C), uint8, chosen at random, none twice, in random order.

        The first images of a source may all be of one kind: folders and data sets are often sorted by class. With the
        same seed, more images begin with fewer.
        """
        return self.load(np.random.default_rng([seed, 5]).permutation(len(self))[:count])

    @abstractmethod
    def subset(self, positions: np.ndarray) -> "Source":
        """Return a source of the images at `positions` only."""

    def check(self) -> None:
        """Look for images that cannot be read, as far as that is cheap, and leave them out.

        Raises:
            UserError: If no image is left, or too many had to be left out.
        """
        if not len(self):
            raise UserError(f"data source {self.name}: expected at least one image, found none")
