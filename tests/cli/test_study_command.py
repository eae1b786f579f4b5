"""``gamix-keras study``: what it refuses, and a whole study from the command line."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from tiny import TINY

from gamix_keras.runs import Run

pytestmark = pytest.mark.backend_free

# What the ablation sets itself is left out.
OWN = ("data.image_size", "model.critic", "loss.perceptual_weight")
SMALL = [f"{key}={value}" for key, value in {**TINY, "data.count": 240}.items() if key not in OWN]
SMALL += ["data.image_size=32", "data.validation_fraction=0.2"]
ASKED = ["--count", "20", "--samplers", "prior,mixture", "--set", *SMALL]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["everything"], "invalid choice: 'everything'"),
        (["ablation"], "the following arguments are required: --out"),
        (["ablation", "--out", "x", "--samplers", "prior,magic"], "--samplers: expected names of prior"),
        (["ablation", "--out", "x", "--seeds", "0"], "--seeds: expected a whole number of at least 1"),
        (["ablation", "--out", "x", "--set", "model.name=vae"], "--set: expected other settings than model.name"),
        (["cross-dataset", "--out", "x", "--data", "faces"], "--data: expected at least two sources"),
    ],
)
def test_mistakes_are_one_line(cli, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = cli("study", *arguments)
    assert code == 2 and message in err and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_ablation_of_the_embedded_faces(cli, tmp_path):
    code, out, err = cli("study", "ablation", "--out", tmp_path / "study", "--jobs", 2, *ASKED)
    assert code == 0, err
    found = json.loads((tmp_path / "study" / "study.json").read_text())
    names = ["elbo", "global", "global-variance", "global-variance-critic", "perceptual", "projected"]
    assert list(found["rows"]) == [*names, "projected-samples"]
    for name, row in found["rows"].items():
        assert row["means"]["frechet/best"]["mean"] > 0 and row["means"]["psnr"]["seeds"] == 1, name
        assert name in out
    table = (tmp_path / "study" / "table.md").read_text()
    # Once more: nothing is left to do, and the table stays what it is.
    code, _, err = cli("study", "ablation", "--out", tmp_path / "study", *ASKED)
    assert code == 0 and "7 runs, 7 of them finished" in err
    assert (tmp_path / "study" / "table.md").read_text() == table


@pytest.mark.slow
def test_a_row_that_cannot_be_trained_is_named_and_the_others_go_on(cli, tmp_path):
    arguments = ["cross-dataset", "--out", tmp_path / "study", "--data", "faces", "folder:nowhere", *ASKED]
    code, out, err = cli("study", *arguments)
    assert code == 1 and "1 of 2 runs failed: nowhere-seed0" in err
    assert "- nowhere-seed0 failed: data source: expected" in out
    assert json.loads((tmp_path / "study" / "study.json").read_text())["rows"]["faces"]["means"]["psnr"]["mean"] > 0


@pytest.mark.slow
def test_a_killed_study_goes_on_from_the_last_checkpoint(cli, tmp_path):
    arguments = ["ablation", "--out", str(tmp_path / "study"), "--rows", "elbo", *ASKED, "training.epochs=40"]
    path = tmp_path / "study" / "runs" / "elbo-seed0"
    command = [sys.executable, "-m", "gamix_keras", "study", *arguments]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        _wait(lambda: (path / "config.json").exists() and Run.open(path).latest_checkpoint().epoch >= 2)
        process.send_signal(signal.SIGKILL)
    done = _settled(path)
    assert 2 <= done < 40
    assert cli("study", *arguments)[0] == 0
    rows = Run.open(path).history()
    assert [row["epoch"] for row in rows] == list(range(1, 41))
    sessions = json.loads((path / "config.json").read_text())["sessions"]
    assert [session["from_epoch"] for session in sessions] == [0, done]


def _wait(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.05)


def _settled(path):
    """The newest checkpoint once the worker, which ends with the study, has ended."""
    lately = None
    while lately != (lately := [os.stat(file).st_mtime_ns for file in sorted(path.rglob("*"))]):
        time.sleep(3)
    return Run.open(path).latest_checkpoint().epoch
