"""Samplers by name: fit one to a model and its data, save it and load it."""

import importlib
import os
from pathlib import Path
from typing import Any

import keras

from gamix_keras import files
from gamix_keras.config import catalogue
from gamix_keras.samplers.base import Sampler
from gamix_keras.samplers.posteriors import Posteriors, collect_posteriors
from gamix_keras.samplers.second_stage import SecondStageSampler
from gamix_keras.training.model_file import read_model


def _class(path: str) -> type[Sampler]:
    module, name = path.split(".")
    return getattr(importlib.import_module(f"gamix_keras.samplers.{module}"), name)


# All are imported at once, because a file can be loaded only after the class it names.
SAMPLERS: dict[str, type[Sampler]] = {name: _class(row.sampler) for name, row in catalogue.SAMPLERS.items()}


def fit_sampler(
    name: str,
    model: keras.Model,
    dataset: Any = None,
    *,
    components: int = 10,
    covariance: str = "full",
    seed: int = 0,
    limit: int | None = None,
) -> Sampler:
    """Fit a sampler of q(z) to a trained model and its data.

    Args:
        name: `prior`, `gaussian`, `mixture` or `second_stage`.
        model: A VAE. For `second_stage`, it must have a `second_stage` with a `decoder` and a `log_scale`.
        dataset: What `collect_posteriors` takes, or its result, which saves a second pass through the encoder.
            `prior` and `second_stage` do not use it.
        components: The number of components of `mixture`.
        covariance: The kind of covariance of `mixture`, see `MixtureSampler`.
        seed: The seed of the draws and of the fit.
        limit: The most images to take from `dataset`.

    Raises:
        ValueError: If there is no such sampler, the model has no second stage, or the data cannot be fitted.
    """
    if name not in SAMPLERS:
        raise ValueError(f"sampler: expected one of {', '.join(SAMPLERS)}, got {name!r}.")
    row, values = catalogue.SAMPLERS[name], {"components": components, "covariance": covariance}
    if row.second_stage:
        return _second_stage(model)
    own = {argument: values[argument] for argument in row.arguments}
    # Created first, to raise for a wrong argument before the pass through the encoder.
    sampler = SAMPLERS[name](model.latent_dim, **own)
    if not row.fitted:
        return sampler
    posteriors = dataset if isinstance(dataset, Posteriors) else collect_posteriors(model, dataset, limit)
    return sampler.fit(posteriors, seed)


def _second_stage(model: keras.Model) -> SecondStageSampler:
    stage = getattr(model, "second_stage", None)
    if stage is None:
        found = type(model).__name__
        raise ValueError(f"sampler: expected a model with a second stage for 'second_stage', got a {found}.")
    # In this package's VAEs the scale is a layer that holds the variable of the same name.
    return SecondStageSampler(stage.decoder, getattr(stage.log_scale, "log_scale", stage.log_scale))


def save_sampler(sampler: Sampler, path: str | os.PathLike) -> None:
    """Write a sampler, whole or not at all, as a Keras model from noise to latents.

    Args:
        sampler: A fitted sampler.
        path: The file to write, which ends in `.keras`.

    Raises:
        ValueError: If the path has another ending.
    """
    if Path(path).suffix != ".keras":
        raise ValueError(f"path: expected a file that ends in .keras, got {os.fspath(path)}.")
    noise = keras.Input((sampler.noise_dim,), name="noise")
    with files.replacing(path) as temporary:
        keras.Model(noise, sampler(noise), name="sampler").save(temporary)


def load_sampler(path: str | os.PathLike) -> Sampler:
    """Read what `save_sampler` wrote, on any backend, in Keras's safe mode.

    Raises:
        ValueError: If there is no such file, or no sampler in it.
    """
    path = Path(path)
    # Registers the networks that a second stage may have.
    from gamix_keras import networks  # noqa: F401

    try:
        model = read_model(path)
    except ValueError as error:
        raise ValueError(f"path: {error}") from error
    layers = getattr(model, "layers", None)
    if not layers or not isinstance(layers[-1], Sampler):
        raise ValueError(f"path: expected a file of a sampler, got {path}, which holds a {type(model).__name__}.")
    return layers[-1]
