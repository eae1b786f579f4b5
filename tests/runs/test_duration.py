"""The number of epochs in some minutes."""

import pytest
from tiny import TINY

from gamix_keras.config import Config, UserError
from gamix_keras.runs import duration

STEPS, HELD_OUT = 6, 2  # of TINY: 24 training images in batches of 4, 2 held-out images


@pytest.fixture
def slow(monkeypatch):
    """Half a minute a step, whatever the machine."""
    asked = []

    def seconds(model, data, steps):
        asked.append(steps)
        return 30.0 * steps

    monkeypatch.setattr(duration, "_seconds", seconds)
    return asked


def config(**changes):
    return Config().updated({**TINY, "training.batch_size": 4, "training.collapse_monitor": False, **changes})


def test_epochs_are_whole_and_fit_into_the_minutes(slow):
    epoch = (STEPS + duration.VALIDATION_SHARE * HELD_OUT / 4) / 2  # minutes
    assert [duration.epochs_in(epoch * share, config()) for share in (0.2, 1.5, 3.01)] == [1, 1, 3]


def test_every_term_is_in_force_in_the_trial(monkeypatch):
    seen = []
    monkeypatch.setattr(duration, "_seconds", lambda model, data, steps: seen.append(model) or 1.0)
    build = duration.assembly.build_model
    starts = []
    monkeypatch.setattr(
        duration.assembly, "build_model", lambda trial: starts.append(trial.loss.adversarial_start) or build(trial)
    )
    changes = {"model.critic": True, "model.critic_width": 4, "loss.adversarial_start": 0.6}
    duration.epochs_in(1.0, config(**changes))
    assert starts == [0.0]


def test_the_trial_takes_real_steps_and_a_sure_number_of_them(monkeypatch):
    monkeypatch.setattr(duration, "TRIAL_SECONDS", 1e9)
    steps = []
    seconds = duration._seconds
    monkeypatch.setattr(
        duration, "_seconds", lambda model, data, n: (seconds(model, data, n), steps.append(model.steps_done), 1.0)[-1]
    )
    duration.epochs_in(1.0, config())
    assert steps == [3, 3 + STEPS]


def test_several_devices_are_refused(slow):
    with pytest.raises(UserError, match="--minutes: expected training.devices=1 with it, got 2"):
        duration.epochs_in(1.0, config(**{"training.devices": 2}))
