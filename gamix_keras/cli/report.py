"""Write one page on a run: curves, pictures, scores and a diagnosis.

  gamix-keras evaluate runs/mine
  gamix-keras report runs/mine

RUN/report.html needs nothing beside it. Scores are those of the last `gamix-keras evaluate`; if that had --out DIR, so
should this. RUN may be faces, the model of the package: see faces-evaluation/report.html then.
"""

import argparse

from gamix_keras.cli import environment
from gamix_keras.cli.options import add_derived, add_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_run(parser)
    add_derived(parser, "report.html, and where the evaluation is looked for first")


def run(args: argparse.Namespace) -> None:
    """Write the page, and say where."""
    opened = environment.open_run(args.path, args.checkpoint).beside(args.out)
    opened.require_writable()
    from gamix_keras.evaluation.report import write_report

    print(f"report: {write_report(opened)}")
