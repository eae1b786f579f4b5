"""Open a page that shows what a run's model has learnt: sliders that change an image at once, and more.

  gamix-keras explore faces
  gamix-keras explore runs/mine
  gamix-keras explore runs/mine --port 8000 --no-browser

Sliders along the principal axes of q(z), paths between two images, samples, reconstructions of uploads; every picture
can be saved. The page is served on this computer only, loads nothing from elsewhere, and needs pip install
"gamix_keras[explore]". The axes are fitted to the run's training images on first use and kept in RUN/samplers/.
"""

import argparse

from gamix_keras.cli import environment
from gamix_keras.cli.options import add_run, whole_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_run(parser)
    parser.add_argument("--port", metavar="N", type=whole_number(1), help="default: the first free one from 7860 on")
    parser.add_argument("--host", metavar="ADDRESS", default="127.0.0.1", help="default: 127.0.0.1, this computer only")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")


def run(args: argparse.Namespace) -> None:
    """Load, lay out, serve until Ctrl-C."""
    from gamix_keras.explore import server

    opened = environment.open_run(args.path, args.checkpoint)
    server.require_gradio()
    if args.port is not None:
        server.require_free(args.host, args.port)
    from gamix_keras.explore.opening import first_sampler, held_out_images, open_explorer
    from gamix_keras.explore.page import build_page

    explorer = open_explorer(opened)
    page = build_page(explorer, opened.path.resolve().name, held_out_images(opened), first_sampler(opened))
    server.serve(page, args.host, args.port, not args.no_browser)
