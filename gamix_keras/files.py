"""Files that are whole or absent: written under a temporary name, flushed to the disk, then renamed."""

import errno
import json
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows: nothing keeps two processes from training one run
    fcntl = None

_TEMPORARY = re.compile(r"\..+\.(?P<process>\d+)\.tmp(\.\w+)?")
_FULL = (errno.ENOSPC, errno.EDQUOT)
# HDF5 wraps the system's error in a text of its own.
_FULL_TEXT = re.compile("|".join([*(f"errno = {number}\\b" for number in _FULL), *map(os.strerror, _FULL)]))

# What a zip archive may unpack to: so many times its own size, or this if that is more.
MAX_EXPANSION, EXPANSION_FLOOR = 20, 1 << 28
MAX_JSON_BYTES = 1 << 26


class DiskFull(OSError):
    """There is no room to write a file; what was there before is unchanged."""


class Locked(OSError):
    """Another process holds a lock; the text is its process id."""


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path in the same folder, with the same suffix, that becomes `path` on success.

    A reader, or a process that starts after a crash, sees the old file or the new one, never a part.

    Raises:
        DiskFull: If there is no room for it; names `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        with _named_when_full(path):
            yield temporary
            _flush(temporary)
            os.replace(temporary, path)
            _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _named_when_full(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not isinstance(error, DiskFull) and _says_full(error):
            raise DiskFull(f"the disk is full: no room for {path}") from error
        raise


def _says_full(error: BaseException | None) -> bool:
    while error is not None:
        if getattr(error, "errno", None) in _FULL or _FULL_TEXT.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, values: object) -> None:
    """Write a JSON file for people and programs: indented, with a final newline."""
    write_text(path, json.dumps(values, indent=2) + "\n")


def append_line(path: str | os.PathLike, line: str) -> None:
    """Append one line and flush it to the disk; a crash leaves at most a part of this line behind.

    Raises:
        DiskFull: If there is no room for it; nothing of it is left behind.
    """
    with _named_when_full(Path(path)), open(path, "ab", buffering=0) as file:
        end = file.tell()
        try:
            _write_all(file.fileno(), (line + "\n").encode())
            os.fsync(file.fileno())
        except OSError:
            file.truncate(end)
            raise


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def why_not_writable(path: str | os.PathLike) -> str | None:
    """Return why no file can be written at a path, in the system's words, or None if one can; leave nothing behind.

    It tries, because permissions do not say everything: root has them all, on a read-only disk as well.
    """
    folder = Path(path).parent
    while not folder.exists():
        folder = folder.parent
    probe = folder / f".probe.{os.getpid()}.tmp"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        return error.strerror or str(error)
    return None


def is_temporary(file: Path) -> bool:
    """Return whether this is the name of a file that is being written, or that was never finished."""
    return _TEMPORARY.fullmatch(file.name) is not None


def remove_leftovers(folder: str | os.PathLike) -> list[Path]:
    """Remove the temporary files, at any depth, of processes that were killed while writing; return them."""
    found = [(file, _TEMPORARY.fullmatch(file.name)) for file in Path(folder).rglob(".*")]
    # A process that has this id now may be another one: ids are used again, above all in containers.
    left = [file for file, name in found if name and not runs_beside(int(name["process"]))]
    for file in left:
        file.unlink(missing_ok=True)
    return left


def runs_beside(process: int) -> bool:
    """Return whether another process on this machine has this id."""
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return process != os.getpid()


@contextmanager
def locked(path: str | os.PathLike) -> Iterator[None]:
    """Hold a lock file, with this process's id in it; the system frees it with the process, however that ends.

    The package filelock was tried instead: its lock is freed as well, but does not name the process that holds it; its
    soft lock names it, but stays if that process is killed on another machine.

    Raises:
        Locked: If another process holds it; the text is that process's id.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="utf-8") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise Locked(file.read().strip() or "unknown") from None
            except OSError:  # a file system without locks
                pass
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def check_archive(path: str | os.PathLike) -> None:
    """Check by its directory that a zip archive unpacks to no more than `MAX_EXPANSION` times its size, or 256 MiB.

    Raises:
        ValueError: If it is no zip archive, or unpacks to more.
        OSError: If it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise ValueError(f"it is no whole archive: {error}") from None
    if unpacked > max(EXPANSION_FLOOR, MAX_EXPANSION * os.path.getsize(path)):
        raise ValueError(f"it would unpack to {unpacked:,} bytes, far more than it has")


def archived_json(path: str | os.PathLike, name: str) -> dict[str, Any]:
    """Return a JSON object that is a member of a zip archive.

    Raises:
        ValueError: If the archive is none, see `check_archive`, or the member is missing, over 64 MiB, or no object.
        OSError: If the archive cannot be read.
    """
    check_archive(path)
    with zipfile.ZipFile(path) as archive:
        if name not in archive.namelist():
            raise ValueError(f"it has no {name}")
        if archive.getinfo(name).file_size > MAX_JSON_BYTES:
            raise ValueError(f"its {name} has more than {MAX_JSON_BYTES >> 20} MiB")
        try:
            values = json.loads(archive.read(name))
        except (ValueError, RecursionError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"its {name} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"its {name} holds no object")
    return values
