"""Differentiable augmentation: random changes of images that a critic sees, real and fake alike."""

from typing import Any

import keras
from keras import ops

from gamix_keras.config.catalogue import AUGMENTATIONS
from gamix_keras.layers.sampling import batch_noise

Tensor = Any
# Brightness, saturation, contrast, shift down, shift right.
NUMBERS = 5
SHIFT = 1 / 8


@keras.saving.register_keras_serializable("gamix_keras")
class DifferentiableAugmentation(keras.layers.Layer):
    """Random colours and shifts through which the generator's gradient flows (Zhao et al. 2020, DiffAugment).

    With few images a critic remembers them, unless it never sees one twice. With u ~ U(0, 1), anew for each image and
    each number, in this order:

    | kind | what happens to x in [-1, 1] |
    | --- | --- |
    | `colour` | brightness: x + u - 1/2 |
    | | saturation: x less the mean of each pixel's channels, times 2 u, plus that mean |
    | | contrast: x less its mean over the image, times u + 1/2, plus that mean |
    | `translation` | a shift by up to 1/8 of height and of width, whole pixels; what comes in is 0, mid-grey |

    The mean of `colour` over its numbers is the image itself.

    Args:
        kinds: `colour`, `translation` or `colour,translation`.
        seed: Seed of the layer's own generator, whose state is part of the model.

    Raises:
        ValueError: If `kinds` is another.
    """

    def __init__(self, kinds: str = "colour,translation", seed: int = 0, **kwargs: Any) -> None:
        super().__init__(dtype=kwargs.pop("dtype", "float32"), **kwargs)
        if kinds not in AUGMENTATIONS[1:]:
            expected = f"expected one of {'; '.join(AUGMENTATIONS[1:])}"
            raise ValueError(f"DifferentiableAugmentation: kinds: {expected}, got {kinds!r}.")
        self.kinds = kinds
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def draw(self, count: Any) -> Tensor:
        """Return random numbers for so many images, (count, 5) in [0, 1): the state of the generator moves on."""
        return batch_noise((count, NUMBERS), self.seed_generator, keras.random.uniform)

    def call(self, images: Tensor, numbers: Tensor) -> Tensor:
        """Return images (B, H, W, C) changed by numbers (B, 5), see `draw`."""
        brightness, saturation, contrast, down, right = ops.split(numbers, NUMBERS, axis=1)
        if "colour" in self.kinds:
            images = images + (brightness - 0.5)[:, :, None, None]
            images = _stretched(images, 2.0 * saturation, axis=-1)
            images = _stretched(images, contrast + 0.5, axis=(1, 2, 3))
        if "translation" in self.kinds:
            rows, columns = (_shifts(images.shape[axis], number) for axis, number in ((1, down), (2, right)))
            images = ops.einsum("bih,bhwc->biwc", rows, images)
            images = ops.einsum("bjw,biwc->bijc", columns, images)
        return images

    def get_config(self) -> dict[str, Any]:
        """Return kinds and seed."""
        return {**super().get_config(), "kinds": self.kinds, "seed": self.seed}


def _stretched(images: Tensor, factor: Tensor, axis: Any) -> Tensor:
    mean = ops.mean(images, axis=axis, keepdims=True)
    return mean + factor[:, :, None, None] * (images - mean)


def _shifts(size: int, number: Tensor) -> Tensor:
    """Return a matrix for each image, (B, size, size), that moves rows by a whole number of places."""
    most = round(SHIFT * size)
    places = ops.minimum(ops.floor(number * (2 * most + 1)) - most, most)
    index = ops.arange(size, dtype="float32")
    source = index[None, :, None] - places[:, :, None]
    return ops.cast(ops.equal(source, index[None, None, :]), "float32")
