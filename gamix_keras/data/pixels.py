"""Pixel values: bytes and [-1, 1], colour, grey and alpha, for arrays of images (N, H, W, C)."""

import numpy as np

# The sums of Pillow's and libjpeg's luma (ITU-R 601-2), in 1/65536.
_LUMA = np.array([19595, 38470, 7471], np.uint32)
_HALF = 1 << 15


def to_unit_range(images: np.ndarray) -> np.ndarray:
    """Map bytes 0...255 to float32 in [-1, 1]: x / 127.5 - 1."""
    floats = np.asarray(images).astype(np.float32)
    floats /= np.float32(127.5)
    floats -= np.float32(1.0)
    return floats


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Map floats in [-1, 1] to the nearest byte; the inverse of `to_unit_range`. Values outside are clipped."""
    return np.clip(np.rint((np.asarray(images, np.float32) + 1.0) * 127.5), 0, 255).astype(np.uint8)


def with_channels(images: np.ndarray, channels: int) -> np.ndarray:
    """Give byte images (N, H, W, 1, 3 or 4) one (luma) or three channels; alpha is laid over white."""
    if images.shape[-1] == 4:
        images = over_white(images)
    if images.shape[-1] == channels:
        return images
    return np.repeat(images, 3, axis=-1) if channels == 3 else luma(images)


def luma(images: np.ndarray) -> np.ndarray:
    """Return the grey (..., 1) of byte colours (..., 3): 0.299 R + 0.587 G + 0.114 B, rounded."""
    grey = (images.astype(np.uint32) @ _LUMA + _HALF) >> 16
    return grey.astype(np.uint8)[..., None]


def over_white(images: np.ndarray) -> np.ndarray:
    """Lay byte images (..., 4) over a white background by their alpha; returns (..., 3)."""
    alpha = images[..., 3:].astype(np.uint32)
    mixed = images[..., :3] * alpha + 255 * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)
