"""Which image files a folder holds, at any depth, and how many files of other kinds.

A file with an image's suffix is taken unopened. A file with another suffix, or none, is taken if its first bytes are
those of an image, unless the suffix is a common one of other files: a folder may hold as many captions as images.
Hidden files and folders are left out. Links to folders are followed, each real folder once, so loops end.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from gamix_keras.data.decoding import open_file
from gamix_keras.data.picture_formats import suffixes

# Files of these kinds are never opened to see whether they are images.
_OTHER_SUFFIXES = frozenset(
    ".txt .caption .json .jsonl .csv .tsv .xml .yaml .yml .toml .ini .md .rst .html .htm .pdf .log .py .ipynb .sh .url "
    ".db .lock .npy .npz .h5 .hdf5 .mat .pt .pth .safetensors .parquet .arrow .tfrecord .zip .tar .gz .tgz .bz2 .xz "
    ".7z .rar .mp3 .wav .mp4 .mov .avi .webm .mkv".split()
)
_IMAGE_START = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|II[*+]\0|MM\0[*+]|RIFF.{4}WEBP|.{4}ftypavi[fs]|qoif"
    rb"|\xff\x4f\xff\x51|\0\0\0\x0cjP  |P[1-6]\s|BM.{4}\0{4}",
    re.DOTALL,
)
_START_BYTES = 16
_NAMED_KINDS = 8


class Listing(NamedTuple):
    """What a folder holds.

    Attributes:
        names: Sorted names of the images relative to the root, with forward slashes.
        refused: The reason for each folder that cannot be listed.
        others: How many files of each other kind were left out; a kind is a suffix, `hidden` or `without suffix`.
    """

    names: list[str]
    refused: dict[str, str]
    others: Counter[str]

    def left_out(self) -> str:
        """Say how many files were left out, in one line; an empty string if none was."""
        count = self.others.total()
        if not count:
            return ""
        kinds = sorted(self.others, key=lambda kind: (-self.others[kind], kind))
        named = [f"{self.others[kind]} {kind}" for kind in kinds[:_NAMED_KINDS]]
        more = ", ..." if len(kinds) > len(named) else ""
        files = "1 file of another kind" if count == 1 else f"{count} files of other kinds"
        return f"{files} left out ({', '.join(named)}{more})"


def list_images(root: Path, part: str = "") -> Listing:
    """List the images below `root / part`."""
    names: list[str] = []
    refused: dict[str, str] = {}
    others: Counter[str] = Counter()
    for name, entry in _walk(root, part, refused):
        kind = _other_kind(entry)
        if kind:
            others[kind] += 1
        else:
            names.append(name)
    return Listing(sorted(names), refused, others)


def list_files(root: Path, suffix: str) -> list[str]:
    """Return the sorted names, relative to `root`, of the files at any depth that end in `suffix`."""
    files = (name for name, entry in _walk(root, "", {}) if not entry.name.startswith("."))
    return sorted(name for name in files if name.lower().endswith(suffix))


def only_shards(root: Path, kinds: Sequence[str]) -> str:
    """Return which of the suffixes `kinds` files below `root` have, if none of them is an image; else an empty string.

    The search ends at the first image, so it is quick in a large folder of images.
    """
    found: set[str] = set()
    for _, entry in _walk(root, "", {}):
        kind = _other_kind(entry)
        if not kind:
            return ""
        found.add(kind)
    return next((kind for kind in kinds if kind in found), "")


def _walk(root: Path, part: str, refused: dict[str, str]) -> Iterator[tuple[str, os.DirEntry]]:
    """Yield each file with its name relative to `root`; folders that cannot be listed go into `refused`."""
    visited: set[tuple[int, int]] = set()
    folders, links = [part], []
    while folders or links:  # links come last, so that a folder goes by its own name if it has one
        folder = folders.pop() if folders else links.pop(0)
        try:
            entries = _enter(os.path.join(root, folder), visited)
        except OSError as error:
            refused[folder] = error.strerror or str(error)
            continue
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if not _is_folder(entry):
                yield name, entry
            elif not entry.name.startswith("."):
                (links if entry.is_symlink() else folders).append(name)


def _enter(path: str, visited: set[tuple[int, int]]) -> list[os.DirEntry]:
    state = os.stat(path)
    if (state.st_dev, state.st_ino) in visited:
        return []
    visited.add((state.st_dev, state.st_ino))
    with os.scandir(path) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _other_kind(entry: os.DirEntry) -> str:
    """Return the kind of a file that is no image, and an empty string for an image."""
    if entry.name.startswith("."):
        return "hidden"
    suffix = os.path.splitext(entry.name)[1].lower()
    if suffix in suffixes() or (suffix not in _OTHER_SUFFIXES and _starts_as_image(entry.path)):
        return ""
    return suffix or "without suffix"


def _starts_as_image(path: str) -> bool:
    try:
        with open_file(path) as file:
            return _IMAGE_START.match(file.read(_START_BYTES) or b"") is not None
    except OSError:
        return False
