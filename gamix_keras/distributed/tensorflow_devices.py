"""Several devices on TensorFlow: a strategy, and what a replica of the step asks the others.

With several processes (`replicas.place`) they are the workers of a `MultiWorkerMirroredStrategy`, each with as many
devices, and each reads its own rows of a batch.
"""

import functools
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gamix_keras.config import UserError
from gamix_keras.distributed import replicas

_active = [False]


@contextmanager
def scope(count: int) -> Iterator[None]:
    """See `gamix_keras.distributed.devices`."""
    strategy = _workers() if _processes() > 1 else _mirrored(count)
    there = strategy.num_replicas_in_sync
    if there != count:
        raise UserError(f"training.devices: expected {there}, the devices of all workers of TF_CONFIG, got {count}")
    outer, _active[0] = _active[0], True
    try:
        with strategy.scope():
            yield
    finally:
        _active[0] = outer


def _mirrored(count: int) -> tf.distribute.Strategy:
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    there = [device.name for device in tf.config.list_logical_devices(kind)]
    if len(there) < count:
        expected = f"expected at most {len(there)}, the {kind}s that TensorFlow sees here"
        raise UserError(f"training.devices: {expected}, got {count}")
    return _strategy(tuple(there[:count]))


@functools.cache
def _strategy(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(list(devices))


def _processes() -> int:
    return (replicas.place("tensorflow") or (0, 1))[1]


@functools.cache
def _workers() -> tf.distribute.Strategy:
    return tf.distribute.MultiWorkerMirroredStrategy()


def join() -> None:
    """Find the other workers, if TF_CONFIG tells of any; nothing may have been computed before."""
    if _processes() > 1:
        _workers()


def part() -> tuple[int, int]:
    """The number of this worker, and how many there are; of one, the strategy splits whole batches itself."""
    return replicas.place("tensorflow") or (0, 1) if _active[0] else (0, 1)


def spread(variables: Sequence[keras.Variable]) -> AbstractContextManager[None]:
    """The strategy has mirrored the variables when they were made."""
    return nullcontext()


def dealt(batches: tf.data.Dataset | None) -> Any:
    """A worker's rows of each batch, in turn for each of its devices; Keras would have it read all rows."""
    if part()[1] == 1 or batches is None:
        return batches
    here = in_turn(batches, _workers().num_replicas_in_sync // part()[1])
    return _workers().distribute_datasets_from_function(lambda _: here)


def in_turn(batches: tf.data.Dataset, count: int) -> tf.data.Dataset:
    """Each batch in so many equal parts, one after the other."""

    def parts(images: tf.Tensor) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(tf.reshape(images, [count, -1, *images.shape[1:]]))

    return batches.flat_map(parts)


def first_of(message: bytes) -> bytes:
    """Return, in every worker, the first one's message: a sum to which its first device alone contributes."""
    length = int(_first_of(np.array([len(message)], "int32"))[0])
    words = -(-length // 4)
    return _first_of(np.frombuffer(message.ljust(4 * words, b"\0")[: 4 * words], "int32")).tobytes()[:length]


def _first_of(numbers: np.ndarray) -> np.ndarray:
    @tf.function
    def sums() -> tf.Tensor:
        def on_replica() -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            mine = tf.constant(numbers) * tf.cast(context.replica_id_in_sync_group == 0, "int32")
            return context.all_reduce(tf.distribute.ReduceOp.SUM, mine)

        return _workers().run(on_replica)

    return _workers().experimental_local_results(sums())[0].numpy()


def own(variable: keras.Variable) -> Any:
    """What this worker has of a variable: to read a metric's sum over all workers, all of them must."""
    return _workers().experimental_local_results(variable.value)[0] if _processes() > 1 and _active[0] else variable


def leave() -> None:
    """The workers part with their processes."""


def desert(code: int) -> None:
    """The others notice that this process has ended."""


def logged(logs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The logs of a replica as Keras wants them: with several workers it takes their mean along an axis."""
    if isinstance(tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy):
        return {name: tf.reshape(value, (1,)) for name, value in logs.items()}
    return logs


class TensorFlowReplicas:
    """The replicas of the strategy whose step is being traced, if any."""

    @property
    def count(self) -> int:
        """1 where no strategy runs a step."""
        context = tf.distribute.get_replica_context()
        return 1 if context is None else context.num_replicas_in_sync

    def mean(self, values: tf.Tensor) -> tf.Tensor:
        """The mean over the replicas; its gradient is the mean of theirs."""
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, values)

    def part(self, values: tf.Tensor) -> tf.Tensor:
        """The rows of this replica: a strategy deals them out in order."""
        size = tf.shape(values)[0] // self.count
        start = tf.distribute.get_replica_context().replica_id_in_sync_group * size
        return values[start : start + size]

    def unscaled(self, loss: tf.Tensor) -> tf.Tensor:
        """Keras divides by the number of replicas."""
        return loss * tf.cast(self.count, loss.dtype)


replicas.install(TensorFlowReplicas())
