"""ONNX, OpenVINO and LiteRT files: written, read by their runtimes, compared with Keras."""

import numpy as np
import pytest
from harness import backend, numpy, vae

from gamix_keras.export import export_model, formats, parity

pytestmark = pytest.mark.backend_free
Z = np.random.default_rng(5).standard_normal((3, 4), dtype="float32")
FORMATS = {"onnx": ("onnx", "onnxruntime", "tf2onnx"), "openvino": ("openvino",), "litert": ("ai_edge_litert",)}
CASES = [(name, precision) for name in FORMATS for precision in formats.PRECISIONS[name]]


def need(name):
    for package in FORMATS[name]:
        pytest.importorskip(package)


@pytest.fixture(scope="module")
def model():
    return vae()


@pytest.mark.parametrize(("name", "precision"), CASES)
def test_both_halves_compute_what_keras_does(model, tmp_path, name, precision):
    need(name)
    from importlib import import_module

    writer = import_module(f"gamix_keras.export.{name}")
    images = numpy(model.decode(Z))
    samples = {"decoder": np.random.default_rng(0).standard_normal((50, 4), dtype="float32")}
    samples["encoder"] = numpy(model.decode(samples["decoder"]))
    path, differences = export_model(model, name, tmp_path / "out", precision=precision, samples=samples)
    ending = "" if precision == "float32" else f"-{precision}"
    assert list(differences) == [f"decoder{ending}{writer.SUFFIX}", f"encoder{ending}{writer.SUFFIX}"]
    assert all(0 <= difference <= parity.TOLERANCES[precision] for difference in differences.values())
    assert not [file for file in path.iterdir() if file.name.startswith(".")]
    run = writer.runner(path / f"decoder{ending}{writer.SUFFIX}", threads=1)
    for count in (1, 3):
        np.testing.assert_allclose(run(Z[:count])["image"], images[:count], atol=parity.TOLERANCES[precision])
    mean, log_var = map(numpy, model.encode(images))
    found = writer.runner(path / f"encoder{ending}{writer.SUFFIX}", threads=1)(images)
    limit = parity.TOLERANCES[precision] * max(1, np.abs(log_var).max(), np.abs(mean).max())
    np.testing.assert_allclose(found["mean"], mean, atol=limit)
    np.testing.assert_allclose(found["log_var"], log_var, atol=limit)


def test_int8_wants_typical_inputs(model, tmp_path):
    need("litert")
    with pytest.raises(ValueError, match="samples: expected typical inputs for int8, got none"):
        export_model(model, "litert", tmp_path / "out", precision="int8")
    assert not list((tmp_path / "out").iterdir())


def test_what_differs_is_refused_and_what_was_there_stays(model, tmp_path, monkeypatch):
    need("onnx")
    (tmp_path / "decoder.onnx").write_bytes(b"earlier")
    monkeypatch.setitem(parity.TOLERANCES, "float32", 1e-12)
    with pytest.raises(parity.ParityError, match="decoder.onnx: image: expected Keras's values within"):
        export_model(model, "onnx", tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["decoder.onnx"]


def test_parity_looks_at_shape_name_and_nan():
    wanted = {"image": np.zeros((2, 3))}
    for outputs, message in (
        ({}, "got nothing"),
        ({"image": np.zeros((2, 4))}, r"expected shape \(2, 3\) as in Keras, got \(2, 4\)"),
        ({"image": np.full((2, 3), np.nan)}, "got a difference of nan"),
    ):
        with pytest.raises(parity.ParityError, match=message):
            parity.check("x", lambda _, outputs=outputs: outputs, np.zeros((2, 1)), wanted, 1e-3)
    assert backend() == "tensorflow"
