"""How far a reconstruction is from its image in the maps of a network, place by place.

The distance behind LPIPS (Zhang, Isola, Efros, Shechtman & Wang 2018, "The unreasonable effectiveness of deep features
as a perceptual metric", equation 1), but on other networks and without their learned weights of channels: its numbers
are no LPIPS, and compare only for the same network and image size. `losses.PerceptualLoss` is the same formula for
training: on a backend's tensors, in float32, with a finite slope at 0.
"""

from collections.abc import Sequence

import numpy as np

_TINY = 1e-10  # keeps a map of zeros from dividing by 0


def map_distance(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> np.ndarray:
    """Return sum_l mean_hw |f_l(x) / |f_l(x)| - f_l(y) / |f_l(y)||^2, with the norms over the channels of each place.

    Args:
        first: Maps of images x, (B, h, w, C) each.
        second: Maps of images y, of the same shapes.

    Returns:
        (B,) float64, 0 for equal maps; at most 4 for each map, 2 if its directions have nothing in common.

    Raises:
        ValueError: If the shapes differ.
    """
    shapes = [[maps.shape for maps in side] for side in (first, second)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"second: expected maps of shapes {shapes[0]}, got {shapes[1]}")
    squares = (np.sum((_unit(x) - _unit(y)) ** 2, axis=-1) for x, y in zip(first, second, strict=True))
    return sum(np.mean(places, axis=(1, 2)) for places in squares)


def _unit(maps: np.ndarray) -> np.ndarray:
    maps = maps.astype("float64")
    return maps / (np.linalg.norm(maps, axis=-1, keepdims=True) + _TINY)
