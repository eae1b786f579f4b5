"""Room for decoded images: in memory or in a temporary file. Imports neither Keras nor TensorFlow."""

import os
import tempfile
import threading
from typing import Protocol

import numpy as np

MEMORY_BUDGET = 4 * 2**30


class Store(Protocol):
    """Byte images of one shape by their places 0, 1, ..."""

    def put(self, places: np.ndarray, images: np.ndarray) -> None:
        """Keep the images (n, H, W, C) at n places."""

    def get(self, places: np.ndarray) -> np.ndarray:
        """Return a copy of the images at n places."""


class MemoryStore:
    """Images in one array; the system gives it memory as it is written."""

    def __init__(self, count: int, image_shape: tuple[int, int, int]) -> None:
        self._images = np.empty((count, *image_shape), np.uint8)

    def put(self, places: np.ndarray, images: np.ndarray) -> None:
        """Keep the images at their places."""
        self._images[places] = images

    def get(self, places: np.ndarray) -> np.ndarray:
        """Return a copy of the images at n places."""
        return self._images[places]


class FileStore:
    """Images in a nameless file, gone with the process.

    Plain reads and writes rather than a memory map: a full disk is then an `OSError`, not a crash.

    Args:
        image_shape: (H, W, C).
        folder: The folder of the file; `None` is the system's temporary folder.
    """

    def __init__(self, image_shape: tuple[int, int, int], folder: str | os.PathLike | None = None) -> None:
        self._shape = image_shape
        self._size = int(np.prod(image_shape))
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)
        self._lock = threading.Lock()

    def put(self, places: np.ndarray, images: np.ndarray) -> None:
        """Keep the images at their places.

        Raises:
            OSError: If the disk is full.
        """
        with self._lock:
            for place, image in zip(places, images, strict=True):
                self._file.seek(int(place) * self._size)
                if self._file.write(image.tobytes()) != self._size:
                    raise OSError("the disk is full")

    def get(self, places: np.ndarray) -> np.ndarray:
        """Return the images at n places."""
        images = np.empty((len(places), self._size), np.uint8)
        with self._lock:
            for place, image in zip(places, images, strict=True):
                self._file.seek(int(place) * self._size)
                self._file.readinto(image)
        return images.reshape(len(places), *self._shape)


def fits_in_memory(count: int, image_shape: tuple[int, int, int]) -> bool:
    """Whether `count` images take at most 4 GiB and at most half of the machine's memory."""
    return count * int(np.prod(image_shape)) <= min(MEMORY_BUDGET, _machine_bytes() // 2)


def _machine_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # a system that does not tell
        return 2 * MEMORY_BUDGET
