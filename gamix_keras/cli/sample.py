"""Draw new images from a trained run.

  gamix-keras sample runs/mine --count 64 --out sheet.png
  gamix-keras sample runs/mine --sampler mixture --components 20 --temperature 0.8 --count 1000 --out images/

Without --sampler it is the best one that `gamix-keras evaluate` measured, or the prior. gaussian and mixture are
fitted to the run's training images on first use and kept in RUN/samplers/.
"""

import argparse
from pathlib import Path

from gamix_keras.cli import environment
from gamix_keras.cli.options import (
    add_checkpoint,
    not_negative_number,
    picture_or_folder,
    positive_number,
    whole_number,
    writable,
)
from gamix_keras.config.catalogue import SAMPLERS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("path", metavar="RUN", help="directory of the run")
    add_checkpoint(parser)
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
        help="one sheet, or a file per image (default: RUN/sample.png)",
    )
    parser.add_argument("--cache", metavar="DIR", help="where a sampler is kept that is fitted (default: RUN)")


def run(args: argparse.Namespace) -> None:
    """Choose the sampler, draw, write, and print the path."""
    opened = environment.open_run(args.path, args.checkpoint).beside(args.cache)
    out = writable(Path(args.out or opened.path / "sample.png"))
    from gamix_keras import latent_space, plots
    from gamix_keras.models import compiled
    from gamix_keras.runs import sampling

    name, reason = (args.sampler, "as asked") if args.sampler else sampling.choose(opened)
    model = opened.load_model()
    print(f"sampler: {name} ({reason})")
    sampler = sampling.sampler_of(opened, model, name, args.components)
    noise = {"temperature": args.temperature, "truncation": args.truncation}
    networks = compiled.CompiledVAE(model)
    images = latent_space.draw(networks, args.count, args.seed, sampler=sampler, **noise)
    if out.suffix.lower() == ".png":
        plots.save_sheet(images, out)
    else:
        for i, image in enumerate(images):
            plots.save_image(image, out / f"{i:06d}.png")
    print(f"{len(images)} images: {out}")
