"""Batches for `fit`, `evaluate` and `predict`, as a tf.data pipeline.

step number -> bytes of that step (`BatchReader`) -> augmentation -> float32 in [-1, 1] -> prefetch
"""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from gamix_keras.config import UserError
from gamix_keras.data.base import Source
from gamix_keras.data.pixels import to_unit_range
from gamix_keras.data.reader import BatchReader
from gamix_keras.data.tensorflow_images import has_tensorflow, import_tensorflow, untuned

if TYPE_CHECKING:
    import tensorflow as tf

Tensor = Any
Augmentation = Callable[[Tensor], Tensor]

_AT_ONCE = 4  # while one batch waits for its files or for Python's lock, others are decoded
_AHEAD = 4


def batches(
    source: Source,
    batch_size: int,
    *,
    training: bool,
    seed: int = 0,
    flip: bool = True,
    augment: Augmentation | Sequence[Augmentation] | None = None,
    cache: str = "auto",
    cache_folder: str | os.PathLike | None = None,
    epochs: int | None = None,
    start_epoch: int = 0,
    start_step: int = 0,
    part: tuple[int, int] = (0, 1),
) -> "tf.data.Dataset":
    """Return a data set of batches (B, H, W, C), float32 in [-1, 1], H, W and C static.

    It is a data set of tf.data or, if TensorFlow is not installed, a `keras.utils.PyDataset` with the same batches.

    Args:
        source: The images, see `open_source`.
        batch_size: B.
        training: Shuffle and flip; a last batch that is not whole is dropped. Otherwise the source's own order,
            with a last batch that may be smaller.
        seed: Order and flips depend on this, the epoch and the image only.
        flip: Mirror half of the training images, left to right.
        augment: A Keras layer, a function, or a list of them, called in turn on training batches, float32 in
            [0, 255] (the `value_range` that Keras's layers expect by default); the result is clipped to that.
            Random layers draw from their own seed and start it anew when a run is resumed.
        cache: `"auto"`, `"memory"`, `"disk"` or `"none"`, see `cached_loader`.
        cache_folder: The folder of the file of `"disk"`.
        epochs: `None`: the data set is one epoch, and its n-th iteration is epoch `start_epoch` + n, for
            `model.fit(dataset, epochs=...)`. A number: it is all steps from (`start_epoch`, `start_step`)
            to the end of epoch `epochs` - 1, for `fit(steps_per_epoch=...)` and exact resuming; Keras may
            take a batch of a data set to build a model, which costs an iteration, so only this way is exact.
        start_epoch: First epoch, from 0.
        start_step: First step of the first epoch; needs `epochs`.
        part: (number, of how many): the rows of each batch that this process reads, see `BatchReader`.

    Raises:
        UserError: If the source has fewer images than one training batch, or an argument is out of range.
    """
    reader = BatchReader(
        source, batch_size, training=training, seed=seed, flip=flip, cache=cache, cache_folder=cache_folder, part=part
    )
    augmentations = [_in_training(layer) for layer in _as_list(augment)] if training else []
    _check_start(reader, epochs, start_epoch, start_step)
    if not has_tensorflow():
        from gamix_keras.data.python_batches import PythonBatches

        return PythonBatches(reader, augmentations, epochs, start_epoch, start_step)
    dataset = _step_numbers(reader, epochs, start_epoch, start_step)
    dataset = dataset.map(_reading(reader, np.asarray if augmentations else to_unit_range), _AT_ONCE)
    if augmentations:
        dataset = dataset.map(_augmenting(augmentations, source.image_shape))
    tf = import_tensorflow()
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    # A batch that is read blocks its thread, and its decoder wants some of TensorFlow's own.
    options.threading.private_threadpool_size = 2 * _AT_ONCE
    return untuned(dataset.prefetch(_AHEAD).with_options(options))


def _check_start(reader: BatchReader, epochs: int | None, epoch: int, step: int) -> None:
    last = reader.steps if epochs is not None else 1
    if epoch < 0 or not 0 <= step < last:
        raise UserError(f"start_epoch, start_step: expected at least 0 and a step below {last}, got {epoch}, {step}")
    if epochs is not None and epochs <= epoch:
        raise UserError(f"epochs: expected more than start_epoch = {epoch}, got {epochs}")


def _step_numbers(reader: BatchReader, epochs: int | None, epoch: int, step: int) -> "tf.data.Dataset":
    """Return the steps to take, counted from the first of epoch 0."""
    tf = import_tensorflow()
    if epochs is not None:
        return tf.data.Dataset.range(epoch * reader.steps + step, epochs * reader.steps)
    epoch_numbers = itertools.count(epoch)

    def one_epoch(_: Tensor) -> "tf.data.Dataset":
        number = tf.numpy_function(lambda: np.int64(next(epoch_numbers)), [], tf.int64)
        return tf.data.Dataset.range(number * reader.steps, (number + 1) * reader.steps)

    once = tf.data.Dataset.range(1).flat_map(one_epoch)
    return once.apply(tf.data.experimental.assert_cardinality(reader.steps))


def _reading(reader: BatchReader, convert: Callable[[np.ndarray], np.ndarray]) -> Callable[[Tensor], Tensor]:
    """Return a function, for `map`, from a step's number to its converted images."""
    tf = import_tensorflow()

    def read(number: np.ndarray) -> np.ndarray:
        return convert(reader.batch(*divmod(int(number), reader.steps)))

    dtype = convert(np.zeros(0, np.uint8)).dtype

    def in_graph(number: Tensor) -> Tensor:
        images = tf.numpy_function(read, [number], dtype)
        return tf.ensure_shape(images, (None, *reader.source.image_shape))

    return in_graph


def _augmenting(augmentations: Sequence[Augmentation], image_shape: tuple[int, int, int]) -> Callable[[Tensor], Tensor]:
    """Return a function, for `map`, from bytes to augmented images in [-1, 1]."""
    tf = import_tensorflow()

    def in_graph(images: Tensor) -> Tensor:
        images = tf.cast(images, tf.float32)
        for augment in augmentations:
            images = tf.cast(augment(images), tf.float32)
        images = tf.ensure_shape(images, (None, *image_shape))
        return tf.clip_by_value(images, 0.0, 255.0) / 127.5 - 1.0

    return in_graph


def _in_training(augmentation: Augmentation) -> Augmentation:
    import keras

    if isinstance(augmentation, keras.layers.Layer):
        return lambda images: augmentation(images, training=True)
    if not callable(augmentation):
        raise UserError(f"augment: expected a Keras layer or a function, got {augmentation!r}")
    return augmentation


def _as_list(augment: Augmentation | Sequence[Augmentation] | None) -> list[Augmentation]:
    if augment is None:
        return []
    return list(augment) if isinstance(augment, Sequence) else [augment]


@contextmanager
def reading(*sources: Source) -> Iterator[None]:
    """Raise the `UserError` of a source in place of the error that tf.data makes of it.

    `with reading(source): model.fit(batches(source, ...))`
    """
    try:
        yield
    except Exception:
        for source in sources:
            if source.failure is not None:
                raise source.failure from None
        raise
