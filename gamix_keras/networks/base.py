"""What the networks share: checks of their arguments, the three kinds of outputs, and how they are saved.

Images are float32 (B, H, W, C) in [-1, 1], latents float32 (B, D), whatever the compute dtype inside.
"""

from collections.abc import Sequence
from typing import Any

import keras

from gamix_keras.layers.dense import Dense

Tensor = Any
# Below this side, down-sampling leaves too little room for the place of things.
SMALLEST_MAP = 4


class Network(keras.Model):
    """Interface: a functional model that is saved as the arguments of its constructor.

    Args:
        inputs: Symbolic input.
        outputs: Symbolic output, or a list of them.
        arguments: What `get_config` returns, but for name, trainable and dtype.
        dtype: Policy of the layers inside; outputs are float32 in any case.
        **kwargs: `name` and `trainable`.
    """

    def __init__(self, inputs: Tensor, outputs: Any, arguments: dict[str, Any], dtype: Any, **kwargs: Any) -> None:
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)
        self.dtype_policy = keras.dtype_policies.get(dtype)
        self.arguments = arguments

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **{key: list(value) if isinstance(value, list | tuple) else value for key, value in self.arguments.items()},
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "name": self.name,
            "trainable": self.trainable,
        }


def check_image_shape(image_shape: Sequence[int]) -> tuple[int, int, int]:
    """Return (height, width, channels) as integers.

    Raises:
        ValueError: Unless there are three positive integers.
    """
    shape = tuple(image_shape)
    if len(shape) != 3 or not all(isinstance(n, int) and n > 0 for n in shape):
        raise ValueError(f"image_shape: expected (height, width, channels) as positive integers, got {image_shape!r}.")
    return shape


def check_positive(**values: int) -> None:
    """Check that every argument is an integer above 0.

    Raises:
        ValueError: For the first that is not.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}: expected a positive integer, got {value!r}.")


def check_not_negative(**values: int) -> None:
    """Check that every argument is an integer of 0 or more.

    Raises:
        ValueError: For the first that is not.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError(f"{name}: expected 0 or a positive integer, got {value!r}.")


def resolve_stages(image_shape: tuple[int, int, int], stages: int | None) -> int:
    """Return how often the image is halved.

    Args:
        image_shape: (H, W, C).
        stages: Wanted number, or None for as many as height and width allow while both stay at 4 or more.

    Raises:
        ValueError: If height or width cannot be divided by 2^stages, or is odd and `stages` is None.
    """
    height, width, _ = image_shape
    if stages is None:
        fits = [s for s in range(1, 16) if _divides(image_shape, s) and min(height, width) >> s >= SMALLEST_MAP]
        if not fits:
            raise ValueError(f"image_shape: expected an even height and width of 8 or more, got {height}x{width}.")
        return max(fits)
    check_positive(stages=stages)
    if not _divides(image_shape, stages):
        raise ValueError(
            f"image_shape: expected a height and width divisible by 2^stages = {2**stages}, got {height}x{width}."
        )
    return stages


def _divides(image_shape: tuple[int, int, int], stages: int) -> bool:
    return image_shape[0] % 2**stages == 0 and image_shape[1] % 2**stages == 0


def posterior_heads(features: Tensor, latent_dim: int) -> list[Tensor]:
    """Apply two dense layers to flat features (B, F): [mean, log_var], each (B, latent_dim), in float32."""
    return [Dense(latent_dim, dtype="float32", name=name)(features) for name in ("mean", "log_var")]


def location_channels(image_shape: tuple[int, int, int], pixel_scale: bool) -> int:
    """Return the channels of a decoder's output: C, or 2C if it gives location and log-scale."""
    return image_shape[-1] * (2 if pixel_scale else 1)
