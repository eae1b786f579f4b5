"""Terms of a validation pass, fed batch by batch, against the loss of all its images at once."""

import numpy as np
import pytest
from harness import numpy
from keras import ops

from gamix_keras.losses import MixtureKL, StandardKL
from gamix_keras.models.pass_terms import PassFreeBits, PassMixture
from gamix_keras.training.pass_noise import pass_noise

RNG = np.random.default_rng(0)
MEAN, LOG_VAR = RNG.normal(size=(2, 23, 4)).astype("float32")
WEIGHTS = RNG.uniform(0, 2, 23).astype("float32")


def fed(statistics, size, weights):
    """The statistics' value after a pass in batches of this size."""
    for start in range(0, len(MEAN), size):
        part = slice(start, start + size)
        arrays = [values[part] for values in (MEAN, LOG_VAR, weights) if values is not None]
        statistics.update_state(*map(ops.convert_to_tensor, arrays))
    return float(statistics.value())


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("size", [23, 5])
def test_the_mixture_is_that_of_the_first_images_at_once(size, weights):
    z = MEAN + np.exp(0.5 * LOG_VAR) * numpy(pass_noise(0, MEAN.shape))
    for kept in (16, 40):
        rows = slice(kept)
        expected = MixtureKL()(z[rows], (MEAN[rows], LOG_VAR[rows]), None if weights is None else weights[rows])
        assert fed(PassMixture(4, kept), size, weights) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("size", [23, 5])
def test_free_bits_are_those_of_all_images_at_once(size, weights):
    expected = StandardKL(0.7, 2)(MEAN, LOG_VAR, weights)
    assert fed(PassFreeBits(4, 0.7, 2), size, weights) == pytest.approx(float(expected), rel=1e-5)
