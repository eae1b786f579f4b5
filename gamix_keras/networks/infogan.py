"""The InfoGAN networks of Two-Stage VAE (Dai & Wipf 2019), after Chen et al. 2016.

Encoder: convolution 4x4 stride 2 to 64 channels, another to 128, dense 1024, one dense layer to mean and deviation;
leaky ReLU 0.2, batch normalisation on the two in the middle, spectral normalisation on all four kernels. Decoder:
dense 1024, dense to a quarter of the size with 128 channels, two transposed convolutions 4x4 stride 2; batch
normalisation and ReLU but after the last. Trainable, with the one learned scale of the likelihood: 13,331,586 for
28x28x1, 17,273,604 for 32x32x3, 67,678,980 for 64x64x3, latent 64.

The published images are in [0, 1] and its decoder ends in a sigmoid; ours are in [-1, 1], so it ends in
2 sigmoid(x) - 1 = tanh(x / 2), and a scale of the likelihood is twice the published one. Spectral normalisation is a
constraint here: the kernels themselves have norm 1 after each step, from the first.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from gamix_keras.layers.activation import LeakyReLU
from gamix_keras.layers.convolution import Conv2D, Conv2DTranspose
from gamix_keras.layers.dense import Dense
from gamix_keras.layers.normalisation import make_normalisation
from gamix_keras.layers.spectral import SpectralNorm
from gamix_keras.networks.base import Network, check_image_shape, check_positive, resolve_stages

Tensor = Any
STAGES = 2
# Keeps the logarithm of the deviation finite, as published.
SMALLEST_DEVIATION = 1e-6


@keras.saving.register_keras_serializable("gamix_keras")
class InfoGANEncoder(Network):
    """Images (B, H, W, C) to [mean, log_var], each (B, latent_dim), with log_var = 2 log(softplus(a) + 1e-6).

    Args:
        image_shape: (H, W, C); H and W divisible by 4.
        latent_dim: D.
        width: Channels of the first convolution; the second has twice as many.
        units: Units of the dense layer.
        dtype: Policy of the layers; the outputs are float32.

    Raises:
        ValueError: For a size that 4 does not divide, or a count below 1.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_dim: int = 64,
        width: int = 64,
        units: int = 1024,
        dtype: Any = None,
        name: str = "encoder",
        **kwargs: Any,
    ) -> None:
        shape = check_image_shape(image_shape)
        check_positive(latent_dim=latent_dim, width=width, units=units)
        resolve_stages(shape, STAGES)
        policy = keras.dtype_policies.get(dtype)
        held = {"kernel_constraint": SpectralNorm(), "kernel_initializer": _small()}
        image = keras.Input(shape, name="image")
        x = Conv2D(width, 4, 2, "same", dtype=policy, name="conv0", **held)(image)
        x = LeakyReLU(0.2, dtype=policy, name="relu0")(x)
        x = Conv2D(2 * width, 4, 2, "same", dtype=policy, name="conv1", **held)(x)
        x = _normalised(x, "leaky_relu", policy, 1)
        x = keras.layers.Flatten("channels_last", dtype=policy, name="flatten")(x)
        x = Dense(units, dtype=policy, name="dense", **held)(x)
        x = _normalised(x, "leaky_relu", policy, 2)
        heads = Dense(2 * latent_dim, dtype="float32", name="heads", **held)(x)
        arguments = {"image_shape": shape, "latent_dim": latent_dim, "width": width, "units": units}
        outputs = [heads[:, :latent_dim], log_variance(heads[:, latent_dim:])]
        super().__init__(image, outputs, arguments, policy, name=name, **kwargs)


@keras.saving.register_keras_serializable("gamix_keras")
class InfoGANDecoder(Network):
    """Latents (B, latent_dim) to the location of the likelihood, (B, H, W, C), in (-1, 1).

    Args:
        image_shape: (H, W, C); H and W divisible by 4.
        latent_dim: D.
        width: Channels at half the resolution; at a quarter there are twice as many.
        units: Units of the first dense layer.
        dtype: Policy of the layers; the output is float32.

    Raises:
        ValueError: For a size that 4 does not divide, or a count below 1.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_dim: int = 64,
        width: int = 64,
        units: int = 1024,
        dtype: Any = None,
        name: str = "decoder",
        **kwargs: Any,
    ) -> None:
        shape = check_image_shape(image_shape)
        check_positive(latent_dim=latent_dim, width=width, units=units)
        resolve_stages(shape, STAGES)
        policy = keras.dtype_policies.get(dtype)
        start = {"kernel_initializer": _small()}
        quarter = (shape[0] // 4, shape[1] // 4, 2 * width)
        z = keras.Input((latent_dim,), name="z")
        x = Dense(units, dtype=policy, name="dense0", **start)(z)
        x = _normalised(x, "relu", policy, 0)
        x = Dense(quarter[0] * quarter[1] * quarter[2], dtype=policy, name="dense1", **start)(x)
        x = _normalised(x, "relu", policy, 1)
        x = keras.layers.Reshape(quarter, dtype=policy, name="reshape")(x)
        x = Conv2DTranspose(width, 4, 2, "same", dtype=policy, name="deconv", **start)(x)
        x = _normalised(x, "relu", policy, 2)
        x = Conv2DTranspose(shape[-1], 4, 2, "same", dtype="float32", name="location", **start)(x)
        arguments = {"image_shape": shape, "latent_dim": latent_dim, "width": width, "units": units}
        super().__init__(z, ops.tanh(0.5 * x), arguments, policy, name=name, **kwargs)


def _small() -> keras.initializers.Initializer:
    """Return N(0, 0.02): a standard deviation, in their code and ours."""
    return keras.initializers.RandomNormal(stddev=0.02)


def _normalised(x: Tensor, activation: str, dtype: Any, index: int) -> Tensor:
    """Apply batch normalisation, then "relu" or "leaky_relu" (slope 0.2)."""
    x = make_normalisation("batch", x.shape[-1], dtype=dtype, name=f"norm{index}")(x)
    if activation == "leaky_relu":
        return LeakyReLU(0.2, dtype=dtype, name=f"relu{index}")(x)
    return keras.layers.ReLU(dtype=dtype, name=f"relu{index}")(x)


def log_variance(x: Tensor) -> Tensor:
    """Return 2 log(softplus(x) + 1e-6), by operations that no runtime gets wrong.

    With t = exp(x), log(1 + t) loses digits at small t, and some runtimes' softplus and log1p are 0 or negative there,
    which costs up to 2.4 nats per latent. Below t = 0.03 its series is exact to float32, above x = 15 it is x.
    """
    t = ops.exp(ops.where(x > 15.0, 15.0, x))
    series = t * (1.0 - t * (1.0 / 2 - t * (1.0 / 3 - t * (1.0 / 4 - t / 5))))
    deviation = ops.where(x > 15.0, x, ops.where(t < 0.03, series, ops.log(1.0 + t)))
    return 2.0 * ops.log(deviation + SMALLEST_DEVIATION)
