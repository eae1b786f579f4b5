"""Image sets of TensorFlow Datasets, ``tfds:NAME``. Only prepared ones: nothing is downloaded here."""

import functools
import itertools
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from gamix_keras.config import UserError
from gamix_keras.data.arrays import first_line, numbered
from gamix_keras.data.base import Options, Source
from gamix_keras.data.decoding import THREADS, fit_images
from gamix_keras.data.pixels import with_channels
from gamix_keras.data.store import FileStore, MemoryStore, Store, fits_in_memory
from gamix_keras.data.tensorflow_images import import_tensorflow

VALIDATION_SPLITS = ("validation", "test")
_READ_AT_ONCE = 256
_log = logging.getLogger(__name__)


def tfds_splits(name: str, options: Options) -> dict[str, Callable[[], Source]]:
    """Return what opens the splits of a prepared data set: ``train``, and ``validation`` or else ``test``.

    The image is the feature ``image``, or the only image among the features, at any depth.

    Raises:
        UserError: Where the name is unknown, the data are not prepared on this machine, or the image is not clear.
    """
    builder = _builder(name)
    path = image_feature(builder.info.features, name)
    known = list(builder.info.splits or ())
    if known and "train" not in known:
        raise UserError(f"data source tfds:{name}: expected a split train, got {', '.join(known)}")
    held_out = [split for split in VALIDATION_SPLITS if split in known]
    splits = {"train": "train", "validation": held_out[0]} if held_out else {"train": "train"}
    return {key: functools.partial(_open, builder, path, split, name, options) for key, split in splits.items()}


def _builder(name: str) -> Any:
    import_tensorflow()
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise UserError(f"data source tfds:{name}: needs pip install tensorflow-datasets ({error})") from None
    try:
        return tfds.builder(name)
    except Exception as error:  # unknown names and versions raise errors of many kinds
        raise UserError(f"data source tfds:{name}: {first_line(error)}") from None


def image_feature(features: Any, name: str) -> tuple[str, ...]:
    """Return the path of the image among the features of a data set.

    Raises:
        UserError: Where there is none, or several and none is called ``image``.
    """
    found = dict(_images_among(features, ()))
    path = ("image",) if ("image",) in found else next(iter(found), ())
    if not found or (len(found) > 1 and path != ("image",)):
        named = ", ".join("/".join(path) for path in found) or "none"
        raise UserError(f"data source tfds:{name}: expected one image among its features, got {named}")
    feature = found[path]
    if feature.np_dtype not in (np.uint8, np.uint16) or feature.shape[-1] not in (1, 3, 4):
        raise UserError(f"data source tfds:{name}: expected images of 8 or 16 bits, 1, 3 or 4 channels, got {feature}")
    return path


def _images_among(feature: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    import tensorflow_datasets as tfds

    if type(feature) is tfds.features.Image:
        yield path, feature
    elif isinstance(feature, tfds.features.FeaturesDict):
        for key, part in feature.items():
            yield from _images_among(part, (*path, key))


def _open(builder: Any, path: tuple[str, ...], split: str, name: str, options: Options) -> "TfdsSource":
    examples = functools.partial(_examples, builder, split, name)
    if split in (builder.info.splits or ()):
        count = builder.info.splits[split].num_examples
    else:
        count = sum(1 for _ in examples())
    return TfdsSource(f"tfds:{name}", numbered(split, count), examples, path, options)


def _examples(builder: Any, split: str, name: str) -> Any:
    """Return the examples of a split, always in the same order."""
    try:
        return builder.as_dataset(split=split, shuffle_files=False)
    except (AssertionError, FileNotFoundError):
        place = f"expected data prepared in {builder.data_dir}, found none"
        raise UserError(f"data source tfds:{name}: {place}; prepare them with: tfds build {name}") from None


class TfdsSource(Source):
    """One split of a data set.

    Its files can only be read from their beginning, so the first ``load`` reads the whole split, and keeps the
    images at their final size: in memory, or in a temporary file where they are more than ``fits_in_memory``.

    Args:
        name: What the user called it.
        keys: One name per image; ``SPLIT/number``.
        examples: Returns the examples of the split as a tf.data.Dataset.
        path: Where the image is in an example.
        options: The shape to bring images to.
        positions: Numbers of the examples that belong to this source, rising; all by default.
    """

    resident = True

    def __init__(
        self,
        name: str,
        keys: Sequence[str],
        examples: Callable[[], Any],
        path: tuple[str, ...],
        options: Options,
        positions: np.ndarray | None = None,
    ) -> None:
        super().__init__(name, keys, options.image_shape)
        self._examples, self._path, self._options = examples, path, options
        self._positions = np.arange(len(keys)) if positions is None else positions
        self._store: Store | None = None
        self._lock = threading.Lock()

    def subset(self, positions: np.ndarray) -> "TfdsSource":
        """Return a source of the examples at ``positions`` only."""
        keys = [self.keys[position] for position in positions]
        wanted = self._positions[positions]
        return TfdsSource(self.name, keys, self._examples, self._path, self._options, wanted)

    def load(self, indices: np.ndarray) -> np.ndarray:
        """Return the images of ``indices``; the first call reads the split."""
        with self._lock:
            if self._store is None:
                self._store = self._read()
        return self._store.get(indices)

    def _read(self) -> Store:
        _log.info("reading %d images of %s", len(self), self.name)
        in_memory = fits_in_memory(len(self), self.image_shape)
        store = MemoryStore(len(self), self.image_shape) if in_memory else FileStore(self.image_shape)
        images, first = self._images(), 0
        with ThreadPoolExecutor(THREADS) as threads:
            while part := list(itertools.islice(images, _READ_AT_ONCE)):
                fitted = np.concatenate(list(threads.map(self._fitted, part)))
                store.put(np.arange(first, first + len(part)), fitted)
                first += len(part)
        return store

    def _images(self) -> Iterator[np.ndarray]:
        wanted = set(self._positions.tolist())
        for number, example in enumerate(self._examples().as_numpy_iterator()):
            if number in wanted:
                yield functools.reduce(lambda part, key: part[key], self._path, example)

    def _fitted(self, image: np.ndarray) -> np.ndarray:
        if image.dtype == np.uint16:
            image = (image.astype(np.uint32) + 128) // 257
        size, _, channels = self.image_shape
        return fit_images(with_channels(image.astype(np.uint8)[None], channels), size)
