"""SavedModels for TensorFlow Serving, of core operations: they run without Keras and without Python."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from gamix_keras.export import parity
from gamix_keras.export.model_card import model_card
from gamix_keras.export.networks import Networks, inference_networks
from gamix_keras.export.quiet import quiet
from gamix_keras.export.signatures import Signature, signatures
from gamix_keras.export.versions import publish
from gamix_keras.export.warmup import write_warmup
from gamix_keras.samplers import PriorSampler, Sampler

TOLERANCE = 1e-5


def export_saved_model(
    model: keras.Model,
    out: str | os.PathLike,
    sampler: Sampler | None = None,
    version: int | None = None,
    origin: Mapping[str, object] | None = None,
) -> tuple[Path, float]:
    """Write the next version directory in `out`, with all of `signatures`, a model card and warm-up requests.

    Args:
        model: A trained VAE on the TensorFlow backend. If it keeps averaged weights, these are exported.
        out: The directory of the versions; its name is the model's.
        sampler: The sampler of `sample_png`; None is the prior.
        version: The number of the version; None takes the next one.
        origin: Facts about the model's origin for the model card, by name.

    Returns:
        The version directory, and the largest difference from Keras over `decode_float` and the encoder.

    Raises:
        UserError: If the version exists already.
        ParityError: If the written graph differs from Keras by more than 1e-5; then nothing is written.
    """
    out = Path(out)
    differences = []

    def write(folder: Path) -> None:
        with model.averaged(), quiet():
            differences.append(_write(folder, out.resolve().name, model, sampler, origin or {}))

    return publish(out, write, version), differences[0]


def _write(folder: Path, name: str, model: keras.Model, sampler: Sampler | None, origin: Mapping[str, object]) -> float:
    networks, sampler = inference_networks(model), sampler or PriorSampler(model.latent_dim)
    declared = signatures(networks, sampler)
    functions = concrete_functions(declared)
    save(folder, functions, [*networks.variables, *(variable.value for variable in sampler.variables)])
    difference = _compare(folder, networks)
    write_warmup(folder, name, {key: signature.example for key, signature in declared.items()})
    outputs = {key: dict(function.structured_outputs) for key, function in functions.items()}
    card = model_card(name, origin, declared, outputs, difference)
    (folder / "README.md").write_text(card, encoding="utf-8")
    return difference


def concrete_functions(declared: Mapping[str, Signature]) -> dict[str, Any]:
    """Trace the functions of signatures, each function once."""
    traced: dict[Callable, Any] = {}
    for signature in declared.values():
        if signature.function not in traced:
            graph = tf.function(signature.function, input_signature=signature.inputs, autograph=False)
            traced[signature.function] = graph.get_concrete_function()
    return {name: traced[signature.function] for name, signature in declared.items()}


def save(folder: Path, functions: Mapping[str, Any], variables: list[tf.Variable]) -> None:
    """Write functions as the signatures of a SavedModel, with the variables that they read."""
    module = tf.Module()
    module.weights = variables
    # Without debug information, which contains paths of this machine.
    options = tf.saved_model.SaveOptions(save_debug_info=False)
    tf.saved_model.save(module, str(folder), signatures=dict(functions), options=options)


def _compare(folder: Path, networks: Networks) -> float:
    """Load the written SavedModel, compare it with Keras, and return the largest difference."""
    loaded = tf.saved_model.load(str(folder)).signatures
    inputs = parity.probes(networks)
    # Rounds the probes first, because `encode` takes bytes.
    pixels = ((inputs["encoder"] + 1.0) * 127.5).round().astype("uint8")
    inputs["encoder"] = (pixels / 127.5 - 1.0).astype("float32")
    wanted = parity.expected(networks, inputs)
    arguments = {"decoder": ("decode_float", "z", inputs["decoder"]), "encoder": ("encode", "image", pixels)}
    found = [
        parity.check(name, _runner(loaded[name], argument), values, wanted[half], TOLERANCE)
        for half, (name, argument, values) in arguments.items()
    ]
    return max(found)


def _runner(function: Callable, argument: str) -> parity.Runner:
    return lambda values: {name: value.numpy() for name, value in function(**{argument: tf.constant(values)}).items()}


def runner(folder: str | os.PathLike) -> parity.Runner:
    """Load a version directory, and return its `decode_float` as a function of latents."""
    return _runner(tf.saved_model.load(str(folder)).signatures["decode_float"], "z")


def graph_runner(networks: Networks) -> parity.Runner:
    """Return the decoder's graph without a SavedModel as a function of latents, for comparison with the others."""
    function, spec = networks.functions()["decoder"]
    return _runner(tf.function(function, input_signature=(spec,), autograph=False).get_concrete_function(), "z")
