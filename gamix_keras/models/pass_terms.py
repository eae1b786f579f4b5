"""Terms of a validation pass that are no mean over its images: taken over the whole pass, not batch by batch."""

from typing import Any

import keras
from keras import ops

from gamix_keras import gaussian
from gamix_keras.distributed import replicas
from gamix_keras.training.pass_noise import pass_noise
from gamix_keras.training.trackers import PassStatistics

Tensor = Any


class PassImages(PassStatistics):
    """The number of images, for a loss that is made of terms of the pass."""

    def update_state(self, mean: Tensor, log_var: Tensor, weights: Tensor | None = None) -> None:
        """Take in a batch of posteriors, each (B, D), and maybe the weight of each, (B,)."""
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

    def update_state(self, mean: Tensor, log_var: Tensor, weights: Tensor | None = None) -> None:
        """Take in a batch of posteriors, each (B, D); weights do not count, and every replica gathers those of all."""
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


class PassMixture(PassImages):
    """The mixture's divergence over the first images of a pass, whatever its batches, see `MixtureKL`.

    Not over all of them: it takes O(K^2 D) time and memory, and is worth log K nats less than the mean KL if posteriors
    are apart, so passes compare if K is the same.

    Args:
        latent_dim: D.
        size: K, the most images that are kept.
    """

    def __init__(self, latent_dim: int, size: int = 256) -> None:
        super().__init__("global_mixture")
        self.mean = self.add_variable((size, latent_dim), "zeros", name="mean")
        self.log_var = self.add_variable((size, latent_dim), "zeros", name="log_var")
        self.weight = self.add_variable((size, 1), "zeros", name="weight")

    def update_state(self, mean: Tensor, log_var: Tensor, weights: Tensor | None = None) -> None:
        """Take in a batch of posteriors, each (B, D), and maybe the weight of each, (B,)."""
        weights = ops.ones_like(mean[:, 0]) if weights is None else weights
        for kept, values in ((self.mean, mean), (self.log_var, log_var), (self.weight, weights[:, None])):
            kept.assign(self._with_rows(kept, values))
        super().update_state(mean, log_var)

    def _with_rows(self, kept: keras.Variable, values: Tensor) -> Tensor:
        """Return what is kept with a batch in the rows of its images."""
        count = ops.shape(values)[0]
        places = ops.arange(kept.shape[0]) - ops.cast(self.images, "int32")
        is_new = (places >= 0) & (places < count)
        return ops.where(
            is_new[:, None], ops.take(values, ops.clip(places, 0, count - 1), axis=0), ops.convert_to_tensor(kept)
        )

    def value(self) -> Tensor:
        """Return the weighted mean log-ratio of each kept image's own sample."""
        mean, log_var = ops.convert_to_tensor(self.mean), gaussian.clip_log_var(self.log_var)
        z = mean + ops.exp(0.5 * log_var) * pass_noise(0, mean.shape)
        is_kept = ops.arange(mean.shape[0]) < ops.cast(self.images, "int32")
        count = ops.sum(ops.cast(is_kept, "float32"))
        logs = ops.where(is_kept, gaussian.log_density(z[:, None], mean, log_var), -1e30)
        ratio = ops.logsumexp(logs, axis=-1) - ops.log(count) - gaussian.standard_log_density(z)
        return ops.sum(ops.where(is_kept, self.weight[:, 0] * ratio, 0.0)) / count


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

    def update_state(self, mean: Tensor, log_var: Tensor, weights: Tensor | None = None) -> None:
        """Take in a batch of posteriors, each (B, D)."""
        divergences = gaussian.kl_to_standard(mean, log_var)
        divergences = divergences if weights is None else divergences * weights[:, None]
        self.total.assign(self.total + ops.sum(divergences, axis=0))
        super().update_state(mean, log_var)

    def value(self) -> Tensor:
        """Return the sum over groups of their KL, or of their free bits if those are more."""
        per_latent = ops.convert_to_tensor(self.total) / ops.convert_to_tensor(self.images)
        per_group = ops.sum(ops.reshape(per_latent, (-1, self.group_size)), axis=-1)
        return ops.sum(ops.maximum(per_group, self.free_bits))
