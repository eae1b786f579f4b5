"""Divergences from the prior N(0, I): of each posterior, and of the aggregate posterior."""

from typing import Any

import keras
from keras import ops

from gamix_keras import gaussian
from gamix_keras.distributed import replicas
from gamix_keras.losses.base import ImageLoss

Tensor = Any


@keras.saving.register_keras_serializable("gamix_keras")
class StandardKL(ImageLoss):
    """KL(q(z|x) || N(0, I)) = 0.5 sum_d (mean^2 + exp(log_var) - 1 - log_var), nats per image.

    Called as `loss(mean, log_var)`, both (B, D).

    With free bits lambda > 0 the latents are split into groups of equal size, and each group counts
    max(lambda, batch mean of its KL): a group below lambda gets no gradient that would empty it further
    (Kingma 2016, eq. 15). The result is then one number for the batch.

    Args:
        free_bits: lambda, nats per group, >= 0.
        group_size: Latents per group; 1 is per dimension. Must divide D.

    Raises:
        ValueError: If `free_bits` is negative or not finite, or `group_size` below 1; on call, if it does not divide D.

    Examples:
        >>> mean, log_var = [[1.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]
        >>> round(float(StandardKL()(mean, log_var)), 3)
        0.5
        >>> round(float(StandardKL(free_bits=0.2)(mean, log_var)), 3)  # the second latent counts 0.2
        0.7
    """

    def __init__(
        self,
        free_bits: float = 0.0,
        group_size: int = 1,
        reduction: str = "sum_over_batch_size",
        name: str = "kl",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if not 0.0 <= free_bits < float("inf"):
            raise ValueError(f"StandardKL: free_bits: expected a finite number >= 0, got {free_bits!r}.")
        if group_size < 1:
            raise ValueError(f"StandardKL: group_size: expected a whole number >= 1, got {group_size!r}.")
        self.free_bits = free_bits
        self.group_size = group_size

    def __call__(self, mean: Tensor, log_var: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """Return the KL, each image's weighed if there are weights (B,); with free bits before the batch mean."""
        if not self.free_bits:
            return super().__call__(mean, log_var, sample_weight)
        return self.call(mean, log_var, sample_weight)

    def call(self, mean: Tensor, log_var: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """Return the KL of each image, shape (B,), or with free bits a scalar, for which the weights count."""
        terms = gaussian.kl_to_standard(mean, log_var)
        if not self.free_bits:
            return ops.sum(terms, axis=-1)
        if terms.shape[-1] % self.group_size:
            raise ValueError(
                f"StandardKL: group_size: expected a divisor of {terms.shape[-1]} latents, got {self.group_size}."
            )
        if sample_weight is not None:
            terms = terms * ops.cast(sample_weight, "float32")[:, None]
        per_group = ops.sum(ops.reshape(replicas.mean(ops.mean(terms, axis=0)), (-1, self.group_size)), axis=-1)
        # Not `maximum`, whose gradient at a tie differs by backend.
        return ops.sum(ops.where(per_group > self.free_bits, per_group, self.free_bits))

    @property
    def is_mean(self) -> bool:
        """Whether it is a mean: not with free bits, which make it one number for the batch."""
        return super().is_mean and not self.free_bits

    def get_config(self) -> dict[str, Any]:
        """Return free bits, group size and Keras's own arguments."""
        return {**super().get_config(), "free_bits": self.free_bits, "group_size": self.group_size}


@keras.saving.register_keras_serializable("gamix_keras")
class MomentKL(ImageLoss):
    """KL(N(m, S) || N(0, I)) of the moments of q(z): the global term of GAMIX (Rivera 2024), nats per image.

    Called as `loss(m, second)` with what `AggregateMoments` returns: a variance (D,) gives
    0.5 sum_d (m^2 + v - 1 - log v), a covariance (D, D) gives 0.5 (tr S + m'm - D - log det S). One number for the
    data set, so there is nothing to reduce, and no image to weigh: `sample_weight` is ignored. With the true moments
    it is a lower bound of KL(q(z) || p) among all q(z) that share them (a Gaussian has the largest entropy).
    """

    def __init__(self, reduction: str = "sum_over_batch_size", name: str = "global", dtype: Any = None) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    @property
    def is_mean(self) -> bool:
        """Whether it is a mean: no, it is one number for the batch."""
        return False

    def __call__(self, mean: Tensor, second: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """Return the divergence; weights of images have nothing to weigh here, and are ignored."""
        return super().__call__(mean, second)

    def call(self, mean: Tensor, second: Tensor) -> Tensor:
        """Return a scalar."""
        if len(second.shape) == 2:
            return gaussian.full_moments_kl(mean, second)
        return gaussian.moments_kl(mean, second)


@keras.saving.register_keras_serializable("gamix_keras")
class MixtureKL(ImageLoss):
    """KL(q(z) || N(0, I)) of the mixture itself: mean_i [log (1/B) sum_j N(z_i; mean_j, var_j) - log N(z_i; 0, I)].

    Called as `loss(z, (mean, log_var))`; z_i = mean_i + sigma_i eps_i are the batch's own samples, all (B, D), and are
    differentiated as that: a sample's own component has no gradient by its mean, however narrow the posteriors.
    Nats per image; it sees every moment, not only two, in O(B^2 D) time and memory (64 MB a copy at B = 512, D = 64).
    The minibatch stands for the data set: the estimate lies between the mean KL less log B and the mean KL, and with
    informative posteriors it exceeds KL(q(z) || p) of N images by up to log(N / B) (the bias bound of Hoffman &
    Johnson 2016 for the mutual information). Weights weigh each image's log-ratio, not its component of the mixture.
    """

    def __init__(self, reduction: str = "sum_over_batch_size", name: str = "global", dtype: Any = None) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, z: Tensor, posterior: tuple[Tensor, Tensor]) -> Tensor:
        """Return the log-ratio of each sample, shape (B,)."""
        mean, log_var = posterior
        mixture = gaussian.mixture_log_density(z, mean, gaussian.clip_log_var(log_var), own=True)
        return mixture - gaussian.standard_log_density(z)
