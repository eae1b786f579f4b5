"""The rows of each study, which are differences from one common configuration.

A row's configuration is the recipe, changed by the study's own defaults, then by what the user sets for all rows, then
by the changes of the row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from gamix_keras.config import Config, UserError, Value, check_read, is_read
from gamix_keras.config.presets import Preset, load_preset
from gamix_keras.study import rows
from gamix_keras.study.job import Job, Protocol
from gamix_keras.study.rows import Given, Row

DEFAULT_PRESET = "gamix"
# As in the recipe gamix-two-stage: few epochs, for CPUs. The paper trains for 800.
_SECOND_STAGE = {"epochs": 60, "learning_rate": 5e-4, "halve_every": 20, "width": 512}


@dataclass(frozen=True)
class Study:
    """One question and the rows that answer it.

    Attributes:
        question: The question in words.
        rows: A function from what recipe and user give to the rows.
        varied: The setting that the rows vary, if it is a number.
        defaults: The settings of the recipe that the study changes.
        second_stage: Whether each run has a second stage, as in the recipe `gamix-two-stage` if its own has none.
    """

    question: str
    rows: Callable[[Given], list[Row]]
    varied: str | None = None
    defaults: dict[str, Value] = field(default_factory=dict)
    second_stage: bool = False


STUDIES: dict[str, Study] = {
    "ablation": Study("What does each term of GAMIX-VAE bring?", rows.ablation),
    "baselines": Study("Does GAMIX-VAE beat a VAE with a learned scale and the same further terms?", rows.baselines),
    "variance-weight": Study(
        "How much posterior variance?",
        rows.over("loss.variance_weight", rows.VARIANCE_WEIGHTS),
        "loss.variance_weight",
        {"model.name": "gamix"},
    ),
    "latent-dim": Study("How many latents?", rows.over("model.latent_dim", rows.LATENT_DIMS), "model.latent_dim"),
    "cross-dataset": Study("Does it hold on other images?", rows.datasets),
    "samplers": Study(
        "Which model and which sampler go together?", rows.samplers, defaults={"model.critic": False}, second_stage=True
    ),
}


def select_rows(
    name: str,
    sources: Sequence[str] = (),
    wanted: Sequence[str] | None = None,
    base: Config | None = None,
    common: Mapping[str, Value] = MappingProxyType({}),
) -> list[Row]:
    """Return the rows of a study, all or those `wanted`.

    Args:
        name: The name of the study.
        sources: The data sources that the user names.
        wanted: Names of rows; None for all.
        base: The configuration of the recipe; None for the default one.
        common: The settings that the user makes for all rows, by dotted key.

    Raises:
        UserError: If a wanted row does not exist, or the study takes another number of sources.
    """
    if name != "cross-dataset" and len(sources) > 1:
        raise UserError(f"--data: expected one source for {name}, got {len(sources)}; cross-dataset compares several")
    base = load_preset(DEFAULT_PRESET).config if base is None else base
    settings = {**base.flat(), **_defaults(STUDIES[name], base), **common}
    rows = {row.name: row for row in STUDIES[name].rows(Given(sources, settings, common))}
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
