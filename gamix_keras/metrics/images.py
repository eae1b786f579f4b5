"""How close a reconstruction is to its image.

Every function takes two batches of images, (B, H, W, C) float in [-1, 1] (the range of the whole package),
and returns one number per image, (B,) float32. Errors (MAE, MSE, PSNR, SSIM) are those of the images mapped
to [0, 1], the scale on which such numbers are published: the mapping halves differences.
"""

from typing import Any

import keras
from keras import ops

Tensor = Any

_MSE_FLOOR = 1e-10  # 100 dB: keeps the PSNR of two equal images finite


def _unit_pair(images: Tensor, reconstruction: Tensor) -> tuple[Tensor, Tensor]:
    """Maps both batches from [-1, 1] to [0, 1] in float32."""
    images, reconstruction = ops.convert_to_tensor(images), ops.convert_to_tensor(reconstruction)
    if len(images.shape) != 4 or len(reconstruction.shape) != 4:
        raise ValueError(
            "images and reconstruction must be (B, H, W, C); "
            f"received shapes {tuple(images.shape)} and {tuple(reconstruction.shape)}"
        )
    return 0.5 + 0.5 * ops.cast(images, "float32"), 0.5 + 0.5 * ops.cast(reconstruction, "float32")


def mean_absolute_error(images: Tensor, reconstruction: Tensor) -> Tensor:
    """Mean of |x - y| over the pixels and channels of each image, on the [0, 1] scale.

    Args:
        images: (B, H, W, C) in [-1, 1].
        reconstruction: (B, H, W, C) in [-1, 1].

    Returns:
        (B,) float32 in [0, 1], 0 for equal images.
    """
    x, y = _unit_pair(images, reconstruction)
    return ops.mean(ops.abs(x - y), axis=(1, 2, 3))


def mean_squared_error(images: Tensor, reconstruction: Tensor) -> Tensor:
    """Mean of (x - y)^2 over the pixels and channels of each image, on the [0, 1] scale.

    Args:
        images: (B, H, W, C) in [-1, 1].
        reconstruction: (B, H, W, C) in [-1, 1].

    Returns:
        (B,) float32 in [0, 1], 0 for equal images.
    """
    x, y = _unit_pair(images, reconstruction)
    return ops.mean(ops.square(x - y), axis=(1, 2, 3))


def peak_signal_to_noise(images: Tensor, reconstruction: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image, -10 log10(MSE) with the MSE on the [0, 1] scale.

    Args:
        images: (B, H, W, C) in [-1, 1].
        reconstruction: (B, H, W, C) in [-1, 1].

    Returns:
        (B,) float32, decibels; higher is better, at most 100 dB (equal images).
    """
    error = mean_squared_error(images, reconstruction)
    return -10.0 * ops.log10(ops.maximum(error, _MSE_FLOOR))


@keras.saving.register_keras_serializable("gamix_keras")
class PeakSignalToNoise(keras.metrics.Mean):
    """Mean over images of each image's PSNR, in decibels (not the PSNR of the mean error).

    Images are in [-1, 1]. Predictions are clipped to that range first, as they are when an image is shown or
    saved, so the number equals `peak_signal_to_noise` of clipped reconstructions.

    Args:
        name: name of the metric in the logs.
        dtype: dtype of the accumulators.
    """

    def __init__(self, name: str = "psnr", dtype: str | keras.DTypePolicy | None = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> None:
        """Adds a batch.

        Args:
            y_true: images, (B, H, W, C) in [-1, 1].
            y_pred: reconstructions of the same shape.
            sample_weight: optional weight of each image, (B,) or a scalar.
        """
        super().update_state(peak_signal_to_noise(y_true, ops.clip(y_pred, -1.0, 1.0)), sample_weight)
