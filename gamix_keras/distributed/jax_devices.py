"""Several devices on JAX: the batch is sharded over them, the step stays as it is.

With several processes (`replicas.process_index`) the devices are those of all processes. Each process builds or loads
the model for itself; `replicated` makes its variables one copy over all devices while it trains. Afterwards each
process can compute on its own again, as a second stage or a picture needs to.
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

# All processes end their training at about the same time.
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
    """Connect to the other processes, if the environment names any; nothing may have been computed before."""
    number, count = replicas.process_index("jax") or replicas.SINGLE
    if count > 1 and not jax.distributed.is_initialized():
        address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        jax.distributed.initialize(address, count, number, shutdown_timeout_seconds=SHUTDOWN_SECONDS)


def process_shard() -> replicas.ProcessIndex:
    """Return which process this is; JAX shards what each process reads over its own devices."""
    return replicas.ProcessIndex(jax.process_index(), jax.process_count()) if _active[0] else replicas.SINGLE


@contextmanager
def replicated(variables: Sequence[keras.Variable]) -> Iterator[None]:
    """See `gamix_keras.distributed.devices`; the values must be the same in every process."""
    if process_shard().count == 1:
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


def broadcast_bytes(message: bytes) -> bytes:
    """Return the lead process's message in every process."""
    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(message))))
    padded = np.frombuffer(message.ljust(length, b"\0")[:length], np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(padded)).tobytes()


def shard(batches: Any) -> Any:
    """Return the batches as they are: Keras shards the rows of each process."""
    return batches


def local_part(variable: keras.Variable) -> Any:
    """Return the variable: all of it is here."""
    return variable


def leave() -> None:
    """Disconnect from the other processes."""
    if jax.distributed.is_initialized():
        jax.distributed.shutdown()


def abort(code: int) -> None:
    """Make the interpreter exit at once: JAX would wait for the other processes, and crash if they do not come."""
    if jax.distributed.is_initialized():
        atexit.register(_exit, code)  # the last function registered runs first


def _exit(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
