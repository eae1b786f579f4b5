"""Reads the arrays of a file that joblib wrote, without joblib and without running the file's code.

Such a file is a pickle, compressed as an LZ4 frame, in which the values of each array follow its description. A pickle
may call anything: this reader resolves only the names that describe arrays, and refuses every other one.
"""

import importlib
import io
import math
import os
import pickle
from typing import Any, ClassVar

import numpy as np


class _Array:
    """Stands for joblib's description of an array; reads the values as soon as the description is complete."""

    file: ClassVar[io.BytesIO]

    def __setstate__(self, state: dict[str, Any]) -> None:
        dtype, shape = state["dtype"], state["shape"]
        if not isinstance(dtype, np.dtype) or dtype.hasobject:
            raise ValueError(f"weights file: expected arrays of numbers, got {dtype!r}")
        if state.get("numpy_array_alignment_bytes") is not None:
            self.file.seek(self.file.read(1)[0], io.SEEK_CUR)
        raw = self.file.read(math.prod(shape) * dtype.itemsize)
        self.values = np.frombuffer(raw, dtype).reshape(shape, order=state["order"]).copy()


def _unpickler(content: bytes) -> pickle.Unpickler:
    """Return an unpickler that knows arrays and their types, and nothing else."""
    source = io.BytesIO(content)
    array = type("_ArrayOfThisFile", (_Array,), {"file": source})
    allowed = {
        ("joblib.numpy_pickle", "NumpyArrayWrapper"): array,
        ("numpy", "ndarray"): object,
        ("numpy", "dtype"): np.dtype,
    }

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if (module, name) not in allowed:
                raise ValueError(f"weights file: expected only names that describe arrays, got {module}.{name}")
            return allowed[module, name]

    return Unpickler(source)


def read_arrays(path: str | os.PathLike) -> list[np.ndarray]:
    """Read a list of arrays from a file of joblib with LZ4 compression.

    Args:
        path: The file.

    Returns:
        The arrays, in the order of the file.

    Raises:
        ValueError: If the package lz4 is missing, or the file is damaged or holds anything but a list of arrays.
    """
    try:
        frame = importlib.import_module("lz4.frame")
    except ImportError as error:
        raise ValueError("lz4: expected the package, got none; run: pip install lz4") from error
    try:
        with open(path, "rb") as file:
            content = _unpickler(frame.decompress(file.read())).load()
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"{os.fspath(path)}: expected arrays that joblib wrote, got {error}") from error
    if not isinstance(content, list) or not all(isinstance(item, _Array) for item in content):
        raise ValueError(f"{os.fspath(path)}: expected a list of arrays, got {type(content).__name__}")
    return [item.values for item in content]
