"""Pixel values: bytes and [-1, 1], colour, grey and alpha, for arrays of images (N, H, W, C)."""

import sys
from typing import Any

import numpy as np

# The sums of Pillow's and libjpeg's luma (ITU-R 601-2), in 1/65536.
_LUMA = np.array([19595, 38470, 7471], np.uint32)
_HALF = 1 << 15


def to_unit_range(images: Any) -> Any:
    """Map bytes 0...255 to float32 in [-1, 1]: x / 127.5 - 1.

    Args:
        images: An array or what NumPy can read as one, or a tensor of TensorFlow (within `Dataset.map`, too), JAX or
            PyTorch; of integers, or of floats in [0, 255].

    Returns:
        An array, or a tensor of the same library.

    Raises:
        ValueError: If an array holds booleans, or floats that are all within [0, 1], whose range is another.
    """
    library = _library(images)
    if library == "tensorflow":
        return sys.modules["tensorflow"].cast(images, "float32") / 127.5 - 1.0
    if library == "torch":
        return images.float() / 127.5 - 1.0
    if library == "jax":
        return images.astype("float32") / 127.5 - 1.0
    images = np.asarray(images)
    _check_bytes(images)
    floats = images.astype(np.float32)
    floats /= np.float32(127.5)
    floats -= np.float32(1.0)
    return floats


def to_uint8(images: Any) -> Any:
    """Map floats in [-1, 1] to the nearest byte; the inverse of `to_unit_range`. Values outside are clipped.

    Args:
        images: An array or what NumPy can read as one, or a tensor of TensorFlow, JAX or PyTorch.

    Returns:
        An array; a tensor within TensorFlow's `Dataset.map` and `tf.function`.
    """
    library = _library(images)
    if library == "tensorflow" and not hasattr(images, "numpy"):
        tf = sys.modules["tensorflow"]
        scaled = tf.round((tf.cast(images, "float32") + 1.0) * 127.5)
        return tf.cast(tf.clip_by_value(scaled, 0.0, 255.0), "uint8")
    if library == "torch":
        images = images.detach().cpu()
    return np.clip(np.rint((np.asarray(images, np.float32) + 1.0) * 127.5), 0, 255).astype(np.uint8)


def _library(images: Any) -> str:
    """Return the library of a tensor, so far as it is one of three."""
    name = type(images).__module__.partition(".")[0]
    return {"jaxlib": "jax"}.get(name, name)


def _check_bytes(images: np.ndarray) -> None:
    if images.dtype == np.bool_:
        raise ValueError("images: expected bytes in [0, 255], got booleans; use 2.0 * images - 1.0")
    if images.dtype.kind == "f" and images.size and 0 <= images.min() and 0 < images.max() <= 1:
        raise ValueError("images: expected bytes in [0, 255], got floats in [0, 1]; use 2.0 * images - 1.0")


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
