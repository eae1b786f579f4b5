"""How straight a path through latent space looks to a feature extractor."""

from typing import NamedTuple

import numpy as np


class PathSmoothness(NamedTuple):
    """What `path_smoothness` returns.

    Attributes:
        ratio: Mean over paths of length over straight-line distance; 1 is straight, larger is more roundabout.
            None if no path has two different ends.
        largest_step: Mean over paths of the longest step over the length; 1 / steps is even, near 1 is a jump.
        length: Mean length of the paths, in units of the features.
        paths: Paths with two different ends.
        steps: Steps of each path.
    """

    ratio: float | None
    largest_step: float | None
    length: float
    paths: int
    steps: int


def path_smoothness(features: np.ndarray) -> PathSmoothness:
    """Return the path length in feature space over the straight-line distance between the ends.

    A walk between two codes that passes through images unlike either end is long; a decoder that jumps has a large
    largest step. Compare models with the same extractor, number of steps and pairs only: finer steps make longer paths.

    Args:
        features: Features of the images along each path, (N, T, D), T >= 2.

    Raises:
        ValueError: For another shape, or a value that is not finite.
    """
    features = np.asarray(features, "float64")
    if features.ndim != 3 or features.shape[0] < 1 or features.shape[1] < 2 or not np.isfinite(features).all():
        raise ValueError(f"features: expected finite numbers, (N, T, D) with T >= 2, got shape {features.shape}")
    steps = np.linalg.norm(np.diff(features, axis=1), axis=-1)
    lengths, distances = steps.sum(axis=1), np.linalg.norm(features[:, -1] - features[:, 0], axis=-1)
    moved = distances > 1e-6 * (1.0 + np.abs(features).max())
    if not moved.any():
        return PathSmoothness(None, None, float(lengths.mean()), 0, steps.shape[1])
    ratio, largest = lengths[moved] / distances[moved], steps[moved].max(axis=1) / lengths[moved]
    return PathSmoothness(
        float(ratio.mean()), float(largest.mean()), float(lengths.mean()), int(moved.sum()), steps.shape[1]
    )
