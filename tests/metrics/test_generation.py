import numpy as np
import pytest
from scipy import linalg
from sklearn.metrics.pairwise import polynomial_kernel

from gamix_keras.metrics import generation
from gamix_keras.metrics.moments import FeatureMoments

pytestmark = pytest.mark.backend_free


def features(count, dim=12, shift=0.0, seed=0):
    """Correlated Gaussian features."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, dim)) @ rng.normal(size=(dim, dim)) + shift


def moments(array):
    return FeatureMoments(array.shape[1]).update(array)


def test_frechet_distance_equals_scipy_matrix_root():
    a, b = features(400, 20), features(300, 20, 0.5, seed=1)
    covariances = [np.cov(v, rowvar=False) for v in (a, b)]
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert generation.frechet_distance_of(moments(a), moments(b)) == pytest.approx(expected, rel=1e-8)


def test_frechet_distance_of_commuting_gaussians_has_a_closed_form():
    mean, a, b = np.array([3.0, 0.0, 4.0]), np.array([4.0, 9.0, 0.0]), np.array([1.0, 1.0, 25.0])
    distance = generation.frechet_distance(mean, np.diag(a), np.zeros(3), np.diag(b))
    assert distance == pytest.approx(25 + np.sum((np.sqrt(a) - np.sqrt(b)) ** 2), rel=1e-12)


def test_frechet_distance_survives_fewer_images_than_features():
    a, b = features(10, 64), features(9, 64, seed=1)
    own = generation.frechet_distance_of(moments(a), moments(a))
    assert own == pytest.approx(0, abs=1e-8 * np.trace(moments(a).covariance()))
    # In the span of the data: tr (S_a S_b)^1/2 is the nuclear norm of the centred data's cross product.
    centred = (a - a.mean(0)) / 3, (b - b.mean(0)) / np.sqrt(8)
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + sum(np.sum(v**2) for v in centred)
    expected -= 2 * linalg.svdvals(centred[0] @ centred[1].T).sum()
    assert generation.frechet_distance_of(moments(a), moments(b)) == pytest.approx(expected, rel=1e-10)


def test_frechet_distance_from_a_point_is_mean_and_spread():
    distance = generation.frechet_distance(np.zeros(3), np.zeros((3, 3)), np.ones(3), np.eye(3))
    assert distance == pytest.approx(6.0)


def test_frechet_distance_names_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"\(D, D\), got \(2,\), \(3, 3\)"):
        generation.frechet_distance(np.zeros(2), np.eye(3), np.zeros(2), np.eye(2))
    with pytest.raises(ValueError, match="finite"):
        generation.frechet_distance(np.zeros(2), np.eye(2) * np.nan, np.zeros(2), np.eye(2))


def test_polynomial_mmd_equals_scikit_learn_kernels():
    a, b = features(40), features(31, shift=0.3, seed=1)
    xx, yy, xy = (polynomial_kernel(u, v, degree=3, gamma=1 / 12, coef0=1) for u, v in ((a, a), (b, b), (a, b)))
    expected = (xx.sum() - np.trace(xx)) / (40 * 39) + (yy.sum() - np.trace(yy)) / (31 * 30) - 2 * xy.mean()
    assert generation.polynomial_mmd(a, b) == pytest.approx(expected, rel=1e-9)


def test_kernel_distance_is_unbiased_and_its_interval_covers():
    covered, values = 0, []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        result = generation.kernel_distance(rng.normal(size=(200, 4)), rng.normal(size=(200, 4)), seed=seed)
        covered += result.low <= 0 <= result.high
        values.append(result.value)
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(60)
    assert covered >= 50


def test_kernel_distance_tells_a_shift_and_repeats_with_its_seed():
    a, b = features(300), features(300, shift=3.0)
    result = generation.kernel_distance(a, b, blocks=5)
    assert result.low > 0 and result.blocks == 5 and result.block_size == 60
    assert result == generation.kernel_distance(a, b, blocks=5)
    with pytest.raises(ValueError, match="at least 20 rows"):
        generation.kernel_distance(a[:19], b)


@pytest.mark.parametrize("neighbours", [1, 5])
def test_manifold_scores_equal_prdc(neighbours):
    prdc = pytest.importorskip("prdc")
    real, fake = features(90, 6), 1.3 * features(70, 6, 0.4, seed=0)
    expected = prdc.compute_prdc(real_features=real, fake_features=fake, nearest_k=neighbours)
    ours = generation.precision_recall_density_coverage(real, fake, neighbours)._asdict()
    assert ours == pytest.approx(expected, rel=1e-12)
    assert 0 < ours["precision"] < 1 and 0 < ours["recall"] < 1


def test_manifold_scores_do_not_depend_on_the_chunk(monkeypatch):
    real, fake = features(60, 5), features(47, 5, 0.3, seed=2)
    whole = generation.precision_recall_density_coverage(real, fake)
    monkeypatch.setattr(generation, "_CHUNK", 13)
    assert generation.precision_recall_density_coverage(real, fake) == whole


def test_manifold_scores_see_dropped_modes_and_invented_ones():
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(200, 2)), rng.normal(size=(200, 2)) + 50
    both = np.concatenate([left, right])
    dropped = generation.precision_recall_density_coverage(both, rng.normal(size=(400, 2)))
    invented = generation.precision_recall_density_coverage(left, np.concatenate([left[:100] + 0.01, right]))
    assert dropped.precision > 0.9 and dropped.recall < 0.55 and dropped.coverage < 0.55
    assert invented.precision < 0.4 and invented.recall > 0.9


def test_manifold_scores_refuse_too_many_neighbours():
    with pytest.raises(ValueError, match="^neighbours: expected >= 1"):
        generation.precision_recall_density_coverage(features(5), features(50))
    with pytest.raises(ValueError, match=r"\(N, D\) and \(M, D\)"):
        generation.precision_recall_density_coverage(features(9, 3), features(9, 4))


def test_equal_images_leave_no_neighbourhoods_even_far_from_the_origin():
    """Three quarters of the real images alike, apart by rounding only if squares are expanded."""
    rng = np.random.default_rng(0)
    real = 1e3 + rng.normal(size=(40, 8))
    real[:30] = real[0]
    with pytest.raises(generation.DegenerateNeighbourhoods, match="got 30 of 40 with 5 equals or more"):
        generation.precision_recall_density_coverage(real, 1e3 + rng.normal(size=(40, 8)))
    # A generator that makes one image is no fault of the real ones: nothing is recalled.
    found = generation.precision_recall_density_coverage(1e3 + rng.normal(size=(40, 8)), np.full((40, 8), 1e3))
    assert found.precision == 1.0 and found.recall == 0.0


def test_an_offset_changes_no_distance():
    """Features about 1e3 apart from 0 with spread 1: centred or in float64, nothing cancels."""
    real, fake = np.random.default_rng(0).normal(size=(2, 60, 8)).astype("float32")
    near = generation.precision_recall_density_coverage(real, fake)
    assert generation.precision_recall_density_coverage(real + 1e3, fake + 1e3) == pytest.approx(near, abs=0.02)
    moments = [FeatureMoments(8).update(part) for part in (real, fake)]
    moved = [FeatureMoments(8).update(part.astype("float64") + 1e3) for part in (real, fake)]
    distances = [generation.frechet_distance_of(*pair) for pair in (moments, moved)]
    assert distances[1] == pytest.approx(distances[0], rel=1e-9)
