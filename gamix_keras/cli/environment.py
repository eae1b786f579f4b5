"""What must be decided before Keras is imported: the backend, and how much the libraries log."""

import ctypes
import functools
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from gamix_keras.config import BACKENDS, Config, UserError
from gamix_keras.hooks import startup_lines
from gamix_keras.runs import Run, lookup
from gamix_keras.runs.directory import LATEST, is_run

if TYPE_CHECKING:
    import keras
    import numpy as np

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _KEPT_BYTES = -1, -3, 1 << 30  # names and values of malloc.h
QUIET = {startup_lines.LEVEL: startup_lines.ERRORS, "GRPC_VERBOSITY": "ERROR"}


def wished_backend() -> str | None:
    """Return the backend that `KERAS_BACKEND` names, if it is set.

    Raises:
        UserError: If it is set to anything else.
    """
    wish = os.environ.get("KERAS_BACKEND") or None
    if wish not in (None, *BACKENDS):
        raise UserError(f"KERAS_BACKEND: expected one of {', '.join(BACKENDS)}, got {wish!r}")
    return wish


def prepare(backend: str) -> None:
    """Choose the Keras backend; nothing of Keras may be imported before.

    Raises:
        UserError: If the backend is not installed (the text names the pip extra), or Keras already runs on another.
    """
    if find_spec(backend) is None:
        remedy = "pip install tensorflow" if backend == "tensorflow" else f'pip install "gamix_keras[{backend}]"'
        raise UserError(f"--backend: expected an installed backend, got {backend}, which is not; {remedy}")
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if "keras" in sys.modules and (running := sys.modules["keras"].config.backend()) != backend:
        raise UserError(f"--backend: expected {running}, on which Keras runs in this process, got {backend}")
    os.environ["KERAS_BACKEND"] = backend
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Let the C library keep up to 1 GiB of freed memory instead of returning it to the system; glibc only.

    PyTorch and the decoding of images allocate every feature map anew. By default large ones come straight from the
    system, page by page, each cleared first: on two CPU cores with short steps that takes a tenth of the time or more.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return
    for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
        set_option(option, _KEPT_BYTES)


def open_run(name: str, checkpoint: str = LATEST) -> Run:
    """Open a run, or a model of the package, and choose its backend unless `KERAS_BACKEND` names another one."""
    return _prepared(lookup.open_run(name).at(checkpoint))


def open_model(name: str, checkpoint: str = LATEST) -> Run | Path:
    """Do as `open_run`, but return the path of a single `.keras` file."""
    path = lookup.find(name)
    if is_run(path):
        return _prepared(lookup.at_path(path).at(checkpoint))
    if checkpoint != LATEST:
        raise UserError(f"--checkpoint: expected a run directory with it, got the single file {path}")
    prepare(wished_backend() or Config().backend)
    return path


def model_of(opened: Run | Path) -> "tuple[keras.Model, Callable[[str], np.ndarray]]":
    """Return the model of a run or a single file, and a function that reads an image as the model takes it."""
    if isinstance(opened, Run):
        from gamix_keras import assembly

        return opened.load_model(), functools.partial(assembly.open_image, opened.config)
    from gamix_keras import data
    from gamix_keras.runs import model_file

    model = model_file.load_single(opened)

    def read(name: str) -> "np.ndarray":
        return data.to_unit_range(data.load_image(name, model.image_shape[:2], model.image_shape[-1]))

    return model, read


def output(opened: Run | Path, name: str) -> Path:
    """Return where a command writes unless told: see `Run.output`; for a single file, to the working directory."""
    return Path(f"{opened.stem}-{name}") if isinstance(opened, Path) else opened.output(name)


def _prepared(run: Run) -> Run:
    run.check_loaded()
    prepare(wished_backend() or run.config.backend)
    return run
