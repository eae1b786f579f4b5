"""A folder of checkpoints: write them whole with a checksum, find them, check them, remove those that are not kept.

    epoch-0007.keras               after 7 whole epochs
    epoch-0007-step-000120.keras   after 7 whole epochs and 120 steps of the eighth
    epoch-0007.keras.sha256        its checksum, as `sha256sum --check` reads it

It knows nothing about what a checkpoint holds, and imports no Keras.
"""

import hashlib
import itertools
import re
import zipfile
import zlib
from collections.abc import Callable, Container
from pathlib import Path
from typing import NamedTuple

from gamix_keras import files

_NAME = re.compile(r"epoch-(?P<epoch>\d+)(-step-(?P<step>\d+))?\.keras")


class Checkpoint(NamedTuple):
    """How far a training has come, and the file that holds it.

    Attributes:
        epoch: Whole epochs that are finished.
        file: The checkpoint; None before the first.
    """

    epoch: int
    file: Path | None

    @property
    def exists(self) -> bool:
        """Whether there is one."""
        return self.file is not None

    @property
    def step(self) -> int:
        """Steps of the next epoch; 0 if it was not begun."""
        return int(_NAME.fullmatch(self.file.name)["step"] or 0) if self.file else 0

    @property
    def progress(self) -> tuple[int, int]:
        """(epoch, step), by which checkpoints are ordered."""
        return self.epoch, self.step


def path(folder: Path, epoch: int, step: int = 0) -> Path:
    """Return the path of a checkpoint."""
    return folder / (f"epoch-{epoch:04d}" + (f"-step-{step:06d}" if step else "") + ".keras")


def listed(folder: Path) -> list[Checkpoint]:
    """Return the checkpoints of a folder, whole or damaged, newest first."""
    names = ((_NAME.fullmatch(file.name), file) for file in folder.glob("epoch-*.keras"))
    found = [Checkpoint(int(name["epoch"]), file) for name, file in names if name]
    return sorted(found, key=lambda checkpoint: checkpoint.progress, reverse=True)


def write(file: Path, save: Callable[[Path], None]) -> None:
    """Write a checkpoint and its checksum, whole or not at all.

    Args:
        file: The checkpoint, see `path`.
        save: Called with a temporary path to write to.

    Raises:
        DiskFull: If there is no room; earlier checkpoints are as they were.
    """
    # An old checksum of the same name must not outlive its file.
    _checksum(file).unlink(missing_ok=True)
    with files.replacing(file) as temporary:
        save(temporary)
        digest = _digest(temporary)
    files.write_text(_checksum(file), f"{digest}  {file.name}\n")


def is_whole(file: Path) -> bool:
    """Return whether a file is what was written, by its checksum, if it has one, and by those within the archive."""
    try:
        written = checksum(file)
        files.check_archive(file)
        with zipfile.ZipFile(file) as archive:
            return archive.testzip() is None and written in (None, _digest(file))
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError, zlib.error):
        return False


def checksum(file: Path) -> str | None:
    """Return the SHA-256 that was written with a checkpoint, None if there is none."""
    words = _checksum(file).read_text(encoding="utf-8").split() if _checksum(file).exists() else []
    return words[0] if words else None


def prune(folder: Path, newest: tuple[int, int], keep: int, spared: Container[int] = ()) -> None:
    """Remove all but the last `keep` checkpoints up to `newest`.

    Args:
        folder: The folder of the checkpoints.
        newest: (epoch, step) of the last one written. Later ones, of a training that was given up, do not count.
        keep: How many to keep.
        spared: Epochs whose checkpoints are kept as well.
    """
    past = [checkpoint for checkpoint in listed(folder) if checkpoint.progress <= newest]
    for checkpoint in past[keep:]:
        if checkpoint.step or checkpoint.epoch not in spared:
            checkpoint.file.unlink()
            _checksum(checkpoint.file).unlink(missing_ok=True)


def set_damaged_aside(folder: Path) -> None:
    """Rename every checkpoint that is not whole, so that training on neither overwrites nor removes it."""
    for checkpoint in listed(folder):
        if not is_whole(checkpoint.file):
            checkpoint.file.rename(damaged_name(checkpoint.file))


def damaged_name(file: Path) -> Path:
    """Return `NAME.damaged`, or `NAME.damaged-2` and so on if that is taken: a name that nothing here touches."""
    endings = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
    names = (file.with_name(f"{file.name}.damaged{ending}") for ending in endings)
    return next(name for name in names if not name.exists())


def remove_leftovers(folder: Path) -> None:
    """Remove what Keras left behind in a process that was killed; only for the one process that writes there."""
    for file in folder.glob("tmp*"):
        if file.is_file():
            file.unlink(missing_ok=True)


def _checksum(file: Path) -> Path:
    return file.with_name(f"{file.name}.sha256")


def _digest(file: Path) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
