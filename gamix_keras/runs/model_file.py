"""The one way from a `.keras` file to a model."""

from pathlib import Path

import keras

from gamix_keras import assembly  # noqa: F401  # registers the classes that a file names
from gamix_keras.training.building import building


def load_model(file: Path, compile: bool = False) -> keras.Model:
    """Load a model in Keras's safe mode; one that is not trained on gets the moving average of its weights, if any.

    Args:
        file: A `.keras` file.
        compile: Whether to restore the optimizers too, in order to train on.
    """
    with building():
        model = keras.saving.load_model(file, compile=compile, safe_mode=True)
    if not compile and hasattr(model, "adopt_average"):
        model.adopt_average()
    return model
