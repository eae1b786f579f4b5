"""Draws from the aggregate posterior while the model trains."""

from typing import Any

import keras
from keras import ops

from gamix_keras.layers.moments import AggregateMoments
from gamix_keras.layers.sampling import batch_noise

Tensor = Any
# 1 - 1/e of the average's weight: about 1 / (1 - momentum) batches.
WARM = 0.632
# Share of the mean variance that is added to each: rounding must not make the covariance indefinite.
JITTER, TINY = 1e-4, 1e-12


@keras.saving.register_keras_serializable("gamix_keras")
class AggregateDraws(keras.layers.Layer):
    """Draws z ~ N(m, S), m and S the running mean and covariance of q(z), see `AggregateMoments` with kind `full`.

    No gradient flows through a draw: it is a point of latent space, not the encoder's.

    Args:
        momentum: In (0, 1): 0.99 averages over about 100 batches.
        seed: Seed of the layer's own generator, whose state is part of the model.

    Raises:
        ValueError: If `momentum` is out of its range.
    """

    def __init__(self, momentum: float = 0.99, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(dtype=kwargs.pop("dtype", "float32"), **kwargs)
        self.momentum = momentum
        self.seed = seed
        self.moments = AggregateMoments("full", momentum, name="moments")
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, mean_shape: tuple, log_var_shape: tuple | None = None) -> None:
        """Create the running moments."""
        if not self.moments.built:
            self.moments.build(mean_shape, log_var_shape)

    def call(self, mean: Tensor, log_var: Tensor) -> None:
        """Take in a training batch of posteriors, each (B, D)."""
        self.moments(ops.stop_gradient(mean), ops.stop_gradient(log_var), training=True)

    def noise(self, count: Any) -> Tensor:
        """Return what `draw` takes, (count, D): the state of the generator moves on."""
        shape = (count, self.moments.averages["first"].shape[0])
        return batch_noise(shape, self.seed_generator, keras.random.normal)

    @property
    def is_warm(self) -> Tensor:
        """Whether the moments have seen about 1 / (1 - momentum) batches."""
        return ops.convert_to_tensor(self.moments.averages["weight"]) > WARM

    def skip_warm_up(self) -> None:
        """Take the moments for warm from now on, whatever they have seen: for a trial of a training's later steps."""
        self.moments.averages["weight"].assign(1.0)

    def draw(self, noise: Tensor) -> Tensor:
        """Return m + L noise, (N, D), of standard normal noise (N, D), with L L' = S + 1e-4 mean(diag S) I."""
        mean, covariance = self.moments.current()
        jitter = (JITTER * ops.mean(ops.diagonal(covariance)) + TINY) * ops.eye(covariance.shape[0], dtype="float32")
        factor = ops.cholesky(covariance + jitter)
        return ops.stop_gradient(mean + ops.matmul(noise, ops.transpose(factor)))

    def get_config(self) -> dict[str, Any]:
        """Return momentum and seed."""
        return {**super().get_config(), "momentum": self.momentum, "seed": self.seed}
