"""Write a run's model for TensorFlow Serving, ONNX Runtime, OpenVINO or LiteRT.

  gamix-keras export runs/mine --format saved_model --out saved_models/mine
  gamix-keras export runs/mine --format onnx --precision float16 --out onnx/mine

A run of any backend will do, faces, the model of the package, or a .keras file. saved_model writes the next version
directory, 1, 2, ..., with a README.md that says how to call it; the other formats write a decoder and an encoder.
Everything is compared with Keras before it appears.
"""

import argparse
import sys

from gamix_keras.cli import environment
from gamix_keras.cli.options import add_run, whole_number
from gamix_keras.config.catalogue import SAMPLERS
from gamix_keras.export.formats import FORMATS, PRECISIONS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_run(parser, files=True)
    parser.add_argument("--format", metavar="NAME", choices=FORMATS, default=FORMATS[0], help=", ".join(FORMATS))
    parser.add_argument("--out", metavar="DIR", help="default: saved_models/NAME; NAME-FORMAT for faces")
    parser.add_argument(
        "--precision",
        metavar="NAME",
        choices=PRECISIONS["litert"],
        default="float32",
        help="float32 (default), float16 (not saved_model), int8 (litert only)",
    )
    parser.add_argument(
        "--sampler",
        metavar="NAME",
        choices=SAMPLERS,
        help=f"what sample_png draws from: {', '.join(SAMPLERS)} (default: the best measured, or prior)",
    )
    parser.add_argument("--version", metavar="N", type=whole_number(1), help="of saved_model (default: the next)")


def run(args: argparse.Namespace) -> None:
    """Export, and print the path and the largest difference from Keras."""
    from gamix_keras.export.run import export_run

    if "keras" not in sys.modules:
        environment.prepare("tensorflow")
    exported = export_run(
        args.path,
        args.format,
        args.out,
        precision=args.precision,
        sampler=args.sampler,
        version=args.version,
        checkpoint=args.checkpoint,
    )
    for name, difference in exported.differences.items():
        print(f"{name}: at most {difference:.1e} from Keras")
    print(f"{args.format}: {exported.path}")
