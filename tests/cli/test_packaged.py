"""Commands on a model of the package, to which they write nothing, and on a single file."""

import shutil

import pytest
from PIL import Image

from gamix_keras.runs import Run, lookup


@pytest.fixture
def packaged(trained, tmp_path, monkeypatch):
    """A tiny model of the package, `small`, in whose folder nothing may change; work in an empty folder."""
    small = shutil.copytree(trained, tmp_path / "site" / "small")
    (small / "evaluation.json").unlink(missing_ok=True)  # of another test, which shares the run
    monkeypatch.setattr(lookup, "shipped", lambda: {"small": small.resolve()})
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = {file: file.stat().st_mtime_ns for file in small.rglob("*")}
    yield tmp_path / "here"
    assert {file: file.stat().st_mtime_ns for file in small.rglob("*")} == before


def test_pictures_of_a_model_of_the_package_go_to_the_working_directory(cli, packaged):
    assert cli("sample", "small", "--count", 1)[:2] == (
        0,
        "sampler: prior (none was measured; `gamix-keras evaluate` says which is best)\n1 images: small-sample.png\n",
    )
    assert cli("sample", "small", "--count", 1, "--sampler", "mixture", "--out", "mixed.png")[0] == 0
    assert cli("traverse", "small", "--steps", 3)[1].endswith("axis 1, axis 2, axis 3: small-traversal.png\n")
    assert cli("interpolate", "small", "held-out:0", "held-out:1")[1] == "8 steps: small-interpolation.png\n"
    assert cli("report", "small")[1] == "report: small-evaluation/report.html\n"
    written = {"small-sample.png", "mixed.png", "small-traversal.png", "small-interpolation.png", "small-evaluation"}
    assert {file.name for file in packaged.iterdir()} == written


def test_a_single_file_is_sampled_and_walked_through(cli, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Run.open(trained).load_model().save("one.keras")
    Image.new("RGB", (20, 20), "red").save("a.png")
    assert cli("sample", "one.keras", "--count", 1)[1] == "1 images: one-sample.png\n"
    assert cli("traverse", "one.keras", "a.png", "--dims", 0)[1] == "z_0: one-traversal.png\n"
    assert cli("interpolate", "one.keras", "a.png", "a.png", "--steps", 2)[1] == "2 steps: one-interpolation.png\n"
    mistakes = {
        ("sample", "one.keras", "--sampler", "mixture"): "expected sampler prior or second_stage for a single file",
        ("sample", "one.keras", "--components", "2"): "--components: expected a run directory with it, got the single",
        (
            "sample",
            "one.keras",
            "--checkpoint",
            "best",
        ): "--checkpoint: expected a run directory with it, got",
        ("traverse", "one.keras"): "--axes: expected a run directory, whose training images give the axes, got",
        ("evaluate", "one.keras"): "RUN: expected a run directory, got the single file one.keras, which has no data",
    }
    for arguments, message in mistakes.items():
        code, _, err = cli(*arguments)
        assert code == 2 and message in err and err.count("\n") == 1
