"""Draws from posteriors and their moments."""

import numpy as np
import pytest

from gamix_keras.samplers import Posteriors, draw_latents, total_moments

pytestmark = pytest.mark.backend_free
RNG = np.random.default_rng(0)
MEAN = RNG.normal(size=(200, 3)).astype("float32")
LOG_VAR = RNG.normal(-1, 1, (200, 3)).astype("float32")


def test_draws_are_fresh_by_seed_and_have_the_posteriors_moments():
    first = draw_latents(MEAN, LOG_VAR, seed=1)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, draw_latents(MEAN, LOG_VAR, seed=1))
    assert np.abs(first - draw_latents(MEAN, LOG_VAR, seed=2)).min() > 0
    many = np.stack([draw_latents(MEAN, LOG_VAR, seed) for seed in range(2000)])
    score = (many.mean(0) - MEAN) / np.exp(0.5 * LOG_VAR)
    assert np.abs(score).max() < 5 / np.sqrt(2000)
    np.testing.assert_allclose(many.var(0), np.exp(LOG_VAR), rtol=0.2)


def test_plain_latents_are_their_own_draw():
    drawn = draw_latents(MEAN, None)
    np.testing.assert_array_equal(drawn, MEAN)
    assert drawn is not MEAN


def test_moments_are_those_of_many_draws(monkeypatch):
    m, s = total_moments(Posteriors(MEAN, LOG_VAR))
    many = np.concatenate([draw_latents(MEAN, LOG_VAR, seed) for seed in range(500)])
    np.testing.assert_allclose(m, many.mean(0), atol=0.01)
    np.testing.assert_allclose(s, np.cov(many.T), atol=0.02)
    monkeypatch.setattr("gamix_keras.samplers.posteriors._ROWS", 7)
    np.testing.assert_allclose(total_moments(Posteriors(MEAN, LOG_VAR))[1], s, rtol=1e-12)


def test_moments_do_not_cancel_far_from_the_origin():
    _, near = total_moments(MEAN)
    _, far = total_moments((MEAN * 64 + 4096).astype("float32"))
    np.testing.assert_allclose(far / 64**2, near, atol=1e-4)


def test_a_variance_that_would_overflow_is_clamped():
    _, s = total_moments(Posteriors(MEAN, np.full_like(LOG_VAR, 1e4)))
    assert np.isfinite(s).all() and np.isfinite(draw_latents(MEAN, np.full_like(LOG_VAR, 1e4), 0)).all()
