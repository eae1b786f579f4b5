"""Images per second of whole training steps, compared with loops written by hand, pythae, and the arithmetic peak.

  python -m benchmarks.step --presets gamix,celeba64,paper-256 --seconds 60 --out step.json
  python -m benchmarks.step --presets paper-256 --set data.image_size=64 --batch 10 --seconds 0 --losses 50

Each backend has a process of its own, in which these loops take turns for several rounds: `fit` of the recipe's model;
the same networks trained by a loop written by hand with the backend's own means (tf.function, jax.jit, autograd); the
plain VAE; and on torch, if pythae is installed, its VAE with its own trainer, with our networks and with its own. All
train on one batch of drawn faces in memory. `fit` is timed from its first step on, because what comes before happens
once in a training. `of by hand` is the median ratio over the rounds. `of the peak` is the arithmetic of the step over
the fastest convolution of that precision that any backend reached on this machine.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import record, workers
from gamix_keras.cli.environment import QUIET
from gamix_keras.cli.options import name_list, not_negative_number, whole_number
from gamix_keras.config import BACKENDS, UserError, parse_assignments
from gamix_keras.config.presets import load_preset

COLUMNS = {
    "preset": "preset",
    "backend": "backend",
    "precision": "precision",
    "jit": "jit",
    "batch": "batch",
    "loop": "loop",
    "images_per_second": "images/s",
    "of_raw": "of by hand",
    "of_peak": "of the peak",
}
LOSSES = {"preset": "preset", "backend": "backend", "precision": "precision", "steps": "steps"}
LOSSES |= {"worst": "largest relative difference of a step's loss from float32's"}


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.losses and set(args.precisions) <= {"float32"}:
        parser.error("--losses: expected a precision other than float32 in --precisions, got none")
    if not args.seconds and not args.losses:
        parser.error("--seconds: expected a number above 0 if there is no --losses, got 0")
    try:
        changes = parse_assignments(args.set)
        changes |= {"training.batch_size": args.batch} if args.batch else {}
        for preset in args.presets:
            load_preset(preset).config.updated(changes)
    except UserError as error:
        parser.error(str(error))
    names = ("presets", "precisions", "jit", "seconds", "losses", "seed")
    task = {**{name: getattr(args, name) for name in names}, "set": changes}
    answers = {backend: run_backend(backend, task) for backend in args.backends}
    timed = next(iter(answers.values()))["peaks"]
    peaks = {name: max(found["peaks"][name] for found in answers.values()) for name in timed}
    rows = [_with_share(row, peaks) for found in answers.values() for row in found["rows"]]
    losses = [row for found in answers.values() for row in found["losses"]]
    if rows:
        print(record.table(rows, COLUMNS))
        speeds = (f"{name} {peak / 1e9:,.0f} GFLOP/s" for name, peak in peaks.items())
        print("\nfastest convolution: " + ", ".join(speeds))
    if rows and losses:
        print()
    if losses:
        print(record.table(losses, LOSSES))
    record.save(args.out, "step", rows, args.seed, peaks=peaks, losses=losses, settings=task)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.step",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--presets", metavar="NAME,...", type=name_list, default=("gamix",), help="default: gamix")
    add("--backends", metavar="NAME,...", type=name_list, default=BACKENDS, help="default: all three")
    precisions = ("float32", "mixed_bfloat16")
    add("--precisions", metavar="NAME,...", type=name_list, default=precisions, help=f"default: {','.join(precisions)}")
    choices = ("both", "true", "false")
    add("--jit", choices=choices, default="both", help="both (default): whatever suits the backend")
    add("--batch", metavar="N", type=whole_number(2), help="default: the recipe's")
    seconds = "seconds for each loop (default: 20; 0 times nothing)"
    add("--seconds", metavar="S", type=not_negative_number, default=20.0, help=seconds)
    add(
        "--losses",
        metavar="N",
        type=whole_number(0),
        default=0,
        help="steps over which precisions are compared (default: 0)",
    )
    add("--set", metavar="KEY=VALUE", nargs="+", action="extend", default=[], help="change settings of the recipes")
    add("--seed", metavar="N", type=whole_number(0), default=0, help="seed of weights and noise (default: 0)")
    add("--out", metavar="FILE", help="also write JSON")
    return parser


def run_backend(backend: str, task: dict[str, Any], worker: str = "benchmarks.loops", *options: str) -> dict[str, Any]:
    """Run a task on a backend in a process of its own, and return what the worker wrote.

    Raises:
        subprocess.CalledProcessError: If the worker fails.
    """
    environment = {**QUIET, **workers.environment(KERAS_BACKEND=backend)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "answer.json"
        given = json.dumps({**task, "out": str(file)})
        command = workers.command(worker, *options)
        subprocess.run(command, input=given, text=True, env=environment, check=True, stdout=2)
        return json.loads(file.read_text(encoding="utf-8"))


def _with_share(row: record.Row, peaks: dict[str, float]) -> record.Row:
    if not row.get("flops"):
        return row
    return {**row, "of_peak": row["images_per_second"] * row["flops"] / peaks[row["precision"]]}


if __name__ == "__main__":
    main()
