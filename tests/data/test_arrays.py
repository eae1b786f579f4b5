import numpy as np
import pytest
from image_files import picture

from gamix_keras.data.arrays import ArraySource, chunks_of
from gamix_keras.data.base import Options
from gamix_keras.data.decoding import fit_picture

pytestmark = pytest.mark.backend_free


def test_other_shapes_are_fitted_as_files_are():
    pictures = [picture(seed, 9, 14) for seed in range(3)]
    images = np.stack([np.asarray(image) for image in pictures])
    for channels in (1, 3):
        source = ArraySource("a", ["0", "1", "2"], images, Options(6, channels))
        assert not source.resident
        for index, image in enumerate(pictures):
            expected = fit_picture(image, 6, channels)
            np.testing.assert_array_equal(source.load(np.array([index]))[0], expected)


def test_a_subset_shares_the_array():
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
    source = ArraySource("a", list("abcdef"), images, Options(8)).subset(np.array([1, 3, 5])).subset(np.array([0, 2]))
    assert source.keys == ["b", "f"]
    loaded = source.load(np.array([1, 0]))
    np.testing.assert_array_equal(loaded, images[[5, 1]])
    images[5] = 0
    assert source.load(np.array([1])).max() == 0 < loaded[0].max()


def test_parts_are_small_and_whole():
    images = np.arange(7 * 2**21, dtype=np.uint8).reshape(7, -1, 1024)
    parts = list(chunks_of(images))
    assert max(part.nbytes for part in parts) <= 2**24 and len(parts) > 0
    np.testing.assert_array_equal(np.concatenate(parts), images)
