"""GAMIX-VAE: the posterior as a mixture of Gaussians, with an optional PatchGAN critic."""

from typing import Any

import keras
from keras import ops

from gamix_keras.layers import AggregateMoments
from gamix_keras.losses import AdversarialLoss, MixtureKL, MomentKL, PosteriorVariance
from gamix_keras.models.base import ImageVAE, Tensor
from gamix_keras.training import Phase


@keras.saving.register_keras_serializable("gamix_keras")
class GAMIXVAE(ImageVAE):
    """loss = -log p(x|z) + global KL of q(z) + variance weight * sum_d (sigma^2 - 1 - log sigma^2) + adversarial term.

    The global term is one number for the data set, so the information that z carries of x costs nothing: that is
    why GAMIX does not collapse (Rivera 2024). The variance term keeps sigma from going to 0. Where there is a
    critic, a second phase trains it on the very reconstruction that the first phase scored.

    Logs, in nats per image unless said: `loss`, `reconstruction`, `global`, `variance`, `kl` and `elbo` (the standard
    ones, for comparison only), `psnr` (dB), `active_units`; with a critic `adversarial`, `critic`, `critic_real`
    and `critic_fake` (per patch).

    Args:
        encoder, decoder, likelihood, seed: see `ImageVAE`.
        critic: maps images to patch logits (B, h, w, 1), or None.
        moments: `means`, `total`, `full` (see `AggregateMoments`) or `mixture` (see `MixtureKL`).
        momentum: None for batch moments, else the momentum of running moments.
        global_weight, variance_weight, adversarial_weight: weights of the terms, >= 0, kept in the variables of the
            same names with `_variable` behind, which schedules may assign.
        adversarial: `bce`, `hinge` or `least_squares`.
        critic_weight: factor on the critic's own loss (the paper's code: 100; Adam barely notices).

    Raises:
        ValueError: where shapes do not fit or a number is out of its range.
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        likelihood: keras.losses.Loss,
        critic: keras.Model | None = None,
        moments: str = "means",
        momentum: float | None = None,
        global_weight: float = 1.0,
        variance_weight: float = 0.1,
        adversarial: str = "bce",
        adversarial_weight: float = 100.0,
        critic_weight: float = 1.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        # The phases, hence the trackers, depend on the critic; Keras wants super().__init__ before sub-models.
        self._has_critic = critic is not None
        super().__init__(encoder, decoder, likelihood, seed, **kwargs)
        self.critic = critic
        self.moments = moments
        self.momentum = momentum
        self.adversarial = adversarial
        self._weights_given = {
            "global_weight": global_weight,
            "variance_weight": variance_weight,
            "adversarial_weight": adversarial_weight,
            "critic_weight": critic_weight,
        }
        for name, value in self._weights_given.items():
            setattr(self, f"{name}_variable", self.term_weight(name, value))
        self._make_losses()
        self.build(encoder.input_shape)

    def _make_losses(self) -> None:
        if self.moments == "mixture" and self.momentum is not None:
            raise ValueError("GAMIXVAE: momentum: expected None with moments='mixture', which keeps no moments.")
        mixture = self.moments == "mixture"
        self.aggregate = None if mixture else AggregateMoments(self.moments, self.momentum, name="aggregate")
        self.global_loss = MixtureKL() if mixture else MomentKL()
        self.variance_loss = PosteriorVariance()
        self.generator_loss = AdversarialLoss(self.adversarial, "generator")
        self.critic_loss = AdversarialLoss(self.adversarial, "critic")

    def build(self, input_shape: Any = None) -> None:
        """Builds the layers that are not networks."""
        super().build(input_shape)
        latent = (None, self.latent_dim)
        if self.aggregate is not None and not self.aggregate.built:
            self.aggregate.build(latent, latent)

    @property
    def extra_terms(self) -> tuple[str, ...]:
        """The terms of GAMIX, and those of its critic if there is one."""
        critic = ("adversarial", "critic", "critic_real", "critic_fake") if self._has_critic else ()
        return ("global", "variance", *critic)

    @property
    def phase_names(self) -> tuple[str, ...]:
        """`autoencoder`, and `critic` where there is one."""
        return ("autoencoder", "critic") if self._has_critic else ("autoencoder",)

    def phases(self) -> list[Phase]:
        """The autoencoder's phase, then the critic's."""
        optimizer = self.phase_optimizer("autoencoder")
        phases = [Phase("autoencoder", self.autoencoder_losses, self.autoencoder_variables, optimizer)]
        if self.critic is not None:
            optimizer = self.phase_optimizer("critic")
            phases.append(Phase("critic", self.critic_losses, self.critic.trainable_variables, optimizer))
        return phases

    def autoencoder_losses(self, images: Tensor, training: bool, carry: dict) -> tuple[dict, dict]:
        """Terms of the GAMIX objective on a batch; hands the reconstruction to the critic, gradient stopped."""
        mean, log_var, z = posterior = self.posterior(images, training)
        terms, output = self.common_terms(images, posterior, training)
        terms["global"] = self._global_term(mean, log_var, z, training)
        terms["variance"] = self.variance_loss(mean, log_var)
        loss = (
            terms["reconstruction"]
            + self.global_weight_variable * terms["global"]
            + self.variance_weight_variable * terms["variance"]
        )
        if self.critic is not None:
            # The location is not clipped: a clip has no gradient where the decoder overshoots.
            fake = self.likelihood.location(output)
            logits = self.critic(fake, training=training)
            terms["adversarial"] = self.generator_loss(ops.ones_like(logits), logits)
            loss = loss + self.adversarial_weight_variable * terms["adversarial"]
            carry = {**carry, "fake": ops.stop_gradient(fake)}
        terms["loss"] = loss
        return terms, carry

    def critic_losses(self, images: Tensor, training: bool, carry: dict) -> tuple[dict, dict]:
        """The critic on real and reconstructed images in one pass."""
        logits = self.critic(ops.concatenate([images, carry["fake"]], axis=0), training=training)
        count = ops.shape(images)[0]
        real, fake = logits[:count], logits[count:]
        terms = {
            "critic_real": self.critic_loss(ops.ones_like(real), real),
            "critic_fake": self.critic_loss(ops.zeros_like(fake), fake),
        }
        terms["loss"] = self.critic_weight_variable * (terms["critic_real"] + terms["critic_fake"])
        return terms, carry

    def _global_term(self, mean: Tensor, log_var: Tensor, z: Tensor, training: bool) -> Tensor:
        if self.aggregate is None:
            return self.global_loss(z, (mean, log_var))
        return self.global_loss(*self.aggregate(mean, log_var, training=training))

    def get_config(self) -> dict[str, Any]:
        """Everything the constructor takes."""
        critic = None if self.critic is None else keras.saving.serialize_keras_object(self.critic)
        own = {"moments": self.moments, "momentum": self.momentum, "adversarial": self.adversarial}
        return {**super().get_config(), "critic": critic, **own, **self._weights_given}
