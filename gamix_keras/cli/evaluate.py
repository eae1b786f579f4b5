"""Measure how good a run's model is, and say what is wrong with it.

  gamix-keras evaluate runs/mine
  gamix-keras evaluate runs/mine --data folder:PATH --samplers prior,mixture --count 5000

Writes RUN/evaluation.json, with the protocol behind every number, and pictures to RUN/evaluation/; with --out to
another directory, for a run that cannot be written to. RUN may be faces, the model of the package, whose numbers go to
the folder faces-evaluation of the working directory.
"""

import argparse
import sys
from typing import Any

from gamix_keras.cli import environment
from gamix_keras.cli.options import add_derived, add_run, name_list, whole_number
from gamix_keras.config import protocol
from gamix_keras.runs import measured


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_run(parser)
    parser.add_argument("--data", metavar="SOURCE", help="images to compare with (default: the run's held-out images)")
    parser.add_argument(
        "--samplers",
        metavar="NAME,...",
        type=name_list,
        help="prior, gaussian, mixture, second_stage (default: all that the model has)",
    )
    add_protocol(parser)
    add_derived(parser, "all that is written")
    parser.add_argument("--seed", metavar="N", type=whole_number(0), default=0, help="seed (default: 0)")


def add_protocol(parser: argparse.ArgumentParser) -> None:
    """Declare the options that `evaluate` and `study` share."""
    count, fewest = protocol.DEFAULT_COUNT, protocol.FEWEST_IMAGES
    parser.add_argument("--extractor", metavar="NAME,...", type=name_list, help=protocol.extractor_help())
    text = f"images of each set, at most (default: {count})"
    parser.add_argument("--count", metavar="N", type=whole_number(fewest), default=count, help=text)


def run(args: argparse.Namespace) -> None:
    """Evaluate, then print the table and the diagnosis."""
    opened = environment.open_run(args.path, args.checkpoint).beside(args.out)
    opened.require_writable()
    from gamix_keras import evaluation

    settings = evaluation.Settings(args.data, args.samplers, args.extractor, args.count, args.seed)
    evaluation.evaluate(opened, settings, lambda line: print(f"{line} ...", file=sys.stderr), _print)
    print(f"\nall numbers: {opened.evaluation_file}")


def _print(result: dict[str, Any]) -> None:
    from gamix_keras.evaluation import floor, measures

    tables = [line for rows in measures.score_tables(result) for line in [*_aligned(rows), ""]]
    lines = [*_heading(result), "", *tables, floor.in_words(result), *_warnings(result), "", *_diagnosis(result)]
    print("\n".join(lines), flush=True)


def _heading(result: dict[str, Any]) -> list[str]:
    protocol, scores, latents = (result[part] for part in ("protocol", "reconstruction", "latents"))
    information, active = latents["mutual_information"], f"{latents['active_units']} of {latents['latent_dim']} active"
    lines = {
        "data": f"{protocol['real_images']:,} images of {protocol['data']}, checkpoint {protocol['checkpoint_epoch']}, "
        f"features of {' and '.join(measured.by_extractor(result))}",
        "reconstruction": f"MAE {scores['mae']:.4f}, MSE {scores['mse']:.5f}, PSNR {scores['psnr']:.2f} dB, "
        f"SSIM {scores['ssim']:.3f}, MS-SSIM {scores['ms_ssim']:.3f}",
        "latents": f"{active}, KL {latents['kl']:.1f} nats per image, information {information['value']:.2f} "
        f"(estimates end at {information['bound']:.2f})",
        "q(z) to prior": f"KL {latents['aggregate_kl']['total']:.2f} (total moments), "
        f"MMD {latents['mmd']['value']:.4f} (p = {latents['mmd']['p_value']:.3f})",
    }
    return [f"{name:<15} {text}" for name, text in lines.items()]


def _aligned(rows: list[list[str]]) -> list[str]:
    """Names to the left, numbers to the right of their columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]


def _warnings(result: dict[str, Any]) -> list[str]:
    return [f"warning: {line}" for line in result["warnings"]]


def _diagnosis(result: dict[str, Any]) -> list[str]:
    found = result["diagnosis"]
    if not found:
        return ["diagnosis: latents, sigma and critic are within their thresholds"]
    return [f"diagnosis: {finding['kind']}: {finding['message']}. Try: {finding['advice']}" for finding in found]
