"""The prior as a sampler."""

from typing import Any

import keras

from gamix_keras import gaussian
from gamix_keras.samplers.base import Sampler, Tensor


@keras.saving.register_keras_serializable("gamix_keras")
class PriorSampler(Sampler):
    """z = eps ~ N(0, T^2 I): right if q(z) matches the prior, which the models here seldom reach.

    Nothing is fitted. `sample(count, seed)` returns the latents of `model.sample(count, seed)`.

    Args:
        latent_dim: The number of latents D.
    """

    def __init__(self, latent_dim: int, **kwargs: Any) -> None:
        super().__init__(latent_dim, **kwargs)
        self.build((None, latent_dim))

    def transform(self, eps: Tensor, choice: Tensor) -> Tensor:
        """Return the noise itself."""
        return eps

    def log_density(self, z: Tensor) -> Tensor:
        """Return log N(z; 0, I), (B,), in nats."""
        return gaussian.standard_log_density(z)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration: the number of latents."""
        return {**super().get_config(), "latent_dim": self.latent_dim}
