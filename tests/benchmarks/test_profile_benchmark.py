"""The profile of a training step."""

import json

import pytest
from harness import backend
from tiny import TINY

from gamix_keras.benchmarks import profile
from gamix_keras.config import Config

OWN_TIMES = {
    "aten::convolution_backward": 4.0,
    "aten::mkldnn_convolution": 2.0,
    "aten::addmm": 1.0,
    "aten::copy_": 1.5,
    "aten::leaky_relu": 0.5,
    "autograd::engine::evaluate_function: ConvolutionBackward0": 7.0,
}


@pytest.mark.backend_free
def test_each_operation_counts_once_and_what_is_none_is_the_rest():
    assert profile.split(OWN_TIMES, 12.0) == {
        "convolutions": 6.0,
        "matrix products": 1.0,
        "copies": 1.5,
        "other operations": 0.5,
        profile.REST: 3.0,
    }


@pytest.mark.skipif(backend() != "torch", reason="the profiler is PyTorch's")
def test_the_parts_of_a_step_are_there():
    parts = profile.measure(Config().updated({**TINY, "backend": "torch"}), 2)
    assert min(parts[kind] for kind in profile.KINDS) > 0


@pytest.mark.backend_free
def test_the_table_and_the_file(tmp_path, monkeypatch, capsys):
    parts = {**dict.fromkeys(profile.KINDS, 0.001), "convolutions": 0.006, profile.REST: 0.0}
    monkeypatch.setattr(profile, "measure", lambda config, steps: parts)
    monkeypatch.setattr(profile.environment, "prepare", lambda backend: None)
    profile.main(["--out", str(tmp_path / "x.json")])
    out = capsys.readouterr().out
    assert "| celeba64-light | vae | convolutions | 6 | 0.667 |" in out
    assert "| celeba64-light | vae | 1.5 |" in out
    assert json.loads((tmp_path / "x.json").read_text())["bounds"][0]["bound"] == pytest.approx(1.5)


@pytest.mark.backend_free
def test_a_mistake_is_one_line(capsys):
    with pytest.raises(SystemExit):
        profile.main(["--presets", "celeba65"])
    assert "celeba65" in capsys.readouterr().err
