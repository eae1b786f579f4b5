"""Negative log-likelihoods of an image given the decoder's output: sums over pixels and channels, nats per image.

x is an image (H, W, C) in [-1, 1], y the decoder's output, P = H W C. A likelihood with a scale s takes it from one
of four places, named by its argument `scale`:

| `scale` | log s | |
| --- | --- | --- |
| a number > 0 | its logarithm | fixed |
| `learned` | one trainable scalar of the model, handed in beside y | Dai & Wipf 2019 |
| `optimal` | the closed-form optimum of the batch, gradient included, or handed in beside y | Rybkin 2021 |
| `per_pixel` | the decoder's second half of channels | |

The objective is unbounded below as s -> 0, so every log-scale that is not fixed passes a soft floor at -6:
floor + softplus(log s - floor), which is about the identity above the floor (Rybkin 2021).
"""

import math
from typing import Any

import keras
from keras import ops

from gamix_keras.distributed import replicas
from gamix_keras.gaussian import LOG_2PI
from gamix_keras.losses.base import ImageLoss

Tensor = Any
SCALES = ("learned", "optimal", "per_pixel")
LOG_SCALE_FLOOR = -6.0


def soft_floor(log_scale: Tensor, floor: float = LOG_SCALE_FLOOR) -> Tensor:
    """Return floor + softplus(log_scale - floor): smooth, above `floor`, about the identity from floor + 3 on."""
    return floor + ops.softplus(log_scale - floor)


def absolute(x: Tensor) -> Tensor:
    """Return |x|, with slope 0 at 0 on every backend; `ops.abs` has slope 1 there on JAX."""
    x = ops.convert_to_tensor(x)
    return x * ops.stop_gradient(ops.sign(x))


def _sum(values: Tensor) -> Tensor:
    return ops.sum(values, axis=(1, 2, 3))


class _ScaledNLL(ImageLoss):
    """A likelihood of location y and scale s; a subclass gives the density and the optimal scale."""

    def __init__(
        self,
        scale: float | str = 1.0,
        reduction: str = "sum_over_batch_size",
        name: str = "reconstruction",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        is_number = isinstance(scale, int | float) and not isinstance(scale, bool)
        if not (scale in SCALES if isinstance(scale, str) else is_number and 0 < scale < math.inf):
            known = ", ".join(SCALES)
            raise ValueError(f"{type(self).__name__}: scale: expected a number > 0 or one of {known}, got {scale!r}.")
        self.scale = scale

    def call(self, images: Tensor, output: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        """Return the negative log-likelihood of each image.

        Args:
            images: Images x, shape (B, H, W, C).
            output: Output y, shape (B, H, W, C); with `scale="learned"` the pair (y, log s); with `optimal` either;
                with `per_pixel` y and log s side by side in the channels, shape (B, H, W, 2C).

        Returns:
            Shape (B,), nats.
        """
        location, log_scale = self._parts(images, output)
        return self._densities(images, location, log_scale)

    def location(self, output: Tensor) -> Tensor:
        """Return the part of the decoder's output that is an image, (B, H, W, C), unbounded."""
        return ops.split(output, 2, axis=-1)[0] if self.scale == "per_pixel" else output

    def image(self, output: Tensor) -> Tensor:
        """Return the mode of the likelihood as an image in [-1, 1]."""
        return ops.clip(self.location(output), -1.0, 1.0)

    def _parts(self, images: Tensor, output: Any) -> tuple[Tensor, Tensor]:
        if self.scale == "learned":
            location, log_scale = output
        elif self.scale == "per_pixel":
            location, log_scale = ops.split(output, 2, axis=-1)
        elif self.scale == "optimal" and isinstance(output, list | tuple):
            location, log_scale = output
        elif self.scale == "optimal":
            location, log_scale = output, self.optimal_log_scale(self.mean_distance(images, output))
        else:
            return output, ops.convert_to_tensor(math.log(self.scale), dtype="float32")
        return location, soft_floor(log_scale)

    def _densities(self, images: Tensor, location: Tensor, log_scale: Tensor) -> Tensor:
        raise NotImplementedError

    def mean_distance(self, images: Tensor, location: Tensor) -> Tensor:
        """Return the mean over the batch of what the optimal scale depends on, a scalar."""
        raise NotImplementedError

    def optimal_log_scale(self, mean_distance: Tensor) -> Tensor:
        """Return log s of the scale with the least mean loss, given `mean_distance`."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Return the scale and Keras's own arguments."""
        return {**super().get_config(), "scale": self.scale}


class _DistanceNLL(_ScaledNLL):
    """sum distance(x, y) / s^power + log s + constant; a scale that all pixels share is applied to the sum."""

    power: float
    constant: float

    def _densities(self, images: Tensor, location: Tensor, log_scale: Tensor) -> Tensor:
        distances, factor = self._distances(images, location), ops.exp(-self.power * log_scale)
        if self.scale == "per_pixel":
            return _sum(distances * factor + log_scale + self.constant)
        return _sum(distances) * factor + math.prod(location.shape[1:]) * (log_scale + self.constant)

    def mean_distance(self, images: Tensor, location: Tensor) -> Tensor:
        """Return the mean of distance(x, y) over batch, pixels and channels, a scalar."""
        return replicas.mean(ops.mean(self._distances(images, location)))

    def optimal_log_scale(self, mean_distance: Tensor) -> Tensor:
        """Return log s for which power * mean distance / s^power = 1, the point of slope 0."""
        return ops.log(self.power * mean_distance + 1e-12) / self.power

    def _distances(self, images: Tensor, location: Tensor) -> Tensor:
        raise NotImplementedError


@keras.saving.register_keras_serializable("gamix_keras")
class LaplaceNLL(_DistanceNLL):
    """sum |x - y| / b + P log(2 b): the L1 reconstruction as a likelihood.

    GAMIX (Rivera 2024) writes w * mean |x - y| with w = 5000, which is this with b = P / w up to a constant:
    39.3 at 256x256x3, 2.46 at 64x64x3; P = H W C are the numbers of an image, and w is the setting `loss.mae_weight`. A
    larger b makes errors of pixels cost less beside the terms of the latents. The optimal b is the mean of |x - y|.

    Args:
        scale: The scale b, see the module's table.

    Raises:
        ValueError: If `scale` is another.

    Examples:
        >>> images, reconstruction = ops.zeros((2, 8, 8, 3)), ops.full((2, 8, 8, 3), 0.5)
        >>> round(float(LaplaceNLL(scale=0.5)(images, reconstruction)), 3)  # 192 values, each |x - y| / b = 1
        192.0
    """

    power, constant = 1.0, math.log(2.0)

    def _distances(self, images: Tensor, location: Tensor) -> Tensor:
        return absolute(images - location)


@keras.saving.register_keras_serializable("gamix_keras")
class GaussianNLL(_DistanceNLL):
    """sum (x - y)^2 / (2 g^2) + P (log g + 0.5 log 2 pi), g the standard deviation of a pixel.

    The optimal g^2 is the mean of (x - y)^2.

    Args:
        scale: The scale g, see the module's table.

    Raises:
        ValueError: If `scale` is another.
    """

    power, constant = 2.0, 0.5 * LOG_2PI

    def _distances(self, images: Tensor, location: Tensor) -> Tensor:
        return 0.5 * ops.square(images - location)


@keras.saving.register_keras_serializable("gamix_keras")
class DiscretisedLogisticNLL(_ScaledNLL):
    """-sum log [F((x + 1/255 - y) / s) - F((x - 1/255 - y) / s)], F the logistic distribution function.

    A probability mass on the 256 levels of an 8-bit channel: nats per image are comparable across models and are
    >= 0. The lowest and highest level take the tails (Salimans 2017, PixelCNN++, eq. 2).

    Args:
        scale: The scale s, a number or `learned` or `per_pixel`; there is no closed-form optimum.

    Raises:
        ValueError: If `scale` is another.
    """

    def __init__(self, scale: float | str = "learned", **kwargs: Any) -> None:
        if scale == "optimal":
            raise ValueError("DiscretisedLogisticNLL: scale: expected a number, learned or per_pixel, got 'optimal'.")
        super().__init__(scale, **kwargs)

    def _densities(self, images: Tensor, location: Tensor, log_scale: Tensor) -> Tensor:
        half_bin = 1.0 / 255.0
        precision = ops.exp(-log_scale)
        upper = (images - location + half_bin) * precision
        lower = (images - location - half_bin) * precision
        # log(F(u) - F(l)) = log F(u) + log(1 - F(l)) + log(1 - exp(l - u)), exact and stable in both tails. The width
        # u - l is known: a difference of the two would lose it far out.
        inside = ops.log_sigmoid(upper) + ops.log_sigmoid(-lower) + ops.log(-ops.expm1(-2.0 * half_bin * precision))
        log_mass = ops.where(images > 1.0 - half_bin, ops.log_sigmoid(-lower), inside)
        return -_sum(ops.where(images < -1.0 + half_bin, ops.log_sigmoid(upper), log_mass))


@keras.saving.register_keras_serializable("gamix_keras")
class BernoulliNLL(ImageLoss):
    """Cross-entropy -sum [t log p + (1 - t) log(1 - p)] with t = (x + 1) / 2 in [0, 1] and p = sigmoid(y).

    A proper likelihood for binary images only; for grey levels it is the customary surrogate and not comparable
    with densities (Loaiza-Ganem & Cunningham 2019). Called as `loss(images, logits)`, both (B, H, W, C).
    """

    scale = None

    def __init__(self, reduction: str = "sum_over_batch_size", name: str = "reconstruction", dtype: Any = None) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, images: Tensor, logits: Tensor) -> Tensor:
        """Return the cross-entropy of each image, shape (B,), nats."""
        return _sum(ops.softplus(logits) - 0.5 * (images + 1.0) * logits)

    def location(self, logits: Tensor) -> Tensor:
        """Return the expected image, 2 sigmoid(y) - 1."""
        return 2.0 * ops.sigmoid(logits) - 1.0

    def image(self, logits: Tensor) -> Tensor:
        """Return the expected image, in [-1, 1]."""
        return self.location(logits)
