"""Stripes of period 2, which a decoder that makes pixels of channels can leave where an image is flat."""

import numpy as np

# In [-1, 1]; far below what 8 bits resolve.
_NOISE = 1e-4
_NEIGHBOURS = 3
_SHORTEST = 16


def nyquist_ratio(images: np.ndarray, flat: float = 0.15, reference: np.ndarray | None = None) -> float:
    """Return the power at the Nyquist frequency of flat rows and columns over that of the frequencies next to it.

        P(k) = mean over flat lines x of |sum_n (x_n - mean x) exp(-2 pi i k n / N)|^2 + N 1e-8
        ratio = P(N / 2) / mean(P(N / 2 - 1), P(N / 2 - 2), P(N / 2 - 3))

    A row or a column, of one channel, is a line of its own; the larger of the ratios of rows and of columns is
    returned. Whatever is smooth, and noise alike, has a ratio of about 1, so a ratio above 2 is a lattice of period 2.
    An odd side loses its last pixel.

    Args:
        images: Images (B, H, W, C) in [-1, 1], H and W at least 16.
        flat: A line counts if its values differ by at most this, and so do those of all of its channels.
        reference: Images of the same shape that say which lines are flat, such as the originals of reconstructions;
            None asks the images themselves.

    Returns:
        The ratio, > 0; NaN if no line is flat.

    Raises:
        ValueError: For another shape, a value that is not finite, or references of another shape.
    """
    images = np.asarray(images, "float64")
    if images.ndim != 4 or min(images.shape[1:3]) < _SHORTEST or not np.isfinite(images).all():
        expected = f"finite images (B, H, W, C) with H and W of at least {_SHORTEST}"
        raise ValueError(f"nyquist_ratio: images: expected {expected}, got shape {images.shape}.")
    judged = images if reference is None else np.asarray(reference, "float64")
    if judged.shape != images.shape:
        raise ValueError(f"nyquist_ratio: reference: expected shape {images.shape}, got {judged.shape}.")
    ratios = [_ratio(np.moveaxis(images, axis, -1), np.moveaxis(judged, axis, -1), flat) for axis in (1, 2)]
    known = [ratio for ratio in ratios if not np.isnan(ratio)]
    return max(known, default=float("nan"))


def _ratio(lines: np.ndarray, judged: np.ndarray, flat: float) -> float:
    """Return the ratio of lines (B, S, C, N)."""
    lines = lines[(np.ptp(judged, axis=-1) <= flat).all(axis=-1)]
    if not len(lines):
        return float("nan")
    lines = lines[..., : lines.shape[-1] // 2 * 2]
    spectrum = np.fft.rfft(lines - lines.mean(axis=-1, keepdims=True), axis=-1)
    power = np.mean(np.abs(spectrum) ** 2, axis=(0, 1)) + lines.shape[-1] * _NOISE**2
    return float(power[-1] / power[-1 - _NEIGHBOURS : -1].mean())
