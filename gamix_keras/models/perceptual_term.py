"""The perceptual term that every image VAE may have."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from gamix_keras.losses import PerceptualLoss
from gamix_keras.losses.likelihoods import soft_floor
from gamix_keras.models.term_weights import checked_weight
from gamix_keras.training import Batch, Terms

Tensor = Any


class PerceptualTerm:
    """What `ImageVAE` does for its perceptual term, before whatever `PhasedModel` does.

    Attributes:
        perceptual: The loss, or None.
    """

    perceptual: PerceptualLoss | None = None

    def use_perceptual(
        self, perceptual: PerceptualLoss | Sequence[str] | keras.Model | None, weight: float | None = None
    ) -> None:
        """Take w P(x, y) into the loss from now on: x the target, y the likelihood's location, not clipped.

        Beside a learned or an optimal scale s it is w / s, of the present s and without a gradient to it: both terms
        then pull the image in the same proportion whatever s is, and s remains that of the pixels. (The pull of a
        likelihood by the image, root mean square over pixels, is 1 / s for Laplace, and for a Gaussian at its best s.)
        So w beside a fixed scale b is as much as w b beside a learned one.

        `term_weights["perceptual"]` holds w. In training nothing is computed while it is 0, and the log says 0; the
        validation always measures. The term is no part of `elbo`.

        Args:
            perceptual: A `PerceptualLoss`, or what it is made of; None takes the term out.
            weight: w >= 0 in nats per image and unit of P: about 0.2 H W C / b beside a Laplace likelihood of scale b,
                about 0.2 H W C beside a learned or optimal scale.

        Raises:
            ValueError: If the weight is missing or out of its range, or `perceptual` is something else.
        """
        if perceptual is not None:
            if weight is None:
                raise ValueError(
                    f"{type(self).__name__}: perceptual_weight: expected nats per image with perceptual, got None; "
                    "about 0.2 H W C / b beside a Laplace likelihood of scale b"
                )
            self.term_weights.give("perceptual", checked_weight(f"{type(self).__name__}: perceptual_weight", weight))
            perceptual = perceptual if isinstance(perceptual, PerceptualLoss) else PerceptualLoss(perceptual)
        self.perceptual = perceptual
        self.train_function = self.test_function = None  # those that are there were compiled without

    def make_train_function(self, force: bool = False) -> None:
        """Compile the train function; the perceptual network is made before, outside of any trace."""
        if self.perceptual is not None:
            self.perceptual.prepare()
        super().make_train_function(force)

    def make_test_function(self, force: bool = False) -> None:
        """Compile the test function, likewise."""
        if self.perceptual is not None:
            self.perceptual.prepare()
        super().make_test_function(force)

    @property
    def tracker_variables(self) -> list[keras.Variable]:
        """As in `PhasedModel`, the perceptual term's last: files of earlier versions lack them."""
        late = self.trackers["perceptual"].variables
        ids = {id(variable) for variable in late}
        return [*(variable for variable in super().tracker_variables if id(variable) not in ids), *late]

    def beyond_elbo(self, terms: Terms) -> Tensor:
        """Return the part of the loss that every model may have beside its own terms: w P + regularisation."""
        loss = terms.get("regularisation", 0.0)
        return self.perceptual_factor() * terms["perceptual"] + loss if "perceptual" in terms else loss

    def perceptual_factor(self) -> Tensor:
        """Return what P counts for in the loss: w, or w / s beside a learned or optimal scale s of the likelihood."""
        weight = ops.convert_to_tensor(self.term_weights["perceptual"])
        if self.log_scale is not None:
            log_scale = ops.convert_to_tensor(self.log_scale.log_scale)
        elif self.average_distance is not None:
            log_scale = self.likelihood.optimal_log_scale(self.average_distance.mean(before=1.0))
        else:
            return weight
        return weight * ops.exp(-ops.stop_gradient(soft_floor(log_scale)))

    def perceptual_term(self, batch: Batch, output: Tensor, training: bool) -> Tensor:
        """Return P of a decoder's output, or 0 while training gives it no weight."""
        location = ops.cast(self.likelihood.location(output), "float32")
        weight = ops.convert_to_tensor(self.term_weights["perceptual"])

        def measured() -> Tensor:
            return self.perceptual(batch.targets, location, sample_weight=batch.weights)

        return ops.cond(weight > 0.0, measured, lambda: ops.zeros(())) if training else measured()

    def perceptual_config(self) -> dict[str, Any]:
        """Return the constructor's arguments for the term, if there is one."""
        if self.perceptual is None:
            return {}
        loss = keras.saving.serialize_keras_object(self.perceptual)
        return {"perceptual": loss, "perceptual_weight": self.term_weights.given("perceptual")}
