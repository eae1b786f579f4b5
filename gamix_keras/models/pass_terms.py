"""Terms of a validation pass that are no mean over its images: taken over the whole pass, not batch by batch."""

from typing import Any

import keras
from keras import ops

from gamix_keras import gaussian
from gamix_keras.distributed import replicas
from gamix_keras.training.trackers import PassStatistics

Tensor = Any


class PassImages(PassStatistics):
    """The number of images, for a loss that is made of terms of the pass."""

    def update_state(self, mean: Tensor, log_var: Tensor) -> None:
        """Take in a batch of posteriors, each (B, D)."""
        self.has_begun = True
        self.images.assign(self.images + ops.cast(ops.shape(mean)[0], "float32"))


class PassMoments(PassImages):
    """The moments of q(z) over a pass, merged batch by batch about their own means (Chan 1983).

    Args:
        kind: `means`, `total` or `full`, see `AggregateMoments`.
        latent_dim: D.
        divergence: Function of the mean and the second moment.
    """

    def __init__(self, kind: str, latent_dim: int, divergence: keras.losses.Loss) -> None:
        super().__init__("global_moments")
        self.kind, self.divergence = kind, divergence
        shape = (latent_dim, latent_dim) if kind == "full" else (latent_dim,)
        self.total = self.add_variable((latent_dim,), "zeros", name="total")
        self.within = self.add_variable((latent_dim,), "zeros", name="within")
        self.spread = self.add_variable(shape, "zeros", name="spread")

    def update_state(self, mean: Tensor, log_var: Tensor) -> None:
        """Take in a batch of posteriors, each (B, D); every replica gathers those of all."""
        size, before = ops.cast(ops.shape(mean)[0], "float32"), ops.convert_to_tensor(self.images)
        first = replicas.mean(ops.mean(mean, axis=0))
        gap = first - ops.divide_no_nan(ops.convert_to_tensor(self.total), before)
        spread = replicas.mean(ops.mean(self._squares(mean - first), axis=0))
        between = self._squares(gap[None])[0] * (before * size / (before + size))
        within = replicas.mean(ops.mean(ops.exp(gaussian.clip_log_var(log_var)), axis=0))
        self.total.assign(self.total + size * first)
        self.spread.assign(self.spread + size * spread + between)
        self.within.assign(self.within + size * within)
        super().update_state(mean, log_var)

    def value(self) -> Tensor:
        """Return the divergence of the moments so far."""
        count = ops.convert_to_tensor(self.images)
        mean, within, second = (ops.convert_to_tensor(v) / count for v in (self.total, self.within, self.spread))
        if self.kind == "total":
            second = second + within
        if self.kind == "full":
            second = second + ops.diag(within)
        return self.divergence.call(mean, second)

    def _squares(self, points: Tensor) -> Tensor:
        return points[:, :, None] * points[:, None, :] if self.kind == "full" else ops.square(points)


class PassFreeBits(PassImages):
    """The KL of a pass with free bits.

    Args:
        latent_dim: D.
        free_bits: Nats per group that are not penalised.
        group_size: Latents per group.
    """

    def __init__(self, latent_dim: int, free_bits: float, group_size: int) -> None:
        super().__init__("free_bits")
        self.free_bits, self.group_size = free_bits, group_size
        self.total = self.add_variable((latent_dim,), "zeros", name="total")

    def update_state(self, mean: Tensor, log_var: Tensor) -> None:
        """Take in a batch of posteriors, each (B, D)."""
        self.total.assign(self.total + ops.sum(gaussian.kl_to_standard(mean, log_var), axis=0))
        super().update_state(mean, log_var)

    def value(self) -> Tensor:
        """Return the sum over groups of their KL, or of their free bits if those are more."""
        per_latent = ops.convert_to_tensor(self.total) / ops.convert_to_tensor(self.images)
        per_group = ops.sum(ops.reshape(per_latent, (-1, self.group_size)), axis=-1)
        return ops.sum(ops.maximum(per_group, self.free_bits))
