"""TensorFlow's lines about itself, which are hidden when it is imported after this package.

`TF_CPP_MIN_LOG_LEVEL` is set to 2 (warnings are hidden, errors are shown) unless the environment sets it. Before
TensorFlow reads it, it logs that oneDNN is on and that it found no CUDA, so a process of its own filters the standard
error stream while the import runs: it drops these lines, which start with `I0000`, and passes on every other one, even
if the import kills this process. `TF_CPP_MIN_LOG_LEVEL=0` shows everything.

TensorFlow's own logger warns of a function that is traced again and again. It takes the prediction functions of all
Keras models for one, so a handful of networks sets it off: that warning is dropped, for those functions alone.
"""

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

MODULE = "tensorflow"
LEVEL, ALL, ERRORS = "TF_CPP_MIN_LOG_LEVEL", "0", "2"
INFORMATION = r"I0000 |WARNING: All log messages before absl::InitializeLog"
NO_DRIVER = r"E0000 .*failed call to cuInit"
FILTER = """
import re, sys
for line in sys.stdin.buffer:
    if not re.match(sys.argv[1].encode(), line):
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
"""
WAIT_SECONDS = 5
_PREDICTING, _RETRACED = "make_predict_function", "triggered tf.function retracing"


def silence() -> None:
    """Have the lines hidden when TensorFlow is imported, unless it is imported already or the level is 0."""
    if MODULE in sys.modules or os.environ.setdefault(LEVEL, ERRORS) == ALL:
        return
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds TensorFlow as usual, and wraps its import."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for TensorFlow, None for every other module."""
        spec = PathFinder.find_spec(name, path) if name == MODULE else None
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            has_driver = _has_driver()
            with filtered(INFORMATION if has_driver else f"{INFORMATION}|{NO_DRIVER}"):
                execute(module)
                logging.getLogger(MODULE).addFilter(_is_told)
                if not has_driver:  # what it says of the GPUs that it cannot have, it says now
                    module.config.list_physical_devices("GPU")

        spec.loader.exec_module = exec_module
        return spec


def _is_told(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not (_PREDICTING in message and _RETRACED in message)


def _has_driver() -> bool:
    import ctypes

    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


@contextmanager
def filtered(pattern: str) -> Iterator[None]:
    """Keep lines that begin with a pattern from the standard error stream (descriptor 2) within this context.

    It does nothing if there is no such stream, or no Python to run the filter, as in a program that embeds Python.
    """
    import subprocess  # here, because most that imports this package does not import TensorFlow

    if getattr(sys, "frozen", False) or "python" not in os.path.basename(sys.executable or ""):
        yield
        return
    # In a session of its own, so that Ctrl-C does not end it before it has passed on what was written.
    command = [sys.executable, "-SE", "-c", FILTER, pattern]
    try:
        own = os.dup(2)
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=own, start_new_session=True)
    except OSError:
        yield
        return
    os.dup2(child.stdin.fileno(), 2)
    child.stdin.close()
    try:
        yield
    finally:
        os.dup2(own, 2)
        os.close(own)
        try:
            child.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:  # a process that was started meanwhile writes to it: it ends with that one
            pass
