"""Every formula against an outside answer."""

import numpy as np
import pytest
from harness import gradient, numpy
from keras import ops
from scipy import integrate, special, stats
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


@pytest.mark.parametrize("scale", [1e-3, 1.0, 300.0])
def test_covariance_of_too_few_points_gives_a_large_number_and_a_gradient(scale):
    points = (scale * np.random.default_rng(1).normal(size=(3, 32))).astype("float32")
    covariance, zero = np.cov(points.T, bias=True).astype("float32"), np.zeros(32, "float32")
    found = float(gaussian.full_moments_kl(zero, covariance))
    assert found > 29 * 4  # each of the missing dimensions counts -0.5 log of less than 1e-4 of the variance, or so
    assert np.all(np.isfinite(gradient(lambda s: gaussian.full_moments_kl(zero, s), covariance)))


def _mixture_in_float64(z, means, log_vars):
    """The mixture's log-density and its gradients by means and log-variances, summed over the points."""
    z, means, log_vars = (a.astype("float64") for a in (z, means, log_vars))
    apart = z[:, None] - means
    terms = -0.5 * (apart**2 * np.exp(-log_vars) + log_vars + np.log(2 * np.pi))
    logs = terms.sum(-1)
    density = special.logsumexp(logs, axis=1) - np.log(len(means))
    share = special.softmax(logs, axis=1)[..., None]
    by_mean = (share * apart * np.exp(-log_vars)).sum(0)
    by_log_var = (share * 0.5 * (apart**2 * np.exp(-log_vars) - 1)).sum(0)
    return density, by_mean, by_log_var


@pytest.mark.parametrize("log_var", [0.0, -9.2, -12.0, -14.0])
def test_mixture_of_narrow_posteriors_in_value_and_gradient(log_var):
    rng = np.random.default_rng(2)
    means = np.repeat(rng.normal(1.0, 1.5, (8, 16)), 2, axis=0)  # each with a near neighbour
    means = (means + np.exp(0.5 * log_var) * 0.3 * rng.normal(size=means.shape)).astype("float32")
    log_vars = (log_var + 0.1 * rng.normal(size=means.shape)).astype("float32")
    z = (means + np.exp(0.5 * log_vars) * rng.normal(size=means.shape)).astype("float32")
    density, by_mean, by_log_var = _mixture_in_float64(z, means, log_vars)
    np.testing.assert_allclose(numpy(gaussian.mixture_log_density(z, means, log_vars)), density, rtol=1e-4, atol=1e-4)
    found = gradient(lambda m: ops.sum(gaussian.mixture_log_density(z, m, log_vars)), means)
    np.testing.assert_allclose(found, by_mean, rtol=1e-3, atol=1e-4 * np.abs(by_mean).max())
    found = gradient(lambda v: ops.sum(gaussian.mixture_log_density(z, means, v)), log_vars)
    np.testing.assert_allclose(found, by_log_var, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("log_var", [-9.2, -20.0, -28.0])
def test_gradient_of_a_mixture_by_its_own_draws(log_var):
    """z = mean + sigma eps, in float64: in the total gradient a sample's own component leaves next to nothing."""
    rng = np.random.default_rng(2)
    means, eps = rng.normal(1.0, 1.5, (2, 8, 8)).astype("float32")
    log_vars = (log_var + 0.1 * rng.normal(size=means.shape)).astype("float32")
    constants = [ops.convert_to_tensor(a) for a in (means, log_vars, eps)]

    def value(m, v):
        z = m + ops.exp(0.5 * v) * constants[2]
        return ops.sum(gaussian.mixture_log_density(z, m, v, own=True) - gaussian.standard_log_density(z))

    by_mean, by_log_var = _draws_in_float64(means, log_vars, eps)
    found = gradient(lambda m: value(m, constants[1]), means), gradient(lambda v: value(constants[0], v), log_vars)
    np.testing.assert_allclose(found[0], by_mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[1], by_log_var, rtol=1e-5, atol=1e-5)


def _draws_in_float64(means, log_vars, eps):
    """Gradients of sum_i log q(z_i) - log N(z_i; 0, I) by means and log-variances, through z."""
    means, log_vars, eps = (a.astype("float64") for a in (means, log_vars, eps))
    z = means + np.exp(0.5 * log_vars) * eps
    apart = z[:, None] - means
    share = special.softmax((-0.5 * (apart**2 * np.exp(-log_vars) + log_vars)).sum(-1), axis=1)[..., None]
    pull = share * apart * np.exp(-log_vars)
    by_z = z - pull.sum(1)
    by_mean = by_z + pull.sum(0)
    by_log_var = by_z * 0.5 * np.exp(0.5 * log_vars) * eps
    return by_mean, by_log_var + (share * 0.5 * (apart**2 * np.exp(-log_vars) - 1)).sum(0)


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


def test_log_variance_at_a_bound_has_slope_one_and_none_beyond():
    values = np.array([-31, -30, 0, 20, 21], "float32")
    np.testing.assert_array_equal(gradient(lambda v: ops.sum(gaussian.clip_log_var(v)), values), [0, 1, 1, 1, 0])


def test_floor_of_batch_moments_is_the_formula():
    """Monte Carlo over batches of B means from N(0, I), against 0.5 D (-log(2/B) - digamma((B-1)/2))."""
    size, batch = 64, 10
    floor = 0.5 * size * (-np.log(2 / batch) - digamma((batch - 1) / 2))
    values = []
    for _ in range(300):
        means = RNG.normal(size=(batch, size)).astype("float32")
        values.append(float(gaussian.moments_kl(means.mean(0), means.var(0))))
    assert np.mean(values) == pytest.approx(floor, rel=0.03)
