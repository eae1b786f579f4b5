"""Several devices on TensorFlow: a strategy, and how a replica of the step communicates with the others.

With several processes (`replicas.process_index`) they are the workers of a `MultiWorkerMirroredStrategy`, each with the
same number of devices, and each reads its own rows of a batch.
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
    return (replicas.process_index("tensorflow") or replicas.SINGLE).count


@functools.cache
def _workers() -> tf.distribute.Strategy:
    return tf.distribute.MultiWorkerMirroredStrategy()


def join() -> None:
    """Connect to the other workers, if TF_CONFIG names any; nothing may have been computed before."""
    if _processes() > 1:
        _workers()


def process_shard() -> replicas.ProcessIndex:
    """Return which worker this is; if there is only one, the strategy shards whole batches itself."""
    return (replicas.process_index("tensorflow") if _active[0] else None) or replicas.SINGLE


def replicated(variables: Sequence[keras.Variable]) -> AbstractContextManager[None]:
    """Return a context that does nothing: the strategy mirrored the variables when they were created."""
    return nullcontext()


def shard(batches: tf.data.Dataset | None) -> Any:
    """Return a worker's rows of each batch, in turn for each of its devices; Keras would make it read all rows."""
    if process_shard().count == 1 or batches is None:
        return batches
    here = in_turn(batches, _workers().num_replicas_in_sync // process_shard().count)
    return _workers().distribute_datasets_from_function(lambda _: here)


def in_turn(batches: tf.data.Dataset, count: int) -> tf.data.Dataset:
    """Return each batch as `count` equal parts, one after the other."""

    def part(tensor: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tensor, [count, -1, *tensor.shape[1:]])

    def parts(*element: Any) -> tf.data.Dataset:  # images, or images with targets and weights
        element = tf.nest.map_structure(part, element)
        return tf.data.Dataset.from_tensor_slices(element if len(element) > 1 else element[0])

    return batches.flat_map(parts)


def broadcast_bytes(message: bytes) -> bytes:
    """Return the chief's message in every worker: a sum to which only its first device contributes."""
    length = int(_broadcast(np.array([len(message)], "int32"))[0])
    words = -(-length // 4)
    return _broadcast(np.frombuffer(message.ljust(4 * words, b"\0")[: 4 * words], "int32")).tobytes()[:length]


def _broadcast(numbers: np.ndarray) -> np.ndarray:
    @tf.function
    def sums() -> tf.Tensor:
        def on_replica() -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            mine = tf.constant(numbers) * tf.cast(context.replica_id_in_sync_group == 0, "int32")
            return context.all_reduce(tf.distribute.ReduceOp.SUM, mine)

        return _workers().run(on_replica)

    return _workers().experimental_local_results(sums())[0].numpy()


def local_part(variable: keras.Variable) -> Any:
    """Return what this worker has of a variable: a metric's sum over all workers can only be read by all of them."""
    return _workers().experimental_local_results(variable.value)[0] if _processes() > 1 and _active[0] else variable


def leave() -> None:
    """Do nothing: the workers disconnect when their processes end."""


def abort(code: int) -> None:
    """Do nothing: the others notice that this process has ended."""


def logged(logs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Return the logs of a replica as Keras expects them: with several workers it takes their mean along an axis."""
    if isinstance(tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy):
        return {name: tf.reshape(value, (1,)) for name, value in logs.items()}
    return logs


class TensorFlowReplicas:
    """The replicas of the strategy whose step is being traced, if any."""

    @property
    def count(self) -> int:
        """The number of replicas; 1 if no strategy runs a step."""
        context = tf.distribute.get_replica_context()
        return 1 if context is None else context.num_replicas_in_sync

    def mean(self, values: tf.Tensor) -> tf.Tensor:
        """Return the mean over the replicas; its gradient is the mean of theirs."""
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, values)

    def shard(self, values: tf.Tensor) -> tf.Tensor:
        """Return the rows of this replica: a strategy shards in order."""
        size = tf.shape(values)[0] // self.count
        start = tf.distribute.get_replica_context().replica_id_in_sync_group * size
        return values[start : start + size]

    def unscaled(self, loss: tf.Tensor) -> tf.Tensor:
        """Return the loss times the number of replicas, by which Keras divides it."""
        return loss * tf.cast(self.count, loss.dtype)


replicas.install(TensorFlowReplicas())
