"""Commands and environments of the processes that measurements start."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of the repository in a process of its own."""
    return [sys.executable, "-m", module, *arguments]


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment with some variables set.

    The root of the repository comes first on `PYTHONPATH`: `benchmarks` is not installed, and a worker may start in any
    folder.
    """
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, **variables, "PYTHONPATH": os.pathsep.join(paths)}
