"""The VAE with the standard ELBO."""

from typing import Any

import keras

from gamix_keras.distributed import replicas
from gamix_keras.losses import StandardKL
from gamix_keras.losses.likelihoods import absolute
from gamix_keras.models.base import ImageVAE, Tensor
from gamix_keras.models.pass_terms import PassFreeBits, PassImages
from gamix_keras.models.term_weights import checked_weight
from gamix_keras.training import Batch, Phase, Terms


@keras.saving.register_keras_serializable("gamix_keras")
class VAE(ImageVAE):
    """loss = -log p(x|z) + beta KL(q(z|x) || N(0, I)), nats per image (Kingma & Welling 2014; beta: Higgins 2017).

    Logs `loss`, `reconstruction`, `kl` (after free bits, if any), `elbo` (beta = 1, no free bits), `psnr`,
    `active_units`.

    A warm-up of the KL is a schedule: `WeightSchedule("kl", Schedule(end=1.0, length=5000))`.

    Args:
        encoder: See `ImageVAE`.
        decoder: See `ImageVAE`.
        likelihood: See `ImageVAE`.
        beta: Weight of the KL, >= 0; kept in `term_weights["kl"]`.
        capacity: None, or C >= 0 in nats per image: the loss then has beta |KL - C|, which pulls the KL up to C as well
            as down (Burgess 2018, eq. 8, where beta is called gamma and is large: 1000 for 64x64 images). Kept in
            `term_weights["capacity"]`, which a schedule may raise from 0. `kl` is logged as it is.
        free_bits: Nats per group of latents that are not penalised, see `StandardKL`.
        group_size: Latents per group.
        seed: See `ImageVAE`.
        **kwargs: `ema_decay`, `ema_start`, `perceptual`, `perceptual_weight` and `name`, see `ImageVAE`.

    Raises:
        ValueError: If shapes do not fit or a number is out of its range.
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
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        weights = {"kl": checked_weight("VAE: beta", beta)}
        if capacity is not None:
            weights["capacity"] = checked_weight("VAE: capacity", capacity)
        super().__init__(encoder, decoder, likelihood, seed, term_weights=weights, **kwargs)
        self.beta = beta
        self.kl = StandardKL(free_bits, group_size)
        self.capacity = capacity
        if free_bits:
            self.gather(PassFreeBits(self.latent_dim, free_bits, group_size), "kl")
        elif capacity is not None:
            self.gather(PassImages("pass_images"))
        self.build(self.encoder.input_shape)

    def phases(self) -> list[Phase]:
        """Return one: the negative ELBO over encoder and decoder."""
        optimizer = self.phase_optimizer("autoencoder")
        return [Phase("autoencoder", self.autoencoder_losses, self.autoencoder_variables, optimizer)]

    def autoencoder_losses(self, batch: Batch, training: bool, carry: dict) -> tuple[dict, dict]:
        """Return the terms of the negative ELBO on a batch."""
        terms, _ = self.common_terms(batch, self.posterior(batch, training), training)
        terms["loss"] = self.objective(terms)
        return terms, carry

    def objective(self, terms: Terms) -> Tensor:
        """Return the loss that is made of terms."""
        excess = terms["kl"]
        if self.capacity is not None:
            excess = absolute(replicas.mean(excess) - self.term_weights["capacity"])
        return terms["reconstruction"] + self.term_weights["kl"] * excess + self.beyond_elbo(terms)

    def get_config(self) -> dict[str, Any]:
        """Return everything that the constructor takes."""
        own = {"beta": self.beta, "capacity": self.capacity}
        return {**super().get_config(), **own, "free_bits": self.kl.free_bits, "group_size": self.kl.group_size}
