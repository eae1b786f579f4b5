"""Read a `.keras` file that anybody may have written: look at it first, then let Keras build what it asks for.

A file that is whole as an archive can be wrong inside: not JSON, members missing, weights that are declared and not
there, layers larger than any memory. Each is one `ValueError` that names the file, before anything of it is allocated.
"""

import io
import math
import os
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import keras

from gamix_keras import files
from gamix_keras.training.building import building

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
# What a model may hold beside the weights in its file: states of generators, counters, a second precision.
SPARE_BYTES = 1 << 26
_LOADING = threading.RLock()


def read_model(file: str | os.PathLike, compile: bool = False) -> keras.Model:
    """Load a model in Keras's safe mode.

    Args:
        file: A `.keras` file.
        compile: Whether to restore the optimizers too.

    Raises:
        ValueError: If the file is missing, is no archive, lacks a part, unpacks to far more than it is, names classes
            from outside of Keras and this package, or describes a model that is larger than its weights.
    """
    file = Path(file)
    if not file.is_file():
        raise ValueError(f"expected a file of a model, got {file}, which does not exist")
    try:
        stored = _check_members(file)
        with building(), _bounded_weights(2 * stored + SPARE_BYTES):
            return keras.saving.load_model(file, compile=compile, safe_mode=True)
    except Exception as error:
        raise ValueError(f"expected a file of a model, got {file}, which cannot be read: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    if isinstance(error, KeyError | AttributeError | IndexError | RecursionError | MemoryError) or not text:
        return f"{type(error).__name__} {text}".strip()
    return text


def _check_members(file: Path) -> int:
    """Return the bytes of the weights.

    Raises:
        ValueError: If a member is missing, or is not what it should be.
    """
    if not isinstance(files.archived_json(file, CONFIG).get("class_name"), str):
        raise ValueError(f"its {CONFIG} names no class")
    with zipfile.ZipFile(file) as archive:
        if WEIGHTS not in archive.namelist():
            raise ValueError(f"it has no {WEIGHTS}")
        weights = archive.read(WEIGHTS)
    _check_weights(weights)
    return len(weights)


def _check_weights(data: bytes) -> None:
    """Check that every array is stored in the file: Keras neither compresses, nor links, nor leaves out."""
    declared, links = 0, []
    with h5py.File(io.BytesIO(data), "r") as opened:
        opened.visititems_links(lambda name, link: links.append((name, link)))  # each once, even in a circle
        for name, link in links:
            if not isinstance(link, h5py.HardLink):
                raise ValueError(f"{WEIGHTS}: {name} is a link")
            found = opened[name]
            if not isinstance(found, h5py.Dataset):
                continue
            if found.is_virtual or found.external:
                raise ValueError(f"{WEIGHTS}: {name} is kept elsewhere")
            declared += math.prod(found.shape or (0,)) * found.dtype.itemsize
    if declared > len(data):
        raise ValueError(f"{WEIGHTS} declares {declared:,} bytes of arrays and has {len(data):,}")


@contextmanager
def _bounded_weights(limit: int) -> Iterator[None]:
    """Let layers make no more bytes of weights than `limit` within this context, and refuse before they are made."""
    left, make = limit, keras.Layer.add_weight

    def add_weight(layer: keras.Layer, *arguments: Any, **keywords: Any) -> Any:
        nonlocal left
        shape = keywords.get("shape", arguments[0] if arguments else ()) or ()
        left -= 4 * math.prod(shape)
        if left < 0:
            asked = " x ".join(map(str, shape))
            raise ValueError(f"the layer {layer.name} asks for {asked} weights, more than the file holds")
        return make(layer, *arguments, **keywords)

    with _LOADING:  # the class is everybody's
        keras.Layer.add_weight = add_weight
        try:
            yield
        finally:
            keras.Layer.add_weight = make
