"""What TensorBoard shows of a training: Keras's scalars, and the sample grids."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from PIL import Image

from gamix_keras.config import UserError


class TensorBoard(keras.callbacks.TensorBoard):
    """Keras's TensorBoard callback, with the pictures that `SampleGrid` writes; works on every backend.

    Scalars are those of an epoch: `epoch_loss` and the other terms, in `train` and `validation`, and
    `epoch_learning_rate_autoencoder` and the like for each phase of the model. What Keras also writes after each
    validation, the same numbers over the optimizer's steps, is left out. Steps are epochs from 0, as Keras counts them.

    Args:
        log_dir: Folder where `tensorboard --logdir` looks.
        pictures: Folder of PNG files; each new one becomes an image of the epoch after which it is found, so
            `SampleGrid` comes before this callback. None for scalars only.

    Raises:
        UserError: If the package `tensorboard` is missing.
    """

    def __init__(self, log_dir: str | Path, pictures: str | Path | None = None) -> None:
        try:
            import tensorboard  # noqa: F401
        except ImportError as error:
            raise UserError(f"training.tensorboard: needs pip install tensorboard ({error})") from None
        super().__init__(log_dir, write_graph=False)
        self.pictures = None if pictures is None else Path(pictures)
        self.shown: set[Path] = set()
        self.epoch = 0

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Take note of the pictures of an earlier session, which TensorBoard has."""
        super().on_train_begin(logs)
        self.shown.update(self._found())

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Write the scalars and the new pictures."""
        super().on_epoch_end(epoch, logs)
        self.epoch = epoch
        self._write_new()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Write the picture that `SampleGrid` leaves for the end."""
        self._write_new()
        super().on_train_end(logs)

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Write nothing: the epoch's end has the same numbers."""
        super().on_test_end({})

    def _collect_learning_rate(self, logs: dict[str, float]) -> dict[str, float]:
        # Keras tells optimizers apart by their names, and all of ours may be called adam.
        model = self.model
        rates = {name: model.phase_optimizer(name).learning_rate for name in model.phase_names}
        return logs | {f"learning_rate_{name}": float(ops.convert_to_numpy(rate)) for name, rate in rates.items()}

    def _found(self) -> set[Path]:
        return set() if self.pictures is None else set(self.pictures.glob("*.png"))

    def _write_new(self) -> None:
        new = sorted(self._found() - self.shown)
        if not new:
            return
        writer = self.summary.create_file_writer(str(Path(self.log_dir, "pictures")))
        with writer.as_default():
            for file in new:
                with Image.open(file) as picture:
                    self.summary.image("samples", np.asarray(picture.convert("RGB"))[None], step=self.epoch)
        writer.close()
        self.shown.update(new)
