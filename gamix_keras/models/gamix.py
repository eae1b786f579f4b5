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
from gamix_keras.models.networks import functional
from gamix_keras.models.pass_terms import PassMoments
from gamix_keras.models.term_weights import checked_weight
from gamix_keras.training import Batch, Phase, Terms


@keras.saving.register_keras_serializable("gamix_keras")
class GAMIXVAE(ImageVAE):
    """loss = -log p(x|z) + global KL of q(z) + variance weight * sum_d (sigma^2 - 1 - log sigma^2) + adversarial term.

    The global term is one number for the data set, so the information that z carries of x costs nothing: that is
    why GAMIX does not collapse (Rivera 2024). The variance term keeps sigma from going to 0. If there is a critic,
    a second phase trains it on the very reconstruction that the first phase scored.

    Logs, in nats per image unless said: `loss`, `reconstruction`, `global`, `variance`, `kl` and `elbo` (the standard
    ones, for comparison only), `psnr` (dB), `active_units`; with a critic `adversarial`, `critic`, `critic_real`
    and `critic_fake` (per patch), `critic_r1` and `adaptive_weight` if these are used.

    The weights of the terms are variables, `term_weights["global"]` and the like, which schedules may assign. A critic
    that starts late or is ramped up is a schedule on the weight of the adversarial term (the critic itself trains from
    the first step, so that it is warm when it counts):

        WeightSchedule("adversarial", Schedule(end=100.0, length=2000, delay=5000))

    Args:
        encoder: See `ImageVAE`.
        decoder: See `ImageVAE`.
        likelihood: See `ImageVAE`.
        critic: Network from images to patch logits (B, h, w, 1), or None.
        moments: `means`, `total`, `full` (see `AggregateMoments`) or `mixture` (see `MixtureKL`).
        momentum: None for batch moments, else the momentum of running moments.
        global_weight: Weight of the global term, >= 0: `term_weights["global"]`.
        variance_weight: Weight of the variance term, >= 0: `term_weights["variance"]`.
        adversarial: `bce`, `hinge` or `least_squares`.
        adversarial_weight: Weight of the adversarial term, >= 0: `term_weights["adversarial"]`.
        critic_weight: Factor on the critic's own loss, >= 0: `term_weights["critic"]` (the paper's code: 100; Adam
            barely notices).
        r1_weight: gamma >= 0 of the penalty gamma / 2 |grad D|^2 on real images, see `slope_penalty`, in addition to
            the critic's loss: `term_weights["critic_r1"]`. 0 leaves it out of the step altogether. The critic must
            have no batch statistics and no dropout.
        adaptive_weight: Whether the adversarial term is also multiplied by `gradient_ratio` of each batch, so that
            with `adversarial_weight` 1 both terms pull equally hard at the decoder's last kernel. It wants a functional
            decoder and a critic as for R1, and costs two more passes of that one layer.
        seed: See `ImageVAE`.
        **kwargs: `ema_decay`, `ema_start` and `name`, see `ImageVAE`.

    Raises:
        ValueError: If shapes do not fit or a number is out of its range.
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
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        # The phases, hence the trackers, depend on the critic; Keras wants super().__init__ before sub-models.
        self._has_critic = critic is not None
        self.r1_weight, self.adaptive_weight = r1_weight, adaptive_weight
        self._weights_given = {
            "global_weight": global_weight,
            "variance_weight": variance_weight,
            "adversarial_weight": adversarial_weight,
            "critic_weight": critic_weight,
        }
        weights = {
            name.removesuffix("_weight"): checked_weight(f"GAMIXVAE: {name}", value)
            for name, value in self._weights_given.items()
        }
        if r1_weight:
            weights["critic_r1"] = checked_weight("GAMIXVAE: r1_weight", r1_weight)
        super().__init__(encoder, decoder, likelihood, seed, term_weights=weights, **kwargs)
        self.critic = None if critic is None else functional(f"{type(self).__name__}: critic", critic, self.image_shape)
        self.moments = moments
        self.momentum = momentum
        self.adversarial = adversarial
        self.last_layer = LastLayer(self.decoder) if self._adapts else None
        self._make_losses()
        self.build(self.encoder.input_shape)

    def _make_losses(self) -> None:
        if self.moments == "mixture" and self.momentum is not None:
            raise ValueError("GAMIXVAE: momentum: expected None with moments='mixture', which keeps no moments.")
        mixture = self.moments == "mixture"
        self.aggregate = None if mixture else AggregateMoments(self.moments, self.momentum, name="aggregate")
        self.global_loss = MixtureKL() if mixture else MomentKL()
        if not mixture:
            self.gather(PassMoments(self.moments, self.latent_dim, self.global_loss), "global")
        self.variance_loss = PosteriorVariance()
        self.generator_loss = AdversarialLoss(self.adversarial, "generator")
        self.critic_loss = AdversarialLoss(self.adversarial, "critic")

    def build(self, input_shape: Any = None) -> None:
        """Build the layers that are not networks."""
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
    def optional_terms(self) -> tuple[str, ...]:
        """The terms that networks may add to the losses of the autoencoder and of the critic."""
        return (*super().optional_terms, "critic_regularisation") if self._has_critic else super().optional_terms

    @property
    def _adapts(self) -> bool:
        return self._has_critic and self.adaptive_weight

    @property
    def phase_names(self) -> tuple[str, ...]:
        """`autoencoder`, and `critic` if there is one."""
        return ("autoencoder", "critic") if self._has_critic else ("autoencoder",)

    def phases(self) -> list[Phase]:
        """Return the autoencoder's phase, then the critic's."""
        optimizer = self.phase_optimizer("autoencoder")
        phases = [Phase("autoencoder", self.autoencoder_losses, self.autoencoder_variables, optimizer)]
        if self.critic is not None:
            optimizer = self.phase_optimizer("critic")
            phases.append(Phase("critic", self.critic_losses, self.critic.trainable_variables, optimizer))
        return phases

    def autoencoder_losses(self, batch: Batch, training: bool, carry: dict) -> tuple[dict, dict]:
        """Return the terms of the GAMIX objective on a batch; the reconstruction goes on to the critic."""
        mean, log_var, z = posterior = self.posterior(batch, training)
        features, output = self.last_layer.decode(z, training) if self.last_layer else (None, None)
        terms, output = self.common_terms(batch, posterior, training, output)
        terms["global"] = self._global_term(batch, posterior, training)
        terms["variance"] = self.variance_loss(mean, log_var, sample_weight=batch.weights)
        if self.critic is not None:
            if self.last_layer is None:
                terms["adversarial"], _ = self._adversarial(output, batch.weights, training)
            else:
                terms["adversarial"], terms["adaptive_weight"] = self._balanced(batch, features, output, training)
            carry = {**carry, "fake": ops.stop_gradient(self.likelihood.location(output))}
        terms["loss"] = self.objective(terms)
        return terms, carry

    def objective(self, terms: Terms) -> Tensor:
        """Return the loss of the autoencoder's phase that is made of terms."""
        weights = self.term_weights
        loss = terms["reconstruction"] + weights["global"] * terms["global"] + weights["variance"] * terms["variance"]
        if self._has_critic:
            loss = loss + weights["adversarial"] * terms.get("adaptive_weight", 1.0) * terms["adversarial"]
        return loss + self.beyond_elbo(terms)

    def _adversarial(self, output: Tensor, weights: Tensor | None, training: bool) -> tuple[Tensor, Tensor]:
        """Return the term, a mean over the patches of the batch, and their number."""
        # The location is not clipped: a clip has no gradient if the decoder overshoots.
        logits = self.critic(self.likelihood.location(output), training=training)
        real = ops.ones_like(logits)
        return self.generator_loss(real, logits, sample_weight=weights), ops.sum(real)

    def _balanced(self, batch: Batch, features: Tensor, output: Tensor, training: bool) -> tuple[Tensor, Tensor]:
        """Return the adversarial term, and the ratio of the two terms' gradients by the decoder's last kernel.

        The critic is walked back once: its gradient by the output serves the ratio, and then the term itself.
        """

        def summed(y: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            # A sum over patches rather than their mean: in float16 the parts of a mean would vanish.
            term, patches = self._adversarial(y, batch.weights, training)
            return patches * term, (term, patches)

        def likelihood(y: Tensor) -> tuple[Tensor, tuple[()]]:
            return self.negative_log_likelihood(batch.targets, y, batch.weights), ()

        fixed = ops.stop_gradient(output)
        slope, (term, patches) = self.input_gradient(summed, fixed)
        slope, term = ops.stop_gradient(slope) / patches, ops.stop_gradient(term)
        pull = self.input_gradient(likelihood, fixed)[0]
        kernel = [self.last_layer.kernel_gradient(self.input_gradient, features, part) for part in (pull, slope)]
        # Worth the term, with the gradient that is known already.
        return term + ops.sum(slope * (output - fixed)), gradient_ratio(*kernel)

    def critic_losses(self, batch: Batch, training: bool, carry: dict) -> tuple[dict, dict]:
        """Return the terms of the critic on targets and reconstructions in one pass."""
        count = batch.size

        def judge(x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor | None]]:
            logits = self.critic(ops.concatenate([x, carry["fake"]], axis=0), training=training)
            return ops.sum(logits[:count]), (logits, self.added_losses(self.critic))

        has_penalty = "critic_r1" in self.term_weights
        if has_penalty:
            slope, (logits, added) = self.input_gradient(judge, batch.targets, again=True)
        else:
            _, (logits, added) = judge(batch.targets)
        real, fake = logits[:count], logits[count:]
        terms = {
            "critic_real": self.critic_loss(ops.ones_like(real), real, sample_weight=batch.weights),
            "critic_fake": self.critic_loss(ops.zeros_like(fake), fake, sample_weight=batch.weights),
        }
        loss = terms["critic_real"] + terms["critic_fake"]
        if has_penalty:
            terms["critic_r1"] = slope_penalty(_scaled(slope, batch.weights), logits.shape[1] * logits.shape[2])
            loss = loss + self.term_weights["critic_r1"] * terms["critic_r1"]
        loss = self.term_weights["critic"] * loss
        if added is not None:
            terms["critic_regularisation"] = added
            loss = loss + added
        terms["loss"] = loss
        return terms, carry

    def _global_term(self, batch: Batch, posterior: tuple[Tensor, Tensor, Tensor], training: bool) -> Tensor:
        mean, log_var, z = posterior
        if self.aggregate is None:
            return self.global_loss(z, (mean, log_var), sample_weight=batch.weights)
        return self.global_loss(*self.aggregate(mean, log_var, training=training))

    def get_config(self) -> dict[str, Any]:
        """Return everything that the constructor takes."""
        critic = None if self.critic is None else keras.saving.serialize_keras_object(self.critic)
        own = {"moments": self.moments, "momentum": self.momentum, "adversarial": self.adversarial}
        own |= {"r1_weight": self.r1_weight, "adaptive_weight": self.adaptive_weight}
        return {**super().get_config(), "critic": critic, **own, **self._weights_given}


def _scaled(slope: Tensor, weights: Tensor | None) -> Tensor:
    """Return the slope by the root of the weights: the penalty is a mean of its squares."""
    return slope if weights is None else slope * ops.sqrt(weights)[:, None, None, None]
