"""Reads the tensors of a PyTorch state dict without PyTorch and without running the file's code.

A .pth file is a pickle, and a pickle may call anything. This reader resolves only the names that rebuild tensors and
refuses every other one, so a file from elsewhere can give wrong numbers but cannot act. Both containers are read:
the zip of PyTorch 1.6 and later, and the older stream of five pickles followed by the raw storages.
"""

import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGE_DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "?",
}


@dataclass
class _Storage:
    """A flat array that the file fills in later."""

    dtype: np.dtype
    count: int
    values: np.ndarray | None = None

    def fill(self, raw: bytes) -> None:
        if len(raw) != self.count * self.dtype.itemsize:
            raise ValueError(
                f"weights file: expected {self.count} values in a storage, got {len(raw)} bytes, for it is cut short"
            )
        self.values = np.frombuffer(raw, self.dtype)


@dataclass
class _Tensor:
    """A strided view of a storage: element (i, j, ...) is values[offset + i stride_0 + j stride_1 + ...]."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> np.ndarray:
        if len(self.strides) != len(self.shape) or min((self.offset, *self.shape, *self.strides)) < 0:
            raise ValueError("weights file: expected tensors within their storage, got one with impossible strides")
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
        if 0 not in self.shape and last >= self.storage.count:
            raise ValueError("weights file: expected tensors within their storage, got one outside")
        size = self.storage.dtype.itemsize
        view = np.lib.stride_tricks.as_strided(
            self.storage.values[self.offset :], self.shape, [step * size for step in self.strides]
        )
        return view.copy()


def _rebuild_tensor(storage: _Storage, offset: int, shape: tuple, strides: tuple, *_: Any) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(tensor: _Tensor, *_: Any) -> _Tensor:
    return tensor


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    **{("torch", name): np.dtype(code) for name, code in _STORAGE_DTYPES.items()},
}


class _Unpickler(pickle.Unpickler):
    """An unpickler that knows tensors, storages and ordered dicts, and nothing else."""

    def __init__(self, file: BinaryIO, storage: Callable[[str, np.dtype, int], _Storage]) -> None:
        super().__init__(file)
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise ValueError(f"weights file: expected only names that rebuild tensors, got {module}.{name}")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, count = pid[:5]
        if kind != "storage" or not isinstance(dtype, np.dtype) or (len(pid) > 5 and pid[5] is not None):
            raise ValueError("weights file: expected plain storages, got something else")
        return self._storage(str(key), dtype, int(count))


def read_state_dict(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read the tensors of a .pth or .pt file that holds a state dict.

    Args:
        path: The file, in either container.

    Returns:
        Name to array, in the file's order and layout (convolutions are (out, in, height, width)).

    Raises:
        ValueError: If the file is no state dict, is cut short, or refers to anything but tensors.
    """
    read = _read_zip if zipfile.is_zipfile(path) else _read_stream
    try:
        content = read(path)
    except (pickle.UnpicklingError, EOFError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"{os.fspath(path)}: expected a PyTorch state dict, got {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{os.fspath(path)}: expected a state dict, got {type(content).__name__}")
    return {name: value.array() for name, value in content.items() if isinstance(value, _Tensor)}


def _read_zip(path: str | os.PathLike) -> Any:
    storages: dict[str, _Storage] = {}
    with zipfile.ZipFile(path) as archive:
        index = next(name for name in [*archive.namelist(), ""] if name.endswith("data.pkl") or not name)

        def storage(key: str, dtype: np.dtype, count: int) -> _Storage:
            if key not in storages:
                storages[key] = _Storage(dtype, count)
                storages[key].fill(archive.read(index.removesuffix("data.pkl") + "data/" + key))
            return storages[key]

        with archive.open(index) as file:
            return _Unpickler(file, storage).load()


def _read_stream(path: str | os.PathLike) -> Any:
    storages: dict[str, _Storage] = {}

    def storage(key: str, dtype: np.dtype, count: int) -> _Storage:
        return storages.setdefault(key, _Storage(dtype, count))

    with open(path, "rb") as file:
        magic, _, _, content, keys = (_Unpickler(file, storage).load() for _ in range(5))
        if magic != _LEGACY_MAGIC:
            raise ValueError(f"{os.fspath(path)}: expected a PyTorch file, got another")
        for key in keys:
            count = int.from_bytes(file.read(8), "little")
            if count != storages[key].count:
                raise ValueError(
                    f"weights file: expected one length of a storage, got {count} and {storages[key].count}"
                )
            storages[key].fill(file.read(count * storages[key].dtype.itemsize))
    return content
