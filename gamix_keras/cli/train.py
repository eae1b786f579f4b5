"""Train a model; with no arguments, the recipe faces-quick on the embedded faces.

  gamix-keras train
  gamix-keras train --preset celeba64-light --data folder:PATH --out runs/mine
  gamix-keras train --resume --out runs/mine --set training.epochs=40
  gamix-keras train --minutes 60

`gamix-keras presets NAME` lists the keys for --set.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gamix_keras import runs
from gamix_keras.cli import environment
from gamix_keras.cli.options import positive_number, whole_number
from gamix_keras.config import (
    BACKENDS,
    PRECISIONS,
    Config,
    UserError,
    Value,
    check_read,
    parse_assignments,
    source_words,
)
from gamix_keras.config.presets import DEFAULT_PRESET, load_preset
from gamix_keras.distributed import replicas
from gamix_keras.files import DiskFull
from gamix_keras.interrupts import Stopped
from gamix_keras.runs import lookup

if TYPE_CHECKING:
    from gamix_keras.runs.session import Session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--preset", metavar="NAME", help=f"the recipe (default: {DEFAULT_PRESET})")
    parser.add_argument("--data", metavar="SOURCE", help=source_words())
    parser.add_argument("--out", metavar="RUN", help="directory of the run (default: runs/<preset>-<n>)")
    parser.add_argument("--backend", metavar="NAME", help=", ".join(BACKENDS))
    parser.add_argument("--precision", metavar="NAME", help=", ".join(PRECISIONS))
    parser.add_argument(
        "--devices", metavar="N", type=whole_number(1), help="devices that share each batch (default: 1)"
    )
    parser.add_argument("--set", metavar="KEY=VALUE", nargs="+", action="extend", default=[], help="change settings")
    parser.add_argument("--resume", action="store_true", help="go on with a finished or interrupted run")
    parser.add_argument("--restart", metavar="RUN", help="train a run's configuration anew, in a directory of its own")
    parser.add_argument(
        "--minutes", metavar="M", type=positive_number, help="train for about M minutes: a trial sets training.epochs"
    )
    parser.add_argument("--verbose", action="store_true", help="show every metric of each epoch")
    parser.add_argument("--dry-run", action="store_true", help="print the resolved configuration and stop")


def run(args: argparse.Namespace) -> None:
    """Resolve the configuration, then print it or train."""
    backend = _chosen_backend(args)
    if replicas.is_worker(backend):
        return _work(backend)
    resolved = _resumed_run(args) if args.resume and not args.restart else _new_run(args)
    environment.prepare(resolved.config.backend)
    if args.dry_run:
        _print_plan(resolved.config)
    else:
        _train(resolved, "all" if args.verbose else "auto")


def _chosen_backend(args: argparse.Namespace) -> str:
    """Return the backend that was named, else that of the run that goes on, if it is here, else the default."""
    named, known = _overrides(args).get("backend"), args.out if args.resume else args.restart
    if named is None and known and (Path(known) / "config.json").exists():
        return runs.Run.open(known).config.backend
    return named or Config().backend


def _work(backend: str) -> None:
    """Train as a worker: the lead process sends all that is needed but the backend."""
    environment.prepare(backend)
    from gamix_keras.runs import processes

    processes.work()


def _new_run(args: argparse.Namespace) -> runs.Run:
    if args.restart:
        return _restarted_run(args)
    preset = load_preset(args.preset or DEFAULT_PRESET)
    config = _timed(preset.config.updated(_overrides(args)), args)
    check_read(config, _overrides(args))
    return runs.Run.create(args.out or runs.new_path(preset.name), config, preset.name)


def _restarted_run(args: argparse.Namespace) -> runs.Run:
    if args.resume or args.preset:
        raise UserError("--restart: expected neither --resume nor --preset with it, got one of them")
    started = lookup.open_run(args.restart, "--restart")
    config = _timed(started.config.updated(_overrides(args)), args)
    check_read(config, _overrides(args))
    path = args.out or runs.new_path(started.preset or started.path.resolve().name)
    return runs.Run.create(path, config, started.preset)


def _timed(config: Config, args: argparse.Namespace) -> Config:
    """Return the configuration with as many epochs as fit into the minutes, if any were given."""
    if args.minutes is None:
        return config
    if "training.epochs" in _overrides(args):
        raise UserError("--minutes: expected no training.epochs with it, which it sets, got both")
    environment.prepare(config.backend)
    from gamix_keras.runs import duration

    epochs = duration.epochs_in(args.minutes, config)
    print(f"about {args.minutes:g} minutes: training.epochs={epochs}")
    return config.updated({"training.epochs": epochs})


def _resumed_run(args: argparse.Namespace) -> runs.Run:
    if args.minutes is not None:
        raise UserError("--minutes: expected a new run, got --resume, which goes on to training.epochs")
    path = args.out or runs.newest_path(args.preset or DEFAULT_PRESET)
    previous = runs.Run.open(path)
    if args.preset and args.preset != previous.preset:
        raise UserError(f"--preset: expected {previous.preset}, which {path} was started with, got {args.preset}")
    changed = previous.changed(_overrides(args))
    check_read(changed.config, _overrides(args))
    return changed


def _overrides(args: argparse.Namespace) -> dict[str, Value]:
    """Return what the options say, by key; an option of its own wins over --set, and both over KERAS_BACKEND."""
    values = {"backend": environment.wished_backend(), **parse_assignments(args.set)}
    named = {"backend": args.backend, "data.source": args.data, "training.precision": args.precision}
    named |= {"training.devices": args.devices}
    values.update({key: value for key, value in named.items() if value is not None})
    return {key: value for key, value in values.items() if key != "backend" or value is not None}


def _print_plan(config: Config) -> None:
    from gamix_keras import assembly

    print(json.dumps(config.to_dict(), indent=2))
    counts = assembly.parameter_counts(config)
    print("parameters: " + ", ".join(f"{name} {count:,}" for name, count in counts.items()))


def _train(run: runs.Run, verbose: str) -> None:
    from gamix_keras.runs import processes, session

    with processes.started(run.config.training.devices):
        prepared = session.prepare(run)
        if prepared is None:
            print(f"{run.path}: nothing left to train; --set training.epochs=N goes on")
        else:
            _announce(prepared)
            _fit(prepared, verbose)
    outcome = session.outcome(run)
    if "val_psnr" in outcome.row:
        print(f"held-out PSNR: {outcome.row['val_psnr']:.2f} dB after epoch {outcome.row['epoch']}")
    print(f"picture: {outcome.picture} (originals, reconstructions, draws)")


def _announce(prepared: "Session") -> None:
    train, held_out = prepared.data.sources
    print(f"run: {prepared.run.path}, {len(train):,} training and {len(held_out):,} held-out images")


def _fit(prepared: "Session", verbose: str) -> None:
    from gamix_keras.runs import session

    try:
        session.fit(prepared, verbose)
    except Stopped as stop:
        print(f"gamix-keras: {stop} after {_progress(prepared.run)}", file=sys.stderr)
        raise SystemExit(128 + stop.signal_number) from None
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted after {_progress(prepared.run)}") from None
    except DiskFull as error:
        raise DiskFull(f"{error}; the run is safe up to {_progress(prepared.run)}") from None


def _progress(run: runs.Run) -> str:
    """Return what is safe on the disk, and how to go on from there."""
    epoch, step = run.latest_checkpoint().progress
    done = f"{epoch} whole epochs" + (f" and {step} steps" if step else "")
    if run.has_second_stage():
        done += f" and {run.second_stage.latest_checkpoint().epoch} of the second stage"
    return f"{done}; `gamix-keras train --resume --out {run.path}` goes on"
