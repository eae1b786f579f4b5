"""Draw new images from a trained run.

gamix-keras sample runs/mine --count 64 --out sheet.png
gamix-keras sample runs/mine --count 1000 --out images/
"""

import argparse
from pathlib import Path

from gamix_keras.cli import environment
from gamix_keras.cli.options import picture_or_folder, whole_number

SAMPLERS = ("prior",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("path", metavar="RUN", help="directory of the run")
    parser.add_argument("--sampler", metavar="NAME", choices=SAMPLERS, default="prior", help=", ".join(SAMPLERS))
    parser.add_argument("--count", metavar="N", type=whole_number(1), default=64, help="images (default: 64)")
    parser.add_argument("--seed", metavar="N", type=whole_number(0), default=0, help="seed (default: 0)")
    parser.add_argument(
        "--out",
        metavar="FILE.png|DIR",
        type=picture_or_folder,
        help="one sheet, or a file per image (default: RUN/sample.png)",
    )


def run(args: argparse.Namespace) -> None:
    """Draw, write, and say where."""
    opened = environment.open_run(args.path)
    from gamix_keras import latent_space, plots

    images = latent_space.draw(opened.load_model(), args.count, args.seed)
    out = Path(args.out or opened.path / "sample.png")
    if out.suffix.lower() == ".png":
        plots.save_sheet(images, out)
    else:
        for i, image in enumerate(images):
            plots.save_image(image, out / f"{i:06d}.png")
    print(f"{len(images)} images: {out}")
