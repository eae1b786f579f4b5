"""Move an image through the latent space, along single latents or along the principal axes of q(z).

  gamix-keras traverse runs/mine anna.jpg --dims 0,1 --scale 20 --out variants.png
  gamix-keras traverse runs/mine anna.jpg --axes 0,1,2 --out variants.png

An image is a file, or held-out:N for the N-th held-out image of the run's own data. --dims moves by sigmas of the
image's own posterior (the paper's variants: z_0 and z_1 by -20, 0 and 20 of them), --axes by standard deviations of
q(z), whose widest axis is 0 (fitted to the run's training images on first use).
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from gamix_keras.cli import environment
from gamix_keras.cli.options import add_checkpoint, number_list, picture_path, positive_number, writable

if TYPE_CHECKING:
    import numpy as np

    from gamix_keras.runs import Run

DIMS_SCALE, AXES_SCALE = 20.0, 3.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("path", metavar="RUN", help="directory of the run")
    add_checkpoint(parser)
    parser.add_argument("image", metavar="IMAGE", help="the image")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--dims", metavar="D,D,...", type=number_list, default=(0, 1), help="latents (default: 0,1)")
    ways.add_argument("--axes", metavar="A,A,...", type=number_list, help="principal axes of q(z) instead")
    scales = f"sigmas to each side (default: {DIMS_SCALE:g}, along axes {AXES_SCALE:g})"
    parser.add_argument("--scale", metavar="S", type=positive_number, help=scales)
    parser.add_argument("--out", metavar="FILE.png", type=picture_path, help="default: RUN/traversal.png")


def run(args: argparse.Namespace) -> None:
    """Decode the variants, write a row per latent or axis, and print the path."""
    opened = environment.open_run(args.path, args.checkpoint)
    out = writable(Path(args.out or opened.path / "traversal.png"))
    from gamix_keras import plots

    scale = args.scale or (AXES_SCALE if args.axes else DIMS_SCALE)
    deltas = (-scale, 0.0, scale)
    rows = _rows(opened, args, deltas)
    plots.save_rows(rows, out, [f"{delta:+g} sigma" if delta else "0" for delta in deltas])
    moved = f"axes {', '.join(map(str, args.axes))}" if args.axes else f"latents {', '.join(map(str, args.dims))}"
    print(f"{moved}: {out}")


def _rows(opened: "Run", args: argparse.Namespace, deltas: tuple[float, ...]) -> "dict[str, np.ndarray]":
    from gamix_keras import assembly, latent_space
    from gamix_keras.runs import sampling

    image, model = assembly.open_image(opened.config, args.image), opened.load_model()
    if not args.axes:
        variants = latent_space.traverse(model, image, args.dims, deltas)
        return {f"z_{d}": row for d, row in zip(args.dims, variants, strict=True)}
    axes = sampling.sampler_of(opened, model, "gaussian").principal_axes()
    variants = latent_space.traverse_axes(model, image, axes, args.axes, deltas)
    return {f"axis {i}": row for i, row in zip(args.axes, variants, strict=True)}
