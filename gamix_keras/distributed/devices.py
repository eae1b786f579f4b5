"""Training on several devices: what is the same on every backend. A model built within `scope` trains on all of them.

| backend | by | several processes by | what one process sees |
| --- | --- | --- | --- |
| JAX | `keras.distribution.DataParallel` | `jax.distributed` | its devices, its rows |
| TensorFlow | `tf.distribute.MirroredStrategy` | `MultiWorkerMirroredStrategy` | its devices, its rows |
| PyTorch | | `torch.distributed`, one process per device | its device, its rows |

The result is that of one device with the same batch, to rounding: gradients, the moments of q(z), the noise and the
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

_CODES = {KeyboardInterrupt: 130, UserError: 2}  # those of the command line


def _backend() -> ModuleType:
    return import_module(f"gamix_keras.distributed.{keras.config.backend()}_devices")


def scope(count: int) -> AbstractContextManager[None]:
    """A context in which models are built, loaded and trained on so many devices; nothing happens for one.

    On PyTorch each device has a process of its own, which `torchrun` or `gamix-keras train` starts; elsewhere there may
    be several processes, each with devices of its own.

    Raises:
        UserError: Where there are fewer devices, or another number than the processes have together.
    """
    return nullcontext() if count == _processes() == 1 else _backend().scope(count)


def _processes() -> int:
    return (replicas.place(keras.config.backend()) or (0, 1))[1]


def join() -> None:
    """Find the other processes that share the batch, where the environment tells of any (`replicas.place`)."""
    _backend().join()


def part() -> tuple[int, int]:
    """Which rows of a batch this process reads, as (number, of how many): (0, 1) but where several share it."""
    return _backend().part()


def spread(model: keras.Model) -> AbstractContextManager[None]:
    """A context in which a model that is the same in several processes of JAX's is one on all their devices."""
    return _backend().spread([*model.variables, *model.optimizer.variables, *model.metrics_variables])


def dealt(batches: Any) -> Any:
    """What `fit` is to see of batches whose rows are this process's."""
    return _backend().dealt(batches)


def alone(function: Callable[..., None], *arguments: Any) -> None:
    """Call what the other processes do not, such as to save or load a model, so that it does not wait for them.

    Variables belong to all processes where a strategy or a distribution is known, and Keras makes some to save or load
    an optimizer. Neither is known in another thread.
    """
    if part()[1] == 1:
        return function(*arguments)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(function, *arguments).result()


def tell(message: Any) -> Any:
    """Return, in every process, what the first one says, as JSON leaves it."""
    return message if _processes() == 1 else json.loads(_backend().first_of(json.dumps(message).encode()))


def share(model: keras.Model) -> None:
    """Give every process the weights, generators and optimizers of the first one's model."""
    if _processes() == 1:
        return
    variables = [*model.variables, *model.optimizer.variables]
    values = [ops.convert_to_numpy(own(variable)) for variable in variables]
    told, start = _backend().first_of(b"".join(value.tobytes() for value in values)), 0
    for variable, value in zip(variables, values, strict=True):
        # A copy, for PyTorch warns of arrays that cannot be written to.
        variable.assign(np.frombuffer(told, value.dtype, value.size, start).reshape(value.shape).copy())
        start += value.nbytes


def own(variable: keras.Variable) -> Any:
    """What one process can tell of a variable alone; of TensorFlow's, its part of a metric."""
    return _backend().own(variable)


def leave() -> None:
    """Part from the other processes, if there are any."""
    _backend().leave()


def desert(error: BaseException) -> None:
    """Prepare to end on an error, while the other processes wait for a step of this one."""
    _backend().desert(error.code if isinstance(error, SystemExit) else _CODES.get(type(error), 1))
