"""The aggregate posterior against the prior, from a finite set of posteriors.

q(z) = (1/N) sum_j N(z; mu_j, diag sigma_j^2). NumPy in float64; `mean` and `log_var` are (N, D).
"""

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from gamix_keras import gaussian

_CHUNK = 512  # rows of a pairwise matrix held at once


def _generator(seed: int) -> np.random.Generator:
    """Return random numbers of this module, independent of those the caller may have drawn with the same seed."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))


def kl_to_standard(mean: np.ndarray, log_var: np.ndarray) -> np.ndarray:
    """Return `gaussian.kl_to_standard` in float64: 0.5 (mean^2 + exp(log_var) - 1 - log_var), nats, elementwise."""
    log_var = np.clip(np.asarray(log_var, "float64"), *gaussian.LOG_VAR_RANGE)
    return 0.5 * (np.square(np.asarray(mean, "float64")) + np.expm1(log_var) - log_var)


class MutualInformation(NamedTuple):
    """Estimate of I(image; z) and what it can at most be.

    Attributes:
        value: Nats per image.
        bound: Log N, which no estimate from N posteriors exceeds: a value near it means "at least this".
        images: N.
    """

    value: float
    bound: float
    images: int


def mutual_information(mean: np.ndarray, log_var: np.ndarray, seed: int = 0) -> MutualInformation:
    """Estimate the mutual information of image and latent, (1/N) sum_i [log q(z_i|x_i) - log q(z_i)], z_i ~ q(z|x_i).

    It is the part of the mean KL to the prior that is not KL(q(z) || prior) (Hoffman & Johnson 2016, "ELBO surgery").
    For the N given images as the whole population the estimate is unbiased up to one sample per image; for the
    distribution they come from it is biased low, since q(z) is replaced by a mixture of N, and at most log N.

    Args:
        mean: (N, D), N >= 2.
        log_var: (N, D).
        seed: Seed of z.

    Returns:
        value, bound, images.

    Raises:
        ValueError: If the shapes do not fit or N < 2.
    """
    mean, log_var = _posteriors(mean, log_var)
    # The information does not depend on where q(z) lies, but squares that are expanded lose digits far from 0.
    mean, count = mean - mean.mean(axis=0), len(mean)
    noise = _generator(seed).standard_normal(mean.shape)
    own = -0.5 * (noise**2 + log_var + gaussian.LOG_2PI).sum(axis=1)
    z = mean + np.exp(0.5 * log_var) * noise
    value = np.mean(own - _mixture_log_density(z, own, mean, log_var))
    return MutualInformation(float(min(value, np.log(count))), float(np.log(count)), count)


def _posteriors(mean: np.ndarray, log_var: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both in float64, checked to be (N, D) with N >= 2; log-variances clamped as everywhere else."""
    mean, log_var = np.asarray(mean, dtype=np.float64), np.asarray(log_var, dtype=np.float64)
    if mean.ndim != 2 or mean.shape != log_var.shape or len(mean) < 2:
        raise ValueError(f"mean and log_var: expected (N, D) with N >= 2, got {mean.shape} and {log_var.shape}")
    return mean, np.clip(log_var, *gaussian.LOG_VAR_RANGE)


def _mixture_log_density(z: np.ndarray, own: np.ndarray, mean: np.ndarray, log_var: np.ndarray) -> np.ndarray:
    """Return log q(z_i) of one sample of each posterior, (N,), with log N(z_i; mu_i, sigma_i^2) = own_i given exactly.

    `gaussian.mixture_log_density` in float32 would lose the near components of narrow posteriors.
    """
    precision, offset = np.exp(-log_var), (log_var + gaussian.LOG_2PI).sum(axis=1)
    offset = offset + (mean**2 * precision).sum(axis=1)
    result = np.empty(len(z))
    for start in range(0, len(z), _CHUNK):
        rows = slice(start, min(start + _CHUNK, len(z)))
        terms = -0.5 * (z[rows] ** 2 @ precision.T - 2.0 * z[rows] @ (mean * precision).T + offset)
        terms[np.arange(rows.stop - start), np.arange(start, rows.stop)] = own[rows]
        result[rows] = logsumexp(terms, axis=1)
    return result - np.log(len(mean))


class Discrepancy(NamedTuple):
    """Squared maximum mean discrepancy and its permutation test.

    Attributes:
        value: Unbiased estimate, about 0 when the distributions are equal; can be negative.
        p_value: Share of relabellings with a value at least as large, in (0, 1].
        kernel: Name of the kernel.
        samples: Rows of each set.
        permutations: Number of random relabellings.
    """

    value: float
    p_value: float
    kernel: str
    samples: int
    permutations: int


def prior_discrepancy(
    mean: np.ndarray,
    log_var: np.ndarray,
    kernel: str = "imq",
    samples: int = 1000,
    permutations: int = 200,
    seed: int = 0,
) -> Discrepancy:
    """Return the MMD between z ~ q(z), one draw of each of `samples` posteriors, and as many draws of N(0, I).

    Args:
        mean: (N, D), N >= 2.
        log_var: (N, D).
        kernel: "imq" or "rbf", see `maximum_mean_discrepancy`.
        samples: Rows of each set, at most; N if that is less.
        permutations: Number of random relabellings.
        seed: Seed of every draw.

    Returns:
        value, p_value, kernel, samples, permutations.

    Raises:
        ValueError: For an unknown kernel or shapes that do not fit.
    """
    mean, log_var = _posteriors(mean, log_var)
    rng = _generator(seed)
    rows = rng.permutation(len(mean))[:samples]
    z = mean[rows] + np.exp(0.5 * log_var[rows]) * rng.standard_normal((len(rows), mean.shape[1]))
    return maximum_mean_discrepancy(z, rng.standard_normal(z.shape), kernel, permutations, seed)


def maximum_mean_discrepancy(
    x: np.ndarray, y: np.ndarray, kernel: str = "imq", permutations: int = 200, seed: int = 0
) -> Discrepancy:
    """Return the unbiased squared MMD of two sets of equal size, with a permutation p-value.

    The estimate is that of Gretton et al. 2012, "A kernel two-sample test", lemma 6.
    Kernels of the squared distance r, whose width is set by the prior and not by the data, so that values of
    different runs compare: imq = 2D / (2D + r) (Tolstikhin et al. 2018, "Wasserstein auto-encoders"),
    rbf = exp(-r / 2D); 2D is the mean of r between two draws of N(0, I).

    Args:
        x: (N, D), N >= 2.
        y: (N, D).
        kernel: "imq" or "rbf".
        permutations: Random relabellings of the pooled rows; the smallest p-value is 1 / (permutations + 1).
        seed: Seed of the relabellings.

    Returns:
        value, p_value, kernel, samples, permutations.

    Raises:
        ValueError: For an unknown kernel, shapes that differ or permutations < 1.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.ndim != 2 or x.shape != y.shape or len(x) < 2:
        raise ValueError(f"x and y: expected (N, D) with N >= 2 for both, got {x.shape} and {y.shape}")
    if permutations < 1:
        raise ValueError(f"permutations: expected at least 1, got {permutations}")
    gram, count = _gram(np.concatenate([x, y]), kernel), len(x)
    labels = np.repeat([1.0, -1.0], count)
    rng = _generator(seed)
    shuffled = np.stack([rng.permutation(labels) for _ in range(permutations)], axis=1)
    values = _signed_mmd(gram, np.column_stack([labels, shuffled]))
    # A relabelling that only swaps or reorders equals the observed value up to rounding and must count.
    exceed = np.sum(values[1:] >= values[0] - 1e-12 * gram.mean())
    p_value = float((1 + exceed) / (permutations + 1))
    return Discrepancy(float(values[0]), p_value, kernel, count, permutations)


def _gram(rows: np.ndarray, kernel: str) -> np.ndarray:
    """Return the kernel matrix with its diagonal set to 0: the unbiased estimate leaves equal pairs out."""
    rows = rows - rows.mean(axis=0)
    squares = (rows**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares - 2.0 * rows @ rows.T, 0.0)
    scale = 2.0 * rows.shape[1]
    if kernel == "imq":
        gram = scale / (scale + distances)
    elif kernel == "rbf":
        gram = np.exp(-distances / scale)
    else:
        raise ValueError(f"kernel: expected 'imq' or 'rbf', got {kernel!r}")
    np.fill_diagonal(gram, 0.0)
    return gram


def _signed_mmd(gram: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the squared MMD of each column of +-1 labels, (P,), equally many of each sign in every column."""
    count = len(gram) // 2
    product = gram @ labels
    everything = gram.sum()
    agreeing = 0.5 * (everything + np.sum(labels * product, axis=0))  # pairs within either set
    return agreeing / (count * (count - 1)) - (everything - agreeing) / count**2
