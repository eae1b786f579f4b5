"""Whether an exported file computes what the Keras model does."""

from collections.abc import Callable, Mapping

import numpy as np

from gamix_keras.export.networks import Networks

# Largest |difference| of each precision, in units of the larger of 1 and the largest value that Keras gives.
TOLERANCES = {"float32": 1e-4, "float16": 1e-2, "int8": 0.25}
Runner = Callable[[np.ndarray], Mapping[str, np.ndarray]]


class ParityError(RuntimeError):
    """An export that computes something else than its model; it is not written."""


def probes(networks: Networks, count: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    """Return inputs to compare on: latents from the prior for `decoder`, and what they decode to for `encoder`."""
    z = np.random.default_rng(seed).standard_normal((count, networks.latent_dim), dtype="float32")
    return {"decoder": z, "encoder": networks.decode(z)["image"].numpy()}


def expected(networks: Networks, inputs: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Return what Keras itself makes of the probes."""
    functions = networks.functions()
    return {
        name: {output: value.numpy() for output, value in functions[name][0](values).items()}
        for name, values in inputs.items()
    }


def check(name: str, run: Runner, inputs: np.ndarray, wanted: Mapping[str, np.ndarray], tolerance: float) -> float:
    """Compare an export with Keras on all its inputs at once, and on the first alone.

    Args:
        name: What is compared, for the message.
        run: Calls the export.
        inputs: A batch.
        wanted: What Keras gives for it, by output.
        tolerance: Largest difference, see `TOLERANCES`.

    Returns:
        The largest absolute difference.

    Raises:
        ParityError: Where it is larger, or an output is missing or of another shape.
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
