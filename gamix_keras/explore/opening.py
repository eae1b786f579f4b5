"""From a run to its explorer, and to images that the model has not seen."""

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
    """Load a run's model, and the principal axes of its q(z), fitted to the training images where they are not kept.

    Raises:
        UserError: Where the run has no checkpoint, or its training images are wanted and are not there.
    """
    model = run.load_model()
    names = [name for name in SAMPLERS if name != "second_stage" or hasattr(model, "second_stage")]
    samplers = {name: partial(sampling.sampler_of, run, model, name, say=say) for name in names}
    # Its axes are wanted at once, so that one is fitted now, the others when they are first drawn from.
    gaussian = samplers["gaussian"]()
    return Explorer(model, gaussian.principal_axes(), {**samplers, "gaussian": lambda: gaussian})


def held_out_images(run: Run, count: int = HELD_OUT, say: Callable[[str], None] = print) -> np.ndarray:
    """Draw held-out images of a run's data, as bytes (N, H, W, C); none if the data are not there."""
    try:
        source = assembly.open_source(run.config, "validation")
        with reading(source):
            return source.draw(count, run.config.seed)
    except UserError as error:
        say(f"no held-out images to choose from: {error}")
        size = run.config.data.image_size
        return np.zeros((0, size, size, run.config.data.channels), "uint8")


def first_sampler(run: Run) -> str:
    """Name the sampler that measured best; where none was measured the Gaussian, which the axes are from."""
    return sampling.choose(run).name if sampling.measured_distances(run) else "gaussian"
