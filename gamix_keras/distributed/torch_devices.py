"""Several devices on PyTorch: a process for each, which share gradients, moments and metrics.

The processes average their gradients after each backward pass, in one message, rather than through
`DistributedDataParallel`: that needs one forward pass of one module per step, and a step here has two phases over parts
of a model.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import keras
import torch
import torch.distributed as dist

from gamix_keras.config import UserError
from gamix_keras.distributed import replicas

_active = [False]


@contextmanager
def scope(count: int) -> Iterator[None]:
    """See `gamix_keras.distributed.devices`."""
    join()
    there = dist.get_world_size() if dist.is_initialized() else 1
    if there != count:
        start = f"torchrun --nproc-per-node {count} starts as many"
        raise UserError(f"training.devices: expected {there}, the processes of PyTorch here ({start}), got {count}")
    outer, _active[0] = _active[0], True
    try:
        yield
    finally:
        _active[0] = outer


def join() -> None:
    """Connect to the other processes that the environment names (as `torchrun` sets it), if there are any.

    Raises:
        UserError: If a machine has GPUs, but fewer than processes.
    """
    if dist.is_initialized() or replicas.process_index("torch") is None:
        return
    if torch.cuda.is_available():
        rank, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        wanted = int(os.environ.get("LOCAL_WORLD_SIZE", rank + 1))
        if wanted > there:
            raise UserError(f"training.devices: expected at most {there}, the GPUs of this machine, got {wanted}")
        torch.cuda.set_device(rank)
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def process_shard() -> replicas.ProcessIndex:
    """Return the rank of this process, and how many there are."""
    return replicas.ProcessIndex(dist.get_rank(), dist.get_world_size()) if _active[0] else replicas.SINGLE


def replicated(variables: Sequence[keras.Variable]) -> AbstractContextManager[None]:
    """Return a context that does nothing: each process keeps its own variables."""
    return nullcontext()


class _Sum(torch.autograd.Function):
    """The sum over the processes; its gradient is the sum of their gradients."""

    @staticmethod
    def forward(context: Any, values: torch.Tensor) -> torch.Tensor:
        return _summed(values)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:
        return _summed(gradient)


def _summed(values: torch.Tensor) -> torch.Tensor:
    total = values.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


class TorchReplicas:
    """The processes, within `scope`."""

    @property
    def count(self) -> int:
        """The number of processes; 1 outside `scope`."""
        return process_shard().count

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Return the mean over the processes; its gradient is the sum of theirs, divided by their number."""
        return _Sum.apply(values) / self.count

    def shard(self, values: torch.Tensor) -> torch.Tensor:
        """Return the rows of this process."""
        rank, count = process_shard()
        return values.chunk(count)[rank]

    def unscaled(self, loss: torch.Tensor) -> torch.Tensor:
        """Return the loss: Keras knows nothing of the processes."""
        return loss


replicas.install(TorchReplicas())


def averaged(gradients: list[torch.Tensor | None]) -> list[torch.Tensor | None]:
    """Average gradients over the processes, in place."""
    there = [gradient for gradient in gradients if gradient is not None]
    if process_shard().count == 1 or not there:
        return gradients
    flat = torch.cat([gradient.flatten() for gradient in there])
    dist.all_reduce(flat)
    flat /= process_shard().count
    for gradient, mean in zip(there, flat.split([gradient.numel() for gradient in there]), strict=True):
        gradient.copy_(mean.view_as(gradient))
    return gradients


@contextmanager
def summed(variables: Sequence[keras.Variable]) -> Iterator[None]:
    """Let variables hold their sums over the processes within this context."""
    if process_shard().count == 1:
        yield
        return
    own = [variable.value.detach().clone() for variable in variables]
    total = torch.cat([value.flatten().float() for value in own])
    dist.all_reduce(total)
    for variable, value in zip(variables, total.split([value.numel() for value in own]), strict=True):
        variable.assign(value.view(tuple(variable.shape)))
    yield
    for variable, value in zip(variables, own, strict=True):
        variable.assign(value)


def broadcast_bytes(message: bytes) -> bytes:
    """Return the lead process's message in every process."""
    box = [message]
    dist.broadcast_object_list(box)
    return box[0]


def shard(batches: Any) -> Any:
    """Return the batches as they are: the rows of a process are those of its device."""
    return batches


def local_part(variable: keras.Variable) -> Any:
    """Return the variable: all of it is here."""
    return variable


def leave() -> None:
    """Disconnect from the other processes."""
    if dist.is_initialized():
        dist.destroy_process_group()


def abort(code: int) -> None:
    """Do nothing: the others notice that this process has ended."""
