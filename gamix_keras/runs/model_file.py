"""The one way from a `.keras` file to a VAE."""

from pathlib import Path

import keras

from gamix_keras import assembly  # noqa: F401  # registers the classes that a file names
from gamix_keras.config import UserError, catalogue
from gamix_keras.models import SecondStageVAE
from gamix_keras.samplers import Sampler, fit_sampler
from gamix_keras.training.model_file import read_model


def load_model(file: Path, compile: bool = False, second: bool = False) -> keras.Model:
    """Load a VAE in Keras's safe mode; one that is not trained on gets the moving average of its weights, if any.

    Args:
        file: A `.keras` file.
        compile: Whether to restore the optimizers too, in order to train on.
        second: Whether it must be a second stage, a VAE of latents, rather than one of images.

    Raises:
        UserError: If the file cannot be read, see `read_model`, or holds something else.
    """
    try:
        model = read_model(file, compile)
    except ValueError as error:
        raise UserError(str(error)) from None
    if not (isinstance(model, SecondStageVAE) if second else hasattr(model, "reconstruct")):
        expected = "a second stage" if second else "a VAE"
        raise UserError(f"expected a file of {expected}, got {file}, which holds a {type(model).__name__}")
    if not compile and hasattr(model, "adopt_average"):
        model.adopt_average()
    return model


def load_single(file: Path, argument: str = "RUN") -> keras.Model:
    """Do as `load_model`, for a file that a user names.

    Args:
        file: A `.keras` file.
        argument: What an error names.

    Raises:
        UserError: As `load_model`.
    """
    try:
        return load_model(file)
    except UserError as error:
        raise UserError(f"{argument}: {error}") from None


def file_sampler(model: keras.Model, file: Path, name: str | None = None, argument: str = "--sampler") -> Sampler:
    """Return a sampler that needs no data: the second stage of a model that has one, else the prior.

    Args:
        model: The model of the file.
        file: The file, for an error.
        name: The sampler that is asked for.
        argument: What an error names.

    Raises:
        UserError: If the sampler that is asked for has to be fitted, or the model does not have it.
    """
    has_second = hasattr(model, "second_stage")
    if name is not None and catalogue.SAMPLERS[name].fitted:
        remedy = "gamix_keras.load(FILE).with_sampler(NAME, images) fits one"
        raise UserError(f"{argument}: expected sampler prior or second_stage for a single file, got {name}; {remedy}")
    if name == "second_stage" and not has_second:
        raise UserError(f"{argument}: expected a model with a second stage, got {file}, which has none")
    return fit_sampler(name or ("second_stage" if has_second else "prior"), model)
