"""The projected critic (Sauer et al. 2021): it judges what a frozen network sees in an image."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from gamix_keras.layers.activation import LeakyReLU
from gamix_keras.layers.convolution import Conv2D
from gamix_keras.layers.projection import RandomProjection
from gamix_keras.layers.spectral import SpectralNorm
from gamix_keras.metrics.efficientnet_lite import feature_stages, stage_shapes
from gamix_keras.networks.base import check_image_shape, check_positive

Tensor = Any
Shape = tuple[int, int, int]
STAGES = ("stage2", "stage3", "stage5", "stage7")


class _Untracked:
    """Holds the frozen network where Keras does not look: it neither saves nor counts nor trains it."""

    def __init__(self, network: keras.Model | None) -> None:
        self.network = network


@keras.saving.register_keras_serializable("gamix_keras")
class ProjectedCritic(keras.Model):
    """Images (B, H, W, C) in [-1, 1] to a list of logits (B, h, w, 1), one map for each stage of a frozen network.

    Each stage: `RandomProjection` of its map to `width` channels; a convolution, 4x4 with stride 2 in the earlier half
    of the stages and 3x3 in the later half; leaky ReLU 0.2; a 3x3 convolution to the logits. The spectral norm of the
    trained kernels is 1. The losses of the stages count equally, see `AdversarialLoss`.

    The frozen network is no part of the model: its weights are not saved, counted or trained. With `features=None` it
    is EfficientNet-Lite0, made when it is first needed, which is in training: to load and sample, nobody needs it. A
    network of one's own must be given again to a critic that was loaded: `critic.use(network)`.

    Without batch statistics or dropout: real and fake images may share a pass.

    Args:
        image_shape: (H, W, C); grey images are repeated to three channels.
        stages: Stages of EfficientNet-Lite0, of 24, 40, 112 and 320 channels by default; of no effect with `features`.
        width: Channels of each projection, and of the convolution after it.
        seed: Seed of the projections.
        features: None, or a network from images to a map, or to a list of maps (B, h, w, c), float32.
        map_shapes: (h, w, c) of each map: what a saved critic is rebuilt from; leave it out.
        dtype: Policy of the trained layers; the frozen network and the logits are float32.

    Raises:
        ValueError: If a size or a stage is none, or `features` gives something other than maps.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        stages: Sequence[str] = STAGES,
        width: int = 64,
        seed: int = 0,
        features: keras.Model | None = None,
        map_shapes: Sequence[Sequence[int]] | None = None,
        dtype: Any = None,
        name: str = "critic",
        **kwargs: Any,
    ) -> None:
        # Of its own it does nothing, and images must not be cast to a short type on their way in.
        super().__init__(dtype="float32", name=name, **kwargs)
        self.image_shape = check_image_shape(image_shape)
        check_positive(width=width)
        self.policy = keras.dtype_policies.get(dtype)
        self.stages, self.width, self.seed = tuple(stages), width, seed
        self.is_given = features is not None or map_shapes is not None
        self._frozen = _Untracked(None)
        if features is not None:
            map_shapes = _shapes(features)
        self.map_shapes = tuple(tuple(shape) for shape in map_shapes or stage_shapes(self.stages, self.image_shape))
        if features is not None:
            self.use(features)
        self.heads = self._heads()
        self.built = True

    def _heads(self) -> keras.Model:
        maps = [keras.Input(shape, name=f"map{i}") for i, shape in enumerate(self.map_shapes)]
        return keras.Model(maps, [self._head(i, x) for i, x in enumerate(maps)], name="heads")

    def _head(self, i: int, x: Tensor) -> Tensor:
        norm = {"kernel_constraint": SpectralNorm(), "kernel_initializer": _of_norm_one}
        side, step = (4, 2) if i < len(self.map_shapes) / 2 else (3, 1)
        x = RandomProjection(self.width, self.seed + i, dtype=self.policy, name=f"projection{i}")(x)
        x = Conv2D(self.width, side, step, "same", **norm, dtype=self.policy, name=f"conv{i}")(x)
        x = LeakyReLU(0.2, dtype=self.policy, name=f"relu{i}")(x)
        return Conv2D(1, 3, 1, "same", **norm, dtype="float32", name=f"logits{i}")(x)

    # Methods, for Keras saves whatever model it finds in an attribute or a property.
    def use(self, features: keras.Model) -> None:
        """Take a network from images to maps of the known shapes as the frozen one.

        Raises:
            ValueError: If its maps have other shapes.
        """
        if _shapes(features) != self.map_shapes:
            expected = f"expected a network to maps {list(self.map_shapes)}"
            raise ValueError(f"ProjectedCritic: features: {expected}, got one to {list(_shapes(features))}.")
        features.trainable = False
        self._frozen.network = features

    def frozen(self) -> keras.Model:
        """Return the frozen network, made now if it was not needed before.

        Raises:
            ValueError: If a network was given to the critic that this one was loaded from.
        """
        if self._frozen.network is None:
            if self.is_given:
                hint = "a file does not hold the one that the critic was made with; call critic.use(network)"
                raise ValueError(f"ProjectedCritic: features: expected a network, got none: {hint}.")
            self.use(feature_stages(self.stages, self.image_shape))
        return self._frozen.network

    def see(self, images: Tensor) -> list[Tensor]:
        """Return the maps of the frozen network, float32: what `judge` takes."""
        maps = self.frozen()(ops.cast(images, "float32"), training=False)
        return list(maps) if isinstance(maps, list | tuple) else [maps]

    def judge(self, maps: Sequence[Tensor], training: bool = False) -> list[Tensor]:
        """Return the logits (B, h, w, 1) of each stage, float32, of its map."""
        logits = self.heads(list(maps), training=training)
        return list(logits) if isinstance(logits, list | tuple) else [logits]

    def call(self, images: Tensor, training: bool = False) -> list[Tensor]:
        """Return the logits of each stage."""
        return self.judge(self.see(images), training)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments; in place of a network that was given, the shapes of its maps."""
        return {
            "image_shape": list(self.image_shape),
            "stages": list(self.stages),
            "width": self.width,
            "seed": self.seed,
            "map_shapes": [list(shape) for shape in self.map_shapes] if self.is_given else None,
            "dtype": keras.dtype_policies.serialize(self.policy),
            "name": self.name,
            "trainable": self.trainable,
        }


def _of_norm_one(shape: tuple, dtype: Any = None) -> Tensor:
    """Draw a kernel as Keras does (Glorot & Bengio 2010), of spectral norm 1 as after each update."""
    return SpectralNorm()(keras.initializers.GlorotUniform()(shape, dtype=dtype))


def _shapes(network: Any) -> tuple[Shape, ...]:
    outputs = getattr(network, "outputs", None) or ()
    shapes = tuple(tuple(output.shape[1:]) for output in outputs)
    if not shapes or any(len(shape) != 3 or None in shape for shape in shapes):
        raise ValueError(f"ProjectedCritic: features: expected a network to maps (B, h, w, c), got {network!r}.")
    return shapes
