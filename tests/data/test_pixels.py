import numpy as np
import pytest
from PIL import Image

from gamix_keras.data.pixels import over_white, to_uint8, to_unit_range, with_channels

pytestmark = pytest.mark.backend_free

ALL_BYTES = np.arange(256, dtype=np.uint8)


def test_bytes_and_unit_range_are_inverse_and_reach_both_ends():
    unit = to_unit_range(ALL_BYTES)
    assert unit.dtype == np.float32
    assert (unit[0], unit[255]) == (-1.0, 1.0)
    np.testing.assert_array_equal(to_uint8(unit), ALL_BYTES)
    np.testing.assert_allclose(np.diff(unit), 2 / 255, atol=1e-7)


def test_to_uint8_clips_and_rounds():
    np.testing.assert_array_equal(to_uint8(np.array([-3.0, 3.0, 0.001])), [0, 255, 128])


def test_luma_is_that_of_pillow():
    colours = np.random.default_rng(0).integers(0, 256, (1, 40, 40, 3), np.uint8)
    expected = np.asarray(Image.fromarray(colours[0]).convert("L"))
    np.testing.assert_array_equal(with_channels(colours, 1)[0, ..., 0], expected)


def test_grey_becomes_three_equal_channels():
    grey = np.random.default_rng(0).integers(0, 256, (2, 3, 3, 1), np.uint8)
    colours = with_channels(grey, 3)
    np.testing.assert_array_equal(colours, np.concatenate([grey] * 3, axis=-1))


def test_alpha_is_laid_over_white():
    pixels = np.array([[10, 20, 30, 255], [10, 20, 30, 0], [0, 100, 200, 51]], np.uint8)
    np.testing.assert_array_equal(over_white(pixels), [[10, 20, 30], [255, 255, 255], [204, 224, 244]])
