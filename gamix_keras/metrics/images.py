"""How close a reconstruction is to its image.

Every function takes two batches of images, (B, H, W, C) float in [-1, 1] (the range of the whole package),
and returns one number per image, (B,) float32. Errors (MAE, MSE, PSNR, SSIM) are those of the images mapped
to [0, 1], the scale on which such numbers are published: the mapping halves differences.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

Tensor = Any

_MSE_FLOOR = 1e-10  # 100 dB: keeps the PSNR of two equal images finite

# Wang, Bovik, Sheikh & Simoncelli 2004: Gaussian window of standard deviation 1.5 cut at 11 pixels.
_WINDOW_SIZE, _WINDOW_SIGMA = 11, 1.5
_LUMINANCE_CONSTANT, _CONTRAST_CONSTANT = 0.01**2, 0.03**2
# Wang, Simoncelli & Bovik 2003: exponents from the finest to the coarsest of five scales.
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def _pair(images: Tensor, reconstruction: Tensor) -> tuple[Tensor, Tensor]:
    """Both batches in float32."""
    images, reconstruction = ops.convert_to_tensor(images), ops.convert_to_tensor(reconstruction)
    if len(images.shape) != 4 or len(reconstruction.shape) != 4:
        raise ValueError(
            "images and reconstruction must be (B, H, W, C); "
            f"received shapes {tuple(images.shape)} and {tuple(reconstruction.shape)}"
        )
    return ops.cast(images, "float32"), ops.cast(reconstruction, "float32")


def _unit_pair(images: Tensor, reconstruction: Tensor) -> tuple[Tensor, Tensor]:
    """Maps both batches from [-1, 1] to [0, 1] in float32."""
    x, y = _pair(images, reconstruction)
    return 0.5 + 0.5 * x, 0.5 + 0.5 * y


def mean_absolute_error(images: Tensor, reconstruction: Tensor) -> Tensor:
    """Mean of |x - y| over the pixels and channels of each image, on the [0, 1] scale.

    Args:
        images: (B, H, W, C) in [-1, 1].
        reconstruction: (B, H, W, C) in [-1, 1].

    Returns:
        (B,) float32 in [0, 1], 0 for equal images.
    """
    x, y = _pair(images, reconstruction)
    # The way to [0, 1] costs passes over both batches: its shift cancels, and its scale is applied to the means.
    return ops.mean(ops.abs(x - y), axis=(1, 2, 3)) / 2.0


def mean_squared_error(images: Tensor, reconstruction: Tensor) -> Tensor:
    """Mean of (x - y)^2 over the pixels and channels of each image, on the [0, 1] scale.

    Args:
        images: (B, H, W, C) in [-1, 1].
        reconstruction: (B, H, W, C) in [-1, 1].

    Returns:
        (B,) float32 in [0, 1], 0 for equal images.
    """
    x, y = _pair(images, reconstruction)
    return ops.mean(ops.square(x - y), axis=(1, 2, 3)) / 4.0


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


def _window_matrix(side: int) -> np.ndarray:
    """Weights (side - 10, side) of the Gaussian window at every place along an axis where it fits."""
    offsets = np.arange(_WINDOW_SIZE) - _WINDOW_SIZE // 2
    window = np.exp(-0.5 * (offsets / _WINDOW_SIGMA) ** 2)
    places = side - _WINDOW_SIZE + 1
    matrix = np.zeros((places, side), "float32")
    for offset, weight in enumerate(window / window.sum()):
        matrix[np.arange(places), np.arange(places) + offset] = weight
    return matrix


def _gaussian_blur(maps: Tensor) -> Tensor:
    """Weighted mean over an 11 x 11 Gaussian window at every position where it fits, per channel.

    Two matrix products, mostly with zeros, are more than twice as fast on CPUs as convolutions of single channels.
    """
    rows, columns = (ops.convert_to_tensor(_window_matrix(side)) for side in maps.shape[1:3])
    return ops.einsum("pw,bowc->bopc", columns, ops.einsum("oh,bhwc->bowc", rows, maps))


def _similarity_terms(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Means over positions of SSIM and of its contrast-structure factor, both (B, C), for x and y in [0, 1]."""
    # Second moments about mid-grey: float32 loses less than it would on x^2 itself.
    x, y = x - 0.5, y - 0.5
    mean_x, mean_y = _gaussian_blur(x), _gaussian_blur(y)
    variances = _gaussian_blur(x * x + y * y) - mean_x * mean_x - mean_y * mean_y
    covariance = _gaussian_blur(x * y) - mean_x * mean_y
    structure = (2.0 * covariance + _CONTRAST_CONSTANT) / (variances + _CONTRAST_CONSTANT)
    mean_x, mean_y = mean_x + 0.5, mean_y + 0.5
    luminance = (2.0 * mean_x * mean_y + _LUMINANCE_CONSTANT) / (
        mean_x * mean_x + mean_y * mean_y + _LUMINANCE_CONSTANT
    )
    return ops.mean(luminance * structure, axis=(1, 2)), ops.mean(structure, axis=(1, 2))


def _require_window(images: Tensor) -> int:
    """Shorter side of the images, which must hold the window."""
    side = min(images.shape[1], images.shape[2])
    if side < _WINDOW_SIZE:
        raise ValueError(
            f"images must be at least {_WINDOW_SIZE} pixels high and wide for SSIM; received {side} pixels"
        )
    return side


def structural_similarity(images: Tensor, reconstruction: Tensor) -> Tensor:
    """Structural similarity, mean over positions where the Gaussian window fits and over channels.

    SSIM = (2 m_x m_y + c1)(2 s_xy + c2) / ((m_x^2 + m_y^2 + c1)(s_x^2 + s_y^2 + c2)), moments under an 11 x 11
    Gaussian window of standard deviation 1.5, c1 = 0.01^2, c2 = 0.03^2 on the [0, 1] scale
    (Wang, Bovik, Sheikh & Simoncelli 2004, "Image quality assessment", equation 13).

    Args:
        images: (B, H, W, C) in [-1, 1], H and W at least 11.
        reconstruction: (B, H, W, C) in [-1, 1].

    Returns:
        (B,) float32 in [-1, 1], 1 for equal images.

    Raises:
        ValueError: if an image is smaller than the window.
    """
    x, y = _unit_pair(images, reconstruction)
    _require_window(x)
    return ops.mean(_similarity_terms(x, y)[0], axis=-1)


def similarity_scales(side: int) -> int:
    """Number of scales, at most 5, at which an image of this shorter side still holds the 11-pixel window.

    256 and 176 pixels have five, 128 has four, 64 three, 32 two.
    """
    return min(len(_SCALE_WEIGHTS), 1 + max(0, (side // _WINDOW_SIZE).bit_length() - 1))


def multiscale_structural_similarity(images: Tensor, reconstruction: Tensor) -> Tensor:
    """Multi-scale SSIM: contrast-structure factors of every scale times the SSIM of the coarsest.

    MS-SSIM = prod_s cs_s^w_s, with SSIM in place of cs at the last scale, each scale the 2 x 2 mean of the one
    before, w = 0.0448, 0.2856, 0.3001, 0.2363, 0.1333, negative factors set to 0 (Wang, Simoncelli & Bovik 2003,
    "Multi-scale structural similarity", equation 7). Images below 176 pixels have fewer scales
    (`similarity_scales`): the first w are then divided by their sum, and numbers of different image sizes are
    not comparable. An odd last row or column is dropped on the way down.

    Args:
        images: (B, H, W, C) in [-1, 1], H and W at least 11.
        reconstruction: (B, H, W, C) in [-1, 1].

    Returns:
        (B,) float32 in [0, 1], 1 for equal images.

    Raises:
        ValueError: if an image is smaller than the window.
    """
    x, y = _unit_pair(images, reconstruction)
    scales = similarity_scales(_require_window(x))
    weights = np.array(_SCALE_WEIGHTS[:scales]) / sum(_SCALE_WEIGHTS[:scales])
    product = 1.0
    for scale, weight in enumerate(weights):
        if scale:
            x, y = (ops.average_pool(v, 2, 2, "valid", data_format="channels_last") for v in (x, y))
        similarity, structure = _similarity_terms(x, y)
        factor = similarity if scale == scales - 1 else structure
        product = product * ops.power(ops.maximum(factor, 0.0), float(weight))
    return ops.mean(product, axis=-1)


RECONSTRUCTION_MEASURES = {
    "mae": mean_absolute_error,
    "mse": mean_squared_error,
    "psnr": peak_signal_to_noise,
    "ssim": structural_similarity,
    "ms_ssim": multiscale_structural_similarity,
}


def reconstruction_scores(images: Tensor, reconstruction: Tensor) -> dict[str, np.ndarray]:
    """Every measure of this module for each image of a batch; average over batches for a data set.

    Args:
        images: (B, H, W, C) in [-1, 1].
        reconstruction: (B, H, W, C) in [-1, 1].

    Returns:
        mae, mse, psnr (dB), ssim, ms_ssim: NumPy arrays (B,) float32.
    """
    return {
        name: ops.convert_to_numpy(measure(images, reconstruction)) for name, measure in RECONSTRUCTION_MEASURES.items()
    }


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
