"""All that a short session on a GPU is for, in one call: speed, a few minutes of training, and pictures.

  python -m benchmarks.gpu_session --data folder:CELEBA --out gpu
  python -m benchmarks.gpu_session --data faces --out build/tiny --tiny

One after the other: `benchmarks.gpu` on paper-256 in bfloat16, beside its targets; `train --minutes` of celeba64, whose
networks are residual, with the perceptual term and the projected critic that judges samples too; `benchmarks.pictures`
of that run. It needs no internet: the weights of EfficientNet-Lite0 and O-Net come with the installation. All that it
writes is below --out: gpu.json, run/, pictures/, logs/ and summary.md. A part that fails is named, and the others go
on. After --limit minutes the part that runs gets SIGTERM, upon which a training writes a checkpoint. --tiny does all
of it with small networks, on a CPU in a minute.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import record, workers
from gamix_keras import study
from gamix_keras.cli.options import number_list, positive_number
from gamix_keras.config import UserError, Value, check_read, parse_assignments, source_words
from gamix_keras.config.presets import load_preset

MEASURED, TRAINED = "paper-256", "celeba64"
TARGETS = {"utilisation": 0.4, "images_per_second": 465.0}
# The recipe of pictures for residual networks; the terms themselves are those of the study `ablation`.
RECIPE: dict[str, Value] = {
    "loss.mae_weight": 40000.0,
    "loss.moments": "total",
    "loss.momentum": 0.99,
    "training.schedule": "one_cycle",
    "training.precision": "mixed_bfloat16",
    "training.sample_every": 10,
}
TERMS = "projected-samples"
_SMALL = {"data.image_size": 16, "model.stages": 2, "model.width": 4, "model.latent_dim": 3, "model.critic_width": 4}
TINY_MEASURED: dict[str, Value] = _SMALL
TINY_TRAINED: dict[str, Value] = {**_SMALL, "data.image_size": 32, "data.count": 48, "training.batch_size": 8}
GRACE_SECONDS = 60


def settings(asked: Mapping[str, Value]) -> dict[str, Value]:
    """Return the settings of the training, beside those of its preset: recipe, then terms, then what is asked for.

    Raises:
        UserError: If what is asked for is wrong, or does nothing.
    """
    base, common = load_preset(TRAINED).config, {**RECIPE, **asked}
    (row,) = study.select_rows("ablation", wanted=(TERMS,), base=base, common=common)
    found = {**common, **row.changes}
    check_read(base.updated(found), asked)
    return found


def parts(args: argparse.Namespace) -> dict[str, list[str]]:
    """Return the command of each part by its name, in their order."""
    out, tiny = Path(args.out), args.tiny
    speed = ["--presets", MEASURED, "--backends", args.backend, "--precisions", "mixed_bfloat16"]
    speed += ["--batches", ",".join(map(str, (8,) if tiny else args.batches)), "--out", str(out / "gpu.json")]
    speed += ["--seconds", "0.1", "--set", *_assigned(TINY_MEASURED)] if tiny else []
    values = settings({**(TINY_TRAINED if tiny else {}), **parse_assignments(args.set)})
    training = ["train", "--preset", TRAINED, "--data", args.data, "--backend", args.backend]
    training += ["--minutes", str(args.minutes), "--out", str(out / "run"), "--set", *_assigned(values)]
    pictures = [str(out / "run"), "--out", str(out / "pictures"), *(["--count", "20"] if tiny else [])]
    return {
        "speed": workers.command("benchmarks.gpu", *speed),
        "training": workers.command("gamix_keras", *training),
        "pictures": workers.command("benchmarks.pictures", *pictures),
    }


def _assigned(values: Mapping[str, Value]) -> list[str]:
    return [f"{key}={'none' if value is None else value}" for key, value in values.items()]


def run(command: list[str], log: Path, seconds: float, backend: str) -> dict[str, Any]:
    """Run a part, its output to a file, and return its exit code and seconds; after so many it is told to end."""
    started = time.monotonic()
    variables = workers.environment(KERAS_BACKEND=backend, XLA_PYTHON_CLIENT_PREALLOCATE="false")
    with open(log, "wb") as file, subprocess.Popen(command, stdout=file, stderr=file, env=variables) as process:
        try:
            code = process.wait(max(1.0, seconds))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            try:
                code = process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
    return {"code": code, "seconds": round(time.monotonic() - started, 1)}


def summary(out: Path, done: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what came out, as Markdown: speed beside its targets, the parts, the table of the pictures."""
    lines = [f"| {MEASURED}, mixed_bfloat16 | images/s | share of the peak |", "| --- | ---: | ---: |"]
    lines += [f"| batch {row['batch']}, {row['backend']} | {_speed(row)} |" for row in _rows(out / "gpu.json")]
    lines += [f"| target | {TARGETS['images_per_second']:g} | {TARGETS['utilisation']:.0%} |", ""]
    for name, part in done.items():
        ended = "done" if part["code"] == 0 else f"ended with {part['code']}, see logs/{name}.txt"
        lines.append(f"- {name}: {ended}, {part['seconds']:.0f} s")
    table = out / "pictures" / "table.md"
    return "\n".join([*lines, "", *([table.read_text(encoding="utf-8")] if table.is_file() else [])])


def _rows(file: Path) -> list[record.Row]:
    return json.loads(file.read_text(encoding="utf-8"))["rows"] if file.is_file() else []


def _speed(row: record.Row) -> str:
    if "failed" in row:
        return f"{row['failed']} | "
    share = row.get("utilisation")
    return f"{row['images_per_second']:,.0f} | {'unknown' if share is None else f'{share:.0%}'}"


def main(arguments: list[str] | None = None) -> None:
    """Run the parts one after the other, and print the summary."""
    parser = _parser()
    args = parser.parse_args(arguments)
    try:
        commands = parts(args)
    except UserError as error:
        parser.error(str(error))
    out, end, done = Path(args.out), time.monotonic() + 60 * args.limit, {}
    if (out / "run").exists():
        parser.error(f"--out: expected a new directory, got {out}, which has a run")
    (out / "logs").mkdir(parents=True, exist_ok=True)
    for name, command in commands.items():
        print(f"{name}: {' '.join(command)}", flush=True)
        done[name] = run(command, out / "logs" / f"{name}.txt", end - time.monotonic(), args.backend)
        (out / "summary.md").write_text(summary(out, done) + "\n", encoding="utf-8")
    print(summary(out, done))
    if failed := [name for name, part in done.items() if part["code"]]:
        sys.exit(f"failed: {', '.join(failed)}; see {out / 'logs'}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu_session",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    backend = "jax" if find_spec("jax") else "torch"
    add("--data", metavar="SOURCE", required=True, help=source_words())
    add("--out", metavar="DIR", required=True, help="directory of all that is written")
    add("--backend", choices=("jax", "torch"), default=backend, help=f"default: {backend}")
    add("--batches", metavar="N,...", type=number_list, default=(64, 128), help="of the speed (default: 64,128)")
    add("--minutes", metavar="M", type=positive_number, default=5.0, help="minutes of training (default: 5)")
    add("--limit", metavar="M", type=positive_number, default=9.5, help="minutes of it all (default: 9.5)")
    add("--set", metavar="KEY=VALUE", nargs="+", action="extend", default=[], help="change settings of the training")
    add("--tiny", action="store_true", help="small networks: a trial of this script")
    return parser


if __name__ == "__main__":
    main()
