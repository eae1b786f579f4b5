"""Walk from one image to another in a run's latent space (the paper's transitions).

  gamix-keras interpolate runs/mine anna.jpg ben.jpg --steps 10 --path spherical --out walk.png

RUN may be faces, the model of the package, or a .keras file. An image is a file, or held-out:N for the N-th held-out
image of the run's own data.
"""

import argparse
from pathlib import Path

from gamix_keras.cli import environment
from gamix_keras.cli.options import add_run, picture_path, whole_number, writable

PATHS = ("linear", "spherical", "norm")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_run(parser, files=True)
    parser.add_argument("first", metavar="IMAGE_A", help="the image to start from")
    parser.add_argument("second", metavar="IMAGE_B", help="the image to end at")
    parser.add_argument("--steps", metavar="N", type=whole_number(2), default=8, help="images (default: 8)")
    parser.add_argument(
        "--path",
        metavar="NAME",
        dest="along",
        choices=PATHS,
        default=PATHS[0],
        help="linear (default), spherical, or norm: straight, at norms between those of the ends",
    )
    out = "default: RUN/interpolation.png; faces-interpolation.png for a model of the package"
    parser.add_argument("--out", metavar="FILE.png", type=picture_path, help=out)


def run(args: argparse.Namespace) -> None:
    """Decode the walk, write it between the two images, and print the path."""
    opened = environment.open_model(args.path, args.checkpoint)
    out = writable(Path(args.out or environment.output(opened, "interpolation.png")))
    from gamix_keras import latent_space, plots

    model, read = environment.model_of(opened)
    first, second = read(args.first), read(args.second)
    walk = latent_space.interpolate(model, first, second, args.steps, args.along)
    labels = ["A", *(f"{i / (args.steps - 1):.2f}" for i in range(args.steps)), "B"]
    plots.save_rows({args.along: [first, *walk, second]}, out, labels)
    print(f"{len(walk)} steps: {out}")
