"""One run of a study: its configuration and protocol, and whether it is finished. Imports no Keras."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gamix_keras.config import Config, UserError
from gamix_keras.config.protocol import DEFAULT_COUNT, DEFAULT_EXTRACTOR, default_samplers
from gamix_keras.runs import Run

# A run of a study must keep these settings, though `train --resume` may change them.
_SAME = ("data.source", "data.validation")


@dataclass(frozen=True)
class Protocol:
    """The protocol by which every run of a study is evaluated; see `gamix_keras.evaluation.Settings`."""

    samplers: tuple[str, ...] | None = None
    extractors: tuple[str, ...] | None = None
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
        """The name of the run: row and seed."""
        return self.path.name

    def open_run(self) -> Run:
        """Return the run to train: the one in the directory with this configuration, or a new one.

        Raises:
            UserError: If the directory holds a run that cannot get this configuration.
        """
        if not (self.path / "config.json").is_file():
            return Run.create(self.path, self.config, self.preset)
        run = Run.open(self.path)
        for key in _SAME:
            if run.config.get(key) != self.config.get(key):
                raise UserError(
                    f"{key}: expected {run.config.get(key)}, as the run was started with, got {self.config.get(key)}"
                )
        done, epochs = run.latest_checkpoint().epoch, self.config.training.epochs
        if done > epochs:
            raise UserError(f"training.epochs: expected at least {done}, which are trained already, got {epochs}")
        return run.changed(self.config.flat())

    def check(self) -> None:
        """Raise `UserError` if an earlier study left another run in this job's directory."""
        try:
            self.open_run()
        except UserError as error:
            raise UserError(f"{self.path}: {error}; choose another --out") from None

    def result(self) -> dict[str, Any] | None:
        """Return the evaluation, or None if the run is not finished, or not evaluated by this protocol."""
        try:
            run = self.open_run()
            found = run.evaluation()
            return found if found and self._is_trained(run) and self._is_current(found, run) else None
        except (UserError, OSError, KeyError, TypeError):
            return None

    def _is_trained(self, run: Run) -> bool:
        first, second = (stage.latest_checkpoint().epoch for stage in (run, run.second_stage))
        return first >= self.config.training.epochs and second >= self.config.second_stage.epochs

    def _is_current(self, found: dict[str, Any], run: Run) -> bool:
        asked, protocol = self.protocol, found["protocol"]
        defaults = default_samplers(run.has_second_stage())
        return (
            protocol["checkpoint_epoch"] == run.latest_checkpoint().epoch
            and set(protocol["samplers"]) == set(asked.samplers or defaults)
            and self._is_judged(protocol)
            and protocol["asked_images"] == asked.count
            and (protocol["split"], protocol["seed"]) == ("held out", 0)
        )

    def _is_judged(self, protocol: dict[str, Any]) -> bool:
        """Return whether the extractors were asked for that the study asks for."""
        asked = self.protocol.extractors
        if "asked_extractors" in protocol:
            found = protocol["asked_extractors"]
            return (found and sorted(found)) == (asked and sorted(asked))
        # Before there could be several, the default was named.
        return protocol["extractor"] == (asked[0] if asked else DEFAULT_EXTRACTOR) and len(asked or [""]) == 1

    def to_json(self) -> str:
        """Return the job as one line of JSON, for another process."""
        protocol = [self.protocol.samplers, self.protocol.extractors, self.protocol.count]
        return json.dumps([self.row, str(self.path), self.config.to_dict(), self.preset, protocol])

    @classmethod
    def from_json(cls, text: str) -> "Job":
        """Return the job of a line that `to_json` wrote."""
        row, path, config, preset, (samplers, extractors, count) = json.loads(text)
        protocol = Protocol(samplers and tuple(samplers), extractors and tuple(extractors), count)
        return cls(row, Path(path), Config.from_dict(config), preset, protocol)
