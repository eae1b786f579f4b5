"""The phases of a run, and a clock that sends a signal within one of them, for `benchmarks.phases`."""

import contextlib
import functools
import importlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple


class Phase(NamedTuple):
    """A phase.

    Attributes:
        command: The command that it is part of.
        function: The function that it is, as `module:attribute`; None if a callback tells when it begins and ends.
    """

    command: str
    function: str | None = None


PHASES = {
    "scan": Phase("train", "gamix_keras.assembly:build_data"),
    "build": Phase("train", "gamix_keras.assembly:build_model"),
    "first step": Phase("train"),
    "training": Phase("train"),
    "checkpoint": Phase("train", "gamix_keras.runs.directory:Run.save_checkpoint"),
    "validation": Phase("train"),
    "second stage": Phase("train", "gamix_keras.runs.session:_fit_second"),
    "sampler fit": Phase("evaluate", "gamix_keras.runs.sampling:_fitted"),
    "evaluation": Phase("evaluate", "gamix_keras.evaluation.evaluator:evaluate_model"),
    "export": Phase("export", "gamix_keras.export.run:export_model"),
}


class Aim(NamedTuple):
    """A signal within a phase.

    Attributes:
        phase: Name of the phase.
        number: The signal.
        call: Which call of the phase's function, from 0.
        seconds: How long after the start of that call, at most: it comes before the call ends in any case.
    """

    phase: str
    number: int
    call: int
    seconds: float


class Clock:
    """Counts the calls of every phase's function, times them, and sends the signal of an aim."""

    def __init__(self, aim: Aim | None) -> None:
        self.aim, self.times = aim, {name: [] for name in PHASES}
        self._sent = threading.Event()

    @contextlib.contextmanager
    def within(self, phase: str) -> Iterator[None]:
        """Time a call; if it is aimed at, send the signal before it ends."""
        calls, started = self.times[phase], time.monotonic()
        aimed = self.aim is not None and (phase, len(calls)) == (self.aim.phase, self.aim.call)
        if aimed:
            timer = threading.Timer(self.aim.seconds, self._send)
            timer.daemon = True
            timer.start()
        try:
            yield
        finally:
            calls.append(time.monotonic() - started)
            if aimed:
                self._send()

    def _send(self) -> None:
        if not self._sent.is_set():
            self._sent.set()
            os.killpg(0, self.aim.number)


def _marks(clock: Clock) -> Any:
    """Return a callback that tells the clock of steps and validation."""
    import keras

    class Callback(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.open, self.steps = contextlib.ExitStack(), 0

        def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
            self.open.enter_context(clock.within("training" if self.steps else "first step"))
            self.steps += 1

        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            self.open.close()

        def on_test_begin(self, logs: dict | None = None) -> None:
            self.open.enter_context(clock.within("validation"))

        def on_test_end(self, logs: dict | None = None) -> None:
            self.open.close()

    return Callback()


def watch(clock: Clock) -> None:
    """Let the clock see every call of the phases' functions."""
    from gamix_keras.export import run
    from gamix_keras.runs import session

    for name, phase in PHASES.items():
        if phase.function is None:
            continue
        module, path = phase.function.split(":")
        *owners, attribute = path.split(".")
        owner = functools.reduce(getattr, owners, importlib.import_module(module))
        setattr(owner, attribute, timed(clock, name, getattr(owner, attribute)))
    make = session._callbacks
    session._callbacks = lambda *arguments: [_marks(clock), *make(*arguments)]
    run._in_new_process = timed(clock, "export", run._in_new_process)


def timed(clock: Clock, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function whose calls a clock takes for a phase."""

    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        with clock.within(name):
            return function(*arguments, **keywords)

    return call
