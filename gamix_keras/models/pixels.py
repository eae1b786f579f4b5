"""A look at the pixels of the first batch of a fit."""

import warnings
from typing import Any

import numpy as np
from keras import ops

# Resizing and JPEG may overshoot by rounding.
_TOLERANCE = 0.01


def check_pixels(name: str, images: Any, allow_nan: bool = False) -> None:
    """Check that images are finite and in [-1, 1]; warn if they seem to be in [0, 1].

    Args:
        name: What they are called in messages.
        images: A batch.
        allow_nan: Whether something else answers numbers that are not finite.

    Raises:
        ValueError: If values are not finite or beyond [-1, 1].
    """
    values = np.asarray(ops.convert_to_numpy(images), "float32")
    if not values.size:
        return
    if not np.isfinite(values).all():
        if allow_nan:
            return
        raise ValueError(f"{name}: expected finite values in [-1, 1], got NaN or infinity")
    low, high = float(values.min()), float(values.max())
    if max(-low, high) > 1.0 + _TOLERANCE:
        raise ValueError(
            f"{name}: expected values in [-1, 1], got {low:.4g} to {high:.4g}; "
            "convert 0...255 with gamix_keras.data.to_unit_range(images), which is images / 127.5 - 1"
        )
    if low >= 0.0 and high > low:
        warnings.warn(
            f"{name}: expected values in [-1, 1], got {low:.4g} to {high:.4g}, which looks like [0, 1]; "
            "map them with 2 * images - 1, or the model and its PSNR see half the contrast",
            UserWarning,
            stacklevel=2,
        )
