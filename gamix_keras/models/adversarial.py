"""What an image VAE makes of a critic: a term of its own phase, and a phase of the critic's."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from gamix_keras.config.catalogue import AUGMENTATIONS
from gamix_keras.layers import AggregateDraws, DifferentiableAugmentation, RunningBalance
from gamix_keras.losses import AdversarialLoss, gradient_ratio
from gamix_keras.models.base import Tensor
from gamix_keras.models.critic_phase import CriticPhase
from gamix_keras.models.fakes import Decoded, Fakes, with_draws
from gamix_keras.models.judge import Judge, Verdict, is_projected
from gamix_keras.models.last_layer import LastLayer
from gamix_keras.models.networks import functional
from gamix_keras.models.shared_maps import Maps
from gamix_keras.models.term_weights import checked_weight
from gamix_keras.training import Batch, Terms


class AdversarialVAE(CriticPhase):
    """Interface of the image VAEs that may have a critic; see `GAMIXVAE` for the arguments.

    The critic's phase trains it on the very images that the first phase had it judge. A `ProjectedCritic` whose weight,
    `term_weights["critic"]`, is 0 is idle: neither it nor its frozen network nor the draws cost anything, and the steps
    do not count for its optimizer.
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        likelihood: keras.losses.Loss,
        critic: keras.Model | None,
        seed: int | None,
        term_weights: Mapping[str, float],
        adversarial: str,
        r1_weight: float,
        adaptive_weight: bool,
        adaptive_every: int,
        adversarial_samples: float,
        augment: str,
        **kwargs: Any,
    ) -> None:
        # The phases, hence the trackers, depend on the critic; Keras wants super().__init__ before sub-models.
        self._has_critic = critic is not None
        self.adversarial, self.r1_weight = adversarial, r1_weight
        self.adaptive_weight, self.adaptive_every = adaptive_weight, adaptive_every
        self.adversarial_samples, self.augment = adversarial_samples, augment
        owner = type(self).__name__
        if r1_weight:
            term_weights = {**term_weights, "critic_r1": checked_weight(f"{owner}: r1_weight", r1_weight)}
        checked_weight(f"{owner}: adversarial_samples", adversarial_samples)
        if augment not in AUGMENTATIONS:
            raise ValueError(f"{owner}: augment: expected one of {'; '.join(AUGMENTATIONS)}, got {augment!r}.")
        super().__init__(encoder, decoder, likelihood, seed, term_weights=term_weights, **kwargs)
        self.critic = critic if critic is None or is_projected(critic) else self._functional(critic)
        self.generator_loss = AdversarialLoss(adversarial, "generator")
        self.critic_loss = AdversarialLoss(adversarial, "critic")
        self.last_layer = LastLayer(self.decoder) if self._adapts else None
        self._make_helpers()

    def _functional(self, critic: keras.Model) -> keras.Model:
        return functional(f"{type(self).__name__}: critic", critic, self.image_shape)

    def _make_helpers(self) -> None:
        wants = lambda option: self._has_critic and option  # noqa: E731
        # Each with a generator of its own: an option leaves the noise of the posterior as it is.
        self.draws = AggregateDraws(seed=self.seed + 1, name="draws") if wants(self.adversarial_samples) else None
        augments = wants(self.augment != "none")
        self.augmentation = DifferentiableAugmentation(self.augment, self.seed + 2) if augments else None
        self.judge = Judge(self.critic, self.augmentation, self.term_weights["critic"]) if self._has_critic else None
        averages = self._adapts and self.adaptive_every != 1
        self.balance = RunningBalance(self.adaptive_every, name="balance") if averages else None

    def build(self, input_shape: Any = None) -> None:
        """Build the layers that are not networks."""
        super().build(input_shape)
        latent = (None, self.latent_dim)
        if self.draws is not None and not self.draws.built:
            self.draws.build(latent, latent)
        if self.balance is not None and not self.balance.built:
            self.balance.build(())

    @property
    def extra_terms(self) -> tuple[str, ...]:
        """The terms of the critic, if there is one."""
        critic = ("adversarial", "critic", "critic_real", "critic_fake") if self._has_critic else ()
        optional = {"critic_r1": self._has_critic and self.r1_weight, "adaptive_weight": self._adapts}
        return (*critic, *(name for name, used in optional.items() if used))

    @property
    def optional_terms(self) -> tuple[str, ...]:
        """The terms that networks may add to the losses of the autoencoder and of the critic."""
        return (*super().optional_terms, "critic_regularisation") if self._has_critic else super().optional_terms

    @property
    def _adapts(self) -> bool:
        return self._has_critic and self.adaptive_weight

    def autoencoder_losses(self, batch: Batch, training: bool, carry: dict) -> tuple[dict, dict]:
        """Return the terms of the first phase on a batch; what the critic judged goes on to its own phase."""
        posterior = self.posterior(batch, training)
        decoded = self.decoded(posterior[2], training)
        first = self.first_maps(batch, decoded.output, training)
        perceptual = self.shared_perceptual(batch, first, training)
        terms, _ = self.common_terms(batch, posterior, training, decoded.output, perceptual)
        terms |= self.latent_terms(batch, posterior, training)
        if self.critic is not None:
            judged, carry = self.adversarial_terms(batch, posterior, decoded, training, carry, first)
            terms |= judged
        terms["loss"] = self.objective(terms)
        return terms, carry

    def latent_terms(self, batch: Batch, posterior: tuple[Tensor, Tensor, Tensor], training: bool) -> Terms:
        """Return the terms of mean, log-variance and z that not every VAE has."""
        return {}

    def beside_elbo(self, terms: Terms) -> Tensor:
        """Return the weighted adversarial term, if there is a critic, and what every model may have: `beyond_elbo`."""
        beyond = self.beyond_elbo(terms)
        if not self._has_critic:
            return beyond
        weight = self.term_weights["adversarial"] * terms.get("adaptive_weight", 1.0)
        return weight * terms["adversarial"] + beyond

    def decoded(self, z: Tensor, training: bool) -> Decoded:
        """Return what the decoder makes of latents (B, D)."""
        if self.last_layer is None:
            return Decoded(self.decoder(z, training=training))
        features, output = self.last_layer.decode(z, training)
        return Decoded(output, features)

    def adversarial_terms(
        self,
        batch: Batch,
        posterior: tuple[Tensor, Tensor, Tensor],
        decoded: Decoded,
        training: bool,
        carry: dict,
        first: list[Maps] | None = None,
    ) -> tuple[Terms, dict]:
        """Return the generator's terms, and what goes on to the critic's phase.

        Args:
            batch: The batch.
            posterior: Mean, log-variance and z, each (B, D).
            decoded: What the decoder made of z.
            training: Whether this is a training step: validation judges reconstructions alone, as they are.
            carry: What goes on so far.
            first: See `first_maps`.
        """
        fakes = Fakes(decoded, batch.weights)
        if self.draws is not None and training:
            self.draws(*posterior[:2])
            is_pure, decode = not self.decoder.non_trainable_variables, lambda z: self.decoded(z, training)
            fakes = with_draws(fakes, self.draws, self.adversarial_samples, decode, self.judge.is_active, is_pure)
        numbers = self.judge.numbers(ops.shape(fakes.decoded.output)[0], training)
        verdict = self._verdict(fakes, numbers, training, first)
        terms = {"adversarial": verdict.term}
        if self._adapts:
            terms["adaptive_weight"] = self._adaptive_weight(batch, decoded, fakes, numbers, verdict, training)
        seen = [ops.stop_gradient(part) for part in verdict.seen]
        real = None if first is None or self._penalty else first[0]
        return terms, {**carry, "fake": seen, "fake_weights": fakes.weights, "real": real}

    def _verdict(
        self, fakes: Fakes, numbers: Tensor | None, training: bool, first: list[Maps] | None = None
    ) -> Verdict:
        output = fakes.decoded.output
        nothing = lambda: (ops.zeros(()), self.judge.blank(ops.shape(output)[0]))  # noqa: E731
        if not self._adapts or self.balance is not None:
            known = None if first is None else first[1]
            judged = lambda: self._judged(output, fakes, numbers, training, known)[1][:2]  # noqa: E731
            return Verdict(*self.judge.if_active(judged, nothing))
        # The critic is walked back once: its gradient by the output serves the ratio, and then the term itself.
        fixed = ops.stop_gradient(output)
        sloping = lambda: self._slope(fakes, numbers, training)  # noqa: E731
        term, seen, slope = self.judge.if_active(sloping, lambda: (*nothing(), ops.zeros_like(fixed)))
        # Worth the term, with the gradient that is known already.
        return Verdict(term + ops.sum(slope * (output - fixed)), seen, slope)

    def _judged(
        self, output: Tensor, fakes: Fakes, numbers: Tensor | None, training: bool, first: Maps | None = None
    ) -> tuple[Tensor, tuple[Tensor, list[Tensor], Tensor]]:
        location, loss = self.likelihood.location, self.generator_loss
        return self.judge.verdict(output, location, loss, fakes.weights, numbers, training, first, fakes.has_draws)

    def _slope(self, fakes: Fakes, numbers: Tensor | None, training: bool) -> tuple[Tensor, list[Tensor], Tensor]:
        """Return the term, what was seen, and the term's gradient by the decoder's output; all without a gradient."""
        fixed = ops.stop_gradient(fakes.decoded.output)
        judged = lambda y: self._judged(y, fakes, numbers, training)  # noqa: E731
        slope, (term, seen, patches) = self.input_gradient(judged, fixed)
        return ops.stop_gradient(term), list(map(ops.stop_gradient, seen)), ops.stop_gradient(slope) / patches

    def _adaptive_weight(
        self,
        batch: Batch,
        decoded: Decoded,
        fakes: Fakes,
        numbers: Tensor | None,
        verdict: Verdict,
        training: bool,
    ) -> Tensor:
        """Return the ratio of the two terms' gradients by the decoder's last kernel, or its running average."""

        def reconstruction(y: Tensor) -> tuple[Tensor, tuple[()]]:
            loss = self.negative_log_likelihood(batch.targets, y, batch.weights)
            if self.perceptual is not None:
                loss = loss + self.perceptual_factor() * self.perceptual_term(batch, y, training)
            return loss, ()

        def ratio(slope: Tensor) -> Tensor:
            pull = self.input_gradient(reconstruction, ops.stop_gradient(decoded.output))[0]
            pairs = ((decoded, pull), (fakes.decoded, slope))
            kernel = [self.last_layer.kernel_gradient(self.input_gradient, part.features, by) for part, by in pairs]
            return gradient_ratio(*kernel)

        if self.balance is None:
            return ops.cast(self.judge.is_active, "float32") * ratio(verdict.slope)
        if not training:
            return ops.convert_to_tensor(self.balance.average)
        anew = lambda: ratio(self._slope(fakes, numbers, training)[2])  # noqa: E731
        return self.balance.update(anew, self.judge.is_active)

    def get_config(self) -> dict[str, Any]:
        """Return the critic, serialised, and what it is used for."""
        critic = None if self.critic is None else keras.saving.serialize_keras_object(self.critic)
        names = ("adversarial", "r1_weight", "adaptive_weight", "adaptive_every", "adversarial_samples", "augment")
        return {**super().get_config(), "critic": critic, **{name: getattr(self, name) for name in names}}
