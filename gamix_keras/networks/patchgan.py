"""The PatchGAN critic (Isola et al. 2017; GAMIX-VAE, Rivera 2024): one logit per patch of the image."""

from collections.abc import Sequence
from typing import Any

import keras

from gamix_keras.layers.activation import LeakyReLU
from gamix_keras.layers.blur import BlurResample2D
from gamix_keras.layers.convolution import Conv2D
from gamix_keras.layers.normalisation import NORMALISATIONS, make_normalisation
from gamix_keras.layers.spectral import SpectralNorm
from gamix_keras.networks.base import Network, check_image_shape, check_positive, resolve_stages

Tensor = Any
HALVINGS = 3


@keras.saving.register_keras_serializable("gamix_keras")
class PatchGANCritic(Network):
    """Images (B, H, W, C) to logits (B, h, w, 1), high for real: H / 8 x W / 8 of them with the default strides.

    Corrected form: no batch statistics (a gradient penalty works on every backend, and real and fake images may share
    a pass), nothing after the last convolution. Strided convolutions have kernels one wider than the others: each
    pixel is seen by as many windows as its neighbours, while uneven overlap gives the critic's gradient a lattice,
    which the decoder then draws. Low-pass filters before them, except before the first, which sees the pixels as they
    are: sharpness is what it has to judge.

    Published form (`paper=True`): a scale and shift after each convolution, the last included; no filters. Its
    dropout never fires and is left out. At 256x256x3: 412,101 parameters, 1,026 of them never trained.

    Args:
        image_shape: (H, W, C); H and W divisible by the product of the strides.
        widths: Channels of the convolutions before the one that gives the logits.
        strides: 1 or 2 for each width; None means 2 for the first three, then 1.
        kernel_size: Side of the kernels; in the corrected form strided ones have one more if it is odd.
        paper: The published form.
        norm: "group" or "none", for all convolutions but the first and the last (ignored with `paper`).
        groups: Most groups of each group normalisation.
        antialias: The filters (ignored with `paper`).
        spectral_norm: Hold every kernel's spectral norm at 1; needs norm="none".
        dtype: Policy of the layers; the logits are float32.

    Raises:
        ValueError: For a size that the strides do not divide, strides other than 1 or 2, or another `norm`.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        widths: Sequence[int] = (128, 128, 128, 64, 64),
        strides: Sequence[int] | None = None,
        kernel_size: int = 3,
        paper: bool = False,
        norm: str = "group",
        groups: int = 8,
        antialias: bool = True,
        spectral_norm: bool = False,
        dtype: Any = None,
        name: str = "critic",
        **kwargs: Any,
    ) -> None:
        shape, widths = check_image_shape(image_shape), tuple(widths)
        check_positive(**{f"widths[{i}]": width for i, width in enumerate(widths)}, kernel_size=kernel_size)
        steps = _check_strides(shape, widths, strides)
        _check_norm(norm)
        policy = keras.dtype_policies.get(dtype)
        constraint = SpectralNorm() if spectral_norm else None
        image = keras.Input(shape, name="image")
        x = image
        for i, (width, step) in enumerate(zip(widths, steps, strict=True)):
            if step == 2 and antialias and not paper and i > 0:
                x = BlurResample2D(1, dtype=policy, name=f"blur{i}")(x)
            side = kernel_size + (step == 2 and not paper and kernel_size % 2)
            conv = {"kernel_constraint": constraint, "dtype": policy, "name": f"conv{i}"}
            x = Conv2D(width, side, step, "same", **conv)(x)
            kind = "scale_shift" if paper else norm if i > 0 else "none"
            x = make_normalisation(kind, width, groups, dtype=policy, name=f"norm{i}")(x)
            x = LeakyReLU(0.3 if paper else 0.2, dtype=policy, name=f"relu{i}")(x)
        conv = {"kernel_constraint": constraint, "dtype": "float32", "name": "logits"}
        x = Conv2D(1, kernel_size, padding="same", **conv)(x)
        if paper:
            x = make_normalisation("scale_shift", 1, dtype="float32", name="logits_norm")(x)
        arguments = {
            "image_shape": shape,
            "widths": widths,
            "strides": strides,
            "kernel_size": kernel_size,
            "paper": paper,
            "norm": norm,
            "groups": groups,
            "antialias": antialias,
            "spectral_norm": spectral_norm,
        }
        super().__init__(image, x, arguments, policy, name=name, **kwargs)


def _check_strides(
    shape: tuple[int, int, int], widths: tuple[int, ...], strides: Sequence[int] | None
) -> tuple[int, ...]:
    """Return one stride per width, and check a size that they divide."""
    if strides is None:
        strides = [2 if i < HALVINGS else 1 for i in range(len(widths))]
    if len(strides) != len(widths) or any(step not in (1, 2) for step in strides):
        raise ValueError(f"strides: expected a 1 or 2 for each of {len(widths)} widths, got {list(strides)!r}.")
    halvings = sum(step == 2 for step in strides)
    if halvings:
        resolve_stages(shape, halvings)
    return tuple(strides)


def _check_norm(norm: str) -> None:
    allowed = [kind for kind in NORMALISATIONS if kind in ("group", "none")]
    if norm not in allowed:
        raise ValueError(f"norm: expected one of {', '.join(allowed)}, got {norm!r}.")
