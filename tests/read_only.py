"""A directory as on a read-only disk: reads work, whatever would write under it is refused as the system would."""

import builtins
import errno
import io
import os
from pathlib import Path


def make_read_only(monkeypatch, folder):
    """Refuse to create or write under a folder, for root too, whom no permission stops."""
    folder, opened, opened_low, made = Path(folder).resolve(), io.open, os.open, os.mkdir

    def check(path):
        if isinstance(path, str | bytes | os.PathLike) and Path(os.fsdecode(path)).resolve().is_relative_to(folder):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), os.fsdecode(path))

    def guarded(file, mode="r", *arguments, **keywords):
        if set(mode) & set("wax+"):
            check(file)
        return opened(file, mode, *arguments, **keywords)

    def guarded_low(path, flags, *arguments, **keywords):
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            check(path)
        return opened_low(path, flags, *arguments, **keywords)

    def guarded_mkdir(path, *arguments, **keywords):
        if not os.path.isdir(path):  # as the system, which finds the directory first
            check(path)
        return made(path, *arguments, **keywords)

    for module, name, function in (
        (builtins, "open", guarded), (io, "open", guarded), (os, "open", guarded_low), (os, "mkdir", guarded_mkdir)
    ):  # fmt: skip
        monkeypatch.setattr(module, name, function)
