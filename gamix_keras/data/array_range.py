"""What the numbers of an array of images mean: their range, found from type and extremes, and the way to bytes."""

import logging
import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

_RANGES = ((0, 1), (-1, 1), (0, 255))
_DARK = 63
_log = logging.getLogger(__name__)


class ValueRange(NamedTuple):
    """The values that stand for black and for white."""

    black: int
    white: int

    def to_bytes(self, images: np.ndarray) -> np.ndarray:
        """Map images to the nearest bytes; those that are bytes already are not copied."""
        if images.dtype == np.bool_:
            images = images.view(np.uint8)
        if (self.black, self.white) == (0, 255) and images.dtype.kind in "iu":
            return images.astype(np.uint8, copy=False)
        if images.dtype.kind in "iu" and self.white == 1:
            return images.astype(np.uint8) * np.uint8(255)
        images = images.astype(np.float32)
        return np.rint((images - self.black) * (255.0 / (self.white - self.black))).astype(np.uint8)


def find_range(dtype: np.dtype, chunks: Iterable[np.ndarray], name: str = "images") -> ValueRange:
    """Find the range of images from their type and their extremes, in this order.

    | type | smallest, largest value | range |
    | --- | --- | --- |
    | bool | | [0, 1] |
    | integers | 0 and 1 only | [0, 1], and a line says so |
    | integers | within [0, 255] | [0, 255] |
    | uint16 | beyond that | [0, 65535] |
    | floats | within [0, 1] | [0, 1] |
    | floats | within [-1, 1] | [-1, 1] |
    | floats | within [0, 255] | [0, 255] |

    A line warns if nothing comes near white.

    Args:
        dtype: Type of the array.
        chunks: Its parts; of bytes only as many as are needed.
        name: What to call it in that line.

    Raises:
        ValueError: If the values lie in none of these ranges, or are not finite.
    """
    check_type(dtype)
    if dtype == np.bool_:
        return ValueRange(0, 1)
    low, high = _extremes(dtype, chunks)
    found = _integer_range(dtype, low, high) if dtype.kind in "iu" else _float_range(low, high)
    if dtype.kind in "iu" and found.white == 1:
        _log.warning("%s: integers 0 and 1 are read as black and white", name)
    elif 1 < high <= _DARK * found.white / 255:
        _log.warning("%s: values from %g to %g are read as dark shades of [0, %d]", name, low, high, found.white)
    return found


def _extremes(dtype: np.dtype, chunks: Iterable[np.ndarray]) -> tuple[float, float]:
    low, high = math.inf, -math.inf
    for chunk in chunks:
        extremes = float(chunk.min()), float(chunk.max())
        for value in extremes:
            if not math.isfinite(value):
                raise ValueError(f"expected finite values, got {value}")
        low, high = min(low, extremes[0]), max(high, extremes[1])
        if dtype == np.uint8 and high > _DARK:  # the range is settled
            break
    return low, high


def _integer_range(dtype: np.dtype, low: float, high: float) -> ValueRange:
    if low >= 0 and high <= 255:
        return ValueRange(0, 1 if high == 1 else 255)
    if (dtype.kind, dtype.itemsize) == ("u", 2):
        return ValueRange(0, 65535)
    raise ValueError(f"expected integers in [0, 255], or uint16, got {dtype} from {low:.0f} to {high:.0f}")


def _float_range(low: float, high: float) -> ValueRange:
    for black, white in _RANGES:
        if black <= low and high <= white:
            return ValueRange(black, white)
    standardised = "; undo the standardisation first" if low < -1 and high < 30 else ""
    raise ValueError(
        f"expected floats in [0, 1], [-1, 1] or [0, 255], got values from {low:g} to {high:g}{standardised}"
    )


def check_type(dtype: np.dtype) -> None:
    """Raise a `ValueError` if an array does not hold numbers."""
    if dtype.kind not in "biuf":
        found = "Python objects, which only a pickle can hold" if dtype.hasobject else str(dtype)
        raise ValueError(f"expected numbers, got {found}")
