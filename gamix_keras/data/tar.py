"""WebDataset's shards, `tar:PATH` or `tar:PATH#SUFFIX`: a .tar file of images, or a folder of them.

Nothing is unpacked: the places of the images are found once, and each is read from its place.
"""

import functools
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gamix_keras.config import UserError
from gamix_keras.data.arrays import READ_ERRORS, first_line
from gamix_keras.data.base import Options, split_key, warn_once
from gamix_keras.data.decoding import BrokenImage, check_size, open_file
from gamix_keras.data.encoded import EncodedSource
from gamix_keras.data.picture_formats import suffixes
from gamix_keras.data.shards import Shard, shard_splits


class Place(NamedTuple):
    """The position of an image in its shard."""

    shard: Path
    offset: int
    size: int


def tar_splits(path: str, options: Options) -> dict[str, Callable[[], "TarSource"]]:
    """Return what opens the splits of WebDataset shards, see `shards`.

    An image is a regular member with an image's suffix. If a sample has several, such as a mask beside it, `SUFFIX`
    says which are meant: `tar:PATH#jpg`.

    Raises:
        UserError: If there are no shards; on opening, if they hold no image, or one is damaged.
    """
    root, suffix = split_key(path)
    splits = shard_splits(str(root), ".tar")
    return {
        split: functools.partial(_open_shards, str(root), shards, suffix, options) for split, shards in splits.items()
    }


def _open_shards(name: str, shards: Sequence[Shard], suffix: str, options: Options) -> "TarSource":
    places: dict[str, Place] = {}
    for label, shard in shards:
        try:
            found = {f"{label}/{member}": place for member, place in _images(shard, suffix)}
        except (*READ_ERRORS, tarfile.TarError) as error:
            raise UserError(f"data source: expected an uncompressed .tar file, {shard}: {first_line(error)}") from None
        places.update(found)
    if not places:
        raise UserError(f"data source {name}: expected images in its .tar files, found none")
    _check_samples(name, places)
    return TarSource(name, list(places), places, options)


def _images(shard: Path, suffix: str) -> Iterator[tuple[str, Place]]:
    size = shard.stat().st_size
    with tarfile.open(shard, "r:") as archive:
        for member in archive:
            archive.members = []  # it would keep all of them
            if not member.isreg() or member.issparse() or not _is_wanted(member.name, suffix):
                continue
            if member.offset_data + member.size > size:
                raise EOFError("it ends within a member")
            yield member.name, Place(shard, member.offset_data, member.size)


def _is_wanted(name: str, suffix: str) -> bool:
    name = name.rpartition("/")[2].lower()
    if name.startswith("."):
        return False
    if suffix:
        return name.endswith(f".{suffix.lower().lstrip('.')}")
    return f".{name.rpartition('.')[2]}" in suffixes()


def _check_samples(name: str, places: dict[str, Place]) -> None:
    """Warn if samples hold several images: all of them are taken."""
    samples, endings = set(), set()
    for key in places:
        folder, _, file = key.rpartition("/")
        stem, _, ending = file.partition(".")
        samples.add((folder, stem))
        endings.add(ending)
    if len(samples) < len(places):
        one = min(endings)
        warn_once(f"{name}: all {len(places)} images of {len(samples)} samples are taken; for one kind: {name}#{one}")


class TarSource(EncodedSource):
    """Images within .tar files.

    Args:
        name: What the user called the source.
        keys: `SHARD/MEMBER` of each image.
        places: The position of each image.
        options: See `EncodedSource`.
        fast: See `EncodedSource`.
    """

    def __init__(
        self, name: str, keys: Sequence[str], places: dict[str, Place], options: Options, fast: bool = True
    ) -> None:
        super().__init__(name, keys, options, fast)
        self._places = places

    def subset(self, positions: np.ndarray) -> "TarSource":
        """Return a source of the images at `positions` only."""
        keys = [self.keys[position] for position in positions]
        return TarSource(self.name, keys, self._places, self._options, self._fast)

    def _read_file(self, key: str) -> bytes:
        place = self._places[key]
        check_size(place.size)
        try:
            with open_file(place.shard) as file:
                file.seek(place.offset)
                data = file.read(place.size)
        except OSError as error:
            raise BrokenImage(error.strerror or str(error)) from None
        if len(data or b"") != place.size:
            raise BrokenImage("the .tar file ends within it")
        return data
