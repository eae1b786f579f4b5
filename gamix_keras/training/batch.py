"""What a step sees of the data: images, what they are compared with, and their weights."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
from keras import ops

Tensor = Any


class Batch(NamedTuple):
    """A batch as the phases see it.

    Attributes:
        images: Inputs, float32, (B, ...).
        targets: What is to be reconstructed: `images` themselves, unless `fit(x, y)` was given other images.
        weights: None, or the weight of each image, (B,) float32.
        start: Images of this pass before the batch.
    """

    images: Tensor
    targets: Tensor
    weights: Tensor | None = None
    start: Tensor | int = 0

    @classmethod
    def of(cls, images: Any, targets: Any = None, weights: Any = None, start: Tensor | int = 0) -> "Batch":
        """Return the batch of what `fit` was given.

        A `y` of the images' own shape is the target. A `y` of labels, (B,) or (B, K), is ignored: it only serves
        `class_weight`, which Keras has turned into weights by now.

        Raises:
            ValueError: If the images are not floats, or `y` or the weights have another shape.
        """
        images = _images("images", images)
        return cls(images, _targets(images, targets), _weights(weights), start)

    @property
    def size(self) -> Any:
        """B."""
        return ops.shape(self.images)[0]

    @property
    def pair_weights(self) -> tuple[Tensor, ...]:
        """What a metric takes after its tensors: the weights, if there are any."""
        return () if self.weights is None else (self.weights,)


def _images(name: str, values: Any) -> Tensor:
    if isinstance(values, Mapping):
        raise ValueError(
            f"{name}: expected a tensor, got a dict with the keys {', '.join(map(str, values))}; "
            "map it first: dataset.map(lambda element: element['image'])"
        )
    if isinstance(values, list | tuple):
        raise ValueError(f"{name}: expected one tensor, got {len(values)}")
    dtype = keras.backend.standardize_dtype(values.dtype)
    if "float" not in dtype:
        raise ValueError(
            f"{name}: expected floats in [-1, 1], got {dtype}; convert bytes with "
            "gamix_keras.data.to_unit_range(images), which is images / 127.5 - 1"
        )
    return ops.convert_to_tensor(values, dtype="float32")


def _targets(images: Tensor, targets: Any) -> Tensor:
    is_labels = not isinstance(targets, Mapping | list | tuple) and len(getattr(targets, "shape", ())) <= 2
    if targets is None or is_labels:
        return images
    targets = _images("y", targets)
    if tuple(targets.shape[1:]) != tuple(images.shape[1:]):
        raise ValueError(
            f"y: expected targets of the images' shape {tuple(images.shape[1:])}, or labels (B,) or (B, K), "
            f"got {tuple(targets.shape[1:])}"
        )
    return targets


def _weights(weights: Any) -> Tensor | None:
    if weights is None:
        return None
    weights = ops.convert_to_tensor(weights, dtype="float32")
    if len(weights.shape) == 2 and weights.shape[1] == 1:
        weights = weights[:, 0]
    if len(weights.shape) != 1:
        raise ValueError(f"sample_weight: expected one weight per image, (B,), got {tuple(weights.shape)}")
    return weights
