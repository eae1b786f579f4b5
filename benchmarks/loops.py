"""The training loops that `benchmarks.step` compares on one backend: in one process they take turns."""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from benchmarks.arithmetic import convolution_peak, step_flops
from benchmarks.objective import objective
from benchmarks.peers import CELEBA_SHAPE, has_pythae, pythae_loop
from benchmarks.record import ROUNDS, Call, Row, against, rates
from gamix_keras import assembly
from gamix_keras.cli.environment import keep_freed_memory
from gamix_keras.config import Config
from gamix_keras.config.presets import load_preset
from gamix_keras.data import batches, open_source
from gamix_keras.data.tensorflow_images import import_tensorflow

DTYPES = {"float32": "float32", "mixed_bfloat16": "bfloat16", "mixed_float16": "float16"}
JITS = {"tensorflow": ("false", "true"), "jax": ("true",), "torch": ("false",)}
TURNS = 2  # calls of a loop in each round


class Loop(NamedTuple):
    """A way to train.

    Attributes:
        row: What the loop is: preset, precision, compilation, batch size, name.
        run: A function that trains a number of steps and returns when the last one is done.
        flops: The floating-point operations of a step, per image.
        reference: The title of the loop written by hand to compare with, if any.
        steps: The number of steps in every call, if it is fixed.
        timed: Whether `run` returns the seconds to count. If not, the whole call counts.
    """

    row: Row
    run: Callable[[int], Any]
    flops: int | None = None
    reference: str | None = None
    steps: int | None = None
    timed: bool = False


def faces(config: Config) -> np.ndarray:
    """Return a batch of drawn faces in [-1, 1]."""
    size, part = config.training.batch_size, config.data
    source = open_source("faces", image_size=part.image_shape[:2], channels=part.channels, count=max(2, size))
    return (source.load(np.arange(size)) / 127.5 - 1.0).astype("float32")


class StepsTimer(keras.callbacks.Callback):
    """The seconds of a call of `fit` from its first step on: what comes before happens once in a training."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Reset the timer."""
        self.start = None

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the timer at the first step."""
        self.start = self.start or time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Stop the timer at the last step, which is done when its logs can be read."""
        float((logs or {})["loss"])
        self.seconds = time.perf_counter() - self.start


def fitting(model: keras.Model, images: np.ndarray) -> Callable[[int], float]:
    """Return a function that trains a model by `fit` on one repeated batch and returns the seconds of the steps."""

    def fit(steps: int) -> float:
        timer = StepsTimer()
        model.fit(_repeated(images, steps), steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[timer])
        return timer.seconds

    return fit


def _repeated(images: np.ndarray, steps: int) -> Any:
    if keras.config.backend() != "tensorflow":
        return ((images,) for _ in range(steps))
    return import_tensorflow().data.Dataset.from_tensors(images).repeat(steps).prefetch(1)


def training_loops(preset: str, changes: dict[str, Any], precisions: list[str], jits: list[str]) -> Iterator[Loop]:
    """Yield all loops but pythae's, each with a model of its own."""
    for precision in precisions:
        for jit in jits:
            config = load_preset(preset).config.updated(
                {**changes, "training.precision": precision, "training.jit": jit, "backend": keras.config.backend()}
            )
            row = {"preset": preset, "precision": precision, "jit": jit, "batch": config.training.batch_size}
            yield from _of(config, row)


def _of(config: Config, row: Row) -> Iterator[Loop]:
    images, numbers, raw = faces(config), objective(config), None
    if numbers is not None:
        raw = _title({**row, "loop": "by hand"})
        loop = import_module(f"benchmarks.raw_{config.backend}").RawLoop
        by_hand = loop(assembly.build_model(config), numbers, config.training.jit == "true")
        yield Loop({**row, "loop": "by hand"}, lambda steps: by_hand.run(images, steps))
    model = assembly.build_model(config)
    yield Loop({**row, "loop": "fit"}, fitting(model, images), step_flops(model), raw, timed=True)
    vae = assembly.build_model(config.updated({"model.name": "vae"}))
    yield Loop({**row, "loop": "VAE, fit"}, fitting(vae, images), step_flops(vae), timed=True)


def pythae_loops(preset: str, changes: dict[str, Any], folder: Path, steps: int) -> Iterator[Loop]:
    """Yield pythae's VAE with our networks, and with its own networks if the images have their size."""
    config = load_preset(preset).config.updated({**changes, "model.name": "vae", "backend": "torch"})
    row = {"preset": preset, "precision": "float32", "jit": "false", "batch": config.training.batch_size}
    if not has_pythae():
        yield Loop({**row, "loop": "pythae: not installed"}, lambda steps: None)
        return
    images, latent_dim = 0.5 + 0.5 * faces(config), config.model.latent_dim
    # pythae's decoders return an image only, without a scale for each pixel.
    models = {} if config.loss.scale == "per_pixel" else {"pythae, our networks": assembly.build_model(config)}
    if images.shape[1:] == CELEBA_SHAPE:
        models["pythae, its networks"] = None
    for number, (loop, model) in enumerate(models.items()):
        # pythae's own networks are so large that one step fills a turn.
        length = 1 if model is None else steps
        train = pythae_loop(model, images, length, latent_dim, folder / str(number))
        yield Loop({**row, "loop": loop}, lambda _, train=train: train(), steps=length)


def _title(row: Row) -> str:
    return ", ".join(str(row[name]) for name in ("preset", "precision", "jit", "loop"))


def measure(preset: str, task: dict[str, Any]) -> list[Row]:
    """Measure the loops of a preset in turns and return their rows."""
    possible = JITS[keras.config.backend()]
    jits = [jit for jit in possible if task["jit"] in ("both", jit)] or possible
    found = list(training_loops(preset, task["set"], task["precisions"], jits))
    turn = task["seconds"] / ROUNDS
    lengths = {_title(each.row): _steps(each.run, turn) for each in found}
    with tempfile.TemporaryDirectory() as folder:
        if keras.config.backend() == "torch":
            peers = list(pythae_loops(preset, task["set"], Path(folder), max(lengths.values())))
            lengths |= {_title(each.row): each.steps for each in peers if each.steps}
            found += peers
        return _rows(found, lengths, turn)


def _steps(run: Callable[[int], Any], turn: float) -> int:
    """Return how many steps fill half a turn. The first call compiles."""
    run(1)
    start = time.perf_counter()
    run(2)
    return max(1, round(turn / TURNS / max(1e-4, (time.perf_counter() - start) / 2)))


def _rows(found: list[Loop], lengths: dict[str, int], turn: float) -> list[Row]:
    running = {_title(each.row): each for each in found if "not installed" not in each.row["loop"]}

    def call(title: str, each: Loop) -> Call:
        def run() -> int | tuple[int, float]:
            seconds, count = each.run(lengths[title]), lengths[title] * each.row["batch"]
            return (count, seconds) if each.timed else count

        return run

    speeds = rates({title: call(title, each) for title, each in running.items()}, turn * ROUNDS)
    rows = []
    for each in found:
        title = _title(each.row)
        row = {"backend": keras.config.backend(), **each.row, "flops": each.flops}
        if title in speeds:
            row |= {"images_per_second": statistics.median(speeds[title]), "rounds": speeds[title]}
        if each.reference:
            row["of_raw"] = against(speeds, title, each.reference)
        rows.append(row)
    return rows


def compare_losses(preset: str, changes: dict[str, Any], precisions: list[str], steps: int) -> list[Row]:
    """Train with each precision on the same faces from the same weights, and compare the loss of each step."""
    losses = {}
    for precision in ("float32", *precisions):
        values = {**changes, "training.precision": precision, "backend": keras.config.backend()}
        config = load_preset(preset).config.updated(values)
        losses[precision] = _losses(config, steps)
    exact = losses.pop("float32")
    worst = {name: float(np.max(np.abs(found / exact - 1.0))) for name, found in losses.items()}
    row = {"backend": keras.config.backend(), "preset": preset, "steps": steps}
    return [{**row, "precision": name, "worst": value} for name, value in worst.items()]


def _losses(config: Config, steps: int) -> np.ndarray:
    part, size = config.data, config.training.batch_size
    source = open_source("faces", image_size=part.image_shape[:2], channels=part.channels, count=size * steps)
    model, losses = assembly.build_model(config), []

    def note(batch: int, logs: dict[str, float]) -> None:
        losses.append(float(logs["loss"]))

    noting = keras.callbacks.LambdaCallback(on_train_batch_end=note)
    # One call of `fit` per batch, because logs are means over the epoch so far.
    for images in map(np.asarray, batches(source, size, training=True, epochs=1)):
        model.fit(images, batch_size=size, verbose=0, callbacks=[noting])
    return np.array(losses)


def main() -> None:
    """Read a task from standard input, and write its rows to the file that it names."""
    task = json.load(sys.stdin)
    keep_freed_memory()  # as the command line does
    keras.utils.set_random_seed(task["seed"])
    rows, losses = [], []
    for preset in task["presets"]:
        rows += measure(preset, task) if task["seconds"] else []
        reduced = [precision for precision in task["precisions"] if precision != "float32"]
        if task["losses"]:
            losses += compare_losses(preset, task["set"], reduced, task["losses"])
    timed = task["precisions"] if task["seconds"] else []
    peaks = {name: convolution_peak(DTYPES[name], min(2.0, task["seconds"])) for name in timed}
    Path(task["out"]).write_text(json.dumps({"rows": rows, "losses": losses, "peaks": peaks}), encoding="utf-8")


if __name__ == "__main__":
    main()
