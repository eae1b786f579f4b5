"""Likelihoods against SciPy's densities."""

import keras
import numpy as np
import pytest
from harness import gradient, numpy, round_trip
from scipy import optimize, stats
from scipy.special import expit

from gamix_keras.losses import BernoulliNLL, DiscretisedLogisticNLL, GaussianNLL, LaplaceNLL

RNG = np.random.default_rng(5)
X = RNG.uniform(-1, 1, (3, 4, 4, 2)).astype("float32")
Y = RNG.uniform(-1, 1, (3, 4, 4, 2)).astype("float32")
DENSITIES = [(LaplaceNLL, stats.laplace), (GaussianNLL, stats.norm)]


@pytest.mark.parametrize(("loss", "density"), DENSITIES)
@pytest.mark.parametrize("scale", [0.1, 1.0, 2.46])
def test_fixed_scale_is_the_log_density_in_nats_per_image(loss, density, scale):
    expected = -density(Y, scale).logpdf(X).sum(axis=(1, 2, 3))
    assert float(loss(scale)(X, Y)) == pytest.approx(expected.mean(), rel=1e-5)
    np.testing.assert_allclose(numpy(loss(scale, reduction="none")(X, Y)), expected, rtol=1e-5)


@pytest.mark.parametrize(("loss", "density"), DENSITIES)
def test_learned_and_per_pixel_scales(loss, density):
    log_scale = np.float32(-0.7)
    expected = -density(Y, np.exp(-0.7)).logpdf(X).sum(axis=(1, 2, 3)).mean()
    assert float(loss("learned")(X, (Y, log_scale))) == pytest.approx(expected, rel=1e-2)
    per_pixel = RNG.uniform(-1, 1, Y.shape).astype("float32")
    expected = -density(Y, np.exp(per_pixel)).logpdf(X).sum(axis=(1, 2, 3)).mean()
    got = float(loss("per_pixel")(X, np.concatenate([Y, per_pixel], -1)))
    assert got == pytest.approx(expected, rel=1e-2)  # the soft floor moves log-scales near 0 by 0.25 %


@pytest.mark.parametrize(("loss", "density"), DENSITIES)
def test_optimal_scale_is_the_minimum_over_fixed_ones(loss, density):
    best = optimize.minimize_scalar(lambda s: -density(Y, s).logpdf(X).sum(), bounds=(0.05, 3), method="bounded")
    assert float(loss("optimal")(X, Y)) == pytest.approx(best.fun / len(X), rel=1e-3)


@pytest.mark.parametrize("loss", [LaplaceNLL, GaussianNLL])
def test_soft_floor_bounds_the_objective_below(loss):
    perfect = float(loss("optimal")(X, X))
    assert np.isfinite(perfect)
    assert perfect > -6.2 * X[0].size


def test_laplace_is_the_papers_weighted_mean_absolute_error():
    weight, pixels = 5000.0, X[0].size
    scale = pixels / weight
    constant = pixels * np.log(2 * scale)
    assert float(LaplaceNLL(scale)(X, Y)) - constant == pytest.approx(weight * np.abs(X - Y).mean(), rel=1e-4)


@pytest.mark.parametrize("scale", [0.02, 0.3])
def test_discretised_logistic_is_a_mass_that_sums_to_one(scale):
    levels = (np.arange(256, dtype="float32") / 127.5 - 1).reshape(256, 1, 1, 1)
    location = np.full_like(levels, 0.2)
    log_mass = -numpy(DiscretisedLogisticNLL(scale, reduction="none")(levels, location))
    assert np.exp(log_mass).sum() == pytest.approx(1.0, abs=1e-3)
    k = 140
    edges = (levels[k, 0, 0, 0] + np.array([1, -1]) / 255 - 0.2) / scale
    assert np.exp(log_mass[k]) == pytest.approx(expit(edges[0]) - expit(edges[1]), rel=1e-3)


def test_bernoulli_is_the_cross_entropy():
    logits = 3 * Y
    t, p = (X + 1) / 2, expit(logits)
    expected = -(t * np.log(p) + (1 - t) * np.log(1 - p)).sum(axis=(1, 2, 3)).mean()
    assert float(BernoulliNLL()(X, logits)) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(numpy(BernoulliNLL().image(logits)), 2 * p - 1, atol=1e-5)


def test_image_is_clipped_and_drops_the_scale():
    wide = np.concatenate([3 * Y, Y], -1)
    np.testing.assert_allclose(numpy(GaussianNLL("per_pixel").image(wide)), np.clip(3 * Y, -1, 1), rtol=1e-6)


@pytest.mark.parametrize("loss", [LaplaceNLL(0.3), GaussianNLL("optimal"), DiscretisedLogisticNLL(), BernoulliNLL()])
def test_config_round_trip(loss):
    again = round_trip(loss)
    assert again.get_config() == loss.get_config()
    assert isinstance(again, keras.losses.Loss)


@pytest.mark.parametrize("scale", [0, -1.0, float("nan"), float("inf"), "free", True])
def test_wrong_scale_is_named(scale):
    with pytest.raises(ValueError, match="scale: expected"):
        LaplaceNLL(scale)
    with pytest.raises(ValueError, match="optimal"):
        DiscretisedLogisticNLL("optimal")


@pytest.mark.parametrize("scale", [0.005, 0.05, 3.0])
@pytest.mark.parametrize("distance", [-1.99, -0.8, -0.01, 0.0, 0.3, 1.7])
def test_discretised_logistic_in_its_far_tails(scale, distance):
    """Against the survival function of SciPy in float64, in value and gradient, up to 400 scales away."""
    x = np.float32(round(distance / 4 * 127.5) / 127.5)
    y = np.float32(x - distance)
    half, away = 1 / 255, -abs(float(x) - float(y))
    mass = lambda a, s: stats.logistic.cdf((a + half) / s) - stats.logistic.cdf((a - half) / s)  # noqa: E731
    loss = DiscretisedLogisticNLL(scale)
    image = np.full((1, 1, 1, 1), x)
    assert float(loss(image, np.full_like(image, y))) == pytest.approx(-np.log(mass(away, scale)), rel=1e-4)
    step = 1e-4 * scale
    slope = (np.log(mass(away + step, scale)) - np.log(mass(away - step, scale))) / (2 * step)
    found = gradient(lambda location: loss(image, location), np.full_like(image, y))
    assert float(found.sum()) == pytest.approx(np.sign(y - x) * slope, rel=2e-3, abs=1e-3 / scale)
    by_scale = gradient(lambda s: DiscretisedLogisticNLL()(image, (image * 0 + y, s)), np.float32(np.log(scale)))
    assert np.isfinite(by_scale)


@pytest.mark.parametrize(("location", "scale"), [(1e3, 1.0), (-1e5, 2.0), (3e6, 100.0)])
def test_discretised_logistic_of_a_location_far_outside(location, scale):
    """log mass = -distance / s + log(2 sinh(half a bin / s)); differences of large numbers lost the bin."""
    image = np.full((1, 1, 1, 1), 1 / 255, "float32")
    expected = (abs(location) - np.sign(location) / 255) / scale - np.log(2 * np.sinh(1 / 255 / scale))
    found = float(DiscretisedLogisticNLL(scale)(image, np.full_like(image, location)))
    assert found == pytest.approx(expected, rel=1e-6, abs=0.01)


def test_an_exact_hit_has_slope_zero_on_every_backend():
    for loss in (LaplaceNLL(0.5), LaplaceNLL("optimal")):
        hit = np.where(np.arange(32).reshape(1, 4, 4, 2) % 2, X[:1], 0.3).astype("float32")
        found = gradient(lambda y, loss=loss: loss(X[:1], y), hit)
        assert np.all((found == 0) == (hit == X[:1]))
