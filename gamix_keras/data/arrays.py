"""Images that lie in memory as one array, and ``npz:PATH``."""

import functools
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gamix_keras.config import UserError
from gamix_keras.data.base import Options, Source
from gamix_keras.data.decoding import fit_images
from gamix_keras.data.pixels import bytes_from_floats, with_channels

READ_ERRORS = (OSError, EOFError, ValueError, KeyError, MemoryError, NotImplementedError)
READ_ERRORS += (zipfile.BadZipFile, zlib.error)


class ArraySource(Source):
    """Byte images (N, h, w, c), cropped, resized and recoloured as they are loaded.

    Args:
        name: What the user called the source.
        keys: One name per image.
        images: uint8, c = 1, 3 or 4.
        options: The shape to bring them to.
    """

    def __init__(self, name: str, keys: Sequence[str], images: np.ndarray, options: Options) -> None:
        super().__init__(name, keys, options.image_shape)
        self._images, self._options = images, options

    @property
    def resident(self) -> bool:
        """Whether the array has the wanted shape already."""
        return self._images.shape[1:] == self.image_shape

    def subset(self, positions: np.ndarray) -> "ArraySource":
        """Return a source that holds a copy of the images at ``positions`` only."""
        keys = [self.keys[position] for position in positions]
        return ArraySource(self.name, keys, self._images[positions], self._options)

    def load(self, indices: np.ndarray) -> np.ndarray:
        """Return the images of ``indices``, by the rules of ``decoding``."""
        size, _, channels = self.image_shape
        return fit_images(with_channels(self._images[indices], channels), size)


def npz_splits(path: str, options: Options) -> dict[str, Callable[[], Source]]:
    """Return what opens the splits of a NumPy archive, which is read whole.

    The images are its array ``images``, or its only array; an archive with ``x_train`` and ``x_test`` has its own
    split. Arrays (N, H, W) or (N, H, W, 1, 3 or 4), uint8 or float in [0, 1], [-1, 1] or [0, 255]. Pickled
    objects are refused.

    Raises:
        UserError: Where there is no such file, or it holds no such array.
    """
    file = Path(path).expanduser()
    try:
        with np.load(file, allow_pickle=False) as archive:
            members = _image_members(list(archive.files))
    except READ_ERRORS as error:
        raise UserError(f"data source: expected a NumPy archive (.npz), {file}: {first_line(error)}") from None
    except TypeError:  # np.load gave an array, which is no context manager
        raise UserError(f"data source: expected a NumPy archive (.npz), got the single array {file}") from None
    return {split: functools.partial(_open_npz, file, key, options) for split, key in members.items()}


def _image_members(names: Sequence[str]) -> dict[str, str]:
    if "images" in names:
        return {"train": "images"}
    if {"x_train", "x_test"} <= set(names):
        return {"train": "x_train", "validation": "x_test"}
    if len(names) == 1:
        return {"train": names[0]}
    raise ValueError(f"expected an array 'images' or only one array, got {', '.join(names) or 'none'}")


def _open_npz(file: Path, key: str, options: Options) -> ArraySource:
    try:
        with np.load(file, allow_pickle=False) as archive:
            images = _as_bytes(archive[key])
    except READ_ERRORS as error:
        raise UserError(f"data source: cannot use array {key!r} of {file}: {first_line(error)}") from None
    return ArraySource(str(file), numbered(key, len(images)), images, options)


def _as_bytes(images: np.ndarray) -> np.ndarray:
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3, 4) or 0 in images.shape:
        raise ValueError(f"expected shape (N, H, W) or (N, H, W, 1, 3 or 4), got {images.shape}")
    if images.dtype == np.uint8:
        return images
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(f"expected uint8 or floats, got {images.dtype}")
    return bytes_from_floats(images)


def numbered(name: str, count: int) -> list[str]:
    """Return the keys ``name/0``, ``name/1``, ..."""
    return [f"{name}/{index}" for index in range(count)]


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0]
