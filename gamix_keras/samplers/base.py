"""The base of every sampler of latents: a deterministic map from standard normal noise to latents.

Symbols: eps is noise, standard normal, of shape (B, noise_dim); z is a latent, float32 (B, D); T is the temperature.
"""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from gamix_keras.samplers.posteriors import Posteriors

Tensor = Any
# The rows that `sample` maps at once, which bounds the memory of a mixture with many components.
_ROWS = 4096
_FAR = 5.0


class Sampler(keras.layers.Layer):
    """An approximation of q(z), from which latents are drawn.

    `sampler(eps)` maps noise to latents in backend operations only, and its parameters are variables that are not
    trained. A sampler is therefore saved with Keras, is the same on every backend, and becomes part of an exported
    graph, which draws the noise itself. A subclass defines `transform`, and `fit` if it has something to fit, and
    builds itself in its constructor.

    **Temperature** T >= 0 scales all noise but that which chooses a component: T = 0 gives the mean (of the
    component), T = 1 the fitted distribution, a smaller T cleaner and less varied images.
    **Truncation** t > 0 draws each noise value from the standard normal restricted to [-t, t], before the
    temperature is applied; see `truncate`.

    Args:
        latent_dim: The number of latents D.

    Raises:
        ValueError: If `latent_dim` is not a positive whole number.
    """

    def __init__(self, latent_dim: int, **kwargs: Any) -> None:
        super().__init__(dtype=kwargs.pop("dtype", "float32"), **kwargs)
        if not isinstance(latent_dim, int) or latent_dim < 1:
            raise ValueError(f"{type(self).__name__}: latent_dim: expected a whole number >= 1, got {latent_dim!r}.")
        self.latent_dim = latent_dim

    @property
    def scaled_dim(self) -> int:
        """The number of noise values per latent that temperature and truncation act on."""
        return self.latent_dim

    @property
    def noise_dim(self) -> int:
        """The number of noise values per latent: the `scaled_dim`, and those that choose a component."""
        return self.scaled_dim

    @property
    def is_fitted(self) -> bool:
        """Whether there is a distribution to sample from."""
        return True

    def parameter(self, name: str, shape: tuple[int, ...]) -> keras.Variable:
        """Create a variable of the distribution, zero until it is fitted."""
        return self.add_weight(name=name, shape=shape, initializer="zeros", trainable=False)

    def fit(self, latents: Posteriors | np.ndarray, seed: int = 0) -> "Sampler":
        """Fit the distribution to posteriors, or to plain latents (N, D). The same seed gives the same fit.

        Raises:
            ValueError: If a number is NaN or infinite, or the shape does not match.
        """
        raise NotImplementedError(f"{type(self).__name__} has nothing to fit.")

    def transform(self, eps: Tensor, choice: Tensor) -> Tensor:
        """Map noise, to which temperature and truncation are applied, to latents.

        Args:
            eps: The noise (B, scaled_dim).
            choice: Standard normal noise (B, noise_dim - scaled_dim) that chooses a component.

        Returns:
            Latents (B, D).
        """
        raise NotImplementedError

    def call(self, noise: Tensor, temperature: Any = 1.0, truncation: Any = None) -> Tensor:
        """Map standard normal noise (B, noise_dim) to latents (B, D).

        Args:
            noise: The noise, float32; B may be unknown in a graph.
            temperature: The temperature T, a number or a scalar tensor.
            truncation: The bound t, a number or a scalar tensor, or None for no truncation.
        """
        eps, choice = noise[:, : self.scaled_dim], noise[:, self.scaled_dim :]
        if truncation is not None:
            eps = truncate(eps, truncation)
        return self.transform(ops.cast(temperature, "float32") * eps, choice)

    def compute_output_shape(self, noise_shape: tuple, *_: Any, **__: Any) -> tuple:
        """Return (B, D)."""
        return (noise_shape[0], self.latent_dim)

    def sample(
        self, count: int, seed: int | None = None, temperature: float = 1.0, truncation: float | None = None
    ) -> np.ndarray:
        """Draw latents. The same seed gives the same latents; a larger count adds to them.

        Args:
            count: The number of latents, at least 1.
            seed: The seed of the noise; None gives another draw each time.
            temperature: The temperature T >= 0.
            truncation: The bound t > 0, or None for no truncation.

        Returns:
            Latents (count, D), float32.

        Raises:
            ValueError: If an argument is out of its range, or the sampler is not fitted.
        """
        self._check_sample(count, temperature, truncation)
        noise = np.random.default_rng(seed).standard_normal((count, self.noise_dim), dtype="float32")
        blocks = [noise[start : start + _ROWS] for start in range(0, count, _ROWS)]
        drawn = [self(ops.convert_to_tensor(eps), temperature=temperature, truncation=truncation) for eps in blocks]
        return np.concatenate([ops.convert_to_numpy(z) for z in drawn])

    def _check_sample(self, count: int, temperature: float, truncation: float | None) -> None:
        if count < 1:
            raise ValueError(f"count: expected at least 1, got {count!r}.")
        if not 0.0 <= temperature < math.inf:
            raise ValueError(f"temperature: expected a number >= 0, got {temperature!r}.")
        if truncation is not None and not 0.0 < truncation < math.inf:
            raise ValueError(f"truncation: expected a number > 0, or None, got {truncation!r}.")
        if not self.is_fitted:
            raise ValueError(f"{type(self).__name__}: expected a fitted sampler; call fit first.")


def truncate(noise: Tensor, bound: Any) -> Tensor:
    """Map standard normal noise to the standard normal restricted to [-t, t], by its inverse distribution function.

    eps' = sqrt(2) erfinv(erf(t / sqrt 2) erf(eps / sqrt 2)): monotone, odd, and never larger than eps. There is no
    resampling, so one noise value gives one result, in a graph too.

    Args:
        noise: The noise eps, float32, of any shape.
        bound: The bound t > 0.

    Returns:
        Truncated noise of the same shape, in [-t, t].
    """
    root = math.sqrt(2.0)
    bound = ops.cast(bound, "float32")
    inner = root * ops.erfinv(ops.erf(bound / root) * ops.erf(noise / root))
    largest = ops.minimum(bound, ops.abs(noise))
    # Above 5, erf has few digits below 1 in float32: its inverse is infinite or, in some releases of JAX, 5.09.
    inner = ops.where(largest > _FAR, ops.sign(noise) * largest, inner)
    return ops.clip(inner, -largest, largest)
