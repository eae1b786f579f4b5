"""The sampler of a run: chosen by measurement, fitted on first use, kept in `RUN/samplers/`."""

import math
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import keras

from gamix_keras import assembly, files
from gamix_keras.config import UserError, catalogue
from gamix_keras.data import reading
from gamix_keras.models.compiled import CompiledVAE
from gamix_keras.runs import checkpoints
from gamix_keras.runs.directory import Run
from gamix_keras.samplers import (
    SAMPLERS,
    Posteriors,
    Sampler,
    collect_posteriors,
    fit_sampler,
    load_sampler,
    save_sampler,
)

# The others have nothing to fit: the prior is fixed, and the second stage is part of the model.
FITTED = tuple(name for name, row in catalogue.SAMPLERS.items() if row.fitted)
COMPONENTS = 10


class Choice(NamedTuple):
    """A sampler's name, and why it is this one."""

    name: str
    reason: str


def choose(run: Run) -> Choice:
    """Choose the best sampler that was measured for a run, by the Frechet distance; the prior if none was.

    Raises:
        UserError: As `Run.evaluation`.
    """
    distances = measured_distances(run)
    if not run.has_second_stage():
        distances.pop("second_stage", None)
    if not distances:
        return Choice("prior", "none was measured; `gamix-keras evaluate` says which is best")
    best = min(distances, key=distances.__getitem__)
    digits = 2 if distances[best] >= 1.0 else 4  # features differ in scale
    others = ", ".join(f"{name} {distances[name]:.{digits}f}" for name in sorted(distances, key=distances.__getitem__))
    late = ", measured before that checkpoint" if not run.packaged and _is_older(run.evaluation_file, run) else ""
    return Choice(best, f"the lowest Frechet distance of {others}{late}")


def measured_distances(run: Run) -> dict[str, float]:
    """Return the Frechet distance of each sampler that was measured; none if the run was not evaluated.

    Raises:
        UserError: As `Run.evaluation`.
    """
    result = run.evaluation()
    samplers = result["samplers"] if result else {}
    distances = {name: float(scores["frechet"]["value"]) for name, scores in samplers.items()}
    return {name: value for name, value in distances.items() if name in SAMPLERS and math.isfinite(value)}


def sampler_of(
    run: Run,
    model: keras.Model,
    name: str,
    components: int | None = None,
    say: Callable[[str], None] = print,
    posteriors: Callable[[], Posteriors] | None = None,
) -> Sampler:
    """Return a run's sampler; fit it to the training images if that was not done before, and save it in the run.

    To a model that came with the package nothing is written: what it lacks is fitted each time.

    A sampler that was fitted to another checkpoint, or has another number of components, is fitted again.

    Args:
        run: The run to sample from.
        model: The model of that run, from `run.load_model()`.
        name: One of `gamix_keras.samplers.SAMPLERS`.
        components: Components of `mixture`; None takes what was saved, or 10.
        say: Called with a line before each part of a fit.
        posteriors: Called for the posteriors of the training images if they are needed, so that several samplers share
            one pass through the encoder; None encodes them.

    Raises:
        UserError: If the run has no such sampler, or the sampler takes no `components`.
    """
    if components is not None and name != "mixture":
        raise UserError(f"--components: expected the sampler mixture with it, got {name}")
    if name == "second_stage" and not hasattr(model, "second_stage"):
        remedy = f"`gamix-keras train --resume --out {run.path} --set second_stage.epochs=N` adds one"
        raise UserError(f"--sampler: expected a run with a second stage, got {run.path}, which has none; {remedy}")
    if name in SAMPLERS and name not in FITTED:
        return fit_sampler(name, model)
    collect = posteriors or partial(training_posteriors, run, model, say)
    kept = (_kept(folder / f"{name}.keras", run, components) for folder in run.sampler_folders())
    found = next((sampler for sampler in kept if sampler and sampler.latent_dim == model.latent_dim), None)
    return found or _fitted(run.samplers / f"{name}.keras", run, collect(), components, say)


def is_fitted(run: Run, name: str) -> bool:
    """Return whether a sampler is kept that was fitted to the loaded checkpoint of a run."""
    return any(_is_fitted(folder / f"{name}.keras", run) for folder in run.sampler_folders())


def _is_fitted(path: Path, run: Run) -> bool:
    return path.exists() and not _is_stale(path, run)


def training_posteriors(run: Run, model: keras.Model, say: Callable[[str], None] = print) -> Posteriors:
    """Encode the training images of a run, without augmentation, by its model."""
    source = assembly.open_source(run.config, "train")
    say(f"latents of {len(source):,} training images")
    with reading(source):
        return collect_posteriors(CompiledVAE(model), assembly.batches_in_order(run.config, source))


def mixture_arguments(images: int, latent_dim: int, components: int = COMPONENTS) -> dict[str, Any]:
    """Return components and covariance of a mixture: a full covariance needs more than D images per component."""
    return {"components": components, "covariance": "full" if images > components * latent_dim else "diag"}


def _kept(path: Path, run: Run, components: int | None) -> Sampler | None:
    if not _is_fitted(path, run):
        return None
    try:
        sampler = load_sampler(path)
    except ValueError:
        return None
    return sampler if components in (None, getattr(sampler, "components", None)) else None


def _fitted(
    path: Path, run: Run, posteriors: Posteriors, components: int | None, say: Callable[[str], None]
) -> Sampler:
    images, latent_dim = posteriors.mean.shape
    own = {}
    if path.stem == "mixture":
        own = mixture_arguments(images, latent_dim, components or min(COMPONENTS, images))
    settings = "".join(f", {key} {value}" for key, value in own.items())
    say(f"fitting the sampler {path.stem} to {images:,} training images{settings}")
    sampler = SAMPLERS[path.stem](latent_dim, **own).fit(posteriors, seed=run.config.seed)
    if run.packaged and run.out is None:
        return sampler
    try:
        _keep(sampler, path, run)
    except OSError as error:  # a read-only or full disk is no reason not to draw
        why = error.strerror or str(error)
        warnings.warn(f"{path} cannot be written ({why}): the sampler is fitted anew the next time", stacklevel=2)
    return sampler


def _keep(sampler: Sampler, path: Path, run: Run) -> None:
    save_sampler(sampler, path)
    checkpoint = run.checkpoint()
    checksum = checkpoints.checksum(checkpoint.file) if checkpoint.exists else None
    files.write_text(_note(path), checksum or "")


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.checkpoint")


def _is_stale(path: Path, run: Run) -> bool:
    """Return whether a sampler is of another checkpoint, by the checksum noted beside it, else by time."""
    checkpoint = run.checkpoint()
    checksum = checkpoints.checksum(checkpoint.file) if checkpoint.exists else None
    noted = _note(path).read_text(encoding="utf-8") if _note(path).exists() else ""
    if noted and checksum:
        return noted != checksum
    # Beside the run there may be samplers of another one, of any age.
    return run.path not in path.parents or _is_older(path, run)


def _is_older(path: Path, run: Run) -> bool:
    """Return whether a file was written before the loaded checkpoint of a run."""
    checkpoint = run.checkpoint()
    return checkpoint.exists and path.stat().st_mtime_ns < checkpoint.file.stat().st_mtime_ns
