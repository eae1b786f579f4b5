"""Decoded walks through latent space: interpolations between two images, traversals around one.

Symbols: images are arrays (H, W, C) in [-1, 1]; z is a latent (D,); mean and sigma are those of the posterior
q(z|x) of an image. Results are float32 arrays of images in [-1, 1].
"""

from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import ops

from gamix_keras.samplers import PrincipalAxes, PriorSampler, Sampler

_ALONG = 1e-9  # sine of the angle below which two directions are one, or opposite

Path = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def linear(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Return convex combinations (1 - t) a + t b, the paper's transitions (Rivera 2024). t (T,) gives (T, D)."""
    t = np.asarray(t)[:, None]
    return (1.0 - t) * a + t * b


def spherical(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Turn from a to b at constant angular speed, while the norm goes evenly from |a| to |b|.

    z(t) = ((1 - t) |a| + t |b|) (cos(t w) u + sin(t w) e), with u = a / |a|, v = b / |b|, w the angle between them, and
    e the unit vector of v - (u'v) u. At equal norms it is the great arc (Shoemake 1985, "Animating rotation with
    quaternion curves"; White 2016, "Sampling generative networks"). Opposite ends have no one arc: e is then a fixed
    direction at right angles to u. From or to the origin the path is straight. t (T,) gives (T, D).
    """
    a, b, t = (np.asarray(values, "float64") for values in (a, b, t))
    norms = np.linalg.norm(a), np.linalg.norm(b)
    if min(norms) == 0.0:
        return linear(a, b, t)
    u, v = a / norms[0], b / norms[1]
    angle = 2.0 * np.arctan2(np.linalg.norm(u - v), np.linalg.norm(u + v))
    turned = np.outer(np.cos(t * angle), u) + np.outer(np.sin(t * angle), _right_angle(u, v))
    return linear(norms[0][None], norms[1][None], t) * turned


def _right_angle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the unit vector at right angles to u towards v, or a fixed one if v is along u."""
    for target in (v, np.eye(len(u))[np.abs(u).argmin()]):
        rest = target - (u @ target) * u
        length = np.linalg.norm(rest)
        if length > _ALONG:
            # Once more: what is left of u after the first subtraction is small, but so may the rest be.
            rest = rest / length
            rest = rest - (u @ rest) * u
            return rest / np.linalg.norm(rest)
    return np.zeros_like(u)


def norm_corrected(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Return points in the directions of the straight line, with norms that go evenly from |a| to |b|.

    The straight line between two draws from a D-dimensional Gaussian passes nearer to the origin than almost every
    draw is. t (T,) gives (T, D).
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
        model: A trained VAE, or its `CompiledVAE`, which is faster.
        first: The image (H, W, C) in [-1, 1] at which the path starts.
        second: The image (H, W, C) in [-1, 1] at which it ends.
        steps: The number of images, both ends included, at least 2.
        path: `linear`, `spherical` or `norm`.

    Returns:
        Images (steps, H, W, C); the first and last are the reconstructions of the two.

    Raises:
        ValueError: If there are fewer than 2 steps, or the path is unknown.
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
        model: A trained VAE, or its `CompiledVAE`, which is faster.
        image: An image (H, W, C) in [-1, 1].
        dims: The latents d to move, each in [0, D).
        deltas: Multiples of sigma.

    Returns:
        Images (len(dims), len(deltas), H, W, C).

    Raises:
        ValueError: If a dimension does not exist.
    """
    _check_numbers("dims", dims, model.latent_dim)
    mean, sigma = (rows[0] for rows in _posterior(model, image[None]))
    return _walks(model, mean, np.diag(sigma)[list(dims)], deltas)


def traverse_axes(
    model: keras.Model,
    image: np.ndarray | None,
    principal: PrincipalAxes,
    axes: Sequence[int] = (0, 1),
    deltas: Sequence[float] = (-3.0, 0.0, 3.0),
) -> np.ndarray:
    """Move an image along principal axes of q(z), by multiples of the standard deviation of q(z) along them.

    z = mean + delta std_i axis_i for one axis i at a time; the data vary most along the first. The mean is that of
    the image's posterior, or of q(z) itself.

    Args:
        model: A trained VAE, or its `CompiledVAE`, which is faster.
        image: An image (H, W, C) in [-1, 1]; None starts from the mean of q(z).
        principal: The principal axes of the model's q(z), see `gamix_keras.samplers.principal_axes`.
        axes: Rows i of `principal.axes`, each in [0, D). Commands, reports and the explorer call row i axis i + 1.
        deltas: Multiples of the standard deviation.

    Returns:
        Images (len(axes), len(deltas), H, W, C).

    Raises:
        ValueError: If an axis does not exist.
    """
    _check_numbers("axes", axes, len(principal.axes))
    chosen = list(axes)
    steps = principal.std[chosen, None] * principal.axes[chosen]
    start = principal.center if image is None else _posterior(model, image[None])[0][0]
    return _walks(model, start, steps, deltas)


def _check_numbers(name: str, numbers: Sequence[int], count: int) -> None:
    wrong = [number for number in numbers if not 0 <= number < count]
    if wrong or not numbers:
        what = "latents" if name == "dims" else name
        raise ValueError(f"{name}: expected {what} from 0 to {count - 1}, got {wrong or 'none'}")


def _walks(model: keras.Model, start: np.ndarray, steps: np.ndarray, deltas: Sequence[float]) -> np.ndarray:
    """Decode start + delta step for each step (N, D) and each delta."""
    points = start + np.asarray(deltas, "float32")[:, None] * steps[:, None]
    images = _decoded(model, points.reshape(-1, len(start)))
    return images.reshape(len(steps), len(deltas), *images.shape[1:])


def draw(
    model: keras.Model,
    count: int,
    seed: int = 0,
    batch_size: int = 64,
    sampler: Sampler | None = None,
    temperature: float = 1.0,
    truncation: float | None = None,
) -> np.ndarray:
    """Decode `count` draws of latents, a batch at a time.

    Args:
        model: A trained VAE, or its `CompiledVAE`, which is faster.
        count: The number of images, at least 1.
        seed: The seed of the noise; the same seed gives the same images.
        batch_size: The number of images to decode at once, which does not change them.
        sampler: The sampler of the latents. None is the prior, and then the images are those of
            `model.sample(count, seed)` of a VAE without second stage.
        temperature: The factor on the noise, see `Sampler`.
        truncation: The bound on the noise, see `Sampler`.

    Returns:
        Images (count, H, W, C).

    Raises:
        ValueError: If a number is out of its range.
    """
    sampler = sampler or PriorSampler(model.latent_dim)
    latents = sampler.sample(count, seed, temperature, truncation)
    starts = range(0, count, batch_size)
    return np.concatenate([_decoded(model, latents[start : start + batch_size]) for start in starts])


def _posterior(model: keras.Model, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, log_var = model.encode(images.astype("float32"))
    return ops.convert_to_numpy(mean), np.exp(0.5 * ops.convert_to_numpy(log_var))


def _decoded(model: keras.Model, points: np.ndarray) -> np.ndarray:
    return ops.convert_to_numpy(model.decode(points.astype("float32")))
