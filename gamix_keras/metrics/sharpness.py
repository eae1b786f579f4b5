"""How much fine detail images have, against those of real images."""

from typing import Any

import numpy as np

from gamix_keras.metrics.features import to_pixels

Tensor = Any


def laplacian_power(images: Tensor) -> np.ndarray:
    """Return the mean square of each image's Laplacian: grey times 4 less the four neighbours, inside the border.

    Blur lowers it, noise and stripes raise it. Divided by that of real images it is the share of their fine detail:
    1 is as sharp as they are.

    Args:
        images: (B, H, W, C), uint8, or float in [-1, 1]; H and W at least 3.

    Returns:
        (B,) float64, in squares of the 8-bit scale.

    Raises:
        ValueError: If the images do not fit.
    """
    grey = to_pixels(images).mean(axis=-1, dtype="float64")
    if min(grey.shape[1:]) < 3:
        raise ValueError(f"images: expected at least 3 x 3 pixels, got {grey.shape[1]} x {grey.shape[2]}")
    centre = grey[:, 1:-1, 1:-1]
    neighbours = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    return np.mean((4.0 * centre - neighbours) ** 2, axis=(1, 2))
