"""Moments and a random subset of any number of vectors, in memory that does not grow with their number."""

import numpy as np


class FeatureMoments:
    """Streaming mean and covariance in float64.

    Batches are merged by the update of Chan, Golub & LeVeque (1983), "Algorithms for computing the sample
    variance", which subtracts each batch's own mean first and so does not cancel. Memory is O(D^2).

    Args:
        dim: Length D of the vectors.

    Attributes:
        count: Number of vectors seen.
        mean: Their mean, (D,) float64.
        scatter: Sum of (x - mean)(x - mean)', (D, D) float64.

    Raises:
        ValueError: If dim is not positive.
    """

    def __init__(self, dim: int) -> None:
        if dim < 1:
            raise ValueError(f"dim: expected a positive whole number, got {dim!r}")
        self.count = 0
        self.mean = np.zeros(dim)
        self.scatter = np.zeros((dim, dim))

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return len(self.mean)

    def update(self, features: np.ndarray) -> "FeatureMoments":
        """Add a batch.

        Args:
            features: (B, D), finite.

        Returns:
            This object.

        Raises:
            ValueError: If the shape is not (B, D) or a value is not finite.
        """
        features = np.asarray(features, dtype=np.float64)
        if features.ndim != 2 or features.shape[1] != self.dim:
            raise ValueError(f"features: expected shape (B, {self.dim}), got {features.shape}")
        if not np.isfinite(features).all():
            raise ValueError("features: expected finite numbers, got NaN or infinity")
        if len(features):
            mean = features.mean(axis=0)
            centred = features - mean
            self._merge(len(features), mean, centred.T @ centred)
        return self

    def merge(self, other: "FeatureMoments") -> "FeatureMoments":
        """Add everything another accumulator has seen, and return this object.

        Raises:
            ValueError: If the vectors' lengths differ.
        """
        if other.dim != self.dim:
            raise ValueError(f"other: expected vectors of length {self.dim}, got {other.dim}")
        if other.count:
            self._merge(other.count, other.mean, other.scatter)
        return self

    def _merge(self, count: int, mean: np.ndarray, scatter: np.ndarray) -> None:
        total, gap = self.count + count, mean - self.mean
        self.scatter += scatter + np.outer(gap, gap) * (self.count * count / total)
        self.mean = self.mean + gap * (count / total)
        self.count = total

    def covariance(self, ddof: int = 1) -> np.ndarray:
        """Return the covariance, (D, D) float64: scatter / (count - ddof).

        Args:
            ddof: 1 for the sample covariance (that of published Frechet distances), 0 for the population's.

        Raises:
            ValueError: If there are not more than ddof vectors.
        """
        if self.count <= ddof:
            raise ValueError(f"covariance: expected more than {ddof} vectors, got {self.count}")
        return self.scatter / (self.count - ddof)


class UniformSubset:
    """Uniform random subset, without replacement, of a stream of vectors.

    Every vector draws a random key, and those with the smallest keys stay: the subset depends on the seed and on the
    order of the stream, not on its batches.

    Args:
        dim: Length D of the vectors.
        keep: Vectors kept, at most.
        seed: Seed of the keys.
        dtype: Dtype in which the vectors are kept.

    Raises:
        ValueError: If keep is less than 2.
    """

    def __init__(self, dim: int, keep: int, seed: int = 0, dtype: type = np.float64) -> None:
        if keep < 2:
            raise ValueError(f"keep: expected at least 2, got {keep!r}")
        self.keep = keep
        self.rows = np.empty((0, dim), dtype)
        self._keys = np.empty(0)
        self._generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2,)))

    def update(self, rows: np.ndarray) -> "UniformSubset":
        """Add a batch (B, D) and return this object; `rows` then holds the subset, (K, D), in random order."""
        keys = self._generator.random(len(rows))
        if len(self._keys) == self.keep:
            chosen = keys < self._keys[-1]
            keys, rows = keys[chosen], rows[chosen]
        if len(keys):
            keys = np.append(self._keys, keys)
            order = np.argsort(keys)[: self.keep]
            rows = np.concatenate([self.rows, rows.astype(self.rows.dtype)])
            self._keys, self.rows = keys[order], rows[order]
        return self
