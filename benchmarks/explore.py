"""How soon the page of `gamix-keras explore` responds to a slider, in Chromium.

  python -m benchmarks.explore runs/mine
  python -m benchmarks.explore --preset faces-quick --moves 200

Prints the median and the 95th percentile, in milliseconds, of the decoder's time, and of the time from a slider's move
to the frame in which the browser shows the new picture. Page, model and browser share this computer.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gamix_keras.cli.options import whole_number
from gamix_keras.config import UserError

if TYPE_CHECKING:
    from gamix_keras.explore import Explorer

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # As on a computer without a network: every other name is unknown.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
WARM_UP = 3
# Moves the first slider, and returns the milliseconds until a picture with another source is painted.
MOVE = """value => new Promise(done => {
  const slider = document.querySelector("input[type=range]"), source = () => document.querySelector(".large img").src;
  const start = performance.now(), before = source();
  const observer = new MutationObserver(() => {
    if (source() === before) return;
    observer.disconnect();
    requestAnimationFrame(() => done(performance.now() - start));
  });
  observer.observe(document.querySelector(".large"), {childList: true, subtree: true, attributes: true});
  slider.value = value;
  slider.dispatchEvent(new Event("input", {bubbles: true}));
})"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = _parser()
    args = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        explorer = _explorer(args)
        values = np.random.default_rng(0).choice(np.arange(-30, 31) / 10, args.moves + WARM_UP)
        size = f"{explorer.image_shape} images, {explorer.latent_dim} latents"
        print(f"{size}, {os.cpu_count()} CPUs, {args.moves} moves")
        print(summary("decoder", decoder_times(explorer, values)))
        print(summary("slider to picture", browser_times(explorer, values)))
    except UserError as error:
        parser.error(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.explore",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", metavar="RUN", nargs="?", help="a run (default: a recipe's model, not trained)")
    parser.add_argument("--preset", metavar="NAME", default="faces-quick", help="the recipe (default: faces-quick)")
    parser.add_argument(
        "--moves", metavar="N", type=whole_number(1), default=100, help="moves of the slider (default: 100)"
    )
    return parser


def _explorer(args: argparse.Namespace) -> "Explorer":
    if args.run:
        from gamix_keras.cli import environment

        run = environment.open_run(args.run)
        from gamix_keras.explore import open_explorer

        return open_explorer(run)
    from gamix_keras import assembly
    from gamix_keras.config.presets import load_preset
    from gamix_keras.explore import Explorer
    from gamix_keras.samplers import PriorSampler, axes_of

    model = assembly.build_model(load_preset(args.preset).config)
    axes = axes_of(np.zeros(model.latent_dim), np.eye(model.latent_dim))
    return Explorer(model, axes, {"prior": lambda: PriorSampler(model.latent_dim)})


def decoder_times(explorer: "Explorer", values: Sequence[float]) -> list[float]:
    """Return the milliseconds that the image of each move takes without a page."""
    times = []
    for value in values:
        start = time.perf_counter()
        explorer.slide(explorer.center, [value])
        times.append(1e3 * (time.perf_counter() - start))
    return times


def browser_times(explorer: "Explorer", values: Sequence[float]) -> list[float]:
    """Return the milliseconds from each move of the first slider to the frame with the new picture.

    Raises:
        UserError: If Gradio, Playwright or Chromium is not installed.
    """
    from gamix_keras.explore import server

    server.require_gradio()
    browser = chromium()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise UserError("expected Playwright, which is not installed; pip install playwright") from None
    from gamix_keras.explore.page import build_page

    page = build_page(explorer, "Explore", np.zeros((0, *explorer.image_shape), "uint8"), next(iter(explorer.samplers)))
    with tempfile.TemporaryDirectory() as profile, sync_playwright() as driver:
        served = server.launch(page)
        options = {"executable_path": browser, "args": ARGUMENTS}
        with driver.chromium.launch_persistent_context(profile, **options) as context:
            shown = context.pages[0]
            shown.goto(served.address)
            shown.locator(".large img").first.wait_for()
            times = [shown.evaluate(MOVE, float(value)) for value in _different(values)]
        served.close()
    return times


def chromium() -> str:
    """Return the path of an installed Chromium.

    Raises:
        UserError: If there is none.
    """
    found = [path for path in map(shutil.which, BROWSERS) if path]
    if not found:
        raise UserError("expected Chromium, which is not installed; on Debian: apt-get install chromium")
    return found[0]


def _different(values: Sequence[float]) -> list[float]:
    """Leave out moves to the slider's own position, which change nothing."""
    return [value for before, value in zip([0.0, *values], values, strict=False) if value != before]


def summary(name: str, times: Sequence[float]) -> str:
    """Return one line about all times but the first few."""
    median, late = np.percentile(times[WARM_UP:], (50, 95))
    return f"{name}: median {median:.1f} ms, 95th percentile {late:.1f} ms"


if __name__ == "__main__":
    main()
