"""Quality against minutes of training: PSNR and Fréchet distance of several networks.

  python -m benchmarks.quality --data folder:PATH --minutes 20 --out quality.json
  python -m benchmarks.quality --networks half,light --set data.count=15000

The networks are trained from the recipe one after the other, each for the given minutes of training (a trial epoch
tells how many epochs those are). Every epoch's checkpoint is then measured on held-out images: PSNR from the posterior
mean, and the Fréchet distance of the reconstructions to the images (EfficientNet-Lite0 features). Minutes are wall
time, for which the machine should be idle, or CPU time with `--clock cpu`. The file is rewritten after each network.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import record
from gamix_keras.cli import environment
from gamix_keras.cli.options import name_list, positive_number, whole_number
from gamix_keras.config import BACKENDS, Config, UserError, parse_assignments
from gamix_keras.config.presets import load_preset
from gamix_keras.config.protocol import DEFAULT_COUNT

NETWORKS = {
    "light": {},
    "half": {"model.width": 16, "model.max_width": 128},
    "wide": {"model.width": 48, "model.max_width": 384},
    "resnet": {"model.network": "resnet", "model.width": 16, "model.encoder_blocks": 1},
    "transformer": {"model.network": "transformer", "model.width": 192},
}
DEFAULT_NETWORKS = ("light", "half", "resnet")
ALL_CHECKPOINTS = 1_000_000
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
SETTINGS = ("preset", "set", "clock", "minutes", "count")
COLUMNS = {
    "network": "network",
    "parameters": "parameters",
    "epoch": "epoch",
    "minutes": "minutes",
    "psnr": "PSNR, dB",
    "frechet": "FD of reconstructions",
}


def curve(
    name: str, config: Config, folder: Path, minutes: float, count: int, clock: str = "wall"
) -> Iterator[record.Row]:
    """Train a network for some minutes, and yield a row for each of its epochs.

    Args:
        name: The name of the network.
        config: Its configuration; the number of epochs is replaced.
        folder: The folder of the runs.
        minutes: The approximate minutes of training.
        count: The number of held-out images to measure on, at most; they are drawn with the configuration's seed.
        clock: `wall` or `cpu`: which time the minutes are of.
    """
    from gamix_keras import assembly
    from gamix_keras.evaluation import floor
    from gamix_keras.runs import Run

    # The trial epoch is a run of its own, because schedules depend on the number of epochs.
    trial = Run.create(folder / "trial", config.updated({"training.epochs": 1}))
    seconds = _train(trial, clock) * trial.history()[0]["seconds"]
    values = {"training.epochs": max(1, round(60 * minutes / seconds)), "training.keep_checkpoints": ALL_CHECKPOINTS}
    run = Run.create(folder / "run", config.updated(values))
    pace = _train(run, clock)
    held_out, _ = floor.split(assembly.open_source(config, "validation"), count, config.seed)
    rows = {int(row["epoch"]): row for row in run.history()}
    parameters = sum(assembly.parameter_counts(config).values())
    for epoch, file in _checkpoints(run):
        spent = pace * sum(row["seconds"] for number, row in rows.items() if number <= epoch) / 60
        row = {"network": name, "parameters": parameters, "epoch": epoch, "minutes": spent}
        yield row | _quality(file, held_out)


def _train(run: Any, clock: str) -> float:
    """Train a run and return how many seconds of the clock went by in a second of wall time."""
    from gamix_keras.runs import session

    marks = [(time.perf_counter(), CLOCKS[clock]())]
    session.train(run, verbose=0)
    marks.append((time.perf_counter(), CLOCKS[clock]()))
    return (marks[1][1] - marks[0][1]) / (marks[1][0] - marks[0][0])


def _checkpoints(run: Any) -> list[tuple[int, Path]]:
    from gamix_keras.runs import checkpoints

    return [(found.epoch, found.file) for found in reversed(checkpoints.listed(run.checkpoints)) if not found.step]


def _quality(file: Path, held_out: Any) -> record.Row:
    import keras

    from gamix_keras import evaluation, metrics
    from gamix_keras.evaluation import measures
    from gamix_keras.models import compiled

    model = keras.saving.load_model(file, compile=False)
    model.adopt_average()
    extractor = metrics.feature_extractor(evaluation.DEFAULT_EXTRACTOR, batch_size=4)
    real = metrics.cached_statistics(extractor, lambda: measures.read(held_out), evaluation.cache_folder())
    one_pass = measures.OnePass(compiled.CompiledVAE(model), held_out)
    made = metrics.extract_statistics(extractor, one_pass)
    distance = metrics.frechet_distance_of(real.moments, made.moments)
    return {"psnr": float(np.mean(one_pass.scores()["psnr"])), "frechet": float(distance)}


def main(arguments: list[str] | None = None) -> None:
    """Train, measure and print."""
    parser = _parser()
    args = parser.parse_args(arguments)
    try:
        configs = {name: _config(name, args) for name in args.networks}
    except UserError as error:
        parser.error(str(error))
    environment.prepare(args.backend)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, config in configs.items():
            rows += curve(name, config, Path(folder) / name, args.minutes, args.count, args.clock)
            record.save(args.out, "quality", rows, args.seed, settings={key: getattr(args, key) for key in SETTINGS})
    print(record.table(rows, COLUMNS))


def _config(name: str, args: argparse.Namespace) -> Config:
    if name not in NETWORKS:
        raise UserError(f"--networks: expected names of {', '.join(NETWORKS)}, got {name}")
    values = {"backend": args.backend, "seed": args.seed, "training.sample_every": 0, **NETWORKS[name]}
    values |= {"data.source": args.data} if args.data else {}
    return load_preset(args.preset).config.updated({**values, **parse_assignments(args.set)})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add, backend = parser.add_argument, os.environ.get("KERAS_BACKEND", BACKENDS[0])
    add(
        "--networks",
        metavar="NAME,...",
        type=name_list,
        default=DEFAULT_NETWORKS,
        help=f"names from {', '.join(NETWORKS)}",
    )
    add("--preset", metavar="NAME", default="celeba64-light", help="the recipe (default: celeba64-light)")
    add("--data", metavar="SOURCE", help="default: the recipe's")
    add("--minutes", metavar="M", type=positive_number, default=20.0, help="minutes of training for each (default: 20)")
    add(
        "--count",
        metavar="N",
        type=whole_number(2),
        default=DEFAULT_COUNT,
        help="held-out images, at most (default: %(default)s)",
    )
    add("--clock", choices=CLOCKS, default="wall", help="wall (default) or cpu")
    add("--backend", choices=BACKENDS, default=backend, help=f"default: {backend}")
    add("--set", metavar="KEY=VALUE", nargs="+", action="extend", default=[], help="change settings of all")
    add("--seed", metavar="N", type=whole_number(0), default=0, help="default: 0")
    add("--out", metavar="FILE", help="also write JSON")
    return parser


if __name__ == "__main__":
    main()
