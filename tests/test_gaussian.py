"""Every formula against an outside answer."""

import numpy as np
import pytest
from harness import numpy
from scipy import integrate, stats
from scipy.special import digamma

from gamix_keras import gaussian

RNG = np.random.default_rng(0)
MEAN = RNG.normal(size=(5, 3)).astype("float32")
LOG_VAR = RNG.normal(size=(5, 3)).astype("float32")


def test_log_density_is_scipys():
    x = RNG.normal(size=(5, 3)).astype("float32")
    expected = stats.norm(MEAN, np.exp(0.5 * LOG_VAR)).logpdf(x).sum(-1)
    np.testing.assert_allclose(numpy(gaussian.log_density(x, MEAN, LOG_VAR)), expected, rtol=1e-5)


def test_kl_is_the_integral():
    def integrand(x, mean, std):
        q, p = stats.norm(mean, std), stats.norm()
        return q.pdf(x) * (q.logpdf(x) - p.logpdf(x))

    got = numpy(gaussian.kl_to_standard(MEAN, LOG_VAR))
    for i, d in ((0, 0), (2, 1), (4, 2)):
        std = float(np.exp(0.5 * LOG_VAR[i, d]))
        width = 12 * std
        mean = float(MEAN[i, d])
        expected, _ = integrate.quad(integrand, mean - width, mean + width, args=(mean, std))
        assert got[i, d] == pytest.approx(expected, rel=1e-4)


def test_variance_penalty_is_twice_the_kl_of_a_centred_gaussian():
    zero = np.zeros_like(LOG_VAR)
    np.testing.assert_allclose(
        numpy(gaussian.variance_penalty(LOG_VAR)),
        2 * numpy(gaussian.kl_to_standard(zero, LOG_VAR)),
        rtol=1e-5,
    )


def _kl_between(m, s):
    """KL(N(m, s) || N(0, I)) from SciPy's entropy and the cross-entropy's closed form, in float64."""
    size = len(m)
    cross = 0.5 * (np.trace(s) + m @ m + size * np.log(2 * np.pi))
    return cross - stats.multivariate_normal(m, s).entropy()


def test_moment_kls_against_scipys_entropy():
    m, root = RNG.normal(size=4), RNG.normal(size=(4, 4))
    s = root @ root.T + 0.5 * np.eye(4)
    diagonal = np.diag(np.diag(s))
    got = gaussian.full_moments_kl(m.astype("float32"), s.astype("float32"))
    assert float(got) == pytest.approx(_kl_between(m, s), rel=1e-4)
    got = gaussian.moments_kl(m.astype("float32"), np.diag(s).astype("float32"))
    assert float(got) == pytest.approx(_kl_between(m, diagonal), rel=1e-4)


def test_moment_kls_stay_finite_where_means_coincide():
    zero = np.zeros(4, "float32")
    assert np.isfinite(float(gaussian.moments_kl(zero, zero)))
    assert np.isfinite(float(gaussian.full_moments_kl(zero, np.zeros((4, 4), "float32"))))


def test_mixture_density_is_the_brute_force_sum():
    z = RNG.normal(size=(7, 3)).astype("float32")
    density = stats.norm(MEAN[None], np.exp(0.5 * LOG_VAR)[None]).pdf(z[:, None]).prod(-1).mean(1)
    np.testing.assert_allclose(numpy(gaussian.mixture_log_density(z, MEAN, LOG_VAR)), np.log(density), rtol=1e-4)


def test_standard_log_density():
    expected = stats.multivariate_normal(np.zeros(3)).logpdf(MEAN)
    np.testing.assert_allclose(numpy(gaussian.standard_log_density(MEAN)), expected, rtol=1e-5)


def test_log_variance_is_clamped_and_float32():
    clipped = gaussian.clip_log_var(np.array([-6e4, 0.0, 6e4], "float16"))
    np.testing.assert_array_equal(numpy(clipped), np.array([-30, 0, 20], "float32"))


def test_floor_of_batch_moments_is_the_formula():
    """Monte Carlo over batches of B means from N(0, I), against 0.5 D (-log(2/B) - digamma((B-1)/2))."""
    size, batch = 64, 10
    floor = 0.5 * size * (-np.log(2 / batch) - digamma((batch - 1) / 2))
    values = []
    for _ in range(300):
        means = RNG.normal(size=(batch, size)).astype("float32")
        values.append(float(gaussian.moments_kl(means.mean(0), means.var(0))))
    assert np.mean(values) == pytest.approx(floor, rel=0.03)
