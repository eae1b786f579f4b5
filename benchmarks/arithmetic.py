"""The arithmetic of a training step and the peak of a machine, which together bound the time of a step from below."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from benchmarks.record import rates
from gamix_keras.networks import ProjectedCritic

SHAPE, KERNEL = (32, 32, 128), (3, 3, 128, 128)
Call = Any


def forward_flops(network: keras.Model, inputs: Any = None) -> int:
    """Return the floating-point operations of a forward pass, per image: 2 for each multiplication by a kernel.

    Only convolutions and dense layers count, which are all but a few per cent of the networks here.

    Args:
        network: Any network of such layers.
        inputs: What it takes, for one image; None stands for the one array that it was built for.
    """
    counts: list[int] = []
    with _counted(network, counts):
        network(_nothing(network.input_shape[1:]) if inputs is None else inputs)
    return sum(counts)


def _nothing(shape: Sequence[int]) -> np.ndarray:
    return np.zeros((1, *shape), "float32")


@contextmanager
def _counted(network: keras.Model, counts: list[int]) -> Iterator[None]:
    kinds = (
        keras.layers.Conv2D,
        keras.layers.DepthwiseConv2D,
        keras.layers.Conv2DTranspose,
        keras.layers.Dense,
    )
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
    """Return the floating-point operations of a training step, per image, over all phases, with every term set in.

    A backward pass costs as much as two forward passes: one for the gradients of the inputs and one for those of the
    weights. In the autoencoder's phase the critic needs only the former. In its own phase it sees two images, the real
    and the reconstructed one. A perceptual network sees both, too, and needs the former for one of them.
    """
    count = 3 * (forward_flops(model.encoder) + forward_flops(model.decoder))
    critic = getattr(model, "critic", None)
    if isinstance(critic, ProjectedCritic):
        return count + _projected_flops(model, critic)
    if critic is not None:
        count += (2 + 2 * 3) * forward_flops(critic)
    perceptual = getattr(model, "perceptual", None)
    return count if perceptual is None else count + 3 * forward_flops(perceptual.prepare(), _nothing(model.image_shape))


def _projected_flops(model: keras.Model, critic: ProjectedCritic) -> int:
    """Return those of a critic with a frozen network, of the draws that it judges, and of a perceptual term.

    The frozen network sees real images once and fakes once, with the gradient of its input; its maps serve both phases,
    and the perceptual term. The adaptive weight is left out: it is computed in some steps.
    """
    fakes = 1 + (model.adversarial_samples or 0.0)
    frozen = forward_flops(critic.frozen())
    heads = forward_flops(critic.heads, [_nothing(shape) for shape in critic.map_shapes])
    drawn = 3 * (fakes - 1) * forward_flops(model.decoder)
    return round(drawn + (1 + 2 * fakes) * frozen + (2 * fakes + 3 * (1 + fakes)) * heads)


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
