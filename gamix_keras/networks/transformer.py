"""The transformer VAE: image patches as tokens, one learned token that becomes the latent.

Encoder: each patch to `width` features by one linear map, fixed positions, a learned token before them, `depth`
pre-normalised blocks, layer normalisation, and from the token alone the two heads. Decoder: one linear map of the
latent, the same for every patch, plus the positions; `depth` blocks, layer normalisation, and a linear map to the
pixels of the patch. At 64x64x3, D = 64, with a log-scale per pixel: 3,240,064 + 3,272,832 parameters.
"""

from collections.abc import Sequence
from typing import Any

import keras

from gamix_keras.layers.attention import AddPositions, PrependToken, TransformerBlock
from gamix_keras.layers.convolution import Conv2D
from gamix_keras.layers.dense import Dense
from gamix_keras.layers.normalisation import LayerNormalization
from gamix_keras.layers.subpixel import DepthToSpace
from gamix_keras.networks.base import Network, check_image_shape, check_positive, location_channels, posterior_heads

Tensor = Any


@keras.saving.register_keras_serializable("gamix_keras")
class TransformerEncoder(Network):
    """Images (B, H, W, C) to [mean, log_var], each (B, latent_dim).

    Args:
        image_shape: (H, W, C); H and W divisible by `patch`.
        latent_dim: D.
        patch: Side of a patch, pixels.
        width: Features of a token, divisible by 4 and by `heads`.
        depth: Transformer blocks.
        heads: Attention heads of each block.
        mlp_ratio: Hidden layer of each block's MLP as a multiple of `width`.
        dtype: Policy of the layers; the outputs are float32.

    Raises:
        ValueError: For a size that `patch` does not divide, a width that 4 or `heads` do not, or a count below 1.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_dim: int,
        patch: int = 8,
        width: int = 256,
        depth: int = 4,
        heads: int = 4,
        mlp_ratio: int = 4,
        dtype: Any = None,
        name: str = "encoder",
        **kwargs: Any,
    ) -> None:
        shape = check_image_shape(image_shape)
        check_positive(latent_dim=latent_dim, width=width, depth=depth, heads=heads, mlp_ratio=mlp_ratio)
        rows, columns = _grid(shape, patch)
        policy = keras.dtype_policies.get(dtype)
        image = keras.Input(shape, name="image")
        x = Conv2D(width, patch, patch, dtype=policy, name="patches")(image)
        x = keras.layers.Reshape((rows * columns, width), dtype=policy, name="tokens")(x)
        x = AddPositions(rows, columns, dtype=policy, name="positions")(x)
        x = PrependToken(dtype=policy, name="token")(x)
        x = _blocks(x, depth, heads, mlp_ratio, policy)
        arguments = {
            "image_shape": shape,
            "latent_dim": latent_dim,
            "patch": patch,
            "width": width,
            "depth": depth,
            "heads": heads,
            "mlp_ratio": mlp_ratio,
        }
        super().__init__(image, posterior_heads(x[:, 0], latent_dim), arguments, policy, name=name, **kwargs)


@keras.saving.register_keras_serializable("gamix_keras")
class TransformerDecoder(Network):
    """Latents (B, latent_dim) to the location of the likelihood, (B, H, W, C), linear and unbounded.

    Args:
        image_shape: (H, W, C); H and W divisible by `patch`.
        latent_dim: D.
        patch: Side of a patch, pixels.
        width: Features of a token, divisible by 4 and by `heads`.
        depth: Transformer blocks.
        heads: Attention heads of each block.
        mlp_ratio: Hidden layer of each block's MLP as a multiple of `width`.
        pixel_scale: Output (B, H, W, 2C): location, then log-scale of each pixel; the published form has it.
        dtype: Policy of the layers; the output is float32.

    Raises:
        ValueError: For a size that `patch` does not divide, a width that 4 or `heads` do not, or a count below 1.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_dim: int,
        patch: int = 8,
        width: int = 256,
        depth: int = 4,
        heads: int = 4,
        mlp_ratio: int = 4,
        pixel_scale: bool = False,
        dtype: Any = None,
        name: str = "decoder",
        **kwargs: Any,
    ) -> None:
        shape = check_image_shape(image_shape)
        check_positive(latent_dim=latent_dim, width=width, depth=depth, heads=heads, mlp_ratio=mlp_ratio)
        rows, columns = _grid(shape, patch)
        policy = keras.dtype_policies.get(dtype)
        z = keras.Input((latent_dim,), name="z")
        x = Dense(width, dtype=policy, name="dense")(z)
        x = keras.layers.RepeatVector(rows * columns, dtype=policy, name="tokens")(x)
        x = AddPositions(rows, columns, dtype=policy, name="positions")(x)
        x = _blocks(x, depth, heads, mlp_ratio, policy)
        channels = location_channels(shape, pixel_scale)
        x = Dense(patch * patch * channels, dtype="float32", name="location")(x)
        x = keras.layers.Reshape((rows, columns, patch * patch * channels), dtype="float32", name="grid")(x)
        x = DepthToSpace(patch, dtype="float32", name="pixels")(x)
        arguments = {
            "image_shape": shape,
            "latent_dim": latent_dim,
            "patch": patch,
            "width": width,
            "depth": depth,
            "heads": heads,
            "mlp_ratio": mlp_ratio,
            "pixel_scale": pixel_scale,
        }
        super().__init__(z, x, arguments, policy, name=name, **kwargs)


def _grid(shape: tuple[int, int, int], patch: int) -> tuple[int, int]:
    """Return rows and columns of patches."""
    check_positive(patch=patch)
    if shape[0] % patch or shape[1] % patch:
        expected = f"a height and width divisible by patch = {patch}"
        raise ValueError(f"image_shape: expected {expected}, got {shape[0]}x{shape[1]}.")
    return shape[0] // patch, shape[1] // patch


def _blocks(x: Tensor, depth: int, heads: int, mlp_ratio: int, dtype: Any) -> Tensor:
    """Apply the transformer and its last normalisation, which has a bias, unlike those inside the blocks."""
    for index in range(depth):
        x = TransformerBlock(heads, mlp_ratio, dtype=dtype, name=f"block{index}")(x)
    return LayerNormalization(epsilon=1e-6, dtype=dtype, name="last_norm")(x)
