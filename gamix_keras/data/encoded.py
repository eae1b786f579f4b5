"""Image files that can be read in any order, wherever they lie, decoded by the rules of `decoding`.

A file that cannot be read is named, counted and, in a batch, replaced by the next readable image of the source. The
number of steps and the order of all other images do not depend on when a file is found broken, so an interrupted run
goes on exactly.
"""

import logging
import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from gamix_keras.config import UserError
from gamix_keras.data.base import Options, Source, warn_if_black
from gamix_keras.data.decoding import THREADS, BrokenImage, decode_image, fit_images
from gamix_keras.data.jpeg import plain_header
from gamix_keras.data.tensorflow_images import has_tensorflow, jpeg_decoder

CHECKED = 256
_NAMED = 100
_TOGETHER = 8
_log = logging.getLogger(__name__)

Loaded = np.ndarray | BrokenImage


class EncodedSource(Source):
    """Image files, read by their names.

    Args:
        name: What the user called the source.
        keys: One name per file.
        options: Shape of the images; `max_broken` is the share of all files that may be unreadable.
        fast: Whether TensorFlow, if it is installed, decodes JPEG files of one size together. The images are the
            same.
    """

    def __init__(self, name: str, keys: Sequence[str], options: Options, fast: bool = True) -> None:
        super().__init__(name, keys, options.image_shape)
        self._options, self._fast = options, fast
        self._listed = len(keys)

    @abstractmethod
    def _read_file(self, key: str) -> bytes:
        """Return the bytes of one file, or raise `BrokenImage`."""

    def _label(self, key: str) -> str:
        """Return the name of a file for messages."""
        return f"{self.name}/{key}"

    def check(self) -> None:
        """Decode `CHECKED` files, evenly spread, and leave out those that cannot be read.

        So a source of at most `CHECKED` images is known to be whole before training starts; in a larger one the
        rest is found, named and replaced as it is read.

        Raises:
            UserError: If more than `max_broken` of those files are broken.
        """
        looked_at = np.arange(0, len(self), math.ceil(len(self) / CHECKED))
        with ThreadPoolExecutor(THREADS) as threads:
            results = list(threads.map(self._load_one, looked_at))
        self._report(_broken(dict(zip(looked_at, results, strict=True))), len(looked_at))
        self.keys = [key for key in self.keys if key not in self.skipped]
        super().check()
        warn_if_black(self.name, max(int(image.max()) for image in results if not isinstance(image, BrokenImage)))

    def load(self, indices: np.ndarray) -> np.ndarray:
        """Return the images of `indices`; one that cannot be read is replaced by the next that can.

        Raises:
            UserError: If more than `max_broken` of the files are broken.
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
            return self._read_file(key)
        except BrokenImage as error:
            return error

    def _decode(self, files: Sequence[bytes | BrokenImage]) -> tuple[np.ndarray, dict[int, str]]:
        """Return the images of files, and the reason for each slot that has none."""
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
        """Decode the JPEG files that share a size by TensorFlow, and return slots with their images."""
        blocks = []
        for reduction, slots in self._of_one_size(files):
            try:
                decoded = jpeg_decoder(reduction, self.image_shape[2])([files[slot] for slot in slots])
                blocks.append((slots, fit_images(decoded, self.image_shape[:2])))
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
                reductions[header.height, header.width] = header.reduction(self.image_shape[:2])
        yield from ((reductions[size], slots) for size, slots in groups.items() if len(slots) >= _TOGETHER)

    def _decode_one(self, data: bytes | BrokenImage) -> Loaded:
        if isinstance(data, BrokenImage):
            return data
        try:
            return decode_image(data, self.image_shape[:2], self.image_shape[2])
        except BrokenImage as error:
            return error

    def _report(self, broken: dict[int, str], looked_at: int) -> None:
        """Name newly found broken files, and raise if they are more than `max_broken` of `looked_at`."""
        reasons = {self.keys[index]: reason for index, reason in broken.items()}
        for key in sorted(reasons.keys() - self.skipped.keys()):
            self.skipped[key] = reasons[key]
            if len(self.skipped) <= _NAMED:
                _log.warning("skipped %s: %s", self._label(key), reasons[key])
        if len(self.skipped) > self._options.most_broken(looked_at):
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
