"""SavedModel: what TensorFlow Serving serves. Core operations only; neither Keras nor Python is needed to run it."""

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
    """Write the next version directory below ``out``, with all of `signatures`, a model card and warm-up requests.

    Args:
        model: A trained VAE on the TensorFlow backend. Where it keeps averaged weights, these are exported.
        out: Directory of the versions; its name is the model's.
        sampler: What `sample_png` draws from; the prior where there is none.
        version: Its number; None takes the next one.
        origin: What the model card says of where the model comes from.

    Returns:
        The version directory, and the largest difference from Keras over `decode_float` and the encoder.

    Raises:
        UserError: Where the version is used already.
        ParityError: Where the written graph differs from Keras by more than 1e-5; nothing is left behind then.
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
    """Trace every signature once; those that share a function share the trace."""
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
    # Without debug information: it holds paths of the machine that wrote it.
    options = tf.saved_model.SaveOptions(save_debug_info=False)
    tf.saved_model.save(module, str(folder), signatures=dict(functions), options=options)


def _compare(folder: Path, networks: Networks) -> float:
    """Load what was written, and compare it with Keras."""
    loaded = tf.saved_model.load(str(folder)).signatures
    inputs = parity.probes(networks)
    # `encode` takes bytes: the probes are rounded to some first.
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
    """Load a version directory, and call its ``decode_float`` with latents."""
    return _runner(tf.saved_model.load(str(folder)).signatures["decode_float"], "z")


def graph_runner(networks: Networks) -> parity.Runner:
    """Call the decoder's graph without a SavedModel around it: what the others are compared with."""
    function, spec = networks.functions()["decoder"]
    return _runner(tf.function(function, input_signature=(spec,), autograph=False).get_concrete_function(), "z")
