"""What the samplers are fitted to: moments, densities, modes, against outside answers."""

import re

import numpy as np
import pytest
from harness import numpy
from scipy import stats
from sklearn.mixture import GaussianMixture

from gamix_keras.samplers import FullGaussianSampler, MixtureSampler, Posteriors, PriorSampler, draw_latents

MODES = np.array([[-5.0, 0.0], [5.0, 0.0], [0.0, 6.0]])
SHARES = np.array([0.5, 0.3, 0.2])


def posteriors(count=3000, size=4, seed=0) -> Posteriors:
    rng = np.random.default_rng(seed)
    mean = 2.0 + rng.normal(size=(count, size)) @ rng.normal(size=(size, size))
    return Posteriors(mean.astype("float32"), rng.normal(-1, 1, (count, size)).astype("float32"))


def three_modes(count=3000) -> np.ndarray:
    rng = np.random.default_rng(0)
    points = MODES[rng.choice(3, count, p=SHARES)] + 0.3 * rng.normal(size=(count, 2))
    return points.astype("float32")


def test_gaussian_has_the_moments_of_total_covariance():
    mean, log_var = posteriors()
    sampler = FullGaussianSampler(4).fit((mean, log_var))
    expected = np.cov(mean.astype("float64").T, bias=True) + np.diag(np.exp(log_var.astype("float64")).mean(0))
    factor = numpy(sampler.factor)
    np.testing.assert_allclose(factor @ factor.T, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(numpy(sampler.mean), mean.mean(0), rtol=1e-5)
    drawn = sampler.sample(40000, seed=0)
    np.testing.assert_allclose(np.cov(drawn.T), expected, rtol=0.05, atol=0.1)
    np.testing.assert_allclose(drawn.mean(0), mean.mean(0), atol=0.05)


def test_gaussian_needs_the_posterior_variance():
    # Collapsed posteriors: all of q(z) is in the variances, none in the means.
    collapsed = Posteriors(np.zeros((50, 3), "float32"), np.zeros((50, 3), "float32"))
    assert np.std(FullGaussianSampler(3).fit(collapsed).sample(5000, seed=0)) == pytest.approx(1.0, abs=0.02)
    assert np.std(FullGaussianSampler(3).fit(collapsed.mean).sample(5000, seed=0)) < 0.01


def test_gaussian_density_is_scipys():
    sampler = FullGaussianSampler(4).fit(posteriors())
    factor, z = numpy(sampler.factor).astype("float64"), sampler.sample(20, seed=1)
    expected = stats.multivariate_normal(numpy(sampler.mean), factor @ factor.T).logpdf(z)
    np.testing.assert_allclose(numpy(sampler.log_density(z)), expected, rtol=1e-4)


def test_prior_density_is_scipys():
    z = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    expected = stats.norm.logpdf(z).sum(-1)
    np.testing.assert_allclose(numpy(PriorSampler(4).log_density(z)), expected, rtol=1e-5)


def test_fewer_images_than_latents_are_enough_for_a_gaussian():
    z = np.random.default_rng(0).normal(size=(3, 8)).astype("float32")
    drawn = FullGaussianSampler(8).fit(z).sample(1000, seed=0)
    np.testing.assert_allclose(np.linalg.svd(drawn - z.mean(0), compute_uv=False)[2:], 0, atol=0.1)


@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_mixture_density_is_scikit_learns(covariance):
    data = posteriors()
    sampler = MixtureSampler(4, 3, covariance).fit(data, seed=2)
    z = draw_latents(*data, seed=2).astype("float64")
    theirs = GaussianMixture(3, covariance_type=covariance, max_iter=200, tol=0.01, random_state=2).fit(z)
    ours = numpy(sampler.log_density(z.astype("float32")))
    np.testing.assert_allclose(ours, theirs.score_samples(z), rtol=1e-3, atol=1e-3)
    assert ours.mean(dtype="float64") == pytest.approx(theirs.score(z), abs=1e-4)


@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_samples_of_a_mixture_score_as_its_own_do(covariance):
    # The mean log-density of samples is minus the entropy, which scikit-learn's own samples estimate too.
    z = three_modes()
    sampler = MixtureSampler(2, 3, covariance).fit(z)
    theirs = GaussianMixture(3, covariance_type=covariance, tol=0.01, random_state=0).fit(z.astype("float64"))
    ours, own = theirs.score(sampler.sample(20000, seed=0)), theirs.score(theirs.sample(20000)[0])
    assert ours == pytest.approx(own, abs=0.05)


def test_a_mixture_finds_planted_modes_where_a_gaussian_cannot():
    z = three_modes()

    def near_a_mode(drawn):
        distance = np.linalg.norm(drawn[:, None] - MODES, axis=-1)
        return np.bincount(distance.argmin(1)[distance.min(1) < 1.5], minlength=3) / len(drawn)

    np.testing.assert_allclose(near_a_mode(MixtureSampler(2, 3).fit(z).sample(5000, seed=0)), SHARES, atol=0.03)
    assert near_a_mode(FullGaussianSampler(2).fit(z).sample(5000, seed=0)).sum() < 0.4


def test_one_component_is_the_gaussian():
    z = three_modes()
    one, gaussian = MixtureSampler(2, 1).fit(z), FullGaussianSampler(2).fit(z)
    np.testing.assert_allclose(numpy(one.factors)[0], numpy(gaussian.factor), atol=1e-4)
    assert one.sample(3, seed=0).shape == (3, 2)


def test_a_fit_repeats():
    first, second = (MixtureSampler(4, 3).fit(posteriors(300), seed=5) for _ in range(2))
    for left, right in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_fit_that_has_not_converged_warns(monkeypatch):
    monkeypatch.setattr("gamix_keras.samplers.mixture._ITERATIONS", 1)
    with pytest.warns(UserWarning, match="3 components was still improving after 1 iterations") as caught:
        MixtureSampler(4, 3).fit(posteriors(300))
    assert len(caught) == 1 and caught[0].filename == __file__


NAN = np.zeros((5, 4), "float32")
NAN[3, 2] = np.nan


@pytest.mark.parametrize("sampler", [FullGaussianSampler(4), MixtureSampler(4, 3)])
@pytest.mark.parametrize(
    ("latents", "message"),
    [
        (NAN, "NaN or infinity in mean (images: 1 of 5, first 3; latents: 1, first 2)"),
        ((np.zeros((5, 4)), NAN), "NaN or infinity in log_var (images: 1 of 5"),
        (np.zeros((5, 3)), "expected shape (N, 4) with N at least 1, got (5, 3)"),
        (np.zeros((0, 4)), "expected shape (N, 4) with N at least 1, got (0, 4)"),
        ((np.zeros((5, 4)), np.zeros((4, 4))), "expected log_var of the mean's shape (5, 4), got (4, 4)"),
    ],
)
def test_bad_latents_are_named(sampler, latents, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        sampler.fit(latents)


def test_a_mixture_needs_an_image_a_component():
    with pytest.raises(ValueError, match="components: expected at most the number of images, 2, got 3"):
        MixtureSampler(4, 3).fit(np.zeros((2, 4)))


@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_an_offset_moves_the_distribution_and_nothing_else(covariance):
    """Latents 1e3 from 0 with spread 1, against the same ones at 0 in float64."""
    mean, log_var = posteriors(400)
    mean = mean.astype("float64").round(3)  # exact to 6e-5 in float32 after the shift
    near, far = (MixtureSampler(4, 3, covariance).fit((mean + by, log_var), seed=1) for by in (0.0, 1e3))
    np.testing.assert_allclose(numpy(far.means) - 1e3, numpy(near.means), atol=2e-3)
    np.testing.assert_allclose(numpy(far.factors), numpy(near.factors), atol=2e-3)
    z = mean.astype("float32")
    np.testing.assert_allclose(numpy(far.log_density(z + 1e3)), numpy(near.log_density(z)), atol=0.02)
    near, far = (FullGaussianSampler(4).fit((mean + by, log_var)) for by in (0.0, 1e3))
    np.testing.assert_allclose(numpy(far.factor), numpy(near.factor), atol=1e-3)
    axes, moved = near.principal_axes(), far.principal_axes()
    np.testing.assert_allclose(moved.std, axes.std, rtol=1e-3)
    np.testing.assert_allclose(np.abs((moved.axes * axes.axes).sum(axis=1)), 1.0, atol=1e-4)
