"""GAMIX-VAE: the posterior as a mixture of Gaussians, with an optional critic."""

from typing import Any

import keras

from gamix_keras.layers import AggregateMoments
from gamix_keras.losses import MixtureKL, MomentKL, PosteriorVariance
from gamix_keras.models.adversarial import AdversarialVAE
from gamix_keras.models.base import Tensor
from gamix_keras.models.pass_terms import PassMixture, PassMoments
from gamix_keras.models.term_weights import checked_weight
from gamix_keras.training import Batch, Terms


@keras.saving.register_keras_serializable("gamix_keras")
class GAMIXVAE(AdversarialVAE):
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
        critic: Network from images to patch logits (B, h, w, 1), or to a list of such maps, whose losses are averaged;
            or None. A `ProjectedCritic` is idle while its weight is 0.
        moments: `means`, `total`, `full` (see `AggregateMoments`) or `mixture` (see `MixtureKL`). Validation takes
            those of the whole pass, and for `mixture` its first 256 images.
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
        adaptive_every: 1, or k > 1: the ratio is taken at every k-th step alone, r <- 0.8 r + 0.2 ratio (the first as
            it is), and that average stands in for it in between. It is state of the model, so resuming is exact.
            Validation takes the average too; with 1 it takes each batch's own ratio, and depends on the batches.
        adversarial_samples: Share of the batch, >= 0, of further fakes: decodings of draws from a Gaussian with the
            running mean and covariance of q(z), see `AggregateDraws` (Larsen et al. 2016, who draw from the prior).
            The critic judges them as it does reconstructions, and the decoder, though not the encoder, answers for
            them. There are none in the first 100 steps, whose moments are rough, and none in validation.
        augment: `none`, or what happens to real and fake images before they are judged in training, see
            `DifferentiableAugmentation`: for small data.
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
        adaptive_every: int = 1,
        adversarial_samples: float = 0.0,
        augment: str = "none",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        self._weights_given = {
            "global_weight": global_weight,
            "variance_weight": variance_weight,
            "adversarial_weight": adversarial_weight,
            "critic_weight": critic_weight,
        }
        super().__init__(
            encoder,
            decoder,
            likelihood,
            critic,
            seed,
            {
                name.removesuffix("_weight"): checked_weight(f"GAMIXVAE: {name}", value)
                for name, value in self._weights_given.items()
            },
            adversarial=adversarial,
            r1_weight=r1_weight,
            adaptive_weight=adaptive_weight,
            adaptive_every=adaptive_every,
            adversarial_samples=adversarial_samples,
            augment=augment,
            **kwargs,
        )
        self.moments = moments
        self.momentum = momentum
        self._make_losses()
        self.build(self.encoder.input_shape)

    def _make_losses(self) -> None:
        if self.moments == "mixture" and self.momentum is not None:
            raise ValueError("GAMIXVAE: momentum: expected None with moments='mixture', which keeps no moments.")
        mixture = self.moments == "mixture"
        self.aggregate = None if mixture else AggregateMoments(self.moments, self.momentum, name="aggregate")
        self.global_loss = MixtureKL() if mixture else MomentKL()
        moments = None if mixture else PassMoments(self.moments, self.latent_dim, self.global_loss)
        self.gather(moments or PassMixture(self.latent_dim), "global")
        self.variance_loss = PosteriorVariance()

    def build(self, input_shape: Any = None) -> None:
        """Build the layers that are not networks."""
        super().build(input_shape)
        latent = (None, self.latent_dim)
        if self.aggregate is not None and not self.aggregate.built:
            self.aggregate.build(latent, latent)

    @property
    def extra_terms(self) -> tuple[str, ...]:
        """The terms of GAMIX, and those of its critic if there is one."""
        return ("global", "variance", *super().extra_terms)

    def latent_terms(self, batch: Batch, posterior: tuple[Tensor, Tensor, Tensor], training: bool) -> Terms:
        """Return the global and the variance term."""
        mean, log_var, _ = posterior
        variance = self.variance_loss(mean, log_var, sample_weight=batch.weights)
        return {"global": self._global_term(batch, posterior, training), "variance": variance}

    def objective(self, terms: Terms) -> Tensor:
        """Return the loss of the autoencoder's phase that is made of terms."""
        weights = self.term_weights
        loss = terms["reconstruction"] + weights["global"] * terms["global"] + weights["variance"] * terms["variance"]
        return loss + self.beside_elbo(terms)

    def _global_term(self, batch: Batch, posterior: tuple[Tensor, Tensor, Tensor], training: bool) -> Tensor:
        mean, log_var, z = posterior
        if self.aggregate is None:
            return self.global_loss(z, (mean, log_var), sample_weight=batch.weights)
        return self.global_loss(*self.aggregate(mean, log_var, training=training))

    def get_config(self) -> dict[str, Any]:
        """Return everything that the constructor takes."""
        own = {"moments": self.moments, "momentum": self.momentum}
        return {**super().get_config(), **own, **self._weights_given}
