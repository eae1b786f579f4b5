"""Moments of q(z) against brute force on the mixture, and running moments against what they average."""

import keras
import numpy as np
import pytest
from harness import numpy, round_trip

from gamix_keras.layers import AggregateMoments

RNG = np.random.default_rng(3)
MEAN = (RNG.normal(size=(6, 3)) + 1.0).astype("float32")
LOG_VAR = RNG.normal(size=(6, 3)).astype("float32")


def _from_the_mixture(count=400_000):
    """Samples of q(z) itself: pick a component, then draw from it."""
    which = RNG.integers(0, len(MEAN), count)
    return MEAN[which] + np.exp(0.5 * LOG_VAR[which]) * RNG.normal(size=(count, 3))


def test_total_and_full_are_the_moments_of_the_mixture():
    z = _from_the_mixture()
    m, v = AggregateMoments("total")(MEAN, LOG_VAR)
    np.testing.assert_allclose(numpy(m), z.mean(0), atol=0.02)
    np.testing.assert_allclose(numpy(v), z.var(0), rtol=0.02)
    _, s = AggregateMoments("full")(MEAN, LOG_VAR)
    np.testing.assert_allclose(numpy(s), np.cov(z.T), rtol=0.03, atol=0.02)


def test_means_is_the_population_variance_of_the_means():
    _, v = AggregateMoments("means")(MEAN, LOG_VAR)
    np.testing.assert_allclose(numpy(v), MEAN.var(0), rtol=1e-5)


@pytest.mark.parametrize("kind", ["means", "total", "full"])
def test_first_running_moments_are_the_batch_s(kind):
    """Bias correction: after one batch the average is that batch."""
    expected = AggregateMoments(kind)(MEAN, LOG_VAR)
    got = AggregateMoments(kind, momentum=0.9)(MEAN, LOG_VAR, training=True)
    for left, right in zip(got, expected, strict=True):
        np.testing.assert_allclose(numpy(left), numpy(right), rtol=1e-4, atol=1e-5)


def test_running_moments_average_over_small_batches():
    layer = AggregateMoments("total", momentum=0.995)
    for _ in range(1500):
        which = RNG.integers(0, 6, 2)
        m, v = layer(MEAN[which], LOG_VAR[which], training=True)
    expected_m, expected_v = AggregateMoments("total")(MEAN, LOG_VAR)
    np.testing.assert_allclose(numpy(m), numpy(expected_m), atol=0.25)
    np.testing.assert_allclose(numpy(v), numpy(expected_v), rtol=0.2)


def test_inference_leaves_running_moments_alone():
    layer = AggregateMoments("means", momentum=0.9)
    layer(MEAN, LOG_VAR, training=True)
    before = [numpy(v) for v in layer.non_trainable_variables]
    layer(MEAN + 5, LOG_VAR)
    for left, right in zip(before, layer.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(left, numpy(right))


@pytest.mark.parametrize("arguments", [{"kind": "median"}, {"momentum": 1.0}, {"momentum": 0.0}])
def test_wrong_arguments_name_themselves(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        AggregateMoments(**arguments)


def test_config_round_trip():
    layer = round_trip(AggregateMoments("full", 0.97, name="q"))
    assert (layer.kind, layer.momentum, layer.name) == ("full", 0.97, "q")
    assert keras.saving.get_registered_name(AggregateMoments) == "gamix_keras>AggregateMoments"
