"""The embedded data set: drawn faces, any number, any size, never downloaded.

    images, factors = faces(1000, size=64, seed=0, return_factors=True)

Image i of a seed is a function of (seed, i) alone: `faces(10)[7]` is `faces(1, start=7)[0]`. The pictures
are drawn with NumPy from the factors in `face_factors.SPECS`; strands of hair, lashes and highlights are few
pixels wide at size 64, so that a model which blurs is seen to blur.
"""

from collections.abc import Mapping

import numpy as np

from gamix_keras.data.faces.canvas import Canvas
from gamix_keras.data.faces.factors import FACTORS, SPECS, Categorical, require_integer, sample_factors
from gamix_keras.data.faces.features import paint_brows, paint_eyes, paint_mouth
from gamix_keras.data.faces.hair import (
    paint_back_hair,
    paint_beard,
    paint_front_hair,
    paint_hair_shadow,
    plan_hair,
)
from gamix_keras.data.faces.head import paint_ears, paint_head, paint_neck, paint_nose
from gamix_keras.data.faces.scene import paint_background, paint_clothes, paint_glasses, tint_light

SMALLEST_SIZE = 8
_CHUNK_PIXELS = 2**17  # a dozen arrays of this many float32 stay in the cache of one core
_SHARP_SIZE = 48  # below this, features are thinner than a pixel: draw larger and average


def faces(
    count: int, size: int = 64, seed: int = 0, start: int = 0, return_factors: bool = False
) -> np.ndarray | tuple[np.ndarray, dict[str, np.ndarray]]:
    """Draws images start, ..., start + count - 1 of the stream of `seed`.

    Args:
        count: Number of images, at least 1.
        size: Height and width in pixels, at least 8.
        seed: Names the stream, 0 or more.
        start: Index of the first image, 0 or more.
        return_factors: Whether to return the factors as well.

    Returns:
        uint8 images of shape (count, size, size, 3) in [0, 255]; with `return_factors`, a pair of the images
        and the factors as `sample_factors` gives them.

    Raises:
        ValueError: An argument is no integer or too small.
    """
    size = require_integer("size", size, SMALLEST_SIZE)
    factors = sample_factors(count, seed, start)
    images = render(factors, size)
    return (images, factors) if return_factors else images


def render(factors: Mapping[str, np.ndarray], size: int = 64) -> np.ndarray:
    """Draws one face per entry of the factors.

    Args:
        factors: An array of shape (N,) for each name in `FACTORS`, within the ranges of `SPECS`.
        size: Height and width in pixels, at least 8.

    Returns:
        uint8 images of shape (N, size, size, 3) in [0, 255].

    Raises:
        ValueError: A factor is missing, unknown, out of range or of another length than the others, or `size`
            is no integer or too small.
    """
    size = require_integer("size", size, SMALLEST_SIZE)
    factors = _checked(factors)
    times = 1 if size >= _SHARP_SIZE else -(-64 // size)
    count = len(factors[FACTORS[0]])
    step = max(1, _CHUNK_PIXELS // (size * times) ** 2)
    images = np.empty((count, size, size, 3), np.uint8)
    for first in range(0, count, step):
        chunk = {name: values[first : first + step] for name, values in factors.items()}
        _store(_draw(chunk, size * times), times, images[first : first + step])
    return images


def _draw(factors: Mapping[str, np.ndarray], size: int) -> np.ndarray:
    """Paints from back to front: float32 (3, N, size, size)."""
    canvas = Canvas.blank(factors, size)
    hair = plan_hair(canvas)
    paint_background(canvas)
    paint_back_hair(canvas, hair)
    for paint in (paint_neck, paint_clothes, paint_ears, paint_head, paint_hair_shadow):
        paint(canvas)
    for paint in (paint_nose, paint_beard, paint_mouth, paint_eyes):
        paint(canvas)
    paint_front_hair(canvas, hair)
    for paint in (paint_brows, paint_glasses, tint_light):
        paint(canvas)
    return canvas.planes


def _store(planes: np.ndarray, times: int, images: np.ndarray) -> None:
    """Averages times x times blocks and writes them as rounded bytes, channels last."""
    if times > 1:
        size = planes.shape[-1] // times
        planes = planes.reshape(3, -1, size, times, size, times).mean(axis=(3, 5))
    for channel, plane in enumerate(planes):
        images[..., channel] = np.clip(255.0 * plane + 0.5, 0.0, 255.0)


def _checked(factors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    if set(factors) != set(FACTORS):
        wrong = sorted(set(factors) ^ set(FACTORS))
        raise ValueError(f"`factors` must hold exactly the names in FACTORS; missing or unknown: {wrong}")
    checked = {name: _checked_factor(name, factors[name]) for name in FACTORS}
    lengths = {len(values) for values in checked.values()}
    if len(lengths) != 1:
        raise ValueError(f"`factors` must be arrays of one length; received lengths {sorted(lengths)}")
    return checked


def _checked_factor(name: str, values: np.ndarray) -> np.ndarray:
    spec = SPECS[name]
    whole = isinstance(spec, Categorical)
    low, high = (0, len(spec.values) - 1) if whole else (spec.low, spec.high)
    array = np.asarray(values, np.int64 if whole else np.float32)
    if array.ndim != 1 or not np.all((array >= low) & (array <= high)):
        raise ValueError(f"factor `{name}` must be of shape (N,) with values in [{low}, {high}]")
    return array
