"""Export of a run: from any backend, by way of TensorFlow."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from gamix_keras import samplers
from gamix_keras.config import Config, UserError
from gamix_keras.export import export_run
from gamix_keras.export.run import ExportRequest, answer
from gamix_keras.runs import Run

backend_free = pytest.mark.backend_free


@backend_free
def test_nothing_is_written_for_a_run_without_weights(tmp_path):
    empty = Run.create(tmp_path / "run", Config())
    empty.begin_session(0)
    with pytest.raises(UserError, match="RUN: expected a run with a checkpoint"):
        export_run(empty.path, out=tmp_path / "out")
    with pytest.raises(UserError, match="RUN: expected a run directory"):
        export_run(tmp_path / "nowhere", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@backend_free
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "tflite"}, "--format: expected one of saved_model, onnx, openvino, litert, got 'tflite'"),
        ({"precision": "int8"}, "--precision: expected one of float32 for saved_model, got 'int8'"),
        ({"format": "litert", "version": 3}, "--version: expected none for litert, which has no versions, got 3"),
        ({"sampler": "second_stage"}, "--sampler: expected a run with a second stage"),
    ],
)
def test_what_cannot_be_met_is_told(run, tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        export_run(run.path, out=tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


@backend_free
def test_a_missing_package_is_told(run, tmp_path, monkeypatch):
    from gamix_keras.export import formats

    monkeypatch.setitem(formats.PACKAGES, "onnx", ("tensorflow", "no_such_package"))
    message = r'--format: expected no_such_package for onnx, which is not installed; pip install "gamix_keras\[onnx\]"'
    with pytest.raises(UserError, match=message):
        export_run(run.path, "onnx", tmp_path)


@backend_free
def test_a_kept_sampler_is_used(run, capi, tmp_path):
    center = np.array([2.0, -1.0, 0.5], "float32")
    noise = 1e-3 * np.random.default_rng(0).standard_normal((50, 3), dtype="float32")
    samplers.save_sampler(samplers.FullGaussianSampler(3).fit(center + noise), run.path / "samplers" / "gaussian.keras")
    folder = export_run(run.path, out=tmp_path / "m", sampler="gaussian").path
    arguments = {"count": np.int32([2]), "seed": np.int64([0]), "temperature": np.float32([0.0])}
    drawn, mean = capi(folder, ("sample_png", arguments), ("decode_png", {"z": center[None]}))
    assert len(set(drawn["image_bytes"][0])) == len(set(mean["image_bytes"])) == 1
    assert "sampler of `sample_png`: gaussian" in (folder / "README.md").read_text()


@backend_free
def test_the_answer_of_the_other_process_is_plain(run, tmp_path):
    request = {"run": str(run.path), "format": "saved_model", "out": str(tmp_path / "m")}
    assert answer(json.dumps({**request, "sampler": "second_stage"}))["mistake"].startswith("--sampler: expected")
    assert "KeyError" not in json.dumps(answer(json.dumps(request)))
    assert answer(json.dumps({**request, "version": 1}))["mistake"].startswith("--version: expected")


def test_mistakes_cross_over_from_the_other_process(run, tmp_path):
    """In the same process on TensorFlow, from another one elsewhere."""
    (tmp_path / "m" / "1").mkdir(parents=True)
    with pytest.raises(UserError, match="--version: expected a number that is not used, got 1"):
        export_run(run.path, out=tmp_path / "m", version=1)


@backend_free
@pytest.mark.parametrize(
    ("printed", "message"),
    [
        ('{"failure": "OSError: disk full"}', "the export under TensorFlow failed: OSError: disk full"),
        ("", "the export under TensorFlow failed: killed"),
        ('chatter\n{"mistake": "--out: no"}', "--out: no"),
    ],
)
def test_failures_cross_over_too(monkeypatch, printed, message):
    from gamix_keras.export import run as module

    done = SimpleNamespace(stdout=printed, stderr="killed", returncode=1)
    monkeypatch.setattr(module.subprocess, "run", lambda *_, **__: done)
    with pytest.raises((RuntimeError, UserError), match=message):
        module._in_new_process(ExportRequest("run", "saved_model", "out"))
