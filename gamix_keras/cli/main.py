"""`gamix-keras COMMAND`: finds the command, and turns errors into one line and an exit code.

Exit codes: 0; 2 for a mistake of the user; 1 for a failure; 130 when interrupted; 141 if what read the output has
gone. Modules of commands import Keras inside their functions only, so that `--help` is quick and the backend can still
be chosen.
"""

import argparse
import io
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from gamix_keras import __version__
from gamix_keras.cli import evaluate, explore, export, interpolate, presets, report, sample, study, train, traverse
from gamix_keras.config import UserError

COMMANDS: dict[str, ModuleType] = {
    "presets": presets,
    "train": train,
    "evaluate": evaluate,
    "report": report,
    "sample": sample,
    "interpolate": interpolate,
    "traverse": traverse,
    "explore": explore,
    "export": export,
    "study": study,
}


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(message.removeprefix("argument ").replace("\n", " "))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    parser = _Parser(prog="gamix-keras", description="Train and use image VAEs.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"gamix-keras {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, dest="command")
    for name, module in COMMANDS.items():
        summary = module.__doc__.splitlines()[0]
        command = commands.add_parser(
            name, help=summary, description=module.__doc__, allow_abbrev=False, formatter_class=_Help
        )
        module.add_arguments(command)
        command.add_argument("--debug", action="store_true", help="show the traceback of a failure")
        command.set_defaults(run=module.run)
    return parser


class _Help(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of a command's description."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    debug = "--debug" in (sys.argv[1:] if argv is None else argv)
    formatwarning, warnings.formatwarning = warnings.formatwarning, _format_warning
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the terminal cannot show is no reason to fail
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        args = build_parser().parse_args(argv)
        args.run(args)
        print(end="", flush=True)
    except BrokenPipeError:
        return _leave_closed_pipe()
    except KeyboardInterrupt as stop:
        return _say(str(stop) or "interrupted", 130)
    except Exception as error:
        if debug:
            raise
        return _say(_one_line(error), 2 if _is_mistake(error) else 1)
    finally:
        warnings.formatwarning = formatwarning
    return 0


def _leave_closed_pipe() -> int:
    """Return the exit code of a command whose reader has gone, as in `gamix-keras presets | head -1`."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more when it exits
    return 128 + signal.SIGPIPE


def _format_warning(message: Warning | str, *_where: object) -> str:
    return f"warning: {message}\n"


def _say(message: str, code: int) -> int:
    print(f"gamix-keras: {message}", file=sys.stderr)
    return code


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, UserError):
        return text
    return f"{text or type(error).__name__}" if _is_mistake(error) else f"{type(error).__name__}: {text}"


def _is_mistake(error: Exception) -> bool:
    """Whether the user can put it right: our own complaint about a value, not a failure below us."""
    if isinstance(error, UserError):
        return True
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    ours = frame is not None and frame.tb_frame.f_globals.get("__name__", "").startswith("gamix_keras.")
    return isinstance(error, ValueError) and ours
