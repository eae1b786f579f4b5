"""Several devices on TensorFlow: a mirrored strategy, and what a replica of the step asks the others."""

import functools
from contextlib import AbstractContextManager

import tensorflow as tf

from gamix_keras import replicas
from gamix_keras.settings import UserError


def scope(count: int) -> AbstractContextManager[None]:
    """See `gamix_keras.training.devices`."""
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    there = [device.name for device in tf.config.list_logical_devices(kind)]
    if len(there) < count:
        expected = f"expected at most {len(there)}, the {kind}s that TensorFlow sees here"
        raise UserError(f"training.devices: {expected}, got {count}")
    return _strategy(tuple(there[:count])).scope()


def part() -> tuple[int, int]:
    """The strategy splits whole batches itself."""
    return 0, 1


@functools.cache
def _strategy(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(list(devices))


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
