"""The GPU benchmark, on whatever device there is."""

import json

import pytest
from harness import backend
from tiny import TINY

from benchmarks import gpu


def test_a_row_on_this_device():
    if backend() == "tensorflow":
        pytest.skip("it measures JAX and torch")
    row = gpu.measure({"preset": "celeba64-light", "set": TINY, "seconds": 0.01, "seed": 0})
    assert row["images_per_second"] > 0
    assert row["flops"] > 0
    assert row["device"]


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("name", "given", "peak"),
    [("NVIDIA H200", None, 989e12), ("NVIDIA H200", 500.0, 500e12), ("cpu", None, None), ("cpu", 1.0, 1e12)],
)
def test_the_peak_of_a_device(name, given, peak):
    assert gpu.peak_of(name, given) == peak


@pytest.mark.backend_free
def test_the_table_and_the_file(tmp_path, monkeypatch, capsys):
    answers = iter([{"images_per_second": 10.0, "flops": 5e10, "device": "H200"}, {"failed": "out of memory"}])
    monkeypatch.setattr(gpu, "run_backend", lambda *arguments: next(answers))
    words = ["--presets", "paper-256", "--backends", "jax", "--precisions", "float32", "--batches", "16,512"]
    gpu.main([*words, "--peak", "1", "--out", str(tmp_path / "x.json")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "| paper-256 | jax | float32 | 16 | 10 | 0.5 |  |  |"
    assert lines[3].endswith("| out of memory |")
    assert len(json.loads((tmp_path / "x.json").read_text())["rows"]) == 2
