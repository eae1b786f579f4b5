"""IDX files of byte images, `idx:DIR`: MNIST, Fashion-MNIST and their kin, plain or gzipped."""

import functools
import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gamix_keras.config import UserError
from gamix_keras.data.arrays import READ_ERRORS, ArraySource, first_line, numbered
from gamix_keras.data.base import Options, Source

_MAGIC = (0, 0, 8, 3)  # two zeros, type "unsigned byte", three dimensions
_LIMIT = 2**40
_NAMES = {"train": "train-images-idx3-ubyte", "validation": "t10k-images-idx3-ubyte"}


def idx_splits(path: str, options: Options) -> dict[str, Callable[[], Source]]:
    """Return what opens the splits of a folder of IDX files, plain or gzipped (MNIST, Fashion-MNIST).

    `train-images-idx3-ubyte[.gz]` is the training set, `t10k-images-idx3-ubyte[.gz]`, if present, the
    validation set.

    Raises:
        UserError: If the first is missing; on opening, if a file is damaged.
    """
    folder = Path(path).expanduser()
    files = {split: _idx_file(folder, name) for split, name in _NAMES.items()}
    if files["train"] is None:
        raise UserError(f"data source: expected {_NAMES['train']} or the same with .gz in {folder}, found none")
    return {split: functools.partial(_open_idx, file, options) for split, file in files.items() if file}


def _idx_file(folder: Path, name: str) -> Path | None:
    return next((file for file in (folder / name, folder / f"{name}.gz") if file.is_file()), None)


def _open_idx(file: Path, options: Options) -> ArraySource:
    try:
        images = read_idx(file)
    except READ_ERRORS as error:
        raise UserError(f"data source: expected an IDX file of images, {file}: {first_line(error)}") from None
    return ArraySource(str(file), numbered(file.name.removesuffix(".gz"), len(images)), images[..., None], options)


def read_idx(file: Path) -> np.ndarray:
    """Read an IDX file of byte images: four magic bytes, N, H, W as big-endian 32-bit numbers, the bytes.

    Returns:
        (N, H, W), uint8.

    Raises:
        ValueError: If the header is another, or the length does not match it.
    """
    with gzip.open(file) if file.suffix == ".gz" else open(file, "rb") as stream:
        header = stream.read(16)
        if len(header) != 16 or tuple(header[:4]) != _MAGIC:
            raise ValueError(f"expected the magic number {_MAGIC}, got {tuple(header[:4])}")
        shape = tuple(int(number) for number in np.frombuffer(header[4:], ">u4"))
        size = int(np.prod(shape, dtype=object))
        if not 0 < size < _LIMIT:
            raise ValueError(f"expected images of some size, got the shape {shape}")
        data = stream.read(size + 1)  # one byte more than there should be, never an unbounded read
    if len(data) != size:
        raise ValueError(f"expected {size} bytes for {shape}, got {'more' if len(data) > size else len(data)}")
    return np.frombuffer(data, np.uint8).reshape(shape)
