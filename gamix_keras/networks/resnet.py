"""The residual encoder and decoder of GAMIX-VAE (Rivera 2024), in the published and in our corrected form.

Encoder: 3x3 convolution, `stages` times [`blocks` residual blocks, one that halves], 1x1 convolution to `bottleneck`
channels, two dense heads. Decoder: dense layer, 3x3 convolution, `stages` times [`blocks` residual blocks, one that
doubles], convolution to the image.

The published form (`paper=True`) starts with a layer normalisation over height and width, which erases each
channel's brightness and contrast, and squeezes its last block to the image's channels. The corrected form has no
normalisation of its input, a wide last block, group normalisation and anti-aliased resampling (`layers.residual`).
"""

from collections.abc import Sequence
from typing import Any

import keras

from gamix_keras.layers.convolution import Conv2D
from gamix_keras.layers.dense import Dense
from gamix_keras.layers.normalisation import PlaneNormalization, make_normalisation
from gamix_keras.layers.residual import ResidualBlock
from gamix_keras.networks.base import (
    Network,
    check_image_shape,
    check_not_negative,
    check_positive,
    location_channels,
    posterior_heads,
    resolve_stages,
)

Tensor = Any


@keras.saving.register_keras_serializable("gamix_keras")
class ResNetEncoder(Network):
    """Images (B, H, W, C) to [mean, log_var], each (B, latent_dim).

    Args:
        image_shape: (H, W, C); H and W divisible by 2^stages.
        latent_dim: D.
        width: Channels of all blocks.
        stages: How often the image is halved; None means down to a map of 4 pixels or a little more.
        blocks: Residual blocks before each halving, 0 or more.
        bottleneck: Channels of the last map, before the dense heads. The paper has latent_dim / 8.
        paper: The published form. At (256, 256, 3), D = 512 it has 5,882,944 + 1,049,600 parameters.
        groups: Most groups of each group normalisation.
        dtype: Policy of the layers; the outputs are float32.

    Raises:
        ValueError: For a size that cannot be halved so often, or a count that makes no sense.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_dim: int,
        width: int = 128,
        stages: int | None = None,
        blocks: int = 2,
        bottleneck: int = 64,
        paper: bool = False,
        groups: int = 8,
        dtype: Any = None,
        name: str = "encoder",
        **kwargs: Any,
    ) -> None:
        shape = check_image_shape(image_shape)
        check_positive(latent_dim=latent_dim, width=width, bottleneck=bottleneck, groups=groups)
        check_not_negative(blocks=blocks)
        policy = keras.dtype_policies.get(dtype)
        image = keras.Input(shape, name="image")
        x = PlaneNormalization(dtype=policy, name="norm")(image) if paper else image
        x = Conv2D(width, 3, padding="same", dtype=policy, name="stem")(x)
        for stage in range(resolve_stages(shape, stages)):
            x = _blocks(x, blocks, f"stage{stage}", width=width, paper=paper, groups=groups, dtype=policy)
            down = f"stage{stage}_down"
            x = ResidualBlock(width, "down", paper, groups, dtype=policy, name=down)(x)
        if not paper:
            x = _activated(x, groups, policy)
        x = Conv2D(bottleneck, 1, dtype=policy, name="bottleneck")(x)
        x = keras.layers.Flatten("channels_last", dtype=policy, name="flatten")(x)
        arguments = {
            "image_shape": shape,
            "latent_dim": latent_dim,
            "width": width,
            "stages": stages,
            "blocks": blocks,
            "bottleneck": bottleneck,
            "paper": paper,
            "groups": groups,
        }
        super().__init__(image, posterior_heads(x, latent_dim), arguments, policy, name=name, **kwargs)


@keras.saving.register_keras_serializable("gamix_keras")
class ResNetDecoder(Network):
    """Latents (B, latent_dim) to the location of the likelihood, (B, H, W, C), linear and unbounded.

    Args:
        image_shape: (H, W, C); H and W divisible by 2^stages.
        latent_dim: D.
        width: Channels of all blocks.
        stages: How often the first map is doubled; None means from a map of 4 pixels or a little more.
        blocks: Residual blocks before each doubling, 0 or more.
        bottleneck: Channels of the first map, after the dense layer. The paper has latent_dim / 8.
        paper: The published form. At (256, 256, 3), D = 512 it has 4,049,522 parameters.
        groups: Most groups of each group normalisation.
        pixel_scale: Output (B, H, W, 2C): location, then log-scale of each pixel.
        dtype: Policy of the layers; the output is float32.

    Raises:
        ValueError: For a size that cannot be halved so often, or a count that makes no sense.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_dim: int,
        width: int = 128,
        stages: int | None = None,
        blocks: int = 1,
        bottleneck: int = 64,
        paper: bool = False,
        groups: int = 8,
        pixel_scale: bool = False,
        dtype: Any = None,
        name: str = "decoder",
        **kwargs: Any,
    ) -> None:
        shape = check_image_shape(image_shape)
        check_positive(latent_dim=latent_dim, width=width, bottleneck=bottleneck, groups=groups)
        check_not_negative(blocks=blocks)
        policy = keras.dtype_policies.get(dtype)
        count, channels = resolve_stages(shape, stages), location_channels(shape, pixel_scale)
        height, across = shape[0] >> count, shape[1] >> count
        z = keras.Input((latent_dim,), name="z")
        x = Dense(height * across * bottleneck, dtype=policy, name="dense")(z)
        x = keras.layers.Reshape((height, across, bottleneck), dtype=policy, name="reshape")(x)
        x = Conv2D(width, 3, padding="same", dtype=policy, name="stem")(x)
        for stage in range(count):
            x = _blocks(x, blocks, f"stage{stage}", width=width, paper=paper, groups=groups, dtype=policy)
            squeezed = paper and stage == count - 1
            up = f"stage{stage}_up"
            x = ResidualBlock(channels if squeezed else width, "up", paper, groups, dtype=policy, name=up)(x)
        if not paper:
            x = _activated(x, groups, policy)
        kernel_size = 1 if paper else 3
        x = Conv2D(channels, kernel_size, padding="same", dtype="float32", name="location")(x)
        arguments = {
            "image_shape": shape,
            "latent_dim": latent_dim,
            "width": width,
            "stages": stages,
            "blocks": blocks,
            "bottleneck": bottleneck,
            "paper": paper,
            "groups": groups,
            "pixel_scale": pixel_scale,
        }
        super().__init__(z, x, arguments, policy, name=name, **kwargs)


def _blocks(x: Tensor, count: int, name: str, **kwargs: Any) -> Tensor:
    """Apply `count` residual blocks at one resolution."""
    for index in range(count):
        x = ResidualBlock(name=f"{name}_block{index}", **kwargs)(x)
    return x


def _activated(x: Tensor, groups: int, dtype: Any) -> Tensor:
    """Apply normalisation and ReLU after the last block, which ends without."""
    x = make_normalisation("group", x.shape[-1], groups, dtype=dtype, name="last_norm")(x)
    return keras.layers.ReLU(dtype=dtype, name="last_relu")(x)
