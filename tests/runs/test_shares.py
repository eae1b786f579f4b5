"""What is given as a share of the training stays where it was when a resumed run is extended."""

import json

import numpy as np
import pytest
from tiny import TINY

from gamix_keras import assembly
from gamix_keras.callbacks import WeightSchedule
from gamix_keras.config import Config, UserError
from gamix_keras.runs import Run, session

STEPS = 3
SHARES = {"training.epochs": 200, "loss.adversarial_start": 0.5, "loss.adversarial_ramp": 0.25}


def weights(callbacks, epochs):
    """The adversarial weight before each step."""
    (schedule,) = (callback.schedule for callback in callbacks if isinstance(callback, WeightSchedule))
    return [schedule(step) for step in range(epochs * STEPS)]


def built(config):
    return assembly.build_callbacks(config, assembly.Data(None, STEPS, None, np.zeros((1, 16, 16, 3)), None), None)


@pytest.fixture
def begun(tmp_path):
    run = Run.create(tmp_path / "run", Config().updated({**TINY, **SHARES})).planned(STEPS)
    run.begin_session(0)
    return run


@pytest.mark.backend_free
@pytest.mark.parametrize("epochs", [500, 150])
@pytest.mark.parametrize("recorded", [True, False])
def test_the_critic_sets_in_at_the_step_that_was_planned(begun, epochs, recorded):
    planned = weights(built(begun.config), 200)
    assert planned == pytest.approx([*[0.0] * 300, *np.linspace(0, 100, 151), *[100.0] * 149])
    if not recorded:  # a run written before shares were recorded
        file = begun.path / "config.json"
        written = json.loads(file.read_text())
        del written["in_steps"]
        file.write_text(json.dumps(written))
    resumed = Run.open(begun.path).changed({"training.epochs": epochs}).planned(STEPS)
    assert weights(built(resumed.scheduled), 500) == planned + [100.0] * 900
    resumed.begin_session(4)
    again = Run.open(begun.path).changed({"training.epochs": 700}).planned(STEPS)
    assert weights(built(again.scheduled), 500) == planned + [100.0] * 900
    assert again.config.loss.adversarial_start == 0.5


@pytest.mark.backend_free
def test_steps_are_recorded_beside_the_settings(begun):
    written = json.loads((begun.path / "config.json").read_text())
    assert written["in_steps"] == {"loss.adversarial_start": 300.0, "loss.adversarial_ramp": 150.0}
    assert written["config"]["loss"]["adversarial_start"] == 0.5
    (begun.path / "config.json").write_text(json.dumps({**written, "in_steps": {"loss.start": 1}}))
    with pytest.raises(UserError, match="unknown key 'loss.start'"):
        Run.open(begun.path)


@pytest.mark.backend_free
def test_a_term_that_a_resumed_run_takes_up_is_a_share_of_what_is_now_planned(begun):
    taken = {"training.epochs": 20, "loss.perceptual_weight": 50.0}
    resumed = Run.open(begun.path).changed(taken).planned(STEPS)
    assert resumed.in_steps == {**begun.in_steps, "loss.perceptual_start": 24.0, "loss.perceptual_ramp": 6.0}
    resumed.begin_session(4)
    again = Run.open(begun.path).changed({"training.epochs": 30}).planned(STEPS)
    assert again.in_steps == resumed.in_steps  # fixed by the session that took it up
    moved = Run.open(begun.path).changed({"training.epochs": 30, "loss.perceptual_start": 0.5}).planned(STEPS)
    assert moved.scheduled.loss.perceptual_start == 45.0


def test_a_session_follows_what_was_recorded(begun):
    """The session of an extended run, as `train --resume` makes it, has the schedule of the first one."""
    resumed = session.prepare(Run.open(begun.path).changed({"training.epochs": 500}))
    assert resumed.data.steps == STEPS
    callbacks = session._callbacks(resumed, lambda: 0, [])
    assert weights(callbacks, 200) == weights(built(begun.config), 200)
    resumed.run.begin_session(0)
    assert Run.open(begun.path).in_steps == begun.in_steps
