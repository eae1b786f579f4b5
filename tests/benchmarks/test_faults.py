"""The faults benchmark: what it compares, and that it goes on where it stopped; its trials are runs of minutes."""

import json

import numpy as np
import pytest
from tiny import TINY

from benchmarks import faults, testbed
from gamix_keras.config import Config
from gamix_keras.runs import Run, session

pytestmark = pytest.mark.backend_free


def test_an_outcome_holds_weights_optimizers_generators_and_history(tmp_path):
    run = Run.create(tmp_path / "run", Config().updated(TINY))
    session.train(run, verbose=0)
    found = testbed.outcome(run.path)
    assert {"history 0 loss", "history 0 epoch", "vars/seed_0"} <= set(found)
    assert "history 0 seconds" not in found
    model = run.load_checkpoint(compile=True)
    values = [value for name, value in found.items() if not name.startswith("history")]
    for variable in (model.decoder.trainable_variables[0], model.optimizer["critic"].variables[-1]):
        assert any(np.array_equal(value, np.asarray(variable.value)) for value in values), variable.path


def test_a_training_tells_its_steps(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(session, "_callbacks", session._callbacks)
    testbed.tell_steps()
    run = Run.create(tmp_path / "run", Config().updated(TINY))
    session.train(run, verbose=0)
    told = capsys.readouterr().out
    steps = run.latest_checkpoint().progress[0] * 3
    assert testbed.steps_told(told) == steps == 3 and testbed.steps_told("") == 0
    assert told.startswith("steps done: 0\nsteps done: 1\n")


def test_what_was_measured_is_not_measured_again(tmp_path, capsys, monkeypatch):
    row = {"backend": "jax", "fault": "SIGKILL while training", "seed": 0}
    row |= {"survived": 3, "tried": 3, "most_steps_lost": 5}
    (tmp_path / "faults.json").write_text(json.dumps([row]))
    monkeypatch.setattr(faults, "Testbed", None)
    none = [option for kind in faults.FAULTS if kind != "kills" for option in (f"--{kind}", "0")]
    faults.main(["--backends", "jax", "--kills", "3", *none, "--save", str(tmp_path / "faults.json")])
    assert capsys.readouterr().out.splitlines()[-1] == "| jax | SIGKILL while training | 3 / 3 | 5 |"
