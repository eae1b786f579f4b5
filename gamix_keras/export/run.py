"""Export of a run of any backend: its checkpoint is loaded on TensorFlow, in another process if necessary.

A process cannot change its Keras backend. If it is TensorFlow, the export runs in this process, otherwise in
`python -m gamix_keras.export`, which reads an `ExportRequest` and prints an `Exported`, both as JSON.
"""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gamix_keras.config import UserError
from gamix_keras.export.formats import Exported, check_request, export_model
from gamix_keras.runs import Run, lookup, provenance
from gamix_keras.runs.directory import is_run

if TYPE_CHECKING:
    import keras
    import numpy as np

# The number of typical inputs for int8; more of them change its ranges little.
SAMPLES = 100


@dataclass(frozen=True)
class ExportRequest:
    """A request for an export.

    Attributes:
        run: The directory of the run.
        format: The format, see `formats.FORMATS`.
        out: The directory to write to.
        precision: The precision, see `formats.PRECISIONS`.
        sampler: The sampler of `sample_png`, a name in `gamix_keras.samplers.SAMPLERS`; None takes the one that was
            measured best, or the prior.
        version: The number of the version directory; None takes the next.
        checkpoint: The checkpoint, see `Run.at`.
    """

    run: str
    format: str
    out: str
    precision: str = "float32"
    sampler: str | None = None
    version: int | None = None
    checkpoint: str = "latest"


def export_run(
    run: str | os.PathLike,
    format: str = "saved_model",
    out: str | os.PathLike | None = None,
    *,
    precision: str = "float32",
    sampler: str | None = None,
    version: int | None = None,
    checkpoint: str | int = "latest",
) -> Exported:
    """Export the model of a run.

    Args:
        run: A run of any backend, a model of the package, or a `.keras` file, see `runs.lookup.find`.
        format: `saved_model`, `onnx`, `openvino` or `litert`.
        out: The directory to write to; None is `saved_models/NAME`, with the name of the run; for a model of the
            package `./NAME-FORMAT`.
        precision: `float32`, `float16` or `int8`, if the format has it.
        sampler: For `saved_model`: the sampler of `sample_png`; None takes the one measured best, or the prior.
        version: For `saved_model`: the number of the version directory; None takes the next.
        checkpoint: `latest`, `best` or an epoch.

    Raises:
        UserError: If there is no run or no checkpoint, or the request is not possible; then nothing is written.
        RuntimeError: If the export fails, or differs from Keras.
    """
    check_request(format, precision)
    path = lookup.find(run)
    opened = lookup.at_path(path).at(checkpoint) if is_run(path) else path
    if isinstance(opened, Run):
        opened.require_checkpoint()
        opened.check_loaded()
    out = _default_out(opened, format) if out is None else out
    request = ExportRequest(os.fspath(path), format, os.fspath(out), precision, sampler, version, str(checkpoint))
    import keras

    if keras.config.backend() == "tensorflow":
        return carry_out(request)
    return _in_new_process(request)


def _default_out(opened: Run | Path, format: str) -> Path:
    if isinstance(opened, Path):
        return Path("saved_models", opened.stem)
    return opened.output(format) if opened.packaged else Path("saved_models", opened.path.resolve().name)


def carry_out(request: ExportRequest) -> Exported:
    """Export in this process, whose backend is TensorFlow."""
    path = Path(request.run)
    model, arguments = _run(path, request) if is_run(path) else _file(path, request)
    shared: dict[str, Any] = {"precision": request.precision, "version": request.version}
    return export_model(model, request.format, request.out, **shared, **arguments)


def _run(path: Path, request: ExportRequest) -> "tuple[keras.Model, dict[str, Any]]":
    """Return the model of a run and what its format needs of the run."""
    from gamix_keras.runs import sampling

    run = lookup.at_path(path).at(request.checkpoint)
    model, arguments = run.load_model(), {}
    if request.format == "saved_model":
        name = request.sampler or sampling.choose(run).name
        with model.averaged():
            arguments["sampler"] = sampling.sampler_of(run, model, name, say=_say)
        arguments["origin"] = _origin(run, name)
    if request.precision == "int8":
        arguments["samples"] = _samples(run, model)
    return model, arguments


def _file(path: Path, request: ExportRequest) -> "tuple[keras.Model, dict[str, Any]]":
    """Return the model of a single file and what its format needs."""
    from gamix_keras.runs import model_file

    if request.precision == "int8":
        raise UserError(f"--precision: expected a run directory with int8, got the single file {path}, without images")
    model = model_file.load_single(path)
    if request.format != "saved_model":
        return model, {}
    origin = {"file": path.name, "model": f"{type(model).__name__}, {model.latent_dim} latents"}
    return model, {"sampler": model_file.file_sampler(model, path, request.sampler), "origin": origin}


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _origin(run: Run, sampler: str) -> dict[str, object]:
    """Return what the model card says, without paths, which may be private."""
    config, versions = run.config, provenance.versions()
    epoch, _ = run.checkpoint()
    return {
        "run": run.path.resolve().name,
        "recipe": run.preset or "none",
        "data": config.data.source.split(":")[0],
        "model": f"{config.model.name}, {config.model.network}, {config.model.latent_dim} latents",
        "trained": f"{epoch} epochs on {config.backend}",
        "sampler of `sample_png`": sampler,
        "written with": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def _samples(run: Run, model: "keras.Model") -> "Mapping[str, np.ndarray]":
    """Return held-out images, and for the decoder their latents and as many from the prior, whose ranges differ."""
    import keras
    import numpy as np

    from gamix_keras import assembly, data

    source = assembly.open_source(run.config, "validation")
    images = data.to_unit_range(source.draw(SAMPLES, run.config.seed))
    with model.averaged():
        latents = keras.ops.convert_to_numpy(model.encode(images)[0])
    drawn = np.random.default_rng(0).standard_normal(latents.shape, dtype="float32")
    return {"encoder": images, "decoder": np.concatenate([latents, drawn])}


def _in_new_process(request: ExportRequest) -> Exported:
    """Export in a new process on the TensorFlow backend, and raise its errors here."""
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [sys.executable, "-m", "gamix_keras.export", json.dumps(dataclasses.asdict(request))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    answer = _last_json(done.stdout)
    if "mistake" in answer:
        raise UserError(answer["mistake"])
    if "path" not in answer:
        last_lines = "\n".join(done.stderr.splitlines()[-5:])
        reason = answer.get("failure") or last_lines or f"exit status {done.returncode}"
        raise RuntimeError(f"the export under TensorFlow failed: {reason}")
    return Exported(Path(answer["path"]), answer["differences"])


def _last_json(text: str) -> dict[str, Any]:
    try:
        return json.loads(text.splitlines()[-1])
    except (ValueError, IndexError):
        return {}


def answer(argument: str) -> dict[str, Any]:
    """Return what `python -m gamix_keras.export` prints for a request, in plain values."""
    try:
        path, differences = carry_out(ExportRequest(**json.loads(argument)))
    except UserError as error:
        return {"mistake": str(error)}
    except Exception as error:
        return {"failure": f"{type(error).__name__}: {error}"}
    return {"path": os.fspath(path), "differences": differences}
