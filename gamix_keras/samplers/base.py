"""What every sampler of latents is: a deterministic map from standard normal noise to latents.

Symbols: eps is noise, standard normal, of shape (B, noise_dim); z is a latent, float32 (B, D); T is the temperature.
"""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from gamix_keras.samplers.posteriors import Posteriors

Tensor = Any
# Rows that `sample` maps at once: bounds the memory of a mixture with many components.
_ROWS = 4096
_FAR = 5.0


class Sampler(keras.layers.Layer):
    """An approximation of q(z) that latents are drawn from.

    `sampler(eps)` maps noise to latents in backend operations only, and its parameters are variables that training
    does not move: so a sampler is saved with Keras, is the same on every backend, and becomes part of an exported
    graph, which draws the noise itself. A subclass gives `transform`, and `fit` where it has something to fit,
    and builds itself in its constructor.

    **Temperature** T >= 0 scales all noise but that which chooses a component: T = 0 gives the mean (of the
    component), T = 1 the fitted distribution, smaller T safer and less varied images.
    **Truncation** t > 0 draws each noise value from the standard normal restricted to [-t, t], before the
    temperature is applied; see `truncate`.

    Args:
        latent_dim: D.

    Raises:
        ValueError: where `latent_dim` is not a positive whole number.
    """

    def __init__(self, latent_dim: int, **kwargs: Any) -> None:
        super().__init__(dtype=kwargs.pop("dtype", "float32"), **kwargs)
        if not isinstance(latent_dim, int) or latent_dim < 1:
            raise ValueError(f"{type(self).__name__}: latent_dim: expected a whole number >= 1, got {latent_dim!r}.")
        self.latent_dim = latent_dim

    @property
    def scaled_dim(self) -> int:
        """Noise values per latent that temperature and truncation act on."""
        return self.latent_dim

    @property
    def noise_dim(self) -> int:
        """Standard normal values per latent: the `scaled_dim`, and those which choose a component."""
        return self.scaled_dim

    @property
    def is_fitted(self) -> bool:
        """Whether it holds a distribution to sample from."""
        return True

    def parameter(self, name: str, shape: tuple[int, ...]) -> keras.Variable:
        """Creates a variable of the distribution, zero until it is fitted."""
        return self.add_weight(name=name, shape=shape, initializer="zeros", trainable=False)

    def fit(self, latents: Posteriors | np.ndarray, seed: int = 0) -> "Sampler":
        """Fits the distribution to posteriors, or to plain latents (N, D); the same seed gives the same fit.

        Raises:
            ValueError: where a number is NaN or infinite, or the shape does not fit.
        """
        raise NotImplementedError(f"{type(self).__name__} has nothing to fit.")

    def transform(self, eps: Tensor, choice: Tensor) -> Tensor:
        """Maps noise, with temperature and truncation applied, to latents.

        Args:
            eps: shape (B, scaled_dim).
            choice: untouched noise that chooses a component, shape (B, noise_dim - scaled_dim).

        Returns:
            Shape (B, D).
        """
        raise NotImplementedError

    def call(self, noise: Tensor, temperature: Any = 1.0, truncation: Any = None) -> Tensor:
        """Maps standard normal noise (B, noise_dim) to latents (B, D).

        Args:
            noise: float32; B may be unknown in a graph.
            temperature: T, a number or a scalar tensor.
            truncation: t, a number or a scalar tensor, or None for no truncation.
        """
        eps, choice = noise[:, : self.scaled_dim], noise[:, self.scaled_dim :]
        if truncation is not None:
            eps = truncate(eps, truncation)
        return self.transform(ops.cast(temperature, "float32") * eps, choice)

    def compute_output_shape(self, noise_shape: tuple, *_: Any, **__: Any) -> tuple:
        """(B, D)."""
        return (noise_shape[0], self.latent_dim)

    def sample(
        self, count: int, seed: int | None = None, temperature: float = 1.0, truncation: float | None = None
    ) -> np.ndarray:
        """Draws latents; the same seed gives the same ones, and more of them begin with fewer.

        Args:
            count: how many, at least 1.
            seed: None for another draw each time.
            temperature: T >= 0.
            truncation: t > 0, or None.

        Returns:
            Shape (count, D), float32.

        Raises:
            ValueError: where an argument is out of its range, or the sampler was not fitted.
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
    """Maps standard normal noise to the standard normal restricted to [-t, t], by its inverse distribution function.

    eps' = sqrt(2) erfinv(erf(t / sqrt 2) erf(eps / sqrt 2)): monotone, odd, and never larger than eps. It needs no
    resampling, so one noise value makes one result in a graph too.

    Args:
        noise: eps, any shape, float32.
        bound: t > 0.

    Returns:
        The same shape, in [-t, t].
    """
    root = math.sqrt(2.0)
    bound = ops.cast(bound, "float32")
    inner = root * ops.erfinv(ops.erf(bound / root) * ops.erf(noise / root))
    largest = ops.minimum(bound, ops.abs(noise))
    # In float32 erf has few digits below 1 from 5 on: its inverse is infinite there or, by some releases of JAX, 5.09.
    inner = ops.where(largest > _FAR, ops.sign(noise) * largest, inner)
    return ops.clip(inner, -largest, largest)
