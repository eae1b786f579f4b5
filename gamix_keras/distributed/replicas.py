"""One batch on several devices: what a loss or a layer has to know about the others.

On JAX the step is written for the whole batch and the compiler shards it, so a mean over the batch is a mean over the
batch. On TensorFlow and PyTorch the step runs once per device (a replica) on the rows of that device, and whatever is
not a plain mean over images must use `mean` and `shard` from here. `gamix_keras.distributed` installs what these
backends do.
"""

import json
import os
from typing import Any, NamedTuple, Protocol

from gamix_keras.config import UserError

Tensor = Any
_TORCHRUN = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}


class ProcessIndex(NamedTuple):
    """Which of `count` processes this is; 0 is the lead process, the others are workers."""

    index: int
    count: int


SINGLE = ProcessIndex(0, 1)


class Replicas(Protocol):
    """What a backend does on one of several replicas.

    Attributes:
        count: Replicas that share the batch; 1 outside a distributed step.
    """

    count: int

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the replicas, differentiable."""

    def shard(self, values: Tensor) -> Tensor:
        """Return this replica's rows of values that are the same on all."""

    def unscaled(self, loss: Tensor) -> Tensor:
        """Return a mean over images as it was before Keras divided it by the number of replicas, if it does."""


_installed: list[Replicas] = []


def install(replicas: Replicas) -> None:
    """Use these replicas from now on."""
    _installed[:] = [replicas]


def count() -> int:
    """Return how many replicas share the batch, here and now."""
    return _installed[0].count if _installed else 1


def mean(values: Tensor) -> Tensor:
    """Return the mean over replicas: of means over their rows, this is the mean over the batch."""
    return _installed[0].mean(values) if count() > 1 else values


def shard(values: Tensor) -> Tensor:
    """Return this replica's rows of values for the whole batch, in the order in which the batch is sharded."""
    return _installed[0].shard(values) if count() > 1 else values


def unscaled(loss: Tensor) -> Tensor:
    """Undo what Keras does to a loss that is a mean over images; see `gamix_keras.losses.base`."""
    return _installed[0].unscaled(loss) if count() > 1 else loss


def process_index(backend: str) -> ProcessIndex | None:
    """Return which process this is, or None if the environment does not say.

    On TensorFlow TF_CONFIG says it: a chief, if there is one, comes before the workers. On JAX and PyTorch it is RANK,
    WORLD_SIZE, MASTER_ADDR and MASTER_PORT, as `torchrun` sets them.

    Raises:
        UserError: If TF_CONFIG is not what TensorFlow expects.
    """
    if backend == "tensorflow":
        return _process_of_cluster()
    if not set(os.environ) >= _TORCHRUN:
        return None
    return ProcessIndex(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))


def _process_of_cluster() -> ProcessIndex | None:
    try:
        described = json.loads(os.environ.get("TF_CONFIG") or "{}")
        cluster, task = described.get("cluster", {}), described.get("task", {})
        workers = [(kind, index) for kind in ("chief", "worker") for index in range(len(cluster.get(kind, ())))]
        return ProcessIndex(workers.index((task["type"], int(task["index"]))), len(workers)) if workers else None
    except (ValueError, KeyError, TypeError, AttributeError):
        form = '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": 0}}'
        raise UserError(f"TF_CONFIG: expected {form}, got {os.environ['TF_CONFIG']}") from None


def is_worker(backend: str) -> bool:
    """Return whether this is one of several processes, and not the lead process."""
    return (process_index(backend) or SINGLE).index > 0
