"""The term that keeps each posterior's variance alive."""

from typing import Any

import keras
from keras import ops

from gamix_keras import gaussian
from gamix_keras.losses.base import ImageLoss

Tensor = Any


@keras.saving.register_keras_serializable("gamix_keras")
class PosteriorVariance(ImageLoss):
    """sum_d (exp(log_var) - 1 - log_var), nats per image; 0 if every posterior has unit variance.

    Called as `loss(mean, log_var)`, both (B, D); the mean does not enter. GAMIX weighs it with 0.1: without it the
    global term alone lets sigma go to 0 and the VAE becomes a plain autoencoder (Rivera 2024).
    """

    def __init__(self, reduction: str = "sum_over_batch_size", name: str = "variance", dtype: Any = None) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, mean: Tensor, log_var: Tensor) -> Tensor:
        """Return the term of each image, shape (B,)."""
        return ops.sum(gaussian.variance_penalty(log_var), axis=-1)
