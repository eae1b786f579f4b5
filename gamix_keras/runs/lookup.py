"""From what a user names to a run: a directory, a model that comes with the package, or a single file. No Keras."""

import difflib
import os
import warnings
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from gamix_keras.config import UserError
from gamix_keras.runs.directory import Run, is_run

FOLDER, PARENT = "saved_models", "runs"


def find(name: str | os.PathLike, argument: str = "RUN") -> Path:
    """Return the run directory or the `.keras` file that a name stands for.

    Args:
        name: A run directory, a model that comes with the package (`shipped`), or a `.keras` file. A run directory of
            the same name goes before a model of the package.
        argument: What an error names.

    Raises:
        UserError: If there is nothing of that name, with a name that is close to it, if any.

    Warns:
        UserWarning: If both a run directory and a model of the package have the name.
    """
    path, packaged = Path(name).expanduser(), shipped().get(os.fspath(name))
    if is_run(path):
        if packaged is not None and path.resolve() != packaged:
            both = f"a run directory and a model of the package have the name; took the directory {path.resolve()}"
            warnings.warn(f"{argument}: expected one model, got two: {both}", stacklevel=2)
        return path
    if packaged is not None:
        return packaged
    if path.suffix == ".keras" and path.exists():
        return path
    known = ", ".join(map(repr, shipped())) or "none"
    expected = f"a run directory (one with config.json), a .keras file, or a model of the package ({known})"
    raise UserError(f"{argument}: expected {expected}, got {os.fspath(name)!r}{_hint(os.fspath(name))}")


def open_run(name: str | os.PathLike, argument: str = "RUN") -> Run:
    """Open the run that a name stands for.

    Raises:
        UserError: As `find` and `Run.open`, or if it is a single file, which has neither data nor settings.
    """
    path = find(name, argument)
    if not is_run(path):
        raise UserError(f"{argument}: expected a run directory, got the single file {path}, which has no data")
    return at_path(path)


def at_path(path: Path) -> Run:
    """Open the run in a directory, as `Run.packaged` if it came with the package."""
    return replace(Run.open(path), packaged=path.resolve() in shipped().values())


def shipped() -> dict[str, Path]:
    """Return the directory of each model that comes with the package, in the checkout or the installed wheel."""
    checkout = Path(__file__).parents[2] / FOLDER
    configs = [*checkout.glob("*/config.json")] or [Path(file.locate()) for file in _installed()]
    return {config.parent.name: config.parent.resolve() for config in sorted(configs)}


def _installed() -> list[metadata.PackagePath]:
    """Return the data files of the installed wheel: only its record says where its installer put them."""
    try:
        recorded = metadata.files("gamix_keras") or []
    except metadata.PackageNotFoundError:
        return []
    return [file for file in recorded if file.parts[-3:-2] == (FOLDER,) and file.name == "config.json"]


def _hint(name: str) -> str:
    """Return the closest names of models of the package and of runs beside the path, or under `runs`."""
    beside = [
        path for parent in {Path(name).expanduser().parent, Path(PARENT)} for path in parent.glob("*/config.json")
    ]
    known = [*shipped(), *(str(path.parent) for path in beside)]
    close = difflib.get_close_matches(name, known, n=2)
    close += [path for path in known if Path(path).name == Path(name).name and path not in close]
    return f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""
