"""The distance of two images in the features of a frozen network."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
from keras import ops

from gamix_keras.config.catalogue import FEATURE_STAGES
from gamix_keras.losses.base import ImageLoss
from gamix_keras.metrics.efficientnet_lite import feature_stages

Tensor = Any
DEFAULT_LAYERS = ("stem", "stage2", "stage3")
# Beside squared norms of about 1 to 1000. It bounds the slope where a map is 0.
_SMALLEST_SQUARE = 1e-6


@keras.saving.register_keras_serializable("gamix_keras")
class PerceptualLoss(ImageLoss):
    """P(x, y) = sum_l mean_hw sum_c (f_l(x) / |f_l(x)| - f_l(y) / |f_l(y)|)^2, within [0, 4 L], no unit.

    f_l are the L maps (h, w, c) of a frozen network, and |f| is a norm over channels at each position: the distance of
    Dosovitskiy & Brox (2016) with the normalisation of LPIPS (Zhang 2018), without its learned weights. Where a map is
    0 the quotient is 0, with a finite slope: |f| stands for (sum_c f^2 + 1e-6)^0.5.

    Called as `loss(targets, images)`, both (B, H, W, C) in [-1, 1], of any size that the network takes; y may lie
    beyond. Grey images are repeated to three channels if the network takes three. Everything is float32, whatever the
    model's precision. No gradient flows to the targets.

    The network belongs to no model: its weights are neither trained, nor counted, nor saved. It is made at the first
    call, from the installed package; a model with the term can be loaded and sampled without it.

    Args:
        features: Names of stages of EfficientNet-Lite0, see `feature_stages`; or any Keras model of images in [-1, 1]
            with one map (B, h, w, c) or several as outputs, which is used as it is at inference. A file does not hold
            such a model: a loss from a file needs it again in order to be called, see `ImageVAE.use_perceptual`.

    Raises:
        ValueError: If a name is unknown or occurs twice, or it is neither names nor a model; on call, if the weights
            are not installed or an output is no map.

    Examples:
        >>> loss = PerceptualLoss(["stem", "stage2"])
        >>> float(loss(keras.ops.zeros((1, 32, 32, 3)), keras.ops.zeros((1, 32, 32, 3))))
        0.0
    """

    def __init__(
        self,
        features: Sequence[str] | keras.Model | None = DEFAULT_LAYERS,
        reduction: str = "sum_over_batch_size",
        name: str = "perceptual",
        dtype: Any = "float32",
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.layers: tuple[str, ...] | None = None
        # Hidden in functions: Keras saves what it finds in the attributes of a loss.
        self._network: Callable[[], keras.Model] | None = None
        if isinstance(features, keras.Model):
            self._network = lambda: features
        elif features is not None:
            self.layers = _checked(features)

    def prepare(self) -> keras.Model:
        """Return the network, made now if it was not yet.

        Raises:
            ValueError: If its weights are not installed, or it is a model that the file of this loss did not hold.
        """
        if self._network is None:
            network = self._made()
            self._network = lambda: network
        return self._network()

    def _made(self) -> keras.Model:
        if self.layers is None:
            raise ValueError(
                "PerceptualLoss: features: expected the network that the model was trained with, which its file does "
                "not hold, got None; give it to model.use_perceptual(network, weight)"
            )
        # In a thread of its own, since the caller may be tracing a step, of which these variables are no part.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(feature_stages, self.layers, (None, None, 3)).result()

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the maps f_l of images (B, H, W, C), each (B, h, w, c) float32."""
        network = self.prepare()
        if images.shape[-1] == 1 and network.input_shape[-1] == 3:
            images = ops.concatenate([images] * 3, axis=-1)
        outputs = network(images, training=False)
        outputs = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
        shapes = [tuple(output.shape) for output in outputs]
        if any(len(shape) != 4 for shape in shapes):
            raise ValueError(f"PerceptualLoss: features: expected outputs (B, h, w, c), got {shapes}")
        return [ops.cast(output, "float32") for output in outputs]

    def call(self, targets: Tensor, images: Tensor) -> Tensor:
        """Return the distance of each pair, shape (B,)."""
        return self.distance(self.maps(ops.stop_gradient(targets)), self.maps(images))

    @staticmethod
    def distance(targets: Sequence[Tensor], images: Sequence[Tensor]) -> Tensor:
        """Return the distance of each pair, shape (B,), from their maps."""
        pairs = zip(targets, images, strict=True)
        return sum(ops.mean(ops.sum(ops.square(_unit(x) - _unit(y)), axis=-1), axis=(1, 2)) for x, y in pairs)

    def get_config(self) -> dict[str, Any]:
        """Return the names of the layers, None for a network that is no part of the file, and Keras's own arguments."""
        return {**super().get_config(), "features": None if self.layers is None else list(self.layers)}


def _checked(names: Sequence[str]) -> tuple[str, ...]:
    is_known = not isinstance(names, str) and set(names) <= set(FEATURE_STAGES) and len(set(names)) == len(names) > 0
    if not is_known:
        known = ", ".join(FEATURE_STAGES)
        raise ValueError(f"PerceptualLoss: features: expected different ones of {known}, or a model, got {names!r}.")
    return tuple(names)


def _unit(features: Tensor) -> Tensor:
    return features * ops.rsqrt(ops.sum(ops.square(features), axis=-1, keepdims=True) + _SMALLEST_SQUARE)
