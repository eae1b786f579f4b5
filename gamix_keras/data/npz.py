"""NumPy archives, `npz:PATH` or `npz:PATH#KEY`.

Values are read from the archive in parts, so at most one copy of the images lies in memory, as bytes: the training and
the validation part share it.
"""

import functools
import weakref
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np

from gamix_keras.config import UserError
from gamix_keras.data.array_layout import layout_of
from gamix_keras.data.array_names import ArrayHeader, choose_arrays
from gamix_keras.data.array_range import check_type, find_range
from gamix_keras.data.arrays import READ_ERRORS, ArraySource, chunk_slices, first_line, numbered
from gamix_keras.data.base import Options, split_key, warn_once

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_open_arrays: weakref.WeakValueDictionary[tuple, np.ndarray] = weakref.WeakValueDictionary()


def npz_splits(path: str, options: Options) -> dict[str, Callable[[], ArraySource]]:
    """Return what opens the splits of a NumPy archive.

    Which array holds the images is found by `array_names`, or named: `PATH#KEY`. Shapes are those of `array_layout`,
    values those of `array_range`. Pickled objects are refused.

    Raises:
        UserError: If there is no such file, or it holds no such array.
    """
    file, key = split_key(path)
    try:
        with zipfile.ZipFile(file) as archive:
            members = choose_arrays(_headers(archive), key, f"npz:{file}")
    except zipfile.BadZipFile:
        raise UserError(f"data source: expected a NumPy archive (.npz), got {file}, which is none") from None
    except READ_ERRORS as error:
        raise UserError(f"data source {file}: {first_line(error)}") from None
    return {split: functools.partial(_open_npz, file, name, options) for split, name in members.items()}


def _headers(archive: zipfile.ZipFile) -> dict[str, ArrayHeader]:
    headers = {}
    for name in archive.namelist():
        if name.endswith(".npy"):
            with archive.open(name) as stream:
                headers[name.removesuffix(".npy")] = _read_header(stream)[0]
    return headers


def _read_header(stream: IO[bytes]) -> tuple[ArrayHeader, bool]:
    """Return the header of an array, and whether it is stored column by column."""
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"expected the array format 1.0 or 2.0, got {version}")
    shape, by_columns, dtype = _HEADERS[version](stream)
    return ArrayHeader(shape, dtype), by_columns


def _open_npz(file: Path, name: str, options: Options) -> ArraySource:
    try:
        images = _shared_bytes(file, name)
    except READ_ERRORS as error:
        raise UserError(f"data source: cannot use array {name!r} of {file}: {first_line(error)}") from None
    return ArraySource(str(file), numbered(name, len(images)), images, options)


def _shared_bytes(file: Path, name: str) -> np.ndarray:
    """Return the images (N, h, w, c) as bytes, those in memory already if another source has them."""
    state = file.stat()
    known = (str(file.resolve()), state.st_mtime_ns, state.st_size, name)
    images = _open_arrays.get(known)
    if images is None:
        images = _open_arrays[known] = _read_bytes(file, name)
    return images


def _read_bytes(file: Path, name: str) -> np.ndarray:
    with zipfile.ZipFile(file) as archive:
        with archive.open(f"{name}.npy") as stream:
            header, by_columns = _read_header(stream)
        check_type(header.dtype)
        layout = layout_of(header.shape)
        if layout.remark:
            warn_once(f"{file}: {layout.remark}")
        chunks = functools.partial(_chunks, archive, name, header, by_columns)
        values = find_range(header.dtype, chunks(), f"{file}, {name}")
        images = np.empty((header.shape[0], *layout.image_shape), np.uint8)
        first = 0
        for chunk in chunks():
            images[first : first + len(chunk)] = layout.arrange(values.to_bytes(chunk))
            first += len(chunk)
    return images


def _chunks(archive: zipfile.ZipFile, name: str, header: ArrayHeader, by_columns: bool) -> Iterator[np.ndarray]:
    """Yield the rows of a member in parts; one that is stored column by column is read whole."""
    size = int(np.prod(header.shape, dtype=object)) * header.dtype.itemsize
    if archive.getinfo(f"{name}.npy").file_size < size:
        raise ValueError(f"expected {size} bytes of numbers for the shape {header.shape}, found fewer")
    with archive.open(f"{name}.npy") as stream:
        if by_columns:
            whole = np.lib.format.read_array(stream, allow_pickle=False)
            yield from (whole[part] for part in chunk_slices(header.shape, header.dtype))
            return
        _read_header(stream)
        for part in chunk_slices(header.shape, header.dtype):
            shape = (part.stop - part.start, *header.shape[1:])
            yield np.frombuffer(_exactly(stream, np.prod(shape) * header.dtype.itemsize), header.dtype).reshape(shape)


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(int(size))
    if len(data) != size:
        raise EOFError("the archive ends before its array does")
    return data
