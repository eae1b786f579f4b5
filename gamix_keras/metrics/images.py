"""How close a reconstruction is to its image.

Every function takes two batches of images, (B, H, W, C) float in [-1, 1], the range of the whole package, and returns
one number per image, (B,) float32. All measures are those of the images mapped to [0, 1], the scale on which such
numbers are published: the mapping halves differences.

No function looks at the range of the pixels. Images in [0, 1] are taken for the brighter half of [-1, 1]: their MAE is
half and their MSE a quarter of what it should be, their PSNR is 6.02 dB too high, and their SSIM is too high as well.
Pass `2 * images - 1`, or `data_range=1.0` to the PSNR.
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
    """Return both batches in float32."""
    images, reconstruction = ops.convert_to_tensor(images), ops.convert_to_tensor(reconstruction)
    if len(images.shape) != 4 or len(reconstruction.shape) != 4:
        raise ValueError(
            "images and reconstruction: expected shape (B, H, W, C), "
            f"got {tuple(images.shape)} and {tuple(reconstruction.shape)}"
        )
    return ops.cast(images, "float32"), ops.cast(reconstruction, "float32")


def _unit_pair(images: Tensor, reconstruction: Tensor) -> tuple[Tensor, Tensor]:
    """Map both batches from [-1, 1] to [0, 1] in float32."""
    x, y = _pair(images, reconstruction)
    return 0.5 + 0.5 * x, 0.5 + 0.5 * y


def mean_absolute_error(images: Tensor, reconstruction: Tensor) -> Tensor:
    """Return the mean of |x - y| over the pixels and channels of each image, on the [0, 1] scale.

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
    """Return the mean of (x - y)^2 over the pixels and channels of each image, on the [0, 1] scale.

    Args:
        images: (B, H, W, C) in [-1, 1].
        reconstruction: (B, H, W, C) in [-1, 1].

    Returns:
        (B,) float32 in [0, 1], 0 for equal images.
    """
    x, y = _pair(images, reconstruction)
    return ops.mean(ops.square(x - y), axis=(1, 2, 3)) / 4.0


def peak_signal_to_noise(images: Tensor, reconstruction: Tensor, data_range: float = 2.0) -> Tensor:
    """Return the peak signal-to-noise ratio of each image, 10 log10(data_range^2 / mean (x - y)^2).

    The numbers of two images do not tell their range: bright ones in [-1, 1] look like any in [0, 1], for which the
    default is 6.02 dB too high. `fit` of a model warns of a first batch in [0, 1].

    Args:
        images: Images (B, H, W, C).
        reconstruction: Images of the same shape.
        data_range: Largest less smallest possible pixel: 2 for images in [-1, 1], 1 for [0, 1], 255 for [0, 255].

    Returns:
        (B,) float32, decibels; higher is better, at most 100 dB (equal images).

    Raises:
        ValueError: If `data_range` is not positive, or the shapes do not fit.
    """
    if not data_range > 0.0:
        raise ValueError(f"data_range: expected a number > 0, got {data_range!r}")
    error = mean_squared_error(images, reconstruction) * (2.0 / data_range) ** 2
    return -10.0 * ops.log10(ops.maximum(error, _MSE_FLOOR))


def _window() -> list[float]:
    offsets = np.arange(_WINDOW_SIZE) - _WINDOW_SIZE // 2
    weights = np.exp(-0.5 * (offsets / _WINDOW_SIGMA) ** 2)
    return (weights / weights.sum()).tolist()


def _gaussian_blur(maps: Tensor) -> Tensor:
    """Return the weighted mean over an 11 x 11 Gaussian window at every position that it fits, per channel.

    It sums shifted maps. Matrix products and convolutions are faster on CPUs, but GPUs may round their inputs to TF32
    (10 bits), and a variance is a small difference of large moments.
    """
    weights, half = _window(), _WINDOW_SIZE // 2
    for axis in (1, 2):
        places = maps.shape[axis] - _WINDOW_SIZE + 1
        shifted = [maps[:, k : k + places] if axis == 1 else maps[:, :, k : k + places] for k in range(_WINDOW_SIZE)]
        maps = weights[half] * shifted[half]
        for k in range(half):
            maps = maps + weights[k] * (shifted[k] + shifted[-1 - k])
    return maps


def _similarity_terms(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the means over positions of SSIM and its contrast-structure factor, both (B, C), for x and y in [0, 1]."""
    # Second moments about the mean of each image: float32 loses less than it would on x^2 itself.
    centre_x, centre_y = (ops.mean(v, axis=(1, 2), keepdims=True) for v in (x, y))
    x, y = x - centre_x, y - centre_y
    mean_x, mean_y = _gaussian_blur(x), _gaussian_blur(y)
    variances = _gaussian_blur(x * x + y * y) - mean_x * mean_x - mean_y * mean_y
    covariance = _gaussian_blur(x * y) - mean_x * mean_y
    structure = (2.0 * covariance + _CONTRAST_CONSTANT) / (variances + _CONTRAST_CONSTANT)
    mean_x, mean_y = mean_x + centre_x, mean_y + centre_y
    luminance = (2.0 * mean_x * mean_y + _LUMINANCE_CONSTANT) / (
        mean_x * mean_x + mean_y * mean_y + _LUMINANCE_CONSTANT
    )
    return ops.mean(luminance * structure, axis=(1, 2)), ops.mean(structure, axis=(1, 2))


def _require_window(images: Tensor) -> int:
    """Return the shorter side of the images, which must hold the window."""
    side = min(images.shape[1], images.shape[2])
    if side < _WINDOW_SIZE:
        raise ValueError(f"images: expected at least {_WINDOW_SIZE} pixels of height and width for SSIM, got {side}")
    return side


def structural_similarity(images: Tensor, reconstruction: Tensor) -> Tensor:
    """Structural similarity, the mean over channels and over positions at which the Gaussian window fits.

    SSIM = (2 m_x m_y + c1)(2 s_xy + c2) / ((m_x^2 + m_y^2 + c1)(s_x^2 + s_y^2 + c2)), moments under an 11 x 11
    Gaussian window of standard deviation 1.5, c1 = 0.01^2, c2 = 0.03^2 on the [0, 1] scale
    (Wang, Bovik, Sheikh & Simoncelli 2004, "Image quality assessment", equation 13).

    Args:
        images: (B, H, W, C) in [-1, 1], H and W at least 11.
        reconstruction: (B, H, W, C) in [-1, 1].

    Returns:
        (B,) float32 in [-1, 1], 1 for equal images.

    Raises:
        ValueError: If an image is smaller than the window.
    """
    x, y = _unit_pair(images, reconstruction)
    _require_window(x)
    return ops.mean(_similarity_terms(x, y)[0], axis=-1)


def similarity_scales(side: int) -> int:
    """Return the number of scales, at most 5, at which an image of this shorter side still holds the 11-pixel window.

    256 and 176 pixels have five, 128 has four, 64 three, 32 two.
    """
    return min(len(_SCALE_WEIGHTS), 1 + max(0, (side // _WINDOW_SIZE).bit_length() - 1))


def multiscale_structural_similarity(images: Tensor, reconstruction: Tensor) -> Tensor:
    """Return the multi-scale SSIM: contrast-structure factors of every scale times the SSIM of the coarsest.

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
        ValueError: If an image is smaller than the window.
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
    """Compute every measure of this module for each image of a batch; average over batches for a data set.

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
    """The mean over images of each image's PSNR, in decibels (not the PSNR of the mean error).

    Predictions are clipped to the range of the images first, as they are when an image is shown or saved, so the number
    equals `peak_signal_to_noise` of clipped reconstructions.

    Args:
        name: Name of the metric in the logs.
        dtype: Dtype of the accumulators.
        data_range: 2 for images in [-1, 1]; any other number r is for images in [0, r], such as 1 or 255. It must be
            given for those: with the default, the PSNR of images in [0, 1] is 6.02 dB too high, and nothing in a batch
            tells. `fit` of a model warns of a first batch in [0, 1].

    Raises:
        ValueError: If `data_range` is not positive.
    """

    _direction = "up"  # for mode="auto" of Keras's callbacks

    def __init__(
        self, name: str = "psnr", dtype: str | keras.DTypePolicy | None = None, data_range: float = 2.0
    ) -> None:
        if not data_range > 0.0:
            raise ValueError(f"data_range: expected a number > 0, got {data_range!r}")
        super().__init__(name=name, dtype=dtype)
        self.data_range = float(data_range)

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> None:
        """Add a batch.

        Args:
            y_true: Images (B, H, W, C).
            y_pred: Reconstructions of the same shape.
            sample_weight: Weight of each image, (B,) or a scalar.
        """
        low, high = (-1.0, 1.0) if self.data_range == 2.0 else (0.0, self.data_range)
        values = peak_signal_to_noise(y_true, ops.clip(y_pred, low, high), self.data_range)
        super().update_state(values, sample_weight)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "data_range": self.data_range}
