"""Types of command-line values; each complaint says what was expected and what came."""

import argparse
from collections.abc import Callable
from pathlib import Path

from gamix_keras import files
from gamix_keras.config import UserError


def whole_number(low: int) -> Callable[[str], int]:
    """Return a reader of whole numbers of at least `low`."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low:
            raise argparse.ArgumentTypeError(f"expected a whole number of at least {low}, got {text!r}")
        return value

    return read


def positive_number(text: str) -> float:
    """Read a finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def not_negative_number(text: str) -> float:
    """Read a finite number of at least 0."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text!r}")
    return value


def number_list(text: str) -> tuple[int, ...]:
    """Read whole numbers with commas between them: `"0,1"`."""
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"expected whole numbers with commas between them, got {text!r}")
    return tuple(int(part) for part in parts)


def name_list(text: str) -> tuple[str, ...]:
    """Read different names with commas between them: `"prior,mixture"`."""
    parts = tuple(part.strip() for part in text.split(","))
    if not all(parts) or len(set(parts)) < len(parts):
        raise argparse.ArgumentTypeError(f"expected different names with commas between them, got {text!r}")
    return parts


def picture_or_folder(text: str) -> str:
    """Read the name of a PNG file or of a folder."""
    if text.lower().endswith((".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".pdf", ".svg")):
        raise argparse.ArgumentTypeError(f"expected a file name that ends in .png, or a folder, got {text!r}")
    return text


def picture_path(text: str) -> str:
    """Read the name of a PNG file."""
    if not text.lower().endswith(".png"):
        raise argparse.ArgumentTypeError(f"expected a file name that ends in .png, got {text!r}")
    return text


def add_derived(parser: argparse.ArgumentParser, what: str) -> None:
    """Declare where what is derived from a run is written; see `Run.beside`."""
    parser.add_argument("--out", metavar="DIR", help=f"directory for {what} (default: RUN; faces-evaluation for faces)")


def writable(path: Path) -> Path:
    """Return a path if a file can be written there.

    Raises:
        UserError: If not, with the system's reason.
    """
    why = files.why_not_writable(path)
    if why:
        raise UserError(f"--out: expected a place that can be written to, got {path}: {why}; name another")
    return path


def add_run(parser: argparse.ArgumentParser, files: bool = False) -> None:
    """Declare the run, and which of its checkpoints is loaded; see `lookup.find` and `Run.at`.

    Args:
        parser: The parser of a command.
        files: Whether a single `.keras` file will do.
    """
    more = ", or a .keras file" if files else ""
    parser.add_argument("path", metavar="RUN", help=f"directory of a run, or a model of the package: faces{more}")
    help = "latest (default), best (by training.keep_best) or an epoch"
    parser.add_argument("--checkpoint", metavar="WHICH", default="latest", help=help)
