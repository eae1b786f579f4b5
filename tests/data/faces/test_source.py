import numpy as np
import pytest

from gamix_keras.config import UserError
from gamix_keras.data.base import Options
from gamix_keras.data.faces.render import faces
from gamix_keras.data.faces.source import VALIDATION_START, face_splits
from gamix_keras.data.pixels import with_channels

pytestmark = pytest.mark.backend_free


def test_indices_are_those_of_the_stream():
    source = face_splits("", Options(16, seed=3, count=50))["train"]()
    images = source.load(np.array([49, 2, 3]))
    np.testing.assert_array_equal(images[0], faces(1, 16, seed=3, start=49)[0])
    np.testing.assert_array_equal(images[1:], faces(2, 16, seed=3, start=2))


def test_validation_is_another_range_of_the_stream():
    splits = face_splits("", Options(16, seed=3, count=50))
    train, held_out = splits["train"](), splits["validation"]()
    assert (len(train), len(held_out)) == (50, 5)
    assert not set(train.keys) & set(held_out.keys)
    np.testing.assert_array_equal(held_out.load(np.array([4]))[0], faces(1, 16, 3, VALIDATION_START + 4)[0])


def test_grey_is_the_luma_of_the_colours():
    grey, colour = (face_splits("", Options(16, channels, count=4))["train"]() for channels in (1, 3))
    indices = np.arange(4)
    np.testing.assert_array_equal(grey.load(indices), with_channels(colour.load(indices), 1))


def test_a_subset_keeps_its_faces():
    source = face_splits("", Options(16, count=20))["train"]()
    part = source.subset(np.array([3, 17]))
    np.testing.assert_array_equal(part.load(np.array([1, 0])), source.load(np.array([17, 3])))


def test_default_numbers():
    splits = face_splits("", Options(16))
    assert (len(splits["train"]()), len(splits["validation"]())) == (8000, 800)


@pytest.mark.parametrize(("path", "options"), [("x", Options(16)), ("", Options(7)), ("", Options(16, count=2**31))])
def test_mistakes(path, options):
    with pytest.raises(UserError, match="expected"):
        face_splits(path, options)
