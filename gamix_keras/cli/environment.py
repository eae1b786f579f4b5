"""What must be decided before Keras is imported: the backend, and how much the libraries log."""

import ctypes
import os
import sys
from importlib.util import find_spec

from gamix_keras.cli import startup_lines
from gamix_keras.config import BACKENDS, UserError
from gamix_keras.runs import Run

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _KEPT_BYTES = -1, -3, 1 << 30  # names and values of malloc.h
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2", "GRPC_VERBOSITY": "ERROR"}


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
    if os.environ["TF_CPP_MIN_LOG_LEVEL"] != "0":  # whoever sets 0 wants to read them
        startup_lines.silence()
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


def open_run(path: str, checkpoint: str = "latest") -> Run:
    """Open a run at a checkpoint, and choose its backend unless `KERAS_BACKEND` names another one."""
    run = Run.open(path).at(checkpoint)
    run.check_loaded()
    prepare(wished_backend() or run.config.backend)
    return run
