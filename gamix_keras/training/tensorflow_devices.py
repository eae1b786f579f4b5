"""Several devices on TensorFlow: a strategy, and what a replica of the step asks the others.

With several processes (`replicas.place`) they are the workers of a `MultiWorkerMirroredStrategy`, each with as many
devices, and each reads its own rows of a batch.
"""

import functools
import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gamix_keras import replicas
from gamix_keras.settings import UserError

_active = [False]


@contextmanager
def scope(count: int) -> Iterator[None]:
    """See `gamix_keras.training.devices`."""
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
    kind = _kind()
    there = [device.name for device in tf.config.list_logical_devices(kind)]
    if len(there) < count:
        expected = f"expected at most {len(there)}, the {kind}s that TensorFlow sees here"
        raise UserError(f"training.devices: {expected}, got {count}")
    return _strategy(tuple(there[:count]))


def _kind() -> str:
    return "GPU" if tf.config.list_logical_devices("GPU") else "CPU"


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
    each = _workers().num_replicas_in_sync // part()[1]

    def for_devices(images: tf.Tensor) -> tf.data.Dataset:
        shape = tf.shape(images)
        return tf.data.Dataset.from_tensor_slices(tf.reshape(images, tf.concat([[each, -1], shape[1:]], 0)))

    return _workers().distribute_datasets_from_function(lambda _: batches.flat_map(for_devices))


def tell(message: Any = None) -> Any:
    """Return, in every worker, what the first one says, as JSON leaves it."""
    return message if _processes() == 1 else json.loads(_broadcast(json.dumps(message).encode()))


def share(variables: Sequence[keras.Variable]) -> None:
    """Give every worker the first one's values of variables."""
    values = [tf.convert_to_tensor(variable.value).numpy() for variable in variables]
    told, start = _broadcast(b"".join(value.tobytes() for value in values)), 0
    for variable, value in zip(variables, values, strict=True):
        variable.assign(np.frombuffer(told, value.dtype, value.size, start).reshape(value.shape))
        start += value.nbytes


def _broadcast(message: bytes) -> bytes:
    """A sum to which only the first worker contributes; as each of its devices does, their number divides it."""
    length = int(_summed([len(message)])[0])
    words = np.frombuffer(message.ljust(length, b"\0")[:length], np.uint8)
    return _summed(words).astype(np.uint8).tobytes()


def _summed(numbers: Sequence[int] | np.ndarray) -> np.ndarray:
    number, workers = replicas.place("tensorflow")
    each = _workers().num_replicas_in_sync // workers
    own = tf.constant(np.asarray(numbers, "int32") * (number == 0))

    @tf.function
    def sums() -> tf.Tensor:
        def on_replica() -> tf.Tensor:
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, own)

        return _workers().run(on_replica)

    return _workers().experimental_local_results(sums())[0].numpy() // each


def own(variable: keras.Variable) -> Any:
    """What this worker has of a variable: to read a metric's sum over all workers, all of them must."""
    return _workers().experimental_local_results(variable.value)[0] if _processes() > 1 and _active[0] else variable


def leave() -> None:
    """The workers part with their processes."""


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
