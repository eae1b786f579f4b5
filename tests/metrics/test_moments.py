import numpy as np
import pytest

from gamix_keras.metrics.moments import FeatureMoments

pytestmark = pytest.mark.backend_free


def test_moments_equal_numpy_whatever_the_batches():
    features = np.random.default_rng(0).normal(size=(203, 7)) * np.arange(1, 8) + 1000.0
    streamed = FeatureMoments(7)
    for batch in np.split(features, [1, 1, 60, 203]):
        streamed.update(batch)
    assert streamed.count == 203
    np.testing.assert_allclose(streamed.mean, features.mean(0), rtol=1e-13)
    np.testing.assert_allclose(streamed.covariance(), np.cov(features, rowvar=False), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(streamed.covariance(0), np.cov(features, rowvar=False, ddof=0), rtol=1e-9, atol=1e-10)


def test_merging_equals_one_stream():
    features = np.random.default_rng(1).normal(size=(50, 3))
    parts = FeatureMoments(3).update(features[:20]), FeatureMoments(3).update(features[20:])
    merged = FeatureMoments(3).merge(parts[0]).merge(FeatureMoments(3)).merge(parts[1])
    np.testing.assert_allclose(merged.covariance(), np.cov(features, rowvar=False), rtol=1e-12, atol=1e-14)


def test_a_large_offset_does_not_cancel():
    features = np.random.default_rng(2).normal(size=(1000, 1)) + 1e7
    streamed = FeatureMoments(1)
    for batch in np.split(features, 10):
        streamed.update(batch)
    np.testing.assert_allclose(streamed.covariance()[0, 0], features.var(ddof=1), rtol=1e-8)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="^dim: expected a positive whole number, got"):
        FeatureMoments(0)
    with pytest.raises(ValueError, match=r"^features: expected shape \(B, 3\), got \(2, 4\)$"):
        FeatureMoments(3).update(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="finite"):
        FeatureMoments(1).update(np.array([[np.nan]]))
    with pytest.raises(ValueError, match="length 3"):
        FeatureMoments(3).merge(FeatureMoments(2))
    with pytest.raises(ValueError, match="more than 1"):
        FeatureMoments(2).update(np.zeros((1, 2))).covariance()
