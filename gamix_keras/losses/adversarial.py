"""What the critic and the generator minimise."""

from typing import Any

import keras
from keras import ops

Tensor = Any
KINDS = ("bce", "hinge", "least_squares")
ROLES = ("critic", "generator")


@keras.saving.register_keras_serializable("gamix_keras")
class AdversarialLoss(keras.losses.Loss):
    """Loss of patch logits l against a target t: 1 where the critic should say `real`, 0 where `reconstructed`.

    | `kind` | critic | generator (always t = 1) |
    | --- | --- | --- |
    | `bce` | log(1 + exp(-s l)), s = 2 t - 1 (Goodfellow 2014) | the same: the non-saturating form |
    | `hinge` | max(0, 1 - s l) (Lim & Ye 2017) | -s l |
    | `least_squares` | (l - t)^2 (Mao 2017) | the same |

    Called as `loss(targets, logits)` with targets broadcastable to the logits (B, h, w, 1); mean over an image's
    patches, then over the batch. `bce` is in nats per patch; chance level is log 2.

    Args:
        kind: `bce`, `hinge` or `least_squares`.
        role: `critic` or `generator`; they differ for `hinge` alone.

    Raises:
        ValueError: for another `kind` or `role`.
    """

    def __init__(
        self,
        kind: str = "bce",
        role: str = "critic",
        reduction: str = "sum_over_batch_size",
        name: str = "adversarial",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        for argument, value, known in (("kind", kind, KINDS), ("role", role, ROLES)):
            if value not in known:
                raise ValueError(f"AdversarialLoss: {argument}: expected one of {', '.join(known)}; got {value!r}.")
        self.kind = kind
        self.role = role

    def call(self, targets: Tensor, logits: Tensor) -> Tensor:
        """Loss of each image, shape (B,)."""
        signed = (2.0 * targets - 1.0) * logits
        if self.kind == "bce":
            values = ops.softplus(-signed)
        elif self.kind == "least_squares":
            values = ops.square(logits - targets)
        elif self.role == "critic":
            values = ops.relu(1.0 - signed)
        else:
            values = -signed
        return ops.mean(values, axis=(1, 2, 3))

    def get_config(self) -> dict[str, Any]:
        """Kind, role and Keras's own."""
        return {**super().get_config(), "kind": self.kind, "role": self.role}
