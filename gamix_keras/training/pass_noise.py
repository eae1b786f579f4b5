"""Noise of a validation pass: a function of an image's place in the pass, and of nothing else.

A generator's noise would depend on how a pass is cut into batches, and on the backend. This one counts instead of
drawing: bits of (seed, image, dimension), mixed by the finaliser `lowbias32` (Wellons 2018), become two uniform numbers
and these a normal one (Box & Muller 1958).
"""

import math
from typing import Any

from keras import ops

from gamix_keras.distributed import replicas

Tensor = Any
SEED = 20240923
# 0x7feb352d and 0x846ca68b, the second as a signed number: integers wrap around on every backend.
_FACTORS = (2146121005, 2221713035 - 2**32)
_STREAMS = (0x2545F491, 0x1B873593)


def pass_noise(start: Tensor | int, shape: tuple, seed: int = SEED) -> Tensor:
    """Return standard normal noise of a batch of a pass, the same on every backend to rounding.

    On several replicas the batch is shared: each returns its own rows.

    Args:
        start: Images of the pass before the batch, on this replica.
        shape: (B, D), B on this replica.
        seed: Seed of the pass.

    Returns:
        Shape (B, D), float32.
    """
    count, size = shape[0] * replicas.count(), shape[1]
    rows = ops.cast(start, "int32") * replicas.count() + ops.arange(count, dtype="int32")
    rows = _mixed(rows + _mixed(ops.convert_to_tensor(seed, dtype="int32")))[:, None]
    columns = ops.arange(size, dtype="int32")[None]
    radius, angle = (_uniform(_mixed(rows ^ _mixed(columns + stream))) for stream in _STREAMS)
    noise = ops.sqrt(-2.0 * ops.log(radius)) * ops.cos(2.0 * math.pi * angle)
    return replicas.shard(noise)


def _mixed(bits: Tensor) -> Tensor:
    bits = bits ^ _shifted(bits, 16)
    bits = (bits * _FACTORS[0]) ^ _shifted(bits * _FACTORS[0], 15)
    bits = bits * _FACTORS[1]
    return bits ^ _shifted(bits, 16)


def _shifted(bits: Tensor, places: int) -> Tensor:
    """Shift to the right with zeros, which for signed integers is a shift and a mask."""
    return ops.bitwise_and(ops.right_shift(bits, places), 2 ** (32 - places) - 1)


def _uniform(bits: Tensor) -> Tensor:
    """Return the upper 24 bits as a number in (0, 1)."""
    return (ops.cast(_shifted(bits, 8), "float32") + 0.5) * 2.0**-24
