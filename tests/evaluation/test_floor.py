"""The floor of the distances: real images against other real images, and what is said of it."""

import numpy as np
import pytest
from scipy import linalg

from gamix_keras import data
from gamix_keras.evaluation import floor, measures
from gamix_keras.metrics import FeatureExtractor, FeatureStatistics, extract_statistics

pytestmark = pytest.mark.backend_free


def extractor(dim=12):
    def network(pixels):
        return pixels.reshape(len(pixels), 2, 8, 2, 8, 3).mean(axis=(2, 4)).reshape(len(pixels), -1)[:, :dim] / 255.0

    return FeatureExtractor("pixels", "pixels", network, dim=dim, resize="none", weights="none")


def faces(count):
    return data.open_source("faces", image_size=16, count=count)


def statistics(features):
    return FeatureStatistics(features.shape[1]).update(features)


def root_distance(a, b):
    """The Frechet distance by the matrix root, for well-conditioned covariances."""
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = linalg.sqrtm(cov_a @ cov_b).real
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root)


def test_the_two_sets_are_disjoint_and_of_one_size():
    source = faces(50)
    chosen, others = floor.split(source, 20, seed=3)
    assert len(chosen) == len(others) == 20
    assert not set(chosen.keys) & set(others.keys)
    again, _ = floor.split(source, 20, seed=3)
    assert list(again.keys) == list(chosen.keys) != list(floor.split(source, 20, seed=4)[0].keys)
    assert floor.split(source, 30, seed=3)[1] is None
    assert floor.split(source, 50, seed=3) == (source, None)


def test_the_floor_is_the_distance_of_two_sets_of_one_distribution():
    a, b = np.random.default_rng(0).normal(size=(2, 200, 6))
    found = floor.real_scores(extractor(6), statistics(a), statistics(b), "training images", seed=0)
    assert found["frechet"]["value"] == pytest.approx(root_distance(a, b), rel=1e-6)
    assert (found["images"], found["against"]) == (200, "training images")
    assert found["kid"]["interval"][0] < 0 < found["kid"]["interval"][1]
    assert found["precision"] > 0.8 and found["coverage"] > 0.8


def test_without_a_second_set_the_floor_is_that_of_halves():
    features = np.random.default_rng(0).normal(size=(200, 6))
    values = [floor.real_scores(extractor(6), statistics(features), None, None, seed)["frechet"] for seed in range(20)]
    # 100 against 100 in 6 dimensions: the bias falls as 1 / N, and 400 against 400 have about a quarter of it.
    large = [root_distance(*np.random.default_rng(seed).normal(size=(2, 400, 6))) for seed in range(20)]
    assert np.mean([found["value"] for found in values]) == pytest.approx(4 * np.mean(large), rel=0.2)


def test_few_halves_have_a_distance_only():
    real = extract_statistics(extractor(), measures.read(faces(31)))
    found = floor.real_scores(extractor(), real, None, None, seed=0)
    assert found["images"] == 15 and found["frechet"]["value"] > 0
    assert found["kid"]["value"] is None and found["recall"] is None


def entry(floor_value=3.0, shares=0.5, images=200):
    shares = dict.fromkeys(measures.SHARES, shares)
    one = {"frechet": {"name": "FD-x", "value": floor_value}, **shares}
    return {
        "reconstruction": one,
        "samplers": {"prior": one},
        "real": {**one, "images": images, "against": "training images"},
        "protocol": {"real_images": 200, "features": 12},
    }


def test_what_is_warned_of():
    assert floor.warnings(entry()) == []
    few = entry(88.25)
    few["protocol"]["features"] = 1280
    assert floor.warnings(few) == [
        "200 images are fewer than the 1,280 features: FD-x of real images alone is 88.2; compare at one count only"
    ]
    assert floor.warnings(entry(shares=None)) == [measures.NO_NEIGHBOURS]
    (line,) = floor.warnings(entry(shares=0.0))
    assert line.startswith("precision, recall, density and coverage are 0 for every set")


def test_the_row_is_explained():
    assert floor.in_words(entry()).startswith("Real images: 200 held-out images against training images, as many")
    assert "fewer than the 200 of the other rows" in floor.in_words(entry(images=100))
