"""Draws from the running Gaussian of q(z)."""

import keras
import numpy as np
import pytest
from harness import gradient, numpy, round_trip
from keras import ops

from gamix_keras.layers import AggregateDraws, AggregateMoments

RNG = np.random.default_rng(4)
MIX = np.array([[1.0, 0.8, 0.0], [0.0, 0.5, -0.4], [0.2, 0.0, 1.5]], "float32")


def posteriors(count=64):
    return (RNG.normal(size=(count, 3)) @ MIX + 1.0).astype("float32"), RNG.normal(size=(count, 3)).astype("float32")


def filled(batches=30):
    layer, reference = AggregateDraws(0.9, seed=1), AggregateMoments("full", 0.9)
    for _ in range(batches):
        batch = posteriors()
        layer(*batch)
        expected = reference(*batch, training=True)
    return layer, list(map(numpy, expected))


def test_draws_have_the_running_mean_and_covariance():
    layer, (mean, covariance) = filled()
    z = numpy(layer.draw(layer.noise(200_000)))
    np.testing.assert_allclose(z.mean(0), mean, atol=0.02)
    np.testing.assert_allclose(np.cov(z.T), covariance, atol=0.05)
    assert np.abs(np.corrcoef(z.T) - np.eye(3)).max() > 0.2


def test_a_draw_is_the_mean_plus_a_factor_of_the_covariance():
    layer, (mean, covariance) = filled()
    rows = numpy(layer.draw(np.eye(3, dtype="float32"))) - mean
    np.testing.assert_allclose(rows.T @ rows, covariance, rtol=1e-3, atol=1e-3)


def test_it_is_warm_after_as_many_batches_as_it_averages():
    layer = AggregateDraws(0.9)
    warm = []
    for _ in range(12):
        layer(*posteriors())
        warm.append(bool(numpy(layer.is_warm)))
    assert warm == [False] * 9 + [True] * 3


def test_no_gradient_flows_through_a_draw():
    def drawn(mean):
        layer = AggregateDraws(0.9)
        layer.build(mean.shape)
        with keras.StatelessScope():  # what JAX traces must not stay in a variable
            layer(mean, log_var)
            return ops.sum(ops.square(layer.draw(noise))) + 0.0 * ops.sum(mean)

    (mean, log_var), noise = posteriors(8), np.ones((5, 3), "float32")
    assert (gradient(drawn, mean) == 0).all()


def test_its_settings_and_an_average_that_is_none():
    layer = round_trip(AggregateDraws(0.8, seed=5))
    assert (layer.momentum, layer.seed, layer.moments.kind) == (0.8, 5, "full")
    with pytest.raises(ValueError, match="momentum: expected a number for running moments, got None"):
        AggregateMoments("full").current()
