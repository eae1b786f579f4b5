"""Images in a folder, at any depth, read by their content whatever their suffix (see `decoding`)."""

import functools
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gamix_keras.config import UserError
from gamix_keras.data import picture_formats
from gamix_keras.data.base import Options, warn_once
from gamix_keras.data.decoding import read_file
from gamix_keras.data.encoded import EncodedSource
from gamix_keras.data.listing import list_images

VALIDATION_FOLDERS = ("validation", "val", "valid", "test")
_log = logging.getLogger(__name__)


def folder_splits(path: str, options: Options) -> dict[str, Callable[[], "FolderSource"]]:
    """Return what opens the splits of a folder.

    A folder that holds a folder `train` and one of `validation`, `val`, `valid` or `test` has its own split, and
    nothing else in it is read.

    Raises:
        UserError: If there is no such folder; on opening, if it holds no image.
    """
    root = Path(path).expanduser()
    if not path or not root.is_dir():
        found = "is a file" if path and root.exists() else "does not exist"
        raise UserError(f"data source: expected a folder of images, but {path!r} {found}")
    held_out = [name for name in VALIDATION_FOLDERS if (root / name).is_dir()]
    if not (root / "train").is_dir() or not held_out:
        return {"train": functools.partial(_open_folder, root, "", options)}
    parts = {"train": "train", "validation": held_out[0]}
    return {split: functools.partial(_open_folder, root, part, options) for split, part in parts.items()}


def _open_folder(root: Path, part: str, options: Options) -> "FolderSource":
    listing = list_images(root, part)
    for name, reason in listing.refused.items():
        _log.warning("cannot list %s: %s", root / name, reason)
    left_out = listing.left_out()
    if not listing.names:
        found = f"found none; {left_out}" if left_out else "found none"
        raise UserError(f"data source: expected images ({picture_formats.in_words()}) in {root / part}, {found}")
    if left_out:
        warn_once(f"{root / part}: {left_out}")
    return FolderSource(root, listing.names, options)


class FolderSource(EncodedSource):
    """Image files below a folder.

    Args:
        root: The folder.
        names: File names relative to it, with forward slashes.
        options: See `EncodedSource`.
        fast: See `EncodedSource`.
    """

    def __init__(self, root: Path, names: Sequence[str], options: Options, fast: bool = True) -> None:
        super().__init__(str(root), names, options, fast)
        self._root = root

    def subset(self, positions: np.ndarray) -> "FolderSource":
        """Return a source of the files at `positions` only."""
        names = [self.keys[position] for position in positions]
        return FolderSource(self._root, names, self._options, self._fast)

    def _read_file(self, key: str) -> bytes:
        return read_file(os.path.join(self._root, key))
