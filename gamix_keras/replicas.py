"""One batch on several devices, each with its part of it: what a loss or a layer has to know of that.

On JAX the step is written for the whole batch and the compiler spreads it, so a mean over the batch is a mean over the
batch. On TensorFlow and PyTorch the step runs once per device (a replica) on the rows that are its own, and whatever is
not a plain mean over images must ask here: `mean` and `part`. `gamix_keras.training` installs what these backends do.
"""

import os
from typing import Any, Protocol

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


def is_told() -> bool:
    """Whether the environment says which of several processes this is, as `torchrun` makes it."""
    return set(os.environ) >= _TOLD


def is_follower() -> bool:
    """Whether this is one of several processes, and not the first."""
    return is_told() and os.environ["RANK"] != "0"
