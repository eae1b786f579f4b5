"""The rows of each study, which are differences from one common configuration.

A row's configuration is the recipe, changed by the study's own defaults, then by what the user sets for all rows, then
by the changes of the row.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from gamix_keras.config import Config, UserError, Value, check_read, is_read
from gamix_keras.config.presets import Preset
from gamix_keras.study.job import Job, Protocol

DEFAULT_PRESET = "gamix"
VARIANCE_WEIGHTS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
LATENT_DIMS = (4, 8, 16, 32, 64, 128)

_VAE = {"model.name": "vae", "model.critic": False}
_GAMIX = {"model.name": "gamix", "loss.moments": "means", "loss.momentum": None}
_LEARNED = {"loss.mae_weight": None, "loss.scale": "learned"}
_RUNNING = {"loss.momentum": 0.99}
# As in the recipe gamix-two-stage: few epochs, for CPUs. The paper trains for 800.
_SECOND_STAGE = {"epochs": 60, "learning_rate": 5e-4, "halve_every": 20, "width": 512}


class Row(NamedTuple):
    """One row of a study.

    Attributes:
        name: The name of the row, in the table and in the names of its runs.
        changes: The settings in which the row differs, by dotted key.
        value: The value of the setting that the study varies, if it is a number.
    """

    name: str
    changes: dict[str, Value]
    value: float | None = None


@dataclass(frozen=True)
class Study:
    """One question and the rows that answer it.

    Attributes:
        question: The question in words.
        rows: A function from the data sources that the user names to the rows.
        varied: The setting that the rows vary, if it is a number.
        defaults: The settings of the recipe that the study changes.
        second_stage: Whether each run has a second stage, as in the recipe `gamix-two-stage` if its own has none.
    """

    question: str
    rows: Callable[[Sequence[str]], list[Row]]
    varied: str | None = None
    defaults: dict[str, Value] = field(default_factory=dict)
    second_stage: bool = False


def _ablation(_: Sequence[str]) -> list[Row]:
    without = {**_GAMIX, "model.critic": False}
    return [
        Row("elbo", _VAE),
        Row("global", {**without, "loss.variance_weight": 0.0}),
        Row("global-variance", without),
        Row("global-variance-critic", {**_GAMIX, "model.critic": True}),
    ]


def _samplers(_: Sequence[str]) -> list[Row]:
    return [
        Row("vae", {"model.name": "vae"}),
        Row("sigma-vae", {"model.name": "vae", "loss.likelihood": "gaussian", **_LEARNED}),
        Row("gamix", _GAMIX),
        Row("gamix-total", {**_GAMIX, "loss.moments": "total"}),
        # Running moments: a batch has too few images for a full covariance.
        Row("gamix-full", {**_GAMIX, "loss.moments": "full", **_RUNNING}),
        Row("gamix-running", {**_GAMIX, "loss.moments": "total", **_RUNNING}),
        Row("gamix-learned", {**_GAMIX, "loss.likelihood": "laplace", **_LEARNED}),
    ]


def _over(key: str, values: Sequence[float]) -> Callable[[Sequence[str]], list[Row]]:
    label = key.rpartition(".")[2].replace("_", "-")
    return lambda _: [Row(f"{label}-{value:g}", {key: value}, float(value)) for value in values]


def _datasets(sources: Sequence[str]) -> list[Row]:
    if len(sources) < 2:
        raise UserError(f"--data: expected at least two sources for cross-dataset, got {len(sources)}")
    names = [_short(source) for source in sources]
    numbered = [f"{name}-{i + 1}" if names.count(name) > 1 else name for i, name in enumerate(names)]
    return [Row(name, {"data.source": source}) for name, source in zip(numbered, sources, strict=True)]


def _short(source: str) -> str:
    """Return `fashion` for `idx:/data/fashion`; for TFDS the whole name, whose last part may be a size."""
    kind, _, rest = source.rpartition(":")
    name = rest if kind == "tfds" else Path(rest).name
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "data"


STUDIES: dict[str, Study] = {
    "ablation": Study("What does each term of GAMIX-VAE bring?", _ablation),
    "variance-weight": Study(
        "How much posterior variance?",
        _over("loss.variance_weight", VARIANCE_WEIGHTS),
        "loss.variance_weight",
        {"model.name": "gamix"},
    ),
    "latent-dim": Study("How many latents?", _over("model.latent_dim", LATENT_DIMS), "model.latent_dim"),
    "cross-dataset": Study("Does it hold on other images?", _datasets),
    "samplers": Study(
        "Which model and which sampler go together?", _samplers, defaults={"model.critic": False}, second_stage=True
    ),
}


def select_rows(name: str, sources: Sequence[str] = (), wanted: Sequence[str] | None = None) -> list[Row]:
    """Return the rows of a study, all or those `wanted`.

    Raises:
        UserError: If a wanted row does not exist, or the study takes another number of sources.
    """
    if name != "cross-dataset" and len(sources) > 1:
        raise UserError(f"--data: expected one source for {name}, got {len(sources)}; cross-dataset compares several")
    rows = {row.name: row for row in STUDIES[name].rows(sources)}
    unknown = [row for row in wanted or () if row not in rows]
    if unknown:
        raise UserError(f"--rows: expected names of {', '.join(rows)}, got {', '.join(unknown)}")
    return [rows[row] for row in wanted or rows]


def plan_jobs(
    name: str,
    rows: Sequence[Row],
    out: Path,
    preset: Preset,
    common: Mapping[str, Value],
    protocol: Protocol,
    seeds: int = 1,
) -> list[Job]:
    """Resolve a study: one job for each row and seed.

    Args:
        name: The name of the study.
        rows: The rows of the study.
        out: The directory of the study.
        preset: The recipe.
        common: The settings that the user makes for all rows, by dotted key.
        protocol: The protocol by which each run is evaluated.
        seeds: The number of runs of each row, with seeds upwards from that of the recipe or of `common`.

    Raises:
        UserError: If `common` sets what every row sets itself or none reads, or a configuration is contradictory.
    """
    fixed = [key for key in common if all(key in row.changes for row in rows)]
    if fixed:
        raise UserError(f"--set: expected other settings than {', '.join(fixed)}, which the study {name} sets itself")
    shared = {**_defaults(STUDIES[name], preset.config), **common}
    jobs = []
    for row in rows:
        config = _config(row, preset.config, shared)
        for seed in range(config.seed, config.seed + seeds):
            path = Path(out) / "runs" / f"{row.name}-seed{seed}"
            jobs.append(Job(row.name, path, config.updated({"seed": seed}), preset.name, protocol))
    _check_read(jobs, common)
    if "second_stage" in (protocol.samplers or ()) and not all(job.config.second_stage.epochs for job in jobs):
        raise UserError("--samplers: expected second_stage.epochs above 0 for second_stage, got 0; --set changes it")
    return jobs


def _check_read(jobs: Sequence[Job], common: Mapping[str, Value]) -> None:
    """Check that at least one row reads each setting that the user names for all of them."""
    for key, value in common.items():
        if not any(is_read(job.config, key) for job in jobs):
            check_read(jobs[0].config, {key: value})


def _config(row: Row, base: Config, shared: Mapping[str, Value]) -> Config:
    try:
        return base.updated({**shared, **row.changes})
    except UserError as error:
        raise UserError(f"row {row.name}: {error}") from None


def _defaults(study: Study, base: Config) -> dict[str, Value]:
    values = {"training.sample_every": 0, **study.defaults}
    if study.second_stage and not base.second_stage.epochs:
        values |= {f"second_stage.{name}": value for name, value in _SECOND_STAGE.items()}
    return values
