"""A decoder that trains on while its encoder rests."""

from collections.abc import Mapping
from typing import Any

import keras


class EncoderFreeze(keras.callbacks.Callback):
    """Calls `model.freeze_encoder()` after some training steps: decoder only from then on.

        EncoderFreeze(5000)

    Steps are counted over all fits and resumptions of the model, so a model that was trained for longer is frozen at
    once, and a resumed run goes on as it was. The step is compiled anew when it happens, within an epoch too.

    Args:
        steps: Steps after which the encoder no longer moves.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Count, since on JAX the number of steps is up to date here alone."""
        self._begun = self.model.steps_done
        self._look(0)

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Freeze it, if that is due."""
        self._look(batch)

    def _look(self, batch: int) -> None:
        if self.model.encoder_rests or self._begun + batch < self.steps:
            return
        # Within an epoch JAX's trainer holds the values; after a sync it takes them from the variables again.
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()
        self.model.freeze_encoder()
