"""Principal axes of q(z), for walks along the directions in which the data vary most."""

from typing import NamedTuple

import numpy as np

from gamix_keras.samplers.posteriors import Posteriors, total_moments


class PrincipalAxes(NamedTuple):
    """What `principal_axes` returns; z = center + delta std[i] axes[i] is delta sigmas along axis i.

    Attributes:
        center: the mean of q(z), shape (D,), float32.
        axes: one axis a row, of unit length, the widest first, shape (D, D), float32.
        std: standard deviation of q(z) along each axis, shape (D,), float32, falling.
    """

    center: np.ndarray
    axes: np.ndarray
    std: np.ndarray


def principal_axes(mean: np.ndarray, log_var: np.ndarray | None = None) -> PrincipalAxes:
    """Eigenvectors and root eigenvalues of the total covariance Cov(mean) + diag E[exp(log_var)] of q(z).

    The sign of an axis is free; it is chosen so that the largest entry of each is positive.

    Args:
        mean: posterior means, shape (N, D), or plain latents.
        log_var: posterior log-variances, shape (N, D), or None.

    Raises:
        ValueError: where shapes do not fit, or a number is NaN or infinite.
    """
    return axes_of(*total_moments(Posteriors(mean, log_var)))


def axes_of(center: np.ndarray, covariance: np.ndarray) -> PrincipalAxes:
    """The principal axes of a distribution with mean (D,) and covariance (D, D), as those of `principal_axes`."""
    values, columns = np.linalg.eigh(covariance)
    axes = columns.T[::-1]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    std = np.sqrt(np.maximum(values[::-1], 0.0))
    return PrincipalAxes(*(part.astype("float32") for part in (center, axes * np.sign(largest), std)))
