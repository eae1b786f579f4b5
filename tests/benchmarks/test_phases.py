"""The benchmark of phases: a signal comes within the call that is aimed at, and once; the table says what was tried."""

import functools
import importlib
import os
import signal

import pytest

from benchmarks import phase_bed, phase_clock, phases, testbed
from gamix_keras.config import check_read
from gamix_keras.config.presets import load_preset

pytestmark = pytest.mark.backend_free


@pytest.fixture
def sent(monkeypatch):
    """The signals that would have been sent."""
    found = []
    monkeypatch.setattr(os, "killpg", lambda group, number: found.append((group, number)))
    return found


@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_a_signal_comes_once_and_before_the_call_ends(sent, seconds):
    clock = phase_clock.Clock(phase_clock.Aim("training", signal.SIGTERM, 1, seconds))
    for phase, calls in (("training", 1), ("scan", 2)):
        for _ in range(calls):
            with clock.within(phase):
                pass
    assert sent == []
    for _ in range(2):
        with clock.within("training"):
            pass
        assert sent == [(0, signal.SIGTERM)]
    assert [len(times) for times in (clock.times["training"], clock.times["scan"])] == [3, 2]


@pytest.mark.parametrize("settings", [phase_bed.SETTINGS, testbed.SETTINGS])
def test_the_default_recipe_takes_the_settings_of_the_runs(settings):
    config = load_preset().config.updated(settings)
    check_read(config, settings)
    assert config.has_critic


def test_every_phase_is_a_function_that_is_there():
    for phase in phase_clock.PHASES.values():
        if phase.function is not None:
            module, path = phase.function.split(":")
            assert callable(functools.reduce(getattr, path.split("."), importlib.import_module(module)))


def test_a_phase_that_is_called_is_timed(sent):
    clock = phase_clock.Clock(None)
    assert phase_clock.timed(clock, "build", lambda value: value + 1)(1) == 2
    assert len(clock.times["build"]) == 1 and sent == []


def test_the_table_counts():
    row = {"backend": "torch", "phase": "scan", "seed": 0, "tried": 10}
    rows = [{**row, "signal": "SIGKILL", "right": 10}, {**row, "signal": "SIGTERM", "tried": 1, "right": 0}]
    lines = phases.table(rows)
    assert lines[:3] == ["| phase | torch |", "| --- | --- |", "| scan | SIGKILL 10 / 10, SIGTERM 0 / 1 |"]
    assert lines[-1] == "SIGKILL: 10 / 10; SIGTERM: 0 / 1; Ctrl-C: 0 / 0"
