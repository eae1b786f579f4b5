"""How far generated images are from real ones, from the features of both.

Every function takes feature arrays (N, D) of real and of generated images, from any extractor, and computes in
float64. The names say distance, not FID or KID: those are these formulas on the features of the 2015 Inception
graph only.
"""

from typing import NamedTuple

import numpy as np
from scipy import linalg, special

from gamix_keras.metrics.moments import FeatureMoments

_CHUNK = 1024  # rows of a pairwise matrix held at once
_ROUNDING = 1e-12  # of expanded squares in float64, over the mean square of the rows


def frechet_distance(
    mean_a: np.ndarray, covariance_a: np.ndarray, mean_b: np.ndarray, covariance_b: np.ndarray
) -> float:
    """Return the squared Frechet (2-Wasserstein) distance between two Gaussians.

    |m_a - m_b|^2 + tr(S_a + S_b) - 2 tr((S_a^1/2 S_b S_a^1/2)^1/2) (Dowson & Landau 1982; Heusel et al. 2017,
    "GANs trained by a two time-scale update rule", equation 6). With any factors S = F F' the last trace is the sum
    of the singular values of F_a' F_b: no root of an eigenvalue is taken, so nothing turns complex and singular
    covariances (fewer images than features) lose no digits.

    Args:
        mean_a: (D,).
        covariance_a: (D, D), symmetric positive semi-definite.
        mean_b: (D,).
        covariance_b: (D, D), symmetric positive semi-definite.

    Returns:
        The distance, >= 0, in squared units of the features.

    Raises:
        ValueError: If the shapes do not fit or a value is not finite.
    """
    mean_a, mean_b = (np.asarray(v, dtype=np.float64) for v in (mean_a, mean_b))
    covariance_a, covariance_b = (np.asarray(v, dtype=np.float64) for v in (covariance_a, covariance_b))
    square = (len(mean_a), len(mean_a))
    if mean_b.shape != mean_a.shape or covariance_a.shape != square or covariance_b.shape != square:
        raise ValueError(
            f"means and covariances: expected shapes (D,) and (D, D), got {mean_a.shape}, {covariance_a.shape}, "
            f"{mean_b.shape}, {covariance_b.shape}"
        )
    if not all(np.isfinite(v).all() for v in (mean_a, mean_b, covariance_a, covariance_b)):
        raise ValueError("means and covariances: expected finite numbers, got NaN or infinity")
    cross = _factor(covariance_a).T @ _factor(covariance_b)
    overlap = linalg.svdvals(cross).sum() if cross.size else 0.0
    distance = np.sum((mean_a - mean_b) ** 2) + np.trace(covariance_a) + np.trace(covariance_b) - 2.0 * overlap
    return max(float(distance), 0.0)


def _factor(covariance: np.ndarray) -> np.ndarray:
    """Return F, (D, R), with F F' = covariance of rank R: Cholesky with pivoting, which stops at rounding error."""
    packed, pivots, rank, _ = linalg.lapack.dpstrf(covariance, lower=1)
    factor = np.empty_like(packed)
    factor[pivots - 1] = np.tril(packed)
    return factor[:, :rank]


def frechet_distance_of(real: FeatureMoments, fake: FeatureMoments) -> float:
    """Return `frechet_distance` between two sets of streamed moments (sample covariances, as published numbers use)."""
    return frechet_distance(real.mean, real.covariance(), fake.mean, fake.covariance())


def _feature_pair(real: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both arrays in float64, checked to be (N, D) and (M, D) with finite values."""
    real, fake = np.asarray(real, dtype=np.float64), np.asarray(fake, dtype=np.float64)
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise ValueError(f"real and fake: expected shapes (N, D) and (M, D), got {real.shape} and {fake.shape}")
    if not (np.isfinite(real).all() and np.isfinite(fake).all()):
        raise ValueError("real and fake: expected finite numbers, got NaN or infinity")
    return real, fake


def polynomial_mmd(real: np.ndarray, fake: np.ndarray) -> float:
    """Return the unbiased squared maximum mean discrepancy under the kernel k(x, y) = (x'y / D + 1)^3.

    mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j) (Gretton et al. 2012, lemma 6;
    kernel of Binkowski et al. 2018, "Demystifying MMD GANs", section 4).

    Args:
        real: (N, D), N >= 2.
        fake: (M, D), M >= 2.

    Returns:
        The estimate; 0 on average for equal distributions, so it can be negative.

    Raises:
        ValueError: If the shapes do not fit, a value is not finite, or there are fewer than two rows.
    """
    real, fake = _feature_pair(real, fake)
    if min(len(real), len(fake)) < 2:
        raise ValueError(f"real and fake: expected at least 2 rows, got {len(real)} and {len(fake)}")
    within = sum(_off_diagonal_mean(features) for features in (real, fake))
    return float(within - 2.0 * _polynomial_kernel(real, fake).mean())


def _polynomial_kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1.0) ** 3


def _off_diagonal_mean(features: np.ndarray) -> float:
    count = len(features)
    kernel = _polynomial_kernel(features, features)
    return (kernel.sum() - np.trace(kernel)) / (count * (count - 1))


class KernelDistance(NamedTuple):
    """Kernel distance with its confidence interval.

    Attributes:
        value: Mean over blocks of the unbiased squared MMD.
        low: Lower end of the interval.
        high: Upper end of the interval.
        blocks: Number of disjoint blocks.
        block_size: Rows of each array in a block.
    """

    value: float
    low: float
    high: float
    blocks: int
    block_size: int


def kernel_distance(
    real: np.ndarray, fake: np.ndarray, blocks: int = 10, confidence: float = 0.95, seed: int = 0
) -> KernelDistance:
    """Return the polynomial-kernel MMD by disjoint random blocks, whose independence gives an honest interval.

    Each block is an unbiased estimate (`polynomial_mmd`), so their mean is one too; the interval is Student's on
    the blocks (the B-test of Zaremba, Gretton & Blaschko 2013). Random overlapping subsets, as usual for KID, give
    a standard deviation that says nothing about the number of images.

    Args:
        real: (N, D).
        fake: (M, D).
        blocks: Number of blocks, at least 2; each has min(N, M) // blocks rows of each array.
        confidence: Coverage of the interval, in (0, 1).
        seed: Seed of the shuffle.

    Returns:
        value, low, high, blocks, block_size.

    Raises:
        ValueError: If there are not two rows per block, or an argument is out of range.
    """
    real, fake = _feature_pair(real, fake)
    if blocks < 2 or not 0.0 < confidence < 1.0:
        raise ValueError(f"blocks and confidence: expected >= 2 and a number in (0, 1), got {blocks} and {confidence}")
    size = min(len(real), len(fake)) // blocks
    if size < 2:
        raise ValueError(
            f"real and fake: expected at least {2 * blocks} rows for {blocks} blocks, got {len(real)} and {len(fake)}"
        )
    rng = np.random.default_rng(seed)
    rows_a, rows_b = (rng.permutation(len(v))[: blocks * size].reshape(blocks, size) for v in (real, fake))
    values = np.array([polynomial_mmd(real[a], fake[b]) for a, b in zip(rows_a, rows_b, strict=True)])
    half = special.stdtrit(blocks - 1, 0.5 + confidence / 2.0) * values.std(ddof=1) / np.sqrt(blocks)
    value = float(values.mean())
    return KernelDistance(value, float(value - half), float(value + half), blocks, size)


class DegenerateNeighbourhoods(ValueError):
    """More than half of the real images have k or more equals, so that their neighbourhoods are points."""


class ManifoldScores(NamedTuple):
    """Nearest-neighbour scores.

    Attributes:
        precision: Share of generated images inside some real image's neighbourhood, in [0, 1].
        recall: Share of real images inside some generated image's neighbourhood, in [0, 1].
        density: Mean number of real neighbourhoods around a generated image, over k; >= 0, 1 on average when the
            distributions are equal.
        coverage: Share of real images with a generated image in their neighbourhood, in [0, 1].
    """

    precision: float
    recall: float
    density: float
    coverage: float


def precision_recall_density_coverage(real: np.ndarray, fake: np.ndarray, neighbours: int = 5) -> ManifoldScores:
    """Return precision, recall, density and coverage from k-nearest-neighbour balls.

    The neighbourhood of an image is the open ball that reaches to its k-th nearest neighbour of the same set
    (precision, recall: Kynkaanniemi et al. 2019, "Improved precision and recall metric"; density, coverage: Naeem
    et al. 2020, "Reliable fidelity and diversity metrics", equations 4 and 6; k = 5 is theirs). Distances are taken
    1,024 rows at a time, so memory is O(N + M), not O(N M).

    Args:
        real: (N, D).
        fake: (M, D).
        neighbours: The number of neighbours k, smaller than N and M.

    Returns:
        precision, recall, density, coverage.

    Raises:
        DegenerateNeighbourhoods: If more than half of the real images have `neighbours` or more equals.
        ValueError: If the shapes do not fit, a value is not finite, or neighbours is out of range.
    """
    real, fake = _feature_pair(real, fake)
    if not 1 <= neighbours < min(len(real), len(fake)):
        raise ValueError(
            f"neighbours: expected >= 1 and fewer than the rows of either side, got {neighbours} for {len(real)} real "
            f"and {len(fake)} fake"
        )
    # Squares expand into a matrix product; a common centre keeps what cancels small.
    centre = real.mean(axis=0)
    real, fake = real - centre, fake - centre
    real_radii, fake_radii = (_squared_radii(features, neighbours) for features in (real, fake))
    if (real_radii == 0).mean() > 0.5:
        points = f"{(real_radii == 0).sum()} of {len(real)} with {neighbours} equals or more"
        raise DegenerateNeighbourhoods(f"real: expected different images, got {points}")
    inside = np.zeros(len(fake))
    recalled, covered = 0, 0
    for start in range(0, len(real), _CHUNK):
        distances = _squared_distances(real[start : start + _CHUNK], fake)
        radii = real_radii[start : start + _CHUNK]
        inside += (distances < radii[:, None]).sum(axis=0)
        recalled += (distances < fake_radii).any(axis=1).sum()
        covered += (distances.min(axis=1) < radii).sum()
    return ManifoldScores(
        precision=float((inside > 0).mean()),
        recall=float(recalled / len(real)),
        density=float(inside.mean() / neighbours),
        coverage=float(covered / len(real)),
    )


def _squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the (N, M) squared Euclidean distances between rows."""
    squares = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1) - 2.0 * (x @ y.T)
    return np.maximum(squares, 0.0)


def _squared_radii(features: np.ndarray, neighbours: int) -> np.ndarray:
    """Return the squared distance from every row to its k-th nearest other row."""
    radii = np.empty(len(features))
    for start in range(0, len(features), _CHUNK):
        rows = slice(start, min(start + _CHUNK, len(features)))
        distances = _squared_distances(features[rows], features)
        # The row itself must be exactly nearest, whatever rounding says.
        distances[np.arange(rows.stop - start), np.arange(start, rows.stop)] = 0.0
        radii[rows] = np.partition(distances, neighbours, axis=1)[:, neighbours]
    # Equal rows are apart by rounding only; the ball around them is empty.
    return np.where(radii > _ROUNDING * (features**2).sum(axis=1).mean(), radii, 0.0)
