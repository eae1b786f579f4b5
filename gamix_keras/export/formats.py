"""One way in to every format: write, compare with Keras, keep.

    saved_model   OUT/1, OUT/2, ...                              TensorFlow Serving
    onnx          OUT/decoder.onnx, OUT/encoder.onnx             ONNX Runtime
    openvino      OUT/decoder.xml, .bin, OUT/encoder.xml, .bin   OpenVINO
    litert        OUT/decoder.tflite, OUT/encoder.tflite         LiteRT

Names of files in another precision than float32 carry it: decoder-float16.onnx.
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
        differences: The largest difference from Keras, by what was compared.
    """

    path: Path
    differences: dict[str, float]


def check_request(format: str, precision: str = "float32") -> None:
    """Refuse what cannot be exported here.

    Raises:
        UserError: For an unknown format, a precision that it has not, or a package that is missing.
    """
    if format not in FORMATS:
        raise UserError(f"--format: expected one of {', '.join(FORMATS)}, got {format!r}")
    if precision not in PRECISIONS[format]:
        raise UserError(f"--precision: expected one of {', '.join(PRECISIONS[format])} for {format}, got {precision!r}")
    missing = [name for name in PACKAGES[format] if find_spec(name) is None]
    if missing:
        remedy = "tensorflow" if missing == ["tensorflow"] else f'"gamix_keras[{format}]"'
        raise UserError(f"--format: {format} needs {', '.join(missing)}, which is missing; pip install {remedy}")


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
    """Export a trained VAE on the TensorFlow backend; for a run of any backend see ``export_run``.

    Args:
        model: The model. Where it keeps averaged weights, these are exported.
        format: One of ``FORMATS``.
        out: Where to, see above.
        precision: Of the files, see ``PRECISIONS``.
        sampler, version, origin: Of ``saved_model``, see ``export_saved_model``.
        samples: Typical inputs of ``decoder`` and ``encoder``, which int8 wants.

    Raises:
        UserError: For a request that cannot be met.
        ParityError: Where the result differs from Keras by more than ``parity.TOLERANCES``; nothing is written then.
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
        wanted = parity.expected(networks, inputs)
        for half, (function, spec) in networks.functions().items():
            file = folder / f"{half}{ending}{writer.SUFFIX}"
            writer.write(function, spec, file, precision, samples.get(half))
            limit = parity.TOLERANCES[precision]
            differences[file.name] = parity.check(file.name, writer.runner(file), inputs[half], wanted[half], limit)
        # The weights (.bin) before the .xml that names them.
        for file in sorted(folder.iterdir()):
            os.replace(file, out / file.name)
    return Exported(out, differences)
