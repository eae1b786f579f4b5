"""Training steps on a GPU: images/s, share of its peak arithmetic, and peak memory, on JAX and on torch.

  python -m benchmarks.gpu --presets paper-256,celeba64 --batches 16,64,256,512 --out gpu.json

`fit` trains the recipe's model, both phases, on one batch of drawn faces, and needs no TensorFlow. For every precision
the share is of the device's dense peak in bfloat16 tensor arithmetic (or of --peak TFLOPS), so rows are comparable.
If a batch does not fit, its row says so. Each configuration has a process of its own, because a library keeps the
memory that it has once allocated. On a CPU it runs too, without a share.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import record
from benchmarks.step import run_backend
from gamix_keras.cli.options import name_list, number_list, positive_number, whole_number
from gamix_keras.config import UserError, parse_assignments
from gamix_keras.config.presets import load_preset

# Dense bfloat16 tensor peak in TFLOP/s, from the vendor's data sheets, by part of the device's name.
PEAKS = {"H200": 989.0, "H100": 989.0, "A100": 312.0, "L40S": 362.0, "L4": 121.0, "3090": 71.0, "4090": 165.0}
ROUNDS, WARM_UP_STEPS = 5, 3
COLUMNS = {
    "preset": "preset",
    "backend": "backend",
    "precision": "precision",
    "batch": "batch",
    "images_per_second": "images/s",
    "utilisation": "of the peak",
    "memory_gib": "peak memory, GiB",
    "failed": "",
}


def peak_of(device: str, given: float | None) -> float | None:
    """Return the dense bfloat16 FLOP/s of a device.

    Args:
        device: The name of the device, which `PEAKS` may list.
        given: The peak in TFLOP/s, which goes before the list.

    Returns:
        The peak, or None if it is neither given nor listed.
    """
    listed = next((peak for name, peak in PEAKS.items() if name.lower() in device.lower()), None)
    peak = given or listed
    return None if peak is None else 1e12 * peak


def measure(task: dict[str, Any]) -> record.Row:
    """Train on one batch and return the row."""
    import keras

    from benchmarks.arithmetic import step_flops
    from benchmarks.loops import faces, fitting
    from gamix_keras import assembly

    keras.utils.set_random_seed(task["seed"])
    config = load_preset(task["preset"]).config.updated({**task["set"], "backend": keras.config.backend()})
    model, images = assembly.build_model(config), faces(config)
    fit = fitting(model, images)
    fit(WARM_UP_STEPS)
    steps = _steps(fit, task["seconds"] / ROUNDS)
    speeds = [steps * len(images) / _seconds(fit, steps) for _ in range(ROUNDS)]
    name, memory = device()
    return {"images_per_second": median(speeds), "device": name, "memory_gib": memory, "flops": step_flops(model)}


def _steps(fit: Callable[[int], Any], seconds: float) -> int:
    return max(1, round(seconds / (_seconds(fit, 2) / 2)))


def _seconds(fit: Callable[[int], Any], steps: int) -> float:
    start = time.perf_counter()
    fit(steps)
    return time.perf_counter() - start


def device() -> tuple[str, float | None]:
    """Return the name of the backend's device and its peak memory in GiB, or None if that is not known."""
    import keras

    if keras.config.backend() == "jax":
        import jax

        first = jax.devices()[0]
        taken = (first.memory_stats() or {}).get("peak_bytes_in_use")
        return first.device_kind, None if taken is None else taken / 2**30
    import torch

    if not torch.cuda.is_available():
        return "cpu", None
    return torch.cuda.get_device_name(), torch.cuda.max_memory_allocated() / 2**30


def work() -> None:
    """Read a task from standard input, and write its row to the file that the task names."""
    task = json.load(sys.stdin)
    try:
        row = measure(task)
    except Exception as error:
        if "memory" not in str(error).lower() and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        row = {"failed": "out of memory"}
    Path(task["out"]).write_text(json.dumps(row), encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = _parser()
    args = parser.parse_args(arguments)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    rows = []
    try:
        changes = parse_assignments(args.set)
        for preset in args.presets:
            load_preset(preset).config.updated(changes)
    except UserError as error:
        parser.error(str(error))
    print(record.table([], COLUMNS))
    for preset in args.presets:
        for backend in args.backends:
            for precision in args.precisions:
                for batch in args.batches:
                    values = {**changes, "training.batch_size": batch, "training.precision": precision}
                    task = {"preset": preset, "set": values, "seconds": args.seconds, "seed": args.seed}
                    row = {"preset": preset, "backend": backend, "precision": precision, "batch": batch}
                    row |= run_backend(backend, task, "benchmarks.gpu", "--worker")
                    rows.append(_with_share(row, args.peak))
                    print(record.table(rows[-1:], COLUMNS).splitlines()[-1], flush=True)
    record.save(args.out, "gpu", rows, args.seed)


def _with_share(row: record.Row, given: float | None) -> record.Row:
    peak = peak_of(row.get("device", ""), given)
    if peak is None or "failed" in row:
        return row
    return {**row, "utilisation": row["images_per_second"] * row["flops"] / peak}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    presets, precisions = ("paper-256", "celeba64"), ("float32", "mixed_bfloat16")
    add("--presets", metavar="NAME,...", type=name_list, default=presets, help=f"default: {','.join(presets)}")
    add("--backends", metavar="NAME,...", type=name_list, default=("jax", "torch"), help="default: jax,torch")
    add("--precisions", metavar="NAME,...", type=name_list, default=precisions, help=f"default: {','.join(precisions)}")
    add("--batches", metavar="N,...", type=number_list, default=(16, 64, 256, 512), help="default: 16,64,256,512")
    add("--seconds", metavar="S", type=positive_number, default=10.0, help="seconds for each row (default: 10)")
    add("--peak", metavar="TFLOPS", type=positive_number, help="dense bfloat16 peak of the device, if it is not listed")
    add("--set", metavar="KEY=VALUE", nargs="+", action="extend", default=[], help="change settings of the recipes")
    add("--seed", metavar="N", type=whole_number(0), default=0, help="seed of weights and noise (default: 0)")
    add("--out", metavar="FILE", help="also write JSON")
    return parser


if __name__ == "__main__":
    if "--worker" in sys.argv:
        work()
    else:
        main()
