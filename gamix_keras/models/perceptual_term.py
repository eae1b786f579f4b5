"""The perceptual term that every image VAE may have."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from gamix_keras.losses import PerceptualLoss
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

        `term_weights["perceptual"]` holds w. In training nothing is computed while it is 0, and the log says 0; the
        validation always measures. The term is no part of `elbo`.

        Args:
            perceptual: A `PerceptualLoss`, or what it is made of; None takes the term out.
            weight: w >= 0 in nats per image and unit of P: about 0.2 H W C / b beside a Laplace likelihood of scale b.

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
        return self.term_weights["perceptual"] * terms["perceptual"] + loss if "perceptual" in terms else loss

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
