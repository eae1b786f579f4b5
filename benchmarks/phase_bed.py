"""Processes that train, evaluate and export, get a signal and are started again, for `benchmarks.phases`."""

import contextlib
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

import numpy as np

from benchmarks.phase_clock import PHASES, Aim, Clock, watch
from benchmarks.testbed import LIMIT_SECONDS, SMALL, Result, files_in, outcome, same
from gamix_keras import files

IMAGES, SIDE = 80, SMALL["data.image_size"]
SETTINGS = SMALL | {
    "data.validation_fraction": 0.3,
    "training.epochs": 2,
    "training.checkpoint_steps": 3,
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
            watch(clock)
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
