"""The pipeline benchmark, on few and small images."""

import json
import time

import pytest

from benchmarks import pipeline

pytestmark = pytest.mark.backend_free


def test_files_are_drawn_once_and_linked(tmp_path):
    paths = pipeline.write_files(tmp_path, 7, drawn=3)
    assert len(list(tmp_path.iterdir())) == 7
    inodes = {(tmp_path / path).stat().st_ino for path in paths}
    assert len(inodes) == 3


def test_every_source_has_a_row_and_a_ratio(tmp_path, capsys):
    file = tmp_path / "x.json"
    pipeline.main(["--images", "6", "--size", "16", "--batch", "3", "--seconds", "0.01", "--out", str(file)])
    found = json.loads(file.read_text())
    rows = {row["source"]: row for row in found["rows"]}
    wanted = {f"{kind}, {state}" for kind in ("folder", "npz", "faces") for state in ("cold", "cached")}
    assert set(rows) == {pipeline.BARE, *wanted}
    assert all(rows[name]["of_bare"] > 0 for name in wanted)
    stages = {row["stage"]: row["microseconds"] for row in found["stages"]}
    assert list(stages) == [pipeline.BARE, "read", "decode at 1/8", "crop and resize", "to [-1, 1]", pipeline.WHOLE]
    assert all(microseconds > 0 for microseconds in stages.values())
    assert len(capsys.readouterr().out.splitlines()) == 2 + len(rows) + 1 + 2 + len(stages)


def test_a_stage_counts_the_processor_and_not_the_clock():
    count, seconds = pipeline._stage(lambda part: time.sleep(0.2), ["ab", "c"])()
    assert count == 3
    assert seconds < 0.2


def test_a_large_folder_is_listed_in_a_process_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the process finds the repository from anywhere
    monkeypatch.delenv("PYTHONPATH", raising=False)
    row = pipeline.listing(9, size=16, batch=4)
    assert row["files"] == 9
    assert 0 < row["listed"] < row["first_batch"]
    assert row["rss_mib"] > 1
