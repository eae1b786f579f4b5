"""How much of a training run survives: kills, NaNs, damaged checkpoints, a full disk.

  python -m gamix_keras.benchmarks.faults --kills 20 --backends tensorflow,jax,torch
  python -m gamix_keras.benchmarks.faults --kills 2 --nans 1 --damages 1 --disks 0 --backends tensorflow

Each trial is a small but whole run of `gamix-keras train` (critic, averaged weights, running moments, warm-up) in
processes of its own. A run that is killed with SIGKILL, at a random moment between its first epoch's start and its end,
is resumed once and must then equal, bit for bit, the run that nothing happened to: history, weights, optimizers,
generators. Prints one Markdown table: survived / tried, and the most steps that one fault cost.
"""

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gamix_keras import checkpoints
from gamix_keras.cli.options import name_list, whole_number
from gamix_keras.config import BACKENDS
from gamix_keras.runs import Run

EPOCHS, IMAGES, BATCH, INTERVAL = 4, 160, 8, 5
STEPS = IMAGES // BATCH
LIMIT_SECONDS = 900
SETTINGS = {
    "data.image_size": 16,
    "data.count": IMAGES,
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
}
_EPOCH = re.compile(r"Epoch (\d+)/")
_STEP = re.compile(r"(\d+)/(\d+)\x1b")
_SELF = "gamix_keras.benchmarks.faults"


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
        rng: Of the moments and places of faults.
    """

    def __init__(self, folder: Path, backend: str, rng: random.Random) -> None:
        self.folder, self.backend, self.rng = folder, backend, rng
        self.whole, self.log = folder / "whole", folder / "log.txt"
        started = time.monotonic()
        process = self.start(self.whole)
        while "Epoch" not in self.said() and process.poll() is None:
            time.sleep(0.02)
        self.boot = time.monotonic() - started
        if self.wait(process):
            raise RuntimeError(f"{backend}: the run without faults failed: {self.last_line()}")
        self.seconds = time.monotonic() - started
        self.wanted = self.outcome(self.whole)

    def start(self, path: Path) -> subprocess.Popen:
        """Start or resume a run in a process of its own."""
        if (path / "config.json").exists():
            return self._process("gamix_keras", "train", "--out", str(path), "--resume")
        values = [f"{key}={value}" for key, value in SETTINGS.items()]
        return self._process("gamix_keras", "train", "--out", str(path), "--set", *values)

    def _process(self, *command: str) -> subprocess.Popen:
        environment = {**os.environ, "KERAS_BACKEND": self.backend, "PYTHONUNBUFFERED": "1"}
        with open(self.log, "wb") as log:
            command = [sys.executable, "-m", *command]
            return subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)

    def run(self, *command: str) -> int:
        """Run a module to its end."""
        return self.wait(self._process(*command))

    @staticmethod
    def wait(process: subprocess.Popen) -> int:
        """The exit code of a process; one that hangs is killed."""
        try:
            return process.wait(LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def said(self) -> str:
        """What the newest process has said."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def last_line(self) -> str:
        """Its last word."""
        return (self.said().strip() or "nothing").splitlines()[-1]

    def steps_seen(self) -> int:
        """How many steps the newest process has shown to be done, those before it included."""
        text = self.said()
        epochs = list(_EPOCH.finditer(text))
        if not epochs:
            return 0
        steps = _STEP.findall(text, epochs[-1].end())
        done = STEPS - int(steps[-1][1]) + int(steps[-1][0]) if steps else 0
        return (int(epochs[-1][1]) - 1) * STEPS + done

    def outcome(self, path: Path) -> dict[str, np.ndarray]:
        """All that a finished run came to, as arrays by name; read by a process of its own."""
        file = path.with_suffix(".npz")
        if self.run(_SELF, "--state", str(path), str(file)):
            raise RuntimeError(self.last_line())
        with np.load(file, allow_pickle=False) as archive:
            return dict(archive)

    def verdict(self, path: Path, lost: int = 0) -> Trial:
        """Whether a run that has ended equals the one that nothing happened to."""
        found = self.outcome(path)
        wrong = [name for name, value in self.wanted.items() if not _same(value, found.get(name))]
        return Trial(f"differs in {', '.join(wrong[:3])}" if wrong else "", lost)

    def finish(self, path: Path, lost: int = 0) -> Trial:
        """Resume a run to its end, and judge it."""
        return Trial(self.last_line(), lost) if self.wait(self.start(path)) else self.verdict(path, lost)


def kill(shop: Workshop, path: Path) -> Trial:
    """Kill a run at a random moment, then resume it."""
    while True:
        process = shop.start(path)
        try:
            process.wait(shop.rng.uniform(0.9 * shop.boot, shop.seconds))
        except subprocess.TimeoutExpired:
            break
        shutil.rmtree(path)  # it was faster
    process.kill()
    process.wait()
    return shop.finish(path, _lost(shop, path))


def _lost(shop: Workshop, path: Path) -> int:
    if not (path / "config.json").exists():
        return 0
    epoch, step = Run.open(path).latest_checkpoint().progress
    return max(0, shop.steps_seen() - epoch * STEPS - step)


def damage(shop: Workshop, path: Path) -> Trial:
    """Damage the newest checkpoint: it must be named, passed over and written anew."""
    shutil.copytree(shop.whole, path)
    last, before = checkpoints.listed(Run.open(path).checkpoints)[:2]
    file, lost = last.file, (last.epoch - before.epoch) * STEPS + last.step - before.step
    data = bytearray(file.read_bytes())
    place = shop.rng.randrange(len(data))
    if shop.rng.random() < 0.5:
        data[place] ^= 1 << shop.rng.randrange(8)
    else:
        del data[place:]
    file.write_bytes(data)
    if shop.wait(shop.start(path)) or f"{file.name} is damaged" not in shop.said():
        return Trial(f"not passed over by name: {shop.last_line()}")
    return shop.verdict(path, lost)


def poison(shop: Workshop, path: Path) -> Trial:
    """Make one batch NaN: the step must be undone and noted, and all that training leaves be finite."""
    step = shop.rng.randrange(EPOCHS * STEPS)
    if shop.run(_SELF, "--poisoned", str(path), str(step)):
        return Trial(shop.last_line())
    noted = [json.loads(line) for line in (path / "bad_steps.jsonl").read_text(encoding="utf-8").splitlines()]
    where = [(row["epoch"] - 1) * STEPS + row["step"] - 1 for row in noted]
    if where != [step] or noted[0]["origin"] != "images" or len(noted[0]["images"]) != BATCH:
        return Trial(f"noted {noted} for step {step}")
    wrong = [name for name, value in shop.outcome(path).items() if not _is_finite(value)]
    return Trial(f"not finite: {', '.join(wrong[:3])}" if wrong else "", 1)


def fill(shop: Workshop, path: Path) -> Trial:
    """Train where there is too little room: one line must tell, and the run go on when there is more."""
    size = sum(file.stat().st_size for file in shop.whole.rglob("*"))
    with _small_disk(path, int(size * shop.rng.uniform(0.5, 0.9))) as enlarge:
        run = path / "run"
        code = shop.wait(shop.start(run))
        if code != 1 or "the disk is full" not in shop.last_line():
            return Trial(f"exit {code}: {shop.last_line()}")
        lost = _lost(shop, run)
        enlarge()
        trial = shop.finish(run, lost)
    return trial


@contextmanager
def _small_disk(path: Path, size: int) -> Iterator[Callable[[], None]]:
    """Mount a tmpfs; yields what makes it large. Needs the rights of root."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], check=True)
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=1G", str(path)], check=True)
    finally:
        subprocess.run(["umount", str(path)], check=True)


def _same(one: np.ndarray, other: np.ndarray | None) -> bool:
    return other is not None and one.shape == other.shape and one.tobytes() == other.tobytes()


def _is_finite(value: np.ndarray) -> bool:
    return value.dtype.kind != "f" or bool(np.isfinite(value).all())


def write_state(path: str, file: str) -> None:
    """Write what a run came to: every variable of model and optimizers, and the history without its times."""
    run = Run.open(path)
    model = run.load_checkpoint(compile=True)
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in run.history()]
    variables = {variable.path: variable for variable in [*model.variables, *model.optimizer.variables]}
    arrays = {f"{i} {name}": np.asarray(value.value) for i, (name, value) in enumerate(variables.items())}
    numbers = {f"history {i} {name}": value for i, row in enumerate(rows) for name, value in row.items()}
    np.savez(file, **{name.replace("/", "|"): value for name, value in (arrays | numbers).items()})


def train_poisoned(path: str, step: str) -> None:
    """Train a run in which one batch, counted over all epochs, is NaN."""
    from gamix_keras import session
    from gamix_keras.config import Config

    run = Run.create(path, Config().updated({**SETTINGS, "backend": os.environ["KERAS_BACKEND"]}))
    prepared = session.prepare(run)

    def batches() -> Iterator[np.ndarray]:
        for number, batch in enumerate(prepared.data.training):
            yield (np.asarray(batch) * np.float32("nan" if number == int(step) else 1),)

    session.fit(prepared._replace(data=prepared.data._replace(training=batches())), verbose=0)


FAULTS = {"kills": kill, "nans": poison, "damages": damage, "disks": fill}
TITLES = {"kills": "SIGKILL", "nans": "NaN in a batch", "damages": "checkpoint damaged", "disks": "disk full"}


def table(shop: Workshop, counts: dict[str, int]) -> str:
    """Try each fault so many times, and return the rows of a Markdown table."""
    rows = []
    for kind, count in counts.items():
        trials = []
        for number in range(count):
            trials.append(FAULTS[kind](shop, shop.folder / f"{kind}-{number}"))
            if trials[-1].told:
                print(f"{shop.backend}, {TITLES[kind]} {number + 1}: {trials[-1].told}", file=sys.stderr)
        if trials:
            survived, lost = sum(not trial.told for trial in trials), max(trial.lost for trial in trials)
            rows.append(f"| {shop.backend} | {TITLES[kind]} | {survived} / {count} | {lost} |")
    return "\n".join(rows)


def main(arguments: list[str] | None = None) -> None:
    """Try, and print the table."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {_SELF}", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for kind, default in {"kills": 20, "nans": 10, "damages": 10, "disks": 0}.items():
        help = f"{TITLES[kind]}: trials on each backend (default: {default})"
        parser.add_argument(f"--{kind}", type=whole_number(0), default=default, metavar="N", help=help)
    parser.add_argument("--backends", type=name_list, default=BACKENDS, help="default: all three")
    parser.add_argument("--seed", type=whole_number(0), default=0, help="of the moments and places (default: 0)")
    parser.add_argument("--state", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--poisoned", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.state or args.poisoned:
        return write_state(*args.state) if args.state else train_poisoned(*args.poisoned)
    print(f"{EPOCHS} epochs of {STEPS} steps, a checkpoint every {INTERVAL} steps\n")
    print("| backend | fault | survived / tried | most steps lost |\n| --- | --- | --- | --- |")
    for backend in args.backends:
        with tempfile.TemporaryDirectory() as folder:
            shop = Workshop(Path(folder), backend, random.Random(args.seed))
            print(table(shop, {kind: getattr(args, kind) for kind in FAULTS}), flush=True)


if __name__ == "__main__":
    main()
