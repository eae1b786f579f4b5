"""Fully connected networks: for small images, and for the second stage of Two-Stage VAE (Dai & Wipf 2019)."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from gamix_keras.layers.dense import Dense
from gamix_keras.networks.base import Network, check_image_shape, check_positive, location_channels, posterior_heads

Tensor = Any


@keras.saving.register_keras_serializable("gamix_keras")
class MLPEncoder(Network):
    """Images (B, H, W, C) to [mean, log_var], each (B, latent_dim): `depth` dense layers with ReLU, two heads.

    Args:
        image_shape: (H, W, C), any size.
        latent_dim: D.
        width: Units of each hidden layer.
        depth: Hidden layers.
        dtype: Policy of the layers; the outputs are float32.

    Raises:
        ValueError: For a count below 1.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_dim: int,
        width: int = 512,
        depth: int = 2,
        dtype: Any = None,
        name: str = "encoder",
        **kwargs: Any,
    ) -> None:
        shape = check_image_shape(image_shape)
        check_positive(latent_dim=latent_dim, width=width, depth=depth)
        policy = keras.dtype_policies.get(dtype)
        image = keras.Input(shape, name="image")
        x = _hidden(keras.layers.Flatten("channels_last", dtype=policy, name="flatten")(image), width, depth, policy)
        arguments = {"image_shape": shape, "latent_dim": latent_dim, "width": width, "depth": depth}
        super().__init__(image, posterior_heads(x, latent_dim), arguments, policy, name=name, **kwargs)


@keras.saving.register_keras_serializable("gamix_keras")
class MLPDecoder(Network):
    """Latents (B, latent_dim) to the location of the likelihood, (B, H, W, C), linear and unbounded.

    Args:
        image_shape: (H, W, C), any size.
        latent_dim: D.
        width: Units of each hidden layer.
        depth: Hidden layers.
        pixel_scale: Output (B, H, W, 2C): location, then log-scale of each pixel.
        dtype: Policy of the layers; the output is float32.

    Raises:
        ValueError: For a count below 1.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_dim: int,
        width: int = 512,
        depth: int = 2,
        pixel_scale: bool = False,
        dtype: Any = None,
        name: str = "decoder",
        **kwargs: Any,
    ) -> None:
        shape = check_image_shape(image_shape)
        check_positive(latent_dim=latent_dim, width=width, depth=depth)
        policy = keras.dtype_policies.get(dtype)
        z = keras.Input((latent_dim,), name="z")
        x = _hidden(z, width, depth, policy)
        out = (*shape[:2], location_channels(shape, pixel_scale))
        x = Dense(int(np.prod(out)), dtype="float32", name="location")(x)
        x = keras.layers.Reshape(out, dtype="float32", name="pixels")(x)
        arguments = {"image_shape": shape, "latent_dim": latent_dim, "width": width, "depth": depth}
        super().__init__(z, x, {**arguments, "pixel_scale": pixel_scale}, policy, name=name, **kwargs)


@keras.saving.register_keras_serializable("gamix_keras")
class SecondStageEncoder(Network):
    """Latents z (B, latent_dim) to [mean, log_var] of u, each (B, latent_dim).

    h is `depth` dense layers with ReLU on z; the heads read z and h together. The published head gives the logarithm
    of a standard deviation: the variance's is twice that. With the decoder and one learned scale of z the published
    second stage has 4,540,609 parameters.

    Args:
        latent_dim: Dimensions of z and of u.
        width: Units of each hidden layer.
        depth: Hidden layers.
        dtype: Policy of the layers; the outputs are float32.

    Raises:
        ValueError: For a count below 1.
    """

    def __init__(
        self,
        latent_dim: int = 64,
        width: int = 1024,
        depth: int = 3,
        dtype: Any = None,
        name: str = "second_encoder",
        **kwargs: Any,
    ) -> None:
        check_positive(latent_dim=latent_dim, width=width, depth=depth)
        policy = keras.dtype_policies.get(dtype)
        z = keras.Input((latent_dim,), name="z")
        features = _with_input(z, width, depth, policy)
        mean = Dense(latent_dim, dtype="float32", name="mean")(features)
        log_std = Dense(latent_dim, dtype="float32", name="log_std")(features)
        arguments = {"latent_dim": latent_dim, "width": width, "depth": depth}
        super().__init__(z, [mean, 2.0 * log_std], arguments, policy, name=name, **kwargs)


@keras.saving.register_keras_serializable("gamix_keras")
class SecondStageDecoder(Network):
    """u (B, latent_dim) to the location of z, (B, latent_dim): h as in the encoder, then a linear layer on u and h.

    Args:
        latent_dim: Dimensions of u and of z.
        width: Units of each hidden layer.
        depth: Hidden layers.
        dtype: Policy of the layers; the output is float32.

    Raises:
        ValueError: For a count below 1.
    """

    def __init__(
        self,
        latent_dim: int = 64,
        width: int = 1024,
        depth: int = 3,
        dtype: Any = None,
        name: str = "second_decoder",
        **kwargs: Any,
    ) -> None:
        check_positive(latent_dim=latent_dim, width=width, depth=depth)
        policy = keras.dtype_policies.get(dtype)
        u = keras.Input((latent_dim,), name="u")
        z = Dense(latent_dim, dtype="float32", name="location")(_with_input(u, width, depth, policy))
        arguments = {"latent_dim": latent_dim, "width": width, "depth": depth}
        super().__init__(u, z, arguments, policy, name=name, **kwargs)


def _hidden(x: Tensor, width: int, depth: int, dtype: Any) -> Tensor:
    """Apply `depth` dense layers with ReLU."""
    for index in range(depth):
        x = Dense(width, activation="relu", dtype=dtype, name=f"dense{index}")(x)
    return x


def _with_input(x: Tensor, width: int, depth: int, dtype: Any) -> Tensor:
    """Put the input beside the last hidden layer, in float32: the input arrives unrounded."""
    return keras.layers.Concatenate(dtype="float32", name="both")([x, _hidden(x, width, depth, dtype)])
