"""The profile of a training step."""

import json

import pytest
from harness import backend
from tiny import TINY

from benchmarks import profile
from gamix_keras.config import Config

OWN_TIMES = {
    "aten.convolution_backward.default": 4.0,
    "aten.convolution.default": 2.0,
    "aten.addmm.default": 1.0,
    "aten.copy_.default": 0.75,
    "aten._to_copy.default": 0.5,
    "aten.clone.default": 0.25,
    "aten.leaky_relu.default": 0.5,
}


@pytest.mark.backend_free
def test_each_operation_has_its_kind_and_what_is_none_is_the_rest():
    assert profile.split(OWN_TIMES, 12.0) == {
        "convolutions": 6.0,
        "matrix products": 1.0,
        "copies": 1.5,
        "other operations": 0.5,
        profile.REST: 3.0,
    }


@pytest.mark.skipif(backend() != "torch", reason="it asks PyTorch's dispatcher")
def test_the_parts_of_a_step_are_there():
    parts = profile.measure(Config().updated({**TINY, "backend": "torch"}), 2)
    assert min(parts[kind] for kind in profile.KINDS) > 0


@pytest.mark.skipif(backend() != "torch", reason="it asks PyTorch's dispatcher")
def test_operations_that_others_call_are_not_counted_twice():
    import torch

    image, kernel = torch.ones(1, 2, 8, 8), torch.ones(3, 2, 3, 3, requires_grad=True)
    with profile._timing() as own_times:
        torch.conv2d(image, kernel).sum().backward()
    convolutions = sorted(name for name in own_times if "convolution" in name)
    assert convolutions == ["aten.convolution.default", "aten.convolution_backward.default"]
    assert not any("mkldnn" in name for name in own_times)


@pytest.mark.backend_free
def test_the_table_and_the_file(tmp_path, monkeypatch, capsys):
    parts = {**dict.fromkeys(profile.KINDS, 0.001), "convolutions": 0.006, profile.REST: 0.0}
    monkeypatch.setattr(profile, "measure", lambda config, steps: parts)
    monkeypatch.setattr(profile.environment, "prepare", lambda backend: None)
    profile.main(["--out", str(tmp_path / "x.json")])
    out = capsys.readouterr().out
    assert "| gamix | vae | convolutions | 6 | 0.667 |" in out
    assert "| gamix | vae | 1.5 |" in out
    assert json.loads((tmp_path / "x.json").read_text())["bounds"][0]["bound"] == pytest.approx(1.5)


@pytest.mark.backend_free
def test_a_mistake_is_one_line(capsys):
    with pytest.raises(SystemExit):
        profile.main(["--presets", "celeba65"])
    assert "celeba65" in capsys.readouterr().err
