"""ONNX files, written by tf2onnx, for ONNX Runtime and others. Images stay channels-last."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from gamix_keras.export.parity import Runner

if TYPE_CHECKING:
    import onnx

SUFFIX = ".onnx"

# ONNX Runtime 1.12 (2022) and later read operator set 17.
_OPSET = 17


def write(function: Callable, spec: tf.TensorSpec, path: Path, precision: str, samples: np.ndarray | None) -> None:
    """Write one half of a model; float16 keeps float32 inputs and outputs.

    Args:
        function: The function to write, from a tensor to tensors by name.
        spec: The shape and type of its input.
        path: The file to write.
        precision: `float32` or `float16`.
        samples: Not used.
    """
    import onnx
    import tf2onnx

    graph = tf.function(function, input_signature=(spec,), autograph=False)
    model, _ = tf2onnx.convert.from_function(graph, input_signature=(spec,), opset=_OPSET)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    model = _halved(model) if precision == "float16" else model
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


def _halved(model: "onnx.ModelProto") -> "onnx.ModelProto":
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    halved = OnnxModel(convert_float_to_float16(model, keep_io_types=True))
    # The converter appends its casts, but the format requires every node to come after its inputs.
    halved.topological_sort()
    return halved.model


def runner(path: Path, threads: int = 0) -> Runner:
    """Load a file on the CPU. With `threads` 0, there is one thread per core."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (given,), names = session.get_inputs(), [output.name for output in session.get_outputs()]
    return lambda values: dict(zip(names, session.run(names, {given.name: values}), strict=True))
