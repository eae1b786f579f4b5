"""Decode once: what a source has loaded is kept, and loaded no second time."""

import logging
import os
import threading
from collections.abc import Callable

import numpy as np

from gamix_keras.config import UserError
from gamix_keras.data.base import Source
from gamix_keras.data.store import FileStore, MemoryStore, Store, fits_in_memory

CACHES = ("auto", "memory", "disk", "none")
_NOT_KEPT = -1
_log = logging.getLogger(__name__)

Loader = Callable[[np.ndarray], np.ndarray]


def cached_loader(source: Source, cache: str = "auto", folder: str | os.PathLike | None = None) -> Loader:
    """Return a function from indices to images (n, H, W, C), uint8, that reads each image of `source` once.

    Images are kept as they come by; nothing is read ahead of its time.

    Args:
        source: The source.
        cache: `"memory"`, `"disk"` (a temporary file), `"none"`, or `"auto"`: memory if all images fit
            into 4 GiB and half of the machine's memory, else none. A source that lies in memory is never copied.
        folder: The folder of the file of `"disk"`; `None` is the system's temporary folder.

    Raises:
        UserError: If `cache` is none of these, or its file cannot be created.
    """
    if cache not in CACHES:
        raise UserError(f"cache: expected one of {', '.join(CACHES)}, got {cache!r}")
    if cache == "auto":
        cache = "memory" if fits_in_memory(len(source), source.image_shape) else "none"
    if cache == "none" or source.resident:
        return source.load
    return Cache(source, _store(source, cache, folder)).load


def _store(source: Source, cache: str, folder: str | os.PathLike | None) -> Store:
    try:
        if cache == "memory":
            return MemoryStore(len(source), source.image_shape)
        return FileStore(source.image_shape, folder)
    except (OSError, MemoryError) as error:
        raise UserError(f"cache: no room for {len(source)} images with cache={cache}: {error}") from None


class Cache:
    """A source with the images it has loaded so far.

    Images are stored in the order in which they come: memory is taken as it is needed, and a file is written
    from its start to its end. Threads may load at the same time.

    Args:
        source: The source of the images.
        store: The store that keeps them.
    """

    def __init__(self, source: Source, store: Store) -> None:
        self._source, self._store = source, store
        self._places = np.full(len(source), _NOT_KEPT)
        self._kept, self._full = 0, False
        self._lock = threading.Lock()

    def load(self, indices: np.ndarray) -> np.ndarray:
        """Return the images of `indices`, each index at most once."""
        places = self._places[indices]
        kept = places != _NOT_KEPT
        if kept.all():
            return self._store.get(places)
        loaded = self._source.load(indices[~kept])
        self._keep(indices[~kept], loaded)
        if not kept.any():
            return loaded
        images = np.empty((len(indices), *self._source.image_shape), np.uint8)
        images[kept], images[~kept] = self._store.get(places[kept]), loaded
        return images

    def _keep(self, indices: np.ndarray, images: np.ndarray) -> None:
        with self._lock:
            new = self._places[indices] == _NOT_KEPT  # another thread may have been faster
            places = self._kept + np.arange(new.sum())
            if self._full or not len(places):
                return
            try:
                self._store.put(places, images[new])
            except OSError as error:
                self._full = True
                _log.warning("%s: no room to cache more images, going on without: %s", self._source.name, error)
                return
            self._places[indices[new]] = places
            self._kept += len(places)
