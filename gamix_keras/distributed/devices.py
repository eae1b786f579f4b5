"""Training on several devices: what is the same on every backend. A model built within `scope` trains on all of them.

| backend | by | several processes by | what one process sees |
| --- | --- | --- | --- |
| JAX | `keras.distribution.DataParallel` | `jax.distributed` | its devices, its rows |
| TensorFlow | `tf.distribute.MirroredStrategy` | `MultiWorkerMirroredStrategy` | its devices, its rows |
| PyTorch | | `torch.distributed`, one process per device | its device, its rows |

The result is that of one device with the same batch, up to rounding: gradients, the moments of q(z), the noise and the
logs are those of the whole batch. Batch and held-out images must be divisible by the number of devices.
"""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from types import ModuleType
from typing import Any

import keras
import numpy as np
from keras import ops

from gamix_keras.config import UserError
from gamix_keras.distributed import replicas
from gamix_keras.distributed.replicas import ProcessIndex

_EXIT_CODES = {KeyboardInterrupt: 130, UserError: 2}  # those of the command line


def _backend() -> ModuleType:
    return import_module(f"gamix_keras.distributed.{keras.config.backend()}_devices")


def scope(count: int) -> AbstractContextManager[None]:
    """Return a context in which models are built, loaded and trained on `count` devices; it does nothing for one.

    On PyTorch each device has a process of its own, which `torchrun` or `gamix-keras train` starts. On the other
    backends there may be several processes, each with devices of its own.

    Raises:
        UserError: If there are fewer devices, or the processes have another number of devices together.
    """
    return nullcontext() if count == _processes() == 1 else _backend().scope(count)


def _processes() -> int:
    return (replicas.process_index(keras.config.backend()) or replicas.SINGLE).count


def join() -> None:
    """Connect to the other processes that share the batch, if the environment names any."""
    _backend().join()


def process_shard() -> ProcessIndex:
    """Return which rows of a batch this process reads: shard `index` of `count`, (0, 1) unless several share it."""
    return _backend().process_shard()


def replicated(model: keras.Model) -> AbstractContextManager[None]:
    """Return a context in which a model that every JAX process has a copy of is one model on all their devices."""
    return _backend().replicated([*model.variables, *model.optimizer.variables, *model.metrics_variables])


def shard(batches: Any) -> Any:  # whatever `fit` takes
    """Return batches that hold this process's rows as `fit` needs them."""
    return _backend().shard(batches)


def run_locally(function: Callable[..., None], *arguments: Any) -> None:
    """Call a function that the other processes do not call, such as one that saves or loads a model.

    With a strategy or a distribution in force, variables belong to all processes, and Keras creates some to save or
    load an optimizer: the call would wait for the other processes. In another thread neither is in force.
    """
    if process_shard().count == 1:
        return function(*arguments)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(function, *arguments).result()


def broadcast(message: Any) -> Any:  # whatever JSON holds
    """Return the lead process's message in every process, as JSON leaves it."""
    return message if _processes() == 1 else json.loads(_backend().broadcast_bytes(json.dumps(message).encode()))


def broadcast_model(model: keras.Model) -> None:
    """Give every process the weights, generators and optimizers of the lead process's model."""
    if _processes() == 1:
        return
    variables = [*model.variables, *model.optimizer.variables]
    values = [ops.convert_to_numpy(local_part(variable)) for variable in variables]
    received, start = _backend().broadcast_bytes(b"".join(value.tobytes() for value in values)), 0
    for variable, value in zip(variables, values, strict=True):
        # A copy, because PyTorch warns of arrays that cannot be written to.
        variable.assign(np.frombuffer(received, value.dtype, value.size, start).reshape(value.shape).copy())
        start += value.nbytes
    model.rate_scale = broadcast(model.rate_scale)


def local_part(variable: keras.Variable) -> Any:  # a variable of Keras or of TensorFlow
    """Return what this process holds of a variable: all of it, but on TensorFlow only its part of a metric."""
    return _backend().local_part(variable)


def leave() -> None:
    """Disconnect from the other processes, if there are any."""
    _backend().leave()


def abort(error: BaseException) -> None:
    """Prepare to end on an error while the other processes wait for a step of this one."""
    _backend().abort(error.code if isinstance(error, SystemExit) else _EXIT_CODES.get(type(error), 1))
