"""One frozen network for the perceptual term and the critic: what both need of an image is computed once."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from gamix_keras.config.catalogue import FEATURE_STAGES
from gamix_keras.metrics.efficientnet_lite import feature_stages

Tensor = Any
Maps = Mapping[str, Tensor]


class SharedMaps:
    """EfficientNet-Lite0 in two halves: up to the deepest stage of the perceptual term, and from there on.

    The first half is computed if either asks, the second if the critic does. A plain object, which Keras neither saves
    nor counts.

    Args:
        perceptual: Stages that the perceptual term compares.
        critic: Stages that the critic judges.
        image_shape: (H, W, C) of the images.
    """

    def __init__(self, perceptual: Sequence[str], critic: Sequence[str], image_shape: tuple[int, int, int]) -> None:
        self.names = self._perceptual, self._critic = tuple(perceptual), tuple(critic)
        names = sorted({*perceptual, *critic}, key=FEATURE_STAGES.index)
        self._boundary = max(perceptual, key=FEATURE_STAGES.index)
        self._first_names = names[: names.index(self._boundary) + 1]
        network = feature_stages(names, image_shape)
        maps = dict(zip(names, network.outputs, strict=True))
        self._first = keras.Model(network.inputs[0], [maps[name] for name in self._first_names])
        self._rest_names = [name for name in names if name not in self._first_names]
        deeper = [maps[name] for name in self._rest_names]
        self._rest = keras.Model(maps[self._boundary], deeper) if deeper else None
        self.of_critic = keras.Model(network.inputs[0], [maps[name] for name in self._critic])
        self._shapes = [tuple(maps[name].shape[1:]) for name in self._first_names]

    def first(self, images: Tensor) -> Maps:
        """Return the maps of the first half by their names, of images (B, H, W, C)."""
        return dict(zip(self._first_names, _listed(self._first(images, training=False)), strict=True))

    def blank(self, count: Any) -> Maps:
        """Return zeros in place of the maps of so many images."""
        maps = [ops.zeros((count, *shape), dtype="float32") for shape in self._shapes]
        return dict(zip(self._first_names, maps, strict=True))

    def compared(self, first: Maps) -> list[Tensor]:
        """Return the maps that the perceptual term compares."""
        return [first[name] for name in self._perceptual]

    def judged(self, first: Maps) -> list[Tensor]:
        """Return the maps that the critic judges; this computes the second half."""
        deeper = () if self._rest is None else _listed(self._rest(first[self._boundary], training=False))
        maps = {**first, **dict(zip(self._rest_names, deeper, strict=True))}
        return [maps[name] for name in self._critic]


def _listed(outputs: Any) -> list[Tensor]:
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]
