"""Importance-weighted bound on the log-likelihood of images, which no critic enters.

Symbols: w_k = p(x|z_k) p(z_k) / q(z_k|x) with K draws z_k ~ q(z|x) of one image x. Nats per image.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from gamix_keras import gaussian


class ImportanceBound(NamedTuple):
    """What `importance_bound` returns.

    Attributes:
        value: Lower bound on the mean of log p(x), nats per image.
        standard_error: Of `value`, over images.
        elbo: The same draws one at a time, the bound that training raises; never above `value`.
        effective_draws: Mean over images of (sum w)^2 / sum w^2, from 1 to K. Near 1, one draw decides, and the
            bound is loose.
        draws: K.
        images: Number of images.
    """

    value: float
    standard_error: float
    elbo: float
    effective_draws: float
    draws: int
    images: int


def log_weights(
    mean: np.ndarray,
    log_var: np.ndarray,
    log_likelihood: Callable[[np.ndarray], np.ndarray],
    draws: int,
    seed: int = 0,
) -> np.ndarray:
    """Return the log-weights log w_k of a batch of images, in float64; memory is that of one draw of each image.

    Args:
        mean: Posterior means, (B, D).
        log_var: Posterior log-variances, (B, D), clamped to [-30, 20].
        log_likelihood: Maps latents (B, D) float32, one of each image, to log p(x|z) (B,).
        draws: K.
        seed: Seed of the draws.

    Returns:
        (B, K).

    Raises:
        ValueError: For draws < 1 or shapes that do not fit.
    """
    mean, log_var = np.asarray(mean, "float64"), np.asarray(log_var, "float64")
    if mean.ndim != 2 or mean.shape != log_var.shape or draws < 1:
        shapes = f"{mean.shape} and {log_var.shape}"
        raise ValueError(f"mean, log_var and draws: expected (B, D) twice and at least 1, got {shapes} and {draws}")
    log_var = np.clip(log_var, *gaussian.LOG_VAR_RANGE)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(3,)))
    columns = []
    for _ in range(draws):
        noise = rng.standard_normal(mean.shape)
        z = mean + np.exp(0.5 * log_var) * noise
        # log p(z) - log q(z|x): the constants of the two Gaussians cancel.
        ratio = 0.5 * (noise**2 + log_var - z**2).sum(axis=1)
        columns.append(np.asarray(log_likelihood(z.astype("float32")), "float64") + ratio)
    return np.stack(columns, axis=1)


def importance_bound(weights: np.ndarray) -> ImportanceBound:
    """Return the mean over images of log (1/K) sum_k w_k (Burda, Grosse & Salakhutdinov 2016, equation 8).

    It rises with K towards log p(x); K = 1 is the ELBO.

    Args:
        weights: Log-weights (N, K) of `log_weights`.

    Raises:
        ValueError: For another shape, or a value that is not finite.
    """
    weights = np.asarray(weights, "float64")
    if weights.ndim != 2 or not weights.size or not np.isfinite(weights).all():
        raise ValueError(f"weights: expected finite numbers, (N, K), got shape {weights.shape}, or NaN or infinity")
    images, draws = weights.shape
    total = logsumexp(weights, axis=1)
    bounds = total - np.log(draws)
    effective = np.exp(2.0 * total - logsumexp(2.0 * weights, axis=1))
    error = bounds.std(ddof=1) / np.sqrt(images) if images > 1 else 0.0
    numbers = (bounds.mean(), error, weights.mean(), effective.mean())
    return ImportanceBound(*map(float, numbers), draws, images)
