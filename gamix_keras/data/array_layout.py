"""Which axis of an array of images is which, told from its shape."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

CHANNELS = (1, 3, 4)
_SMALLEST_SIDE = 8  # of flat images: shorter vectors are features, not images
_MOST_BYTES = 2**40
_SHAPES = "(N, H, W), (N, H, W, C) or (N, C, H, W), C = 1, 3 or 4"


class Layout(NamedTuple):
    """How rows of an array become images.

    Attributes:
        image_shape: (h, w, c) of the images.
        arrange: Brings rows (n, ...) to (n, h, w, c), without a copy.
        remark: What was assumed, if that is not plain from the shape.
    """

    image_shape: tuple[int, int, int]
    arrange: Callable[[np.ndarray], np.ndarray]
    remark: str = ""


def layout_of(shape: tuple[int, ...]) -> Layout:
    """Return the layout of an array of images.

    | shape | images |
    | --- | --- |
    | (N, H, W) | grey |
    | (N, H, W, 1, 3 or 4) | channels last; this goes before the next row if both fit |
    | (N, 1, 3 or 4, H, W) | channels first |
    | (N, P), P a square of at least 8 x 8 | grey, row by row |

    Raises:
        ValueError: If the shape is none of these.
    """
    if 0 in shape:
        raise ValueError(f"expected at least one image, got the shape {shape}")
    layout = _layout(shape)
    height, width, _ = layout.image_shape
    limit = Image.MAX_IMAGE_PIXELS
    if (limit is not None and height * width > limit) or math.prod(shape) > _MOST_BYTES:
        raise ValueError(f"expected images of a usual size, got the shape {shape}")
    return layout


def _layout(shape: tuple[int, ...]) -> Layout:
    if len(shape) == 2:
        return _flat(shape)
    if len(shape) == 3 and shape[-1] not in (3, 4):
        return Layout((shape[1], shape[2], 1), lambda rows: rows[..., None])
    if len(shape) == 4 and shape[3] in CHANNELS:
        return Layout((shape[1], shape[2], shape[3]), lambda rows: rows)
    if len(shape) == 4 and shape[1] in CHANNELS:
        return Layout((shape[2], shape[3], shape[1]), lambda rows: np.moveaxis(rows, 1, -1))
    raise ValueError(f"expected shape {_SHAPES}, got {shape}{_hint(shape)}")


def _flat(shape: tuple[int, ...]) -> Layout:
    count, pixels = shape
    side = math.isqrt(pixels)
    if side >= _SMALLEST_SIDE and side * side == pixels:
        remark = f"rows of {pixels} values are read as {side} x {side} grey images, row by row"
        return Layout((side, side, 1), lambda rows: rows.reshape(len(rows), side, side, 1), remark)
    side = math.isqrt(pixels // 3)
    if side >= _SMALLEST_SIDE and 3 * side * side == pixels:
        raise ValueError(
            f"expected shape {_SHAPES}, got {shape}, which may be ({count}, {side}, {side}, 3) or "
            f"({count}, 3, {side}, {side}): reshape it first"
        )
    raise ValueError(f"expected shape {_SHAPES}, got {shape}")


def _hint(shape: tuple[int, ...]) -> str:
    if len(shape) == 3:
        return ", which looks like a single image: add the axis N first"
    if len(shape) == 4 and shape[2] in CHANNELS:
        return ", which looks like (H, W, C, N): transpose it first"
    return ""
