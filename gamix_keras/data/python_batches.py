"""The same batches without TensorFlow, read ahead by Keras's own threads."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from gamix_keras.data.pixels import to_unit_range
from gamix_keras.data.reader import BatchReader

Tensor = Any
WORKERS, AHEAD = 2, 4


class PythonBatches(keras.utils.PyDataset):
    """Batches (B, H, W, C), float32 in [-1, 1], for `fit` on JAX and PyTorch, or to iterate over.

    Args:
        reader: The reader of their bytes.
        augmentations: Called in turn on float32 images in [0, 255], which are then clipped to that.
        epochs, start_epoch, start_step: See `gamix_keras.data.batches`.
    """

    def __init__(
        self,
        reader: BatchReader,
        augmentations: Sequence[Callable[[Tensor], Tensor]] = (),
        epochs: int | None = None,
        start_epoch: int = 0,
        start_step: int = 0,
    ) -> None:
        super().__init__(workers=WORKERS, max_queue_size=AHEAD)
        self._reader, self._augmentations = reader, augmentations
        self._first = start_epoch * reader.steps + start_step
        self._counts_epochs = epochs is None
        self._count = reader.steps if epochs is None else epochs * reader.steps - self._first

    @property
    def num_batches(self) -> int:
        """Batches of one epoch, or of all that are left."""
        return self._count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> np.ndarray:
        """Return a batch by its number from the start."""
        images = self._reader.batch(*divmod(self._first + index, self._reader.steps))
        if not self._augmentations:
            return to_unit_range(images)
        images = images.astype("float32")
        for augment in self._augmentations:
            images = keras.ops.convert_to_numpy(augment(images)).astype("float32")
        return np.clip(images, 0.0, 255.0) / np.float32(127.5) - np.float32(1.0)

    def on_epoch_end(self) -> None:
        """Go on to the next epoch, if each pass is one."""
        if self._counts_epochs:
            self._first += self._reader.steps
