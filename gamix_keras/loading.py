"""One call from a name or a path to a trained model that draws: `gamix_keras.load`."""

import functools
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from gamix_keras import latent_space
from gamix_keras.config import Config, UserError
from gamix_keras.models.compiled import CompiledVAE
from gamix_keras.runs import Run, sampling
from gamix_keras.runs.directory import is_run
from gamix_keras.runs.lookup import at_path, find, shipped
from gamix_keras.runs.model_file import file_sampler, load_single
from gamix_keras.samplers import SAMPLERS, Posteriors, Sampler, fit_sampler

_PREFERRED = ("second_stage", "mixture", "gaussian")


@dataclass(frozen=True)
class TrainedModel:
    """A trained VAE with the sampler that draws its latents; takes and returns NumPy images in [-1, 1].

    The methods of its `model` return tensors of the backend instead.

    Attributes:
        model: The Keras model itself, not compiled. Its own `sample` draws from the prior N(0, I).
        sampler: An approximation of q(z), see `gamix_keras.samplers`; `sample` draws from this.
        config: The configuration of the run; None if a single file was loaded.
        evaluation: What `gamix-keras evaluate` wrote; None if it was not run.
        epochs: Epochs that the model was trained for; None if a single file was loaded.
    """

    model: keras.Model
    sampler: Sampler
    config: Config | None = None
    evaluation: dict[str, Any] | None = None
    epochs: int | None = None

    def __repr__(self) -> str:
        """Three lines: what it is, what it was trained on, and what it draws from."""
        shape = " x ".join(map(str, self.image_shape))
        what = f"{type(self.model).__name__}: images {shape}, {self.latent_dim} latents"
        return "\n".join([f"{what}, {self.model.count_params():,} weights", self._training(), self._drawing()])

    def _training(self) -> str:
        if self.config is None:
            return "trained on: unknown, for a single file was loaded"
        source = self.config.data.source
        drawn = f" ({self.config.data.count:,} drawn)" if source == "faces" else ""
        return f"trained on: {source}{drawn}, to epoch {self.epochs}"

    def _drawing(self) -> str:
        name = next(name for name, kind in SAMPLERS.items() if type(self.sampler) is kind)
        score = (self.evaluation or {}).get("samplers", {}).get(name)
        if score is None:
            return f"sampler: {name}, not measured yet"
        distance = score["frechet"]
        digits = 1 if distance["value"] >= 1.0 else 3  # features differ in scale
        return f"sampler: {name}, {distance.get('name', 'Frechet distance')} {distance['value']:.{digits}f}"

    @functools.cached_property
    def networks(self) -> CompiledVAE:
        """Encoder and decoder, compiled at their first use; every method below runs through them."""
        return CompiledVAE(self.model)

    @property
    def latent_dim(self) -> int:
        """D, the number of latents."""
        return self.model.latent_dim

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C), the shape of an image."""
        return self.model.image_shape

    def sample(
        self, count: int, seed: int | None = None, temperature: float = 1.0, truncation: float | None = None
    ) -> np.ndarray:
        """Draw new images; the same seed gives the same ones.

        Args:
            count: Number of images, at least 1.
            seed: Seed of the noise; None draws other images each time.
            temperature: Factor on the noise, see `Sampler`.
            truncation: Largest absolute value of the noise, see `Sampler`; None for no limit.

        Returns:
            Images (count, H, W, C).

        Raises:
            ValueError: If a number is out of its range.
        """
        seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
        noise = {"temperature": temperature, "truncation": truncation}
        return latent_space.draw(self.networks, count, seed, sampler=self.sampler, **noise)

    def encode(self, images: np.ndarray) -> Posteriors:
        """Return mean and log-variance of q(z|x), each (B, D), for images (B, H, W, C)."""
        return self.networks.encode(images)

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """Return images (B, H, W, C) for latents (B, D)."""
        return self.networks.decode(latents)

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Return images decoded from the posterior means of images (B, H, W, C)."""
        return self.networks.reconstruct(images)

    def with_sampler(self, name: str, images: Any = None, **arguments: Any) -> "TrainedModel":
        """Return the same model with another sampler.

        Args:
            name: `prior`, `gaussian`, `mixture` or `second_stage`.
            images: The data to fit it to: images, batches of them, or their `Posteriors`.
            **arguments: Arguments of `fit_sampler`.

        Raises:
            ValueError: As `fit_sampler`.
        """
        return replace(self, sampler=fit_sampler(name, self.model, images, **arguments))


def load(
    name: str | os.PathLike,
    sampler: str | None = None,
    checkpoint: str | int = "latest",
    cache: str | os.PathLike | None = None,
) -> TrainedModel:
    """Load a trained model, ready to draw.

        faces = gamix_keras.load("faces")
        images = faces.sample(16, seed=0)

    Args:
        name: A run directory, a model that comes with the package (`shipped_names()`), or a `.keras` file. A run
            directory in the working directory goes before a model of the package of the same name, with a warning.
        sampler: `prior`, `gaussian`, `mixture` or `second_stage`. None takes the best that was measured for the run,
            else the second stage, else what was fitted before, else the prior. A sampler that is named and was not
            fitted yet is fitted to the run's training images and kept in `RUN/samplers`, unless the package brought it.
        checkpoint: Which checkpoint of a run: `latest`, `best` or an epoch, see `Run.at`.
        cache: Directory for a sampler that is fitted, for a run that cannot be written to; None keeps it in the run.

    Raises:
        UserError: If there is nothing of that name, it cannot be read, or it lacks the sampler or the checkpoint.
    """
    if sampler not in (None, *SAMPLERS):
        raise UserError(f"load: sampler: expected one of {', '.join(SAMPLERS)}, got {sampler!r}")
    path = find(name, "load")
    if not is_run(path):
        return _load_file(path, sampler)
    return _load_run(at_path(path).at(checkpoint).beside(cache), sampler)


def shipped_names() -> tuple[str, ...]:
    """Return the names of the models that come with the package."""
    return tuple(shipped())


def _load_run(run: Run, sampler: str | None) -> TrainedModel:
    model = run.load_model()
    drawn = sampling.sampler_of(run, model, sampler or _best(run, model))
    return TrainedModel(model, drawn, run.config, run.evaluation(), run.checkpoint().epoch)


def _best(run: Run, model: keras.Model) -> str:
    if sampling.measured_distances(run):
        return sampling.choose(run).name
    there = {"second_stage": hasattr(model, "second_stage")}
    there |= {name: sampling.is_fitted(run, name) for name in sampling.FITTED}
    return next((name for name in _PREFERRED if there[name]), "prior")


def _load_file(path: Path, sampler: str | None) -> TrainedModel:
    model = load_single(path, "load")
    return TrainedModel(model, file_sampler(model, path, sampler, "load"))
