"""From a configuration to images: sources, the batches of a session, one image by name."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from gamix_keras import data
from gamix_keras.config import Config, UserError, settings
from gamix_keras.distributed import devices

HELD_OUT = "held-out:"
SHOWN_IMAGES = 10


class Data(NamedTuple):
    """What a training session reads.

    Attributes:
        training: All batches (B, H, W, C) in [-1, 1] from the session's first whole epoch to the last; None if no
            epoch is left.
        steps: Batches of a training epoch.
        validation: Batches of the held-out images, the same ones each time.
        shown: The first held-out images (N, H, W, C), for the sample grid.
        sources: The training and the validation source.
        begun: The batches that are left of the epoch in which the session starts, before those of `training`; None
            if it starts with a whole one.
    """

    training: Any
    steps: int
    validation: Any
    shown: np.ndarray
    sources: tuple[data.Source, data.Source]
    begun: Any = None

    def names(self, config: Config, epoch: int, step: int) -> list[str]:
        """Return the names of the images of a training batch, epoch and step from 0."""
        source = self.sources[0]
        reader = data.BatchReader(source, config.training.batch_size, **_shuffling(config), cache="none")
        return [source.keys[index] for index in reader.indices(epoch, step)]


def _shuffling(config: Config) -> dict[str, Any]:
    return {"training": True, "seed": config.seed, "flip": config.data.flip}


@contextmanager
def _named_as_set() -> Iterator[None]:
    """Name in an error the setting that a user gave: `training.batch_size`, if `data` speaks of its `batch_size`."""
    try:
        yield
    except UserError as error:
        own = str(error).partition(":")[0]
        keys = [f"{section}.{own}" for section in ("data", "training") if f"{section}.{own}" in settings()]
        if not keys:
            raise
        raise UserError(f"{keys[0]}{str(error).removeprefix(own)}") from None


@_named_as_set()
def open_source(config: Config, split: str) -> data.Source:
    """Open the `"train"` or `"validation"` images of a configuration."""
    part = config.data
    return data.open_source(
        part.source,
        image_size=part.image_shape[:2],
        channels=part.channels,
        split=split,
        validation=part.validation,
        validation_fraction=part.validation_fraction,
        seed=config.seed,
        count=part.count,
        max_broken=part.max_broken,
    )


@_named_as_set()
def build_data(config: Config, start_epoch: int = 0, start_step: int = 0) -> Data:
    """Open both sources, and lay out the batches after `start_epoch` epochs and `start_step` steps of the next."""
    size, cache = config.training.batch_size, config.data.cache
    train, held_out = (open_source(config, split) for split in ("train", "validation"))
    held_out = _divisible(held_out, config.training.devices)
    first, last = start_epoch + bool(start_step), config.training.epochs
    shuffling, training, begun = {**_shuffling(config), "part": devices.process_shard()}, None, None
    if first < last:
        training = data.batches(train, size, cache=cache, **shuffling, start_epoch=first, epochs=last)
    if start_step:
        span = {"start_epoch": start_epoch, "start_step": start_step, "epochs": first}
        # Not cached: the room is for the whole epochs that follow.
        begun = data.batches(train, size, cache="none", **shuffling, **span)
    validation = data.batches(held_out, size, training=False, cache=cache, part=devices.process_shard())
    shown = data.to_unit_range(held_out.draw(SHOWN_IMAGES, config.seed))
    return Data(training, len(train) // size, validation, shown, (train, held_out), begun)


def _divisible(source: data.Source, count: int) -> data.Source:
    """Return the source without its last images, so that several devices get equally many."""
    if len(source) < count:
        raise UserError(f"training.devices: expected at most the {len(source)} held-out images, got {count}")
    return source if len(source) % count == 0 else source.subset(np.arange(len(source) // count * count))


def batches_in_order(config: Config, source: data.Source) -> Any:
    """Lay out the batches of one pass over a source: each image once, unchanged, in the source's order."""
    return data.batches(source, config.training.batch_size, training=False, cache="none")


def open_image(config: Config, name: str) -> np.ndarray:
    """Read one image (H, W, C) in [-1, 1], in the shape that a configuration's model takes.

    Args:
        config: The configuration.
        name: A file, or `held-out:N` for the N-th held-out image, from 0.

    Raises:
        UserError: If there is no such image.
    """
    if not name.startswith(HELD_OUT):
        return data.to_unit_range(data.load_image(name, config.data.image_shape[:2], config.data.channels))
    source, number = open_source(config, "validation"), name.removeprefix(HELD_OUT)
    if not number.isdecimal() or int(number) >= len(source):
        raise UserError(f"IMAGE: expected {HELD_OUT}N with N from 0 to {len(source) - 1}, got {name}")
    return data.to_unit_range(source.load(np.array([int(number)])))[0]
