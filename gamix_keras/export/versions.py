"""Version directories BASE/1, BASE/2, ... as TensorFlow Serving watches them: each appears whole or not at all.

A version is written to a hidden directory in BASE, flushed to the disk and renamed. The server looks at numbered
directories only, so it never sees half a version, even if the writer is killed.
"""

import errno
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gamix_keras import files
from gamix_keras.config import UserError


def next_version(base: Path) -> int:
    """Return one more than the highest version, or 1 if there is none."""
    names = [entry.name for entry in base.iterdir()] if base.is_dir() else []
    return max((int(name) for name in names if name.isdecimal()), default=0) + 1


def publish(base: str | os.PathLike, write: Callable[[Path], None], version: int | None = None) -> Path:
    """Write a version directory and return its path.

    Args:
        base: The directory of the versions.
        write: A function that fills the directory it is given.
        version: The number of the version; None takes the next one.

    Raises:
        UserError: If the version exists already, or `base` is a file.
    """
    base = Path(base)
    if base.exists() and not base.is_dir():
        raise UserError(f"--out: expected a directory, got {base}, which is a file")
    if version is not None and (base / str(version)).exists():
        raise _used(base / str(version))
    with hidden_folder(base) as hidden:
        write(hidden)
        _flush(hidden)
        return _appear(hidden, base, version)


@contextmanager
def hidden_folder(base: Path) -> Iterator[Path]:
    """Yield a new hidden directory in `base`; delete it at the end, and those of killed processes at once."""
    base.mkdir(parents=True, exist_ok=True)
    mark = f".writing-{platform.node()}-"  # process ids are those of one machine
    for left in base.glob(f"{mark}*"):
        process = left.name.removeprefix(mark)
        if not (process.isdecimal() and files.runs_beside(int(process))):
            shutil.rmtree(left, ignore_errors=True)
    hidden = base / f"{mark}{os.getpid()}"
    try:
        hidden.mkdir()
        yield hidden
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _appear(hidden: Path, base: Path, version: int | None) -> Path:
    """Rename the directory to its number, and try the next number if another process has taken it meanwhile."""
    while True:
        place = base / str(next_version(base) if version is None else version)
        try:
            os.rename(hidden, place)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            if version is not None:
                raise _used(place) from None
        else:
            _flush_one(base)
            return place


def _used(place: Path) -> UserError:
    return UserError(f"--version: expected a number that is not used, got {place.name}: {place} exists")


def _flush(folder: Path) -> None:
    for parent, _, names in os.walk(folder):
        for name in names:
            _flush_one(Path(parent, name))
        _flush_one(Path(parent))


def _flush_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
