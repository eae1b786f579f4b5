"""One training, first or second stage: its history, and its checkpoints. Imports Keras only to load a model."""

import json
import shutil
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gamix_keras import files
from gamix_keras.config import UserError
from gamix_keras.runs import checkpoints
from gamix_keras.runs.checkpoints import Checkpoint

if TYPE_CHECKING:
    import keras

KEPT_CHECKPOINTS = 2


@dataclass(frozen=True)
class Stage:
    """History and checkpoints of one training, in a directory of its own."""

    path: Path

    @property
    def is_second(self) -> bool:
        """Whether it trains a VAE of latents, rather than one of images."""
        return True

    def history(self) -> list[dict[str, Any]]:
        """Return the rows of the finished epochs; a half-written last line is left out.

        Warns:
            UserWarning: If another line cannot be read; names the file and the line.
        """
        rows = read_rows(self.path / "history.jsonl")
        return list({row["epoch"]: row for row in rows}.values())

    def record(self, row: Mapping[str, float]) -> None:
        """Append the row of an epoch."""
        files.append_line(self.path / "history.jsonl", json.dumps(dict(row)))

    def rewind(self, epoch: int) -> None:
        """Drop the rows after `epoch`."""
        write_rows(self.path / "history.jsonl", [row for row in self.history() if row["epoch"] <= epoch])

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def kept(self) -> int:
        """How many of the newest checkpoints are kept."""
        return KEPT_CHECKPOINTS

    @property
    def spared(self) -> Collection[int]:
        """Epochs whose checkpoints are kept as well."""
        return ()

    def save_checkpoint(self, model: "keras.Model", epoch: int, step: int = 0) -> None:
        """Write the model after whole epochs, and steps of the next; drop the checkpoints that are not kept.

        Raises:
            DiskFull: If there is no room; the checkpoints before are as they were.
        """
        checkpoints.write(checkpoints.path(self.checkpoints, epoch, step), model.save)
        checkpoints.prune(self.checkpoints, (epoch, step), self.kept, self.spared)

    def latest_checkpoint(self) -> Checkpoint:
        """Return the newest whole checkpoint, `Checkpoint(0, None)` if there is none.

        Warns:
            UserWarning: Names each damaged file that was passed over.
        """
        for checkpoint in checkpoints.listed(self.checkpoints):
            if checkpoints.is_whole(checkpoint.file):
                return checkpoint
            warnings.warn(f"{checkpoint.file} is damaged and was passed over", stacklevel=2)
        return Checkpoint(0, None)

    def checkpoint(self) -> Checkpoint:
        """Return the checkpoint that is loaded: the newest whole one."""
        return self.latest_checkpoint()

    def load_checkpoint(self, compile: bool = False) -> "keras.Model":
        """Load `checkpoint()`, in Keras's safe mode.

        Args:
            compile: Whether to restore the optimizers too, in order to train on.

        Raises:
            UserError: If there is no whole checkpoint, or it holds no model of this stage.
        """
        from gamix_keras.runs.model_file import load_model

        return load_model(self.require_checkpoint(), compile, second=self.is_second)

    def require_checkpoint(self) -> Path:
        """Return the file of `checkpoint()`.

        Raises:
            UserError: If there is no whole checkpoint.
        """
        file = self.checkpoint().file
        if file is None:
            damaged = self.damaged_checkpoints()
            got = f"all of whose checkpoints are damaged ({damaged})" if damaged else "which has none yet"
            raise UserError(f"RUN: expected a run with a checkpoint, got {self.path}, {got}")
        return file

    def damaged_checkpoints(self) -> str:
        """Return the names of the checkpoints if there are some and none is whole, else an empty text."""
        files = [checkpoint.file for checkpoint in checkpoints.listed(self.checkpoints)]
        return "" if any(map(checkpoints.is_whole, files)) else ", ".join(file.name for file in files)


def read_rows(file: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSONL file that have a whole number as their `epoch`.

    Warns:
        UserWarning: If a line but the last, which a crash may have cut off, is anything else.
    """
    lines = file.read_bytes().split(b"\n") if file.exists() else []
    rows = [_row(line) for line in lines]
    wrong = [number for number, row in enumerate(rows[:-1], start=1) if row is None]
    if wrong:
        numbers = ", ".join(map(str, wrong))
        warnings.warn(f"{file}: expected an epoch in every line, got none in line {numbers}: left out", stacklevel=3)
    return [row for row in rows if row is not None]


def write_rows(file: Path, rows: list[dict[str, Any]]) -> None:
    """Write a JSONL file, whole or not at all; one with lines that cannot be read is kept beside it as `.damaged`."""
    if file.exists() and any(_row(line) is None for line in file.read_bytes().split(b"\n")[:-1]):
        shutil.copyfile(file, checkpoints.damaged_name(file))
    files.write_text(file, "".join(json.dumps(row) + "\n" for row in rows))


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and type(row.get("epoch")) is int else None  # True is no epoch
