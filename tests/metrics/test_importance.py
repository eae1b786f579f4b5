"""The importance-weighted bound against the exact log-likelihood of a linear-Gaussian model.

x = W z + g eps with orthogonal columns of W, so that the exact posterior is diagonal.
"""

import numpy as np
import pytest
from scipy import stats

from gamix_keras.metrics.importance import importance_bound, log_weights

pytestmark = pytest.mark.backend_free

LATENTS, PIXELS, NOISE = 3, 7, 0.5
WEIGHT = np.linalg.qr(np.random.default_rng(0).normal(size=(PIXELS, LATENTS)))[0] * np.array([2.0, 1.0, 0.3])
IMAGES = np.random.default_rng(1).normal(size=(20, LATENTS)) @ WEIGHT.T + NOISE
EXACT = stats.multivariate_normal(cov=WEIGHT @ WEIGHT.T + NOISE**2 * np.eye(PIXELS)).logpdf(IMAGES)


def posterior(widen=1.0, shift=0.0):
    precision = 1.0 + (WEIGHT**2).sum(axis=0) / NOISE**2
    mean = IMAGES @ WEIGHT / NOISE**2 / precision
    return mean + shift, np.tile(np.log(widen / precision), (len(IMAGES), 1))


def log_likelihood(z):
    return stats.norm(z @ WEIGHT.T, NOISE).logpdf(IMAGES).sum(axis=1)


def bound(draws, **change):
    return importance_bound(log_weights(*posterior(**change), log_likelihood, draws))


def test_with_the_exact_posterior_one_draw_is_exact():
    weights = log_weights(*posterior(), log_likelihood, draws=2)
    np.testing.assert_allclose(weights, np.stack([EXACT, EXACT], axis=1), rtol=1e-5)
    found = importance_bound(weights)
    assert found.value == pytest.approx(EXACT.mean(), rel=1e-6)
    assert found.effective_draws == pytest.approx(2.0, rel=1e-6)
    assert (found.draws, found.images) == (2, 20)


def test_with_a_wrong_posterior_it_rises_to_the_exact_value():
    few, some, many = (bound(draws, widen=1.5, shift=0.1) for draws in (1, 10, 3000))
    assert few.value == few.elbo < some.value < many.value
    assert many.value == pytest.approx(EXACT.mean(), abs=0.01)
    assert 1.0 < many.effective_draws < 3000


def test_the_elbo_of_a_wrong_posterior_is_short_by_its_kl():
    wrong = bound(4000, widen=1.5)
    kl = 0.5 * LATENTS * (1.5 - 1.0 - np.log(1.5))
    assert wrong.elbo == pytest.approx(EXACT.mean() - kl, abs=0.01)


def test_weights_far_below_the_smallest_number():
    """Images have log-likelihoods of minus thousands of nats: exp of them is 0."""
    found = importance_bound(np.array([[-5000.0, -5000.0 - np.log(3.0)], [-9000.0, -9000.0]]))
    assert found.value == pytest.approx((-5000 + np.log((1 + 1 / 3) / 2) - 9000) / 2, rel=1e-12)
    assert found.effective_draws == pytest.approx((16 / 10 + 2) / 2)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="at least 1, got"):
        log_weights(*posterior(), log_likelihood, draws=0)
    with pytest.raises(ValueError, match=r"^weights: expected finite numbers, \(N, K\), got"):
        importance_bound(np.array([[0.0, np.nan]]))
