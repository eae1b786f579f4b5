"""Which image files a folder holds, at any depth: names only, nothing is opened.

Files are taken by their suffix. Hidden files and folders are left out. Links to folders are followed, each real
folder once, so loops end.
"""

import os
from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp")


def list_images(root: Path, part: str = "") -> tuple[list[str], dict[str, str]]:
    """List the images below ``root / part``.

    Returns:
        The sorted names relative to ``root``, with forward slashes, and for each folder that cannot be listed
        the reason.
    """
    names: list[str] = []
    refused: dict[str, str] = {}
    visited: set[tuple[int, int]] = set()
    folders, links = [part], []
    while folders or links:  # links last, so that a folder goes by its own name where it has one
        folder = folders.pop() if folders else links.pop(0)
        try:
            entries = _enter(os.path.join(root, folder), visited)
        except OSError as error:
            refused[folder] = error.strerror or str(error)
            continue
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if _is_folder(entry):
                (links if entry.is_symlink() else folders).append(name)
            elif entry.name.lower().endswith(SUFFIXES):
                names.append(name)
    return sorted(names), refused


def _enter(path: str, visited: set[tuple[int, int]]) -> list[os.DirEntry]:
    state = os.stat(path)
    if (state.st_dev, state.st_ino) in visited:
        return []
    visited.add((state.st_dev, state.st_ino))
    with os.scandir(path) as entries:
        seen = [entry for entry in entries if not entry.name.startswith(".")]
    return sorted(seen, key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
