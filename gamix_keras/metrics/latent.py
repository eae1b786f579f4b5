"""Latent metrics for the training loop; `latent_statistics` holds those for evaluation."""

from typing import Any

import keras
from keras import ops

Tensor = Any


@keras.saving.register_keras_serializable("gamix_keras")
class ActiveUnits(keras.metrics.Metric):
    """Number of latent dimensions whose posterior mean moves from image to image.

    A dimension is active when Var_i(mu_i) > threshold (Burda, Grosse & Salakhutdinov 2016, "Importance
    weighted autoencoders", threshold 0.01). The population variance is streamed over batches by the merge of
    Chan, Golub & LeVeque (1983), which does not cancel in float32. On several replicas that keep their own
    state the within-replica variances are pooled, which leaves out the spread of the replicas' means (of
    order 1 / images).

    Args:
        latent_dim: Number of latent dimensions D.
        threshold: Variance above which a dimension counts as active.
        name: Name of the metric in the logs.
        dtype: Dtype of the accumulators.

    Raises:
        ValueError: If latent_dim is not positive or threshold is negative.
    """

    _direction = "up"  # for mode="auto" of Keras's callbacks

    def __init__(
        self,
        latent_dim: int,
        threshold: float = 0.01,
        name: str = "active_units",
        dtype: str | keras.DTypePolicy | None = None,
    ) -> None:
        if latent_dim < 1:
            raise ValueError(f"latent_dim: expected a positive whole number, got {latent_dim!r}")
        if threshold < 0:
            raise ValueError(f"threshold: expected a number >= 0, got {threshold!r}")
        super().__init__(name=name, dtype=dtype)
        self.latent_dim, self.threshold = int(latent_dim), float(threshold)
        self.count = self.add_variable((), "zeros", name="count")
        # Sums, not means: replicas' variables are added up when they are read.
        self.total = self.add_variable((self.latent_dim,), "zeros", name="total")
        self.squares = self.add_variable((self.latent_dim,), "zeros", name="squares")

    def update_state(self, mean: Tensor, sample_weight: Tensor | None = None) -> None:
        """Add a batch.

        Args:
            mean: Posterior means, (B, D).
            sample_weight: Optional weight of each image, (B,) or a scalar.
        """
        mean = ops.cast(mean, self.dtype)
        weight = ops.ones_like(mean[:, :1])
        if sample_weight is not None:
            weight = weight * ops.reshape(ops.cast(sample_weight, self.dtype), (-1, 1))
        count, total = ops.sum(weight), ops.sum(weight * mean, axis=0)
        centre = _safe_divide(total, count)
        squares = ops.sum(weight * ops.square(mean - centre), axis=0)
        gap = centre - _safe_divide(self.total, self.count)
        between = ops.square(gap) * _safe_divide(self.count * count, self.count + count)
        self.squares.assign(self.squares + squares + between)
        self.total.assign(self.total + total)
        self.count.assign(self.count + count)

    def variance(self) -> Tensor:
        """Return the variance over images of the posterior mean of each dimension, (D,)."""
        return _safe_divide(self.squares, self.count)

    def result(self) -> Tensor:
        """Return the number of active dimensions, a scalar in [0, D]."""
        return ops.sum(ops.cast(self.variance() > self.threshold, self.dtype))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "latent_dim": self.latent_dim, "threshold": self.threshold}


def _safe_divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Divide, with 0 for a denominator of 0 (nothing accumulated yet)."""
    return ops.divide_no_nan(numerator, denominator)
