"""Several devices on JAX: the batch is split over them, the step stays as it is.

With several processes (`replicas.place`) the devices are those of all of them. Each process builds or loads the model
for itself; `spread` makes its variables one copy over all devices for as long as it trains, without which no process
could compute anything alone, as a second stage or a picture afterwards want to.
"""

import atexit
import functools
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import keras
import numpy as np
from jax.experimental import multihost_utils

from gamix_keras.config import UserError
from gamix_keras.distributed import replicas

# All are done with training at about the same time.
SHUTDOWN_SECONDS = 30
_active = [False]


@contextmanager
def scope(count: int) -> Iterator[None]:
    """See `gamix_keras.distributed.devices`."""
    join()
    distribution = _distribution(count)
    if jax.process_count() == 1:
        with distribution.scope():
            yield
        return
    outer, _active[0] = _active[0], True
    try:
        yield
    finally:
        _active[0] = outer


@functools.cache
def _distribution(count: int) -> keras.distribution.DataParallel:
    there, processes = keras.distribution.list_devices(), jax.process_count()
    if len(there) < count or (processes > 1 and len(there) != count):
        bound = "at most " if processes == 1 else ""
        hint = "; XLA_FLAGS=--xla_force_host_platform_device_count=N makes N of a CPU" if _is_cpu() else ""
        raise UserError(f"training.devices: expected {bound}{len(there)}, the devices of JAX here, got {count}{hint}")
    return keras.distribution.DataParallel(devices=there[:count], auto_shard_dataset=False)


def _is_cpu() -> bool:
    return jax.default_backend() == "cpu"


def join() -> None:
    """Find the other processes, if the environment tells of any; nothing may have been computed before."""
    number, count = replicas.place("jax") or (0, 1)
    if count > 1 and not jax.distributed.is_initialized():
        address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        jax.distributed.initialize(address, count, number, shutdown_timeout_seconds=SHUTDOWN_SECONDS)


def part() -> tuple[int, int]:
    """The number of this process, and how many there are; JAX splits what each reads over its own devices."""
    return (jax.process_index(), jax.process_count()) if _active[0] else (0, 1)


@contextmanager
def spread(variables: Sequence[keras.Variable]) -> Iterator[None]:
    """See `gamix_keras.distributed.devices`; the values must be the same in every process."""
    if part()[1] == 1:
        yield
        return
    distribution = _distribution(jax.device_count())
    for variable in variables:
        layout, value = distribution.get_variable_layout(variable), np.asarray(variable.value)
        variable._layout = layout.backend_layout
        # Nothing is compared between processes, unlike in an assignment, so none waits for another.
        variable._value = jax.make_array_from_callback(value.shape, variable._layout, value.__getitem__)
    try:
        with distribution.scope():
            yield
    finally:
        for variable in variables:
            variable._layout, variable._value = None, jax.numpy.asarray(np.asarray(variable.value))


def first_of(message: bytes) -> bytes:
    """Return, in every process, the first one's message."""
    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(message))))
    padded = np.frombuffer(message.ljust(length, b"\0")[:length], np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(padded)).tobytes()


def dealt(batches: Any) -> Any:
    """Keras deals out the rows of each process."""
    return batches


def own(variable: keras.Variable) -> Any:
    """All of a variable is here."""
    return variable


def leave() -> None:
    """Part from the other processes."""
    if jax.distributed.is_initialized():
        jax.distributed.shutdown()


def desert(code: int) -> None:
    """Have the interpreter end at once when it ends: JAX would wait for the others, and abort when they do not come."""
    if jax.distributed.is_initialized():
        atexit.register(_end, code)  # the last one registered comes first


def _end(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
