"""The cost of the guard against non-finite numbers, as a share of a training step, on each backend.

  python -m benchmarks.guard
  python -m benchmarks.guard --backends torch --nets small --seconds 60 --out guard.json

For each backend and net there is one process, in which two equal models take turns of a few steps, one with the guard
and one without: a busy moment of the machine slows both. Each pair of turns gives a ratio; the table has their median.
The batches of 16 are smaller than usual, because the guard's cost is in the weights rather than the images. On a busy
machine without a GPU, `--clock cpu` counts the CPU seconds of the process.
"""

import argparse
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import record, workers
from gamix_keras.cli.options import name_list, positive_number
from gamix_keras.config import BACKENDS, Config
from gamix_keras.config.presets import load_preset

if TYPE_CHECKING:
    import keras

BATCH = 16
SMALL = {"data.image_size": 16, "model.stages": 2, "model.width": 8, "model.latent_dim": 8, "model.critic_width": 8}
NETS: dict[str, Callable[[], Config]] = {
    "small": lambda: Config().updated(SMALL),
    "celeba64-light": lambda: load_preset("celeba64-light").config,
}
TURN_SECONDS = 0.5
Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}
_SELF = "benchmarks.guard"


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, and save."""
    args = _parser().parse_args(arguments)
    if args.worker:
        config = NETS[args.worker]().updated({"training.batch_size": BATCH})
        return print(json.dumps(measure(config, args.seconds, clock=CLOCKS[args.clock])))
    print("| backend | net | step, ms | with the guard, ms | cost, % |\n| --- | --- | --- | --- | --- |")
    rows = []
    for backend in args.backends:
        for net in args.nets:
            rows.append({"backend": backend, "net": net, **_elsewhere(backend, net, args.seconds, args.clock)})
            print(row_text(rows[-1]), flush=True)
    record.save(args.out, "guard", rows, seed=0, batch_size=BATCH, clock=args.clock)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {_SELF}", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backends", type=name_list, default=BACKENDS, help="default: all three")
    parser.add_argument(
        "--nets", type=name_list, default=tuple(NETS), help=f"names from {', '.join(NETS)} (default: all)"
    )
    parser.add_argument("--seconds", type=positive_number, default=20.0, help="seconds for each row (default: 20)")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="wall (default) or cpu")
    parser.add_argument("--out", metavar="FILE.json", help="also write JSON")
    parser.add_argument("--worker", choices=NETS, help=argparse.SUPPRESS)
    return parser


def row_text(row: dict[str, Any]) -> str:
    """Return a row of the Markdown table."""
    plain, guarded, cost = row["plain_ms"], row["guarded_ms"], 100 * (row["ratio"] - 1)
    return f"| {row['backend']} | {row['net']} | {plain:.2f} | {guarded:.2f} | {cost:+.1f} |"


def _elsewhere(backend: str, net: str, seconds: float, clock: str) -> dict[str, Any]:
    command = workers.command(_SELF, "--worker", net, "--seconds", str(seconds), "--clock", clock)
    environment = workers.environment(KERAS_BACKEND=backend, TF_CPP_MIN_LOG_LEVEL="2")
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(
    config: Config, seconds: float, turn_seconds: float = TURN_SECONDS, clock: Clock = time.perf_counter
) -> dict[str, Any]:
    """Time steps with and without the guard, in turns.

    Args:
        config: The model's configuration; it trains on noise.
        seconds: The time of all turns together, after both steps are compiled.
        turn_seconds: The approximate time of one turn.
        clock: A function that returns seconds.

    Returns:
        `plain_ms` and `guarded_ms`, the median milliseconds of a step; `ratio`, their median ratio over pairs of
        turns; `pairs`, the number of pairs; `steps`, the number of steps in a turn.
    """
    plain, guarded = trainer(config, False, clock), trainer(config, True, clock)
    for train in (plain, guarded):
        train(2)  # compiles
    steps = max(2, round(turn_seconds / plain(2)))
    pairs = list(_turns(plain, guarded, steps, seconds))
    milliseconds = {
        "plain_ms": 1e3 * median(without for without, _ in pairs),
        "guarded_ms": 1e3 * median(with_guard for _, with_guard in pairs),
    }
    ratio = median(with_guard / without for without, with_guard in pairs)
    return {**milliseconds, "ratio": ratio, "pairs": len(pairs), "steps": steps}


def _turns(
    plain: Callable[[int], float], guarded: Callable[[int], float], steps: int, seconds: float
) -> Iterator[tuple[float, float]]:
    """Yield the seconds of a step without and with the guard; the order of the two alternates."""
    end, number = time.perf_counter() + seconds, 0
    while number < 2 or time.perf_counter() < end:
        order = (plain, guarded) if number % 2 else (guarded, plain)
        taken = {train: train(steps) for train in order}
        yield taken[plain], taken[guarded]
        number += 1


def trainer(config: Config, with_guard: bool, clock: Clock) -> Callable[[int], float]:
    """Return a function that trains a model for a number of steps and returns the seconds of one step."""
    import keras

    from gamix_keras import assembly
    from gamix_keras.callbacks import NumericGuard

    model = assembly.build_model(config)
    shape = (config.training.batch_size, *model.image_shape)
    batch = keras.ops.convert_to_tensor(np.random.default_rng(0).uniform(-1, 1, shape).astype("float32"))

    def train(steps: int) -> float:
        epoch = _timed(clock)
        callbacks = [epoch, NumericGuard()] if with_guard else [epoch]
        model.fit(_same(batch), steps_per_epoch=steps, callbacks=callbacks, shuffle=False, verbose=0)
        return epoch.seconds / steps

    return train


def _same(batch: Any) -> Iterator[tuple[Any]]:
    while True:  # Keras takes a generator
        yield (batch,)


def _timed(clock: Clock) -> "keras.callbacks.Callback":
    """Return a callback that times an epoch."""
    import keras

    class Timed(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.start = clock()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.seconds = clock() - self.start

    return Timed()


if __name__ == "__main__":
    main()
