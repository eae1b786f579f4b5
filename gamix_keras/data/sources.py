"""From the words of a user to a source of images, and to its training and validation part.

What a user may say stands in `gamix_keras.config.SOURCE_KINDS`; each kind has a module of its name in this package.
How images are cropped, resized and recoloured is described in `decoding`.
"""

import hashlib
import os
from collections.abc import Callable, Sequence

import numpy as np

from gamix_keras.config import SOURCE_KINDS, UserError, source_words
from gamix_keras.data.base import Options, Source, split_key
from gamix_keras.data.faces.source import face_splits
from gamix_keras.data.folder import folder_splits
from gamix_keras.data.hdf5 import hdf5_splits
from gamix_keras.data.idx import idx_splits
from gamix_keras.data.listing import only_shards
from gamix_keras.data.npy import npy_splits
from gamix_keras.data.npz import npz_splits
from gamix_keras.data.parquet import parquet_splits
from gamix_keras.data.tar import tar_splits
from gamix_keras.data.tfds import tfds_splits

Splits = dict[str, Callable[[], Source]]

KINDS: dict[str, Callable[[str, Options], Splits]] = {
    "faces": face_splits,
    "folder": folder_splits,
    "npz": npz_splits,
    "npy": npy_splits,
    "hdf5": hdf5_splits,
    "tar": tar_splits,
    "parquet": parquet_splits,
    "idx": idx_splits,
    "tfds": tfds_splits,
}


def open_source(
    spec: str,
    *,
    image_size: int | tuple[int, int],
    channels: int = 3,
    split: str = "train",
    validation: str | None = None,
    validation_fraction: float = 0.1,
    seed: int = 0,
    count: int | None = None,
    max_broken: float = 0.05,
) -> Source:
    """Open the training or the validation images of a source.

    Validation images are, in this order: those of `validation`; the source's own validation (or test) split;
    those whose name, hashed, falls into the first `validation_fraction` of all hashes. The last depends on
    nothing but the name (file names relative to the folder, or the index), so an image keeps its side when
    others come or go. At least one image falls to either side.

    Args:
        spec: What the user calls the source, see `gamix_keras.config.SOURCE_KINDS`.
        image_size: The side of square images, or (H, W).
        channels: 1 (grey) or 3 (colour).
        split: `"train"` or `"validation"`.
        validation: Source of the validation images: its own validation split if it has one, else all its images.
        validation_fraction: Share held out, above 0 and below 1.
        seed: Seed of the drawn faces; it has no effect on other sources.
        count: At most this many training images, and this times `validation_fraction` validation images: those
            with the lowest hashes, so a larger number adds to a smaller one. For drawn faces, how many are drawn.
        max_broken: Share of unreadable files up to which they are named and skipped: at least one, or none if it is 0.

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
    return KINDS[_kind_of_path(spec)](spec, options)


def _kind_of_path(spec: str) -> str:
    """Return the kind of source that a path is: by its suffix, and of a folder by what it holds."""
    path, _ = split_key(spec)
    if spec and path.is_dir():
        suffix = only_shards(path, SOURCE_KINDS["tar"].suffixes + SOURCE_KINDS["parquet"].suffixes)
    elif spec and path.exists():
        suffix = path.suffix.lower()
    else:
        raise UserError(f"data source: expected {source_words()}, got {spec!r}, which does not exist")
    for kind, known in SOURCE_KINDS.items():
        if suffix in known.suffixes:
            return kind
    if path.is_dir():
        return "folder"
    readable = ", ".join(suffix for known in SOURCE_KINDS.values() for suffix in known.suffixes)
    raise UserError(
        f"data source: expected a folder of images, {readable}, idx:DIR or tfds:NAME, got the file {str(path)!r}; "
        "unpack an archive, and convert other files to one of these"
    )


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
