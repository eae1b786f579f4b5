"""The VAE with the standard ELBO."""

from typing import Any

import keras

from gamix_keras.distributed import replicas
from gamix_keras.losses import StandardKL
from gamix_keras.losses.likelihoods import absolute
from gamix_keras.models.adversarial import AdversarialVAE
from gamix_keras.models.base import Tensor
from gamix_keras.models.pass_terms import PassFreeBits, PassImages
from gamix_keras.models.term_weights import checked_weight
from gamix_keras.training import Terms


@keras.saving.register_keras_serializable("gamix_keras")
class VAE(AdversarialVAE):
    """loss = -log p(x|z) + beta KL(q(z|x) || N(0, I)), nats per image (Kingma & Welling 2014; beta: Higgins 2017).

    With a critic the loss also has the adversarial term, and a second phase trains the critic: a VAE-GAN (Larsen 2016;
    with a learned scale, a perceptual term and an adaptive weight the autoencoder of Esser 2021).

    Logs `loss`, `reconstruction`, `kl` (after free bits, if any), `elbo` (beta = 1, no free bits), `psnr`,
    `active_units`; with a critic what `GAMIXVAE` logs of it.

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
        critic: See `GAMIXVAE`, as for all that follows; without one the rest does nothing.
        adversarial: The adversarial loss.
        adversarial_weight: Weight of the adversarial term.
        critic_weight: Factor on the critic's own loss.
        r1_weight: gamma of the penalty on the critic's slope.
        adaptive_weight: Whether a ratio of gradients weighs the adversarial term too.
        adaptive_every: Steps between two such ratios.
        adversarial_samples: Share of the batch of decoded draws that the critic judges too.
        augment: What happens to images before they are judged.
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
        critic: keras.Model | None = None,
        adversarial: str = "bce",
        adversarial_weight: float = 100.0,
        critic_weight: float = 1.0,
        r1_weight: float = 0.0,
        adaptive_weight: bool = False,
        adaptive_every: int = 1,
        adversarial_samples: float = 0.0,
        augment: str = "none",
        **kwargs: Any,
    ) -> None:
        weights = {"kl": checked_weight("VAE: beta", beta)}
        if capacity is not None:
            weights["capacity"] = checked_weight("VAE: capacity", capacity)
        self._critic_weights = {"adversarial_weight": adversarial_weight, "critic_weight": critic_weight}
        for name, value in self._critic_weights.items() if critic is not None else ():
            weights[name.removesuffix("_weight")] = checked_weight(f"VAE: {name}", value)
        super().__init__(
            encoder,
            decoder,
            likelihood,
            critic,
            seed,
            weights,
            adversarial=adversarial,
            r1_weight=r1_weight,
            adaptive_weight=adaptive_weight,
            adaptive_every=adaptive_every,
            adversarial_samples=adversarial_samples,
            augment=augment,
            **kwargs,
        )
        self.beta = beta
        self.kl = StandardKL(free_bits, group_size)
        self.capacity = capacity
        if free_bits:
            self.gather(PassFreeBits(self.latent_dim, free_bits, group_size), "kl")
        elif capacity is not None:
            self.gather(PassImages("pass_images"))
        self.build(self.encoder.input_shape)

    def objective(self, terms: Terms) -> Tensor:
        """Return the loss that is made of terms."""
        excess = terms["kl"]
        if self.capacity is not None:
            excess = absolute(replicas.mean(excess) - self.term_weights["capacity"])
        return terms["reconstruction"] + self.term_weights["kl"] * excess + self.beside_elbo(terms)

    def get_config(self) -> dict[str, Any]:
        """Return everything that the constructor takes."""
        own = {"beta": self.beta, "capacity": self.capacity, **self._critic_weights}
        return {**super().get_config(), **own, "free_bits": self.kl.free_bits, "group_size": self.kl.group_size}
