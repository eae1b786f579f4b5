"""Export to every format: write, compare with Keras, keep.

    saved_model   OUT/1, OUT/2, ...                              TensorFlow Serving
    onnx          OUT/decoder.onnx, OUT/encoder.onnx             ONNX Runtime
    openvino      OUT/decoder.xml, .bin, OUT/encoder.xml, .bin   OpenVINO
    litert        OUT/decoder.tflite, OUT/encoder.tflite         LiteRT

Files in another precision than float32 have it in their name: decoder-float16.onnx.
"""

import os
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from gamix_keras.config import UserError
from gamix_keras.export.versions import hidden_folder

if TYPE_CHECKING:
    import keras
    import numpy as np

    from gamix_keras.samplers import Sampler

FORMATS = ("saved_model", "onnx", "openvino", "litert")
PRECISIONS: dict[str, tuple[str, ...]] = {
    "saved_model": ("float32",),
    "onnx": ("float32", "float16"),
    "openvino": ("float32", "float16"),
    "litert": ("float32", "float16", "int8"),
}
PACKAGES: dict[str, tuple[str, ...]] = {
    "saved_model": ("tensorflow",),
    "onnx": ("tensorflow", "onnx", "onnxruntime", "tf2onnx"),
    "openvino": ("tensorflow", "openvino"),
    "litert": ("tensorflow", "ai_edge_litert"),
}


class Exported(NamedTuple):
    """What was written.

    Attributes:
        path: The version directory, or the folder of the files.
        differences: The largest difference from Keras, by the name of what was compared.
    """

    path: Path
    differences: dict[str, float]


def check_request(format: str, precision: str = "float32") -> None:
    """Check that a format can be written here in a precision.

    Raises:
        UserError: If the format is unknown, does not have the precision, or needs a package that is not installed.
    """
    if format not in FORMATS:
        raise UserError(f"--format: expected one of {', '.join(FORMATS)}, got {format!r}")
    if precision not in PRECISIONS[format]:
        raise UserError(f"--precision: expected one of {', '.join(PRECISIONS[format])} for {format}, got {precision!r}")
    missing = [name for name in PACKAGES[format] if find_spec(name) is None]
    if missing:
        remedy = "tensorflow" if missing == ["tensorflow"] else f'"gamix_keras[{format}]"'
        packages = ", ".join(missing)
        raise UserError(f"--format: expected {packages} for {format}, which is not installed; pip install {remedy}")


def export_model(
    model: "keras.Model",
    format: str,
    out: str | os.PathLike,
    *,
    precision: str = "float32",
    sampler: "Sampler | None" = None,
    version: int | None = None,
    origin: Mapping[str, object] | None = None,
    samples: "Mapping[str, np.ndarray] | None" = None,
) -> Exported:
    """Export a trained VAE on the TensorFlow backend; for a run of any backend see `export_run`.

    Args:
        model: The model. If it keeps averaged weights, these are exported.
        format: One of `FORMATS`.
        out: The directory to write to, see above.
        precision: The precision of the files, see `PRECISIONS`.
        sampler: For `saved_model`: the sampler of `sample_png`, see `export_saved_model`.
        version: For `saved_model`: the number of the version; None takes the next.
        origin: For `saved_model`: what the model card says about the model's origin.
        samples: Typical inputs of `decoder` and `encoder`, which int8 needs.

    Raises:
        UserError: If the request is not possible, see `check_request`.
        ParityError: If the result differs from Keras by more than `parity.TOLERANCES`; then nothing is written.
    """
    check_request(format, precision)
    if format == "saved_model":
        from gamix_keras.export.saved_model import export_saved_model

        path, difference = export_saved_model(model, out, sampler, version, origin)
        return Exported(path, {"SavedModel": difference})
    if version is not None:
        raise UserError(f"--version: expected none for {format}, which has no versions, got {version}")
    return _export_files(model, import_module(f"gamix_keras.export.{format}"), Path(out), precision, samples or {})


def _export_files(
    model: "keras.Model", writer: ModuleType, out: Path, precision: str, samples: "Mapping[str, np.ndarray]"
) -> Exported:
    from gamix_keras.export import parity
    from gamix_keras.export.networks import inference_networks
    from gamix_keras.export.quiet import quiet

    if out.exists() and not out.is_dir():
        raise UserError(f"--out: expected a directory, got {out}, which is a file")
    ending = "" if precision == "float32" else f"-{precision}"
    differences = {}
    with hidden_folder(out) as folder, model.averaged(), quiet():
        networks = inference_networks(model)
        inputs = parity.probes(networks)
        expected = parity.expected(networks, inputs)
        for half, (function, spec) in networks.functions().items():
            file = folder / f"{half}{ending}{writer.SUFFIX}"
            writer.write(function, spec, file, precision, samples.get(half))
            limit = parity.TOLERANCES[precision]
            differences[file.name] = parity.check(file.name, writer.runner(file), inputs[half], expected[half], limit)
        # In order of names: weights (.bin) come before the .xml that refers to them.
        for file in sorted(folder.iterdir()):
            os.replace(file, out / file.name)
    return Exported(out, differences)
