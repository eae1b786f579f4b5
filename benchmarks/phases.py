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
import json
import os
import random
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from benchmarks import workers
from benchmarks.phase_bed import SIGNALS, Bed
from benchmarks.phase_clock import PHASES
from benchmarks.testbed import ONE_THREAD
from gamix_keras import files
from gamix_keras.cli.options import name_list, whole_number
from gamix_keras.config import BACKENDS


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
