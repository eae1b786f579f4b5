"""A mixture of Gaussians fitted to q(z)."""

import warnings
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops
from scipy.special import ndtri

from gamix_keras import gaussian
from gamix_keras.samplers.base import Sampler, Tensor
from gamix_keras.samplers.gaussian import factored_log_density
from gamix_keras.samplers.posteriors import Posteriors, checked, draw_latents

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

COVARIANCES = ("full", "diag")
_ITERATIONS = 200
# The nats per image that an iteration must gain. With a tenth of it the fit takes 4 times as many iterations on 13,500
# codes of CelebA, and samples are as far from real images (Fréchet distance 82.30 and 82.28).
_GAIN = 0.01


@keras.saving.register_keras_serializable("gamix_keras")
class MixtureSampler(Sampler):
    """z = m_k + T L_k eps with probability w_k: K Gaussians fitted to draws z ~ q(z|x) (Ghosh et al. 2020, K = 10).

    One more noise value chooses k by comparison with the normal quantiles of the cumulative weights. This equals a
    comparison of its normal distribution function with the cumulative weights, without the rounding. Temperature and
    truncation do not change that value, so the shares of the components are kept, and T = 0 gives the means m_k.

    A full covariance needs more than D images per component; with fewer, `diag` is the better choice.

    Args:
        latent_dim: The number of latents D.
        components: The number of components K >= 1.
        covariance: `full`, K D^2 numbers, or `diag`, K D numbers.

    Raises:
        ValueError: If an argument is out of its range.

    Examples:
        >>> latents = np.repeat(np.array([[-2.0, 0.0], [2.0, 0.0]], "float32"), 50, axis=0)
        >>> sampler = MixtureSampler(2, components=2, covariance="diag").fit(latents)
        >>> sampler.sample(100, seed=0, temperature=0.0).std(axis=0).round().tolist()  # the means of the components
        [2.0, 0.0]
    """

    def __init__(self, latent_dim: int, components: int = 10, covariance: str = "full", **kwargs: Any) -> None:
        super().__init__(latent_dim, **kwargs)
        if not isinstance(components, int) or components < 1:
            raise ValueError(f"MixtureSampler: components: expected a whole number >= 1, got {components!r}.")
        if covariance not in COVARIANCES:
            expected = " or ".join(COVARIANCES)
            raise ValueError(f"MixtureSampler: covariance: expected {expected}, got {covariance!r}.")
        self.components = components
        self.covariance = covariance
        self.build((None, self.noise_dim))

    def build(self, noise_shape: tuple) -> None:
        """Create log w and upper quantiles (K,), means (K, D), factors (K, D, D) or (K, D), the number of images."""
        shape = (self.components, self.latent_dim)
        self.log_weights = self.parameter("log_weights", shape[:1])
        self.edges = self.parameter("edges", shape[:1])
        self.means = self.parameter("means", shape)
        self.factors = self.parameter("factors", (*shape, self.latent_dim) if self.covariance == "full" else shape)
        self.images = self.parameter("images", ())

    @property
    def noise_dim(self) -> int:
        """D + 1, because the last value chooses the component."""
        return self.latent_dim + 1

    @property
    def is_fitted(self) -> bool:
        """Whether `fit` was called, in this process or before the sampler was saved."""
        return float(self.images) > 0

    def fit(self, latents: Posteriors | np.ndarray, seed: int = 0) -> "MixtureSampler":
        """Fit by expectation maximisation in float64 (scikit-learn), started from k-means.

        An iteration with full covariances takes about 2 N K D^2 multiplications. The fit ends after 200 iterations, or
        if one gains less than 0.01 nats per image.

        Args:
            latents: Posteriors, from each of which one latent is drawn, or latents (N, D).
            seed: The seed of those draws and of the start.

        Raises:
            ValueError: If there are fewer images than components, a number is NaN or infinite, or the shape does not
                match.

        Warns:
            UserWarning: If the fit was still improving at the last iteration; it can be used.
        """
        posteriors = checked(latents, self.latent_dim)
        count = len(posteriors.mean)
        if count < self.components:
            raise ValueError(f"components: expected at most the number of images, {count}, got {self.components}.")
        self._take(_expectation_maximisation(draw_latents(*posteriors, seed), self.components, self.covariance, seed))
        self.images.assign(count)
        return self

    def _take(self, fitted: "GaussianMixture") -> None:
        edges = ndtri(np.minimum(np.cumsum(fitted.weights_), 1.0))
        edges[-1] = np.inf
        full = self.covariance == "full"
        self.log_weights.assign(np.log(fitted.weights_))
        self.edges.assign(edges)
        self.means.assign(fitted.means_)
        self.factors.assign((np.linalg.cholesky if full else np.sqrt)(fitted.covariances_))

    def transform(self, eps: Tensor, choice: Tensor) -> Tensor:
        """Return m_k + L_k eps, with k the number of edges that `choice` (B, 1) reaches.

        All K are computed and one is selected, because a factor for each row would take B D^2 numbers of memory.
        """
        full = self.covariance == "full"
        spread = ops.einsum("kij,bj->bki", self.factors, eps) if full else eps[:, None] * self.factors
        index = ops.sum(ops.cast(choice >= self.edges, "int32"), axis=-1)
        picked = ops.one_hot(index, self.components, dtype="float32")
        return ops.sum(picked[:, :, None] * (self.means + spread), axis=1)

    def log_density(self, z: Tensor) -> Tensor:
        """Return log sum_k w_k N(z; m_k, L_k L_k') at T = 1, (B,), in nats. It takes K B D numbers of memory."""
        if self.covariance == "full":
            each = factored_log_density(z, self.means, self.factors)
        else:
            log_vars = 2.0 * ops.log(self.factors)
            each = gaussian.log_density(ops.convert_to_tensor(z)[None], self.means[:, None], log_vars[:, None])
        return ops.logsumexp(each + self.log_weights[:, None], axis=0)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration: latents, components and the kind of covariance."""
        own = {"latent_dim": self.latent_dim, "components": self.components, "covariance": self.covariance}
        return {**super().get_config(), **own}


def _expectation_maximisation(z: np.ndarray, components: int, covariance: str, seed: int) -> "GaussianMixture":
    # Imported here, because it takes a second and only a fit needs it.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    limits = {"max_iter": _ITERATIONS, "tol": _GAIN}
    fitted = GaussianMixture(components, covariance_type=covariance, random_state=seed, **limits)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted.fit(z.astype("float64"))
    if not fitted.converged_:
        text = f"mixture: the fit of {components} components was still improving after {_ITERATIONS} iterations"
        warnings.warn(f"{text}; fewer components or more images may fit better", stacklevel=3)
    return fitted
