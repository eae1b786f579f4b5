"""Images that lie in one array, in memory or mapped into it."""

import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from gamix_keras.data.base import Options, Source
from gamix_keras.data.decoding import fit_images
from gamix_keras.data.pixels import with_channels

READ_ERRORS = (OSError, EOFError, ValueError, KeyError, MemoryError, NotImplementedError, RuntimeError)
READ_ERRORS += (zipfile.BadZipFile, zlib.error)
_CHUNK_BYTES = 2**24


class ArraySource(Source):
    """Images (N, ...), cropped, resized and recoloured as they are loaded.

    Args:
        name: What the user called the source.
        keys: One name per image.
        images: Rows of images; bytes (N, h, w, c), c = 1, 3 or 4, unless `to_bytes` makes them so.
        options: The shape to bring them to.
        to_bytes: Maps rows to bytes (n, h, w, c).
        positions: Rows that belong to this source; all by default. Sources share the array.
    """

    def __init__(
        self,
        name: str,
        keys: Sequence[str],
        images: np.ndarray,
        options: Options,
        to_bytes: Callable[[np.ndarray], np.ndarray] | None = None,
        positions: np.ndarray | None = None,
    ) -> None:
        super().__init__(name, keys, options.image_shape)
        self._images, self._options, self._to_bytes = images, options, to_bytes
        self._positions = np.arange(len(keys)) if positions is None else positions

    @property
    def resident(self) -> bool:
        """Whether the array has the wanted shape and type already."""
        return self._to_bytes is None and self._images.shape[1:] == self.image_shape

    def subset(self, positions: np.ndarray) -> "ArraySource":
        """Return a source of the images at `positions` only, which shares the array."""
        keys = [self.keys[position] for position in positions]
        rows = self._positions[positions]
        return ArraySource(self.name, keys, self._images, self._options, self._to_bytes, rows)

    def load(self, indices: np.ndarray) -> np.ndarray:
        """Return the images of `indices`, by the rules of `decoding`."""
        images = self._images[self._positions[indices]]
        if self._to_bytes is not None:
            images = self._to_bytes(images)
        return fit_images(with_channels(np.ascontiguousarray(images), self.image_shape[2]), self.image_shape[:2])


def numbered(name: str, count: int) -> list[str]:
    """Return the keys `name/0`, `name/1`, ..."""
    return [f"{name}/{index}" for index in range(count)]


def chunks_of(images: np.ndarray) -> Iterator[np.ndarray]:
    """Yield an array, or what can be sliced like one, in parts of at most 16 MiB."""
    for part in chunk_slices(images.shape, images.dtype):
        yield images[part]


def chunk_slices(shape: tuple[int, ...], dtype: np.dtype) -> Iterator[slice]:
    """Yield the slices of rows that `chunks_of` takes."""
    row_bytes = max(1, int(np.prod(shape[1:], dtype=object)) * dtype.itemsize)
    rows = max(1, _CHUNK_BYTES // row_bytes)
    for first in range(0, shape[0], rows):
        yield slice(first, min(first + rows, shape[0]))


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0]
