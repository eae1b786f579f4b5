import json

import numpy as np
import pytest

from gamix_keras.metrics import feature_statistics as streaming
from gamix_keras.metrics.features import FeatureExtractor

pytestmark = pytest.mark.backend_free

MIXING = np.random.default_rng(5).normal(size=(12, 6))


class Counted(FeatureExtractor):
    """An extractor of six features that counts the images it sees."""

    def __init__(self, weights="first"):
        super().__init__("toy", "toy", self._features, 6, "none", weights, batch_size=16)
        self.seen = 0

    def _features(self, pixels):
        self.seen += len(pixels)
        return pixels.reshape(len(pixels), -1) / 255.0 @ MIXING


def images(count=100, seed=0, top=256):
    return np.random.default_rng(seed).integers(0, top, (count, 2, 2, 3)).astype(np.uint8)


def test_statistics_equal_those_of_all_features_at_once():
    extractor, pixels = Counted(), images()
    statistics = streaming.extract_statistics(extractor, np.split(pixels, [3, 50, 51]), keep=40)
    features = extractor(pixels)
    assert statistics.count == 100 and statistics.subset.rows.shape == (40, 6)
    np.testing.assert_allclose(statistics.moments.covariance(), np.cov(features, rowvar=False), rtol=1e-6, atol=1e-9)
    assert len({tuple(row) for row in statistics.subset.rows} & {tuple(row) for row in features}) == 40


def test_short_batches_are_put_together():
    extractor = Counted()
    streaming.extract_statistics(extractor, np.split(images(96), 96))
    assert extractor.seen == 96


def test_the_hash_is_of_the_images_and_not_of_their_batches():
    pixels = images()
    whole = streaming.content_hash([pixels])
    assert streaming.content_hash(np.split(pixels, [1, 30])) == whole
    assert streaming.content_hash([pixels.astype("float32") / 127.5 - 1]) == whole
    changed = pixels.copy()
    changed[50, 1, 1, 0] ^= 1
    assert streaming.content_hash([changed]) != whole
    assert streaming.content_hash([pixels.reshape(100, 1, 4, 3)]) != whole


def test_the_cache_answers_for_the_same_images_and_protocol_only(tmp_path):
    def ask(extractor, pixels, **arguments):
        return streaming.cached_statistics(extractor, lambda: [pixels], tmp_path / "new", **arguments), extractor.seen

    first, seen = ask(Counted(), images())
    again, repeated = ask(Counted(), images())
    assert seen > 0 and repeated == 0 and again.count == first.count
    np.testing.assert_array_equal(again.moments.scatter, first.moments.scatter)
    np.testing.assert_array_equal(again.subset.rows, first.subset.rows)
    for extractor, pixels, arguments in (
        (Counted("second"), images(), {}),
        (Counted(), images(seed=1), {}),
        (Counted(), images(), {"seed": 1}),
        (Counted(), images(), {"keep": 50}),
    ):
        assert ask(extractor, pixels, **arguments)[1] > 0
    assert len(list((tmp_path / "new").iterdir())) == 5


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no archive"])
def test_a_damaged_cache_file_is_replaced(tmp_path, damage):
    first = streaming.cached_statistics(Counted(), lambda: [images()], tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage)
    second, third = (streaming.cached_statistics(Counted(), lambda: [images()], tmp_path) for _ in range(2))
    np.testing.assert_array_equal(second.moments.mean, first.moments.mean)
    np.testing.assert_array_equal(third.moments.mean, first.moments.mean)


def test_scores_carry_their_protocol_and_repeat_exactly():
    extractor = Counted()
    real, same, darker = (
        streaming.extract_statistics(extractor, [images(200, seed, top)]) for seed, top in ((0, 256), (1, 256), (2, 90))
    )
    near, far = (streaming.generation_scores(extractor, real, other) for other in (same, darker))
    assert list(near["scores"]) == ["fd_toy", "kd_toy", "precision", "recall", "density", "coverage"]
    assert far["scores"]["fd_toy"] > 10 * near["scores"]["fd_toy"]
    assert near["scores"]["kd_toy"]["low"] < 0 < far["scores"]["kd_toy"]["low"]
    assert near["protocol"]["real_images"] == 200 and near["protocol"]["extractor"] == "toy"
    assert json.dumps(near) == json.dumps(streaming.generation_scores(extractor, real, same))


def test_memory_does_not_grow_with_the_images():
    statistics = streaming.FeatureStatistics(4, keep=10)
    for seed in range(20):
        statistics.update(np.random.default_rng(seed).normal(size=(50, 4)))
    assert statistics.count == 1000
    assert statistics.subset.rows.shape == (10, 4) and statistics.subset.rows.base is None


def test_what_cannot_be_computed_is_none():
    """Too few images for blocks and neighbourhoods, and real images that are all alike."""
    tool = Counted()
    few = streaming.extract_statistics(tool, [images(15)])
    scores = streaming.generation_scores(tool, few, few)["scores"]
    assert scores["fd_toy"] == pytest.approx(0.0, abs=1e-9) and scores["kd_toy"] is None and scores["recall"] is None
    alike, many = (streaming.extract_statistics(tool, [images(120, top=top)]) for top in (1, 256))
    scores = streaming.generation_scores(tool, alike, many)["scores"]
    assert scores["kd_toy"]["value"] > 0 and scores["precision"] is None
    assert streaming.generation_scores(tool, many, many)["scores"]["coverage"] == 1.0


class Faces(Counted):
    """An extractor that takes images with a bright first pixel for faces."""

    def __init__(self):
        super().__init__()
        self.is_face = lambda features: features[:, 0] > -2.0


def test_faces_are_counted_and_kept_with_the_features(tmp_path):
    expected = np.mean(Faces()(images())[:, 0] > -2.0)
    assert 0.0 < expected < 1.0
    for _ in range(2):
        found = streaming.cached_statistics(Faces(), lambda: [images()], tmp_path)
        assert found.face_share == pytest.approx(expected)
    assert streaming.extract_statistics(Counted(), [images()]).face_share is None


def test_several_extractors_see_one_stream_as_each_would_alone():
    class Wide(Counted):
        def __init__(self):
            super().__init__()
            self.batch_size, self.dim = 24, 12

        def _features(self, pixels):
            return pixels.reshape(len(pixels), -1) / 255.0

    stream = iter(np.split(images(1500), 50))
    together = streaming.extract_by_each([Counted(), Wide()], stream, keep=40)
    for extractor, found in zip((Counted(), Wide()), together, strict=True):
        alone = streaming.extract_statistics(extractor, [images(1500)], keep=40)
        np.testing.assert_allclose(found.moments.scatter, alone.moments.scatter, rtol=1e-12)
        np.testing.assert_array_equal(found.subset.rows, alone.subset.rows)
