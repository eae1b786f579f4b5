"""Kills and signals within each phase of a run, and whether the run then ends as if nothing had happened.

  python -m benchmarks.phases --backends torch --kills 10 --signals 1
  python -m benchmarks.phases --kills 1 --signals 1 --save phases.json

The phases: reading the images (scan), making the model (build), the first step, a later step (training), writing a
checkpoint, validation, the second stage, fitting a sampler, evaluation and export. Each trial is a process that sends
itself SIGKILL, SIGTERM or SIGINT (Ctrl-C) at a random moment within one of them, with all that it started; the
same command is then given once more, for training with --resume. What is on the disk at the end must equal, bit for
bit, what a run without faults left: checkpoints of both stages with optimizers and generators, history, numbers of the
evaluation; and of an export each file that it has.

Start-up would take nearly all of the time: the processes of a backend are forks of one that has imported everything and
computed nothing. Prints a table: as it should be / tried. With --save, known rows are not measured again.
"""

import argparse
import contextlib
import functools
import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import workers
from benchmarks.testbed import LIMIT_SECONDS, ONE_THREAD, Result, files_in, outcome, same
from gamix_keras import files
from gamix_keras.cli.options import name_list, whole_number
from gamix_keras.config import BACKENDS

IMAGES, SIDE = 80, 16
SETTINGS = {
    "data.image_size": SIDE,
    "data.validation_fraction": 0.3,
    "model.stages": 2,
    "model.width": 4,
    "model.latent_dim": 3,
    "model.critic_width": 4,
    "loss.momentum": 0.9,
    "training.batch_size": 8,
    "training.epochs": 2,
    "training.ema_decay": 0.9,
    "training.checkpoint_steps": 3,
    "training.collapse_monitor": False,
    "training.sample_every": 2,
    "second_stage.epochs": 4,
    "second_stage.width": 8,
    "second_stage.depth": 1,
    "second_stage.batch_size": 8,
    "second_stage.checkpoint_every": 1,
}
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "Ctrl-C": signal.SIGINT}
# Exit codes of a process that was told to end, rather than killed.
TOLD = {"SIGKILL": (-9,), "SIGTERM": (143, -15), "Ctrl-C": (130, -2)}


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


def _watch(clock: Clock) -> None:
    """Let the clock see every call of the phases' functions."""
    from gamix_keras.export import run
    from gamix_keras.runs import session

    for name, phase in PHASES.items():
        if phase.function is None:
            continue
        module, path = phase.function.split(":")
        *owners, attribute = path.split(".")
        owner = functools.reduce(getattr, owners, importlib.import_module(module))
        setattr(owner, attribute, _timed(clock, name, getattr(owner, attribute)))
    make = session._callbacks
    session._callbacks = lambda *arguments: [_marks(clock), *make(*arguments)]
    run._in_new_process = _timed(clock, "export", run._in_new_process)


def _timed(clock: Clock, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        with clock.within(name):
            return function(*arguments, **keywords)

    return call


class Bed:
    """Forks of this process that train, evaluate and export in one folder, and what they come to without faults."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder, folder / "data"
        self._draw_images()
        self.reference, self.times = folder / "reference", {name: [] for name in PHASES}
        for command in ("train", "evaluate", "export"):
            code = self.run(command, self.reference, None, self.times)
            if code:
                raise RuntimeError(f"{command} without faults ended with {code}: {self.last_lines()}")
        self.expected = self.state(self.reference)
        self.exported = files_in(self.reference / "exported" / "1")

    def _draw_images(self) -> None:
        from PIL import Image

        self.data.mkdir()
        colours = np.random.default_rng(0).integers(0, 256, (IMAGES, 4, 4, 3), dtype="uint8")
        for number, image in enumerate(colours):
            Image.fromarray(image).resize((SIDE, SIDE)).save(self.data / f"{number:03d}.png")

    def words(self, command: str, path: Path) -> list[str]:
        """Return a command line for a run."""
        if command == "evaluate":
            return ["evaluate", str(path), "--count", "20", "--samplers", "gaussian"]
        if command == "export":
            return ["export", str(path), "--out", str(path / "exported"), "--sampler", "prior"]
        if (path / "config.json").exists():
            return ["train", "--resume", "--out", str(path)]
        values = {**SETTINGS, "backend": os.environ["KERAS_BACKEND"], "data.source": f"folder:{self.data}"}
        return ["train", "--out", str(path), "--set", *(f"{key}={value}" for key, value in values.items())]

    def run(self, command: str, path: Path, aim: Aim | None, times: dict[str, list[float]] | None = None) -> int:
        """Run a command in a fork and return its exit code, negative for a signal."""
        told = self.folder / "times.json"
        process = os.fork()
        if process == 0:
            self._child(self.words(command, path), aim, told)
        code = _waited(process)
        if times is not None and told.exists():
            for name, values in json.loads(told.read_text()).items():
                times[name] += values
            told.unlink()
        return code

    def _child(self, words: list[str], aim: Aim | None, told: Path) -> None:
        code = 70
        try:
            os.setsid()
            with open(self.folder / "log.txt", "ab") as log:
                for stream in (1, 2):
                    os.dup2(log.fileno(), stream)
            clock = Clock(aim)
            _watch(clock)
            from gamix_keras.cli.main import main

            code = main(words)
            told.write_text(json.dumps(clock.times))
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except KeyboardInterrupt:  # before or after the command itself
            code = 130
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def last_lines(self) -> str:
        """Return the end of the log."""
        return " / ".join((self.folder / "log.txt").read_text(errors="replace").splitlines()[-3:])

    def state(self, path: Path) -> dict[str, np.ndarray]:
        """Return everything that a run came to, by name."""
        found = outcome(path)
        file = path / "evaluation.json"
        return found | {"evaluation.json": np.frombuffer(file.read_bytes(), "uint8")} if file.exists() else found

    def try_once(self, phase: str, name: str, rng: random.Random) -> Result:
        """Send a signal within a phase, give the command again, and compare."""
        command, path = PHASES[phase].command, self.folder / "trial"
        shutil.rmtree(path, ignore_errors=True)
        if command != "train":
            shutil.copytree(self.reference, path, ignore=shutil.ignore_patterns("evaluation*", "samplers", "exported"))
        seconds = self.times[phase]
        call = rng.randrange(len(seconds))
        code = self.run(command, path, Aim(phase, SIGNALS[name], call, rng.uniform(0.0, seconds[call])))
        if code not in TOLD[name] and not (code == 0 and name != "SIGKILL"):
            return Result(f"ended with {code}: {self.last_lines()}")
        again = self.run(command, path, None)
        if again:
            return Result(f"again: ended with {again}: {self.last_lines()}")
        return self._compare(command, path)

    def _compare(self, command: str, path: Path) -> Result:
        found = self.state(path)
        expected = {key: value for key, value in self.expected.items() if key in found or key != "evaluation.json"}
        wrong = [key for key in expected | found if key not in found or not same(found[key], expected.get(key))]
        if command == "evaluate" and "evaluation.json" not in found:
            wrong.append("evaluation.json")
        left = [str(file.relative_to(path)) for file in path.rglob("*") if files.is_temporary(file)]
        if command == "export":
            versions = sorted(entry.name for entry in (path / "exported").iterdir())
            whole = all(files_in(path / "exported" / version) == self.exported for version in versions)
            wrong += [] if whole and versions in (["1"], ["1", "2"]) else [f"versions {versions}"]
        return Result(f"differs in {', '.join([*wrong, *left][:3])}" if wrong or left else "")


def _waited(process: int) -> int:
    deadline = time.monotonic() + LIMIT_SECONDS
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            break
        if time.monotonic() > deadline:
            os.killpg(process, signal.SIGKILL)
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)  # what it started goes with it
    return os.waitstatus_to_exitcode(status)


def measure(counts: dict[str, int], phases: tuple[str, ...], seed: int, rows: list[dict[str, Any]], save: Path) -> None:
    """Try every signal in every phase on this process's backend, and save each row."""
    import_everything()
    backend = os.environ["KERAS_BACKEND"]
    with tempfile.TemporaryDirectory() as folder:
        bed = Bed(Path(folder))
        for phase in phases:
            for name, count in counts.items():
                key = {"backend": backend, "phase": phase, "signal": name, "seed": seed, "tried": count}
                if count and not [row for row in rows if key.items() <= row.items()]:
                    rows.append({**key, "right": _right(bed, phase, name, count, seed)})
                    files.write_json(save, rows)


def _right(bed: Bed, phase: str, name: str, count: int, seed: int) -> int:
    right = 0
    for number in range(count):
        result = bed.try_once(phase, name, random.Random(f"{seed} {phase} {name} {number}"))
        right += not result.problem
        if result.problem:
            print(f"{phase}, {name} {number + 1}: {result.problem}", file=sys.stderr, flush=True)
    return right


def import_everything() -> None:
    """Import what any command imports, and compute nothing: a fork of a backend that runs would hang."""
    from gamix_keras.cli import environment

    environment.prepare(os.environ["KERAS_BACKEND"])
    import gamix_keras.evaluation.report
    import gamix_keras.export.run
    import gamix_keras.runs.session  # noqa: F401

    warnings.filterwarnings("ignore", message=".*fork")


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Return a Markdown table of the rows, a line per phase and a column per backend."""
    backends = [name for name in BACKENDS if any(row["backend"] == name for row in rows)]
    lines = [f"| phase | {' | '.join(backends)} |", "| --- |" + " --- |" * len(backends)]
    for phase in PHASES:
        cells = [
            ", ".join(_cell(row) for row in rows if (row["backend"], row["phase"]) == (name, phase))
            for name in backends
        ]
        lines.append(f"| {phase} | {' | '.join(cells)} |")
    total = {
        name: [sum(row[key] for row in rows if row["signal"] == name) for key in ("right", "tried")] for name in SIGNALS
    }
    return [*lines, "", "; ".join(f"{name}: {right} / {tried}" for name, (right, tried) in total.items())]


def _cell(row: dict[str, Any]) -> str:
    return f"{row['signal']} {row['right']} / {row['tried']}"


def main(arguments: list[str] | None = None) -> None:
    """Measure each backend in a process of its own, and print the table."""
    args = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        save = args.save or Path(folder, "phases.json")
        rows = json.loads(save.read_text(encoding="utf-8")) if save.exists() else []
        if args.here:
            counts = {name: args.kills if name == "SIGKILL" else args.signals for name in SIGNALS}
            return measure(counts, args.phases, args.seed, rows, save)
        caches = {"JAX_COMPILATION_CACHE_DIR": f"{folder}/jax", "XDG_CACHE_HOME": f"{folder}/cache"}
        caches |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "TF_CPP_MIN_LOG_LEVEL": "2"}
        for backend in args.backends:
            variables = {**ONE_THREAD, **caches, "KERAS_BACKEND": backend}
            command = workers.command("benchmarks.phases", "--here", "--save", str(save), "--seed", str(args.seed))
            command += ["--kills", str(args.kills), "--signals", str(args.signals), "--phases", ",".join(args.phases)]
            subprocess.run(command, env=workers.environment(**variables), check=True)
        print("\n".join(table(json.loads(save.read_text(encoding="utf-8")))))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.phases", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=whole_number(0), default=10, metavar="N", help="SIGKILL in each phase")
    parser.add_argument("--signals", type=whole_number(0), default=1, metavar="N", help="SIGTERM and Ctrl-C, each")
    parser.add_argument("--backends", type=name_list, default=BACKENDS, help="default: all three")
    parser.add_argument("--phases", type=name_list, default=tuple(PHASES), help=", ".join(PHASES))
    parser.add_argument("--seed", type=whole_number(0), default=0, help="seed of the random moments (default: 0)")
    parser.add_argument(
        "--save", type=Path, metavar="FILE.json", help="save the rows; known ones are not measured again"
    )
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
