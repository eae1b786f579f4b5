"""OpenVINO's intermediate representation (.xml and .bin), converted by its own reader of SavedModels."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from gamix_keras.export.parity import Runner

SUFFIX = ".xml"


def write(function: Callable, spec: tf.TensorSpec, path: Path, precision: str, samples: np.ndarray | None) -> None:
    """Write one half of a model. float16 halves the weights; inputs and outputs stay float32.

    Args:
        function: The function to write, from a tensor to tensors by name.
        spec: The shape and type of its input.
        path: The .xml file to write; the .bin file with the weights is written beside it.
        precision: `float32` or `float16`.
        samples: Not used.
    """
    import openvino

    graph = tf.function(function, input_signature=(spec,), autograph=False).get_concrete_function()
    module = tf.Module()
    module.weights = list(graph.graph.variables)
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"serving_default": graph})
        # Not convert_model, which sends telemetry.
        model = openvino.Core().read_model(folder)
        openvino.save_model(model, path, compress_to_fp16=precision == "float16")
        # Unmaps the weights before their folder is deleted.
        del model


def runner(path: Path, threads: int = 0) -> Runner:
    """Load a file on the CPU, in float32. By default OpenVINO takes bfloat16 if the processor has it."""
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(path, "CPU", settings)
    names = [output.get_any_name() for output in compiled.outputs]

    def run(values: np.ndarray) -> dict[str, np.ndarray]:
        outputs = compiled(values)
        return {name: np.array(outputs[name]) for name in names}

    return run
