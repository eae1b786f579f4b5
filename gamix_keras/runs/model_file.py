"""The one way from a `.keras` file to a VAE."""

from pathlib import Path

import keras

from gamix_keras import assembly  # noqa: F401  # registers the classes that a file names
from gamix_keras.config import UserError
from gamix_keras.models import SecondStageVAE
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
