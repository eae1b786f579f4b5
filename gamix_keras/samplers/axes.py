"""Principal axes of q(z), for walks along the directions in which the data vary most."""

from typing import NamedTuple

import numpy as np

from gamix_keras.samplers.posteriors import Posteriors, total_moments


class PrincipalAxes(NamedTuple):
    """The principal axes of q(z): z = center + delta std[i] axes[i] is delta standard deviations along axis i.

    Attributes:
        center: The mean of q(z), (D,), float32.
        axes: One axis per row, of unit length, the widest first, (D, D), float32.
        std: The standard deviation of q(z) along each axis, (D,), float32, in falling order.
    """

    center: np.ndarray
    axes: np.ndarray
    std: np.ndarray


def principal_axes(mean: np.ndarray, log_var: np.ndarray | None = None) -> PrincipalAxes:
    """Return eigenvectors and root eigenvalues of the total covariance Cov(mean) + diag E[exp(log_var)] of q(z).

    The sign of an axis is arbitrary; here the largest entry of each is positive.

    Args:
        mean: Posterior means (N, D), or plain latents.
        log_var: Posterior log-variances (N, D), or None for plain latents.

    Raises:
        ValueError: If shapes do not match, or a number is NaN or infinite.
    """
    return axes_of(*total_moments(Posteriors(mean, log_var)))


def axes_of(center: np.ndarray, covariance: np.ndarray) -> PrincipalAxes:
    """Return the principal axes of a distribution with mean (D,) and covariance (D, D), see `principal_axes`."""
    values, columns = np.linalg.eigh(covariance)
    axes = columns.T[::-1]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    std = np.sqrt(np.maximum(values[::-1], 0.0))
    return PrincipalAxes(*(part.astype("float32") for part in (center, axes * np.sign(largest), std)))
