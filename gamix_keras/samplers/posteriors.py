"""The posteriors of a data set: collect them with the encoder, check them, draw from them, and their moments.

Symbols: N images have posteriors N(mean_i, diag exp(log_var_i)), `mean` and `log_var` of shape (N, D). The aggregate
posterior q(z) is their average; its moments are m = E[mean] and S = Cov(mean) + diag E[exp(log_var)].
"""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np

from gamix_keras.gaussian import LOG_VAR_RANGE

# Images per batch if the data set has no batches, and rows of float64 held at once.
_BATCH = 128
_ROWS = 8192


class Posteriors(NamedTuple):
    """Posteriors of N images, or N plain latents.

    Attributes:
        mean: The means (N, D), float32.
        log_var: The log-variances (N, D), float32, or None for plain latents, which have no variance.
    """

    mean: np.ndarray
    log_var: np.ndarray | None = None


def collect_posteriors(model: Any, dataset: Any, limit: int | None = None) -> Posteriors:
    """Encode a data set, a batch at a time.

    The result stays in memory: 8 N D bytes, 0.8 GB for 200,000 images and D = 512, and half as much again for a
    moment at the end.

    Args:
        model: A VAE, or its `CompiledVAE`; only `encode` is used.
        dataset: Images (N, H, W, C), float in [-1, 1], or batches of them: a `tf.data.Dataset`, a
            `keras.utils.PyDataset`, or any iterable. If a batch is a tuple, the images are its first member.
        limit: The most images to take, the first ones; None takes all.

    Raises:
        ValueError: If there is no image, a batch is not of float images, or the data set has no end.
    """
    means, log_vars = [], []
    for images in _limited(_batches(dataset, limit), limit):
        mean, log_var = model.encode(images)
        means.append(keras.ops.convert_to_numpy(mean))
        log_vars.append(keras.ops.convert_to_numpy(log_var))
    if not means:
        raise ValueError("dataset: expected at least one image, found none.")
    joined = np.concatenate(means)
    means.clear()
    return Posteriors(joined, np.concatenate(log_vars))


def _batches(dataset: Any, limit: int | None) -> Iterator[np.ndarray]:
    if isinstance(dataset, keras.utils.PyDataset):
        batches = (dataset[i] for i in _counted(dataset.num_batches, limit))
    elif hasattr(dataset, "shape"):
        batches = (dataset[start : start + _BATCH] for start in range(0, len(dataset), _BATCH))
    else:
        _refuse_endless(dataset, limit)
        batches = dataset
    return (_images(batch) for batch in batches)


def _counted(batches: int | None, limit: int | None) -> Iterable[int]:
    if batches is None and limit is None:
        raise ValueError("limit: expected a number of images, as the data set has no end, got None.")
    return itertools.count() if batches is None else range(batches)


def _refuse_endless(dataset: Any, limit: int | None) -> None:
    # The cardinality of a tf.data set that repeats for ever is -1.
    if hasattr(dataset, "cardinality") and int(dataset.cardinality()) == -1:
        _counted(None, limit)


def _images(batch: Any) -> np.ndarray:
    images = np.asarray(batch[0] if isinstance(batch, tuple | list) else batch)
    if images.ndim != 4 or not np.issubdtype(images.dtype, np.floating):
        found = f"shape {images.shape} of {images.dtype}"
        raise ValueError(f"dataset: expected batches (B, H, W, C) of float images in [-1, 1], got {found}.")
    return images.astype("float32", copy=False)


def _limited(batches: Iterator[np.ndarray], limit: int | None) -> Iterator[np.ndarray]:
    if limit is not None and limit < 1:
        raise ValueError(f"limit: expected at least 1, or None, got {limit!r}.")
    left = float("inf") if limit is None else limit
    for images in batches:
        taken = images[: int(min(left, len(images)))]
        if len(taken):
            yield taken
        left -= len(taken)
        if left <= 0:
            return


def checked(latents: Any, latent_dim: int | None = None) -> Posteriors:
    """Return float32 posteriors of `Posteriors`, of a pair (mean, log_var), or of an array of plain latents (N, D).

    Raises:
        ValueError: If shapes do not match, there is no row, or a number is NaN or infinite.
    """
    pair = latents if isinstance(latents, tuple) else (latents, None)
    mean, log_var = (None if part is None else np.asarray(part, "float32") for part in pair)
    size = "D" if latent_dim is None else latent_dim
    if mean.ndim != 2 or not len(mean) or mean.shape[1] != (latent_dim or mean.shape[1]):
        raise ValueError(f"latents: expected shape (N, {size}) with N at least 1, got {mean.shape}.")
    if log_var is not None and log_var.shape != mean.shape:
        raise ValueError(f"latents: expected log_var of the mean's shape {mean.shape}, got {log_var.shape}.")
    for name, values in (("mean", mean), ("log_var", log_var)):
        if values is not None:
            _refuse_non_finite(name, values)
    return Posteriors(mean, log_var)


def _refuse_non_finite(name: str, values: np.ndarray) -> None:
    bad = ~np.isfinite(values)
    rows, dims = np.flatnonzero(bad.any(axis=1)), np.flatnonzero(bad.any(axis=0))
    if len(rows):
        place = f"images: {len(rows)} of {len(values)}, first {rows[0]}; latents: {len(dims)}, first {dims[0]}"
        raise ValueError(f"latents: expected finite numbers, got NaN or infinity in {name} ({place}).")


def draw_latents(mean: np.ndarray, log_var: np.ndarray | None, seed: int | None = None) -> np.ndarray:
    """Draw z_i = mean_i + exp(log_var_i / 2) eps_i from each posterior.

    Args:
        mean: The means (N, D).
        log_var: The log-variances (N, D), clipped to [-30, 20]; None returns the means, which are then latents.
        seed: The seed of the noise; the same seed gives the same draw.

    Returns:
        Latents (N, D), float32.
    """
    if log_var is None:
        return np.array(mean, "float32")
    noise = np.random.default_rng(seed).standard_normal(np.shape(mean), dtype="float32")
    noise *= np.exp(0.5 * np.clip(log_var, *LOG_VAR_RANGE))
    noise += mean
    return noise


def total_moments(latents: Posteriors | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of q(z) by the law of total covariance, without sampling.

    m = E[mean], S = Cov(mean) + diag E[exp(log_var)]; Cov divides by N, because q(z) is the average over these N.

    Returns:
        The mean m (D,) and the covariance S (D, D), float64.

    Raises:
        ValueError: If `checked` raises.
    """
    mean, log_var = checked(latents)
    center = mean.mean(axis=0, dtype="float64")
    covariance, within = np.zeros((len(center),) * 2), np.zeros(len(center))
    # In blocks, because a float64 copy of all latents may not fit into memory.
    for start in range(0, len(mean), _ROWS):
        rows = slice(start, start + _ROWS)
        centered = mean[rows] - center
        covariance += centered.T @ centered
        if log_var is not None:
            within += np.exp(np.clip(log_var[rows], *LOG_VAR_RANGE).astype("float64")).sum(axis=0)
    return center, (covariance + np.diag(within)) / len(mean)
