import logging

import numpy as np
import pytest

from gamix_keras.data.array_range import ValueRange, find_range

pytestmark = pytest.mark.backend_free


def as_bytes(values, dtype=None):
    array = np.array(values, dtype)
    return find_range(array.dtype, [array]).to_bytes(array)


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([0.0, 0.5, 1.0], "f4", [0, 128, 255]),
        ([0.0, 0.5, 1.0], "f2", [0, 128, 255]),
        ([0.0, 0.5, 1.0], ">f8", [0, 128, 255]),
        ([-1.0, 0.0, 1.0], "f8", [0, 128, 255]),
        ([0.0, 7.4, 255.0], "f4", [0, 7, 255]),
        ([0, 7, 255], "u1", [0, 7, 255]),
        ([0, 7, 255], "i4", [0, 7, 255]),
        ([0, 7, 255], "i8", [0, 7, 255]),
        ([0, 7, 255], "u2", [0, 7, 255]),
        ([0, 257, 65535], "u2", [0, 1, 255]),
        ([0, 257, 65535], ">u2", [0, 1, 255]),
        ([False, True], "?", [0, 255]),
        ([0, 1], "u1", [0, 255]),
        ([0, 1], "i8", [0, 255]),
        ([0, 0], "u1", [0, 0]),
    ],
)
def test_the_range_is_found(values, dtype, expected):
    found = as_bytes(values, dtype)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([-2.0, 0.0], "expected floats in .*undo the standardisation"),
        ([0.0, 256.0], "expected floats in .*got values from 0 to 256$"),
        ([-1.0, 255.0], "expected floats in"),
        ([0.0, np.nan], "finite values, got nan"),
        ([0.0, np.inf], "finite values, got inf"),
        ([0, 256], r"integers in \[0, 255\], or uint16, got int64 from 0 to 256"),
        ([-1, 5], r"integers in \[0, 255\]"),
        ([1j], "expected numbers, got complex128"),
        ([{}], "Python objects"),
        (["a"], "expected numbers, got <U1"),
    ],
)
def test_other_values_get_a_sentence(values, reason):
    with pytest.raises(ValueError, match=reason):
        as_bytes(values)


def test_parts_are_taken_together():
    parts = [np.array([0.0, 1.0]), np.array([7.0, 255.0]), np.array([np.nan])]
    assert find_range(np.dtype("f8"), parts[:2]) == ValueRange(0, 255)
    with pytest.raises(ValueError, match="nan"):
        find_range(np.dtype("f8"), parts)


@pytest.mark.parametrize(
    ("values", "dtype", "line"),
    [
        ([0, 1], "u1", "a: integers 0 and 1 are read as black and white"),
        ([0.0, 16.0], "f4", "a: values from 0 to 16 are read as dark shades of [0, 255]"),
        ([0, 40], "u1", "a: values from 0 to 40 are read as dark shades of [0, 255]"),
        ([0, 4095], "u2", "a: values from 0 to 4095 are read as dark shades of [0, 65535]"),
        ([0, 200], "u1", None),
        ([0, 60000], "u2", None),
        ([0.0, 0.1], "f4", None),
    ],
)
def test_doubtful_ranges_are_said(values, dtype, line, caplog):
    with caplog.at_level(logging.WARNING):
        find_range(np.dtype(dtype), [np.array(values, dtype)], "a")
    assert caplog.messages == ([line] if line else [])
