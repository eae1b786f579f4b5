"""Training on several devices: what is the same on every backend. A model built within `scope` trains on all of them.

| backend | by | what one process sees |
| --- | --- | --- |
| JAX | `keras.distribution.DataParallel` | all devices, whole batches |
| TensorFlow | `tf.distribute.MirroredStrategy` | all devices, whole batches |
| PyTorch | `torch.distributed`, one process per device | its device, its rows of each batch (`part`) |

The result is that of one device with the same batch, to rounding: gradients, the moments of q(z), the noise and the
logs are those of the whole batch. Batch and held-out images must be divisible by the number of devices.
"""

from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from types import ModuleType
from typing import Any

import keras


def _backend() -> ModuleType:
    return import_module(f"gamix_keras.training.{keras.config.backend()}_devices")


def scope(count: int) -> AbstractContextManager[None]:
    """A context in which models are built, loaded and trained on so many devices; nothing happens for one.

    On PyTorch each device has a process of its own, which `torchrun` or `gamix-keras train` starts.

    Raises:
        UserError: Where there are fewer devices, or on PyTorch another number of processes.
    """
    return nullcontext() if count == 1 else _backend().scope(count)


def part() -> tuple[int, int]:
    """Which rows of a batch this process reads, as (number, of how many): (0, 1) but on PyTorch within `scope`."""
    return _backend().part()


def tell(message: Any) -> Any:
    """Return, in every process of PyTorch's, what the first one says; elsewhere, the message."""
    return message if part()[1] == 1 else _backend().tell(message)


def share(model: keras.Model) -> None:
    """Give every process of PyTorch's the weights, generators and optimizers of the first one's model."""
    if part()[1] > 1:
        _backend().share([*model.variables, *model.optimizer.variables])


def leave() -> None:
    """Part from PyTorch's other processes, if there are any."""
    if keras.config.backend() == "torch":
        _backend().leave()
