"""Move single latents of an image (the paper's variants: z_0 and z_1 by -20, 0 and 20 sigma).

  gamix-keras traverse runs/mine anna.jpg --dims 0,1 --scale 20 --out variants.png

An image is a file, or held-out:N for the N-th held-out image of the run's own data. Sigma is that of the
image's own posterior.
"""

import argparse

from gamix_keras.cli import environment
from gamix_keras.cli.options import number_list, picture_path, positive_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("path", metavar="RUN", help="directory of the run")
    parser.add_argument("image", metavar="IMAGE", help="the image")
    parser.add_argument("--dims", metavar="D,D,...", type=number_list, default=(0, 1), help="latents (default: 0,1)")
    parser.add_argument(
        "--scale", metavar="S", type=positive_number, default=20.0, help="sigmas to each side (default: 20)"
    )
    parser.add_argument("--out", metavar="FILE.png", type=picture_path, help="default: RUN/traversal.png")


def run(args: argparse.Namespace) -> None:
    """Decode the variants, write a row per latent, and say where."""
    opened = environment.open_run(args.path)
    from gamix_keras import assembly, latent_space, plots

    image = assembly.open_image(opened.config, args.image)
    deltas = (-args.scale, 0.0, args.scale)
    variants = latent_space.traverse(opened.load_model(), image, args.dims, deltas)
    out = args.out or opened.path / "traversal.png"
    labels = [f"{delta:+g} sigma" if delta else "0" for delta in deltas]
    plots.save_rows({f"z_{d}": row for d, row in zip(args.dims, variants, strict=True)}, out, labels)
    print(f"latents {', '.join(map(str, args.dims))}: {out}")
