"""Where `faults` has its runs trained, killed and compared: processes of one backend in one folder."""

import io
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from gamix_keras.runs import Run, checkpoints

EPOCHS, IMAGES, BATCH, INTERVAL = 3, 160, 8, 5
STEPS = IMAGES // BATCH
LIMIT_SECONDS = 900
SETTINGS = {
    "data.image_size": 16,
    "data.count": IMAGES,
    "data.validation_fraction": 0.125,  # 20 images, the fewest that an evaluation takes
    "model.stages": 2,
    "model.width": 4,
    "model.latent_dim": 3,
    "model.critic_width": 4,
    "loss.momentum": 0.9,
    "loss.warmup": 1.5,
    "training.batch_size": BATCH,
    "training.epochs": EPOCHS,
    "training.ema_decay": 0.9,
    "training.checkpoint_steps": INTERVAL,
    "training.collapse_monitor": False,
    "training.sample_every": EPOCHS,
}
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")}
_EPOCH = re.compile(r"Epoch (\d+)/")
_STEP = re.compile(r"(\d+)/(\d+)\x1b")


class Trial(NamedTuple):
    """What became of one run.

    Attributes:
        told: What went wrong; empty where it survived.
        lost: Steps that had to be done again, as far as the progress bar had told of them.
    """

    told: str = ""
    lost: int = 0


class Workshop:
    """Trains runs on one backend in a folder, and knows what they should come to.

    Args:
        folder: Where everything lies.
        backend: The Keras backend.
    """

    def __init__(self, folder: Path, backend: str) -> None:
        self.folder, self.backend = folder, backend
        # Each process starts anew: what JAX has compiled is kept for the next one.
        kept = {"JAX_COMPILATION_CACHE_DIR": str(folder / "jax"), "XDG_CACHE_HOME": str(folder / "cache")}
        kept |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "TF_CPP_MIN_LOG_LEVEL": "2"}
        own = {**ONE_THREAD, **kept, "KERAS_BACKEND": backend, "PYTHONUNBUFFERED": "1"}
        self.environment = {**os.environ, **own}
        self.whole = folder / "whole"
        started = time.monotonic()
        process = self.train(self.whole)
        self.wait_for(process, lambda: "Epoch" in self.said(self.whole))
        self.boot = time.monotonic() - started
        if self.wait(process):
            raise RuntimeError(f"{backend}: the run without faults failed: {self.last_line(self.whole)}")
        self.wanted = outcome(self.whole)

    def train(self, path: Path) -> subprocess.Popen:
        """Start or resume a run in a process of its own."""
        if (path / "config.json").exists():
            return self.process(path, "gamix_keras", "train", "--out", str(path), "--resume")
        values = [f"{key}={value}" for key, value in SETTINGS.items()]
        return self.process(path, "gamix_keras", "train", "--out", str(path), "--set", *values)

    def process(self, path: Path, *command: str) -> subprocess.Popen:
        """Start a module; `said` tells what it says of a path."""
        with open(self._log(path), "wb") as log:
            command = [sys.executable, "-m", *command]
            return subprocess.Popen(command, env=self.environment, stdout=log, stderr=subprocess.STDOUT)

    def run(self, path: Path, *command: str) -> int:
        """Run a module to its end."""
        return self.wait(self.process(path, *command))

    @staticmethod
    def wait(process: subprocess.Popen) -> int:
        """The exit code of a process; one that hangs is killed."""
        try:
            return process.wait(LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    @staticmethod
    def wait_for(process: subprocess.Popen, moment: Callable[[], bool]) -> bool:
        """Wait for a moment of a process; False where it ended before."""
        while process.poll() is None:
            if moment():
                return True
            time.sleep(0.01)
        return False

    def _log(self, path: Path) -> Path:
        return self.folder / f"{path.relative_to(self.folder).parts[0]}.log"

    def said(self, path: Path) -> str:
        """What the newest process of a path has said."""
        return self._log(path).read_text(encoding="utf-8", errors="replace")

    def last_line(self, path: Path) -> str:
        """Its last word."""
        return (self.said(path).strip() or "nothing").splitlines()[-1]

    def steps_seen(self, path: Path) -> int:
        """How many steps the newest process has shown to be done, those before it included."""
        text = self.said(path)
        epochs = list(_EPOCH.finditer(text))
        if not epochs:
            return 0
        steps = _STEP.findall(text, epochs[-1].end())
        done = STEPS - int(steps[-1][1]) + int(steps[-1][0]) if steps else 0
        return (int(epochs[-1][1]) - 1) * STEPS + done

    def verdict(self, path: Path, lost: int = 0) -> Trial:
        """Whether a run that has ended equals the one that nothing happened to."""
        found = outcome(path)
        wrong = [name for name, value in self.wanted.items() if not _same(value, found.get(name))]
        wrong += [name for name in found if name not in self.wanted]
        return Trial(f"differs in {', '.join(wrong[:3])}" if wrong else "", lost)

    def finish(self, path: Path, lost: int = 0) -> Trial:
        """Resume a run to its end, and judge it."""
        return Trial(self.last_line(path), lost) if self.wait(self.train(path)) else self.verdict(path, lost)

    def export(self, path: Path) -> subprocess.Popen:
        """Start an export of the run that nothing happened to."""
        arguments = (str(self.whole), "--out", str(path), "--sampler", "gaussian")
        return self.process(path, "gamix_keras", "export", *arguments)

    @cached_property
    def exported(self) -> tuple[float, set[Path]]:
        """The seconds of an export, and the files that it leaves."""
        path, started = self.folder / "exported", time.monotonic()
        if self.wait(self.export(path)):
            raise RuntimeError(f"{self.backend}: the export without faults failed: {self.last_line(path)}")
        return time.monotonic() - started, files_in(path / "1")

    def evaluate(self, path: Path) -> subprocess.Popen:
        """Start an evaluation of a run."""
        return self.process(path, "gamix_keras", "evaluate", str(path), "--count", "20")

    @cached_property
    def evaluated(self) -> tuple[float, bytes]:
        """The seconds of an evaluation, and the file that it leaves."""
        path, started = self.folder / "evaluated", time.monotonic()
        shutil.copytree(self.whole, path)
        if self.wait(self.evaluate(path)):
            raise RuntimeError(f"{self.backend}: the evaluation without faults failed: {self.last_line(path)}")
        return time.monotonic() - started, (path / "evaluation.json").read_bytes()


def outcome(path: Path) -> dict[str, np.ndarray]:
    """All that a run came to, by name: whatever its newest checkpoint holds, and its history without the times."""
    run = Run.open(path)
    with zipfile.ZipFile(checkpoints.listed(run.checkpoints)[0].file) as archive:
        weights = io.BytesIO(archive.read("model.weights.h5"))
    found: dict[str, np.ndarray] = {}

    def read(name: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = np.asarray(item)

    with h5py.File(weights, "r") as file:
        file.visititems(read)
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in run.history()]
    numbers = {f"history {i} {name}": value for i, row in enumerate(rows) for name, value in row.items()}
    return found | {name: np.asarray(value) for name, value in numbers.items()}


def files_in(folder: Path) -> set[Path]:
    """The files below a folder, as paths within it."""
    return {file.relative_to(folder) for file in folder.rglob("*") if file.is_file()}


def _same(one: np.ndarray, other: np.ndarray | None) -> bool:
    return other is not None and one.shape == other.shape and one.tobytes() == other.tobytes()
