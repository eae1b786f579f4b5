"""GAMIX-VAE: the posterior as a mixture of Gaussians, with an optional PatchGAN critic."""

from typing import Any

import keras
from keras import ops

from gamix_keras.layers import AggregateMoments
from gamix_keras.losses import (
    AdversarialLoss,
    MixtureKL,
    MomentKL,
    PosteriorVariance,
    gradient_ratio,
    slope_penalty,
)
from gamix_keras.models.base import ImageVAE, Tensor
from gamix_keras.models.last_layer import LastLayer
from gamix_keras.training import Phase


@keras.saving.register_keras_serializable("gamix_keras")
class GAMIXVAE(ImageVAE):
    """loss = -log p(x|z) + global KL of q(z) + variance weight * sum_d (sigma^2 - 1 - log sigma^2) + adversarial term.

    The global term is one number for the data set, so the information that z carries of x costs nothing: that is
    why GAMIX does not collapse (Rivera 2024). The variance term keeps sigma from going to 0. Where there is a
    critic, a second phase trains it on the very reconstruction that the first phase scored.

    Logs, in nats per image unless said: `loss`, `reconstruction`, `global`, `variance`, `kl` and `elbo` (the standard
    ones, for comparison only), `psnr` (dB), `active_units`; with a critic `adversarial`, `critic`, `critic_real`
    and `critic_fake` (per patch), `critic_r1` and `adaptive_weight` where these are used.

    A critic that starts late or is ramped up is a schedule on the weight of the adversarial term (the critic itself
    trains from the first step, so that it is warm when it counts):

        WeightSchedule("adversarial_weight_variable", Schedule(end=100.0, length=2000, delay=5000))

    Args:
        encoder, decoder, likelihood, seed: see `ImageVAE`.
        critic: maps images to patch logits (B, h, w, 1), or None.
        moments: `means`, `total`, `full` (see `AggregateMoments`) or `mixture` (see `MixtureKL`).
        momentum: None for batch moments, else the momentum of running moments.
        global_weight, variance_weight, adversarial_weight: weights of the terms, >= 0, kept in the variables of the
            same names with `_variable` behind, which schedules may assign.
        adversarial: `bce`, `hinge` or `least_squares`.
        critic_weight: factor on the critic's own loss (the paper's code: 100; Adam barely notices).
        r1_weight: gamma >= 0 of the penalty gamma / 2 |grad D|^2 on real images, see `slope_penalty`, beside the
            critic's loss; kept in `r1_weight_variable`. 0 leaves it out of the step altogether. The critic must have
            no batch statistics and no dropout.
        adaptive_weight: whether the adversarial term is also multiplied by `gradient_ratio` of each batch, so that
            with `adversarial_weight` 1 both terms pull equally hard at the decoder's last kernel. It wants a functional
            decoder and a critic as for R1, and costs two more passes of that one layer.

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
        r1_weight: float = 0.0,
        adaptive_weight: bool = False,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        # The phases, hence the trackers, depend on the critic; Keras wants super().__init__ before sub-models.
        self._has_critic = critic is not None
        self.r1_weight, self.adaptive_weight = r1_weight, adaptive_weight
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
        self.r1_weight_variable = self.term_weight("r1_weight", r1_weight) if r1_weight else None
        self.last_layer = LastLayer(decoder) if self._adapts else None
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
        optional = {"critic_r1": self._has_critic and self.r1_weight, "adaptive_weight": self._adapts}
        return ("global", "variance", *critic, *(name for name, used in optional.items() if used))

    @property
    def _adapts(self) -> bool:
        return self._has_critic and self.adaptive_weight

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
        features, output = self.last_layer.decode(z, training) if self.last_layer else (None, None)
        terms, output = self.common_terms(images, posterior, training, output)
        terms["global"] = self._global_term(mean, log_var, z, training)
        terms["variance"] = self.variance_loss(mean, log_var)
        loss = (
            terms["reconstruction"]
            + self.global_weight_variable * terms["global"]
            + self.variance_weight_variable * terms["variance"]
        )
        if self.critic is not None:
            balance = 1.0
            if self.last_layer is None:
                terms["adversarial"], _ = self._adversarial(output, training)
            else:
                terms["adversarial"], balance = self._balanced(images, features, output, training)
                terms["adaptive_weight"] = balance
            loss = loss + self.adversarial_weight_variable * balance * terms["adversarial"]
            carry = {**carry, "fake": ops.stop_gradient(self.likelihood.location(output))}
        terms["loss"] = loss
        return terms, carry

    def _adversarial(self, output: Tensor, training: bool) -> tuple[Tensor, Tensor]:
        """The term, a mean over the patches of the batch, and their number."""
        # The location is not clipped: a clip has no gradient where the decoder overshoots.
        logits = self.critic(self.likelihood.location(output), training=training)
        real = ops.ones_like(logits)
        return self.generator_loss(real, logits), ops.sum(real)

    def _balanced(self, images: Tensor, features: Tensor, output: Tensor, training: bool) -> tuple[Tensor, Tensor]:
        """The adversarial term, and the ratio of the two terms' gradients by the decoder's last kernel.

        The critic is walked back once: its gradient by the output serves the ratio, and then the term itself.
        """

        def summed(y: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            # A sum over patches rather than their mean: in float16 the parts of a mean would vanish.
            term, patches = self._adversarial(y, training)
            return patches * term, (term, patches)

        fixed = ops.stop_gradient(output)
        slope, (term, patches) = self.input_gradient(summed, fixed)
        slope, term = ops.stop_gradient(slope) / patches, ops.stop_gradient(term)
        pull = self.input_gradient(lambda y: (self.negative_log_likelihood(images, y), ()), fixed)[0]
        kernel = [self.last_layer.kernel_gradient(self.input_gradient, features, part) for part in (pull, slope)]
        # Worth the term, with the gradient that is known already.
        return term + ops.sum(slope * (output - fixed)), gradient_ratio(*kernel)

    def critic_losses(self, images: Tensor, training: bool, carry: dict) -> tuple[dict, dict]:
        """The critic on real and reconstructed images in one pass."""
        count = ops.shape(images)[0]

        def judge(x: Tensor) -> tuple[Tensor, Tensor]:
            logits = self.critic(ops.concatenate([x, carry["fake"]], axis=0), training=training)
            return ops.sum(logits[:count]), logits

        if self.r1_weight_variable is None:
            _, logits = judge(images)
        else:
            slope, logits = self.input_gradient(judge, images, again=True)
        real, fake = logits[:count], logits[count:]
        terms = {
            "critic_real": self.critic_loss(ops.ones_like(real), real),
            "critic_fake": self.critic_loss(ops.zeros_like(fake), fake),
        }
        loss = terms["critic_real"] + terms["critic_fake"]
        if self.r1_weight_variable is not None:
            terms["critic_r1"] = slope_penalty(slope, logits.shape[1] * logits.shape[2])
            loss = loss + self.r1_weight_variable * terms["critic_r1"]
        terms["loss"] = self.critic_weight_variable * loss
        return terms, carry

    def _global_term(self, mean: Tensor, log_var: Tensor, z: Tensor, training: bool) -> Tensor:
        if self.aggregate is None:
            return self.global_loss(z, (mean, log_var))
        return self.global_loss(*self.aggregate(mean, log_var, training=training))

    def get_config(self) -> dict[str, Any]:
        """Everything the constructor takes."""
        critic = None if self.critic is None else keras.saving.serialize_keras_object(self.critic)
        own = {"moments": self.moments, "momentum": self.momentum, "adversarial": self.adversarial}
        own |= {"r1_weight": self.r1_weight, "adaptive_weight": self.adaptive_weight}
        return {**super().get_config(), "critic": critic, **own, **self._weights_given}
