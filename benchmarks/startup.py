"""Seconds until the package is imported, --help is printed, and a first step is done; and of Fréchet statistics.

  python -m benchmarks.startup --repeats 5 --out startup.json

Each measurement is a process of its own, started --repeats times; the table has the fastest and the median. `first
step` is the time from the start of `gamix-keras train --preset NAME` to the end of its first step. Its part `compiling`
is what the first step took longer than the second. The Fréchet statistics are the moments of 10,000 feature vectors of
length 1,280, compared with the matrix product that they need.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import record, workers
from gamix_keras.cli.environment import QUIET
from gamix_keras.cli.options import name_list, whole_number
from gamix_keras.config import BACKENDS, parse_assignments
from gamix_keras.config.presets import DEFAULT_PRESET, load_preset

SELF = "benchmarks.startup"
COMMANDS = {
    "the interpreter alone": ["-c", "pass"],
    "import gamix_keras": ["-c", "import gamix_keras"],
    "gamix-keras --help": ["-m", "gamix_keras", "--help"],
    "gamix-keras train --help": ["-m", "gamix_keras", "train", "--help"],
}
COLUMNS = {"what": "what", "fastest": "fastest, s", "median": "median, s"}
PARTS = ("importing", "preparing", "compiling", "a step")
FEATURES, LENGTH = 10_000, 1280


def process_seconds(command: list[str]) -> float:
    """Return the seconds that a Python process with these arguments takes."""
    environment, start = workers.environment(), time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - start


def first_step(backend: str, preset: str, changes: list[str]) -> dict[str, float]:
    """Return the seconds to the end of the first training step on a backend, and those of its parts."""
    environment = {**QUIET, **workers.environment(KERAS_BACKEND=backend)}
    with tempfile.TemporaryDirectory() as folder:
        given = ("--set", *changes) if changes else ()
        command = workers.command(SELF, "--begin", folder, str(time.time()), "--preset", preset, *given)
        subprocess.run(command, env=environment, check=True, stdout=2)
        return json.loads((Path(folder) / "answer.json").read_text(encoding="utf-8"))


def begin(folder: str, started: float, preset: str, changes: list[str]) -> None:
    """Train two steps as the command does, write when each part was done, and end the process."""
    import keras

    from gamix_keras.runs import Run, session

    times = [started, time.time()]
    config = load_preset(preset).config.updated({**parse_assignments(changes), "backend": os.environ["KERAS_BACKEND"]})
    prepared = session.prepare(Run.create(Path(folder) / "run", config, preset))
    times.append(time.time())

    class Clock(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            float(logs["loss"])  # waits for the step, which JAX has only queued
            times.append(time.time())
            if len(times) == 5:
                _write(Path(folder) / "answer.json", times)
                os._exit(0)

    data, model = prepared.data, prepared.model
    model.fit(data.training, steps_per_epoch=data.steps, callbacks=[Clock()], verbose=0)


def _write(file: Path, times: list[float]) -> None:
    importing, preparing, first, second = np.diff(times).tolist()
    parts = (importing, preparing, max(0.0, first - second), second)
    answer = {"first step": times[3] - times[0], **dict(zip(PARTS, parts, strict=True))}
    file.write_text(json.dumps(answer), encoding="utf-8")


def frechet_ratio(repeats: int, count: int = FEATURES, length: int = LENGTH) -> record.Row:
    """Return the seconds of the streaming moments of features, and of the matrix product that they need."""
    from gamix_keras.metrics import FeatureMoments
    from gamix_keras.metrics.feature_statistics import ROWS_TOGETHER

    features = np.random.default_rng(0).standard_normal((count, length), dtype="float32")

    def moments() -> None:
        statistics = FeatureMoments(length)
        for first in range(0, count, ROWS_TOGETHER):
            statistics.update(features[first : first + ROWS_TOGETHER])
        statistics.covariance()

    def product() -> None:
        wide = features.astype("float64")
        wide.T @ wide

    pairs = [(_seconds(moments), _seconds(product)) for _ in range(repeats)]
    mine, bare = (min(times) for times in zip(*pairs, strict=True))
    return {"what": f"moments of {count:,} x {length:,} features", "fastest": mine, "bare": bare, "ratio": mine / bare}


def _seconds(call: Any) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def summary(what: str, seconds: list[float]) -> record.Row:
    """Return the row of one measurement."""
    return {"what": what, "fastest": min(seconds), "median": median(seconds), "all": seconds}


def measure(args: argparse.Namespace) -> list[record.Row]:
    """Measure the commands, then the first steps."""
    found: dict[str, list[float]] = {}
    for _ in range(args.repeats):
        for what, command in COMMANDS.items():
            found.setdefault(what, []).append(process_seconds(command))
    for backend in args.backends:
        for _ in range(args.repeats):
            for part, seconds in first_step(backend, args.preset, args.set).items():
                found.setdefault(f"{args.preset} on {backend}: {part}", []).append(seconds)
    return [summary(what, seconds) for what, seconds in found.items()]


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    args = _parser().parse_args(arguments)
    if args.begin:
        folder, started = args.begin
        return begin(folder, float(started), args.preset, args.set)
    rows = measure(args)
    print(record.table(rows, COLUMNS))
    frechet = frechet_ratio(args.repeats)
    print(f"\n{frechet['what']}: {frechet['fastest']:.2f} s, {frechet['ratio']:.2f} times NumPy's own matrix product")
    record.save(args.out, "startup", [*rows, frechet], 0, settings={"preset": args.preset, "repeats": args.repeats})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {SELF}", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--preset", metavar="NAME", default=DEFAULT_PRESET, help=f"the recipe (default: {DEFAULT_PRESET})")
    add("--backends", metavar="NAME,...", type=name_list, default=BACKENDS, help="default: all three")
    add("--repeats", metavar="N", type=whole_number(1), default=3, help="processes for each measurement (default: 3)")
    add("--set", metavar="KEY=VALUE", nargs="+", action="extend", default=[], help="change settings of the recipe")
    add("--out", metavar="FILE", help="also write JSON")
    add("--begin", nargs=2, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
