"""Moments of q(z) against brute force on the mixture, and running moments against what they average."""

import keras
import numpy as np
import pytest
from harness import gradient, numpy, round_trip

from gamix_keras.layers import AggregateMoments
from gamix_keras.losses import MomentKL

RNG = np.random.default_rng(3)
MEAN = (RNG.normal(size=(6, 3)) + 1.0).astype("float32")
LOG_VAR = RNG.normal(size=(6, 3)).astype("float32")
WEIGHTS = np.array([[1.0, 0.3, -0.2], [0.3, 2.0, 0.5], [-0.2, 0.5, 0.7]], "float32")


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


def _batches(kind, mean, spread, momentum, count=40):
    """A layer that saw some batches of narrow posteriors far from 0, and the averages in float64."""
    layer, rng, weight = AggregateMoments(kind, momentum), np.random.default_rng(0), 0.0
    log_var = np.full((8, 3), -14.0, "float32")
    sums = [0.0, 0.0, 0.0]
    for _ in range(count):
        points = (mean + spread * rng.normal(size=(8, 3))).astype("float32")
        found = layer(points, log_var, training=True)
        points, within = points.astype("float64"), np.exp(log_var.astype("float64"))
        batch = points.mean(0), points.T @ points / 8, within.mean(0)
        sums = [momentum * old + (1 - momentum) * new for old, new in zip(sums, batch, strict=True)]
        weight = momentum * weight + 1 - momentum
    first, second, within = (value / weight for value in sums)
    return layer, found, first, second - np.outer(first, first), within


@pytest.mark.parametrize("kind", ["means", "total", "full"])
@pytest.mark.parametrize(("mean", "spread"), [(1.0, 1.0), (10.3, 1e-3), (-300.0, 1e-2)])
def test_running_moments_keep_their_digits_far_from_zero(kind, mean, spread):
    _, (m, second), first, covariance, within = _batches(kind, mean, spread, 0.9)
    np.testing.assert_allclose(numpy(m), first, rtol=1e-6)
    expected = covariance + np.diag(within) if kind == "full" else np.diag(covariance) + within * (kind == "total")
    np.testing.assert_allclose(numpy(second), expected, rtol=2e-2, atol=2e-3 * np.max(expected))
    assert np.linalg.eigvalsh(numpy(second) if kind == "full" else np.diag(numpy(second))).min() >= 0
    assert np.isfinite(float(MomentKL()(m, second)))


@pytest.mark.parametrize("kind", ["means", "full"])
def test_gradient_of_running_moments_is_that_about_the_average(kind):
    layer, *_ = _batches(kind, 1.0, 1.0, 0.9, count=3)

    weights = keras.ops.convert_to_tensor(WEIGHTS if kind == "full" else np.diag(WEIGHTS).copy())

    def second(points):
        with keras.StatelessScope():  # a variable must not keep what JAX traces
            return keras.ops.sum(layer(points, LOG_VAR, training=True)[1] * weights)

    found = gradient(second, MEAN)
    layer(MEAN, LOG_VAR, training=True)
    about = numpy(layer.averages["first"])
    expected = 2 * (MEAN - about) @ (WEIGHTS if kind == "full" else np.diag(np.diag(WEIGHTS))) / len(MEAN)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_global_term_of_small_batches_has_the_value_of_the_average_and_the_whole_gradient():
    """Batches of 16 in 128 dimensions, in float64: dKL/dmoments at the average, dmoments/dbatch of the batch alone.

    That gradient is not scaled by 1 - momentum, which would leave a hundredth of it.
    """
    layer, rng, sums, weight = AggregateMoments("total", 0.99), np.random.default_rng(0), 0.0, 0.0
    for _ in range(30):
        mean, log_var = rng.normal((0.5, -1.0), (1.5, 1.0), (16, 128, 2)).astype("float32").transpose(2, 0, 1)
        before = [numpy(variable) for variable in layer.weights]
        value = float(numpy(MomentKL()(*layer(mean, log_var, training=True))))
        within, points = np.exp(log_var.astype("float64")), mean.astype("float64")
        batch = np.stack([points.mean(0), np.square(points).mean(0), within.mean(0)])
        sums, weight = 0.99 * sums + 0.01 * batch, 0.99 * weight + 0.01
    m, squares, inside = sums / weight
    variance = squares - m**2 + inside
    assert value == pytest.approx(0.5 * np.sum(m**2 + variance - 1 - np.log(variance)), rel=1e-4)
    for variable, old in zip(layer.weights, before, strict=True):
        variable.assign(old)

    def term(both):
        with keras.StatelessScope():  # a variable must not keep what JAX traces
            return MomentKL()(*layer(both[0], both[1], training=True))

    of_mean, of_log_var = gradient(term, np.stack([mean, log_var]))
    slope = 0.5 * (1 - 1 / variance)
    np.testing.assert_allclose(of_mean, (m + 2 * slope * (points - m)) / 16, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(of_log_var, slope * within / 16, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", ["total", "full"])
def test_averages_of_an_older_file_are_read_and_go_on(kind):
    layer, _, first, covariance, within = _batches(kind, 1.0, 1.0, 0.9, count=5)
    weight = 1 - 0.9**5
    second = covariance + np.outer(first, first)
    raw = [weight * v for v in (first, second if kind == "full" else np.diag(second), within)]
    again = AggregateMoments(kind, 0.9)
    again.build((None, 3))
    again.load_own_variables({str(i): np.float32(v) for i, v in enumerate([*raw, weight])})
    for found, expected in zip(*(one(MEAN, LOG_VAR, training=True) for one in (again, layer)), strict=True):
        np.testing.assert_allclose(numpy(found), numpy(expected), rtol=1e-4, atol=1e-5)
    store = {}
    layer.save_own_variables(store)
    again.load_own_variables(store)
    for found, expected in zip(again.weights, layer.weights, strict=True):
        np.testing.assert_array_equal(numpy(found), numpy(expected))
