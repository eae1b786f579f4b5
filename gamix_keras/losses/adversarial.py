"""What the critic and the generator minimise, the penalty on the critic's slope, and the adversarial term's balance."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from gamix_keras.losses.base import ImageLoss

Tensor = Any
KINDS = ("bce", "hinge", "least_squares")
ROLES = ("critic", "generator")
SMALLEST_NORM, LARGEST_RATIO = 1e-4, 1e4


@keras.saving.register_keras_serializable("gamix_keras")
class AdversarialLoss(ImageLoss):
    """Loss of patch logits l against a target t: 1 if the critic should say `real`, 0 for `reconstructed`.

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
        ValueError: If `kind` or `role` is another.
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
                raise ValueError(f"AdversarialLoss: {argument}: expected one of {', '.join(known)}, got {value!r}.")
        self.kind = kind
        self.role = role

    def call(self, targets: Tensor, logits: Tensor) -> Tensor:
        """Return the loss of each image, shape (B,)."""
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

    def of_maps(self, maps: Sequence[Tensor], target: float, sample_weight: Tensor | None = None) -> Tensor:
        """Return the mean over several maps of logits, each (B, h, w, 1) and counted equally, of their losses.

        Args:
            maps: Logits of each map.
            target: 1 if the critic should say `real`, 0 for `reconstructed`.
            sample_weight: None, or the weight of each image, (B,).
        """
        losses = [self(ops.full_like(logits, target), logits, sample_weight=sample_weight) for logits in maps]
        return sum(losses) / len(losses)

    def get_config(self) -> dict[str, Any]:
        """Return kind, role and Keras's own arguments."""
        return {**super().get_config(), "kind": self.kind, "role": self.role}


def slope_penalty(gradients: Tensor, patches: int) -> Tensor:
    """R1 = 1/2 E |grad_x D(x)|^2 / n over real images (Mescheder 2018, eq. 9 without its gamma), >= 0.

    D(x) is the sum of an image's n patch logits, of all maps if there are several. Dividing by n keeps the penalty on
    the scale of the critic's loss, a mean over patches: for patches that share no pixel it is the mean of each patch's
    own penalty, for n = 1 the published formula.

    Args:
        gradients: Gradients of D by each image, (B, H, W, C).
        patches: The number n of patches.

    Returns:
        A scalar, float32.
    """
    return 0.5 * ops.mean(ops.sum(ops.square(ops.cast(gradients, "float32")), axis=(1, 2, 3))) / patches


def gradient_ratio(reconstruction: Tensor, adversarial: Tensor) -> Tensor:
    """|g_rec| / (|g_adv| + 1e-4), within [0, 1e4], gradient stopped: VQGAN's adaptive weight (Esser 2021, eq. 7).

    Args:
        reconstruction: Gradient of the reconstruction term by the kernel of the decoder's last layer.
        adversarial: Gradient of the adversarial term by the same kernel.

    Returns:
        A scalar, float32.
    """
    norms = [ops.sqrt(ops.sum(ops.square(ops.cast(g, "float32")))) for g in (reconstruction, adversarial)]
    return ops.stop_gradient(ops.clip(norms[0] / (norms[1] + SMALLEST_NORM), 0.0, LARGEST_RATIO))
