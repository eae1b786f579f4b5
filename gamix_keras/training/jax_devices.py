"""Several devices on JAX: the batch is split over them, the step stays as it is."""

import functools
from contextlib import AbstractContextManager

import jax
import keras

from gamix_keras.settings import UserError


def scope(count: int) -> AbstractContextManager[None]:
    """See `gamix_keras.training.devices`."""
    there = keras.distribution.list_devices()
    if len(there) < count:
        hint = "; XLA_FLAGS=--xla_force_host_platform_device_count=N makes N of a CPU" if _is_cpu() else ""
        raise UserError(f"training.devices: expected at most {len(there)}, the devices of JAX here, got {count}{hint}")
    return _distribution(tuple(there[:count])).scope()


def part() -> tuple[int, int]:
    """JAX splits whole batches itself."""
    return 0, 1


def _is_cpu() -> bool:
    return jax.default_backend() == "cpu"


@functools.cache
def _distribution(devices: tuple[str, ...]) -> keras.distribution.DataParallel:
    return keras.distribution.DataParallel(devices=list(devices), auto_shard_dataset=False)
