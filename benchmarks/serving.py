"""How fast a decoder runs: Keras, the TensorFlow graph, SavedModel, ONNX Runtime, OpenVINO, LiteRT, and over a network.

  python -m benchmarks.serving runs/mine
  python -m benchmarks.serving --preset faces-quick --seconds 5

Prints one Markdown table: p50 / p99 milliseconds of a request and images per second, at each batch size. The runtimes
take turns for several rounds, which makes a busy moment of the machine slow all of them. Requests over the network go
to the server of --server, or to the tests' stand-in for TensorFlow Serving.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import workers
from gamix_keras.cli.options import number_list, positive_number, whole_number
from gamix_keras.config import UserError

if TYPE_CHECKING:
    import keras

Call = Callable[[np.ndarray], object]
ROUNDS = 5
WARM_UP = 3
DOUBLE = workers.ROOT / "tests" / "export" / "serving_double.py"
TITLES = {"onnx": "ONNX Runtime", "openvino": "OpenVINO", "litert": "LiteRT"}


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.threads:
        os.environ.update({f"TF_NUM_{kind}_THREADS": str(args.threads) for kind in ("INTRAOP", "INTEROP")})
    os.environ.update({"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2", "GRPC_VERBOSITY": "NONE"})
    try:
        model = _model(args)
    except UserError as error:
        parser.error(str(error))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        calls = {**runtimes(model, Path(folder), args.threads), **stack.enter_context(wire(Path(folder), args.server))}
        print(f"{model.image_shape} images, {model.latent_dim} latents, {args.threads or os.cpu_count()} threads\n")
        print(table(calls, args.batches, model.latent_dim, args.seconds))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", metavar="RUN", nargs="?", help="a run (default: a recipe's model, not trained)")
    parser.add_argument("--preset", metavar="NAME", default="faces-quick", help="the recipe (default: faces-quick)")
    parser.add_argument("--batches", metavar="N,...", type=number_list, default=(1, 8, 32), help="default: 1,8,32")
    parser.add_argument(
        "--seconds", metavar="S", type=positive_number, default=3.0, help="seconds for each cell (default: 3)"
    )
    parser.add_argument(
        "--threads", metavar="N", type=whole_number(0), default=0, help="threads; 0 (default) is each library's own"
    )
    parser.add_argument("--server", metavar="URL", help="http://HOST:8501/MODEL of a server with the same model")
    return parser


def _model(args: argparse.Namespace) -> "keras.Model":
    from gamix_keras import assembly
    from gamix_keras.config.presets import load_preset
    from gamix_keras.runs import Run

    return Run.open(args.run).load_model() if args.run else assembly.build_model(load_preset(args.preset).config)


def runtimes(model: "keras.Model", folder: Path, threads: int = 0) -> dict[str, Call]:
    """Export the model to every format whose packages are installed, and return a function that runs each.

    Args:
        model: A VAE on the TensorFlow backend.
        folder: The folder to export to.
        threads: The number of threads of the other runtimes; 0 for their own default.
    """
    from gamix_keras.export import formats, saved_model
    from gamix_keras.export.networks import inference_networks

    calls = {"Keras `predict`": lambda z: model.decoder.predict(z, verbose=0)}
    calls["Keras `predict_on_batch`"] = model.decoder.predict_on_batch
    calls["bare graph"] = saved_model.graph_runner(inference_networks(model))
    calls["SavedModel"] = saved_model.runner(formats.export_model(model, "saved_model", folder / "decoder").path)
    for name, title in TITLES.items():
        if all(map(find_spec, formats.PACKAGES[name])):
            writer = import_module(f"gamix_keras.export.{name}")
            path = formats.export_model(model, name, folder / name).path
            calls[title] = writer.runner(path / f"decoder{writer.SUFFIX}", threads)
    return calls


@contextmanager
def wire(folder: Path, server: str | None) -> Iterator[dict[str, Call]]:
    """Yield functions that send requests to `server`, or if it is None, to the stand-in serving `folder/decoder`."""
    if server is not None:
        address, _, name = server.rpartition("/")
        yield _requests(address, name)
    elif DOUBLE.exists() and find_spec("tensorflow_serving"):
        command = [sys.executable, str(DOUBLE), "decoder", str(folder / "decoder")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            addresses = json.loads(process.stdout.readline())
            yield {**_requests(addresses["rest"], "decoder"), **_requests(addresses["grpc"], "decoder")}
            process.stdin.close()
    else:
        yield {}


def _requests(address: str, name: str) -> dict[str, Call]:
    from gamix_keras.export.client import Client
    from gamix_keras.export.transports import RestTransport

    client = Client(address, name, batch_size=64, timeout=60.0)
    if address.startswith("grpc"):
        return {"gRPC, PNG": client.decode}
    numbers = RestTransport(address, name, None, None, 60.0)
    return {"REST, numbers in JSON": lambda z: numbers.predict("decode_float", {"z": z}), "REST, PNG": client.decode}


def table(calls: dict[str, Call], batches: tuple[int, ...], latent_dim: int, seconds: float) -> str:
    """Return a Markdown table of p50 / p99 milliseconds and images per second.

    Args:
        calls: The functions to measure, by title.
        batches: The batch sizes.
        latent_dim: The number of latents.
        seconds: The time for each cell, over all rounds.
    """
    rows = {title: [] for title in calls}
    for size in batches:
        z = np.random.default_rng(0).standard_normal((size, latent_dim), dtype="float32")
        for title, times in measured(calls, z, seconds).items():
            p50, p99 = np.percentile(times, (50, 99)) * 1e3
            rows[title].append(f"{p50:.1f} / {p99:.1f} ms, {size / np.mean(times):,.0f}/s")
    head = ["p50 / p99, images/s", *(f"batch {size}" for size in batches)]
    lines = [head, ["---"] * len(head), *([title, *cells] for title, cells in rows.items())]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def measured(calls: dict[str, Call], z: np.ndarray, seconds: float) -> dict[str, list[float]]:
    """Warm up, let the functions take turns, and return the seconds of every call."""
    times = {title: [] for title in calls}
    for call in calls.values():
        for _ in range(WARM_UP):
            call(z)
    for _ in range(ROUNDS):
        for title, call in calls.items():
            times[title] += _timed(call, z, seconds / ROUNDS)
    return times


def _timed(call: Call, z: np.ndarray, seconds: float) -> list[float]:
    times, end = [], time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call(z)
        times.append(time.perf_counter() - start)
    return times


if __name__ == "__main__":
    main()
