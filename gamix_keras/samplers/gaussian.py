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

    The moments come from the law of total covariance, S = Cov(mean) + diag E[exp(log_var)], without sampling. 1e-6 is
    added to the diagonal of S, so plain latents may be fewer than D too.

    Args:
        latent_dim: The number of latents D.
    """

    def __init__(self, latent_dim: int, **kwargs: Any) -> None:
        super().__init__(latent_dim, **kwargs)
        self.build((None, latent_dim))

    def build(self, noise_shape: tuple) -> None:
        """Create m (D,), L (D, D), lower triangular, and the number of images that they are fitted to."""
        self.mean = self.parameter("mean", (self.latent_dim,))
        self.factor = self.parameter("factor", (self.latent_dim, self.latent_dim))
        self.images = self.parameter("images", ())

    @property
    def is_fitted(self) -> bool:
        """Whether `fit` was called, in this process or before the sampler was saved."""
        return float(self.images) > 0

    def fit(self, latents: Posteriors | np.ndarray, seed: int = 0) -> "FullGaussianSampler":
        """Set m and L. The fit is exact and does not depend on `seed`.

        Raises:
            ValueError: If a number is NaN or infinite, or the shape does not match.
        """
        posteriors = checked(latents, self.latent_dim)
        mean, covariance = total_moments(posteriors)
        self.mean.assign(mean)
        self.factor.assign(np.linalg.cholesky(covariance + VARIANCE_EPSILON * np.eye(self.latent_dim)))
        self.images.assign(len(posteriors.mean))
        return self

    def transform(self, eps: Tensor, choice: Tensor) -> Tensor:
        """Return m + L eps."""
        return self.mean + ops.matmul(eps, ops.transpose(self.factor))

    def principal_axes(self) -> PrincipalAxes:
        """Return the principal axes of S, which are those of the q(z) that it is fitted to."""
        factor = ops.convert_to_numpy(self.factor).astype("float64")
        return axes_of(ops.convert_to_numpy(self.mean), factor @ factor.T)

    def log_density(self, z: Tensor) -> Tensor:
        """Return log N(z; m, S) at T = 1, (B,), in nats."""
        return factored_log_density(z, self.mean[None], self.factor[None])[0]

    def get_config(self) -> dict[str, Any]:
        """Return the configuration: the number of latents."""
        return {**super().get_config(), "latent_dim": self.latent_dim}


def factored_log_density(z: Tensor, means: Tensor, factors: Tensor) -> Tensor:
    """Return log N(z; m_k, L_k L_k') = -0.5 (|L_k^-1 (z - m_k)|^2 + D log 2 pi) - sum_d log L_kdd of each Gaussian.

    Args:
        z: Points (B, D).
        means: The means m_k (K, D).
        factors: The factors L_k (K, D, D), lower triangular.

    Returns:
        The log-densities (K, B), in nats.
    """
    z = ops.convert_to_tensor(z, dtype="float32")
    centered = ops.transpose(z - means[:, None], (0, 2, 1))
    squares = ops.sum(ops.square(ops.solve_triangular(factors, centered, lower=True)), axis=1)
    log_det = ops.sum(ops.log(ops.diagonal(factors, axis1=-2, axis2=-1)), axis=-1)
    return -0.5 * (squares + z.shape[-1] * LOG_2PI) - log_det[:, None]
