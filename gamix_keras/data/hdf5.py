"""HDF5 files, `hdf5:PATH` or `hdf5:PATH#NAME`, read by h5py.

Only arrays that lie in the file itself are taken: a link could make a stranger's file read others on this machine.
"""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from gamix_keras.config import UserError
from gamix_keras.data.array_layout import layout_of
from gamix_keras.data.array_names import ArrayHeader, choose_arrays
from gamix_keras.data.array_range import check_type, find_range
from gamix_keras.data.arrays import READ_ERRORS, chunks_of, first_line, numbered
from gamix_keras.data.base import Options, import_reader, split_key, warn_once
from gamix_keras.data.streamed import StreamedSource, fit_array

_MOST_ARRAYS = 1000
_DEEPEST = 8
_MOST_IMAGES = 2**27


def hdf5_splits(path: str, options: Options) -> dict[str, Callable[[], StreamedSource]]:
    """Return what opens the splits of an HDF5 file.

    Which array holds the images is found by `array_names`, or named: `PATH#NAME`. Shapes are those of `array_layout`,
    values those of `array_range`.

    Raises:
        UserError: If there is no such file, h5py is missing, or it holds no such array.
    """
    file, key = split_key(path)
    h5py = import_reader("h5py", "h5py", f"hdf5:{file}")
    try:
        with h5py.File(file, "r") as archive:
            headers = {name: ArrayHeader(array.shape, array.dtype) for name, array in _arrays(h5py, archive)}
            members = choose_arrays(headers, key.strip("/"), f"hdf5:{file}")
    except READ_ERRORS as error:
        raise UserError(f"data source {file}: {first_line(error)}") from None
    return {split: functools.partial(_open_hdf5, h5py, file, name, options) for split, name in members.items()}


def _arrays(h5py: ModuleType, group: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield the arrays below a group that lie in the file itself, by their names."""
    for number, name in enumerate(group):
        if number >= _MOST_ARRAYS or depth > _DEEPEST:
            return
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue
        member = group[name]
        if isinstance(member, h5py.Group):
            yield from _arrays(h5py, member, f"{path}{name}/", depth + 1)
        elif isinstance(member, h5py.Dataset) and member.shape and not (member.external or member.is_virtual):
            yield f"{path}{name}", member


def _open_hdf5(h5py: ModuleType, file: Path, name: str, options: Options) -> StreamedSource:
    try:
        with h5py.File(file, "r") as archive:
            array = archive[name]
            check_type(array.dtype)
            layout = layout_of(array.shape)
            if len(array) > _MOST_IMAGES:
                raise ValueError(f"expected at most {_MOST_IMAGES} images, got {len(array)}")
            values = find_range(array.dtype, chunks_of(array), f"{file}, {name}")
            count = len(array)
    except READ_ERRORS as error:
        raise UserError(f"data source: cannot use array {name!r} of {file}: {first_line(error)}") from None
    if layout.remark:
        warn_once(f"{file}: {layout.remark}")

    def read() -> Iterator[np.ndarray]:
        with h5py.File(file, "r") as archive:
            for chunk in chunks_of(archive[name]):
                yield from layout.arrange(values.to_bytes(chunk))

    fit = functools.partial(fit_array, options=options)
    return StreamedSource(str(file), numbered(name, count), read, fit, options)
