"""A light convolutional family in the manner of DCGAN (Radford et al. 2016), for CPUs and small images.

Encoder: 3x3 convolutions of stride 2, the channels doubling while the map is halved. Decoder: channels rearranged into
2x2 pixels, then a 3x3 convolution, which sees all neighbours alike. The four channels that become neighbouring pixels
start out equal (`PhaseAligned`) and go on answering alike to a flat map (`EqualPhases`): free to differ, they leave a
lattice on the image, which a critic strengthens. What they still make of maps that are not flat, the last convolution
cannot see (`NoAlternation`): without that, the flat background of a trained model has stripes of period 2.
Only a quarter of the first convolution's channels live at full resolution, where they take a CPU the most time, unless
`tail` asks for more: the last convolution paints edges and hair with no more than these.
"""

from collections.abc import Sequence
from typing import Any

import keras

from gamix_keras.layers.activation import LeakyReLU
from gamix_keras.layers.convolution import Conv2D
from gamix_keras.layers.dense import Dense
from gamix_keras.layers.normalisation import make_normalisation
from gamix_keras.layers.subpixel import DepthToSpace, EqualPhases, NoAlternation, NonAlternating, PhaseAligned
from gamix_keras.networks.base import (
    Network,
    check_image_shape,
    check_positive,
    location_channels,
    posterior_heads,
    resolve_stages,
)

Tensor = Any


@keras.saving.register_keras_serializable("gamix_keras")
class ConvEncoder(Network):
    """Images (B, H, W, C) to [mean, log_var], each (B, latent_dim).

    Args:
        image_shape: (H, W, C); H and W divisible by 2^stages.
        latent_dim: D.
        width: Channels after the first convolution; each further one doubles them.
        stages: Convolutions of stride 2; None means down to a map of 4 pixels or a little more.
        max_width: Most channels of any convolution.
        norm: "none", "group" or "batch", after all convolutions but the first.
        groups: Most groups of each group normalisation.
        dtype: Policy of the layers; the outputs are float32.

    Raises:
        ValueError: For a size that cannot be halved so often, a count below 1, or another `norm`.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_dim: int,
        width: int = 32,
        stages: int | None = None,
        max_width: int = 256,
        norm: str = "none",
        groups: int = 8,
        dtype: Any = None,
        name: str = "encoder",
        **kwargs: Any,
    ) -> None:
        shape = check_image_shape(image_shape)
        check_positive(latent_dim=latent_dim, width=width, max_width=max_width, groups=groups)
        policy = keras.dtype_policies.get(dtype)
        image = keras.Input(shape, name="image")
        x = image
        for stage, channels in enumerate(_widths(width, max_width, resolve_stages(shape, stages))):
            conv = Conv2D(channels, 3, 2, "same", dtype=policy, name=f"conv{stage}")
            x = _activated(conv(x), norm if stage else "none", groups, policy, stage)
        x = keras.layers.Flatten("channels_last", dtype=policy, name="flatten")(x)
        arguments = {
            "image_shape": shape,
            "latent_dim": latent_dim,
            "width": width,
            "stages": stages,
            "max_width": max_width,
            "norm": norm,
            "groups": groups,
        }
        super().__init__(image, posterior_heads(x, latent_dim), arguments, policy, name=name, **kwargs)


@keras.saving.register_keras_serializable("gamix_keras")
class ConvDecoder(Network):
    """Latents (B, latent_dim) to the location of the likelihood, (B, H, W, C), linear and unbounded.

    Args:
        image_shape: (H, W, C); H and W divisible by 2^stages.
        latent_dim: D.
        width: Channels at half the resolution, a multiple of 4; each lower one doubles them.
        stages: Doublings of the resolution; None means from a map of 4 pixels or a little more.
        max_width: Most channels of any layer but the last that `tail` sets, a multiple of 4.
        norm: "none", "group" or "batch", after all layers but the last.
        groups: Most groups of each group normalisation.
        tail: Channels at full resolution, which the last convolution sees: 4 tail channels stand before the last
            `DepthToSpace`, whatever the width. None means a quarter of what stands there otherwise: width / 4, and at
            most max_width / 4.
        pixel_scale: Output (B, H, W, 2C): location, then log-scale of each pixel.
        dtype: Policy of the layers; the output is float32.

    Raises:
        ValueError: For a size that cannot be halved so often, a count below 1 or not divisible by 4, or another `norm`.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_dim: int,
        width: int = 32,
        stages: int | None = None,
        max_width: int = 256,
        norm: str = "none",
        groups: int = 8,
        tail: int | None = None,
        pixel_scale: bool = False,
        dtype: Any = None,
        name: str = "decoder",
        **kwargs: Any,
    ) -> None:
        shape = check_image_shape(image_shape)
        check_positive(latent_dim=latent_dim, width=width, max_width=max_width, groups=groups)
        _check_multiple_of_4(width=width, max_width=max_width)
        policy = keras.dtype_policies.get(dtype)
        widths = _decoder_widths(width, max_width, resolve_stages(shape, stages), tail)
        height, across = shape[0] >> len(widths), shape[1] >> len(widths)
        z = keras.Input((latent_dim,), name="z")
        x = Dense(height * across * widths[0], dtype=policy, name="dense")(z)
        x = keras.layers.Reshape((height, across, widths[0]), dtype=policy, name="reshape")(x)
        x = _activated(x, norm, groups, policy, 0)
        for stage, channels in enumerate(widths[1:], start=1):
            x = DepthToSpace(dtype=policy, name=f"up{stage}")(x)
            conv = Conv2D(
                channels,
                3,
                padding="same",
                kernel_initializer=PhaseAligned(),
                kernel_constraint=EqualPhases(),
                bias_constraint=EqualPhases(),
                dtype=policy,
                name=f"conv{stage}",
            )
            x = _activated(conv(x), norm, groups, policy, stage)
        x = DepthToSpace(dtype=policy, name="pixels")(x)
        channels = location_channels(shape, pixel_scale)
        x = Conv2D(
            channels,
            3,
            padding="same",
            kernel_initializer=NonAlternating(),
            kernel_constraint=NoAlternation(),
            dtype="float32",
            name="location",
        )(x)
        arguments = {
            "image_shape": shape,
            "latent_dim": latent_dim,
            "width": width,
            "stages": stages,
            "max_width": max_width,
            "norm": norm,
            "groups": groups,
            "tail": tail,
            "pixel_scale": pixel_scale,
        }
        super().__init__(z, x, arguments, policy, name=name, **kwargs)


def _check_multiple_of_4(**values: int) -> None:
    for name, value in values.items():
        if value % 4:
            raise ValueError(f"{name}: expected a multiple of 4, got {value}.")


def _widths(width: int, max_width: int, stages: int) -> list[int]:
    """Return the channels from the highest resolution to the lowest."""
    return [min(width << stage, max_width) for stage in range(stages)]


def _decoder_widths(width: int, max_width: int, stages: int, tail: int | None) -> list[int]:
    """Return the channels before each `DepthToSpace`, from the lowest resolution on."""
    widths = _widths(width, max_width, stages)[::-1]
    if tail is None:
        return widths
    check_positive(tail=tail)
    return [*widths[:-1], 4 * tail]


def _activated(x: Tensor, norm: str, groups: int, dtype: Any, index: int) -> Tensor:
    """Apply normalisation and leaky ReLU."""
    x = make_normalisation(norm, x.shape[-1], groups, dtype=dtype, name=f"norm{index}")(x)
    return LeakyReLU(0.2, dtype=dtype, name=f"relu{index}")(x)
