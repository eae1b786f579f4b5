"""Images that can only be read from the beginning of their files on."""

import itertools
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from gamix_keras.config import UserError
from gamix_keras.data.arrays import READ_ERRORS, first_line
from gamix_keras.data.base import Options, Source, warn_if_black
from gamix_keras.data.decoding import THREADS, BrokenImage, fit_images
from gamix_keras.data.pixels import with_channels
from gamix_keras.data.store import FileStore, MemoryStore, Store, fits_in_memory

_READ_AT_ONCE = 256
_NAMED = 100
_log = logging.getLogger(__name__)


Item = Any


class StreamedSource(Source):
    """Images that are read one after the other, once.

    The first `load` reads all of them, and keeps them at their final size: in memory, or in a temporary file if they
    are more than `fits_in_memory`. One that is broken is named, counted and replaced by the next that is not.

    Args:
        name: What the user called it.
        keys: One name per image.
        read: Returns all images of the files in order, as they are stored.
        fit: Maps a stored image to bytes (H, W, C), or raises `BrokenImage`.
        options: Shape of the images; `max_broken` is the share that may be broken.
        positions: Numbers of the images that belong to this source; all by default.
    """

    resident = True

    def __init__(
        self,
        name: str,
        keys: Sequence[str],
        read: Callable[[], Iterable[Item]],
        fit: Callable[[Item], np.ndarray],
        options: Options,
        positions: np.ndarray | None = None,
    ) -> None:
        super().__init__(name, keys, options.image_shape)
        self._read, self._fit, self._options = read, fit, options
        self._positions = np.arange(len(keys)) if positions is None else positions
        self._store: Store | None = None
        self._lock = threading.Lock()

    def subset(self, positions: np.ndarray) -> "StreamedSource":
        """Return a source of the images at `positions` only."""
        keys = [self.keys[position] for position in positions]
        return StreamedSource(self.name, keys, self._read, self._fit, self._options, self._positions[positions])

    def load(self, indices: np.ndarray) -> np.ndarray:
        """Return the images of `indices`; the first call reads all images.

        Raises:
            UserError: If the files cannot be read, or more than `max_broken` of the images are broken.
        """
        with self._lock:
            if self._store is None:
                self._store = self._read_all()
        return self._store.get(indices)

    def _read_all(self) -> Store:
        _log.info("reading %d images of %s", len(self), self.name)
        in_memory = fits_in_memory(len(self), self.image_shape)
        try:
            store = MemoryStore(len(self), self.image_shape) if in_memory else FileStore(self.image_shape)
            broken, brightest = self._fill(store)
        except UserError as error:
            self.failure = error
            raise
        except READ_ERRORS as error:
            raise self._failed(f"data source {self.name}: {first_line(error)}") from None
        self._check_broken(broken)
        for index in sorted(broken):
            store.put(np.array([index]), store.get(np.array([self._next_whole(index, broken)])))
        warn_if_black(self.name, brightest)
        return store

    def _fill(self, store: Store) -> tuple[dict[int, str], int]:
        """Store all images; return the reasons of those that are broken, by their index, and the brightest pixel."""
        order, items, broken, brightest = np.argsort(self._positions), self._chosen(), {}, 0
        first = 0
        with ThreadPoolExecutor(THREADS) as threads:
            while part := list(itertools.islice(items, _READ_AT_ONCE)):
                indices = order[first : first + len(part)]
                images = np.zeros((len(part), *self.image_shape), np.uint8)
                for slot, result in enumerate(threads.map(self._try, part)):
                    if isinstance(result, BrokenImage):
                        broken[int(indices[slot])] = str(result)
                    else:
                        images[slot] = result
                store.put(indices, images)
                first, brightest = first + len(part), max(brightest, int(images.max()))
        if first != len(self):
            raise ValueError(f"expected {len(self)} images, found {first}")
        return broken, brightest

    def _chosen(self) -> Iterator[Item]:
        wanted = np.zeros(self._positions.max() + 1, bool)
        wanted[self._positions] = True
        return itertools.compress(self._read(), wanted)

    def _try(self, item: Item) -> np.ndarray | BrokenImage:
        try:
            return self._fit(item)
        except BrokenImage as error:
            return error

    def _check_broken(self, broken: dict[int, str]) -> None:
        for index, reason in broken.items():
            self.skipped[self.keys[index]] = reason
            if len(self.skipped) <= _NAMED:
                _log.warning("skipped %s: %s", self.keys[index], reason)
        if len(broken) > self._options.most_broken(len(self)) or len(broken) == len(self):
            named = ", ".join(f"{key} ({reason})" for key, reason in list(self.skipped.items())[:3])
            raise self._failed(
                f"data source {self.name}: expected at most max_broken = {self._options.max_broken:g} of the images "
                f"broken, got {len(broken)} of {len(self)}: {named}"
            )

    def _next_whole(self, index: int, broken: dict[int, str]) -> int:
        return next(other % len(self) for other in itertools.count(index + 1) if other % len(self) not in broken)

    def _failed(self, text: str) -> UserError:
        self.failure = UserError(text)
        return self.failure


def fit_array(image: np.ndarray, options: Options) -> np.ndarray:
    """Crop, resize and recolour byte images (h, w, 1, 3 or 4), by the rules of `decoding`."""
    return fit_images(with_channels(image[None], options.channels), options.image_size)[0]
