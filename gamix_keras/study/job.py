"""One run of a study: what it is to be, and whether it is that already. Imports no Keras."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gamix_keras.config import Config, UserError
from gamix_keras.config.protocol import DEFAULT_COUNT, DEFAULT_EXTRACTOR, default_samplers
from gamix_keras.runs import Run

# What a finished run may not differ in, though a run that is resumed may.
_SAME = ("data.source", "data.validation")


@dataclass(frozen=True)
class Protocol:
    """How every run of a study is evaluated; see ``gamix_keras.evaluation.Settings``."""

    samplers: tuple[str, ...] | None = None
    extractor: str = DEFAULT_EXTRACTOR
    count: int = DEFAULT_COUNT


@dataclass(frozen=True)
class Job:
    """One run of a study.

    Attributes:
        row: The row that it belongs to.
        path: Its directory.
        config: Its configuration.
        preset: The recipe that the configuration began with.
        protocol: How it is evaluated.
    """

    row: str
    path: Path
    config: Config
    preset: str
    protocol: Protocol

    @property
    def name(self) -> str:
        """Row and seed."""
        return self.path.name

    def open_run(self) -> Run:
        """Return the run as it is to go on, or a new one.

        Raises:
            UserError: Where the directory holds a run that cannot become this one.
        """
        if not (self.path / "config.json").is_file():
            return Run.create(self.path, self.config, self.preset)
        run = Run.open(self.path)
        for key in _SAME:
            if run.config.get(key) != self.config.get(key):
                raise UserError(f"{key}: expected {run.config.get(key)}, as the run was started with")
        done = run.latest_checkpoint()[0]
        if done > self.config.training.epochs:
            raise UserError(f"training.epochs: expected at least {done}, which the run has behind it")
        return run.changed(self.config.flat())

    def check(self) -> None:
        """Raise ``UserError`` where an earlier study left something else in this job's directory."""
        try:
            self.open_run()
        except UserError as error:
            raise UserError(f"{self.path}: {error}; choose another --out") from None

    def result(self) -> dict[str, Any] | None:
        """Return its evaluation; None where it is not trained to the end, or not evaluated by this protocol."""
        try:
            run = self.open_run()
            found = run.evaluation()
            return found if found and self._is_trained(run) and self._is_current(found, run) else None
        except (UserError, OSError, KeyError, TypeError):
            return None

    def _is_trained(self, run: Run) -> bool:
        first, second = (stage.latest_checkpoint()[0] for stage in (run, run.second_stage))
        return first >= self.config.training.epochs and second >= self.config.second_stage.epochs

    def _is_current(self, found: dict[str, Any], run: Run) -> bool:
        asked, protocol = self.protocol, found["protocol"]
        defaults = default_samplers(run.has_second_stage())
        return (
            protocol["checkpoint_epoch"] == run.latest_checkpoint()[0]
            and set(protocol["samplers"]) == set(asked.samplers or defaults)
            and (protocol["extractor"], protocol["asked_images"]) == (asked.extractor, asked.count)
            and (protocol["split"], protocol["seed"]) == ("held out", 0)
        )

    def to_json(self) -> str:
        """One line, for another process."""
        protocol = [self.protocol.samplers, self.protocol.extractor, self.protocol.count]
        return json.dumps([self.row, str(self.path), self.config.to_dict(), self.preset, protocol])

    @classmethod
    def from_json(cls, text: str) -> "Job":
        """Read what ``to_json`` wrote."""
        row, path, config, preset, (samplers, extractor, count) = json.loads(text)
        protocol = Protocol(samplers and tuple(samplers), extractor, count)
        return cls(row, Path(path), Config.from_dict(config), preset, protocol)
