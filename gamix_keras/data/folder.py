"""Images in a folder, at any depth, read by their content whatever their suffix (see ``decoding``).

What is listed but cannot be read is named, counted and, in a batch, replaced by the next readable image of the
source: the number of steps and the order of all other images do not depend on when a file is found broken, which
is what lets an interrupted run go on exactly.
"""

import functools
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from gamix_keras.config import UserError
from gamix_keras.data.base import Options, Source
from gamix_keras.data.decoding import THREADS, BrokenImage, decode_image, fit_images, read_file
from gamix_keras.data.jpeg import plain_header
from gamix_keras.data.listing import SUFFIXES, list_images
from gamix_keras.data.tensorflow_images import has_tensorflow, jpeg_decoder

VALIDATION_FOLDERS = ("validation", "val", "valid", "test")
CHECKED = 256
_NAMED = 100
_TOGETHER = 8
_log = logging.getLogger(__name__)

Loaded = np.ndarray | BrokenImage


def folder_splits(path: str, options: Options) -> dict[str, Callable[[], Source]]:
    """Return what opens the splits of a folder.

    A folder that holds a folder ``train`` and one of ``validation``, ``val``, ``valid`` or ``test`` has its own
    split, and nothing else in it is read.

    Raises:
        UserError: Where there is no such folder; on opening, where it holds no image.
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
    names, refused = list_images(root, part)
    for name, reason in refused.items():
        _log.warning("cannot list %s: %s", root / name, reason)
    if not names:
        suffixes = ", ".join(suffix[1:] for suffix in SUFFIXES)
        raise UserError(f"data source: expected images ({suffixes}) in {root / part}, found none")
    return FolderSource(root, names, options)


class FolderSource(Source):
    """Image files below a folder.

    Args:
        root: The folder.
        names: File names relative to it, with forward slashes.
        options: ``max_broken`` is the share of all files that may be unreadable.
        fast: Whether TensorFlow, where it is installed, decodes JPEG files of one size together. The images are
            the same.
    """

    def __init__(self, root: Path, names: Sequence[str], options: Options, fast: bool = True) -> None:
        super().__init__(str(root), names, options.image_shape)
        self._root, self._options, self._fast = root, options, fast
        self._listed = len(names)

    def subset(self, positions: np.ndarray) -> "FolderSource":
        """Return a source of the files at ``positions`` only."""
        names = [self.keys[position] for position in positions]
        return FolderSource(self._root, names, self._options, self._fast)

    def check(self) -> None:
        """Decode ``CHECKED`` files, evenly spread, and leave out those that cannot be read.

        So a folder of at most ``CHECKED`` images is known to be whole before training starts; in a larger one the
        rest is found, named and replaced as it is read.

        Raises:
            UserError: Where more than ``max_broken`` of those files are broken.
        """
        looked_at = np.arange(0, len(self), math.ceil(len(self) / CHECKED))
        with ThreadPoolExecutor(THREADS) as threads:
            results = list(threads.map(self._load_one, looked_at))
        self._report(_broken(dict(zip(looked_at, results, strict=True))), len(looked_at))
        self.keys = [key for key in self.keys if key not in self.skipped]
        super().check()

    def load(self, indices: np.ndarray) -> np.ndarray:
        """Return the images of ``indices``; one that cannot be read is replaced by the next that can.

        Raises:
            UserError: Where more than ``max_broken`` of the files are broken.
        """
        files = [self._read(index) for index in indices]
        images, failed = self._decode(files)
        self._report({indices[slot]: reason for slot, reason in failed.items()}, self._listed)
        for slot in failed:
            images[slot] = self._next_readable(int(indices[slot]))
        return images

    def _next_readable(self, index: int) -> np.ndarray:
        for step in range(1, len(self)):
            other = (index + step) % len(self)
            result = self._load_one(other)
            if not isinstance(result, BrokenImage):
                return result
            self._report({other: str(result)}, self._listed)
        raise self._failed(f"data source {self.name}: none of its {self._listed} images can be read")

    def _load_one(self, index: int) -> Loaded:
        return self._decode_one(self._read(index))

    def _read(self, index: int) -> bytes | BrokenImage:
        key = self.keys[index]
        if key in self.skipped:
            return BrokenImage(self.skipped[key])
        try:
            return read_file(os.path.join(self._root, key))
        except BrokenImage as error:
            return error

    def _decode(self, files: Sequence[bytes | BrokenImage]) -> tuple[np.ndarray, dict[int, str]]:
        """Decode files; returns the images, and the reason for each slot that has none."""
        blocks = self._decode_together(files) if self._fast and has_tensorflow() else []
        done = {slot for slots, _ in blocks for slot in slots}
        if len(blocks) == 1 and len(done) == len(files):  # the usual case, saved a copy
            return blocks[0][1], {}
        rest = [slot for slot in range(len(files)) if slot not in done]
        with ThreadPoolExecutor(THREADS) as threads:
            results = dict(zip(rest, threads.map(self._decode_one, (files[slot] for slot in rest)), strict=True))
        failed = _broken(results)
        images = np.zeros((len(files), *self.image_shape), np.uint8)
        for slots, decoded in blocks + [([slot], results[slot]) for slot in rest if slot not in failed]:
            images[slots] = decoded
        return images, failed

    def _decode_together(self, files: Sequence[bytes | BrokenImage]) -> list[tuple[list[int], np.ndarray]]:
        """Decode the JPEG files of which several have one size, by TensorFlow; returns slots with their images."""
        size, _, channels = self.image_shape
        blocks = []
        for reduction, slots in self._of_one_size(files):
            try:
                decoded = jpeg_decoder(reduction, channels)([files[slot] for slot in slots])
                blocks.append((slots, fit_images(decoded, size)))
            except Exception:  # TensorFlow does not say which file it was; Pillow will
                continue
        return blocks

    def _of_one_size(self, files: Sequence[bytes | BrokenImage]) -> Iterator[tuple[int, list[int]]]:
        """Yield groups of slots that hold JPEG files of one size, with the reduction to decode them at."""
        groups: dict[tuple[int, int], list[int]] = {}
        reductions: dict[tuple[int, int], int] = {}
        for slot, data in enumerate(files):
            header = plain_header(data) if isinstance(data, bytes) else None
            if header is not None:
                groups.setdefault((header.height, header.width), []).append(slot)
                reductions[header.height, header.width] = header.reduction(self.image_shape[0])
        yield from ((reductions[size], slots) for size, slots in groups.items() if len(slots) >= _TOGETHER)

    def _decode_one(self, data: bytes | BrokenImage) -> Loaded:
        if isinstance(data, BrokenImage):
            return data
        try:
            return decode_image(data, self.image_shape[0], self.image_shape[2])
        except BrokenImage as error:
            return error

    def _report(self, broken: dict[int, str], looked_at: int) -> None:
        """Name newly found broken files, and end where they are more than ``max_broken`` of ``looked_at``."""
        reasons = {self.keys[index]: reason for index, reason in broken.items()}
        for key in sorted(reasons.keys() - self.skipped.keys()):
            self.skipped[key] = reasons[key]
            if len(self.skipped) <= _NAMED:
                _log.warning("skipped %s: %s", os.path.join(self._root, key), reasons[key])
        if len(self.skipped) > self._options.max_broken * looked_at + 1e-9:
            raise self._failed(self._too_many(looked_at))

    def _too_many(self, looked_at: int) -> str:
        named = [f"{key} ({reason})" for key, reason in list(self.skipped.items())[:3]]
        more = ", ..." if len(self.skipped) > len(named) else ""
        return (
            f"data source {self.name}: expected at most max_broken = {self._options.max_broken:g} of the images "
            f"broken, got {len(self.skipped)} of {looked_at}: {', '.join(named)}{more}"
        )

    def _failed(self, text: str) -> UserError:
        self.failure = UserError(text)
        return self.failure


def _broken(results: Mapping[int, Loaded]) -> dict[int, str]:
    """Return the reasons of the broken ones."""
    return {index: str(result) for index, result in results.items() if isinstance(result, BrokenImage)}
