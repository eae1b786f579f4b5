"""The step size of every optimizer of a model, halved now and then."""

from typing import Any

import keras


class StepSizeHalving(keras.callbacks.Callback):
    """Halves the learning rate after every so many epochs: rate 2^(-floor(epoch / every)), as Dai & Wipf (2019) do.

    The rates of a model with several optimizers keep their ratio. Between two halvings the rates are left alone, as the
    numeric guard may have lowered them. Adds `learning_rate`, that of the first optimizer, to the logs of each epoch.

    Args:
        rate: Learning rate of the (first) optimizer at the start, > 0.
        every: Epochs between two halvings, >= 1.
    """

    def __init__(self, rate: float, every: int) -> None:
        super().__init__()
        self.rate = rate
        self.every = every

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the rate at a halving; epochs count from 0."""
        if epoch % self.every == 0:
            self.model.optimizer.learning_rate = self.rate * 0.5 ** (epoch // self.every)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Log the rate."""
        if logs is not None:
            logs["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
