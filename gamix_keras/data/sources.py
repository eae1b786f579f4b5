"""From the words of a user to a source of images, and to its training and validation part.

| words | images |
| --- | --- |
| ``faces`` | drawn, see ``drawn`` |
| ``folder:PATH``, or a path | files of a folder, see ``folder`` |
| ``npz:PATH``, or a path that ends in .npz | a NumPy archive, see ``arrays`` |
| ``idx:DIR`` | MNIST's format, see ``idx`` |
| ``tfds:NAME`` | a prepared set of TensorFlow Datasets, see ``tfds`` |

How images are cropped, resized and recoloured is told in ``decoding``.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gamix_keras.config import UserError
from gamix_keras.data.arrays import npz_splits
from gamix_keras.data.base import Options, Source
from gamix_keras.data.faces.source import face_splits
from gamix_keras.data.folder import folder_splits
from gamix_keras.data.idx import idx_splits
from gamix_keras.data.tfds import tfds_splits

Splits = dict[str, Callable[[], Source]]

KINDS: dict[str, Callable[[str, Options], Splits]] = {
    "faces": face_splits,
    "folder": folder_splits,
    "npz": npz_splits,
    "idx": idx_splits,
    "tfds": tfds_splits,
}


def open_source(
    spec: str,
    *,
    image_size: int,
    channels: int = 3,
    split: str = "train",
    validation: str | None = None,
    validation_fraction: float = 0.1,
    seed: int = 0,
    count: int | None = None,
    max_broken: float = 0.05,
) -> Source:
    """Open the training or the validation images of a source.

    Validation images are, in this order: those of ``validation``; the source's own validation (or test) split;
    those whose name, hashed, falls into the first ``validation_fraction`` of all hashes. The last depends on
    nothing but the name (file names relative to the folder, or the index), so an image keeps its side when
    others come or go. At least one image falls to either side.

    Args:
        spec: See the table of this module.
        image_size: H = W of the images.
        channels: 1 (grey) or 3 (colour).
        split: ``"train"`` or ``"validation"``.
        validation: Source of the validation images; all its images, or its own validation split where it has one.
        validation_fraction: Share held out, above 0 and below 1.
        seed: Of the drawn faces; of no effect elsewhere.
        count: At most this many training images, and this times ``validation_fraction`` validation images: those
            with the lowest hashes, so a larger number adds to a smaller one. Drawn faces: how many are drawn.
        max_broken: Share of unreadable files up to which they are named and skipped.

    Raises:
        UserError: Names the source and what is wrong with it or with an argument.

    Examples:
        >>> source = open_source("faces", image_size=32, count=100, split="validation")
        >>> source.load(np.arange(10)).shape
        (10, 32, 32, 3)
    """
    options = Options(image_size, channels, seed, count, validation_fraction, max_broken)
    if split == "train":
        source, limit = _training(spec, options, validation is not None), count
    elif split == "validation":
        source, limit = _validation(spec, options, validation), count and max(1, round(count * validation_fraction))
    else:
        raise UserError(f"split: expected train or validation, got {split!r}")
    if limit is not None and limit < len(source):
        source = source.subset(_lowest(hashes(source.keys), limit))
    source.check()
    return source


def _training(spec: str, options: Options, held_out_elsewhere: bool) -> Source:
    splits = _splits(spec, options)
    source = splits["train"]()
    if held_out_elsewhere or "validation" in splits:
        return source
    return source.subset(np.flatnonzero(~_held_out(source, options)))


def _validation(spec: str, options: Options, elsewhere: str | None) -> Source:
    splits = _splits(elsewhere or spec, options)
    if "validation" in splits:
        return splits["validation"]()
    source = splits["train"]()
    return source if elsewhere else source.subset(np.flatnonzero(_held_out(source, options)))


def _splits(spec: str, options: Options) -> Splits:
    kind, colon, rest = spec.partition(":")
    if kind in KINDS and (colon or kind == "faces"):
        return KINDS[kind](rest, options)
    path = Path(spec).expanduser()
    if not spec or not path.exists():
        known = "faces, folder:PATH, npz:PATH, idx:DIR, tfds:NAME or a path"
        raise UserError(f"data source: expected {known}, got {spec!r}, which is none of these and does not exist")
    return npz_splits(spec, options) if path.suffix == ".npz" else folder_splits(spec, options)


def _held_out(source: Source, options: Options) -> np.ndarray:
    """Return a mask of the images to hold out."""
    if len(source) < 2:
        raise UserError(f"data source {source.name}: expected two images or more, one to hold out, got {len(source)}")
    values = hashes(source.keys)
    chosen = values < options.validation_fraction
    chosen[values.argmin()] = True
    chosen[values.argmax()] = False
    return chosen


def _lowest(values: np.ndarray, count: int) -> np.ndarray:
    return np.sort(np.argsort(values, kind="stable")[:count])


def hashes(keys: Sequence[str]) -> np.ndarray:
    """Return a number in [0, 1) for each key: its 64-bit BLAKE2b hash over 2^64."""
    digests = b"".join(hashlib.blake2b(os.fsencode(key), digest_size=8).digest() for key in keys)
    return np.frombuffer(digests, ">u8") / 2.0**64
