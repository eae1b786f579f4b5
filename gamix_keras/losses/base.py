"""What the losses share."""

from typing import Any

import keras

from gamix_keras.distributed import replicas

Tensor = Any


class ImageLoss(keras.losses.Loss):
    """A Keras loss that is, on one of several replicas, the mean over the images of that replica.

    Within a TensorFlow strategy Keras divides every mean over a batch, but no other loss, by the number of replicas. A
    model here adds up terms of both kinds and logs them, so the training step divides their sum instead, once.
    """

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """Return the loss as Keras does."""
        value = super().__call__(y_true, y_pred, sample_weight)
        return replicas.unscaled(value) if self.is_mean else value

    @property
    def is_mean(self) -> bool:
        """Whether it is a mean over images, rather than one number for the batch."""
        return self.reduction != "sum"
