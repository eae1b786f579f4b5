"""The start-up benchmark: what it starts, and what it adds up."""

import json

import pytest
from tiny import ASSIGNMENTS

from benchmarks import startup

pytestmark = pytest.mark.backend_free


def test_the_parts_of_a_first_step(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the process finds the repository from anywhere
    monkeypatch.delenv("PYTHONPATH", raising=False)
    found = startup.first_step("tensorflow", "faces-quick", ASSIGNMENTS)
    assert set(found) == {"first step", *startup.PARTS}
    assert found["first step"] > found["importing"] + found["preparing"]


def test_the_table_and_the_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(startup, "process_seconds", lambda command: 0.25)
    monkeypatch.setattr(startup, "first_step", lambda *arguments: {"first step": 2.0})
    monkeypatch.setattr(startup, "FEATURES", 10)
    startup.main(["--backends", "jax", "--repeats", "2", "--out", str(tmp_path / "x.json")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "| the interpreter alone | 0.25 | 0.25 |"
    assert "| faces-quick on jax: first step | 2 | 2 |" in lines
    assert json.loads((tmp_path / "x.json").read_text())["rows"][-1]["ratio"] > 0
