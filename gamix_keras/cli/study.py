r"""Answer a question with many runs: train and evaluate them, and put them side by side.

  gamix-keras study samplers --out studies/fashion --data idx:DIR --set data.image_size=28 data.channels=1 \
    model.stages=2
  gamix-keras study ablation --out studies/ablation --seeds 3 --jobs 2
  gamix-keras study cross-dataset --out studies/data --data faces folder:PATH

ablation         the ELBO, + global term, + variance term, + PatchGAN critic or + perceptual term, + projected critic,
                 + critic on samples
baselines        GAMIX-VAE and the VAE with a learned scale: alone, + perceptual term, + critic
variance-weight  loss.variance_weight over five orders of magnitude
latent-dim       model.latent_dim
cross-dataset    one model, several --data
samplers         VAEs and GAMIX-VAEs, each with every sampler, second stage included

The same command again goes on where it was stopped, and repeats nothing that is finished. Machines that share DIR
share the work: give each the same command.
"""

import argparse
import sys
from pathlib import Path

from gamix_keras.cli import environment
from gamix_keras.cli.evaluate import add_protocol
from gamix_keras.cli.options import name_list, whole_number
from gamix_keras.cli.sample import SAMPLERS
from gamix_keras.config import UserError, Value, parse_assignments

STUDIES = ("ablation", "baselines", "variance-weight", "latent-dim", "cross-dataset", "samplers")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", metavar="STUDY", choices=STUDIES, help=", ".join(STUDIES))
    parser.add_argument("--out", metavar="DIR", required=True, help="directory of the study")
    parser.add_argument("--preset", metavar="NAME", default="gamix", help="the recipe to vary (default: gamix)")
    parser.add_argument("--data", metavar="SOURCE", nargs="+", default=[], help="images; cross-dataset takes several")
    parser.add_argument("--seeds", metavar="N", type=whole_number(1), default=1, help="runs of each row (default: 1)")
    parser.add_argument("--jobs", metavar="N", type=whole_number(1), default=1, help="runs at a time (default: 1)")
    parser.add_argument("--set", metavar="KEY=VALUE", nargs="+", action="extend", default=[], help="for all rows")
    parser.add_argument("--rows", metavar="NAME,...", type=name_list, help="only these rows (default: all)")
    samplers = f"{', '.join(SAMPLERS)} (default: all that a run has)"
    parser.add_argument("--samplers", metavar="NAME,...", type=name_list, help=samplers)
    add_protocol(parser)


def run(args: argparse.Namespace) -> None:
    """Plan, run what is not finished, and print the table."""
    from gamix_keras import study
    from gamix_keras.config.presets import load_preset

    unknown = [name for name in args.samplers or () if name not in SAMPLERS]
    if unknown:
        raise UserError(f"--samplers: expected names of {', '.join(SAMPLERS)}, got {', '.join(unknown)}")
    out, preset, common = Path(args.out), load_preset(args.preset), _common(args)
    rows = study.select_rows(args.name, args.data, args.rows, preset.config, common)
    protocol = study.Protocol(args.samplers, args.extractor, args.count)
    jobs = study.plan_jobs(args.name, rows, out, preset, common, protocol, args.seeds)
    environment.prepare(jobs[0].config.backend)
    try:
        failures = study.run_study(args.name, out, rows, jobs, args.jobs, _log)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted; the same command goes on from the last checkpoints") from None
    print((out / "table.md").read_text(encoding="utf-8"))
    print(f"all numbers: {out / 'study.json'}; figures: {out / 'distances.png'}, {out / 'psnr.png'}")
    if failures:
        raise RuntimeError(f"{len(failures)} of {len(jobs)} runs failed: {', '.join(failures)}; see {out / 'logs'}")


def _log(line: str) -> None:
    print(line, file=sys.stderr)


def _common(args: argparse.Namespace) -> dict[str, Value]:
    """Return what holds for all rows, by key."""
    wish = environment.wished_backend()
    named = {"backend": wish} if wish else {}
    source = {"data.source": args.data[0]} if args.data and args.name != "cross-dataset" else {}
    return {**named, **parse_assignments(args.set), **source}
