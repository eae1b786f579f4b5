"""Walk through the latent space of a run, along the principal axes of q(z) or along single latents.

  gamix-keras traverse faces --steps 7 --out walks.png
  gamix-keras traverse runs/mine anna.jpg --axes 1,2,3 --out variants.png
  gamix-keras traverse runs/mine anna.jpg --dims 0,1 --scale 20 --out variants.png

RUN may be faces, the model of the package, or a .keras file. A walk starts from IMAGE, a file or held-out:N for the
N-th held-out image of the run's own data; without one, from the mean of q(z). --axes moves by standard deviations of
q(z), whose widest axis is 1 (fitted to the run's training images on first use). --dims moves by sigmas of the image's
own posterior, as the paper's variants do (z_0 and z_1 by -20, 0 and 20 of them): a few hundredths of what the data
vary, so little changes.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from gamix_keras.cli import environment
from gamix_keras.cli.options import add_run, number_list, picture_path, positive_number, whole_number, writable
from gamix_keras.config import UserError
from gamix_keras.runs import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

AXES, AXES_SCALE, AXES_STEPS = 4, 3.0, 7
DIMS_SCALE, DIMS_STEPS = 20.0, 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_run(parser, files=True)
    parser.add_argument("image", metavar="IMAGE", nargs="?", help="the image to move (default: the mean of q(z))")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--axes", metavar="A,A,...", type=number_list, help="principal axes of q(z) (default: 1,2,3,4)")
    ways.add_argument("--dims", metavar="D,D,...", type=number_list, help="latents instead")
    scales = f"standard deviations to each side (default: {AXES_SCALE:g}, along latents {DIMS_SCALE:g})"
    parser.add_argument("--scale", metavar="S", type=positive_number, help=scales)
    steps = f"images of a walk, from -S to S (default: {AXES_STEPS}, along latents {DIMS_STEPS})"
    parser.add_argument("--steps", metavar="N", type=whole_number(2), help=steps)
    out = "default: RUN/traversal.png; faces-traversal.png for a model of the package"
    parser.add_argument("--out", metavar="FILE.png", type=picture_path, help=out)


def run(args: argparse.Namespace) -> None:
    """Decode the walks, write a row for each axis or latent, and print the path."""
    if args.dims and args.image is None:
        raise UserError("--dims: expected an IMAGE with it, whose posterior gives the sigmas, got none")
    opened = environment.open_model(args.path, args.checkpoint)
    out = writable(Path(args.out or environment.output(opened, "traversal.png")))
    import numpy as np

    from gamix_keras import plots

    scale = args.scale or (DIMS_SCALE if args.dims else AXES_SCALE)
    deltas = np.linspace(-scale, scale, args.steps or (DIMS_STEPS if args.dims else AXES_STEPS)).tolist()
    rows = _along_latents(opened, args, deltas) if args.dims else _along_axes(opened, args, deltas)
    unit = "sigma" if args.dims else "sd"
    plots.save_rows(rows, out, [f"{delta:+.3g} {unit}" if delta else "0" for delta in deltas])
    print(f"{', '.join(rows)}: {out}")


def _along_latents(opened: Run | Path, args: argparse.Namespace, deltas: "Sequence[float]") -> "dict[str, np.ndarray]":
    from gamix_keras import latent_space

    model, read = environment.model_of(opened)
    variants = latent_space.traverse(model, read(args.image), args.dims, deltas)
    return {f"z_{d}": row for d, row in zip(args.dims, variants, strict=True)}


def _along_axes(opened: Run | Path, args: argparse.Namespace, deltas: "Sequence[float]") -> "dict[str, np.ndarray]":
    from gamix_keras import latent_space
    from gamix_keras.runs import sampling

    if isinstance(opened, Path):
        expected = "expected a run directory, whose training images give the axes"
        raise UserError(f"--axes: {expected}, got the single file {opened}; --dims D,D moves its latents")
    model, read = environment.model_of(opened)
    image = None if args.image is None else read(args.image)
    numbers = args.axes or tuple(range(1, min(AXES, model.latent_dim) + 1))
    if wrong := [number for number in numbers if not 1 <= number <= model.latent_dim]:
        raise UserError(f"--axes: expected axes from 1 to {model.latent_dim}, got {', '.join(map(str, wrong))}")
    axes = sampling.sampler_of(opened, model, "gaussian").principal_axes()
    walks = latent_space.traverse_axes(model, image, axes, [number - 1 for number in numbers], deltas)
    return {f"axis {i}": row for i, row in zip(numbers, walks, strict=True)}
