"""How much of a training run survives: kills, NaNs, damaged checkpoints, a full disk.

  python -m benchmarks.faults --kills 20 --backends tensorflow,jax,torch --save faults.json
  python -m benchmarks.faults --kills 2 --nans 1 --damages 1 --backends tensorflow

Each trial is a small but whole run of `gamix-keras train` (critic, averaged weights, running moments, warm-up) in
processes of its own. A run is killed with SIGKILL after a random step, every other time while it writes a checkpoint,
is resumed once and must then equal, bit for bit, the run that nothing happened to: history, and all that its last
checkpoint holds (weights, optimizers, generators). A killed export must leave no version that is not whole, and the
next one nothing else; a killed evaluation must give the same numbers when it is started again. Prints one Markdown
table: survived / tried, and the most steps that one fault cost. With --save, what was measured is not measured again.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workshop import (
    BATCH,
    EPOCHS,
    INTERVAL,
    SETTINGS,
    STEPS,
    Trial,
    Workshop,
    files_in,
    outcome,
)
from gamix_keras import files
from gamix_keras.cli.options import name_list, whole_number
from gamix_keras.config import BACKENDS
from gamix_keras.runs import Run, checkpoints

_SELF = "benchmarks.faults"


def kill(shop: Workshop, path: Path, rng: random.Random, number: int) -> Trial:
    """Kill a run after a random step, every other time while it writes a checkpoint; then resume it."""
    while True:
        process, step = shop.train(path), rng.randrange(-STEPS // 4, EPOCHS * STEPS)
        if step < 0:
            time.sleep(rng.uniform(0.5, 1.0) * shop.boot)
        elif shop.wait_for(process, lambda: shop.steps_seen(path) >= step):  # noqa: B023
            if number % 2:
                shop.wait_for(process, lambda: _writes(path))
            else:
                time.sleep(rng.uniform(0.0, 0.1))
        if process.poll() is None:
            break
        shutil.rmtree(path)  # it was faster
    _kill(process)
    return shop.finish(path, _lost(shop, path))


def _writes(path: Path) -> bool:
    return any(map(files.is_temporary, (path / "checkpoints").glob(".*")))


def _kill(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()


def _lost(shop: Workshop, path: Path) -> int:
    if not (path / "config.json").exists():
        return 0
    epoch, step = Run.open(path).latest_checkpoint().progress
    return max(0, shop.steps_seen(path) - epoch * STEPS - step)


def kill_export(shop: Workshop, path: Path, rng: random.Random, number: int) -> Trial:
    """Kill an export at a random moment, every other time while it writes; then export again."""
    seconds, wanted = shop.exported
    while True:
        process = shop.export(path)
        if number % 2:
            shop.wait_for(process, lambda: any(path.glob(".writing-*")))
        time.sleep(rng.uniform(0.0, seconds * (0.3 if number % 2 else 1.0)))
        if process.poll() is None:
            break
        shutil.rmtree(path)  # it was faster
    _kill(process)
    before = _versions(path)
    if shop.wait(shop.export(path)):
        return Trial(shop.last_line(path))
    there = sorted(entry.name for entry in path.iterdir())
    expected = [*before, str(len(before) + 1)]
    if there != expected or any(files_in(path / name) != wanted for name in expected):
        return Trial(f"expected versions {', '.join(expected)}, found {', '.join(there)}")
    return Trial()


def _versions(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.glob("*") if not entry.name.startswith("."))


def kill_evaluation(shop: Workshop, path: Path, rng: random.Random, number: int) -> Trial:
    """Kill an evaluation at a random moment; then evaluate again: the same numbers, of the same run."""
    seconds, wanted = shop.evaluated
    while True:
        shutil.copytree(shop.whole, path)
        process = shop.evaluate(path)
        time.sleep(rng.uniform(0.2, 1.0) * seconds)
        if process.poll() is None:
            break
        shutil.rmtree(path)  # it was faster
    _kill(process)
    if shop.wait(shop.evaluate(path)):
        return Trial(shop.last_line(path))
    if (path / "evaluation.json").read_bytes() != wanted:
        return Trial("other numbers than the evaluation that nothing happened to")
    return shop.verdict(path)


def damage(shop: Workshop, path: Path, rng: random.Random, number: int) -> Trial:
    """Damage the newest checkpoint: it must be named, passed over and written anew."""
    shutil.copytree(shop.whole, path)
    last, before = checkpoints.listed(Run.open(path).checkpoints)[:2]
    file, lost = last.file, (last.epoch - before.epoch) * STEPS + last.step - before.step
    data = bytearray(file.read_bytes())
    place = rng.randrange(len(data))
    if rng.random() < 0.5:
        data[place] ^= 1 << rng.randrange(8)
    else:
        del data[place:]
    file.write_bytes(data)
    if shop.wait(shop.train(path)) or f"{file.name} is damaged" not in shop.said(path):
        return Trial(f"not passed over by name: {shop.last_line(path)}")
    return shop.verdict(path, lost)


def poison(shop: Workshop, path: Path, rng: random.Random, number: int) -> Trial:
    """Make one batch NaN: the step must be left out and noted, and all that training leaves be finite."""
    step = rng.randrange(EPOCHS * STEPS)
    if shop.run(path, _SELF, "--poisoned", str(path), str(step)):
        return Trial(shop.last_line(path))
    noted = Run.open(path).bad_steps
    where = [(row["epoch"] - 1) * STEPS + row["step"] - 1 for row in noted]
    if where != [step] or noted[0]["origin"] != "images" or len(noted[0]["images"]) != BATCH:
        return Trial(f"noted {noted} for step {step}")
    wrong = [name for name, value in outcome(path).items() if not _is_finite(value)]
    return Trial(f"not finite: {', '.join(wrong[:3])}" if wrong else "", 1)


def fill(shop: Workshop, path: Path, rng: random.Random, number: int) -> Trial:
    """Train where there is too little room: one line must tell, and the run go on when there is more."""
    size = sum(file.stat().st_size for file in shop.whole.rglob("*"))
    with _small_disk(path, int(size * rng.uniform(0.5, 0.9))) as enlarge:
        run = path / "run"
        code = shop.wait(shop.train(run))
        if code != 1 or "the disk is full" not in shop.last_line(run):
            return Trial(f"exit {code}: {shop.last_line(run)}")
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


def _is_finite(value: np.ndarray) -> bool:
    return value.dtype.kind != "f" or bool(np.isfinite(value).all())


def train_poisoned(path: str, step: str) -> None:
    """Train a run in which one batch, counted over all epochs, is NaN."""
    from gamix_keras.config import Config
    from gamix_keras.runs import session

    run = Run.create(path, Config().updated({**SETTINGS, "backend": os.environ["KERAS_BACKEND"]}))
    prepared = session.prepare(run)

    def batches() -> Iterator[np.ndarray]:
        for number, batch in enumerate(prepared.data.training):
            yield (np.asarray(batch) * np.float32("nan" if number == int(step) else 1),)

    session.fit(prepared._replace(data=prepared.data._replace(training=batches())), verbose=0)


FAULTS = {
    "kills": (kill, "SIGKILL while training", 20),
    "nans": (poison, "NaN in a batch", 10),
    "damages": (damage, "checkpoint damaged", 10),
    "exports": (kill_export, "SIGKILL while exporting", 3),
    "evaluations": (kill_evaluation, "SIGKILL while evaluating", 3),
    "disks": (fill, "disk full", 0),
}


def row(shop: Workshop, kind: str, count: int, seed: int, jobs: int) -> dict[str, Any]:
    """Try a fault so many times, and return what came of it."""
    fault, title, _ = FAULTS[kind]
    if kind in ("exports", "evaluations"):
        _ = shop.exported if kind == "exports" else shop.evaluated  # once, before they all ask for it

    def attempt(number: int) -> Trial:
        path = shop.folder / f"{kind}-{number}"
        trial = fault(shop, path, random.Random(f"{seed} {shop.backend} {kind} {number}"), number)
        if trial.told:
            print(f"{shop.backend}, {title} {number + 1}: {trial.told}", file=sys.stderr)
        shutil.rmtree(path, ignore_errors=True)
        return trial

    with ThreadPoolExecutor(jobs) as pool:
        trials = list(pool.map(attempt, range(count)))
    survived, lost = sum(not trial.told for trial in trials), max(trial.lost for trial in trials)
    key = {"backend": shop.backend, "fault": title, "seed": seed}
    return {**key, "survived": survived, "tried": count, "most_steps_lost": lost}


def rows(backend: str, counts: dict[str, int], seed: int, jobs: int, known: list[dict[str, Any]]) -> Iterator[Any]:
    """Yield the row of each fault on a backend; those that are known already come as they are."""
    with tempfile.TemporaryDirectory() as folder:
        shop = None
        for kind, count in counts.items():
            key = {"backend": backend, "fault": FAULTS[kind][1], "seed": seed, "tried": count}
            found = [one for one in known if key.items() <= one.items()]
            if count and not found:
                shop = shop or Workshop(Path(folder), backend)
                found = [row(shop, kind, count, seed, jobs)]
            yield from found


def main(arguments: list[str] | None = None) -> None:
    """Try, and print the table."""
    args = _parser().parse_args(arguments)
    if args.poisoned:
        return train_poisoned(*args.poisoned)
    known = json.loads(args.save.read_text(encoding="utf-8")) if args.save and args.save.exists() else []
    print(f"{EPOCHS} epochs of {STEPS} steps, a checkpoint every {INTERVAL} steps\n")
    print("| backend | fault | survived / tried | most steps lost |\n| --- | --- | --- | --- |")
    counts = {kind: getattr(args, kind) for kind in FAULTS}
    for backend in args.backends:
        for found in rows(backend, counts, args.seed, args.jobs, list(known)):
            text = f"| {backend} | {found['fault']} | {found['survived']} / {found['tried']} |"
            print(f"{text} {found['most_steps_lost']} |", flush=True)
            if args.save and found not in known:
                known.append(found)
                files.write_json(args.save, known)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {_SELF}", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for kind, (_, title, default) in FAULTS.items():
        help = f"{title}: trials on each backend (default: {default})"
        parser.add_argument(f"--{kind}", type=whole_number(0), default=default, metavar="N", help=help)
    parser.add_argument("--backends", type=name_list, default=BACKENDS, help="default: all three")
    parser.add_argument("--seed", type=whole_number(0), default=0, help="of the moments and places (default: 0)")
    parser.add_argument("--jobs", type=whole_number(1), default=2, metavar="N", help="trials at once (default: 2)")
    parser.add_argument("--save", type=Path, metavar="FILE.json", help="keep the rows, and take those that are there")
    parser.add_argument("--poisoned", nargs=2, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
