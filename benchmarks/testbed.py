"""Processes that train, export and evaluate runs of one backend in one folder, for `benchmarks.faults`."""

import io
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from benchmarks import workers
from gamix_keras.runs import Run, Stage, checkpoints

EPOCHS, IMAGES, BATCH, INTERVAL = 3, 160, 8, 5
STEPS = IMAGES // BATCH
LIMIT_SECONDS = 900
# Every kind of state that a run has, in networks that take no time.
SMALL = {
    "data.image_size": 16,
    "model.stages": 2,
    "model.width": 4,
    "model.latent_dim": 3,
    "model.critic": True,
    "model.critic_width": 4,
    "loss.perceptual_weight": 0.0,
    "loss.momentum": 0.9,
    "training.batch_size": BATCH,
    "training.ema_decay": 0.9,
    "training.collapse_monitor": False,
}
SETTINGS = SMALL | {
    "data.count": IMAGES,
    "data.validation_fraction": 0.125,  # 20 images, the fewest that `evaluate` takes
    "loss.warmup": 1.5,
    "training.epochs": EPOCHS,
    "training.checkpoint_steps": INTERVAL,
    "training.sample_every": EPOCHS,
}
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")}
CLOCKS = ("seconds", "cpu_seconds")  # what no two runs share
_SELF = "benchmarks.testbed"
_STEP = re.compile(r"^steps done: (\d+)$", re.MULTILINE)


class Result(NamedTuple):
    """What became of one run.

    Attributes:
        problem: What went wrong; empty if the run survived.
        lost: The number of steps that had to be repeated, as far as it had told of them.
    """

    problem: str = ""
    lost: int = 0


class Testbed:
    """Trains runs on one backend in a folder and compares them with a run without faults, the reference.

    Args:
        folder: The folder of runs, logs and caches.
        backend: The Keras backend.

    Attributes:
        reference: The path of the run without faults, which is trained first.
        expected: What that run came to, see `outcome`.
        startup: The seconds until its first epoch began.
    """

    def __init__(self, folder: Path, backend: str) -> None:
        self.folder, self.backend = folder, backend
        # What JAX has compiled is kept for the next process.
        caches = {"JAX_COMPILATION_CACHE_DIR": str(folder / "jax"), "XDG_CACHE_HOME": str(folder / "cache")}
        caches |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        variables = {**ONE_THREAD, **caches, "KERAS_BACKEND": backend}
        self.environment = workers.environment(**variables, PYTHONUNBUFFERED="1", TF_CPP_MIN_LOG_LEVEL="2")
        self.reference = folder / "reference"
        started = time.monotonic()
        process = self.train(self.reference)
        self.wait_for(process, lambda: _STEP.search(self.output(self.reference)) is not None)
        self.startup = time.monotonic() - started
        if self.wait(process):
            raise RuntimeError(f"{backend}: the run without faults failed: {self.last_line(self.reference)}")
        self.expected = outcome(self.reference)

    def train(self, path: Path) -> subprocess.Popen:
        """Start or resume a run in a process of its own."""
        if (path / "config.json").exists():
            return self.process(path, _SELF, "train", "--out", str(path), "--resume")
        values = [f"{key}={value}" for key, value in SETTINGS.items()]
        return self.process(path, _SELF, "train", "--out", str(path), "--set", *values)

    def process(self, path: Path, *command: str) -> subprocess.Popen:
        """Start a module with arguments; what it prints goes to the log of a path, see `output`."""
        with open(self._log(path), "wb") as log:
            return subprocess.Popen(
                workers.command(*command), env=self.environment, stdout=log, stderr=subprocess.STDOUT
            )

    def run(self, path: Path, *command: str) -> int:
        """Run a module to its end."""
        return self.wait(self.process(path, *command))

    @staticmethod
    def wait(process: subprocess.Popen) -> int:
        """Wait for a process and return its exit code; kill it if it hangs."""
        try:
            return process.wait(LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    @staticmethod
    def wait_for(process: subprocess.Popen, moment: Callable[[], bool]) -> bool:
        """Wait until a condition holds; return False if the process ended before."""
        while process.poll() is None:
            if moment():
                return True
            time.sleep(0.01)
        return False

    def _log(self, path: Path) -> Path:
        return self.folder / f"{path.relative_to(self.folder).parts[0]}.log"

    def output(self, path: Path) -> str:
        """Return what the newest process of a path has printed."""
        return self._log(path).read_text(encoding="utf-8", errors="replace")

    def last_line(self, path: Path) -> str:
        """Return the last line of that output."""
        return (self.output(path).strip() or "nothing").splitlines()[-1]

    def steps_seen(self, path: Path) -> int:
        """Return how many steps are done, as the newest process of a path told, those before a resumption included."""
        return steps_told(self.output(path))

    def compare(self, path: Path, lost: int = 0) -> Result:
        """Compare a finished run with the reference, bit for bit."""
        found = outcome(path)
        wrong = [name for name, value in self.expected.items() if not same(value, found.get(name))]
        wrong += [name for name in found if name not in self.expected]
        return Result(f"differs in {', '.join(wrong[:3])}" if wrong else "", lost)

    def finish(self, path: Path, lost: int = 0) -> Result:
        """Resume a run, train it to its end, and compare it with the reference."""
        if self.wait(self.train(path)):
            return Result(self.last_line(path), lost)
        return self.compare(path, lost)

    def export(self, path: Path) -> subprocess.Popen:
        """Start an export of the reference."""
        arguments = (str(self.reference), "--out", str(path), "--sampler", "gaussian")
        return self.process(path, "gamix_keras", "export", *arguments)

    @cached_property
    def exported(self) -> tuple[float, set[Path]]:
        """The seconds of an export without faults, and the files it writes."""
        path, started = self.folder / "exported", time.monotonic()
        if self.wait(self.export(path)):
            raise RuntimeError(f"{self.backend}: the export without faults failed: {self.last_line(path)}")
        return time.monotonic() - started, files_in(path / "1")

    def evaluate(self, path: Path) -> subprocess.Popen:
        """Start an evaluation of a run."""
        return self.process(path, "gamix_keras", "evaluate", str(path), "--count", "20")

    @cached_property
    def evaluated(self) -> tuple[float, bytes]:
        """The seconds of an evaluation without faults, and the bytes of `evaluation.json`."""
        path, started = self.folder / "evaluated", time.monotonic()
        shutil.copytree(self.reference, path)
        if self.wait(self.evaluate(path)):
            raise RuntimeError(f"{self.backend}: the evaluation without faults failed: {self.last_line(path)}")
        return time.monotonic() - started, (path / "evaluation.json").read_bytes()


def outcome(path: Path) -> dict[str, np.ndarray]:
    """Return a run's final state by name: all arrays of each stage's newest checkpoint, and history without times."""
    run = Run.open(path)
    second = _state(run.second_stage) if run.second_stage.path.exists() else {}
    return _state(run) | {f"second stage {name}": value for name, value in second.items()}


def _state(stage: Stage) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(checkpoints.listed(stage.checkpoints)[0].file) as archive:
        weights = io.BytesIO(archive.read("model.weights.h5"))
    found: dict[str, np.ndarray] = {}

    def read(name: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = np.asarray(item)

    with h5py.File(weights, "r") as file:
        file.visititems(read)
    rows = [{name: value for name, value in row.items() if name not in CLOCKS} for row in stage.history()]
    numbers = {f"history {i} {name}": value for i, row in enumerate(rows) for name, value in row.items()}
    return found | {name: np.asarray(value) for name, value in numbers.items()}


def files_in(folder: Path) -> set[Path]:
    """Return the files below a folder, as paths relative to it."""
    return {file.relative_to(folder) for file in folder.rglob("*") if file.is_file()}


def same(one: np.ndarray, other: np.ndarray | None) -> bool:
    """Return whether two arrays are equal to the last bit."""
    return other is not None and one.shape == other.shape and one.tobytes() == other.tobytes()


def steps_told(text: str) -> int:
    """Return the last number of steps that a process told, 0 if it told none."""
    found = _STEP.findall(text)
    return int(found[-1]) if found else 0


def tell_steps() -> None:
    """Have every training of this process print how many steps are done: at its start, and after each."""
    from gamix_keras.runs import session

    make = session._callbacks
    session._callbacks = lambda *arguments: [_teller(), *make(*arguments)]


def _teller() -> Any:
    import keras

    class Teller(keras.callbacks.Callback):
        def on_train_begin(self, logs: dict | None = None) -> None:
            print(f"steps done: {self.model.steps_done}", flush=True)

        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            self.on_train_begin()

    return Teller()


def main() -> int:
    """Run a command of the package that tells its steps."""
    from gamix_keras.cli.main import main as command

    tell_steps()
    return command(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
