import numpy as np
import pytest
from scipy.stats import multivariate_normal

from gamix_keras.metrics import aggregate

pytestmark = pytest.mark.backend_free


def posteriors(count, dim, variance, seed=0):
    """Means from N(0, I) and one variance for all."""
    mean = np.random.default_rng(seed).normal(size=(count, dim))
    return mean, np.full((count, dim), np.log(variance))


@pytest.mark.parametrize("variance", [0.1, 1.0, 4.0])
def test_mutual_information_of_a_gaussian_channel(variance):
    estimate = aggregate.mutual_information(*posteriors(4000, 1, variance))
    assert estimate.value == pytest.approx(0.5 * np.log1p(1 / variance), abs=0.05)
    assert estimate.images == 4000 and estimate.bound == pytest.approx(np.log(4000))


def test_mutual_information_equals_scipy_densities():
    rng = np.random.default_rng(1)
    mean, log_var = rng.normal(size=(30, 3)), rng.normal(size=(30, 3))
    noise = np.random.default_rng(np.random.SeedSequence(7, spawn_key=(1,))).standard_normal(mean.shape)
    z = mean + np.exp(0.5 * log_var) * noise
    logs = np.stack([multivariate_normal(m, np.diag(np.exp(v))).logpdf(z) for m, v in zip(mean, log_var, strict=True)])
    expected = np.mean(np.diag(logs) - np.log(np.exp(logs).mean(0)))
    assert aggregate.mutual_information(mean, log_var, seed=7).value == pytest.approx(expected, rel=1e-10)


def test_mutual_information_is_nothing_when_collapsed_and_the_bound_when_posteriors_are_points():
    assert aggregate.mutual_information(np.zeros((50, 4)), np.zeros((50, 4))).value == pytest.approx(0, abs=1e-12)
    points = aggregate.mutual_information(*posteriors(50, 4, 1e-12))
    assert points.value == pytest.approx(points.bound)


def test_mutual_information_checks_shapes():
    with pytest.raises(ValueError, match="expected .*N >= 2.*, got"):
        aggregate.mutual_information(np.zeros((1, 3)), np.zeros((1, 3)))


@pytest.mark.parametrize("kernel", ["imq", "rbf"])
def test_mmd_equals_its_definition(kernel):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(9, 2)), rng.normal(size=(9, 2)) + 1

    def mean_kernel(a, b, skip):
        r = np.sum((a[:, None] - b[None]) ** 2, axis=-1)
        k = 4 / (4 + r) if kernel == "imq" else np.exp(-r / 4)
        return k[~np.eye(9, dtype=bool)].mean() if skip else k.mean()

    expected = mean_kernel(x, x, True) + mean_kernel(y, y, True) - 2 * mean_kernel(x, y, False)
    assert aggregate.maximum_mean_discrepancy(x, y, kernel).value == pytest.approx(expected, rel=1e-10)


def test_mmd_p_values_are_uniform_for_equal_distributions():
    p_values = []
    for seed in range(80):
        x, y = np.random.default_rng(seed).normal(size=(2, 40, 3))
        p_values.append(aggregate.maximum_mean_discrepancy(x, y, permutations=99, seed=seed).p_value)
    assert 0.4 < np.mean(p_values) < 0.6
    assert np.mean(np.array(p_values) <= 0.2) == pytest.approx(0.2, abs=0.12)


def test_mmd_tells_a_matched_aggregate_from_a_wide_one():
    matched = aggregate.prior_discrepancy(posteriors(600, 4, 0.5)[0] * np.sqrt(0.5), np.full((600, 4), np.log(0.5)))
    wide = aggregate.prior_discrepancy(*posteriors(600, 4, 1.0))  # variance 2: what moments="means" permits
    assert matched.p_value > 0.02 and matched.samples == 600
    assert wide.p_value == pytest.approx(1 / 201) and wide.value > 10 * abs(matched.value)


def test_mmd_names_its_kernels():
    with pytest.raises(ValueError, match="^kernel: expected 'imq' or 'rbf', got 'linear'$"):
        aggregate.maximum_mean_discrepancy(np.zeros((3, 1)), np.zeros((3, 1)), "linear")


def test_information_and_discrepancy_do_not_depend_on_where_latents_lie():
    """Narrow posteriors in pairs, 1e3 from the origin: expanded squares would lose the other one of a pair."""
    rng = np.random.default_rng(0)
    mean = np.repeat(rng.normal(size=(20, 4)), 2, axis=0)
    log_var = np.full_like(mean, -29.0)
    expected = aggregate.mutual_information(mean, log_var).value
    assert expected == pytest.approx(np.log(20), abs=1e-3)
    assert aggregate.mutual_information(1e3 + mean, log_var).value == pytest.approx(expected, abs=1e-3)
    x, y = rng.normal(size=(2, 30, 3))
    near, far = (aggregate.maximum_mean_discrepancy(x + by, y + by, permutations=20).value for by in (0.0, 1e6))
    assert far == pytest.approx(near, rel=1e-6)
