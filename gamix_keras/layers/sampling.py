"""The reparameterised Gaussian sample."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from gamix_keras import gaussian
from gamix_keras.distributed import replicas

Tensor = Any
# Noise of a validation pass: a fixed seed makes `evaluate` repeatable and leaves the training stream alone.
EVALUATION_SEED = 20240923


@keras.saving.register_keras_serializable("gamix_keras")
class GaussianSampling(keras.layers.Layer):
    """z = mean + exp(log_var / 2) * eps, eps ~ N(0, I) in training; z = mean at inference (Kingma & Welling 2014).

    Args:
        seed: Seed of the layer's own generator, whose state is part of the model.
    """

    def __init__(self, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(dtype=kwargs.pop("dtype", "float32"), **kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, mean_shape: tuple, log_var_shape: tuple | None = None) -> None:
        """Create nothing: the generator exists from the start."""

    def call(self, mean: Tensor, log_var: Tensor, training: bool = False) -> Tensor:
        """Return z, float32, shape (B, D), of a mean and a log-variance of that shape."""
        if not training:
            return ops.cast(mean, "float32")
        return self.draw(mean, log_var, self.seed_generator)

    def draw(self, mean: Tensor, log_var: Tensor, seed: Any = EVALUATION_SEED) -> Tensor:
        """Return a sample with the given seed (an int gives the same noise each call) whatever the mode."""
        mean = ops.cast(mean, "float32")
        return mean + ops.exp(0.5 * gaussian.clip_log_var(log_var)) * batch_noise(ops.shape(mean), seed)

    def compute_output_shape(self, mean_shape: tuple, log_var_shape: tuple) -> tuple:
        """Return the shape of the mean."""
        return mean_shape

    def get_config(self) -> dict[str, Any]:
        """Return the seed."""
        return {**super().get_config(), "seed": self.seed}


def batch_noise(shape: tuple, seed: Any, draw: Callable[..., Tensor] = keras.random.normal) -> Tensor:
    """Return random numbers for this replica's rows, drawn for the whole batch: several devices see what one would.

    Args:
        shape: (B, ...), B on this replica.
        seed: A number, or a generator whose state moves on.
        draw: Draws float32 of a shape from a seed.
    """
    if replicas.count() > 1:
        shape = (shape[0] * replicas.count(), *shape[1:])
    return replicas.shard(draw(shape, dtype="float32", seed=seed))
