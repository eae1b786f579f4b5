"""Where the time of a training step goes on PyTorch: convolutions, other operations, Python.

  python -m benchmarks.profile
  python -m benchmarks.profile --presets gamix,celeba64 --model gamix --steps 20 --out profile.json

`fit` trains a recipe's model on one batch of drawn faces. Each operation is timed where PyTorch dispatches it, on a CPU
from beginning to end (PyTorch's own profiler slows operations with large maps). The whole step is timed without
that; the rest of it is Python and Keras, within the noise of the machine. The bound is for a step that does nothing but
its convolutions: neither fusion nor another loop around the same networks gains more.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from benchmarks import record
from gamix_keras.cli import environment
from gamix_keras.cli.options import name_list, whole_number
from gamix_keras.config import Config, UserError, parse_assignments
from gamix_keras.config.presets import load_preset

# An operation counts for the first kind of which a word is in its name.
KINDS: dict[str, tuple[str, ...]] = {
    "convolutions": ("convolution",),
    "matrix products": ("aten.mm.", "aten.addmm.", "aten.bmm.", "aten.baddbmm."),
    "copies": ("copy", "aten.clone.", "aten.cat.", "aten.constant_pad_nd."),
    "other operations": ("",),
}
REST = "Python and Keras"
COLUMNS = {"preset": "preset", "model": "model", "what": "what", "ms": "ms a step", "share": "share"}
BOUNDS = {"preset": "preset", "model": "model", "bound": "convolutions alone: at most this many times as fast"}
WARM_UP = 3


def split(own_times: Mapping[str, float], whole: float) -> dict[str, float]:
    """Split the time of a step by kind of operation, with what is left of the whole as the rest."""
    parts = dict.fromkeys(KINDS, 0.0)
    for operation, own_time in own_times.items():
        parts[next(kind for kind, words in KINDS.items() if any(word in operation for word in words))] += own_time
    return {**parts, REST: whole - sum(parts.values())}


def measure(config: Config, steps: int) -> dict[str, float]:
    """Return the seconds of a step by kind of operation, with the rest."""
    from benchmarks.loops import faces, fitting
    from gamix_keras import assembly

    fit = fitting(assembly.build_model(config), faces(config))
    fit(WARM_UP)
    whole = fit(steps)
    with _timing() as own_times:
        fit(steps)
    return {kind: seconds / steps for kind, seconds in split(own_times, whole).items()}


@contextmanager
def _timing() -> Iterator[dict[str, float]]:
    """Yield the seconds of each of PyTorch's operations, which grow while the context is active."""
    from torch.utils._python_dispatch import TorchDispatchMode

    own_times: dict[str, float] = defaultdict(float)

    class Timing(TorchDispatchMode):
        def __torch_dispatch__(self, operation: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
            begun = time.perf_counter()
            found = operation(*arguments, **(named or {}))
            own_times[str(operation)] += time.perf_counter() - begun
            return found

    with Timing():
        yield own_times


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = _parser()
    args = parser.parse_args(arguments)
    try:
        changes = {**parse_assignments(args.set), "backend": "torch", "model.name": args.model}
        configs = {name: load_preset(name).config.updated(changes) for name in args.presets}
    except UserError as error:
        parser.error(str(error))
    environment.prepare("torch")
    rows: list[record.Row] = []
    bounds: list[dict[str, Any]] = []
    for preset, config in configs.items():
        parts, about = measure(config, args.steps), {"preset": preset, "model": args.model}
        whole = sum(parts.values())
        rows += [{**about, "what": what, "ms": 1e3 * s, "share": s / whole} for what, s in parts.items()]
        bounds.append({**about, "bound": whole / parts["convolutions"]})
    print(record.table(rows, COLUMNS))
    print("\n" + record.table(bounds, BOUNDS))
    record.save(args.out, "profile", rows, seed=0, bounds=bounds, settings={"set": args.set, "steps": args.steps})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.profile",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--presets", metavar="NAME,...", type=name_list, default=("gamix",), help="default: gamix")
    add("--model", choices=("vae", "gamix"), default="vae", help="default: vae")
    add("--steps", metavar="N", type=whole_number(1), default=20, help="default: 20")
    add("--set", metavar="KEY=VALUE", nargs="+", action="extend", default=[], help="change settings of the recipes")
    add("--out", metavar="FILE", help="also write JSON")
    return parser


if __name__ == "__main__":
    main()
