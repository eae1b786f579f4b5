"""A NumPy array of images, `npy:PATH`, mapped into memory: only the rows that are asked for are read."""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gamix_keras.config import UserError
from gamix_keras.data.array_layout import layout_of
from gamix_keras.data.array_range import ValueRange, find_range
from gamix_keras.data.arrays import READ_ERRORS, ArraySource, chunks_of, first_line, numbered
from gamix_keras.data.base import Options, warn_once


def npy_splits(path: str, options: Options) -> dict[str, Callable[[], ArraySource]]:
    """Return what opens a NumPy array: shapes are those of `array_layout`, values those of `array_range`.

    Raises:
        UserError: If there is no such file; on opening, if it holds no images.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise UserError(f"data source: expected a NumPy array (.npy), but {path!r} is no file")
    return {"train": functools.partial(_open_npy, file, options)}


def _open_npy(file: Path, options: Options) -> ArraySource:
    try:
        array = np.lib.format.open_memmap(file, mode="r")
        layout = layout_of(array.shape)
        values = find_range(array.dtype, chunks_of(array), str(file))
    except READ_ERRORS as error:
        raise UserError(f"data source: cannot use the array {file}: {first_line(error)}") from None
    if layout.remark:
        warn_once(f"{file}: {layout.remark}")
    if array.dtype == np.uint8 and array.flags.c_contiguous and values == ValueRange(0, 255):
        return ArraySource(str(file), numbered(file.name, len(array)), layout.arrange(array), options)

    def to_bytes(rows: np.ndarray) -> np.ndarray:
        return layout.arrange(values.to_bytes(rows))

    return ArraySource(str(file), numbered(file.name, len(array)), array, options, to_bytes)
