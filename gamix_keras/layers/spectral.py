"""Spectral normalisation as a kernel constraint."""

from typing import Any

import keras
import numpy as np
from keras import ops

Tensor = Any
TINY = 1e-20
# Up to this many columns, squaring W'W eight times costs less than the products it saves.
SMALL, SQUARINGS = 256, 8


def _start_vector(size: int) -> np.ndarray:
    """Return a fixed direction with no structure that a kernel could be orthogonal to."""
    return np.random.default_rng(size).standard_normal((size, 1)).astype("float32")


def _unit(x: Tensor) -> Tensor:
    return x * ops.rsqrt(ops.sum(ops.square(x)) + TINY)


def _by_squaring(matrix: Tensor) -> Tensor:
    """Return (W'W)^(2^SQUARINGS) times the start vector, by few products of small matrices."""
    power = ops.matmul(ops.transpose(matrix), matrix)
    for _ in range(SQUARINGS):
        power = _unit(power)
        power = ops.matmul(power, power)
    return ops.matmul(power, _start_vector(matrix.shape[-1]))


def _by_power_iteration(matrix: Tensor, iterations: int) -> Tensor:
    """Return (W'W)^iterations times the start vector, without forming W'W."""
    vector = ops.convert_to_tensor(_start_vector(matrix.shape[-1]))
    for _ in range(iterations):
        vector = ops.matmul(ops.transpose(matrix), ops.matmul(matrix, _unit(vector)))
    return vector


def spectral_norm(kernel: Tensor, iterations: int = 16) -> Tensor:
    """Return the largest singular value of a kernel flattened to (inputs, outputs), from below.

    Args:
        kernel: Shape (..., outputs).
        iterations: Steps of the power iteration for a kernel with more than 256 inputs and more than 256 outputs. A
            smaller one gets the equivalent of 256 steps, and is right to 0.1 %.

    Returns:
        A scalar, float32, > 0.
    """
    matrix = ops.reshape(ops.cast(kernel, "float32"), (-1, kernel.shape[-1]))
    if matrix.shape[0] < matrix.shape[1]:
        matrix = ops.transpose(matrix)
    small = matrix.shape[1] <= SMALL
    vector = _unit(_by_squaring(matrix) if small else _by_power_iteration(matrix, iterations))
    # One more step, and the norm, by sums: GPUs may round the inputs of a matrix product to TF32.
    vector = _unit(ops.sum(matrix * ops.sum(matrix * ops.transpose(vector), axis=1, keepdims=True), axis=0))
    return ops.sqrt(ops.sum(ops.square(ops.sum(matrix * vector, axis=1))) + TINY)


@keras.saving.register_keras_serializable("gamix_keras")
class SpectralNorm(keras.constraints.Constraint):
    """W / s(W): after each update the kernel's largest singular value is 1 (Miyato et al. 2018).

    A constraint is applied by the optimizer, after each update and on the three backends alike, inside a jitted `fit`
    too. `keras.layers.SpectralNormalization` (Keras 3.15.1) divides in the training pass instead: the kernel that an
    update leaves, which inference then uses, has another norm, and on JAX the division is dropped after each step.
    The constraint keeps no vector between steps, so it iterates from a fixed one. The last axis of the kernel counts as
    the outputs: for dense and convolution kernels, not for transposed convolutions.

    Args:
        iterations: Steps of the power iteration for large kernels, see `spectral_norm`. 16 leave a few per cent on a
            random kernel, whose largest singular values lie close together, and less on a trained one.

    Raises:
        ValueError: If `iterations` is not a positive integer.
    """

    def __init__(self, iterations: int = 16) -> None:
        if isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < 1:
            raise ValueError(f"SpectralNorm: iterations: expected a positive integer, got {iterations!r}.")
        self.iterations = iterations

    def __call__(self, w: Tensor) -> Tensor:
        """Return the kernel, same shape and dtype, divided by its spectral norm."""
        return w / ops.cast(spectral_norm(w, self.iterations), w.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the number of iterations."""
        return {"iterations": self.iterations}
