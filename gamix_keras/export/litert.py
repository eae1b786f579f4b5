"""LiteRT (TensorFlow Lite) files for phones and small devices."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from gamix_keras.export.parity import Runner

SUFFIX = ".tflite"


def write(function: Callable, spec: tf.TensorSpec, path: Path, precision: str, samples: np.ndarray | None) -> None:
    """Write one half of a model. Inputs and outputs are float32 in every precision.

    Args:
        function: The function to write, from a tensor to tensors by name.
        spec: The shape and type of its input.
        path: The file to write.
        precision: `float16` halves the weights; `int8` quantises weights and activations to 8 bits.
        samples: Typical inputs, from which `int8` learns the ranges of the activations.

    Raises:
        ValueError: If there are no samples for int8.
    """
    graph = tf.function(function, input_signature=(spec,), autograph=False).get_concrete_function()
    module = tf.Module()
    module.weights = list(graph.graph.variables)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([graph], module)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.representative_dataset = _one_by_one(samples)
    path.write_bytes(converter.convert())


def _one_by_one(samples: np.ndarray | None) -> Callable[[], Iterator[list[np.ndarray]]]:
    if samples is None or not len(samples):
        raise ValueError("samples: expected typical inputs for int8, got none")
    return lambda: ([sample[None]] for sample in samples)


def runner(path: Path, threads: int = 0) -> Runner:
    """Load a file on the CPU. With `threads` 0, LiteRT chooses the number of threads."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=threads or None)
    (given,), signature = interpreter.get_input_details(), interpreter.get_signature_runner()
    places = {name: detail["index"] for name, detail in signature.get_output_details().items()}
    shapes: list[tuple[int, ...]] = [()]

    def run(values: np.ndarray) -> dict[str, np.ndarray]:
        # Plans memory for a new batch size only; the signature's own call would do so every time.
        if shapes[-1] != values.shape:
            interpreter.resize_tensor_input(given["index"], values.shape)
            interpreter.allocate_tensors()
            shapes[-1] = values.shape
        interpreter.set_tensor(given["index"], values)
        interpreter.invoke()
        return {name: interpreter.get_tensor(place) for name, place in places.items()}

    return run
