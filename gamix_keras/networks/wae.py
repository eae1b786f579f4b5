"""The networks of Wasserstein auto-encoders (Tolstikhin et al. 2018) as Two-Stage VAE uses them (Dai & Wipf 2019).

Encoder: convolutions 5x5 to 128, 256, 512, 1024 channels, strides 1, 2, 2, 2, two dense heads. Decoder: dense to an
eighth of the size with 1024 channels and ReLU, transposed convolutions 5x5 stride 2 to 512, 256, 128, one of stride 1
to the image. Batch normalisation and ReLU after each convolution but the last. For 64x64x3 and latent 64, with the one
learned scale of the likelihood: 47,082,628 trainable parameters.

The published images are in [0, 1] and its decoder ends in a sigmoid; ours are in [-1, 1], so it ends in
2 sigmoid(x) - 1 = tanh(x / 2), and a scale of the likelihood is twice the published one.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from gamix_keras.layers.convolution import Conv2D, Conv2DTranspose
from gamix_keras.layers.dense import Dense
from gamix_keras.layers.normalisation import make_normalisation
from gamix_keras.networks.base import Network, check_image_shape, check_positive, resolve_stages

Tensor = Any
STAGES = 3


@keras.saving.register_keras_serializable("gamix_keras")
class WAEEncoder(Network):
    """Images (B, H, W, C) to [mean, log_var], each (B, latent_dim); the published head gives log_var / 2.

    Args:
        image_shape: (H, W, C); H and W divisible by 8.
        latent_dim: D.
        width: Channels of the first convolution; each further one doubles them.
        dtype: Policy of the layers; the outputs are float32.

    Raises:
        ValueError: For a size that 8 does not divide, or a count below 1.
    """

    def __init__(
        self,
        image_shape: Sequence[int] = (64, 64, 3),
        latent_dim: int = 64,
        width: int = 128,
        dtype: Any = None,
        name: str = "encoder",
        **kwargs: Any,
    ) -> None:
        shape = check_image_shape(image_shape)
        check_positive(latent_dim=latent_dim, width=width)
        resolve_stages(shape, STAGES)
        policy = keras.dtype_policies.get(dtype)
        image = keras.Input(shape, name="image")
        x = image
        for stage in range(STAGES + 1):
            strides = 2 if stage else 1
            x = Conv2D(width << stage, 5, strides, "same", dtype=policy, name=f"conv{stage}")(x)
            x = _normalised(x, policy, stage)
        x = keras.layers.Flatten("channels_last", dtype=policy, name="flatten")(x)
        mean = Dense(latent_dim, dtype="float32", name="mean")(x)
        log_std = Dense(latent_dim, dtype="float32", name="log_std")(x)
        arguments = {"image_shape": shape, "latent_dim": latent_dim, "width": width}
        super().__init__(image, [mean, 2.0 * log_std], arguments, policy, name=name, **kwargs)


@keras.saving.register_keras_serializable("gamix_keras")
class WAEDecoder(Network):
    """Latents (B, latent_dim) to the location of the likelihood, (B, H, W, C), in (-1, 1).

    Args:
        image_shape: (H, W, C); H and W divisible by 8.
        latent_dim: D.
        width: Channels at full resolution; each lower one has twice as many.
        dtype: Policy of the layers; the output is float32.

    Raises:
        ValueError: For a size that 8 does not divide, or a count below 1.
    """

    def __init__(
        self,
        image_shape: Sequence[int] = (64, 64, 3),
        latent_dim: int = 64,
        width: int = 128,
        dtype: Any = None,
        name: str = "decoder",
        **kwargs: Any,
    ) -> None:
        shape = check_image_shape(image_shape)
        check_positive(latent_dim=latent_dim, width=width)
        resolve_stages(shape, STAGES)
        policy = keras.dtype_policies.get(dtype)
        eighth = (shape[0] >> STAGES, shape[1] >> STAGES, width << STAGES)
        z = keras.Input((latent_dim,), name="z")
        units = eighth[0] * eighth[1] * eighth[2]
        x = Dense(units, activation="relu", dtype=policy, name="dense")(z)
        x = keras.layers.Reshape(eighth, dtype=policy, name="reshape")(x)
        for stage in reversed(range(STAGES)):
            x = Conv2DTranspose(width << stage, 5, 2, "same", dtype=policy, name=f"deconv{stage}")(x)
            x = _normalised(x, policy, stage)
        x = Conv2DTranspose(shape[-1], 5, 1, "same", dtype="float32", name="location")(x)
        arguments = {"image_shape": shape, "latent_dim": latent_dim, "width": width}
        super().__init__(z, ops.tanh(0.5 * x), arguments, policy, name=name, **kwargs)


def _normalised(x: Tensor, dtype: Any, index: int) -> Tensor:
    """Apply batch normalisation and ReLU."""
    x = make_normalisation("batch", x.shape[-1], dtype=dtype, name=f"norm{index}")(x)
    return keras.layers.ReLU(dtype=dtype, name=f"relu{index}")(x)
