"""Walks through the latent space, decoded: interpolations between two images, traversals around one.

Symbols: images are arrays (H, W, C) in [-1, 1]; z is a latent (D,); mean and sigma are those of the posterior
q(z|x) of an image. Results are float32 arrays of images in [-1, 1].
"""

from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import ops

from gamix_keras import gaussian

Path = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def linear(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Convex combinations (1 - t) a + t b, the paper's transitions (Rivera 2024). t (T,) gives (T, D)."""
    t = np.asarray(t)[:, None]
    return (1.0 - t) * a + t * b


def spherical(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Points on the great arc from a to b, at constant angular speed. t (T,) gives (T, D)."""
    a, b = (ops.convert_to_tensor(np.tile(end, (len(t), 1)), "float32") for end in (a, b))
    fractions = ops.convert_to_tensor(np.asarray(t)[:, None], "float32")
    return ops.convert_to_numpy(gaussian.slerp(a, b, fractions))


def norm_corrected(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Directions of the straight line, at norms between those of its ends.

    The straight line between two draws of a D-dimensional Gaussian passes nearer to the origin than nearly
    every draw does; here the norm goes evenly from |a| to |b|. t (T,) gives (T, D).
    """
    points = linear(a, b, t)
    norms = np.linalg.norm(points, axis=-1, keepdims=True)
    wanted = linear(np.linalg.norm(a)[None], np.linalg.norm(b)[None], t)
    return points * wanted / np.maximum(norms, 1e-12)


PATHS: dict[str, Path] = {"linear": linear, "spherical": spherical, "norm": norm_corrected}


def interpolate(
    model: keras.Model, first: np.ndarray, second: np.ndarray, steps: int = 8, path: str = "linear"
) -> np.ndarray:
    """Decode a path between the posterior means of two images.

    Args:
        model: A trained VAE.
        first, second: Images (H, W, C) in [-1, 1].
        steps: Images on the way, both ends among them; at least 2.
        path: ``linear``, ``spherical`` or ``norm``.

    Returns:
        Images (steps, H, W, C); the first and last are the reconstructions of the two.

    Raises:
        ValueError: For fewer than 2 steps or an unknown path.
    """
    if steps < 2:
        raise ValueError(f"steps: expected at least 2, got {steps}")
    if path not in PATHS:
        raise ValueError(f"path: expected one of {', '.join(PATHS)}, got {path!r}")
    means, _ = _posterior(model, np.stack([first, second]))
    points = PATHS[path](means[0], means[1], np.linspace(0.0, 1.0, steps))
    return _decoded(model, points)


def traverse(
    model: keras.Model,
    image: np.ndarray,
    dims: Sequence[int] = (0, 1),
    deltas: Sequence[float] = (-20.0, 0.0, 20.0),
) -> np.ndarray:
    """Move single latents of an image by multiples of its own posterior's sigma: the paper's variants.

    z = mean, but z_d = mean_d + delta sigma_d for one d at a time (Rivera 2024, delta = -20, 0, 20).

    Args:
        model: A trained VAE.
        image: Image (H, W, C) in [-1, 1].
        dims: The latents d that are moved, each in [0, D).
        deltas: The multiples of sigma.

    Returns:
        Images (len(dims), len(deltas), H, W, C).

    Raises:
        ValueError: Where a dimension does not exist.
    """
    wrong = [d for d in dims if not 0 <= d < model.latent_dim]
    if wrong or not dims:
        raise ValueError(f"dims: expected latents from 0 to {model.latent_dim - 1}, got {wrong or 'none'}")
    mean, sigma = (rows[0] for rows in _posterior(model, image[None]))
    points = np.tile(mean, (len(dims), len(deltas), 1))
    for row, d in enumerate(dims):
        points[row, :, d] += np.asarray(deltas, "float32") * sigma[d]
    images = _decoded(model, points.reshape(-1, len(mean)))
    return images.reshape(len(dims), len(deltas), *images.shape[1:])


def draw(model: keras.Model, count: int, seed: int = 0, batch_size: int = 64) -> np.ndarray:
    """Decode ``count`` draws from the prior, a batch at a time: the images of ``model.sample(count, seed)``.

    Args:
        model: A trained VAE.
        count: How many images, at least 1.
        seed: The same seed gives the same images.
        batch_size: How many are decoded at once; does not change the images.

    Returns:
        Images (count, H, W, C).
    """
    latents = np.random.default_rng(seed).standard_normal((count, model.latent_dim), dtype="float32")
    starts = range(0, count, batch_size)
    return np.concatenate([_decoded(model, latents[start : start + batch_size]) for start in starts])


def _posterior(model: keras.Model, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, log_var = model.encode(images.astype("float32"))
    return ops.convert_to_numpy(mean), np.exp(0.5 * ops.convert_to_numpy(log_var))


def _decoded(model: keras.Model, points: np.ndarray) -> np.ndarray:
    return ops.convert_to_numpy(model.decode(points.astype("float32")))
