import json

import numpy as np
import pytest
from keras import ops

from gamix_keras import gaussian
from gamix_keras.metrics.latent_statistics import LatentStatistics, effective_rank


def stream(mean, log_var, cuts=(), **arguments):
    statistics = LatentStatistics(mean.shape[1], **arguments)
    for a, b in zip(np.split(mean, cuts), np.split(log_var, cuts), strict=True):
        statistics.update(ops.convert_to_tensor(a), ops.convert_to_tensor(b))
    return statistics


def posteriors(count=300, dim=4, seed=0):
    """Two informative dimensions, one partly so, the rest collapsed to the prior."""
    rng = np.random.default_rng(seed)
    scale, variance = np.array([1.0, 0.9, 0.7] + [0.0] * (dim - 3)), np.array([0.01, 0.05, 0.5] + [1.0] * (dim - 3))
    mean = rng.normal(size=(count, dim)) * scale
    return mean.astype("float32"), np.tile(np.log(variance), (count, 1)).astype("float32")


def test_planted_dimensions_are_told_apart():
    statistics = stream(*posteriors(dim=6), cuts=(7, 100))
    assert statistics.active_units() == 3
    assert statistics.dimension_kinds() == {"informative": 2, "partial": 1, "superfluous": 3}
    kl = statistics.kl_per_dimension()
    np.testing.assert_allclose(kl[3:], 0, atol=1e-6)
    assert kl[0] > kl[1] > kl[2] > 0.1


def test_moments_are_those_of_the_mixture():
    mean, log_var = posteriors()
    statistics = stream(mean, log_var, cuts=(50,))
    samples_covariance = np.cov(mean, rowvar=False, ddof=0) + np.diag(np.exp(log_var).mean(0))
    np.testing.assert_allclose(statistics.covariance(), samples_covariance, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(
        statistics.spectrum()["samples"], np.sqrt(np.linalg.eigvalsh(samples_covariance)[::-1]), rtol=1e-5
    )
    centred = mean - mean.mean(0)
    expected = np.linalg.svd(centred, compute_uv=False) / np.sqrt(len(mean))
    np.testing.assert_allclose(statistics.spectrum()["means"][:3], expected[:3], rtol=1e-5)


def test_aggregate_kl_equals_the_training_terms():
    mean, log_var = posteriors()
    kl = stream(mean, log_var).aggregate_kl()
    m, v = mean.mean(0), mean.var(0)
    covariance = (np.cov(mean, rowvar=False, ddof=0) + np.diag(np.exp(log_var).mean(0))).astype("float32")
    assert kl["means"] == pytest.approx(float(gaussian.moments_kl(m, v)), rel=1e-4)
    assert kl["total"] == pytest.approx(float(gaussian.moments_kl(m, np.diag(covariance).copy())), abs=1e-4)
    full = float(gaussian.full_moments_kl(ops.convert_to_tensor(m), ops.convert_to_tensor(covariance)))
    assert kl["full"] == pytest.approx(full, abs=1e-4)
    assert kl["full"] >= kl["total"]


def test_correlation_of_a_planted_pair():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(4000, 1))
    mean = np.concatenate([shared, shared, rng.normal(size=(4000, 1))], axis=1)
    correlation = stream(mean, np.full(mean.shape, np.log(1.0))).correlation()
    assert correlation.maximum == pytest.approx(0.5, abs=0.03)  # half of each variance is posterior noise
    assert correlation.mean == pytest.approx(0.5 / 3, abs=0.03)


def test_histogram_counts_every_value():
    log_var = np.log(np.array([[0.01, 1.0], [0.03, 50.0]]))
    counts, edges = stream(np.zeros((2, 2)), log_var).variance_histogram()
    assert counts.sum() == 4 and counts[0] == 1 and counts[1] == 1 and counts[-1] == 1
    assert len(edges) == len(counts) + 1 and counts[np.searchsorted(edges, 1.0, "right") - 1] == 1


@pytest.mark.backend_free
def test_effective_rank_limits():
    assert effective_rank(np.ones(7)) == pytest.approx(7)
    assert effective_rank(np.array([5.0, 0.0, 0.0])) == pytest.approx(1)
    assert effective_rank(np.zeros(3)) == 0
    assert 1 < effective_rank(np.array([1.0, 0.1])) < 2


@pytest.mark.backend_free
def test_the_subset_is_uniform_and_independent_of_the_batches():
    mean = np.arange(5000.0)[:, None]
    small = stream(mean, np.zeros_like(mean), cuts=range(10, 5000, 10), keep=200).kept()[0]
    whole = stream(mean, np.zeros_like(mean), keep=200).kept()[0]
    np.testing.assert_array_equal(small, whole)
    assert len(np.unique(whole)) == 200 and 2000 < whole.mean() < 3000


def test_summary_is_json_repeats_exactly_and_obeys_the_elbo_surgery():
    mean, log_var = posteriors()
    summary = stream(mean, log_var).summary(permutations=20)
    assert json.loads(json.dumps(summary)) == stream(mean, log_var).summary(permutations=20)
    information = summary["mutual_information"]
    # Mean KL = I + KL(q || p) >= I, up to the one sample of z per image.
    assert 0 < information["value"] < min(information["bound"], summary["kl"] + 0.3)


@pytest.mark.backend_free
def test_mistakes_are_named():
    with pytest.raises(ValueError, match="latent_dim"):
        LatentStatistics(0)
    with pytest.raises(ValueError, match="^log_var: expected the shape of mean"):
        LatentStatistics(2).update(np.zeros((3, 2)), np.zeros((3, 1)))
    with pytest.raises(ValueError, match="finite"):
        LatentStatistics(1).update(np.array([[np.inf]]), np.zeros((1, 1)))
    with pytest.raises(ValueError, match="^statistics: expected at least 1 posteriors, got 0$"):
        LatentStatistics(1).kl_per_dimension()


def test_kl_is_computed_in_float64():
    """Latents 1e3 from 0 with posteriors near the prior: float32 would round the variance term away."""
    rng = np.random.default_rng(0)
    mean, log_var = 1e3 + rng.normal(size=(200, 3)), rng.normal(0.0, 1e-3, (200, 3))
    statistics = LatentStatistics(3).update(mean, log_var)
    term = 2 * statistics.kl_per_dimension() - statistics.mean_variance() - statistics.means.mean**2
    np.testing.assert_allclose(term, (np.expm1(log_var) - log_var).mean(axis=0), atol=1e-8)
