"""Comparison of an exported file with the Keras model."""

from collections.abc import Callable, Mapping

import numpy as np

from gamix_keras.export.networks import Networks

# The largest |difference| in each precision, relative to the largest |value| in Keras, or to 1 if that is less.
TOLERANCES = {"float32": 1e-4, "float16": 1e-2, "int8": 0.25}
Runner = Callable[[np.ndarray], Mapping[str, np.ndarray]]


class ParityError(RuntimeError):
    """An export that does not compute what its model does; it is not written."""


def probes(networks: Networks, count: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    """Return inputs to compare on: latents from the prior for `decoder`, and their images for `encoder`."""
    z = np.random.default_rng(seed).standard_normal((count, networks.latent_dim), dtype="float32")
    return {"decoder": z, "encoder": networks.decode(z)["image"].numpy()}


def expected(networks: Networks, inputs: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Return Keras's own outputs for the probes."""
    functions = networks.functions()
    return {
        name: {output: value.numpy() for output, value in functions[name][0](values).items()}
        for name, values in inputs.items()
    }


def check(name: str, run: Runner, inputs: np.ndarray, wanted: Mapping[str, np.ndarray], tolerance: float) -> float:
    """Compare an export with Keras on a batch of inputs, and on the first input only.

    Args:
        name: The name of what is compared, for the message.
        run: A function that runs the export.
        inputs: A batch of inputs.
        wanted: Keras's outputs for the batch, by name.
        tolerance: The largest difference allowed, see `TOLERANCES`.

    Returns:
        The largest absolute difference.

    Raises:
        ParityError: If a difference is larger, or an output is missing or has another shape.
    """
    found = 0.0
    for count in (len(inputs), 1):
        outputs = run(inputs[:count])
        for output, values in wanted.items():
            found = max(found, _difference(f"{name}: {output}", outputs.get(output), values[:count], tolerance))
    return found


def _difference(name: str, got: np.ndarray | None, wanted: np.ndarray, tolerance: float) -> float:
    if got is None or got.shape != wanted.shape:
        shape = "nothing" if got is None else got.shape
        raise ParityError(f"{name}: expected shape {wanted.shape} as in Keras, got {shape}")
    difference = float(np.max(np.abs(got - wanted)))
    limit = tolerance * max(1.0, float(np.max(np.abs(wanted))))
    if not difference <= limit:
        raise ParityError(f"{name}: expected Keras's values within {limit:.1e}, got a difference of {difference:.1e}")
    return difference
