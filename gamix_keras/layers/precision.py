"""Sums that short floating-point types cannot hold: bfloat16 stops counting ones at 256, float16 at 2,048.

On a CPU, TensorFlow and JAX add up the gradient of a bias in the type of the map, 16,384 ones to 256. TensorFlow does
the same for the gradient of a convolution's kernel if oneDNN cannot take it (a processor without bfloat16 instructions,
or `TF_ENABLE_ONEDNN_OPTS=0`). The layers here hold such sums in float32. PyTorch does so by itself.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

Tensor = Any
SHORT = ("bfloat16", "float16")


def add_bias(outputs: Tensor, bias: Tensor) -> Tensor:
    """Add a bias in float32: its gradient is then summed in float32.

    Args:
        outputs: Shape (..., C).
        bias: Shape broadcastable to `outputs`.

    Returns:
        The shape and type of `outputs`.
    """
    dtype = keras.backend.standardize_dtype(outputs.dtype)
    if dtype not in SHORT or keras.config.backend() == "torch":
        return outputs + ops.cast(bias, dtype)
    return ops.cast(ops.cast(outputs, "float32") + ops.cast(bias, "float32"), dtype)


def with_exact_sums(convolve: Callable[[Tensor, Tensor], Tensor], inputs: Tensor, kernel: Tensor) -> Tensor:
    """Convolve in the inputs' own type, or in float32 if this machine would sum a gradient in a short type.

    Args:
        convolve: Takes inputs and a kernel of one type.
        inputs: Shape (B, H, W, C).
        kernel: The kernel.

    Returns:
        What `convolve` returns, in the type of `inputs`.
    """
    dtype = keras.backend.standardize_dtype(inputs.dtype)
    if not sums_in_short_type(dtype):
        return convolve(inputs, ops.cast(kernel, dtype))
    return ops.cast(convolve(ops.cast(inputs, "float32"), ops.cast(kernel, "float32")), dtype)


def sums_in_short_type(dtype: str) -> bool:
    """Return whether a convolution of this type sums its kernel's gradient in the same short type, here and now."""
    if dtype not in SHORT or keras.config.backend() != "tensorflow":
        return False
    from gamix_keras.layers.tensorflow_kernels import kernel_gradient_stalls

    return kernel_gradient_stalls(dtype)
