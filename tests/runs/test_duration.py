"""The number of epochs in some minutes."""

import pytest
from harness import numpy
from tiny import TINY

from gamix_keras.config import Config, UserError
from gamix_keras.runs import duration

STEPS, HELD_OUT = 6, 2  # of TINY: 24 training images in batches of 4, 2 held-out images


@pytest.fixture
def slow(monkeypatch):
    """Half a minute a step, whatever the machine."""
    asked = []

    def seconds(trial, steps):
        asked.append(steps)
        return 30.0 * steps

    monkeypatch.setattr(duration.Trial, "_seconds", seconds)
    return asked


def config(**changes):
    return Config().updated({**TINY, "training.batch_size": 4, "training.collapse_monitor": False, **changes})


def test_epochs_are_whole_and_fit_into_the_minutes(slow):
    epoch = (STEPS + duration.VALIDATION_SHARE * HELD_OUT / 4) / 2  # minutes
    assert [duration.epochs_in(epoch * share, config()) for share in (0.2, 1.5, 3.01)] == [1, 1, 3]


PICTURES = {
    **{"loss.perceptual_weight": 10.0, "loss.perceptual_layers": "stem", "loss.perceptual_start": 0.4},
    **{"model.critic_network": "projected", "loss.critic_start": 600.0, "loss.adversarial_samples": 0.5},
}


@pytest.fixture
def staged(monkeypatch):
    """A second a step, 2 more with the perceptual term and 4 more with the critic, and a minute before the first."""
    seen = []

    def seconds(trial, steps):
        assert bool(numpy(trial.model.draws.is_warm))  # else the draws would cost nothing
        on = [float(numpy(trial.model.term_weights[name])) > 0.0 for name in ("perceptual", "critic")]
        start_up = 60.0 * (not seen)
        seen.append(on)
        return start_up + steps * (1.0 + 2.0 * on[0] + 4.0 * on[1])

    monkeypatch.setattr(duration.Trial, "_seconds", seconds)
    return seen


@pytest.mark.parametrize("epochs", [60, 250, 400])
def test_each_stage_counts_for_the_share_that_it_holds(staged, epochs):
    """At 6 steps an epoch the perceptual term sets in after 0.4 of them, the critic after 600 steps, if at all."""
    steps = STEPS * epochs
    early, critic = 0.4 * steps, max(0.0, steps - 600.0)
    perceptual = steps - early
    validation = epochs * duration.VALIDATION_SHARE * HELD_OUT / 4 * (7.0 if critic else 3.0)
    expected = 60.0 + steps + 2.0 * perceptual + 4.0 * critic + validation
    assert duration.epochs_in((expected + 1.0) / 60.0, config(**PICTURES)) == epochs


def test_a_critic_that_begins_before_the_perceptual_term_is_timed_alone(staged):
    duration.epochs_in(2.0, config(**{**PICTURES, "loss.perceptual_start": 0.9, "loss.critic_start": 1.0}))
    assert set(map(tuple, staged)) == {(False, False), (False, True), (True, True)}


def test_the_trial_takes_real_steps_and_a_sure_number_of_them(monkeypatch):
    monkeypatch.setattr(duration, "TRIAL_SECONDS", 1e9)
    steps = []
    seconds = duration.Trial._seconds
    counted = lambda trial, n: (seconds(trial, n), steps.append(trial.model.steps_done), 1.0)[-1]  # noqa: E731
    monkeypatch.setattr(duration.Trial, "_seconds", counted)
    duration.epochs_in(1.0, config())
    assert steps == [3, 3 + STEPS]


def test_several_devices_are_refused(slow):
    with pytest.raises(UserError, match="--minutes: expected training.devices=1 with it, got 2"):
        duration.epochs_in(1.0, config(**{"training.devices": 2}))
