"""Draw new images from a trained run.

  gamix-keras sample faces
  gamix-keras sample runs/mine --count 64 --out sheet.png
  gamix-keras sample runs/mine --sampler mixture --components 20 --temperature 0.8 --count 1000 --out images/

RUN may be faces, the model of the package, or a .keras file. Without --sampler it is the best one that `gamix-keras
evaluate` measured, or the prior. gaussian and mixture are fitted to the run's training images on first use and kept in
RUN/samplers/. Folders that FILE.png lacks are made.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from gamix_keras.cli import environment
from gamix_keras.cli.options import (
    add_run,
    not_negative_number,
    picture_or_folder,
    positive_number,
    whole_number,
    writable,
)
from gamix_keras.config import UserError
from gamix_keras.config.catalogue import SAMPLERS
from gamix_keras.runs import Run

if TYPE_CHECKING:
    from gamix_keras.loading import TrainedModel


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_run(parser, files=True)
    parser.add_argument("--sampler", metavar="NAME", choices=SAMPLERS, help=", ".join(SAMPLERS))
    parser.add_argument(
        "--components", metavar="K", type=whole_number(1), help="Gaussians of the mixture (default: 10)"
    )
    parser.add_argument(
        "--temperature", metavar="T", type=not_negative_number, default=1.0, help="factor on the noise (default: 1)"
    )
    parser.add_argument("--truncation", metavar="T", type=positive_number, help="largest noise value (default: none)")
    parser.add_argument("--count", metavar="N", type=whole_number(1), default=64, help="images (default: 64)")
    parser.add_argument("--seed", metavar="N", type=whole_number(0), default=0, help="seed (default: 0)")
    parser.add_argument(
        "--out",
        metavar="FILE.png|DIR",
        type=picture_or_folder,
        help="one sheet, or a file per image (default: RUN/sample.png; faces-sample.png for a model of the package)",
    )
    parser.add_argument("--cache", metavar="DIR", help="where a sampler is kept that is fitted (default: RUN)")


def run(args: argparse.Namespace) -> None:
    """Choose the sampler, draw, write, and print the path."""
    opened = environment.open_model(args.path, args.checkpoint)
    out = writable(Path(args.out or environment.output(opened, "sample.png")))
    from gamix_keras import plots

    model = _of_file(opened, args) if isinstance(opened, Path) else _of_run(opened.beside(args.cache), args)
    images = model.sample(args.count, args.seed, args.temperature, args.truncation)
    if out.suffix.lower() == ".png":
        plots.save_sheet(images, out)
    else:
        for i, image in enumerate(images):
            plots.save_image(image, out / f"{i:06d}.png")
    print(f"{len(images)} images: {out}")


def _of_run(run: Run, args: argparse.Namespace) -> "TrainedModel":
    from gamix_keras.loading import TrainedModel
    from gamix_keras.runs import sampling

    name, reason = (args.sampler, "as asked") if args.sampler else sampling.choose(run)
    model = run.load_model()
    print(f"sampler: {name} ({reason})")
    return TrainedModel(model, sampling.sampler_of(run, model, name, args.components))


def _of_file(file: Path, args: argparse.Namespace) -> "TrainedModel":
    from gamix_keras.loading import load

    if args.components is not None:
        raise UserError(f"--components: expected a run directory with it, got the single file {file}")
    return load(file, args.sampler)
