"""How many training runs survive kills, NaNs, damaged checkpoints and a full disk.

  python -m benchmarks.faults --kills 20 --backends tensorflow,jax,torch --save faults.json
  python -m benchmarks.faults --kills 2 --nans 1 --damages 1 --backends tensorflow

Each trial is a small but complete run of `gamix-keras train` (critic, averaged weights, running moments, warm-up) in
processes of its own. A run is killed with SIGKILL after a random step, every other time while it writes a checkpoint,
and resumed once. It must then equal, bit for bit, the run without faults: its history, and everything in its last
checkpoint (weights, optimizers, generators). A killed export must leave only complete versions, and the next export
must add one version and nothing else. A killed evaluation must give the same numbers when it is started again. Prints
one Markdown table: survived / tried, and the most steps that one fault cost. With --save, known rows are not measured
again.
"""

import argparse
import functools
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

from benchmarks.testbed import BATCH, EPOCHS, INTERVAL, SETTINGS, STEPS, Result, Testbed, files_in, outcome
from gamix_keras import files
from gamix_keras.cli.options import name_list, whole_number
from gamix_keras.config import BACKENDS
from gamix_keras.runs import Run, checkpoints

_SELF = "benchmarks.faults"


def kill(bed: Testbed, path: Path, rng: random.Random, number: int) -> Result:
    """Kill a run after a random step, every other time while it writes a checkpoint; then resume it."""
    while True:
        process, step = bed.train(path), rng.randrange(-STEPS // 4, EPOCHS * STEPS)
        if step < 0:
            time.sleep(rng.uniform(0.5, 1.0) * bed.startup)
        elif bed.wait_for(process, functools.partial(_reached, bed, path, step)):
            if number % 2:
                bed.wait_for(process, lambda: _writes(path))
            else:
                time.sleep(rng.uniform(0.0, 0.1))
        if process.poll() is None:
            break
        shutil.rmtree(path)  # the run ended before it could be killed
    _kill(process)
    return bed.finish(path, _lost(bed, path))


def _reached(bed: Testbed, path: Path, step: int) -> bool:
    return bed.steps_seen(path) >= step


def _writes(path: Path) -> bool:
    return any(map(files.is_temporary, (path / "checkpoints").glob(".*")))


def _kill(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()


def _lost(bed: Testbed, path: Path) -> int:
    if not (path / "config.json").exists():
        return 0
    epoch, step = Run.open(path).latest_checkpoint().progress
    return max(0, bed.steps_seen(path) - epoch * STEPS - step)


def kill_export(bed: Testbed, path: Path, rng: random.Random, number: int) -> Result:
    """Kill an export at a random moment, every other time while it writes; then export again."""
    seconds, expected = bed.exported
    while True:
        process = bed.export(path)
        if number % 2:
            bed.wait_for(process, lambda: any(path.glob(".writing-*")))
        time.sleep(rng.uniform(0.0, seconds * (0.3 if number % 2 else 1.0)))
        if process.poll() is None:
            break
        shutil.rmtree(path)  # it ended before it could be killed
    _kill(process)
    before = _versions(path)
    if bed.wait(bed.export(path)):
        return Result(bed.last_line(path))
    there = sorted(entry.name for entry in path.iterdir())
    versions = [*before, str(len(before) + 1)]
    if there != versions or any(files_in(path / name) != expected for name in versions):
        return Result(f"expected versions {', '.join(versions)}, found {', '.join(there)}")
    return Result()


def _versions(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.glob("*") if not entry.name.startswith("."))


def kill_evaluation(bed: Testbed, path: Path, rng: random.Random, number: int) -> Result:
    """Kill an evaluation at a random moment; then evaluate again and expect the same numbers of the same run."""
    seconds, expected = bed.evaluated
    while True:
        shutil.copytree(bed.reference, path)
        process = bed.evaluate(path)
        time.sleep(rng.uniform(0.2, 1.0) * seconds)
        if process.poll() is None:
            break
        shutil.rmtree(path)  # it ended before it could be killed
    _kill(process)
    if bed.wait(bed.evaluate(path)):
        return Result(bed.last_line(path))
    if (path / "evaluation.json").read_bytes() != expected:
        return Result("other numbers than those of the evaluation without faults")
    return bed.compare(path)


def damage(bed: Testbed, path: Path, rng: random.Random, number: int) -> Result:
    """Damage the newest checkpoint: `--resume` must name it, take the one before, and write it anew."""
    shutil.copytree(bed.reference, path)
    last, before = checkpoints.listed(Run.open(path).checkpoints)[:2]
    file, lost = last.file, (last.epoch - before.epoch) * STEPS + last.step - before.step
    data = bytearray(file.read_bytes())
    place = rng.randrange(len(data))
    if rng.random() < 0.5:
        data[place] ^= 1 << rng.randrange(8)
    else:
        del data[place:]
    file.write_bytes(data)
    if bed.wait(bed.train(path)) or f"{file.name} is damaged" not in bed.output(path):
        return Result(f"not skipped by name: {bed.last_line(path)}")
    return bed.compare(path, lost)


def poison(bed: Testbed, path: Path, rng: random.Random, number: int) -> Result:
    """Make one batch NaN: the step must be skipped and logged, and everything that training writes be finite."""
    step = rng.randrange(EPOCHS * STEPS)
    if bed.run(path, _SELF, "--poisoned", str(path), str(step)):
        return Result(bed.last_line(path))
    logged = Run.open(path).bad_steps
    steps = [(row["epoch"] - 1) * STEPS + row["step"] - 1 for row in logged]
    if steps != [step] or logged[0]["origin"] != "images" or len(logged[0]["images"]) != BATCH:
        return Result(f"logged {logged} for step {step}")
    wrong = [name for name, value in outcome(path).items() if not _is_finite(value)]
    return Result(f"not finite: {', '.join(wrong[:3])}" if wrong else "", 1)


def fill(bed: Testbed, path: Path, rng: random.Random, number: int) -> Result:
    """Train on a disk that is too small: the run must end with one line, and resume when there is more room."""
    size = sum(file.stat().st_size for file in bed.reference.rglob("*"))
    with _small_disk(path, int(size * rng.uniform(0.5, 0.9))) as enlarge:
        run = path / "run"
        code = bed.wait(bed.train(run))
        if code != 1 or "the disk is full" not in bed.last_line(run):
            return Result(f"exit {code}: {bed.last_line(run)}")
        lost = _lost(bed, run)
        enlarge()
        result = bed.finish(run, lost)
    return result


@contextmanager
def _small_disk(path: Path, size: int) -> Iterator[Callable[[], None]]:
    """Mount a tmpfs and yield a function that enlarges it. Needs root."""
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


def row(bed: Testbed, kind: str, count: int, seed: int, jobs: int) -> dict[str, Any]:
    """Try a fault a number of times and return the row of the table."""
    fault, title, _ = FAULTS[kind]
    if kind in ("exports", "evaluations"):
        _ = bed.exported if kind == "exports" else bed.evaluated  # measured once, before the threads need it

    def attempt(number: int) -> Result:
        path = bed.folder / f"{kind}-{number}"
        result = fault(bed, path, random.Random(f"{seed} {bed.backend} {kind} {number}"), number)
        if result.problem:
            print(f"{bed.backend}, {title} {number + 1}: {result.problem}", file=sys.stderr)
        shutil.rmtree(path, ignore_errors=True)
        return result

    with ThreadPoolExecutor(jobs) as pool:
        results = list(pool.map(attempt, range(count)))
    survived, lost = sum(not result.problem for result in results), max(result.lost for result in results)
    key = {"backend": bed.backend, "fault": title, "seed": seed}
    return {**key, "survived": survived, "tried": count, "most_steps_lost": lost}


def rows(backend: str, counts: dict[str, int], seed: int, jobs: int, known: list[dict[str, Any]]) -> Iterator[Any]:
    """Yield the row of each fault on a backend; rows that are known already are not measured again."""
    with tempfile.TemporaryDirectory() as folder:
        bed = None
        for kind, count in counts.items():
            key = {"backend": backend, "fault": FAULTS[kind][1], "seed": seed, "tried": count}
            found = [one for one in known if key.items() <= one.items()]
            if count and not found:
                bed = bed or Testbed(Path(folder), backend)
                found = [row(bed, kind, count, seed, jobs)]
            yield from found


def main(arguments: list[str] | None = None) -> None:
    """Try every fault and print the table."""
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
    parser.add_argument("--seed", type=whole_number(0), default=0, help="seed of the random moments (default: 0)")
    parser.add_argument("--jobs", type=whole_number(1), default=2, metavar="N", help="trials at once (default: 2)")
    parser.add_argument(
        "--save", type=Path, metavar="FILE.json", help="save the rows; rows in the file are not measured again"
    )
    parser.add_argument("--poisoned", nargs=2, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
