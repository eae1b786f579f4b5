"""A critic as a model's two phases use it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from gamix_keras.layers import DifferentiableAugmentation
from gamix_keras.losses import AdversarialLoss
from gamix_keras.models.shared_maps import Maps, SharedMaps
from gamix_keras.networks import ProjectedCritic

Tensor = Any


class Verdict(NamedTuple):
    """What the critic says of fakes.

    Attributes:
        term: The generator's term, a mean over fakes, maps and patches.
        seen: What the critic judged: images, or the maps of its frozen network.
        slope: Gradient of the term by the decoder's output, if it was asked for.
    """

    term: Tensor
    seen: list[Tensor]
    slope: Tensor | None = None


class Judge:
    """The critic, what it is shown, and whether it judges at all.

    A `ProjectedCritic` judges the maps of its frozen network, any other critic the images. The projected one is idle
    while its weight is 0: neither it nor its frozen network is asked. A plain object, which owns no layer.

    Args:
        critic: Network from images to logits (B, h, w, 1), or to a list of such maps.
        augmentation: What happens to images before they are judged in training, or None.
        weight: Variable that holds the weight of the critic's own loss.
    """

    def __init__(
        self, critic: keras.Model, augmentation: DifferentiableAugmentation | None, weight: keras.Variable
    ) -> None:
        self.critic, self.augmentation, self.weight = critic, augmentation, weight
        self.projects = is_projected(critic)
        self.shared: SharedMaps | None = None

    @property
    def is_active(self) -> Tensor | bool:
        """Whether the critic judges."""
        return ops.convert_to_tensor(self.weight) > 0.0 if self.projects else True

    def if_active(self, function: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
        """Return what a function returns, which must change no variable, or what another does if the critic is idle."""
        return ops.cond(self.is_active, function, otherwise) if self.projects else function()

    def numbers(self, count: Any, training: bool) -> Tensor | None:
        """Return the random numbers of so many images' augmentation, None if they are judged as they are."""
        return self.augmentation.draw(count) if self.augmentation is not None and training else None

    def see(self, images: Tensor, numbers: Tensor | None = None) -> list[Tensor]:
        """Return what the critic judges of images (B, H, W, C)."""
        if numbers is not None:
            images = self.augmentation(images, numbers)
        return self.critic.see(images) if self.projects else [images]

    def _see_on(self, first: Maps, images: Tensor, has_more: bool) -> list[Tensor]:
        known = self.shared.judged(first)
        if not has_more:  # Of no images at all TensorFlow's convolutions on oneDNN return maps of a wrong shape.
            return known
        count = ops.shape(known[0])[0]
        further = self.see(images[count:])
        return [ops.concatenate(pair, axis=0) for pair in zip(known, further, strict=True)]

    def logits(self, seen: list[Tensor], training: bool) -> list[Tensor]:
        """Return the maps of logits, each (B, h, w, 1)."""
        judged = self.critic.judge(seen, training) if self.projects else self.critic(seen[0], training=training)
        return list(judged) if isinstance(judged, list | tuple) else [judged]

    def verdict(
        self,
        output: Tensor,
        location: Callable[[Tensor], Tensor],
        loss: AdversarialLoss,
        weights: Tensor | None,
        numbers: Tensor | None,
        training: bool,
        first: Maps | None = None,
        has_more: bool = False,
    ) -> tuple[Tensor, tuple[Tensor, list[Tensor], Tensor]]:
        """Return the sum of the generator's term over patches, and (term, what was seen, number of patches).

        Args:
            output: What the decoder returns.
            location: Function from that to images. They are not clipped: a clip has no gradient if it overshoots.
            loss: The generator's.
            weights: None, or the weight of each image.
            numbers: See `see`.
            training: Whether this is a training step.
            first: None, or the maps of the first outputs that are known already, see `SharedMaps`.
            has_more: Whether there are outputs beyond the first.
        """
        images = location(output)
        seen = self.see(images, numbers) if first is None else self._see_on(first, images, has_more)
        logits = self.logits(seen, training)
        term = loss.of_maps(logits, 1.0, weights)
        patches = sum(ops.sum(ops.ones_like(part)) for part in logits)
        # A sum over patches rather than their mean: in float16 the parts of a mean would vanish.
        return patches * term, (term, seen, patches)

    def nothing(self) -> Tensor:
        """Return the loss of an idle critic: 0, with a gradient of 0 for all that it trains."""
        return 0.0 * sum(ops.sum(ops.convert_to_tensor(variable)) for variable in self.critic.trainable_variables)

    def blank(self, count: Any) -> list[Tensor]:
        """Return, in place of what an idle critic would have seen of so many images, zeros."""
        return [ops.zeros((count, *shape), dtype="float32") for shape in self.critic.map_shapes]


def is_projected(critic: keras.Model) -> bool:
    """Return whether a critic judges the maps of a frozen network."""
    return isinstance(critic, ProjectedCritic)
