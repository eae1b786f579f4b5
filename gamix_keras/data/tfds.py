"""Image sets of TensorFlow Datasets, `tfds:NAME`. Only prepared ones: nothing is downloaded here."""

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gamix_keras.config import UserError
from gamix_keras.data.array_range import find_range
from gamix_keras.data.arrays import first_line, numbered
from gamix_keras.data.base import Options, Source
from gamix_keras.data.streamed import StreamedSource, fit_array
from gamix_keras.data.tensorflow_images import import_tensorflow

VALIDATION_SPLITS = ("validation", "test")
_LOOKED_AT = 256  # dSprites' images hold 0 and 1


def tfds_splits(name: str, options: Options) -> dict[str, Callable[[], Source]]:
    """Return what opens the splits of a prepared data set: `train`, and `validation` or else `test`.

    The image is the feature `image`, or the only image among the features, at any depth.

    Raises:
        UserError: If the name is unknown, the data are not prepared on this machine, or the image is not clear.
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
        UserError: If there is none, or several and none is called `image`.
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


def _open(builder: Any, path: tuple[str, ...], split: str, name: str, options: Options) -> StreamedSource:
    examples = functools.partial(_examples, builder, split, name)
    if split in (builder.info.splits or ()):
        count = builder.info.splits[split].num_examples
    else:
        count = sum(1 for _ in examples())

    def read() -> Iterator[np.ndarray]:
        images = (_at(example, path) for example in examples().as_numpy_iterator())
        first = list(itertools.islice(images, _LOOKED_AT))
        values = find_range(np.dtype(np.uint8), map(_upper_byte, first), f"tfds:{name}")
        for image in itertools.chain(first, images):
            yield values.to_bytes(_upper_byte(image))

    fit = functools.partial(fit_array, options=options)
    return StreamedSource(f"tfds:{name}", numbered(split, count), read, fit, options)


def _examples(builder: Any, split: str, name: str) -> Any:
    """Return the examples of a split, always in the same order."""
    try:
        return builder.as_dataset(split=split, shuffle_files=False)
    except (AssertionError, FileNotFoundError):
        place = f"expected data prepared in {builder.data_dir}, found none"
        raise UserError(f"data source tfds:{name}: {place}; prepare them with: tfds build {name}") from None


def _at(example: Any, path: tuple[str, ...]) -> np.ndarray:
    return functools.reduce(lambda part, key: part[key], path, example)


def _upper_byte(image: np.ndarray) -> np.ndarray:
    if image.dtype == np.uint16:
        image = (image.astype(np.uint32) + 128) // 257
    return image.astype(np.uint8, copy=False)
