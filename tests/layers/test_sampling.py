"""The Gaussian sample has the moments it should, and is the mean at inference."""

import numpy as np
import pytest
from harness import numpy, round_trip

from gamix_keras.layers import GaussianSampling, LearnedLogScale

MEAN = np.tile(np.array([[1.0, -2.0]], "float32"), (20_000, 1))
LOG_VAR = np.tile(np.log(np.array([[0.25, 4.0]], "float32")), (20_000, 1))


def test_samples_have_mean_and_variance_of_the_posterior():
    z = numpy(GaussianSampling(seed=1)(MEAN, LOG_VAR, training=True))
    np.testing.assert_allclose(z.mean(0), [1.0, -2.0], atol=0.06)
    np.testing.assert_allclose(z.var(0), [0.25, 4.0], rtol=0.05)


def test_inference_gives_the_mean():
    np.testing.assert_array_equal(numpy(GaussianSampling()(MEAN, LOG_VAR)), MEAN)


def test_noise_moves_on_in_training_and_stands_still_in_evaluation():
    layer = GaussianSampling(seed=1)
    draws = [numpy(layer(MEAN[:4], LOG_VAR[:4], training=True)) for _ in range(2)]
    assert not np.allclose(*draws)
    np.testing.assert_array_equal(*[numpy(layer.draw(MEAN[:4], LOG_VAR[:4])) for _ in range(2)])


def test_config_round_trip():
    assert round_trip(GaussianSampling(seed=7)).seed == 7
    assert round_trip(LearnedLogScale(0.5)).initial == 0.5


def test_learned_scale_starts_where_told():
    layer = LearnedLogScale(0.5)
    assert float(numpy(layer(np.zeros(1)))) == pytest.approx(np.log(0.5))
    assert len(layer.trainable_variables) == 1
    with pytest.raises(ValueError, match="initial"):
        LearnedLogScale(0.0)
