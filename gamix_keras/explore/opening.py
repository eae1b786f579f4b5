"""The explorer of a run, and images that its model has not seen."""

from collections.abc import Callable
from functools import partial

import numpy as np

from gamix_keras import assembly
from gamix_keras.config import UserError
from gamix_keras.data import reading
from gamix_keras.explore.explorer import Explorer
from gamix_keras.runs import Run, sampling
from gamix_keras.samplers import SAMPLERS

HELD_OUT = 12


def open_explorer(run: Run, say: Callable[[str], None] = print) -> Explorer:
    """Load a run's model and the principal axes of its q(z), which are fitted to the training images if not saved.

    Raises:
        UserError: If the run has no checkpoint, or its training images are needed and cannot be read.
    """
    model = run.load_model()
    names = [name for name in SAMPLERS if name != "second_stage" or hasattr(model, "second_stage")]
    samplers = {name: partial(sampling.sampler_of, run, model, name, say=say) for name in names}
    # Fitted now, because the sliders need its axes; the others are fitted at their first draw.
    gaussian = samplers["gaussian"]()
    return Explorer(model, gaussian.principal_axes(), {**samplers, "gaussian": lambda: gaussian})


def held_out_images(run: Run, count: int = HELD_OUT, say: Callable[[str], None] = print) -> np.ndarray:
    """Draw held-out images of a run's data, as bytes (N, H, W, C), N = 0 if the data cannot be read."""
    try:
        source = assembly.open_source(run.config, "validation")
        with reading(source):
            return source.draw(count, run.config.seed)
    except UserError as error:
        say(f"no held-out images to choose from: {error}")
        return np.zeros((0, *run.config.data.image_shape), "uint8")


def first_sampler(run: Run) -> str:
    """Return the name of the sampler that was measured best, or of the Gaussian if none was measured."""
    return sampling.choose(run).name if sampling.measured_distances(run) else "gaussian"
