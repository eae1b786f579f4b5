"""The directory of a run: create, record, checkpoint, load.

    RUN/config.json             the resolved configuration; each session's versions, git state and start
    RUN/history.jsonl           one JSON object per finished epoch
    RUN/checkpoints/            epoch-0007.keras: weights, both optimizers, random state
    RUN/samples/                epoch-0007.png

An epoch's row is written before its checkpoint, so every checkpoint has its history; resuming drops the rows
after the checkpoint that it starts from, so an interrupted run leaves neither gap nor duplicate. This module
imports Keras only inside the functions that need it: the command line reads a run's backend from it first.
"""

import json
import os
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gamix_keras import files, provenance
from gamix_keras.config import Config, UserError, Value, settings

if TYPE_CHECKING:
    import keras

KEPT_CHECKPOINTS = 2


class LoadedRun(NamedTuple):
    """What ``load_run`` returns."""

    config: Config
    model: "keras.Model"


@dataclass(frozen=True)
class Run:
    """A run directory; make one with ``Run.create`` or ``Run.open``."""

    path: Path
    config: Config
    preset: str | None = None

    @classmethod
    def create(cls, path: str | os.PathLike, config: Config, preset: str | None = None) -> "Run":
        """Describe a run in a new or empty directory, which ``begin_session`` makes.

        Raises:
            UserError: Where the directory holds a run already, or anything else.
        """
        path = Path(path)
        if _is_run(path):
            raise UserError(f"--out: {path} holds a run already; go on with --resume, or choose another")
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise UserError(f"--out: expected a new or empty directory, got {path}, which is neither")
        return cls(path, config, preset)

    @classmethod
    def open(cls, path: str | os.PathLike) -> "Run":
        """Open an existing run.

        Raises:
            UserError: Where there is none, or its config.json cannot be read.
        """
        path = Path(path)
        if not _is_run(path):
            raise UserError(f"RUN: expected a run directory (one with config.json), got {path}")
        written = _read_config(path)
        return cls(path, Config.from_dict(written.get("config", {})), written.get("preset"))

    def changed(self, values: Mapping[str, Value]) -> "Run":
        """Return this run with settings changed, for its next session.

        Raises:
            UserError: Where a setting cannot change once training has begun.
        """
        for key, value in values.items():
            recorded = self.config.get(key)
            if value != recorded and not settings()[key].metadata["resumable"]:
                raise UserError(f"{key}: expected {recorded}, as the run was started with, got {value}")
        return replace(self, config=self.config.updated(values))

    def begin_session(self, from_epoch: int) -> None:
        """Write ``config.json``, with the settings as they are now and one more session.

        Args:
            from_epoch: How many epochs the session builds on; history after them is dropped.
        """
        earlier = _read_config(self.path).get("sessions") if _is_run(self.path) else []
        sessions = [*(earlier if isinstance(earlier, list) else []), provenance.session(from_epoch)]
        values = {"preset": self.preset, "config": self.config.to_dict(), "sessions": sessions}
        files.write_json(self.path / "config.json", values)
        self._rewind(from_epoch)

    @property
    def samples(self) -> Path:
        """The folder of the pictures."""
        return self.path / "samples"

    def history(self) -> list[dict[str, float]]:
        """Return the rows of the finished epochs; a half-written last line is left out."""
        file = self.path / "history.jsonl"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return [row for row in map(_row, lines) if row is not None]

    def record(self, row: Mapping[str, float]) -> None:
        """Append the row of an epoch."""
        files.append_line(self.path / "history.jsonl", json.dumps(dict(row)))

    def _rewind(self, epoch: int) -> None:
        rows = [row for row in self.history() if row["epoch"] <= epoch]
        files.write_text(self.path / "history.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def save_checkpoint(self, model: "keras.Model", epoch: int) -> None:
        """Write the model after ``epoch`` epochs, whole or not at all, and drop the oldest checkpoints."""
        with files.replacing(self.path / "checkpoints" / f"epoch-{epoch:04d}.keras") as temporary:
            model.save(temporary)
        for _, old in self._checkpoints()[KEPT_CHECKPOINTS:]:
            old.unlink()

    def latest_checkpoint(self) -> tuple[int, Path | None]:
        """Return the newest whole checkpoint and its epoch; ``(0, None)`` where there is none.

        Warns:
            UserWarning: That names each damaged file which was passed over.
        """
        for epoch, file in self._checkpoints():
            if _is_whole(file):
                return epoch, file
            warnings.warn(f"{file} is damaged and was passed over", stacklevel=2)
        return 0, None

    def _checkpoints(self) -> list[tuple[int, Path]]:
        """Checkpoints with their epochs, the newest first."""
        found = (self.path / "checkpoints").glob("epoch-*.keras")
        numbered = [(file.stem.removeprefix("epoch-"), file) for file in found]
        return sorted(((int(number), file) for number, file in numbered if number.isdigit()), reverse=True)

    def load_model(self, compile: bool = False) -> "keras.Model":
        """Load the newest whole checkpoint, in Keras's safe mode.

        Args:
            compile: Whether to restore the optimizers too, in order to train on.

        Raises:
            UserError: Where the run has no whole checkpoint yet.
        """
        import keras

        from gamix_keras import assembly  # noqa: F401  # registers the classes that the file names

        _, file = self.latest_checkpoint()
        if file is None:
            raise UserError(f"RUN: expected a run with a checkpoint, got {self.path}, which has none yet")
        return keras.saving.load_model(file, compile=compile, safe_mode=True)


def load_run(path: str | os.PathLike) -> LoadedRun:
    """Read a run directory: its configuration, and its model as of the newest whole checkpoint."""
    run = Run.open(path)
    return LoadedRun(run.config, run.load_model())


def new_path(preset: str, parent: str | os.PathLike = "runs") -> Path:
    """Return ``runs/<preset>-<n>`` with the first n above those that are taken."""
    return Path(parent) / f"{preset}-{max(_numbers(preset, Path(parent)), default=0) + 1}"


def newest_path(preset: str, parent: str | os.PathLike = "runs") -> Path:
    """Return the last ``runs/<preset>-<n>``.

    Raises:
        UserError: Where there is none.
    """
    numbers = _numbers(preset, Path(parent))
    if not numbers:
        raise UserError(f"--resume: expected a run of {preset} under {parent}, found none; name one with --out")
    return Path(parent) / f"{preset}-{max(numbers)}"


def _numbers(preset: str, parent: Path) -> list[int]:
    endings = [path.name.removeprefix(f"{preset}-") for path in parent.glob(f"{preset}-*")]
    return [int(ending) for ending in endings if ending.isdigit()]


def _is_run(path: Path) -> bool:
    return (path / "config.json").is_file()


def _is_whole(file: Path) -> bool:
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError):
        return False


def _read_config(path: Path) -> dict[str, Any]:
    file = path / "config.json"
    try:
        written = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(f"RUN: expected JSON in {file}, got {error}") from None
    if not isinstance(written, dict):
        raise UserError(f"RUN: expected an object in {file}, got {type(written).__name__}")
    return written


def _row(line: str) -> dict[str, float] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and "epoch" in row else None
