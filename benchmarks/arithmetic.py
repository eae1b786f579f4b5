"""The arithmetic of a training step and the peak of a machine, which together bound the time of a step from below."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from benchmarks.record import rates

SHAPE, KERNEL = (32, 32, 128), (3, 3, 128, 128)
Call = Any


def forward_flops(network: keras.Model) -> int:
    """Return the floating-point operations of a forward pass, per image: 2 for each multiplication by a kernel.

    Only convolutions and dense layers count, which are all but a few per cent of the networks here.
    """
    counts: list[int] = []
    with _counted(network, counts):
        network(np.zeros((1, *network.input_shape[1:]), "float32"))
    return sum(counts)


@contextmanager
def _counted(network: keras.Model, counts: list[int]) -> Iterator[None]:
    kinds = (keras.layers.Conv2D, keras.layers.Conv2DTranspose, keras.layers.Dense)
    layers = [layer for layer in network._flatten_layers(include_self=False) if isinstance(layer, kinds)]
    plain = [layer.call for layer in layers]
    for layer, call in zip(layers, plain, strict=True):
        layer.call = _counting(layer, call, counts)
    try:
        yield
    finally:
        for layer, call in zip(layers, plain, strict=True):
            layer.call = call


def _counting(layer: keras.layers.Layer, call: Call, counts: list[int]) -> Call:
    def counting(inputs: Any, *arguments: Any, **named: Any) -> Any:
        outputs = call(inputs, *arguments, **named)
        # A transposed convolution applies its kernel once per input pixel, the others once per output pixel.
        places = inputs if isinstance(layer, keras.layers.Conv2DTranspose) else outputs
        counts.append(2 * int(np.prod(places.shape[1:-1])) * int(np.prod(layer.kernel.shape)))
        return outputs

    return counting


def step_flops(model: keras.Model) -> int:
    """Return the floating-point operations of a training step, per image, over all phases.

    A backward pass costs as much as two forward passes: one for the gradients of the inputs and one for those of the
    weights. In the autoencoder's phase the critic needs only the former. In its own phase it sees two images, the real
    and the reconstructed one.
    """
    count = 3 * (forward_flops(model.encoder) + forward_flops(model.decoder))
    critic = getattr(model, "critic", None)
    return count if critic is None else count + (2 + 2 * 3) * forward_flops(critic)


def convolution_peak(dtype: str, seconds: float = 1.0, batch: int = 16) -> float:
    """Return the floating-point operations per second of a 3 x 3 convolution, 128 to 128 channels, on 32 x 32 maps.

    Args:
        dtype: `float32`, `bfloat16` or `float16`.
        seconds: The time for the measurement, whose best round of 5 is taken.
        batch: The number of maps.
    """
    rng = np.random.default_rng(0)
    images, kernel = (
        ops.cast(rng.standard_normal(shape, dtype="float32"), dtype) for shape in ((batch, *SHAPE), KERNEL)
    )

    def convolve() -> int:
        # Reading one number waits for the whole result.
        ops.convert_to_numpy(ops.cast(ops.conv(images, kernel, padding="same")[0, 0, 0, 0], "float32"))
        return 2 * batch * SHAPE[0] * SHAPE[1] * int(np.prod(KERNEL))

    return max(rates({"": convolve}, seconds)[""])
