"""The directory of a run: create it, record in it, load from it.

    RUN/config.json             the resolved configuration; each session's versions, git state and start
    RUN/history.jsonl           one JSON object per finished epoch
    RUN/checkpoints/            epoch-0007.keras: weights, both optimizers, random state; see `checkpoints`
    RUN/bad_steps.jsonl         steps skipped because a number was not finite, with their images
    RUN/samples/                epoch-0007.png
    RUN/tensorboard/            scalars and sample grids, with training.tensorboard=true
    RUN/second_stage/           history.jsonl and checkpoints/ of the second stage, and samples.png
    RUN/samplers/               mixture.keras: fitted samplers; epoch-0007/: those fitted to an earlier checkpoint
    RUN/evaluation.json         what `gamix-keras evaluate` measured last

Evaluation, report and samplers may be kept in another directory, see `Run.beside`: a run may be on a read-only disk.

An epoch's row is written before its checkpoint, so every checkpoint has its history; resuming drops the rows after the
checkpoint that it starts from, so an interrupted run leaves neither gap nor duplicate. This module imports Keras only
in the functions that need it: the command line reads a run's backend here before it imports Keras.
"""

import json
import math
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gamix_keras import files
from gamix_keras.config import Config, UserError, Value, flatten, settings
from gamix_keras.runs import agreement, checkpoints, provenance
from gamix_keras.runs.checkpoints import Checkpoint
from gamix_keras.runs.stage import Stage, read_rows, write_rows

if TYPE_CHECKING:
    import keras

LOCK = ".lock"
LATEST, BEST = "latest", "best"
BETTER = {"val_loss": min, "val_reconstruction": min, "val_elbo": max, "val_psnr": max}


@dataclass(frozen=True)
class Run(Stage):
    """A run directory; make one with `Run.create` or `Run.open`.

    As a `Stage` it is the training on images; `second_stage` is the stage after it. Loading, measuring, sampling and
    exporting use the newest whole checkpoint, or the one that `at` chose; training goes on from the newest.
    """

    config: Config
    preset: str | None = None
    chosen: str = LATEST
    # Where what is derived from the run is kept, if not in `path`.
    out: Path | None = None
    # What is a share of the training in `config`, in steps of the training as it was first planned.
    in_steps: Mapping[str, Value] = field(default_factory=dict)
    # The epochs that a share refers to if it is not recorded; None: those of `config`.
    planned_epochs: int | None = field(default=None, compare=False)
    # Whether it came with the package: nothing is written to it.
    packaged: bool = field(default=False, compare=False)

    @classmethod
    def create(cls, path: str | os.PathLike, config: Config, preset: str | None = None) -> "Run":
        """Return a run in a new or empty directory, which `begin_session` creates.

        Raises:
            UserError: If the directory holds a run or anything else.
        """
        path = Path(path)
        if is_run(path):
            raise UserError(f"--out: {path} holds a run already; go on with --resume, or choose another")
        if path.exists() and not _is_empty(path):
            raise UserError(f"--out: expected a new or empty directory, got {path}, which is neither")
        return cls(path, config, preset)

    @classmethod
    def open(cls, path: str | os.PathLike) -> "Run":
        """Open an existing run.

        Raises:
            UserError: If there is no run, or its config.json cannot be read.
        """
        path = Path(path)
        if not is_run(path):
            raise UserError(f"RUN: expected a run directory (one with config.json), got {path}")
        written = _read_config(path)
        config, in_steps = Config.from_dict(written.get("config", {})), flatten(written.get("in_steps", {}))
        config.updated(in_steps)  # refuses what is no setting
        return cls(path, config, written.get("preset"), in_steps=in_steps, planned_epochs=config.training.epochs)

    def at(self, chosen: str | int) -> "Run":
        """Return this run with the checkpoint that is to be loaded.

        Args:
            chosen: `latest`, `best` (by `training.keep_best`), or a number of whole epochs.

        Raises:
            UserError: If there is no such checkpoint, or it is damaged.
        """
        run = replace(self, chosen=str(chosen))
        if run.chosen != LATEST:
            run.checkpoint()
        return run

    def beside(self, out: str | os.PathLike | None) -> "Run":
        """Return this run with another directory for what is derived from it; `None` leaves it as it is.

        Args:
            out: Directory to which evaluation, report and fitted samplers are written. They are read from there if they
                are there, else from the run.
        """
        return self if out is None else replace(self, out=Path(out).expanduser())

    @property
    def derived(self) -> Path:
        """The directory to which what is derived from the run is written, for a model of the package not its own."""
        return self.out or (self.output("evaluation") if self.packaged else self.path)

    def require_writable(self) -> None:
        """Check that `derived` can be written to.

        Raises:
            UserError: If it cannot, with the system's reason.
        """
        why = files.why_not_writable(self.derived / "evaluation.json")
        if why:
            raise UserError(
                f"--out: expected a directory that can be written to, got {self.derived}: {why}; name another"
            )

    def checkpoint(self) -> Checkpoint:
        """Return the checkpoint that is loaded.

        Raises:
            UserError: If the chosen checkpoint is missing or damaged.
        """
        if self.chosen == LATEST:
            return self.latest_checkpoint()
        there = {found.epoch: found for found in checkpoints.listed(self.checkpoints) if not found.step}
        found = there.get(self._chosen_epoch())
        if found is None:
            kept = ", ".join(map(str, sorted(there))) or "none"
            raise UserError(f"--checkpoint: expected latest, best or an epoch that is kept ({kept}), got {self.chosen}")
        if not checkpoints.is_whole(found.file):
            raise UserError(f"--checkpoint: expected a whole file, got {found.file}, which is damaged")
        return found

    def _chosen_epoch(self) -> int | None:
        if self.chosen != BEST:
            return int(self.chosen) if self.chosen.isdecimal() else None
        if self.config.training.keep_best is None:
            remedy = "name latest or an epoch"
            raise UserError(f"--checkpoint: expected a run with training.keep_best for best, got {self.path}; {remedy}")
        return next(iter(self.spared), None)

    @property
    def samplers(self) -> Path:
        """The folder for samplers that are fitted to the checkpoint that is loaded."""
        return self.sampler_folders()[0]

    def sampler_folders(self) -> list[Path]:
        """Return the folders in which a sampler of that checkpoint may lie, that of `derived` first."""
        loaded = self.checkpoint()
        is_newest = self.chosen == LATEST or loaded.progress == self.latest_checkpoint().progress
        name = "" if is_newest else loaded.file.stem
        return [path / "samplers" / name for path in dict.fromkeys((self.derived, self.path))]

    def changed(self, values: Mapping[str, Value]) -> "Run":
        """Return this run with settings changed, for its next session.

        Raises:
            UserError: If a setting cannot change once training has begun.
        """
        for key, value in values.items():
            recorded = self.config.get(key)
            if value != recorded and not self._may_change(key, value):
                raise UserError(f"{key}: expected {recorded}, as the run was started with, got {value}")
        kept = {key: value for key, value in self.in_steps.items() if values.get(key) in (None, self.config.get(key))}
        return replace(self, config=self.config.updated(values), in_steps=kept)

    def _may_change(self, key: str, value: Value) -> bool:
        to_come = key.startswith("second_stage.") and not self.second_stage.latest_checkpoint().exists
        resumable = settings()[key].metadata["resumable"]
        return to_come or (value in resumable if isinstance(resumable, tuple) else resumable)

    def planned(self, steps: int) -> "Run":
        """Return this run with its shares of the training in steps, so that more epochs do not move them.

        Args:
            steps: Steps of an epoch.
        """
        planned = self.scheduled.in_steps(steps, self.planned_epochs)
        changed = {key: value for key, value in planned.flat().items() if value != self.config.get(key)}
        return replace(self, in_steps=changed)

    @property
    def scheduled(self) -> Config:
        """The configuration that the callbacks follow: with steps in place of the shares that were recorded."""
        return self.config.updated(self.in_steps)

    def begin_session(self, from_epoch: int, from_step: int = 0) -> None:
        """Write `config.json`, with the settings as they are now and one more session; set damaged checkpoints aside.

        A second stage belongs to the first as it was: it is dropped if the first is trained on.

        Args:
            from_epoch: How many epochs the session builds on; history after them is dropped.
            from_step: How many steps of the next epoch it builds on.
        """
        for stage in (self, self.second_stage):
            checkpoints.set_damaged_aside(stage.checkpoints)
        earlier = _read_config(self.path).get("sessions") if is_run(self.path) else []
        sessions = [*(earlier if isinstance(earlier, list) else []), provenance.session(from_epoch)]
        recorded = {"preset": self.preset, "config": self.config.to_dict(), "in_steps": dict(self.in_steps)}
        files.write_json(self.path / "config.json", {**recorded, "sessions": sessions})
        self.rewind(from_epoch)
        self._rewind_bad_steps(from_epoch, from_step)
        if from_epoch < self.config.training.epochs and self.second_stage.path.exists():
            shutil.rmtree(self.second_stage.path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training this run, and remove what a killed process left half-written.

        Raises:
            UserError: If another process trains it; names the process.
        """
        try:
            with files.locked(self.path / LOCK):
                files.remove_leftovers(self.path)
                for stage in (self, self.second_stage):
                    checkpoints.remove_leftovers(stage.checkpoints)
                yield
        except files.Locked as holder:
            raise UserError(f"RUN: {self.path} is being trained by process {holder}; wait for it or stop it") from None

    @property
    def is_second(self) -> bool:
        """Whether it trains a VAE of latents: it trains one of images."""
        return False

    @property
    def kept(self) -> int:
        """How many of the newest checkpoints are kept."""
        return self.config.training.keep_checkpoints

    @property
    def spared(self) -> Collection[int]:
        """The epoch with the best `training.keep_best` among those with a checkpoint."""
        metric = self.config.training.keep_best
        there = {checkpoint.epoch for checkpoint in checkpoints.listed(self.checkpoints) if not checkpoint.step}
        rows = [row for row in self.history() if row["epoch"] in there and _is_finite(row.get(metric))]
        return {BETTER[metric](rows, key=lambda row: row[metric])["epoch"]} if rows else ()

    @property
    def bad_steps(self) -> list[dict[str, Any]]:
        """The rows of `bad_steps.jsonl`."""
        return read_rows(self.path / "bad_steps.jsonl")

    def record_bad_step(self, row: Mapping[str, Any]) -> None:
        """Append a row to `bad_steps.jsonl`."""
        files.append_line(self.path / "bad_steps.jsonl", json.dumps(dict(row)))

    def _rewind_bad_steps(self, epoch: int, step: int) -> None:
        rows = self.bad_steps
        kept = [row for row in rows if (row["epoch"] - 1, row.get("step", 0)) <= (epoch, step)]
        if kept != rows:
            write_rows(self.path / "bad_steps.jsonl", kept)

    @property
    def samples(self) -> Path:
        """The folder of the pictures."""
        return self.path / "samples"

    @property
    def evaluation_file(self) -> Path:
        """The file that `evaluation` reads: that of `derived` if there is one, or if the run has none either."""
        there = [path / "evaluation.json" for path in (self.derived, self.path)]
        return next((file for file in there if file.exists()), there[0])

    def evaluation(self) -> dict[str, Any] | None:
        """Return what `gamix-keras evaluate` last wrote, or None if the run was never evaluated.

        Raises:
            UserError: If the file is not JSON, or does not hold a Frechet distance for each sampler.
        """
        file = self.evaluation_file
        try:
            result = json.loads(file.read_text(encoding="utf-8"))
            for scores in result["samplers"].values():
                float(scores["frechet"]["value"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            expected = "expected samplers with a Frechet distance each"
            got = f"{type(error).__name__}: {error}"
            raise UserError(f"RUN: {file}: {expected}, got {got}; `gamix-keras evaluate` writes it anew") from None
        return result

    def output(self, name: str) -> Path:
        """Return where a command writes a file by default: to the directory of the run.

        For a model of the package it is the working directory, and the file is named after the model.
        """
        return Path(f"{self.path.name}-{name}") if self.packaged else self.path / name

    @property
    def tensorboard(self) -> Path:
        """The folder of what TensorBoard reads."""
        return self.path / "tensorboard"

    @property
    def second_stage(self) -> Stage:
        """History and checkpoints of the second stage."""
        return Stage(self.path / "second_stage")

    def has_second_stage(self) -> bool:
        """Whether there is a second stage, perhaps still in training, that belongs to the first as it is."""
        is_trained = self.checkpoint().epoch >= self.config.training.epochs
        return is_trained and self.second_stage.latest_checkpoint().exists

    def check_loaded(self) -> None:
        """Check that what `load_model` loads is what the configuration describes; builds nothing.

        Raises:
            UserError: If a setting is not the one that a checkpoint was trained with; names both.
        """
        if self.checkpoint().exists:
            agreement.check(self.config, self.require_checkpoint())
            if self.has_second_stage():
                agreement.check(self.config, self.second_stage.require_checkpoint(), second=True)

    def load_model(self, compile: bool = False) -> "keras.Model":
        """Load `checkpoint()`, in Keras's safe mode; with that of the second stage, as a `TwoStageVAE`.

        A second stage belongs to the last epoch of the first: an earlier checkpoint is loaded without it.

        Args:
            compile: Whether to restore the optimizers too, in order to train on.

        Raises:
            UserError: If the run has no whole checkpoint yet, or one that is not of its configuration.
        """
        self.check_loaded()
        first = self.load_checkpoint(compile)
        if not self.has_second_stage():
            return first
        from gamix_keras.models import TwoStageVAE

        return TwoStageVAE(first, self.second_stage.load_checkpoint(compile))


def new_path(preset: str, parent: str | os.PathLike = "runs") -> Path:
    """Return `runs/<preset>-<n>` with the first n above those in use."""
    return Path(parent) / f"{preset}-{max(_numbers(preset, Path(parent)), default=0) + 1}"


def newest_path(preset: str, parent: str | os.PathLike = "runs") -> Path:
    """Return the last `runs/<preset>-<n>`.

    Raises:
        UserError: If there is none.
    """
    numbers = _numbers(preset, Path(parent))
    if not numbers:
        raise UserError(f"--resume: expected a run of {preset} under {parent}, found none; name one with --out")
    return Path(parent) / f"{preset}-{max(numbers)}"


def _numbers(preset: str, parent: Path) -> list[int]:
    endings = [path.name.removeprefix(f"{preset}-") for path in parent.glob(f"{preset}-*")]
    return [int(ending) for ending in endings if ending.isdigit()]


def _is_finite(value: Any) -> bool:  # whatever a file holds
    return isinstance(value, int | float) and math.isfinite(value)


def is_run(path: Path) -> bool:
    """Whether a path is a run directory."""
    return (path / "config.json").is_file()


def _is_empty(path: Path) -> bool:
    """Return whether there is nothing but what a process leaves if it is killed at its start."""
    return path.is_dir() and all(file.name == LOCK or files.is_temporary(file) for file in path.iterdir())


def _read_config(path: Path) -> dict[str, Any]:
    file = path / "config.json"
    try:
        written = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(f"RUN: expected JSON in {file}, got {error}") from None
    if not isinstance(written, dict):
        raise UserError(f"RUN: expected an object in {file}, got {type(written).__name__}")
    return written
