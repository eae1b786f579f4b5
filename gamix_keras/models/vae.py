"""The VAE with the standard ELBO."""

from typing import Any

import keras
from keras import ops

from gamix_keras.distributed import replicas
from gamix_keras.losses import StandardKL
from gamix_keras.models.base import ImageVAE, Tensor
from gamix_keras.training import Phase


@keras.saving.register_keras_serializable("gamix_keras")
class VAE(ImageVAE):
    """loss = -log p(x|z) + beta KL(q(z|x) || N(0, I)), nats per image (Kingma & Welling 2014; beta: Higgins 2017).

    Logs `loss`, `reconstruction`, `kl` (after free bits, if any), `elbo` (beta = 1, no free bits), `psnr`,
    `active_units`.

    A warm-up of the KL is a schedule: `WeightSchedule("beta_weight", Schedule(end=1.0, length=5000))`.

    Args:
        encoder, decoder, likelihood, seed: see `ImageVAE`.
        beta: weight of the KL, >= 0; kept in the variable `beta_weight`, which schedules may assign.
        capacity: None, or C >= 0 in nats per image: the loss then has beta |KL - C|, which pulls the KL up to C as well
            as down (Burgess 2018, eq. 8, where beta is called gamma and is large: 1000 for 64x64 images). Kept in the
            variable `capacity_target`, which a schedule may raise from 0. `kl` is logged as it is.
        free_bits: nats per group of latents that are not penalised, see `StandardKL`.
        group_size: latents per group.

    Raises:
        ValueError: where shapes do not fit or a number is out of its range.
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        likelihood: keras.losses.Loss,
        beta: float = 1.0,
        free_bits: float = 0.0,
        group_size: int = 1,
        capacity: float | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoder, decoder, likelihood, seed, **kwargs)
        self.beta = beta
        self.kl = StandardKL(free_bits, group_size)
        self.beta_weight = self.term_weight("beta", beta)
        self.capacity = capacity
        self.capacity_target = None if capacity is None else self.term_weight("capacity", capacity)
        self.build(encoder.input_shape)

    def phases(self) -> list[Phase]:
        """One: the negative ELBO over encoder and decoder."""
        optimizer = self.phase_optimizer("autoencoder")
        return [Phase("autoencoder", self.autoencoder_losses, self.autoencoder_variables, optimizer)]

    def autoencoder_losses(self, images: Tensor, training: bool, carry: dict) -> tuple[dict, dict]:
        """Terms of the negative ELBO on a batch."""
        terms, _ = self.common_terms(images, self.posterior(images, training), training)
        excess = terms["kl"]
        if self.capacity_target is not None:
            excess = ops.abs(replicas.mean(excess) - self.capacity_target)
        terms["loss"] = terms["reconstruction"] + self.beta_weight * excess
        return terms, carry

    def get_config(self) -> dict[str, Any]:
        """Everything the constructor takes."""
        own = {"beta": self.beta, "capacity": self.capacity}
        return {**super().get_config(), **own, "free_bits": self.kl.free_bits, "group_size": self.kl.group_size}
