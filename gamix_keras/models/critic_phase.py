"""The phase of a critic, for image VAEs that have one."""

import keras
from keras import ops

from gamix_keras.losses import AdversarialLoss, slope_penalty
from gamix_keras.models.base import ImageVAE, Tensor
from gamix_keras.models.judge import Judge
from gamix_keras.models.shared_maps import Maps, SharedMaps
from gamix_keras.training import Batch, Phase, Terms


class CriticPhase(ImageVAE):
    """Interface of the image VAEs that may have a critic, as far as the critic itself is trained.

    A subclass sets the attributes.

    Attributes:
        critic: The critic, or None.
        judge: The critic as both phases use it, or None.
        critic_loss: What the critic minimises.
        r1_weight: See `GAMIXVAE`.
    """

    critic: keras.Model | None
    judge: Judge | None
    critic_loss: AdversarialLoss
    r1_weight: float

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

    def make_train_function(self, force: bool = False) -> None:
        """Compile the train function; a frozen network is made before, outside what is compiled."""
        self._make_frozen()
        super().make_train_function(force)

    def make_test_function(self, force: bool = False) -> None:
        """Compile the test function; a frozen network is made before, outside what is compiled."""
        self._make_frozen()
        super().make_test_function(force)

    def _make_frozen(self) -> None:
        if self.judge is None or not self.judge.projects:
            return
        self.judge.shared = shared = self._shared()
        if shared is not None:
            self.critic.use(shared.of_critic)
        self.critic.frozen()

    def _shared(self) -> SharedMaps | None:
        """Return the network that perceptual term and critic share, if they can: new only if the old one is another."""
        loss, every_step = self.perceptual, self._adapts and self.balance is None
        if loss is None or loss.layers is None or self.critic.is_given or self.augmentation is not None or every_step:
            return None
        known, names = self.judge.shared, (loss.layers, self.critic.stages)
        return known if known is not None and known.names == names else SharedMaps(*names, self.image_shape)

    def first_maps(self, batch: Batch, output: Tensor, training: bool) -> list[Maps] | None:
        """Return what perceptual term and critic share of targets and reconstructions, None if they share nothing."""
        shared = None if self.judge is None else self.judge.shared
        if shared is None:
            return None
        images = (batch.targets, ops.cast(self.likelihood.location(output), "float32"))
        both = lambda: [shared.first(part) for part in images]  # noqa: E731
        if not training:
            return both()
        wanted = ops.logical_or(self._has_perceptual_weight, self.judge.is_active)
        return ops.cond(wanted, both, lambda: [shared.blank(batch.size)] * 2)

    @property
    def _has_perceptual_weight(self) -> Tensor:
        return ops.convert_to_tensor(self.term_weights["perceptual"]) > 0.0

    def shared_perceptual(self, batch: Batch, first: list[Maps] | None, training: bool) -> Tensor | None:
        """Return the perceptual term of shared maps, None if there are none."""
        if first is None:
            return None
        each = self.perceptual.distance(*map(self.judge.shared.compared, first))
        term = ops.mean(each if batch.weights is None else each * batch.weights)
        return ops.where(self._has_perceptual_weight, term, 0.0) if training else term

    def after_step(self) -> None:
        """Move the average of the weights; a step of an idle critic does not count for its optimizer.

        Otherwise Adam would take the moments of its first gradients for averages over many, and step ten times as far.
        """
        super().after_step()
        if self.judge is not None and self.judge.projects:
            steps, _ = self.phase_steps("critic")
            steps.assign(steps - ops.cast(ops.logical_not(self.judge.is_active), steps.dtype))

    def critic_losses(self, batch: Batch, training: bool, carry: dict) -> tuple[dict, dict]:
        """Return the terms of the critic on targets and fakes in one pass."""
        numbers = self.judge.numbers(batch.size, training)
        found = self.judge.if_active(
            lambda: self._critic_terms(batch, numbers, training, carry),
            lambda: dict.fromkeys(("critic_real", "critic_fake", *self._penalty), self.judge.nothing()),
        )
        # JAX sorts what a branch returns.
        terms = {name: found[name] for name in (*self.extra_terms, *self.optional_terms) if name in found}
        loss = terms["critic_real"] + terms["critic_fake"]
        for name in self._penalty:
            loss = loss + self.term_weights[name] * terms[name]
        loss = self.term_weights["critic"] * loss + terms.get("critic_regularisation", 0.0)
        return {**terms, "loss": loss}, carry

    @property
    def _penalty(self) -> tuple[str, ...]:
        return ("critic_r1",) if self._has_critic and self.r1_weight else ()

    def _critic_terms(self, batch: Batch, numbers: Tensor | None, training: bool, carry: dict) -> Terms:
        count = batch.size

        def judged(x: Tensor) -> tuple[Tensor, tuple[list[Tensor], Tensor | None]]:
            known = carry["real"]
            real = self.judge.see(x, numbers) if known is None else self.judge.shared.judged(known)
            pairs = zip(real, carry["fake"], strict=True)
            logits = self.judge.logits([ops.concatenate(pair, axis=0) for pair in pairs], training)
            return sum(ops.sum(part[:count]) for part in logits), (logits, self.added_losses(self.critic))

        if self._penalty:
            slope, (logits, added) = self.input_gradient(judged, batch.targets, again=True)
        else:
            _, (logits, added) = judged(batch.targets)
        real, fake = [part[:count] for part in logits], [part[count:] for part in logits]
        terms = {
            "critic_real": self.critic_loss.of_maps(real, 1.0, batch.weights),
            "critic_fake": self.critic_loss.of_maps(fake, 0.0, carry["fake_weights"]),
        }
        if self._penalty:
            patches = sum(part.shape[1] * part.shape[2] for part in logits)
            terms["critic_r1"] = slope_penalty(_scaled(slope, batch.weights), patches)
        return terms if added is None else {**terms, "critic_regularisation": added}


def _scaled(slope: Tensor, weights: Tensor | None) -> Tensor:
    """Return the slope by the root of the weights: the penalty is a mean of its squares."""
    return slope if weights is None else slope * ops.sqrt(weights)[:, None, None, None]
