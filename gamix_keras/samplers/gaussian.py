"""One Gaussian with the moments of q(z)."""

from typing import Any

import keras
import numpy as np
from keras import ops

from gamix_keras.gaussian import LOG_2PI, VARIANCE_EPSILON
from gamix_keras.samplers.axes import PrincipalAxes, axes_of
from gamix_keras.samplers.base import Sampler, Tensor
from gamix_keras.samplers.posteriors import Posteriors, checked, total_moments


@keras.saving.register_keras_serializable("gamix_keras")
class FullGaussianSampler(Sampler):
    """z = m + T L eps, with m and S = L L' the mean and the full covariance of q(z).

    The moments come from the law of total covariance, S = Cov(mean) + diag E[exp(log_var)], with no sampling. 1e-6 is
    added to the diagonal of S, so that fewer images than latents do for plain latents too.

    Args:
        latent_dim: D.
    """

    def __init__(self, latent_dim: int, **kwargs: Any) -> None:
        super().__init__(latent_dim, **kwargs)
        self.build((None, latent_dim))

    def build(self, noise_shape: tuple) -> None:
        """Creates m (D,), L (D, D), lower triangular, and the number of images that they were fitted to."""
        self.mean = self.parameter("mean", (self.latent_dim,))
        self.factor = self.parameter("factor", (self.latent_dim, self.latent_dim))
        self.images = self.parameter("images", ())

    @property
    def is_fitted(self) -> bool:
        """Whether `fit` was called, here or before it was saved."""
        return float(self.images) > 0

    def fit(self, latents: Posteriors | np.ndarray, seed: int = 0) -> "FullGaussianSampler":
        """Sets m and L. Exact, so `seed` makes no difference.

        Raises:
            ValueError: where a number is NaN or infinite, or the shape does not fit.
        """
        posteriors = checked(latents, self.latent_dim)
        mean, covariance = total_moments(posteriors)
        self.mean.assign(mean)
        self.factor.assign(np.linalg.cholesky(covariance + VARIANCE_EPSILON * np.eye(self.latent_dim)))
        self.images.assign(len(posteriors.mean))
        return self

    def transform(self, eps: Tensor, choice: Tensor) -> Tensor:
        """m + L eps."""
        return self.mean + ops.matmul(eps, ops.transpose(self.factor))

    def principal_axes(self) -> PrincipalAxes:
        """The principal axes of S: those of the q(z) that it was fitted to."""
        factor = ops.convert_to_numpy(self.factor).astype("float64")
        return axes_of(ops.convert_to_numpy(self.mean), factor @ factor.T)

    def log_density(self, z: Tensor) -> Tensor:
        """log N(z; m, S) at T = 1, shape (B,), nats."""
        return factored_log_density(z, self.mean[None], self.factor[None])[0]

    def get_config(self) -> dict[str, Any]:
        """The number of latents."""
        return {**super().get_config(), "latent_dim": self.latent_dim}


def factored_log_density(z: Tensor, means: Tensor, factors: Tensor) -> Tensor:
    """log N(z; m_k, L_k L_k') = -0.5 (|L_k^-1 (z - m_k)|^2 + D log 2 pi) - sum_d log L_kdd of each Gaussian.

    Args:
        z: points, shape (B, D).
        means: shape (K, D).
        factors: shape (K, D, D), lower triangular.

    Returns:
        Shape (K, B), nats.
    """
    z = ops.convert_to_tensor(z, dtype="float32")
    centered = ops.transpose(z - means[:, None], (0, 2, 1))
    squares = ops.sum(ops.square(ops.solve_triangular(factors, centered, lower=True)), axis=1)
    log_det = ops.sum(ops.log(ops.diagonal(factors, axis1=-2, axis2=-1)), axis=-1)
    return -0.5 * (squares + z.shape[-1] * LOG_2PI) - log_det[:, None]
