"""The benchmark of the guard, on a model that takes no time."""

import json

import pytest
from tiny import TINY

from benchmarks import guard
from gamix_keras.config import Config


def test_both_steps_are_timed_in_turns():
    found = guard.measure(Config().updated(TINY), seconds=0.0, turn_seconds=0.0)
    assert found["plain_ms"] > 0 and found["guarded_ms"] > 0
    assert (found["pairs"], found["steps"]) == (2, 2)
    assert 0.1 < found["ratio"] < 100


@pytest.mark.backend_free
def test_rows_are_printed_and_saved(tmp_path, monkeypatch, capsys):
    found = {"plain_ms": 10.0, "guarded_ms": 10.2, "ratio": 1.015, "pairs": 3, "steps": 5}
    monkeypatch.setattr(guard, "_elsewhere", lambda backend, net, seconds, clock: found)
    guard.main(["--backends", "jax", "--nets", "small", "--out", str(tmp_path / "guard.json")])
    assert capsys.readouterr().out.splitlines()[-1] == "| jax | small | 10.00 | 10.20 | +1.5 |"
    assert json.loads((tmp_path / "guard.json").read_text())["rows"] == [{"backend": "jax", "net": "small", **found}]
