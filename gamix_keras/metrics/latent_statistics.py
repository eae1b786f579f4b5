"""What the latent dimensions of a trained encoder carry, from a stream of its posteriors.

Symbols: posterior of image i is N(mu_i, diag sigma_i^2) with mu = `mean` and log sigma^2 = `log_var`, both
(B, D); q(z) is the average of the N posteriors; the prior is N(0, I). Information is in nats per image.
Accumulated in float64, whatever the encoder's dtype.
"""

from typing import Any, NamedTuple

import numpy as np
from keras import ops

from gamix_keras import gaussian
from gamix_keras.metrics.aggregate import kl_to_standard, mutual_information, prior_discrepancy
from gamix_keras.metrics.moments import FeatureMoments, UniformSubset

Tensor = Any

_ACTIVE_VARIANCE = 0.01
# Posterior variance: Dai & Wipf 2019 find values near 0 (the dimension carries information) or near 1 (it repeats
# the prior) and little between; a tenth of the way from either end is our reading of "near".
_INFORMATIVE_VARIANCE, _SUPERFLUOUS_VARIANCE = 0.1, 0.9
HISTOGRAM_EDGES = np.append(np.linspace(0.0, 1.2, 49), np.inf)


def effective_rank(singular_values: np.ndarray) -> float:
    """Return exp(-sum_k p_k log p_k), p_k = s_k / sum s: how many directions the spectrum is spread over.

    Args:
        singular_values: (D,), >= 0.

    Returns:
        A number from 1 (one direction) to D (all alike); 0 when every value is 0 (Roy & Vetterli 2007, "The
        effective rank", definition 1).

    Examples:
        >>> round(effective_rank([1.0, 1.0, 1.0, 0.0]), 6)
        3.0
    """
    values = np.asarray(singular_values, dtype=np.float64)
    values = values[values > 0]
    if not len(values):
        return 0.0
    shares = values / values.sum()
    return float(np.exp(-np.sum(shares * np.log(shares))))


def _gaussian_kl(mean: np.ndarray, eigenvalues: np.ndarray) -> float:
    """Return KL(N(m, S) || N(0, I)) in float64 from S's eigenvalues, floored inside the logarithm as in `gaussian`."""
    log_det = np.log(np.maximum(eigenvalues, 0.0) + gaussian.VARIANCE_EPSILON).sum()
    return float(0.5 * (eigenvalues.sum() + mean @ mean - len(mean) - log_det))


class Correlation(NamedTuple):
    """Off-diagonal correlation of z ~ q(z): absolute values, averaged and at worst."""

    mean: float
    maximum: float


class LatentStatistics:
    """Statistics of q(z) from a stream of posteriors.

    Moments, KL and the histogram are exact over everything seen; what needs the posteriors themselves (mutual
    information, MMD) uses a uniform random subset of at most `keep` of them. Memory is O(D^2 + keep D) and does
    not grow with the number of images. Results do not depend on how the images are batched.

    Args:
        latent_dim: Number of latent dimensions D.
        keep: Posteriors kept for the sample-based estimates, at least 2.
        seed: Seed of the subset and of the samples drawn from it.

    Raises:
        ValueError: If latent_dim or keep is too small.
    """

    def __init__(self, latent_dim: int, keep: int = 2048, seed: int = 0) -> None:
        if latent_dim < 1:
            raise ValueError(f"latent_dim: expected a positive whole number, got {latent_dim!r}")
        self.latent_dim, self.seed = latent_dim, seed
        self.means = FeatureMoments(latent_dim)
        self._variance_sum, self._kl_sum = np.zeros(latent_dim), np.zeros(latent_dim)
        self._histogram = np.zeros(len(HISTOGRAM_EDGES) - 1, dtype=np.int64)
        self._subset = UniformSubset(2 * latent_dim, keep, seed)

    @property
    def count(self) -> int:
        """Number of posteriors seen."""
        return self.means.count

    def update(self, mean: Tensor, log_var: Tensor) -> "LatentStatistics":
        """Add a batch of posteriors and return this object.

        Args:
            mean: (B, D).
            log_var: (B, D), clamped to [-30, 20].

        Raises:
            ValueError: If the shapes differ from (B, D) or a value is not finite.
        """
        mean = np.asarray(ops.convert_to_numpy(mean), dtype=np.float64)
        log_var = np.asarray(ops.convert_to_numpy(log_var), dtype=np.float64)
        if log_var.shape != mean.shape:
            raise ValueError(f"log_var: expected the shape of mean, {mean.shape}, got {log_var.shape}")
        if not np.isfinite(mean).all() or np.isnan(log_var).any():
            raise ValueError("mean and log_var: expected finite numbers, got NaN or infinity")
        self.means.update(mean)
        log_var = np.clip(log_var, *gaussian.LOG_VAR_RANGE)
        variance = np.exp(log_var)
        self._variance_sum += variance.sum(axis=0)
        self._kl_sum += kl_to_standard(mean, log_var).sum(axis=0)
        self._histogram += np.histogram(variance, HISTOGRAM_EDGES)[0]
        self._subset.update(np.concatenate([mean, log_var], axis=1))
        return self

    def kept(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the random subset: mean and log_var, each (K, D) float64, K = min(count, keep)."""
        return self._subset.rows[:, : self.latent_dim], self._subset.rows[:, self.latent_dim :]

    def kl_per_dimension(self) -> np.ndarray:
        """Return the mean over images of KL(q(z_d|x) || N(0, 1)), (D,) nats."""
        return self._kl_sum / self._require(1)

    def mean_variance(self) -> np.ndarray:
        """Return the variance over images of the posterior mean, population variance, (D,)."""
        return np.diag(self.means.scatter) / self._require(1)

    def posterior_variance(self) -> np.ndarray:
        """Return the mean over images of the posterior variance, (D,)."""
        return self._variance_sum / self._require(1)

    def active_units(self, threshold: float = _ACTIVE_VARIANCE) -> int:
        """Count the dimensions with Var_i(mu_i) > threshold (Burda et al. 2016, see `ActiveUnits`)."""
        return int((self.mean_variance() > threshold).sum())

    def covariance(self) -> np.ndarray:
        """Return the covariance of q(z), Cov(mu) + diag E[sigma^2], (D, D)."""
        return self.means.scatter / self._require(1) + np.diag(self.posterior_variance())

    def aggregate_kl(self) -> dict[str, float]:
        """Return the KL of q(z), as one Gaussian, to the prior in nats per image, by three estimates of its spread.

        Returns:
            means: variance Var(mu) only (what GAMIX minimises); total: Var(mu) + E[sigma^2], diagonal;
            full: the whole covariance. 1e-6 is added inside the logarithms. full - total is the total
            correlation of that Gaussian.
        """
        covariance, mean = self.covariance(), self.means.mean
        return {
            "means": _gaussian_kl(mean, self.mean_variance()),
            "total": _gaussian_kl(mean, np.diag(covariance)),
            "full": _gaussian_kl(mean, np.linalg.eigvalsh(covariance)),
        }

    def spectrum(self) -> dict[str, np.ndarray]:
        """Return the singular values, largest first, of the centred matrices of latents, each row divided by sqrt(N).

        Returns:
            samples: of z ~ q(z) (all 1 for the prior; Dai & Wipf 2019, section 5); means: of the posterior
            means. Both (D,) float64: standard deviations along the principal axes.
        """
        matrices = {"samples": self.covariance(), "means": self.means.scatter / self._require(1)}
        return {name: np.sqrt(np.maximum(np.linalg.eigvalsh(m)[::-1], 0.0)) for name, m in matrices.items()}

    def correlation(self) -> Correlation:
        """Return mean and largest |correlation| between different dimensions of z ~ q(z), in [0, 1]; 0 for D = 1."""
        covariance = self.covariance()
        scale = np.sqrt(np.diag(covariance))
        values = np.abs(covariance / np.outer(scale, scale))[~np.eye(self.latent_dim, dtype=bool)]
        return Correlation(float(values.mean()), float(values.max())) if len(values) else Correlation(0.0, 0.0)

    def variance_histogram(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the counts of posterior variances over all images and dimensions.

        Returns:
            counts: (49,) integers; edges: (50,) from 0 to 1.2 in steps of 0.025, then infinity.
        """
        return self._histogram.copy(), HISTOGRAM_EDGES.copy()

    def dimension_kinds(self) -> dict[str, int]:
        """Return the counts of dimensions by mean posterior variance: near 0, near 1 or between.

        Returns:
            informative: below 0.1; superfluous: above 0.9; partial: the rest (Dai & Wipf 2019 describe the two
            ends, the cuts are ours).
        """
        variance = self.posterior_variance()
        informative = int((variance < _INFORMATIVE_VARIANCE).sum())
        superfluous = int((variance > _SUPERFLUOUS_VARIANCE).sum())
        return {
            "informative": informative,
            "partial": self.latent_dim - informative - superfluous,
            "superfluous": superfluous,
        }

    def summary(self, permutations: int = 200) -> dict[str, Any]:
        """Return everything as plain numbers and lists, ready for JSON; same data and seed give the same result.

        Args:
            permutations: Random relabellings behind the MMD's p-value.

        Raises:
            ValueError: If fewer than two posteriors were seen.
        """
        self._require(2)
        kl, spectrum = self.kl_per_dimension(), self.spectrum()
        return {
            "images": self.count,
            "active_units": self.active_units(),
            "kl": float(kl.sum()),
            "kl_per_dimension": kl.tolist(),
            "aggregate_kl": self.aggregate_kl(),
            "mutual_information": mutual_information(*self.kept(), seed=self.seed)._asdict(),
            "mmd": prior_discrepancy(*self.kept(), permutations=permutations, seed=self.seed)._asdict(),
            "singular_values": {name: values.tolist() for name, values in spectrum.items()},
            "effective_rank": {name: effective_rank(values) for name, values in spectrum.items()},
            "posterior_variance": self.posterior_variance().tolist(),
            "posterior_variance_counts": self._histogram.tolist(),
            "dimensions": self.dimension_kinds(),
            "correlation": self.correlation()._asdict(),
        }

    def _require(self, count: int) -> int:
        """Return the number of posteriors seen, which must be at least `count`."""
        if self.count < count:
            raise ValueError(f"statistics: expected at least {count} posteriors, got {self.count}")
        return self.count
