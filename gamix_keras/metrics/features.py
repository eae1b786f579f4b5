"""From images to the features that stand for them when generated images are compared with real ones.

Images are rounded to 8 bits first, so that images in memory score as their PNG files would. `extractors` makes the
extractors by name.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

Tensor = Any


def to_pixels(images: Tensor) -> np.ndarray:
    """Return the 8-bit pixels of a batch.

    Args:
        images: (B, H, W, C), uint8, or float in [-1, 1] (clipped).

    Returns:
        (B, H, W, C) uint8; -1 is 0 and 1 is 255.

    Raises:
        ValueError: If the shape is not (B, H, W, 1) or (B, H, W, 3), or a value is not finite.
    """
    images = ops.convert_to_numpy(images)
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(f"images: expected (B, H, W, 1) or (B, H, W, 3), got shape {images.shape}")
    if images.dtype == np.uint8:
        return images
    images = images.astype(np.float32)
    if not np.isfinite(images).all():
        raise ValueError("images: expected finite numbers, got NaN or infinity")
    return np.rint((np.clip(images, -1.0, 1.0) + 1.0) * 127.5).astype(np.uint8)


class FeatureExtractor:
    """A named network from images to features, run in batches of one size.

    Args:
        name: Name of the extractor, for the protocol.
        label: Short name that distances carry: "efflite0" makes fd_efflite0.
        network: Function of uint8 (B, H, W, C), C = `channels`, to features (B, dim).
        dim: Number of features.
        resize: What is done to the images' size, in words, for the protocol.
        weights: What identifies the weights.
        channels: Channels that the network expects, 1 or 3.
        batch_size: Images per call of the network.
        is_face: From features (B, dim) to whether each image shows a face, (B,) bool; None if the network cannot tell.
        maps: From 8-bit images (B, H, W, `channels`) to maps within the network, (B, h, w, c) each; None: it has none.
    """

    def __init__(
        self,
        name: str,
        label: str,
        network: Callable[[np.ndarray], np.ndarray],
        dim: int,
        resize: str,
        weights: str,
        channels: int = 3,
        batch_size: int = 32,
        is_face: Callable[[np.ndarray], np.ndarray] | None = None,
        maps: Callable[[np.ndarray], list[np.ndarray]] | None = None,
    ) -> None:
        self.name, self.label, self.network, self.dim = name, label, network, dim
        self.resize, self.weights, self.channels, self.batch_size = resize, weights, channels, batch_size
        self.is_face, self._maps = is_face, maps

    @property
    def frechet_name(self) -> str:
        """Name under which a Frechet distance on these features is stored: fid for inception only."""
        return "fid" if self.name == "inception" else f"fd_{self.label}"

    @property
    def kernel_name(self) -> str:
        """Name under which a kernel distance on these features is stored: kid for inception only."""
        return "kid" if self.name == "inception" else f"kd_{self.label}"

    def protocol(self) -> dict[str, Any]:
        """Return what a reader must know to repeat the features."""
        return {
            "extractor": self.name,
            "features": self.dim,
            "weights": self.weights,
            "resize": self.resize,
            "pixels": "rounded to 8 bits",
            "backend": "torch" if self.name == "inception" else keras.config.backend(),
        }

    def __call__(self, images: Tensor) -> np.ndarray:
        """Return the features of a batch of any size.

        Args:
            images: (B, H, W, C), uint8, or float in [-1, 1]; grey images are repeated to three channels.

        Returns:
            (B, dim) float32.

        Raises:
            ValueError: If the images do not fit.
        """
        pixels = self._match_channels(to_pixels(images))
        starts = range(0, len(pixels), self.batch_size)
        parts = [self._padded(pixels[start : start + self.batch_size]) for start in starts]
        return np.concatenate(parts) if parts else np.empty((0, self.dim), np.float32)

    @property
    def has_maps(self) -> bool:
        """Whether `maps` can be called."""
        return self._maps is not None

    def maps(self, images: Tensor) -> list[np.ndarray]:
        """Return maps within the network of a batch, for `map_distance`: (B, h, w, c) float32 each.

        Args:
            images: As of a call of the extractor.

        Raises:
            ValueError: If the images do not fit.
        """
        return [np.asarray(maps) for maps in self._maps(self._match_channels(to_pixels(images)))]

    def _match_channels(self, pixels: np.ndarray) -> np.ndarray:
        if pixels.shape[-1] == self.channels:
            return pixels
        if self.channels == 1:
            raise ValueError(f"images: expected 1 channel for extractor '{self.name}', got {pixels.shape[-1]}")
        return np.repeat(pixels, self.channels, axis=-1)

    def _padded(self, pixels: np.ndarray) -> np.ndarray:
        """Return the features of at most one batch; a short one is filled up, so that the network is compiled once."""
        count = len(pixels)
        filler = np.zeros((self.batch_size - count, *pixels.shape[1:]), np.uint8)
        features = np.asarray(self.network(np.concatenate([pixels, filler])), dtype=np.float32)
        return features[:count]


def resize_matrix(source: int, target: int, extent: float | None = None) -> np.ndarray:
    """Return the weights (target, source) of bilinear resizing along one axis, anti-aliased when it shrinks.

    Pixel centres at half-integers; a triangle filter as wide as the larger of the two pixels, each row summing to 1:
    what TensorFlow, JAX and Pillow do. One matrix makes all backends agree.

    Args:
        source: Pixels along the axis.
        target: Pixels after resizing.
        extent: The length in source pixels, around the middle, that is resized; None: all of them.
    """
    extent = source if extent is None else extent
    ratio = extent / target
    centres = 0.5 * (source - extent) + (np.arange(target) + 0.5) * ratio
    distances = np.abs(np.arange(source) + 0.5 - centres[:, None]) / max(ratio, 1.0)
    weights = np.maximum(1.0 - distances, 0.0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


class _Prepare(keras.layers.Layer):
    """Resizes pixels in [0, 255] to (size, size), or not at all, and applies the network's own scaling."""

    def __init__(self, size: int | None, scale: Callable[[Tensor], Tensor], share: float | None) -> None:
        super().__init__(dtype="float32", trainable=False)
        self.size, self.scale, self.share = size, scale, share

    def call(self, pixels: Tensor) -> Tensor:
        """Return the network input, (B, size, size, C)."""
        if self.size:
            sides = pixels.shape[1:3]
            extent = None if self.share is None else self.share * min(sides)
            rows, columns = (ops.convert_to_tensor(resize_matrix(side, self.size, extent)) for side in sides)
            pixels = ops.einsum("oh,bhwc->bowc", rows, pixels)
            pixels = ops.einsum("pw,bowc->bopc", columns, pixels)
        return self.scale(pixels)


class KerasNetwork:
    """Runs a Keras model on pixels: one pipeline per image size, compiled as the backend does best.

    Args:
        model: From (B, size, size, C) float32 to features (B, D).
        size: Height and width to which images are resized; None leaves them.
        scale: From pixels in [0, 255] to what the model expects.
        share: Side of the central square that is resized, as a share of the shorter side; None resizes whole images.
    """

    def __init__(
        self, model: keras.Model, size: int | None, scale: Callable[[Tensor], Tensor], share: float | None = None
    ) -> None:
        self.model, self.size, self.scale, self.share = model, size, scale, share
        self._pipelines: dict[tuple[int, ...], keras.Model] = {}

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Return the features (B, D) of pixels (B, H, W, C) in [0, 255]."""
        shape = pixels.shape[1:]
        if shape not in self._pipelines:
            inputs = keras.Input(shape, dtype="float32")
            pipeline = keras.Model(inputs, self.model(_Prepare(self.size, self.scale, self.share)(inputs)))
            # XLA on a CPU runs depthwise convolutions many times slower than TensorFlow's own kernels.
            pipeline.compile(jit_compile=keras.config.backend() == "jax")
            self._pipelines[shape] = pipeline
        return self._pipelines[shape].predict_on_batch(pixels.astype(np.float32))
