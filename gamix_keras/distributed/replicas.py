"""One batch on several devices, each with its part of it: what a loss or a layer has to know of that.

On JAX the step is written for the whole batch and the compiler spreads it, so a mean over the batch is a mean over the
batch. On TensorFlow and PyTorch the step runs once per device (a replica) on the rows that are its own, and whatever is
not a plain mean over images must ask here: `mean` and `part`. `gamix_keras.training` installs what these backends do.
"""

import json
import os
from typing import Any, Protocol

from gamix_keras.config import UserError

Tensor = Any
_TOLD = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}


class Replicas(Protocol):
    """What a backend can tell, where the code runs on one of several replicas.

    Attributes:
        count: Replicas that share the batch; 1 outside a distributed step.
    """

    count: int

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the replicas, differentiable."""

    def part(self, values: Tensor) -> Tensor:
        """The rows of this replica, of values that are the same on all."""

    def unscaled(self, loss: Tensor) -> Tensor:
        """A mean over images as it was before Keras divided it by the number of replicas, if it does."""


_installed: list[Replicas] = []


def install(replicas: Replicas) -> None:
    """Ask this from now on."""
    _installed[:] = [replicas]


def count() -> int:
    """How many replicas share the batch, here and now."""
    return _installed[0].count if _installed else 1


def mean(values: Tensor) -> Tensor:
    """The mean over replicas: of means over their rows, this is the mean over the batch."""
    return _installed[0].mean(values) if count() > 1 else values


def part(values: Tensor) -> Tensor:
    """This replica's rows of values for the whole batch, in the order in which the batch is dealt out."""
    return _installed[0].part(values) if count() > 1 else values


def unscaled(loss: Tensor) -> Tensor:
    """Undo what Keras does to a loss that is a mean over images; see `gamix_keras.losses.base`."""
    return _installed[0].unscaled(loss) if count() > 1 else loss


def place(backend: str) -> tuple[int, int] | None:
    """Which process this is, as (number, of how many), if the environment tells.

    On TensorFlow by TF_CONFIG, the workers of which are numbered behind a chief, if there is one; on JAX and PyTorch by
    RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, as `torchrun` sets them.

    Raises:
        UserError: Where TF_CONFIG is not what TensorFlow wants.
    """
    if backend != "tensorflow":
        return (int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])) if set(os.environ) >= _TOLD else None
    try:
        told = json.loads(os.environ.get("TF_CONFIG") or "{}")
        cluster, task = told.get("cluster", {}), told.get("task", {})
        workers = [(kind, index) for kind in ("chief", "worker") for index in range(len(cluster.get(kind, ())))]
        return (workers.index((task["type"], int(task["index"]))), len(workers)) if workers else None
    except (ValueError, KeyError, TypeError, AttributeError):
        form = '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": 0}}'
        raise UserError(f"TF_CONFIG: expected {form}, got {os.environ['TF_CONFIG']}") from None


def is_follower(backend: str) -> bool:
    """Whether this is one of several processes, and not the first."""
    return (place(backend) or (0, 1))[0] > 0
